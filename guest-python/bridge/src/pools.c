/* pymalloc keeps objects of one size class in pools of one page, and puts a new object into a gap of a pool
 * that is in use. After the interpreter's start nearly every pool has gaps, so that the first objects of a
 * function would be spread over all of them: each a page that is copied for the fork, stored in the image, and
 * restored after the call. With the gaps used up new objects lie one behind the other.
 *
 * It costs the base image what is in the gaps, once for all functions. */
#include "pools.h"

#include <Python.h>

#include <stdint.h>

enum { CLASS_BYTES = 16, LARGEST_CLASS = 512 };

/* Arenas hold pools. The last one that was made while they were watched: */
static PyObjectArenaAllocator usual;
static uintptr_t arena_start, arena_end;

static void *
watched_alloc(void *context, size_t size)
{
    (void)context;
    void *arena = usual.alloc(usual.ctx, size);
    if (arena != NULL) {
        arena_start = (uintptr_t)arena;
        arena_end = arena_start + size;
    }
    return arena;
}

static void
watched_free(void *context, void *arena, size_t size)
{
    (void)context;
    usual.free(usual.ctx, arena, size);
}

/* Allocates blocks that nobody frees, until one lies in a new arena. */
static bool
fill(size_t block_bytes)
{
    for (;;) {
        uintptr_t block = (uintptr_t)PyObject_Malloc(block_bytes);
        if (block == 0) {
            PyErr_NoMemory();
            return false;
        }
        if (block >= arena_start && block < arena_end) {
            return true;
        }
    }
}

bool
pools_fill(void)
{
    PyObject_GetArenaAllocator(&usual);
    PyObjectArenaAllocator watched = {NULL, watched_alloc, watched_free};
    PyObject_SetArenaAllocator(&watched);
    /* The first of them uses up the pools that are free as well. */
    bool filled = true;
    for (size_t bytes = LARGEST_CLASS; filled && bytes > 0; bytes -= CLASS_BYTES) {
        filled = fill(bytes);
    }
    PyObject_SetArenaAllocator(&usual);
    return filled;
}
