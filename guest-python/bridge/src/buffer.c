#include <Python.h>

#include <stdlib.h>
#include <string.h>

#include "buffer.h"

enum { ALIGNMENT = 64, SMALLEST = 256 };

void *
aligned_allocate(size_t size)
{
    if (size > SIZE_MAX - ALIGNMENT) {
        return NULL;
    }
    size_t rounded = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    return aligned_alloc(ALIGNMENT, rounded ? rounded : ALIGNMENT);
}

void
aligned_release(void *memory)
{
    free(memory);
}

bool
buffer_grow(Buffer *buffer, size_t extra)
{
    if (extra > SIZE_MAX / 2 - buffer->size) {
        PyErr_NoMemory();
        return false;
    }
    size_t needed = buffer->size + extra;
    size_t capacity = buffer->capacity + buffer->capacity / 2;
    if (capacity < needed) {
        capacity = needed;
    }
    if (capacity < SMALLEST) {
        capacity = SMALLEST;
    }
    void *data = aligned_allocate(capacity);
    if (data == NULL && capacity > needed) {
        capacity = needed;
        data = aligned_allocate(capacity);
    }
    if (data == NULL) {
        PyErr_NoMemory();
        return false;
    }
    if (buffer->size > 0) {
        memcpy(data, buffer->data, buffer->size);
    }
    aligned_release(buffer->data);
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

void
buffer_reset(Buffer *buffer, size_t keep)
{
    buffer->size = 0;
    if (buffer->capacity > keep) {
        buffer_release(buffer);
    }
}

void
buffer_release(Buffer *buffer)
{
    aligned_release(buffer->data);
    *buffer = (Buffer){0};
}
