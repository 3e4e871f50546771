/* Bound functions: loading, and running one over a batch. */
#ifndef VIVARIUM_FUNCTION_H
#define VIVARIUM_FUNCTION_H

#include <stdbool.h>

/* Makes the next invocation reseed the random generators first. */
void function_arm_reseed(void);

#endif
