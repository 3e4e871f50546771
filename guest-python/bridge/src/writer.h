/* Writers build one Arrow column from Python objects. They are chosen once, when a function is
 * loaded, and keep their buffers from batch to batch. */
#ifndef VIVARIUM_WRITER_H
#define VIVARIUM_WRITER_H

#include <Python.h>

#include <stdbool.h>

#include "arrow_abi.h"
#include "buffer.h"
#include "failure.h"
#include "reader.h"
#include "schema.h"

typedef struct Writer Writer;

/* Appends a value that is not None. 0, or -1 with either a failure recorded or an exception
 * raised. */
typedef int (*WriteFunction)(Writer *writer, PyObject *value);

/* How a column's buffers are laid out. */
typedef enum {
    LAYOUT_NULL,
    LAYOUT_BITS,
    LAYOUT_FIXED,
    LAYOUT_BYTES,
    LAYOUT_LARGE_BYTES,
    LAYOUT_LIST,
    LAYOUT_LARGE_LIST,
    LAYOUT_FIXED_LIST,
    LAYOUT_STRUCT,
} Layout;

struct Writer {
    WriteFunction write;
    FastPath fast;
    Layout layout;
    const Type *type;
    Path path;
    int64_t length;
    int64_t null_count;
    Buffer validity; /* in use only once there is a null */
    Buffer values;
    Py_buffer lent;  /* the values, if `is_lent`: memory of what the function returned */
    bool is_lent;
    Buffer offsets;
    int64_t n_children;
    Writer *children;
    PyObject **keys;             /* struct: the field names */
    ArrowArray array;            /* what `writer_finish` fills */
    const void *buffers[3];
    ArrowArray **child_arrays;
};

/* Chooses the writer for a type, which must outlive it. Failure as in `type_parse`. */
bool writer_build(Writer *writer, const Type *type, const Path *parent);
void writer_release(Writer *writer);

/* Empties the writer and makes room for `rows` values. Raises MemoryError. */
bool writer_reset(Writer *writer, int64_t rows);

/* Gives all memory back. */
void writer_drop_buffers(Writer *writer);

/* Appends a null, or a value that nobody looks at (below a null parent). */
int writer_append_null(Writer *writer);
int writer_append_empty(Writer *writer);

/* Lengthens the validity bitmap to hold `bits`; the new ones say "not null". */
bool writer_extend_validity(Writer *writer, int64_t bits);

/* About how many bytes the column takes so far. */
size_t writer_bytes(const Writer *writer);

/* Makes a field of the outermost struct a column of its own in messages. */
void writer_set_root(Writer *writer);

/* Describes the finished column in `writer->array`. Raises MemoryError. */
bool writer_finish(Writer *writer);

/* Records a `result` failure: expected this type, got that value. Returns -1. `reason` may be
 * NULL. */
int writer_reject(Writer *writer, PyObject *value, const char *reason);

/* Turns an OverflowError, TypeError or ValueError that a conversion raised into a `result`
 * failure; leaves all others. Returns -1. */
int writer_reject_raised(Writer *writer, PyObject *value, const char *reason);

bool writer_choose_plain(Writer *writer);
bool writer_choose_temporal(Writer *writer);
bool writer_choose_nested(Writer *writer);
int write_decimal(Writer *writer, PyObject *value);
int write_bytes_like(Writer *writer, PyObject *value);
int write_utf8(Writer *writer, PyObject *value);

/* Reads any accepted integer; 0, or -1 as `WriteFunction`. */
int writer_take_int64(Writer *writer, PyObject *value, int64_t *out);

/* Room for one more fixed-width value, which counts as appended; NULL after MemoryError. */
static inline void *
writer_slot(Writer *writer, size_t width)
{
    if (!buffer_reserve(&writer->values, width)) {
        return NULL;
    }
    void *slot = writer->values.data + writer->values.size;
    writer->values.size += width;
    writer->length++;
    return slot;
}

/* Appends any value. */
static inline int
writer_append(Writer *writer, PyObject *value)
{
    return value == Py_None ? writer_append_null(writer) : writer->write(writer, value);
}

/* Appends the end of a value to the offsets; the room is already reserved. */
static inline void
writer_push_offset(Writer *writer, int64_t end)
{
    Buffer *offsets = &writer->offsets;
    if (writer->layout == LAYOUT_BYTES || writer->layout == LAYOUT_LIST) {
        *(int32_t *)(void *)(offsets->data + offsets->size) = (int32_t)end;
        offsets->size += 4;
    } else {
        *(int64_t *)(void *)(offsets->data + offsets->size) = end;
        offsets->size += 8;
    }
}

#endif
