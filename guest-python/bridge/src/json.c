/* The extension type arrow.json: values as the json module knows them. */
#include <Python.h>

#include <math.h>

#include "extension.h"
#include "failure.h"

/* Where a value sits is told down to this many levels. */
enum { MAX_PATH_DEPTH = 40 };

static PyObject *scan;   /* (text, index) -> (value, end) */
static PyObject *encode; /* (value, 0) -> tuple of texts */
static PyObject *inside; /* dict of the containers that are being encoded */

/* ---- Reading ---- */

static Py_ssize_t
skip_space(PyObject *text, Py_ssize_t at)
{
    Py_ssize_t length = PyUnicode_GET_LENGTH(text);
    int kind = PyUnicode_KIND(text);
    const void *data = PyUnicode_DATA(text);
    for (; at < length; at++) {
        Py_UCS4 c = PyUnicode_READ(kind, data, at);
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r') {
            break;
        }
    }
    return at;
}

/* Says why a text is no JSON, if that is what has been raised. */
static PyObject *
reject_text(Reader *reader)
{
    if (!PyErr_ExceptionMatches(PyExc_ValueError) && !PyErr_ExceptionMatches(PyExc_StopIteration)) {
        return NULL;
    }
    PyObject *exception = PyErr_GetRaisedException();
    if (PyErr_GivenExceptionMatches(exception, PyExc_StopIteration)) {
        /* Its value is the place where a value should begin. */
        Py_ssize_t at = PyLong_AsSsize_t(((PyStopIterationObject *)exception)->value);
        PyErr_Clear();
        Py_DECREF(exception);
        return reader_reject(reader, "is not JSON: a value is missing (char %zd)", at);
    }
    PyObject *message = PyObject_Str(exception);
    const char *text = message ? PyUnicode_AsUTF8(message) : NULL;
    reader_reject(reader, "is not JSON: %.200s", text ? text : "?");
    PyErr_Clear();
    Py_XDECREF(message);
    Py_DECREF(exception);
    return NULL;
}

PyObject *
read_json(Reader *reader, int64_t row)
{
    PyObject *text = reader->storage(reader, row);
    PyObject *start = text ? PyLong_FromSsize_t(skip_space(text, 0)) : NULL;
    if (start == NULL) {
        Py_XDECREF(text);
        return NULL;
    }
    PyObject *arguments[] = {text, start};
    PyObject *found = PyObject_Vectorcall(scan, arguments, 2, NULL), *value = NULL;
    Py_DECREF(start);
    if (found == NULL) {
        reject_text(reader);
    } else if (PyTuple_CheckExact(found) && PyTuple_GET_SIZE(found) == 2) {
        Py_ssize_t end = PyLong_AsSsize_t(PyTuple_GET_ITEM(found, 1));
        if (skip_space(text, end) == PyUnicode_GET_LENGTH(text)) {
            value = Py_NewRef(PyTuple_GET_ITEM(found, 0));
        } else {
            reader_reject(reader, "is not JSON: there is more after the value (char %zd)", end);
        }
    }
    Py_XDECREF(found);
    Py_DECREF(text);
    return value;
}

/* ---- Writing ---- */

static bool find_culprit(const Path *path, PyObject *value, int depth);

static bool
report(const Path *path, PyObject *value, const char *what)
{
    char got[512];
    failure_describe_value(value, got, sizeof got);
    failure_set_at(FAILURE_RESULT, path, "expected json, got %s%s", got, what);
    return true;
}

static bool
check_entry(const Path *path, PyObject *key, PyObject *value, int depth)
{
    bool text = PyUnicode_Check(key);
    bool number = PyLong_Check(key) || (PyFloat_Check(key) && isfinite(PyFloat_AS_DOUBLE(key)));
    if (!text && !number && key != Py_None) {
        return report(path, key, " as a key");
    }
    const char *name = text ? PyUnicode_AsUTF8(key) : "?";
    if (name == NULL) {
        PyErr_Clear();
        return report(path, key, " as a key: it holds surrogates");
    }
    Path inner = {.name = name, .parent = path, .index = -1};
    return find_culprit(&inner, value, depth + 1);
}

/* Describing the culprit runs code of the user, which may empty the containers: what the path
 * refers to is kept alive until then. */
static bool
find_in_dict(const Path *path, PyObject *dict, int depth)
{
    PyObject *key, *value;
    Py_ssize_t position = 0;
    bool found = false;
    while (!found && PyDict_Next(dict, &position, &key, &value)) {
        Py_INCREF(key);
        Py_INCREF(value);
        found = check_entry(path, key, value, depth);
        Py_DECREF(key);
        Py_DECREF(value);
    }
    return found;
}

static bool
find_in_sequence(const Path *path, PyObject *items, int depth)
{
    bool found = false;
    for (Py_ssize_t i = 0; !found && i < PySequence_Fast_GET_SIZE(items); i++) {
        Path inner = {.name = "", .parent = path, .element = true, .index = i};
        PyObject *item = Py_NewRef(PySequence_Fast_GET_ITEM(items, i));
        found = find_culprit(&inner, item, depth + 1);
        Py_DECREF(item);
    }
    return found;
}

