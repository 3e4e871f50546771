/* NumPy's extension modules, which are part of the guest module. */
#ifndef VIVARIUM_NUMPY_H
#define VIVARIUM_NUMPY_H

#include <stdbool.h>

/* Makes them built-in modules, before the interpreter starts. False when memory is exhausted. */
bool numpy_register(void);

#endif
