/* Lists, structs and maps, in both directions. */
#include <Python.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reader.h"
#include "writer.h"

PyObject **
type_field_names(const Type *type)
{
    PyObject **names = calloc(type->n_children > 0 ? (size_t)type->n_children : 1, sizeof *names);
    PyObject *seen = PySet_New(NULL);
    if (names == NULL || seen == NULL) {
        free(names);
        Py_XDECREF(seen);
        PyErr_NoMemory();
        return NULL;
    }
    bool valid = true;
    for (int64_t i = 0; valid && i < type->n_children; i++) {
        names[i] = PyUnicode_InternFromString(type->children[i].name);
        int known = names[i] == NULL ? -1 : PySet_Contains(seen, names[i]);
        valid = known == 0 && PySet_Add(seen, names[i]) == 0;
        if (known == 1) {
            failure_set(FAILURE_SCHEMA, type->name, "a struct with two fields named `%.100s`",
                        type->children[i].name);
        }
    }
    Py_DECREF(seen);
    if (!valid) {
        for (int64_t i = 0; i < type->n_children; i++) {
            Py_XDECREF(names[i]);
        }
        free(names);
        return NULL;
    }
    return names;
}

static PyObject *
read_elements(Reader *reader, int64_t start, int64_t end)
{
    if (start < 0 || end < start || end - start > PTRDIFF_MAX) {
        return reader_reject(reader, "has offsets that decrease");
    }
    Reader *child = &reader->children[0];
    PyObject *list = PyList_New((Py_ssize_t)(end - start));
    if (list == NULL) {
        return NULL;
    }
    for (int64_t i = start; i < end; i++) {
        PyObject *item = reader_value(child, i);
        if (item == NULL) {
            Py_DECREF(list);
            return NULL;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)(i - start), item);
    }
    return list;
}

static PyObject *
read_list(Reader *reader, int64_t row)
{
    const int32_t *offsets = reader->offsets;
    return read_elements(reader, offsets[row], offsets[row + 1]);
}

static PyObject *
read_large_list(Reader *reader, int64_t row)
{
    const int64_t *offsets = reader->offsets;
    return read_elements(reader, offsets[row], offsets[row + 1]);
}

static PyObject *
read_fixed_list(Reader *reader, int64_t row)
{
    int64_t width = reader->type->width;
    return read_elements(reader, row * width, (row + 1) * width);
}

static PyObject *
read_struct(Reader *reader, int64_t row)
{
    PyObject *dict = PyDict_New();
    if (dict == NULL) {
        return NULL;
    }
    for (int64_t i = 0; i < reader->n_children; i++) {
        PyObject *value = reader_value(&reader->children[i], row);
        if (value == NULL || PyDict_SetItem(dict, reader->keys[i], value) < 0) {
            Py_XDECREF(value);
            Py_DECREF(dict);
            return NULL;
        }
        Py_DECREF(value);
    }
    return dict;
}

static PyObject *
read_map(Reader *reader, int64_t row)
{
    const int32_t *offsets = reader->offsets;
    Reader *keys = &reader->children[0].children[0];
    Reader *values = &reader->children[0].children[1];
    PyObject *dict = PyDict_New();
    if (dict == NULL) {
        return NULL;
    }
    for (int64_t i = offsets[row]; i < offsets[row + 1]; i++) {
        PyObject *key = reader_value(keys, i);
        PyObject *value = key ? reader_value(values, i) : NULL;
        int status = value ? PyDict_SetItem(dict, key, value) : -1;
        if (status < 0 && value != NULL && PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Clear();
            reader_reject(reader, "has a %.100s as key, which a dict cannot hold",
                          Py_TYPE(key)->tp_name);
        }
        Py_XDECREF(key);
        Py_XDECREF(value);
        if (status < 0) {
            Py_DECREF(dict);
            return NULL;
        }
    }
    if (PyDict_GET_SIZE(dict) != offsets[row + 1] - offsets[row]) {
        Py_DECREF(dict);
        return reader_reject(reader, "has a key twice, which a dict cannot hold");
    }
    return dict;
}

