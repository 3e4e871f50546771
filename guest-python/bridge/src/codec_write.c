/* Writers of types without children. */
#include <Python.h>

#include <limits.h>
#include <math.h>
#include <string.h>

#include "guest.h"
#include "integers.h"
#include "text.h"
#include "writer.h"

int
writer_reject(Writer *writer, PyObject *value, const char *reason)
{
    char expected[256], got[512];
    type_describe(writer->type, expected, sizeof expected);
    if (value == Py_None) {
        failure_set_at(FAILURE_RESULT, &writer->path, "None for a NOT NULL result (expected %s)",
                       expected);
        return -1;
    }
    failure_describe_value(value, got, sizeof got);
    failure_set_at(FAILURE_RESULT, &writer->path, "expected %s, got %s%s%s", expected, got,
                   reason ? ": " : "", reason ? reason : "");
    return -1;
}

int
writer_reject_raised(Writer *writer, PyObject *value, const char *reason)
{
    PyObject *exception = PyErr_GetRaisedException();
    bool ours = PyErr_GivenExceptionMatches(exception, PyExc_TypeError) ||
                PyErr_GivenExceptionMatches(exception, PyExc_ValueError) ||
                PyErr_GivenExceptionMatches(exception, PyExc_OverflowError);
    PyObject *traceback = PyException_GetTraceback(exception);
    Py_XDECREF(traceback);
    if (!ours || traceback != NULL) { /* with a traceback it comes from the user's own code */
        PyErr_SetRaisedException(exception);
        return -1;
    }
    Py_DECREF(exception);
    return writer_reject(writer, value, reason);
}

static int
write_null(Writer *writer, PyObject *value)
{
    return writer_reject(writer, value, NULL);
}

static int
write_bool(Writer *writer, PyObject *value)
{
    if (value != Py_True && value != Py_False) {
        return writer_reject(writer, value, NULL);
    }
    int64_t bit = writer->length;
    if ((bit & 7) == 0) {
        if (!buffer_reserve(&writer->values, 1)) {
            return -1;
        }
        writer->values.data[writer->values.size++] = 0;
    }
    if (value == Py_True) {
        writer->values.data[bit >> 3] |= (uint8_t)(1u << (bit & 7));
    }
    writer->length++;
    return 0;
}

/* Turns what is accepted as an integer into an exact or derived int; a new reference. */
static PyObject *
take_integer(Writer *writer, PyObject *value)
{
    if (PyFloat_Check(value)) {
        double number = PyFloat_AS_DOUBLE(value);
        if (!isfinite(number) || number != floor(number)) {
            writer_reject(writer, value, isfinite(number) ? "it has a fraction" : NULL);
            return NULL;
        }
        return PyLong_FromDouble(number);
    }
    if (!PyIndex_Check(value)) {
        writer_reject(writer, value, NULL);
        return NULL;
    }
    PyObject *integer = PyNumber_Index(value);
    if (integer == NULL) {
        writer_reject_raised(writer, value, "its __index__ does not give an int");
    }
    return integer;
}

int
writer_take_int64(Writer *writer, PyObject *value, int64_t *out)
{
    if (PyLong_CheckExact(value) && integer_small_value(value, out)) {
        return 0;
    }
    PyObject *integer = take_integer(writer, value);
    if (integer == NULL) {
        return -1;
    }
    int overflow;
    *out = PyLong_AsLongLongAndOverflow(integer, &overflow);
    Py_DECREF(integer);
    if (overflow != 0) {
        return writer_reject(writer, value, "out of range");
    }
    return 0;
}

#define INTEGER_WRITER(name, ctype, min, max)                          \
    static int name(Writer *writer, PyObject *value)                   \
    {                                                                  \
        int64_t number;                                                \
        if (writer_take_int64(writer, value, &number) < 0) {           \
            return -1;                                                 \
        }                                                              \
        if (number < (min) || number > (max)) {                        \
            return writer_reject(writer, value, "out of range");       \
        }                                                              \
        ctype *slot = writer_slot(writer, sizeof(ctype));              \
        if (slot == NULL) {                                            \
            return -1;                                                 \
        }                                                              \
        *slot = (ctype)number;                                         \
        return 0;                                                      \
    }

INTEGER_WRITER(write_int8, int8_t, INT8_MIN, INT8_MAX)
INTEGER_WRITER(write_int16, int16_t, INT16_MIN, INT16_MAX)
INTEGER_WRITER(write_int32, int32_t, INT32_MIN, INT32_MAX)
INTEGER_WRITER(write_uint8, uint8_t, 0, UINT8_MAX)
INTEGER_WRITER(write_uint16, uint16_t, 0, UINT16_MAX)
INTEGER_WRITER(write_uint32, uint32_t, 0, UINT32_MAX)

static int
write_int64(Writer *writer, PyObject *value)
{
    int64_t number;
    if (writer_take_int64(writer, value, &number) < 0) {
        return -1;
    }
    int64_t *slot = writer_slot(writer, sizeof(int64_t));
    if (slot == NULL) {
        return -1;
    }
    *slot = number;
    return 0;
}

