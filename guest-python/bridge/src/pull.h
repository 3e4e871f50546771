/* Where map functions get their input from. */
#ifndef VIVARIUM_PULL_H
#define VIVARIUM_PULL_H

#include <stdint.h>

/* Without room: waits for the next input batch and answers the bytes that its block needs (64 or
 * more), 0 at the end of the input, -1 where there is no input. With `room` of `size` bytes, 64-byte
 * aligned: writes the batch there; 0, or -1. */
int32_t vivarium_pull(void *room, uint32_t size);

#endif
