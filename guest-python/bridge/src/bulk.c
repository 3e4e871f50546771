#include "bulk.h"

#include <string.h>

#include "column.h"
#include "row.h"

int64_t
count_nulls(const uint8_t *bits, int64_t start, int64_t count)
{
    int64_t nulls = 0, end = start + count, i = start;
    if (bits == NULL) {
        return 0;
    }
    for (; i < end && (i & 7) != 0; i++) {
        nulls += !bit_is_set(bits, i);
    }
    for (; i + 8 <= end; i += 8) {
        nulls += 8 - __builtin_popcount(bits[i >> 3]);
    }
    for (; i < end; i++) {
        nulls += !bit_is_set(bits, i);
    }
    return nulls;
}

static bool
same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool
type_is_copied(const Type *from, const Type *to)
{
    if (from->kind != to->kind || from->width != to->width || from->precision != to->precision ||
        from->scale != to->scale || from->unit != to->unit || from->extension != to->extension ||
        from->n_children != to->n_children || !same_text(from->timezone, to->timezone)) {
        return false;
    }
    for (int64_t i = 0; i < from->n_children; i++) {
        const Type *inner = &from->children[i], *wanted = &to->children[i];
        if ((inner->nullable && !wanted->nullable) || !type_is_copied(inner, wanted) ||
            (from->kind == TYPE_STRUCT && strcmp(inner->name, wanted->name) != 0)) {
            return false;
        }
    }
    return true;
}

static bool
append_validity(Writer *writer, const Reader *reader, int64_t start, int64_t count)
{
    int64_t nulls = count_nulls(reader->validity, start, count), at = writer->length;
    if (nulls == 0) {
        return true;
    }
    if (!writer_extend_validity(writer, at + count)) {
        return false;
    }
    for (int64_t i = 0; i < count; i++) {
        if (!bit_is_set(reader->validity, start + i)) {
            writer->validity.data[(at + i) >> 3] &= (uint8_t)~(1u << ((at + i) & 7));
        }
    }
    writer->null_count += nulls;
    return true;
}

static bool
append_bits(Writer *writer, const uint8_t *bits, int64_t start, int64_t count)
{
    Buffer *values = &writer->values;
    size_t size = (size_t)((writer->length + count + 7) >> 3);
    if (size > values->size) {
        size_t extra = size - values->size;
        if (!buffer_reserve(values, extra)) {
            return false;
        }
        memset(values->data + values->size, 0, extra);
        values->size = size;
    }
    for (int64_t i = 0; i < count; i++) {
        int64_t bit = writer->length + i;
        values->data[bit >> 3] |= (uint8_t)(bit_is_set(bits, start + i) << (bit & 7));
    }
    return true;
}

static bool
append_bytes(Buffer *buffer, const void *from, size_t size)
{
    if (!buffer_reserve(buffer, size)) {
        return false;
    }
    if (size > 0) {
        memcpy(buffer->data + buffer->size, from, size);
        buffer->size += size;
    }
    return true;
}

static int64_t
offset_at(const Reader *reader, bool large, int64_t row)
{
    return large ? ((const int64_t *)reader->offsets)[row]
                 : ((const int32_t *)reader->offsets)[row];
}

/* Appends offsets whose values start at `end` in the writer. False if they exceed 32 bits (a
 * failure is recorded), or after MemoryError. */
static bool
append_offsets(Writer *writer, const Reader *reader, int64_t start, int64_t count, int64_t end)
{
    bool large = writer->layout == LAYOUT_LARGE_BYTES || writer->layout == LAYOUT_LARGE_LIST;
    int64_t first = offset_at(reader, large, start);
    if (!large && end + offset_at(reader, large, start + count) - first > INT32_MAX) {
        failure_set_at(FAILURE_RESULT, &writer->path,
                       "the column has more data than its 32-bit offsets allow");
        return false;
    }
    if (!buffer_reserve(&writer->offsets, (size_t)count * (large ? 8 : 4))) {
        return false;
    }
    for (int64_t i = 1; i <= count; i++) {
        writer_push_offset(writer, end + offset_at(reader, large, start + i) - first);
    }
    return true;
}

