/* Objects that live as long as the interpreter. */
#ifndef VIVARIUM_IMMORTAL_H
#define VIVARIUM_IMMORTAL_H

#include <stdbool.h>

/* Makes everything immortal that the garbage collector knows now, and all that it refers to: its reference
 * counts never change again. Raises and returns false without memory. */
bool immortal_make_all(void);

#endif
