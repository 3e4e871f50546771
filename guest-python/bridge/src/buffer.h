/* Growable, 64-byte aligned memory that result columns are built in. */
#ifndef VIVARIUM_BUFFER_H
#define VIVARIUM_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint8_t *data;
    size_t size;     /* bytes in use */
    size_t capacity; /* bytes allocated */
} Buffer;

/* 64-byte aligned memory of at least one byte, or NULL. Given back with `aligned_release`. */
void *aligned_allocate(size_t size);
void aligned_release(void *memory);

/* Grows to hold `extra` more bytes. On failure raises MemoryError and returns false. */
bool buffer_grow(Buffer *buffer, size_t extra);

/* Empties the buffer for the next batch; memory above `keep` bytes is given back. */
void buffer_reset(Buffer *buffer, size_t keep);

void buffer_release(Buffer *buffer);

static inline bool
buffer_reserve(Buffer *buffer, size_t extra)
{
    if (__builtin_expect(buffer->capacity - buffer->size >= extra, 1)) {
        return true;
    }
    return buffer_grow(buffer, extra);
}

#endif