bool
reader_choose_nested(Reader *reader)
{
    switch (reader->type->kind) {
    case TYPE_LIST:
        reader->read = read_list;
        break;
    case TYPE_LARGE_LIST:
        reader->read = read_large_list;
        break;
    case TYPE_FIXED_LIST:
        reader->read = read_fixed_list;
        break;
    case TYPE_MAP:
        reader->read = read_map;
        break;
    case TYPE_STRUCT:
        reader->read = read_struct;
        reader->keys = type_field_names(reader->type);
        return reader->keys != NULL;
    default:
        return false;
    }
    reader->children[0].path.element = true;
    return true;
}

/* Records where a list ends. */
static int
push_end(Writer *writer, PyObject *value)
{
    int64_t end = writer->children[0].length;
    bool narrow = writer->layout == LAYOUT_LIST;
    if (narrow && end > INT32_MAX) {
        return writer_reject(writer, value,
                             "the column has more elements than 32-bit offsets allow");
    }
    if (!buffer_reserve(&writer->offsets, narrow ? 4 : 8)) {
        return -1;
    }
    writer_push_offset(writer, end);
    writer->length++;
    return 0;
}

static int
write_list(Writer *writer, PyObject *value)
{
    Writer *child = &writer->children[0];
    bool sequence = PyList_CheckExact(value) || PyTuple_CheckExact(value) ||
                    (PySequence_Check(value) && !PyUnicode_Check(value) && !PyBytes_Check(value) &&
                     !PyByteArray_Check(value) && !PyMemoryView_Check(value) &&
                     !PyDict_Check(value));
    if (!sequence) {
        return writer_reject(writer, value, NULL);
    }
    PyObject *items = PySequence_Fast(value, "not iterable");
    if (items == NULL) {
        return writer_reject_raised(writer, value, NULL);
    }
    /* A list can change its length while its items are converted (`__index__` runs user code). */
    Py_ssize_t count = 0;
    int status = 0;
    for (; status == 0 && count < PySequence_Fast_GET_SIZE(items); count++) {
        PyObject *item = Py_NewRef(PySequence_Fast_GET_ITEM(items, count));
        child->path.index = count;
        status = writer_append(child, item);
        Py_DECREF(item);
    }
    Py_DECREF(items);
    if (status < 0) {
        return -1;
    }
    if (writer->layout == LAYOUT_FIXED_LIST) {
        if (count != writer->type->width) {
            return writer_reject(writer, value, "wrong number of elements");
        }
        writer->length++;
        return 0;
    }
    return push_end(writer, value);
}

static int
write_struct_tuple(Writer *writer, PyObject *value)
{
    if (PyTuple_GET_SIZE(value) != writer->n_children) {
        return writer_reject(writer, value, "wrong number of fields");
    }
    for (int64_t i = 0; i < writer->n_children; i++) {
        if (writer_append(&writer->children[i], PyTuple_GET_ITEM(value, (Py_ssize_t)i)) < 0) {
            return -1;
        }
    }
    writer->length++;
    return 0;
}

/* A dict's keys that are no fields: names the first one. */
static int
reject_unknown_field(Writer *writer, PyObject *value)
{
    PyObject *key, *item;
    Py_ssize_t position = 0;
    while (PyDict_Next(value, &position, &key, &item)) {
        bool known = false;
        for (int64_t i = 0; !known && i < writer->n_children; i++) {
            known = PyUnicode_Check(key) && PyUnicode_Compare(key, writer->keys[i]) == 0;
        }
        if (!known) {
            char name[160], reason[240];
            failure_describe_value(key, name, sizeof name);
            snprintf(reason, sizeof reason, "it has no field with the key %s", name);
            return writer_reject(writer, value, reason);
        }
    }
    return writer_reject(writer, value, NULL);
}

