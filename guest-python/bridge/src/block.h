/* Memory that columns and views of them refer to: an input block, or a column built by the guest.
 *
 * An input block belongs to the host, which gives it out again once a call has ended. What the
 * function keeps (a column in a global, a memoryview) holds a reference to the block's object: then
 * the call answers KEPT, the block belongs to the guest, and goes with the last reference. */
#ifndef VIVARIUM_BLOCK_H
#define VIVARIUM_BLOCK_H

#include <Python.h>

#include <stdbool.h>

#include "writer.h"

typedef struct {
    PyObject_HEAD
    void *memory;   /* an input block, freed with the object if it is owned; or NULL */
    bool owned;
    Writer *writer; /* whose buffers the columns read; or NULL */
} Block;

/* Memory as the buffer protocol describes it. */
typedef struct {
    const void *start;
    const char *format;
    Py_ssize_t item_size;
    int dimensions;
    Py_ssize_t shape[2], strides[2];
} MemoryLayout;

/* Creates the types of this file. Raises and returns false on failure. */
bool block_init(void);

/* A block of the host's, or (owned) one that the guest has allocated. Raises. */
Block *block_of_memory(void *memory, bool owned);

/* A block that owns an empty writer of this type. Raises, or records a failure. */
Block *block_of_writer(const Type *type);

/* Ends the use of a host's block, and drops the caller's reference. Whether something else still
 * refers to it: then it belongs to the guest from now on. */
bool block_leave(Block *block);

/* A read-only memoryview of memory that belongs to the block. Raises. */
PyObject *block_view(Block *block, const MemoryLayout *layout);

/* Answers a request for a buffer on behalf of `exporter`, which keeps `layout` alive. */
int layout_fill(const MemoryLayout *layout, PyObject *exporter, Py_buffer *view, int flags);

#endif
