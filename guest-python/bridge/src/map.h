/* Map functions. */
#ifndef VIVARIUM_MAP_H
#define VIVARIUM_MAP_H

#include <stdbool.h>

/* Creates the type of the iterator that they are called with. Raises and returns false. */
bool map_init(void);

#endif
