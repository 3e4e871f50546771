/* Argument objects that are used again.
 *
 * Between two rows a column's argument object is usually referenced by nobody but its reader: then
 * the next value is written into it instead of freeing it and allocating the next one. A count of
 * one means that no Python code can see the object, and the counterpart of "freed, then allocated
 * at the same address" is exactly what a program could observe anyway. An object that the function
 * kept (in a list, a cache, an exception) has a higher count and is left alone.
 *
 * Only for parameters: the elements of lists and dicts are kept by their container. */
#ifndef VIVARIUM_SPARE_H
#define VIVARIUM_SPARE_H

#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

#include "integers.h"
#include "text.h"

typedef struct {
    PyObject *object;    /* NULL or a strong reference */
    Py_ssize_t capacity; /* integers: digits, strings: bytes */
} Spare;

/* The singletons of CPython; they must stay the only objects with these values. */
enum { FIRST_SMALL_INT = -5, LAST_SMALL_INT = 256 };

/* Strings above this many bytes are not used again: one that is kept would waste memory. */
enum { MAX_SPARE_TEXT = 64 };

static inline bool
spare_is_free(const Spare *spare)
{
    return spare->object != NULL && Py_REFCNT(spare->object) == 1;
}

/* Takes a new object, or NULL, as the one to use again; returns a second reference to it. */
static inline PyObject *
spare_replace(Spare *spare, PyObject *object, Py_ssize_t capacity)
{
    if (object != NULL) {
        Py_XSETREF(spare->object, object);
        spare->capacity = capacity;
        Py_INCREF(object);
    }
    return object;
}

static inline PyObject *
spare_integer(Spare *spare, int64_t value)
{
    if (value >= FIRST_SMALL_INT && value <= LAST_SMALL_INT) {
        return PyLong_FromLong((long)value);
    }
    uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    Py_ssize_t digits = size >> PyLong_SHIFT == 0 ? 1 : size >> (2 * PyLong_SHIFT) == 0 ? 2 : 3;
    PyObject *object;
    if (spare_is_free(spare) && digits <= spare->capacity) {
        object = Py_NewRef(spare->object);
    } else {
        object = spare_replace(spare, (PyObject *)_PyLong_New(digits), digits);
        if (object == NULL) {
            return NULL;
        }
    }
    _PyLongValue *parts = &((PyLongObject *)object)->long_value;
    parts->lv_tag = (uintptr_t)digits << _PyLong_NON_SIZE_BITS | (value < 0 ? 2 : 0);
    parts->ob_digit[0] = (digit)(size & PyLong_MASK);
    if (digits > 1) {
        parts->ob_digit[1] = (digit)(size >> PyLong_SHIFT & PyLong_MASK);
    }
    if (digits > 2) {
        parts->ob_digit[2] = (digit)(size >> (2 * PyLong_SHIFT));
    }
    return object;
}

static inline PyObject *
spare_float(Spare *spare, double value)
{
    if (spare_is_free(spare)) {
        ((PyFloatObject *)spare->object)->ob_fval = value;
        return Py_NewRef(spare->object);
    }
    return spare_replace(spare, PyFloat_FromDouble(value), 0);
}

/* For ASCII text of two to MAX_SPARE_TEXT bytes; shorter strings are singletons, too. */
static inline PyObject *
spare_text(Spare *spare, const uint8_t *text, size_t length)
{
    PyObject *object;
    if (spare_is_free(spare) && (Py_ssize_t)length <= spare->capacity &&
        !PyUnicode_CHECK_INTERNED(spare->object)) {
        object = Py_NewRef(spare->object);
    } else {
        Py_ssize_t capacity = ((Py_ssize_t)length + 15) & ~(Py_ssize_t)15;
        object = spare_replace(spare, PyUnicode_New(capacity, 127), capacity);
        if (object == NULL) {
            return NULL;
        }
    }
    PyASCIIObject *head = (PyASCIIObject *)object;
    head->length = (Py_ssize_t)length;
    head->hash = -1;
    uint8_t *data = (uint8_t *)(head + 1);
    copy_short(data, text, length);
    data[length] = 0;
    return object;
}

#endif
