/* What a column shows of its memory: the buffer protocol, and views. */
#include <Python.h>

#include "column.h"
#include "schema.h"

/* How the values of a fixed-width type look as memory: one code of the struct module, or (wider
 * than that) rows of bytes. No layout for all others. */
void
column_describe_memory(Column *column)
{
    static const char *const FORMATS[] = {
        [TYPE_INT8] = "b",    [TYPE_INT16] = "h",  [TYPE_INT32] = "i",     [TYPE_INT64] = "q",
        [TYPE_UINT8] = "B",   [TYPE_UINT16] = "H", [TYPE_UINT32] = "I",    [TYPE_UINT64] = "Q",
        [TYPE_FLOAT16] = "e", [TYPE_FLOAT32] = "f", [TYPE_FLOAT64] = "d",  [TYPE_DATE32] = "i",
        [TYPE_DATE64] = "q",  [TYPE_TIME32] = "i", [TYPE_TIME64] = "q",    [TYPE_TIMESTAMP] = "q",
        [TYPE_DURATION] = "q", [TYPE_INTERVAL_MONTHS] = "i",               [TYPE_MAP] = NULL,
    };
    const Type *type = column->reader.type;
    const char *format = FORMATS[type->kind];
    bool rows_of_bytes = type->kind == TYPE_DECIMAL || type->kind == TYPE_FIXED_BINARY ||
                         type->kind == TYPE_INTERVAL_DAY_TIME ||
                         type->kind == TYPE_INTERVAL_MONTH_DAY_NANO;
    if (format == NULL && !rows_of_bytes) {
        return;
    }
    Py_ssize_t width = type->width;
    column->layout = (MemoryLayout){
        .start = column->reader.values == NULL
                     ? NULL
                     : (const char *)column->reader.values + (Py_ssize_t)column->start * width,
        .format = format ? format : "B",
        .item_size = format ? width : 1,
        .dimensions = format ? 1 : 2,
        .shape = {(Py_ssize_t)column->length, width},
        .strides = {(Py_ssize_t)column->step * width, 1},
    };
}

int
column_getbuffer(PyObject *self, Py_buffer *view, int flags)
{
    Column *column = (Column *)self;
    view->obj = NULL;
    if (column->layout.dimensions == 0) {
        char type[256];
        type_describe(column->reader.type, type, sizeof type);
        PyErr_Format(PyExc_BufferError, "a column of %s values is not one block of memory", type);
        return -1;
    }
    if (column_null_count(column) > 0) {
        PyErr_SetString(PyExc_BufferError,
                        "a column with nulls is not one block of memory: see `values` and "
                        "`validity`");
        return -1;
    }
    return layout_fill(&column->layout, self, view, flags);
}

PyObject *
column_values(PyObject *self, void *Py_UNUSED(closure))
{
    Column *column = (Column *)self;
    if (column->layout.dimensions == 0) {
        char type[256];
        type_describe(column->reader.type, type, sizeof type);
        PyErr_Format(PyExc_TypeError,
                     "`values` is for fixed-width types, not for %s: see `to_list()`", type);
        return NULL;
    }
    return block_view(column->block, &column->layout);
}

/* The bits of a part of a column, moved to the front. */
static PyObject *
gather_validity(Column *column)
{
    Py_ssize_t size = (Py_ssize_t)((column->length + 7) / 8);
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, size);
    if (bytes == NULL) {
        return NULL;
    }
    char *bits = PyBytes_AS_STRING(bytes);
    for (Py_ssize_t i = 0; i < size; i++) {
        bits[i] = 0;
    }
    for (int64_t i = 0; i < column->length; i++) {
        bool valid = !reader_is_null(&column->reader, column->start + i * column->step);
        bits[i >> 3] = (char)(bits[i >> 3] | valid << (i & 7));
    }
    PyObject *view = PyMemoryView_FromObject(bytes);
    Py_DECREF(bytes);
    return view;
}

PyObject *
column_validity(PyObject *self, void *Py_UNUSED(closure))
{
    Column *column = (Column *)self;
    if (column->reader.validity == NULL || column_null_count(column) == 0) {
        Py_RETURN_NONE;
    }
    if ((column->start & 7) != 0 || column->step != 1) {
        return gather_validity(column);
    }
    MemoryLayout layout = {
        .start = column->reader.validity + column->start / 8,
        .format = "B",
        .item_size = 1,
        .dimensions = 1,
        .shape = {(Py_ssize_t)((column->length + 7) / 8)},
        .strides = {1},
    };
    return block_view(column->block, &layout);
}

PyObject *
column_offsets(PyObject *self, void *Py_UNUSED(closure))
{
    Column *column = (Column *)self;
    TypeKind kind = column->reader.type->kind;
    bool large =
        kind == TYPE_LARGE_UTF8 || kind == TYPE_LARGE_BINARY || kind == TYPE_LARGE_LIST;
    bool small =
        kind == TYPE_UTF8 || kind == TYPE_BINARY || kind == TYPE_LIST || kind == TYPE_MAP;
    if ((!large && !small) || column->step != 1 || column->reader.offsets == NULL) {
        PyErr_SetString(PyExc_TypeError, "`offsets` is for strings, binaries, lists and maps, and "
                                         "not for slices with a step");
        return NULL;
    }
    Py_ssize_t width = large ? 8 : 4;
    MemoryLayout layout = {
        .start = (const char *)column->reader.offsets + (Py_ssize_t)column->start * width,
        .format = large ? "q" : "i",
        .item_size = width,
        .dimensions = 1,
        .shape = {(Py_ssize_t)column->length + 1},
        .strides = {width},
    };
    return block_view(column->block, &layout);
}