static int
write_struct(Writer *writer, PyObject *value)
{
    if (PyTuple_Check(value)) {
        return write_struct_tuple(writer, value);
    }
    if (!PyDict_Check(value)) {
        return writer_reject(writer, value, NULL);
    }
    Py_ssize_t found = 0;
    for (int64_t i = 0; i < writer->n_children; i++) {
        Writer *child = &writer->children[i];
        PyObject *item;
        int present = PyDict_GetItemRef(value, writer->keys[i], &item);
        if (present < 0) {
            return -1;
        }
        if (present == 0 && !child->type->nullable) {
            char reason[200];
            snprintf(reason, sizeof reason, "the field `%.100s` is missing", child->type->name);
            return writer_reject(writer, value, reason);
        }
        int status = present ? writer_append(child, item) : writer_append_null(child);
        Py_XDECREF(item);
        if (status < 0) {
            return -1;
        }
        found += present;
    }
    if (found != PyDict_GET_SIZE(value)) {
        return reject_unknown_field(writer, value);
    }
    writer->length++;
    return 0;
}

static int
write_entry(Writer *writer, PyObject *key, PyObject *value)
{
    Writer *entries = &writer->children[0];
    if (key == Py_None) {
        return writer_reject(&entries->children[0], key, NULL);
    }
    if (writer_append(&entries->children[0], key) < 0 ||
        writer_append(&entries->children[1], value) < 0) {
        return -1;
    }
    entries->length++;
    return 0;
}

static int
write_map_dict(Writer *writer, PyObject *value)
{
    /* Through a snapshot: converting a value can run user code that changes the dict. */
    PyObject *items = PyDict_Items(value);
    if (items == NULL) {
        return -1;
    }
    int status = 0;
    for (Py_ssize_t i = 0; status == 0 && i < PyList_GET_SIZE(items); i++) {
        PyObject *pair = PyList_GET_ITEM(items, i);
        writer->children[0].path.index = i;
        status = write_entry(writer, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1));
    }
    Py_DECREF(items);
    return status;
}

static int
write_map_pairs(Writer *writer, PyObject *value)
{
    PyObject *items = PySequence_Tuple(value);
    if (items == NULL) {
        return writer_reject_raised(writer, value, NULL);
    }
    int status = 0;
    for (Py_ssize_t i = 0; status == 0 && i < PyTuple_GET_SIZE(items); i++) {
        PyObject *item = PyTuple_GET_ITEM(items, i);
        writer->children[0].path.index = i;
        PyObject *pair = PyTuple_Check(item) || PyList_Check(item) ? PySequence_Tuple(item) : NULL;
        if (pair != NULL && PyTuple_GET_SIZE(pair) == 2) {
            status = write_entry(writer, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1));
        } else if (!PyErr_Occurred()) {
            status = writer_reject(writer, value, "its elements are not all pairs");
        } else {
            status = -1;
        }
        Py_XDECREF(pair);
    }
    Py_DECREF(items);
    return status;
}

static int
write_map(Writer *writer, PyObject *value)
{
    int status;
    if (PyDict_Check(value)) {
        status = write_map_dict(writer, value);
    } else if (PySequence_Check(value) && !PyUnicode_Check(value) && !PyBytes_Check(value) &&
               !PyByteArray_Check(value) && !PyMemoryView_Check(value)) {
        status = write_map_pairs(writer, value);
    } else {
        return writer_reject(writer, value, NULL);
    }
    return status < 0 ? -1 : push_end(writer, value);
}

bool
writer_choose_nested(Writer *writer)
{
    switch (writer->type->kind) {
    case TYPE_LIST:
        writer->write = write_list;
        writer->layout = LAYOUT_LIST;
        break;
    case TYPE_LARGE_LIST:
        writer->write = write_list;
        writer->layout = LAYOUT_LARGE_LIST;
        break;
    case TYPE_FIXED_LIST:
        writer->write = write_list;
        writer->layout = LAYOUT_FIXED_LIST;
        break;
    case TYPE_MAP:
        writer->write = write_map;
        writer->layout = LAYOUT_LIST;
        break;
    case TYPE_STRUCT:
        writer->write = write_struct;
        writer->layout = LAYOUT_STRUCT;
        writer->keys = type_field_names(writer->type);
        return writer->keys != NULL;
    default:
        return false;
    }
    writer->children[0].path.element = true;
    return true;
}
