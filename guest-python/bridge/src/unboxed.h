/* Unboxed evaluation: scalar functions that calculate with numbers, run on the values of Arrow columns
 * without making Python objects.
 *
 * `vivarium/_unboxed.py` translates a function's bytecode when it is loaded. A program either gives exactly
 * what Python would, or hands the row back: then the interpreter runs it as if there were no program. So
 * nothing here raises, and whatever is rare, large, wrong or unknown is handed back. Programs have no side
 * effects: a row that is handed back starts anew. */
#ifndef VIVARIUM_UNBOXED_H
#define VIVARIUM_UNBOXED_H

#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

#include "function.h"

/* Notes what the interpreter must look like for programs to be run. Called once, before any code of a user. */
void unboxed_init(void);

/* `_vivarium.unboxed_rows()`: how many rows programs have calculated so far. */
PyObject *unboxed_count(PyObject *module, PyObject *ignored);

/* Whether columns of these types can be read and written without objects. */
bool unboxed_supports(const Type *input, const Type *output);

/* Takes what the translator made of `handler`, a function with the columns that `unboxed_supports`. NULL
 * with a failure recorded or an exception raised. */
Unboxed *unboxed_new(PyObject *program, PyObject *handler, int64_t n_parameters);
void unboxed_release(Unboxed *unboxed);

/* Whether the program still says what the function does: the handler's code, the globals and the built-in
 * functions it uses are what they were, and nothing observes calls. Takes the values of globals. */
bool unboxed_begin(Unboxed *unboxed, PyObject *handler);

/* Runs rows from `row` on until `rows`, or one that is handed back, and writes their results; which row
 * that was. -1 with MemoryError raised at the row where `*failed` says. */
int64_t unboxed_rows(Function *function, int64_t row, int64_t rows, int64_t *failed);

#endif
