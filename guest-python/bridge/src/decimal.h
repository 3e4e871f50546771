/* Exact conversion between Arrow decimals and decimal.Decimal. */
#ifndef VIVARIUM_DECIMAL_H
#define VIVARIUM_DECIMAL_H

#include <Python.h>

#include <stdbool.h>

/* Checks once whether the memory layout of Decimal is the one that the fast path knows; without
 * it every value travels as text. Needs `guest.decimal`. */
void decimal_init(void);

/* Whether a Decimal is neither infinite nor NaN. */
bool decimal_is_finite(PyObject *value);

#endif
