/* Whole columns: copying Arrow values without making Python objects of them, and taking what a
 * function returned for a column. */
#ifndef VIVARIUM_BULK_H
#define VIVARIUM_BULK_H

#include <Python.h>

#include <stdbool.h>

#include "reader.h"
#include "writer.h"

/* Number of bits that are 0 among `count` of them from `start`; no bitmap has none. */
int64_t count_nulls(const uint8_t *bits, int64_t start, int64_t count);

/* Whether values of type `from` are valid as values of type `to`, byte by byte. What `to` says
 * about null is compared below the outermost level only. */
bool type_is_copied(const Type *from, const Type *to);

/* Appends rows of a bound column to a writer of a type that `type_is_copied` allows; nulls among
 * them must be allowed. 0, or -1 with a failure recorded or MemoryError raised. */
int writer_append_rows(Writer *writer, const Reader *reader, int64_t start, int64_t count);

/* Appends what a function returned as a column of `expected` values: a Column, a buffer of the same
 * item type, or any sequence or iterable of Python values. With `expected` -1 any number of values
 * will do. 0, or -1 with a failure recorded (and its row, if there is one) or an exception
 * raised. */
int writer_append_column(Writer *writer, PyObject *value, int64_t expected);

/* The same for a writer that is empty and gets nothing more until it is reset: values that lie in a
 * buffer as the column needs them stay there, and what was returned lives until then. */
int writer_take_column(Writer *writer, PyObject *value, int64_t expected);

#endif
