/* Direct access to small integers, in the layout that CPython 3.13 documents for extensions
 * (`cpython/longintrepr.h`). */
#ifndef VIVARIUM_INTEGERS_H
#define VIVARIUM_INTEGERS_H

#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

#include "platform.h"

_Static_assert(PyLong_SHIFT == 30, "integers have 30-bit digits");

/* The value of an int below 2**60 in magnitude; false for larger ones. */
static inline bool
integer_small_value(PyObject *value, int64_t *out)
{
    const _PyLongValue *digits = &((const PyLongObject *)value)->long_value;
    uintptr_t tag = digits->lv_tag;
    int64_t sign = 1 - (int64_t)(tag & _PyLong_SIGN_MASK);
    if (tag < (2u << _PyLong_NON_SIZE_BITS)) {
        *out = sign * (int64_t)digits->ob_digit[0];
        return true;
    }
    if (tag < (3u << _PyLong_NON_SIZE_BITS)) {
        *out = sign * ((int64_t)digits->ob_digit[1] << PyLong_SHIFT | (int64_t)digits->ob_digit[0]);
        return true;
    }
    return false;
}

/* Frees an int, not a subclass's, that nobody refers to, without the detour through its type. */
static inline void
integer_free(PyObject *value)
{
#ifdef VIVARIUM_ADJUSTED_PYTHON
    extern void _PyLong_ExactDealloc(PyObject *);
    _PyLong_ExactDealloc(value);
#else
    PyObject_Free(value);
#endif
}

#endif