static bool
append_values(Writer *writer, const Reader *reader, int64_t start, int64_t count)
{
    bool large = writer->layout == LAYOUT_LARGE_BYTES || writer->layout == LAYOUT_LARGE_LIST;
    size_t width = (size_t)writer->type->width;
    int64_t first, last;
    switch (writer->layout) {
    case LAYOUT_NULL:
        writer->null_count += count;
        return true;
    case LAYOUT_BITS:
        return append_bits(writer, reader->values, start, count);
    case LAYOUT_FIXED:
        return append_bytes(&writer->values,
                            (const uint8_t *)reader->values + width * (size_t)start,
                            width * (size_t)count);
    case LAYOUT_BYTES:
    case LAYOUT_LARGE_BYTES:
        first = offset_at(reader, large, start);
        last = offset_at(reader, large, start + count);
        return append_offsets(writer, reader, start, count, (int64_t)writer->values.size) &&
               append_bytes(&writer->values, (const uint8_t *)reader->values + first,
                            (size_t)(last - first));
    case LAYOUT_LIST:
    case LAYOUT_LARGE_LIST:
        first = offset_at(reader, large, start);
        last = offset_at(reader, large, start + count);
        return append_offsets(writer, reader, start, count, writer->children[0].length) &&
               writer_append_rows(&writer->children[0], &reader->children[0], first,
                                  last - first) == 0;
    case LAYOUT_FIXED_LIST:
        return writer_append_rows(&writer->children[0], &reader->children[0],
                                  start * writer->type->width, count * writer->type->width) == 0;
    case LAYOUT_STRUCT:
        for (int64_t i = 0; i < writer->n_children; i++) {
            if (writer_append_rows(&writer->children[i], &reader->children[i], start, count) < 0) {
                return false;
            }
        }
        return true;
    }
    return false;
}

int
writer_append_rows(Writer *writer, const Reader *reader, int64_t start, int64_t count)
{
    if (count == 0) {
        return 0;
    }
    if ((writer->layout != LAYOUT_NULL && !append_validity(writer, reader, start, count)) ||
        !append_values(writer, reader, start, count)) {
        return -1;
    }
    writer->length += count;
    return 0;
}

/* ---- What a function returned for a column ---- */

static int
reject_length(Writer *writer, int64_t expected, int64_t got, bool more)
{
    failure_set_at(FAILURE_RESULT, &writer->path,
                   "expected %lld values (one per row), got %lld%s", (long long)expected,
                   (long long)got, more ? " or more" : "");
    return -1;
}

static int
reject_column(Writer *writer, PyObject *value)
{
    char expected[256], got[512];
    type_describe(writer->type, expected, sizeof expected);
    failure_describe_value(value, got, sizeof got);
    failure_set_at(FAILURE_RESULT, &writer->path,
                   "expected a Column, a buffer or a sequence of %s values, got %s", expected, got);
    return -1;
}

