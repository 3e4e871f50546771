/* Dates, times, timestamps, durations and intervals. */
#ifndef VIVARIUM_TEMPORAL_H
#define VIVARIUM_TEMPORAL_H

#include <stdbool.h>

/* Import the datetime C API, which is kept per file; raise and return false on failure. */
bool temporal_read_init(void);
bool temporal_write_init(void);

#endif