/* Finds the first value that JSON does not know and reports it with its place. Runs no code of the
 * user before that. */
static bool
find_culprit(const Path *path, PyObject *value, int depth)
{
    if (depth > MAX_PATH_DEPTH || value == Py_None || PyLong_Check(value)) {
        return false;
    }
    if (PyFloat_Check(value)) {
        return !isfinite(PyFloat_AS_DOUBLE(value)) &&
               report(path, value, ", which JSON does not know");
    }
    if (PyUnicode_Check(value)) {
        if (PyUnicode_AsUTF8(value) != NULL) {
            return false;
        }
        PyErr_Clear();
        return report(path, value, ": it holds surrogates, which UTF-8 does not allow");
    }
    if (PyDict_Check(value)) {
        return find_in_dict(path, value, depth);
    }
    if (PyList_Check(value) || PyTuple_Check(value)) {
        return find_in_sequence(path, value, depth);
    }
    return report(path, value, ", which JSON does not know");
}

/* Makes a `result` failure of what the encoder raised, unless it comes from the user's own code. */
static int
reject_value(Writer *writer, PyObject *value)
{
    PyObject *exception = PyErr_GetRaisedException();
    PyDict_Clear(inside); /* the encoder leaves it as it was when it failed */
    PyObject *traceback = PyException_GetTraceback(exception);
    Py_XDECREF(traceback);
    bool nesting = PyErr_GivenExceptionMatches(exception, PyExc_RecursionError);
    bool ours = nesting || PyErr_GivenExceptionMatches(exception, PyExc_TypeError) ||
                PyErr_GivenExceptionMatches(exception, PyExc_ValueError);
    if (!ours || traceback != NULL) {
        PyErr_SetRaisedException(exception);
        return -1;
    }
    Py_DECREF(exception);
    if (nesting) {
        return writer_reject(writer, value, "it is nested too deeply");
    }
    if (find_culprit(&writer->path, value, 0)) {
        return -1;
    }
    return writer_reject(writer, value, "it holds itself, or a value that JSON does not know");
}

int
write_json(Writer *writer, PyObject *value)
{
    PyObject *arguments[] = {value, Py_False}; /* the level of indentation: 0 */
    PyObject *parts = PyObject_Vectorcall(encode, arguments, 2, NULL), *text = NULL;
    if (parts == NULL) {
        return reject_value(writer, value);
    }
    if (PyTuple_CheckExact(parts) && PyTuple_GET_SIZE(parts) == 1) {
        text = Py_NewRef(PyTuple_GET_ITEM(parts, 0));
    } else {
        PyObject *nothing = PyUnicode_FromStringAndSize(NULL, 0);
        text = nothing ? PyUnicode_Join(nothing, parts) : NULL;
        Py_XDECREF(nothing);
    }
    Py_DECREF(parts);
    if (text == NULL) {
        return -1;
    }
    int status = write_utf8(writer, text);
    Py_DECREF(text);
    if (status < 0 && failure_is_set()) {
        find_culprit(&writer->path, value, 0);
    }
    return status;
}

/* ---- Start ---- */

static PyObject *
refuse(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(value))
{
    PyErr_SetString(PyExc_TypeError, "JSON does not know this type");
    return NULL;
}

bool
json_init(void)
{
    static PyMethodDef method = {"default", refuse, METH_O, NULL};
    PyObject *decoder_module = PyImport_ImportModule("json.decoder");
    PyObject *encoder_module = PyImport_ImportModule("json.encoder");
    PyObject *decoder = NULL, *make = NULL, *quote = NULL, *otherwise = NULL;
    if (decoder_module != NULL && encoder_module != NULL) {
        decoder = PyObject_CallMethod(decoder_module, "JSONDecoder", NULL);
        scan = decoder ? PyObject_GetAttrString(decoder, "scan_once") : NULL;
        make = PyObject_GetAttrString(encoder_module, "c_make_encoder");
        quote = PyObject_GetAttrString(encoder_module, "encode_basestring");
        otherwise = PyCFunction_New(&method, NULL);
        inside = PyDict_New();
    }
    if (scan != NULL && inside != NULL && make != NULL && quote != NULL && otherwise != NULL) {
        /* markers, default, encoder, indent, separators, sort_keys, skipkeys, allow_nan */
        encode = PyObject_CallFunction(make, "OOOOssOOO", inside, otherwise, quote, Py_None, ":",
                                       ",", Py_False, Py_False, Py_False);
    }
    Py_XDECREF(decoder_module);
    Py_XDECREF(encoder_module);
    Py_XDECREF(decoder);
    Py_XDECREF(make);
    Py_XDECREF(quote);
    Py_XDECREF(otherwise);
    return encode != NULL;
}
