/* The gaps between the interpreter's small objects. */
#ifndef VIVARIUM_POOLS_H
#define VIVARIUM_POOLS_H

#include <stdbool.h>

/* Uses every gap up, so that objects made from now on lie in memory that is new. Raises and returns false
 * without memory. */
bool pools_fill(void);

#endif
