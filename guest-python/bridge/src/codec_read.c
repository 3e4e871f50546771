/* Readers of types without children, and the choice of a reader for a type. */
#include <Python.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "extension.h"
#include "reader.h"
#include "text.h"

PyObject *
reader_reject(Reader *reader, const char *format, ...)
{
    char reason[512], expected[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    type_describe(reader->type, expected, sizeof expected);
    failure_set_at(FAILURE_ARGUMENT, &reader->path, "%s value %s", expected, reason);
    return NULL;
}

static PyObject *
read_null(Reader *Py_UNUSED(reader), int64_t Py_UNUSED(row))
{
    return Py_None;
}

static PyObject *
read_bool(Reader *reader, int64_t row)
{
    return bit_is_set(reader->values, row) ? Py_True : Py_False;
}

#define INTEGER_READER(name, ctype, convert)                               \
    static PyObject *name(Reader *reader, int64_t row)                     \
    {                                                                      \
        ctype value = ((const ctype *)reader->values)[row];                \
        return reader->reuses ? spare_integer(&reader->spare, (int64_t)value) : convert(value); \
    }

INTEGER_READER(read_int8, int8_t, PyLong_FromLong)
INTEGER_READER(read_int16, int16_t, PyLong_FromLong)
INTEGER_READER(read_int32, int32_t, PyLong_FromLong)
INTEGER_READER(read_int64, int64_t, PyLong_FromLongLong)
INTEGER_READER(read_uint8, uint8_t, PyLong_FromLong)
INTEGER_READER(read_uint16, uint16_t, PyLong_FromLong)
INTEGER_READER(read_uint32, uint32_t, PyLong_FromUnsignedLongLong)

static PyObject *
read_uint64(Reader *reader, int64_t row)
{
    return PyLong_FromUnsignedLongLong(((const uint64_t *)reader->values)[row]);
}

static PyObject *
float_object(Reader *reader, double value)
{
    return reader->reuses ? spare_float(&reader->spare, value) : PyFloat_FromDouble(value);
}

static PyObject *
read_float16(Reader *reader, int64_t row)
{
    double value = PyFloat_Unpack2((const char *)reader->values + 2 * row, PY_LITTLE_ENDIAN);
    if (value == -1.0 && PyErr_Occurred()) {
        return NULL;
    }
    return float_object(reader, value);
}

static PyObject *
read_float32(Reader *reader, int64_t row)
{
    return float_object(reader, (double)((const float *)reader->values)[row]);
}

static PyObject *
read_float64(Reader *reader, int64_t row)
{
    return float_object(reader, ((const double *)reader->values)[row]);
}

static PyObject *
read_text(Reader *reader, int64_t start, int64_t end)
{
    if (start < 0 || end < start || end - start > PTRDIFF_MAX) {
        return reader_reject(reader, "has offsets that decrease");
    }
    const uint8_t *data = (const uint8_t *)reader->values + start;
    size_t length = (size_t)(end - start);
    if (reader->reuses && length > 1 && length <= MAX_SPARE_TEXT && is_ascii(data, length)) {
        return spare_text(&reader->spare, data, length);
    }
    PyObject *text = text_from_utf8(data, length);
    if (text == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
        PyErr_Clear();
        return reader_reject(reader, "is not valid UTF-8");
    }
    return text;
}

static PyObject *
read_bytes(Reader *reader, int64_t start, int64_t end)
{
    if (start < 0 || end < start || end - start > PTRDIFF_MAX) {
        return reader_reject(reader, "has offsets that decrease");
    }
    return PyBytes_FromStringAndSize((const char *)reader->values + start,
                                     (Py_ssize_t)(end - start));
}

static PyObject *
read_utf8(Reader *reader, int64_t row)
{
    const int32_t *offsets = reader->offsets;
    return read_text(reader, offsets[row], offsets[row + 1]);
}

static PyObject *
read_large_utf8(Reader *reader, int64_t row)
{
    const int64_t *offsets = reader->offsets;
    return read_text(reader, offsets[row], offsets[row + 1]);
}

static PyObject *
read_binary(Reader *reader, int64_t row)
{
    const int32_t *offsets = reader->offsets;
    return read_bytes(reader, offsets[row], offsets[row + 1]);
}

static PyObject *
read_large_binary(Reader *reader, int64_t row)
{
    const int64_t *offsets = reader->offsets;
    return read_bytes(reader, offsets[row], offsets[row + 1]);
}

static PyObject *
read_fixed_binary(Reader *reader, int64_t row)
{
    int64_t width = reader->type->width;
    return read_bytes(reader, row * width, (row + 1) * width);
}

static const ReadFunction PLAIN_READERS[] = {
    [TYPE_NULL] = read_null,
    [TYPE_BOOL] = read_bool,
    [TYPE_INT8] = read_int8,
    [TYPE_INT16] = read_int16,
    [TYPE_INT32] = read_int32,
    [TYPE_INT64] = read_int64,
    [TYPE_UINT8] = read_uint8,
    [TYPE_UINT16] = read_uint16,
    [TYPE_UINT32] = read_uint32,
    [TYPE_UINT64] = read_uint64,
    [TYPE_FLOAT16] = read_float16,
    [TYPE_FLOAT32] = read_float32,
    [TYPE_FLOAT64] = read_float64,
    [TYPE_DECIMAL] = read_decimal,
    [TYPE_UTF8] = read_utf8,
    [TYPE_LARGE_UTF8] = read_large_utf8,
    [TYPE_BINARY] = read_binary,
    [TYPE_LARGE_BINARY] = read_large_binary,
    [TYPE_FIXED_BINARY] = read_fixed_binary,
    [TYPE_INTERVAL_MONTHS] = read_int32,
    [TYPE_MAP] = NULL,
};

static bool
choose(Reader *reader)
{
    reader->read = PLAIN_READERS[reader->type->kind];
    reader->reuses = reader->path.parent == NULL;
    reader->fast = reader->type->kind == TYPE_INT64     ? FAST_INT64
                   : reader->type->kind == TYPE_FLOAT64 ? FAST_FLOAT64
                                                        : FAST_NONE;
    if (reader->read == NULL && !reader_choose_temporal(reader) && !reader_choose_nested(reader)) {
        return false;
    }
    if (reader->type->extension == EXTENSION_JSON) {
        /* Binary storage holds text, too. */
        TypeKind kind = reader->type->kind;
        bool large = kind == TYPE_LARGE_UTF8 || kind == TYPE_LARGE_BINARY;
        reader->read = large ? read_large_utf8 : read_utf8;
    }
    extension_choose_reader(reader);
    return true;
}

bool
reader_build(Reader *reader, const Type *type, const Path *parent)
{
    *reader = (Reader){.type = type, .path = {.name = type->name, .parent = parent, .index = -1}};
    if (type->n_children > 0) {
        reader->children = calloc((size_t)type->n_children, sizeof(Reader));
        if (reader->children == NULL) {
            PyErr_NoMemory();
            return false;
        }
        reader->n_children = type->n_children;
        for (int64_t i = 0; i < type->n_children; i++) {
            if (!reader_build(&reader->children[i], &type->children[i], &reader->path)) {
                return false;
            }
        }
    }
    if (!choose(reader)) {
        if (!failure_is_set() && !PyErr_Occurred()) {
            failure_set(FAILURE_SCHEMA, type->name, "a type without a reader");
        }
        return false;
    }
    return true;
}

bool
reader_clone(Reader *clone, const Reader *reader)
{
    *clone = *reader;
    clone->spare = (Spare){0};
    clone->is_clone = true;
    clone->children = NULL;
    clone->n_children = 0;
    Py_XINCREF(clone->zone);
    if (reader->n_children > 0) {
        clone->children = calloc((size_t)reader->n_children, sizeof(Reader));
        if (clone->children == NULL) {
            PyErr_NoMemory();
            return false;
        }
        for (int64_t i = 0; i < reader->n_children; i++) {
            clone->n_children = i + 1;
            if (!reader_clone(&clone->children[i], &reader->children[i])) {
                return false;
            }
        }
    }
    return true;
}

void
reader_release(Reader *reader)
{
    for (int64_t i = 0; i < reader->n_children; i++) {
        if (reader->keys != NULL && !reader->is_clone) {
            Py_XDECREF(reader->keys[i]);
        }
        reader_release(&reader->children[i]);
    }
    if (!reader->is_clone) {
        free(reader->keys);
    }
    free(reader->children);
    Py_XDECREF(reader->zone);
    Py_XDECREF(reader->spare.object);
    *reader = (Reader){0};
}

/* Number of buffers of an array of this type. */
static int64_t
buffer_count(TypeKind kind)
{
    switch (kind) {
    case TYPE_NULL:
        return 0;
    case TYPE_STRUCT:
    case TYPE_FIXED_LIST:
        return 1;
    case TYPE_UTF8:
    case TYPE_LARGE_UTF8:
    case TYPE_BINARY:
    case TYPE_LARGE_BINARY:
        return 3;
    default:
        return 2;
    }
}

bool
reader_bind(Reader *reader, const ArrowArray *array)
{
    TypeKind kind = reader->type->kind;
    int64_t buffers = buffer_count(kind);
    if (array->offset != 0 || array->n_buffers != buffers ||
        array->n_children != reader->n_children) {
        failure_set(FAILURE_INTERNAL, path_root(&reader->path),
                    "an input array with offset %lld, %lld buffers and %lld children",
                    (long long)array->offset, (long long)array->n_buffers,
                    (long long)array->n_children);
        return false;
    }
    reader->validity = buffers > 0 && array->null_count != 0 ? array->buffers[0] : NULL;
    reader->offsets = reader->values = NULL;
    if (kind == TYPE_LIST || kind == TYPE_LARGE_LIST || kind == TYPE_MAP) {
        reader->offsets = array->buffers[1];
    } else if (buffers == 3) {
        reader->offsets = array->buffers[1];
        reader->values = array->buffers[2];
    } else if (buffers == 2) {
        reader->values = array->buffers[1];
    }
    for (int64_t i = 0; i < reader->n_children; i++) {
        if (!reader_bind(&reader->children[i], array->children[i])) {
            return false;
        }
    }
    return true;
}
