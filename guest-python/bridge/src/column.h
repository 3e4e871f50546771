/* `vivarium.Column`: one column of a batch as a Python object. */
#ifndef VIVARIUM_COLUMN_H
#define VIVARIUM_COLUMN_H

#include <Python.h>

#include <stdbool.h>

#include "block.h"
#include "reader.h"

typedef struct {
    PyObject_HEAD
    Block *block;  /* what the reader is bound to */
    Reader reader;
    int64_t start; /* element i is the reader's row start + i * step */
    int64_t step;
    int64_t length;
    int64_t null_count; /* -1: not counted yet */
    MemoryLayout layout; /* of fixed-width values */
} Column;

/* Creates the types; adds `Column` to the module. Raises and returns false on failure. */
bool column_init(PyObject *module);

bool column_check(PyObject *object);

/* All rows of a bound reader, whose buffers belong to the block. Raises. */
PyObject *column_new(Block *block, const Reader *reader, int64_t length);

int64_t column_null_count(Column *column);

/* Notes the layout of the values, if they have a fixed width. */
void column_describe_memory(Column *column);

/* The buffer protocol, and the attributes that are views. */
int column_getbuffer(PyObject *self, Py_buffer *view, int flags);
PyObject *column_values(PyObject *self, void *closure);
PyObject *column_validity(PyObject *self, void *closure);
PyObject *column_offsets(PyObject *self, void *closure);

/* A list of the values. Raises. */
PyObject *column_to_list(Column *column);

#endif
