/* Readers turn one value of an Arrow column into a Python object. They are chosen once, when a
 * function is loaded, and bound to the buffers of every batch. */
#ifndef VIVARIUM_READER_H
#define VIVARIUM_READER_H

#include <Python.h>

#include <stdbool.h>

#include "arrow_abi.h"
#include "failure.h"
#include "schema.h"
#include "spare.h"

/* Types whose conversion is inlined into the row loop. */
typedef enum { FAST_NONE, FAST_INT64, FAST_FLOAT64 } FastPath;

typedef struct Reader Reader;

/* A new reference to the value at `row`, which is not null; on failure NULL with either a failure
 * recorded or an exception raised. */
typedef PyObject *(*ReadFunction)(Reader *reader, int64_t row);

struct Reader {
    ReadFunction read;
    ReadFunction storage; /* extension types: reads the value below */
    FastPath fast;
    const uint8_t *validity; /* NULL: the batch has no nulls here */
    const void *values;
    const void *offsets;
    const Type *type;
    Path path;
    int64_t n_children;
    Reader *children;
    PyObject **keys;   /* struct: the field names */
    PyObject *zone;    /* timestamp: its tzinfo */
    int64_t offset_us; /* timestamp: UTC offset of a fixed zone, microseconds */
    bool reuses;       /* a parameter, see spare.h */
    bool is_clone;     /* `keys` belong to the reader that it was made from */
    Spare spare;
};

/* Chooses the reader for a type, which must outlive it. Failure as in `type_parse`. */
bool reader_build(Reader *reader, const Type *type, const Path *parent);
void reader_release(Reader *reader);

/* A copy with the same binding that keeps it when the original is bound to another batch. The
 * original must live as long. Raises MemoryError and returns false. */
bool reader_clone(Reader *clone, const Reader *reader);

/* Points the reader at one batch. On failure records an `internal` failure. */
bool reader_bind(Reader *reader, const ArrowArray *array);

/* Records an `argument` failure of this reader's column and returns NULL. */
PyObject *reader_reject(Reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Interned names of a struct's fields in a table that the caller owns, or NULL with a failure
 * recorded (two of one name) or an exception raised. */
PyObject **type_field_names(const Type *type);

/* Choosers of the families that live in files of their own; false if the type is not theirs. */
bool reader_choose_temporal(Reader *reader);
bool reader_choose_nested(Reader *reader);

PyObject *read_decimal(Reader *reader, int64_t row);

static inline bool
bit_is_set(const uint8_t *bits, int64_t index)
{
    return (bits[index >> 3] >> (index & 7)) & 1;
}

static inline bool
reader_is_null(const Reader *reader, int64_t row)
{
    return reader->validity != NULL && !bit_is_set(reader->validity, row);
}

/* The value at `row`, None for null. */
static inline PyObject *
reader_value(Reader *reader, int64_t row)
{
    return reader_is_null(reader, row) ? Py_None : reader->read(reader, row);
}

#endif
