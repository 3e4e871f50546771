#include "column.h"

#include <stdio.h>

#include "bulk.h"
#include "failure.h"
#include "guest.h"
#include "row.h"

typedef struct {
    PyObject_HEAD
    Column *column; /* NULL at the end */
    int64_t index;
} ColumnIterator;

static PyTypeObject *column_type, *iterator_type;

bool
column_check(PyObject *object)
{
    return Py_IS_TYPE(object, column_type);
}

static PyObject *
make_column(Block *block, const Reader *reader, int64_t start, int64_t step, int64_t length)
{
    Column *column = PyObject_New(Column, column_type);
    if (column == NULL) {
        return NULL;
    }
    column->block = (Block *)Py_NewRef((PyObject *)block);
    column->start = start;
    column->step = step;
    column->length = length;
    column->null_count = -1;
    column->layout = (MemoryLayout){0};
    if (!reader_clone(&column->reader, reader)) {
        Py_DECREF(column);
        return NULL;
    }
    column_describe_memory(column);
    return (PyObject *)column;
}

PyObject *
column_new(Block *block, const Reader *reader, int64_t length)
{
    return make_column(block, reader, 0, 1, length);
}

static void
column_dealloc(PyObject *self)
{
    Column *column = (Column *)self;
    reader_release(&column->reader);
    Py_DECREF(column->block);
    PyTypeObject *type = Py_TYPE(self);
    PyObject_Free(self);
    Py_DECREF(type);
}

int64_t
column_null_count(Column *column)
{
    if (column->null_count < 0) {
        const Reader *reader = &column->reader;
        int64_t nulls = 0;
        if (reader->type->kind == TYPE_NULL) {
            nulls = column->length;
        } else if (column->step == 1) {
            nulls = count_nulls(reader->validity, column->start, column->length);
        } else {
            for (int64_t i = 0; i < column->length; i++) {
                nulls += reader_is_null(reader, column->start + i * column->step);
            }
        }
        column->null_count = nulls;
    }
    return column->null_count;
}

/* The value at an index that is within bounds. */
static inline PyObject *
value_at(Column *column, int64_t index)
{
    int64_t row = column->start + index * column->step;
    if (failure_is_set()) {
        /* Only in a finalizer that runs while the call ends: it must not spoil the report. */
        PyErr_SetString(PyExc_RuntimeError, "the call has failed");
        return NULL;
    }
    PyObject *value = read_argument(&column->reader, row);
    if (value == NULL && !PyErr_Occurred()) {
        failure_raise(row);
    }
    return value;
}

PyObject *
column_to_list(Column *column)
{
    PyObject *list = PyList_New((Py_ssize_t)column->length);
    bool reuses = column->reader.reuses;
    FastPath fast = column->reader.fast;
    column->reader.reuses = false; /* the list keeps them all */
    column->reader.fast = FAST_NONE;
    for (int64_t i = 0; list != NULL && i < column->length; i++) {
        PyObject *value = value_at(column, i);
        if (value == NULL) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, (Py_ssize_t)i, value);
        }
    }
    column->reader.reuses = reuses;
    column->reader.fast = fast;
    return list;
}

static PyObject *
to_list(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return column_to_list((Column *)self);
}

static Py_ssize_t
column_length(PyObject *self)
{
    return (Py_ssize_t)((Column *)self)->length;
}

static PyObject *
column_item(PyObject *self, Py_ssize_t index)
{
    Column *column = (Column *)self;
    if (index < 0 || index >= column->length) {
        PyErr_SetString(PyExc_IndexError, "column index out of range");
        return NULL;
    }
    return value_at(column, index);
}

static PyObject *
column_subscript(PyObject *self, PyObject *key)
{
    Column *column = (Column *)self;
    Py_ssize_t length = (Py_ssize_t)column->length;
    if (PySlice_Check(key)) {
        Py_ssize_t start, stop, step;
        if (PySlice_Unpack(key, &start, &stop, &step) < 0) {
            return NULL;
        }
        Py_ssize_t count = PySlice_AdjustIndices(length, &start, &stop, step);
        if (count <= 1) {
            step = 1; /* a huge step may lead nowhere */
            start = count == 0 ? 0 : start;
        }
        return make_column(column->block, &column->reader, column->start + start * column->step,
                           column->step * step, count);
    }
    Py_ssize_t index = PyNumber_AsSsize_t(key, PyExc_IndexError);
    if (index == -1 && PyErr_Occurred()) {
        return NULL;
    }
    return column_item(self, index < 0 ? index + length : index);
}