static int
append_column(Writer *writer, const Column *column)
{
    if (column->step == 1 || column->length == 0) {
        return writer_append_rows(writer, &column->reader, column->start, column->length);
    }
    for (int64_t i = 0; i < column->length; i++) {
        if (writer_append_rows(writer, &column->reader, column->start + i * column->step, 1) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Whether items of this format are values of the writer's type as they are. */
static bool
format_matches(const Type *type, const char *format, Py_ssize_t item_size)
{
    static const char *const CODES[] = {
        [TYPE_BOOL] = "?",
        [TYPE_INT8] = "bhilqn",
        [TYPE_INT16] = "bhilqn",
        [TYPE_INT32] = "bhilqn",
        [TYPE_INT64] = "bhilqn",
        [TYPE_UINT8] = "BHILQN",
        [TYPE_UINT16] = "BHILQN",
        [TYPE_UINT32] = "BHILQN",
        [TYPE_UINT64] = "BHILQN",
        [TYPE_FLOAT16] = "e",
        [TYPE_FLOAT32] = "f",
        [TYPE_FLOAT64] = "d",
        [TYPE_DATE32] = "bhilqn",
        [TYPE_TIMESTAMP] = "bhilqn",
        [TYPE_DURATION] = "bhilqn",
        [TYPE_MAP] = NULL,
    };
    if (format == NULL) {
        format = "B";
    }
    if (*format == '@' || *format == '=' || *format == '<' ||
        (item_size == 1 && (*format == '>' || *format == '!'))) {
        format++;
    }
    const char *codes = CODES[type->kind];
    Py_ssize_t width = type->kind == TYPE_BOOL ? 1 : type->width;
    return codes != NULL && type->extension == EXTENSION_NONE && item_size == width &&
           format[0] != '\0' && format[1] == '\0' && strchr(codes, format[0]) != NULL;
}

static int
copy_buffer(Writer *writer, Py_buffer *view, int64_t count)
{
    if (writer->layout == LAYOUT_BITS) {
        /* Bytes of 0 and 1 become bits; strides are followed by hand. */
        Py_ssize_t stride = view->strides ? view->strides[0] : 1;
        for (int64_t i = 0; i < count; i++) {
            bool set = ((const char *)view->buf)[(Py_ssize_t)i * stride] != 0;
            if (writer->write(writer, set ? Py_True : Py_False) < 0) {
                return -1;
            }
        }
        return 0;
    }
    Buffer *values = &writer->values;
    if (!buffer_reserve(values, (size_t)view->len)) {
        return -1;
    }
    if (view->len > 0 &&
        PyBuffer_ToContiguous(values->data + values->size, view, view->len, 'C') < 0) {
        return -1;
    }
    values->size += (size_t)view->len;
    writer->length += count;
    return 0;
}

/* Copying less than this is as quick as not copying. */
enum { LENT_BYTES_MIN = 4096 };

/* Whether the column can point into the buffer. */
static bool
can_lend(const Writer *writer, const Py_buffer *view)
{
    return writer->layout == LAYOUT_FIXED && writer->length == 0 && view->len >= LENT_BYTES_MIN &&
           (uintptr_t)view->buf % (size_t)view->itemsize == 0 && PyBuffer_IsContiguous(view, 'C');
}

/* 1 if the values were taken from the object's memory, 0 if that is not possible, -1 on failure. */
static int
append_buffer(Writer *writer, PyObject *value, int64_t expected, bool last)
{
    if (!PyObject_CheckBuffer(value)) {
        return 0;
    }
    Py_buffer view;
    if (PyObject_GetBuffer(value, &view, PyBUF_STRIDED_RO | PyBUF_FORMAT) < 0) {
        if (!PyErr_ExceptionMatches(PyExc_BufferError) &&
            !PyErr_ExceptionMatches(PyExc_TypeError) &&
            !PyErr_ExceptionMatches(PyExc_ValueError)) {
            return -1;
        }
        PyErr_Clear(); /* then its values are asked for one by one */
        return 0;
    }
    int taken = 0;
    int64_t count = view.ndim == 1 && view.shape != NULL ? view.shape[0] : -1;
    if (count >= 0 && view.suboffsets == NULL &&
        format_matches(writer->type, view.format, view.itemsize) &&
        view.len == count * view.itemsize) {
        if (expected >= 0 && count != expected) {
            taken = reject_length(writer, expected, count, false);
        } else if (last && can_lend(writer, &view)) {
            writer->lent = view;
            writer->is_lent = true;
            writer->length = count;
            return 1;
        } else {
            taken = copy_buffer(writer, &view, count) < 0 ? -1 : 1;
        }
    }
    PyBuffer_Release(&view);
    return taken;
}

static int
append_item(Writer *writer, PyObject *item, int64_t index)
{
    int status = write_result(writer, item);
    Py_DECREF(item);
    if (status < 0 && failure_is_set()) {
        failure_set_row(index);
    }
    return status;
}

/* A list can change its length while its items are converted. */
static int
append_items(Writer *writer, PyObject *items, int64_t expected)
{
    Py_ssize_t count = PySequence_Fast_GET_SIZE(items);
    for (Py_ssize_t i = 0; (expected < 0 || count == expected) && i < count; i++) {
        PyObject *item = Py_NewRef(PySequence_Fast_GET_ITEM(items, i));
        if (append_item(writer, item, i) < 0) {
            return -1;
        }
        count = PySequence_Fast_GET_SIZE(items);
    }
    return expected >= 0 && count != expected ? reject_length(writer, expected, count, false) : 0;
}

static int
append_iterable(Writer *writer, PyObject *value, int64_t expected)
{
    PyObject *iterator = PyObject_GetIter(value);
    if (iterator == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_TypeError)) {
            return -1;
        }
        PyErr_Clear();
        return reject_column(writer, value);
    }
    int status = 0;
    int64_t count = 0;
    PyObject *item;
    while (status == 0 && (item = PyIter_Next(iterator)) != NULL) {
        if (count == expected) {
            Py_DECREF(item);
            status = reject_length(writer, expected, count + 1, true);
        } else {
            status = append_item(writer, item, count++);
        }
    }
    Py_DECREF(iterator);
    if (status == 0 && PyErr_Occurred()) {
        return -1;
    }
    if (status == 0 && expected >= 0 && count != expected) {
        return reject_length(writer, expected, count, false);
    }
    return status;
}

static int
append_any(Writer *writer, PyObject *value, int64_t expected, bool last)
{
    if (column_check(value)) {
        const Column *column = (const Column *)value;
        if (expected >= 0 && column->length != expected) {
            return reject_length(writer, expected, column->length, false);
        }
        if (type_is_copied(column->reader.type, writer->type) &&
            (writer->type->nullable || column_null_count((Column *)value) == 0)) {
            return append_column(writer, column);
        }
    } else {
        int taken = append_buffer(writer, value, expected, last);
        if (taken != 0) {
            return taken < 0 ? -1 : 0;
        }
    }
    if (writer->layout == LAYOUT_FIXED && expected > 0 &&
        !buffer_reserve(&writer->values, (size_t)writer->type->width * (size_t)expected)) {
        return -1;
    }
    if (PyList_CheckExact(value) || PyTuple_CheckExact(value)) {
        return append_items(writer, value, expected);
    }
    if (PyUnicode_Check(value) || PyBytes_Check(value) || PyDict_Check(value) ||
        PyAnySet_Check(value)) {
        return reject_column(writer, value);
    }
    return append_iterable(writer, value, expected);
}

int
writer_append_column(Writer *writer, PyObject *value, int64_t expected)
{
    return append_any(writer, value, expected, false);
}

int
writer_take_column(Writer *writer, PyObject *value, int64_t expected)
{
    return append_any(writer, value, expected, true);
}
