#include "batch.h"

#include "column.h"

static PyTypeObject *batch_type;

bool
batch_check(PyObject *object)
{
    return Py_IS_TYPE(object, batch_type);
}

PyObject *
batch_new(PyObject *columns, Py_ssize_t rows)
{
    Batch *batch = PyObject_New(Batch, batch_type);
    if (batch == NULL) {
        Py_DECREF(columns);
        return NULL;
    }
    batch->columns = columns;
    batch->rows = rows;
    return (PyObject *)batch;
}

static void
batch_dealloc(PyObject *self)
{
    Py_DECREF(((Batch *)self)->columns);
    PyTypeObject *type = Py_TYPE(self);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *
batch_keys(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyDict_Keys(((Batch *)self)->columns);
}

static PyObject *
batch_values(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyDict_Values(((Batch *)self)->columns);
}

static PyObject *
batch_items(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyDict_Items(((Batch *)self)->columns);
}

static PyObject *
get_names(PyObject *self, void *Py_UNUSED(closure))
{
    return batch_keys(self, NULL);
}

static PyObject *
get_columns(PyObject *self, void *Py_UNUSED(closure))
{
    return batch_values(self, NULL);
}

static PyObject *
get_rows(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromSsize_t(((Batch *)self)->rows);
}

static PyObject *
batch_get(PyObject *self, PyObject *arguments)
{
    PyObject *key, *otherwise = Py_None, *column;
    if (!PyArg_ParseTuple(arguments, "O|O:get", &key, &otherwise)) {
        return NULL;
    }
    int found = PyDict_GetItemRef(((Batch *)self)->columns, key, &column);
    return found < 0 ? NULL : found ? column : Py_NewRef(otherwise);
}

static PyObject *
batch_subscript(PyObject *self, PyObject *key)
{
    return PyObject_GetItem(((Batch *)self)->columns, key);
}

static Py_ssize_t
batch_length(PyObject *self)
{
    return PyDict_GET_SIZE(((Batch *)self)->columns);
}

static int
batch_contains(PyObject *self, PyObject *key)
{
    return PyDict_Contains(((Batch *)self)->columns, key);
}

static PyObject *
batch_iterate(PyObject *self)
{
    PyObject *names = batch_keys(self, NULL);
    PyObject *iterator = names ? PyObject_GetIter(names) : NULL;
    Py_XDECREF(names);
    return iterator;
}

/* One column's values into the rows, a list of dicts. */
static bool
add_column(PyObject *rows, PyObject *name, Column *column)
{
    PyObject *values = column_to_list(column);
    for (Py_ssize_t i = 0; values != NULL && i < PyList_GET_SIZE(rows); i++) {
        if (PyDict_SetItem(PyList_GET_ITEM(rows, i), name, PyList_GET_ITEM(values, i)) < 0) {
            Py_CLEAR(values);
        }
    }
    Py_XDECREF(values);
    return values != NULL;
}

static PyObject *
to_pylist(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    const Batch *batch = (const Batch *)self;
    PyObject *rows = PyList_New(batch->rows), *name, *column;
    for (Py_ssize_t i = 0; rows != NULL && i < batch->rows; i++) {
        PyObject *row = PyDict_New();
        if (row == NULL) {
            Py_CLEAR(rows);
            break;
        }
        PyList_SET_ITEM(rows, i, row);
    }
    Py_ssize_t position = 0;
    while (rows != NULL && PyDict_Next(batch->columns, &position, &name, &column)) {
        if (!add_column(rows, name, (Column *)column)) {
            Py_CLEAR(rows);
        }
    }
    return rows;
}

static PyObject *
batch_repr(PyObject *self)
{
    const Batch *batch = (const Batch *)self;
    PyObject *names = PyDict_Keys(batch->columns);
    PyObject *text = NULL;
    if (names != NULL) {
        text = PyUnicode_FromFormat("<vivarium.RecordBatch of %zd rows with the columns %R>",
                                    batch->rows, names);
        Py_DECREF(names);
    }
    return text;
}

static PyMethodDef methods[] = {
    {"keys", batch_keys, METH_NOARGS, "The names of the columns."},
    {"values", batch_values, METH_NOARGS, "The columns."},
    {"items", batch_items, METH_NOARGS, "Pairs of name and column."},
    {"get", batch_get, METH_VARARGS, "get(name, default=None): a column."},
    {"to_pylist", to_pylist, METH_NOARGS, "A list of the rows as dicts."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"num_rows", get_rows, NULL, "The number of rows.", NULL},
    {"column_names", get_names, NULL, "The names of the columns.", NULL},
    {"columns", get_columns, NULL, "The columns.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

bool
batch_init(PyObject *module)
{
    static PyType_Slot slots[] = {
        {Py_tp_dealloc, batch_dealloc},
        {Py_tp_repr, batch_repr},
        {Py_tp_iter, batch_iterate},
        {Py_tp_methods, methods},
        {Py_tp_getset, getset},
        {Py_mp_length, batch_length},
        {Py_mp_subscript, batch_subscript},
        {Py_sq_contains, batch_contains},
        {Py_tp_doc, "A batch of rows: a mapping of column names to columns."},
        {0, NULL},
    };
    static PyType_Spec spec = {
        .name = "vivarium.RecordBatch",
        .basicsize = sizeof(Batch),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION |
                 Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_MAPPING,
        .slots = slots,
    };
    batch_type = (PyTypeObject *)PyType_FromSpec(&spec);
    return batch_type != NULL &&
           PyModule_AddObjectRef(module, "RecordBatch", (PyObject *)batch_type) == 0;
}
