#include "extension.h"

#include <Python.h>

#include <stdlib.h>
#include <string.h>

#include "decimal.h"
#include "failure.h"
#include "guest.h"

/* Decimals with a larger exponent are not written out in plain notation. */
enum { MAX_PLAIN_EXPONENT = 100000 };

static const char EXTENSION_KEY[] = "ARROW:extension:name";

static PyObject *read_decimal_text(Reader *reader, int64_t row);
static int write_decimal_as_text(Writer *writer, PyObject *value);

static const struct {
    const char *name, *shown;
    ReadFunction read;
    WriteFunction write;
} EXTENSIONS[] = {
    [EXTENSION_NONE] = {"", "", NULL, NULL},
    [EXTENSION_JSON] = {"arrow.json", "json", read_json, write_json},
    [EXTENSION_UUID] = {"arrow.uuid", "uuid", read_uuid, write_uuid},
    [EXTENSION_DECIMAL] = {"arrowudf.decimal", "decimal", read_decimal_text,
                           write_decimal_as_text},
};

static PyObject *decimal_format, *format_plain;

/* ---- Schema ---- */

/* Takes the next length and as many bytes from metadata; false if the length makes no sense. */
static bool
take_text(const char **at, const char **text, size_t *length)
{
    int32_t size;
    memcpy(&size, *at, sizeof size);
    if (size < 0) {
        return false;
    }
    *text = *at + sizeof size;
    *length = (size_t)size;
    *at = *text + size;
    return true;
}

static bool
equals(const char *text, size_t length, const char *other)
{
    return length == strlen(other) && memcmp(text, other, length) == 0;
}

static Extension
find_extension(const char *metadata)
{
    int32_t pairs = 0;
    if (metadata != NULL) {
        memcpy(&pairs, metadata, sizeof pairs);
        metadata += sizeof pairs;
    }
    for (int32_t i = 0; i < pairs; i++) {
        const char *key, *value;
        size_t key_length, value_length;
        if (!take_text(&metadata, &key, &key_length) ||
            !take_text(&metadata, &value, &value_length)) {
            break;
        }
        for (int known = EXTENSION_JSON;
             equals(key, key_length, EXTENSION_KEY) && known <= EXTENSION_DECIMAL; known++) {
            if (equals(value, value_length, EXTENSIONS[known].name)) {
                return (Extension)known;
            }
        }
    }
    return EXTENSION_NONE;
}

bool
extension_parse(const ArrowSchema *schema, Type *type)
{
    bool text = type->kind == TYPE_UTF8 || type->kind == TYPE_LARGE_UTF8;
    bool bytes = type->kind == TYPE_BINARY || type->kind == TYPE_LARGE_BINARY;
    bool fits = true;
    type->extension = find_extension(schema->metadata);
    switch (type->extension) {
    case EXTENSION_NONE:
        break;
    case EXTENSION_JSON:
        fits = text || bytes;
        break;
    case EXTENSION_UUID:
        fits = type->kind == TYPE_FIXED_BINARY && type->width == 16;
        break;
    case EXTENSION_DECIMAL:
        fits = text;
        break;
    }
    if (!fits) {
        failure_set(FAILURE_SCHEMA, type->name,
                    "the extension type %s over the Arrow type with format '%.100s' is not "
                    "supported",
                    EXTENSIONS[type->extension].name, schema->format);
    }
    return fits;
}

const char *
extension_name(Extension extension)
{
    return EXTENSIONS[extension].shown;
}

/* ---- Decimals as text ---- */

static PyObject *
read_decimal_text(Reader *reader, int64_t row)
{
    PyObject *text = reader->storage(reader, row);
    if (text == NULL) {
        return NULL;
    }
    PyObject *value = PyObject_CallOneArg(guest.decimal, text);
    Py_DECREF(text);
    if (value == NULL && PyErr_ExceptionMatches(PyExc_ArithmeticError)) {
        PyErr_Clear();
        return reader_reject(reader, "is not a number");
    }
    if (value != NULL && !decimal_is_finite(value)) {
        Py_DECREF(value);
        return reader_reject(reader, "is not finite");
    }
    return value;
}

/* Turns a Decimal's text into plain notation; takes over the reference. NULL with a failure
 * recorded or an exception raised. */
static PyObject *
make_plain(Writer *writer, PyObject *value, PyObject *text)
{
    Py_ssize_t at = PyUnicode_FindChar(text, 'E', 0, PyUnicode_GET_LENGTH(text), 1);
    if (at < 0) {
        return text;
    }
    const char *exponent = (const char *)PyUnicode_1BYTE_DATA(text) + at + 1;
    long size = strtol(exponent, NULL, 10);
    Py_DECREF(text);
    if (size > MAX_PLAIN_EXPONENT || size < -MAX_PLAIN_EXPONENT) {
        writer_reject(writer, value, "its exponent is too large for plain notation");
        return NULL;
    }
    return PyObject_CallFunctionObjArgs(decimal_format, value, format_plain, NULL);
}

static int
write_decimal_as_text(Writer *writer, PyObject *value)
{
    PyObject *text;
    if (PyLong_Check(value)) {
        text = PyLong_Type.tp_repr(value);
        if (text == NULL) {
            return writer_reject_raised(writer, value, "too many digits");
        }
    } else if (PyObject_TypeCheck(value, (PyTypeObject *)guest.decimal)) {
        if (!decimal_is_finite(value)) {
            return writer_reject(writer, value, "it is not finite");
        }
        /* The type's own functions: a subclass may have others. */
        text = ((PyTypeObject *)guest.decimal)->tp_str(value);
        text = text ? make_plain(writer, value, text) : NULL;
    } else {
        return writer_reject(writer, value, NULL);
    }
    if (text == NULL) {
        return -1;
    }
    int status = write_utf8(writer, text);
    Py_DECREF(text);
    return status;
}

/* ---- Choice ---- */

void
extension_choose_reader(Reader *reader)
{
    Extension extension = reader->type->extension;
    if (extension != EXTENSION_NONE) {
        reader->storage = reader->read;
        reader->read = EXTENSIONS[extension].read;
    }
}

void
extension_choose_writer(Writer *writer)
{
    Extension extension = writer->type->extension;
    if (extension != EXTENSION_NONE) {
        writer->write = EXTENSIONS[extension].write;
    }
}

bool
extension_init(void)
{
    decimal_format = PyObject_GetAttrString(guest.decimal, "__format__");
    format_plain = PyUnicode_InternFromString("f");
    return decimal_format != NULL && format_plain != NULL && json_init() && uuid_init();
}