static int
write_uint64(Writer *writer, PyObject *value)
{
    uint64_t number;
    int64_t small;
    if (PyLong_CheckExact(value) && integer_small_value(value, &small) && small >= 0) {
        number = (uint64_t)small;
    } else {
        PyObject *integer = take_integer(writer, value);
        if (integer == NULL) {
            return -1;
        }
        number = PyLong_AsUnsignedLongLong(integer);
        Py_DECREF(integer);
        if (number == UINT64_MAX && PyErr_Occurred()) {
            return writer_reject_raised(writer, value, "out of range");
        }
    }
    uint64_t *slot = writer_slot(writer, sizeof(uint64_t));
    if (slot == NULL) {
        return -1;
    }
    *slot = number;
    return 0;
}

static int
take_double(Writer *writer, PyObject *value, double *out)
{
    if (PyFloat_CheckExact(value)) {
        *out = PyFloat_AS_DOUBLE(value);
        return 0;
    }
    if (PyUnicode_Check(value)) {
        return writer_reject(writer, value, NULL);
    }
    *out = PyFloat_AsDouble(value);
    if (*out == -1.0 && PyErr_Occurred()) {
        bool overflow = PyErr_ExceptionMatches(PyExc_OverflowError);
        return writer_reject_raised(writer, value, overflow ? "out of range" : NULL);
    }
    return 0;
}

static int
write_float64(Writer *writer, PyObject *value)
{
    double number;
    if (take_double(writer, value, &number) < 0) {
        return -1;
    }
    double *slot = writer_slot(writer, sizeof(double));
    if (slot == NULL) {
        return -1;
    }
    *slot = number;
    return 0;
}

static int
write_float32(Writer *writer, PyObject *value)
{
    double number;
    if (take_double(writer, value, &number) < 0) {
        return -1;
    }
    float narrow = (float)number;
    if (isinf(narrow) && !isinf(number)) {
        return writer_reject(writer, value, "out of range");
    }
    float *slot = writer_slot(writer, sizeof(float));
    if (slot == NULL) {
        return -1;
    }
    *slot = narrow;
    return 0;
}

static int
write_float16(Writer *writer, PyObject *value)
{
    double number;
    char bytes[2];
    if (take_double(writer, value, &number) < 0) {
        return -1;
    }
    if (PyFloat_Pack2(number, bytes, PY_LITTLE_ENDIAN) < 0) {
        return writer_reject_raised(writer, value, "out of range");
    }
    char *slot = writer_slot(writer, 2);
    if (slot == NULL) {
        return -1;
    }
    memcpy(slot, bytes, 2);
    return 0;
}

/* Room for one more value of `length` bytes, its offset recorded; NULL on failure. */
static uint8_t *
bytes_slot(Writer *writer, PyObject *value, size_t length)
{
    Buffer *values = &writer->values;
    if (writer->layout == LAYOUT_BYTES && length > (size_t)INT32_MAX - values->size) {
        writer_reject(writer, value, "the column exceeds 2 GiB, which its 32-bit offsets allow");
        return NULL;
    }
    size_t width = writer->layout == LAYOUT_BYTES ? 4 : 8;
    if (!buffer_reserve(values, length) || !buffer_reserve(&writer->offsets, width)) {
        return NULL;
    }
    uint8_t *slot = values->data + values->size;
    values->size += length;
    writer_push_offset(writer, (int64_t)values->size);
    writer->length++;
    return slot;
}

/* Length of a str in UTF-8; -1 if it holds lone surrogates. */
static int64_t
utf8_length(PyObject *text)
{
    Py_ssize_t length = PyUnicode_GET_LENGTH(text);
    int64_t bytes = 0;
    int kind = PyUnicode_KIND(text);
    const void *data = PyUnicode_DATA(text);
    for (Py_ssize_t i = 0; i < length; i++) {
        Py_UCS4 c = PyUnicode_READ(kind, data, i);
        if (c >= 0xD800 && c < 0xE000) {
            return -1;
        }
        bytes += 1 + (c >= 0x80) + (c >= 0x800) + (c >= 0x10000);
    }
    return bytes;
}

static void
utf8_encode(PyObject *text, uint8_t *out)
{
    Py_ssize_t length = PyUnicode_GET_LENGTH(text);
    int kind = PyUnicode_KIND(text);
    const void *data = PyUnicode_DATA(text);
    for (Py_ssize_t i = 0; i < length; i++) {
        Py_UCS4 c = PyUnicode_READ(kind, data, i);
        if (c < 0x80) {
            *out++ = (uint8_t)c;
        } else if (c < 0x800) {
            *out++ = (uint8_t)(0xC0 | c >> 6);
            *out++ = (uint8_t)(0x80 | (c & 0x3F));
        } else if (c < 0x10000) {
            *out++ = (uint8_t)(0xE0 | c >> 12);
            *out++ = (uint8_t)(0x80 | (c >> 6 & 0x3F));
            *out++ = (uint8_t)(0x80 | (c & 0x3F));
        } else {
            *out++ = (uint8_t)(0xF0 | c >> 18);
            *out++ = (uint8_t)(0x80 | (c >> 12 & 0x3F));
            *out++ = (uint8_t)(0x80 | (c >> 6 & 0x3F));
            *out++ = (uint8_t)(0x80 | (c & 0x3F));
        }
    }
}