static int
column_contains(PyObject *self, PyObject *wanted)
{
    Column *column = (Column *)self;
    int found = 0;
    for (int64_t i = 0; found == 0 && i < column->length; i++) {
        PyObject *value = value_at(column, i);
        if (value == NULL) {
            return -1;
        }
        found = PyObject_RichCompareBool(value, wanted, Py_EQ);
        Py_DECREF(value);
    }
    return found;
}

static PyObject *
column_repr(PyObject *self)
{
    const Column *column = (const Column *)self;
    char type[256];
    type_describe(column->reader.type, type, sizeof type);
    return PyUnicode_FromFormat("<vivarium.Column of %lld %s>", (long long)column->length, type);
}

static PyObject *
get_type(PyObject *self, void *Py_UNUSED(closure))
{
    return PyUnicode_FromString(((Column *)self)->reader.type->format);
}

static PyObject *
get_null_count(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLongLong(column_null_count((Column *)self));
}

static PyObject *
column_iterate(PyObject *self)
{
    ColumnIterator *iterator = PyObject_New(ColumnIterator, iterator_type);
    if (iterator != NULL) {
        iterator->column = (Column *)Py_NewRef(self);
        iterator->index = 0;
    }
    return (PyObject *)iterator;
}

static void
iterator_dealloc(PyObject *self)
{
    Py_XDECREF(((ColumnIterator *)self)->column);
    PyTypeObject *type = Py_TYPE(self);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *
iterator_next(PyObject *self)
{
    ColumnIterator *iterator = (ColumnIterator *)self;
    if (iterator->column == NULL) {
        return NULL;
    }
    if (iterator->index < iterator->column->length) {
        return value_at(iterator->column, iterator->index++);
    }
    Py_CLEAR(iterator->column);
    return NULL;
}

static PyObject *
iterator_length_hint(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    ColumnIterator *iterator = (ColumnIterator *)self;
    return PyLong_FromLongLong(iterator->column ? iterator->column->length - iterator->index : 0);
}

static PyMethodDef column_methods[] = {
    {"to_list", to_list, METH_NOARGS, "A list of the values, None for null."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef column_getset[] = {
    {"type", get_type, NULL, "The Arrow type as a format string.", NULL},
    {"null_count", get_null_count, NULL, "The number of nulls.", NULL},
    {"values", column_values, NULL, "A memoryview of the values, where they have a fixed width.", NULL},
    {"validity", column_validity, NULL, "A memoryview of one bit per value, or None.", NULL},
    {"offsets", column_offsets, NULL, "Where every value starts, and the last one ends.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef iterator_methods[] = {
    {"__length_hint__", iterator_length_hint, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

bool
column_init(PyObject *module)
{
    static PyType_Slot column_slots[] = {
        {Py_tp_dealloc, column_dealloc},
        {Py_tp_repr, column_repr},
        {Py_tp_iter, column_iterate},
        {Py_tp_methods, column_methods},
        {Py_tp_getset, column_getset},
        {Py_sq_length, column_length},
        {Py_sq_item, column_item},
        {Py_sq_contains, column_contains},
        {Py_mp_length, column_length},
        {Py_mp_subscript, column_subscript},
        {Py_bf_getbuffer, column_getbuffer},
        {Py_tp_doc, "A column of a batch: a sequence of its values, and views of its memory."},
        {0, NULL},
    };
    static PyType_Spec column_spec = {
        .name = "vivarium.Column",
        .basicsize = sizeof(Column),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION |
                 Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_SEQUENCE,
        .slots = column_slots,
    };
    static PyType_Slot iterator_slots[] = {
        {Py_tp_dealloc, iterator_dealloc},
        {Py_tp_iter, PyObject_SelfIter},
        {Py_tp_iternext, iterator_next},
        {Py_tp_methods, iterator_methods},
        {0, NULL},
    };
    static PyType_Spec iterator_spec = {
        .name = "vivarium._ColumnIterator",
        .basicsize = sizeof(ColumnIterator),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
        .slots = iterator_slots,
    };
    column_type = (PyTypeObject *)PyType_FromSpec(&column_spec);
    iterator_type = (PyTypeObject *)PyType_FromSpec(&iterator_spec);
    return column_type != NULL && iterator_type != NULL &&
           PyModule_AddObjectRef(module, "Column", (PyObject *)column_type) == 0;
}
