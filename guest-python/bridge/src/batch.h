/* `vivarium.RecordBatch`: the columns of a batch by name. */
#ifndef VIVARIUM_BATCH_H
#define VIVARIUM_BATCH_H

#include <Python.h>

#include <stdbool.h>

typedef struct {
    PyObject_HEAD
    PyObject *columns; /* dict: name -> Column */
    Py_ssize_t rows;
} Batch;

/* Creates the type and adds it to the module. Raises and returns false on failure. */
bool batch_init(PyObject *module);

bool batch_check(PyObject *object);

/* Takes over the reference to the dict of columns, even on failure. Raises. */
PyObject *batch_new(PyObject *columns, Py_ssize_t rows);

#endif