int
write_utf8(Writer *writer, PyObject *value)
{
    if (!PyUnicode_Check(value)) {
        return writer_reject(writer, value, NULL);
    }
    if (PyUnicode_IS_ASCII(value)) {
        size_t length = (size_t)PyUnicode_GET_LENGTH(value);
        uint8_t *slot = bytes_slot(writer, value, length);
        if (slot == NULL) {
            return -1;
        }
        copy_short(slot, PyUnicode_DATA(value), length);
        return 0;
    }
    int64_t length = utf8_length(value);
    if (length < 0) {
        return writer_reject(writer, value, "it holds surrogates, which UTF-8 does not allow");
    }
    if ((uint64_t)length > SIZE_MAX / 2) {
        PyErr_NoMemory();
        return -1;
    }
    uint8_t *slot = bytes_slot(writer, value, (size_t)length);
    if (slot == NULL) {
        return -1;
    }
    utf8_encode(value, slot);
    return 0;
}

static int
write_view(Writer *writer, PyObject *value)
{
    Py_buffer view;
    if (PyObject_GetBuffer(value, &view, PyBUF_FULL_RO) < 0) {
        return writer_reject_raised(writer, value, "its memory cannot be read");
    }
    int status = -1;
    bool fixed = writer->layout == LAYOUT_FIXED;
    if (fixed && view.len != writer->type->width) {
        writer_reject(writer, value, "wrong length");
    } else {
        uint8_t *slot = fixed ? writer_slot(writer, (size_t)view.len)
                              : bytes_slot(writer, value, (size_t)view.len);
        if (slot != NULL) {
            status = PyBuffer_ToContiguous(slot, &view, view.len, 'C');
        }
    }
    PyBuffer_Release(&view);
    return status;
}

int
write_bytes_like(Writer *writer, PyObject *value)
{
    if (PyBytes_Check(value)) {
        size_t length = (size_t)PyBytes_GET_SIZE(value);
        uint8_t *slot;
        if (writer->layout == LAYOUT_FIXED) {
            if (length != (size_t)writer->type->width) {
                return writer_reject(writer, value, "wrong length");
            }
            slot = writer_slot(writer, length);
        } else {
            slot = bytes_slot(writer, value, length);
        }
        if (slot == NULL) {
            return -1;
        }
        copy_short(slot, (const uint8_t *)PyBytes_AS_STRING(value), length);
        return 0;
    }
    if (PyByteArray_Check(value) || PyMemoryView_Check(value)) {
        return write_view(writer, value);
    }
    return writer_reject(writer, value, NULL);
}

static const struct {
    WriteFunction write;
    Layout layout;
} PLAIN_WRITERS[] = {
    [TYPE_NULL] = {write_null, LAYOUT_NULL},
    [TYPE_BOOL] = {write_bool, LAYOUT_BITS},
    [TYPE_INT8] = {write_int8, LAYOUT_FIXED},
    [TYPE_INT16] = {write_int16, LAYOUT_FIXED},
    [TYPE_INT32] = {write_int32, LAYOUT_FIXED},
    [TYPE_INT64] = {write_int64, LAYOUT_FIXED},
    [TYPE_UINT8] = {write_uint8, LAYOUT_FIXED},
    [TYPE_UINT16] = {write_uint16, LAYOUT_FIXED},
    [TYPE_UINT32] = {write_uint32, LAYOUT_FIXED},
    [TYPE_UINT64] = {write_uint64, LAYOUT_FIXED},
    [TYPE_FLOAT16] = {write_float16, LAYOUT_FIXED},
    [TYPE_FLOAT32] = {write_float32, LAYOUT_FIXED},
    [TYPE_FLOAT64] = {write_float64, LAYOUT_FIXED},
    [TYPE_DECIMAL] = {write_decimal, LAYOUT_FIXED},
    [TYPE_UTF8] = {write_utf8, LAYOUT_BYTES},
    [TYPE_LARGE_UTF8] = {write_utf8, LAYOUT_LARGE_BYTES},
    [TYPE_BINARY] = {write_bytes_like, LAYOUT_BYTES},
    [TYPE_LARGE_BINARY] = {write_bytes_like, LAYOUT_LARGE_BYTES},
    [TYPE_FIXED_BINARY] = {write_bytes_like, LAYOUT_FIXED},
    [TYPE_INTERVAL_MONTHS] = {write_int32, LAYOUT_FIXED},
    [TYPE_MAP] = {NULL, LAYOUT_NULL},
};

bool
writer_choose_plain(Writer *writer)
{
    TypeKind kind = writer->type->kind;
    writer->write = PLAIN_WRITERS[kind].write;
    writer->layout = PLAIN_WRITERS[kind].layout;
    writer->fast = kind == TYPE_INT64     ? FAST_INT64
                   : kind == TYPE_FLOAT64 ? FAST_FLOAT64
                                          : FAST_NONE;
    return writer->write != NULL;
}
