/* The conversions of one row. They are inlined into every loop over rows, whatever the compiler thinks
 * of their size: a call more costs a row of `a + b` five to ten per cent. */
#ifndef VIVARIUM_ROW_H
#define VIVARIUM_ROW_H

#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

#include "function.h"
#include "integers.h"
#include "platform.h"
#include "reader.h"
#include "writer.h"

VIVARIUM_INLINE PyObject *
read_argument(Reader *reader, int64_t row)
{
    if (reader_is_null(reader, row)) {
        return Py_None;
    }
    switch (reader->fast) {
    case FAST_INT64:
        return spare_integer(&reader->spare, ((const int64_t *)reader->values)[row]);
    case FAST_FLOAT64:
        return spare_float(&reader->spare, ((const double *)reader->values)[row]);
    default:
        return reader->read(reader, row);
    }
}

VIVARIUM_INLINE int
write_result(Writer *writer, PyObject *value)
{
    if (writer->fast == FAST_INT64) {
        int64_t number;
        if (PyLong_CheckExact(value) && integer_small_value(value, &number)) {
            int64_t *slot = writer_slot(writer, sizeof(int64_t));
            if (slot == NULL) {
                return -1;
            }
            *slot = number;
            return 0;
        }
    } else if (writer->fast == FAST_FLOAT64) {
        if (PyFloat_CheckExact(value)) {
            double *slot = writer_slot(writer, sizeof(double));
            if (slot == NULL) {
                return -1;
            }
            *slot = PyFloat_AS_DOUBLE(value);
            return 0;
        }
    }
    return writer_append(writer, value);
}

/* Drops a result. Integers, the most common ones, are freed without the detour through their type,
 * as the interpreter itself does it; those that live forever have a higher count. */
VIVARIUM_INLINE void
release_result(PyObject *result)
{
    if (PyLong_CheckExact(result) && Py_REFCNT(result) == 1) {
        integer_free(result);
    } else {
        Py_DECREF(result);
    }
}

/* Whether a null argument means that the row is left out. */
VIVARIUM_INLINE bool
row_is_skipped(const Function *function, int64_t row)
{
    for (int64_t i = 0; i < function->n_parameters; i++) {
        Reader *reader = &function->readers[i];
        if (function->skipped[i] &&
            (reader_is_null(reader, row) || reader->type->kind == TYPE_NULL)) {
            return true;
        }
    }
    return false;
}

/* Calls `callable` with the arguments of a row. `first`, if not NULL, is passed before them; the
 * reference to it is the caller's. NULL with a failure recorded or an exception raised. */
VIVARIUM_INLINE PyObject *
call_row(Function *function, const Callable *callable, PyObject *first, int64_t row)
{
    PyObject **arguments = function_arguments(function), **start = arguments;
    Py_ssize_t count = (Py_ssize_t)function->n_parameters, filled = 0;
    PyObject *result = NULL;
    while (filled < count) {
        PyObject *argument = read_argument(&function->readers[filled], row);
        if (argument == NULL) {
            break;
        }
        arguments[filled++] = argument;
    }
    if (filled == count) {
        size_t passed = (size_t)count;
        if (first != NULL) {
            *--start = first;
            passed++;
        }
        result = callable->call(callable->object, start, passed | PY_VECTORCALL_ARGUMENTS_OFFSET,
                                NULL);
    }
    while (filled > 0) {
        Py_DECREF(arguments[--filled]);
    }
    return result;
}

#endif
