#include "failure.h"

#include <frameobject.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failure_record.h"
#include "guest.h"

/* Enough for one more arena of the object allocator. */
enum { RESERVE = 512 * 1024 };

FailureRecord failure_last;
NotedArguments failure_arguments;

static void *reserve;

static const char *const KIND_NAMES[] = {
    [FAILURE_NONE] = "internal",
    [FAILURE_SYNTAX] = "syntax",
    [FAILURE_IMPORT] = "import",
    [FAILURE_HANDLER] = "handler",
    [FAILURE_SCHEMA] = "schema",
    [FAILURE_EXCEPTION] = "exception",
    [FAILURE_ARGUMENT] = "argument",
    [FAILURE_RESULT] = "result",
    [FAILURE_RECURSION] = "recursion",
    [FAILURE_MEMORY] = "memory",
    [FAILURE_EXIT] = "exit",
    [FAILURE_INTERNAL] = "internal",
};

const char *
failure_kind_name(FailureKind kind)
{
    return KIND_NAMES[kind];
}

void
failure_reserve(void)
{
    if (reserve == NULL) {
        reserve = malloc(RESERVE);
    }
}

/* Whose exceptions are failures of kind `argument`. */
static PyObject *argument_error;

static void
release_reserve(void)
{
    free(reserve);
    reserve = NULL;
}

void
failure_clear(void)
{
    failure_last.kind = FAILURE_NONE;
    failure_last.row = -1;
    failure_last.has_class = failure_last.has_traceback = failure_last.has_column = false;
    failure_last.names_path = failure_last.has_arguments = false;
    failure_last.base = NULL;
    failure_last.message[0] = failure_last.path[0] = '\0';
}

bool
failure_is_set(void)
{
    return failure_last.kind != FAILURE_NONE;
}

/* Length of the text when cut to `limit` bytes without splitting a UTF-8 sequence. */
static size_t
cut(const char *text, size_t length, size_t limit)
{
    if (length <= limit) {
        return length;
    }
    while (limit > 0 && ((unsigned char)text[limit] & 0xC0) == 0x80) {
        limit--;
    }
    return limit;
}

void
failure_copy(char *to, size_t limit, const char *from, size_t length)
{
    length = cut(from, length, limit);
    memcpy(to, from, length);
    to[length] = '\0';
}

/* Fills `failure_last.message` from a format; longer texts are cut. */
static void
format_message(const char *format, va_list arguments)
{
    int n = vsnprintf(failure_last.message, sizeof failure_last.message, format, arguments);
    if (n < 0) {
        failure_last.message[0] = '\0';
    } else if ((size_t)n >= sizeof failure_last.message) {
        failure_last.message[cut(failure_last.message, MAX_MESSAGE, MAX_MESSAGE - 1)] = '\0';
    }
}

void
failure_set(FailureKind kind, const char *column, const char *format, ...)
{
    failure_clear();
    failure_last.kind = kind;
    if (column != NULL && *column != '\0') {
        failure_last.has_column = true;
        failure_copy(failure_last.column, MAX_COLUMN, column, strlen(column));
    }
    va_list arguments;
    va_start(arguments, format);
    format_message(format, arguments);
    va_end(arguments);
}

void
failure_set_at(FailureKind kind, const Path *path, const char *format, ...)
{
    failure_clear();
    failure_last.kind = kind;
    failure_last.has_column = failure_last.names_path = true;
    const char *root = path_root(path);
    failure_copy(failure_last.column, MAX_COLUMN, root, strlen(root));
    path_format(path, failure_last.path, sizeof failure_last.path);
    va_list arguments;
    va_start(arguments, format);
    format_message(format, arguments);
    va_end(arguments);
}

void
failure_set_row(int64_t row)
{
    failure_last.row = row;
}

int64_t
failure_row(void)
{
    return failure_last.row;
}

const char *
path_root(const Path *path)
{
    while (path->parent != NULL) {
        path = path->parent;
    }
    return path->name;
}

void
path_format(const Path *path, char *text, size_t capacity)
{
    size_t used = 0;
    text[0] = '\0';
    if (path->parent != NULL) {
        path_format(path->parent, text, capacity);
        used = strlen(text);
    }
    if (path->element && path->index >= 0) {
        snprintf(text + used, capacity - used, "[%lld]", (long long)path->index);
    } else if (path->element) {
        snprintf(text + used, capacity - used, "[]");
    } else {
        size_t dot = path->parent != NULL && used + 1 < capacity;
        if (dot) {
            text[used++] = '.';
        }
        failure_copy(text + used, capacity - used - 1, path->name, strlen(path->name));
    }
}

/* Copies one of the byte strings that the describing function returned. */
static bool
take_bytes(PyObject *tuple, Py_ssize_t index, char *to, size_t limit)
{
    PyObject *item = PyTuple_GET_ITEM(tuple, index);
    if (!PyBytes_Check(item)) {
        return false;
    }
    failure_copy(to, limit, PyBytes_AS_STRING(item), (size_t)PyBytes_GET_SIZE(item));
    return true;
}

/* The first of the classes that clients tell apart which the exception is one of, or NULL. */
static const char *
base_of(PyObject *exception)
{
    PyObject *const classes[] = {
        PyExc_MemoryError, PyExc_IndexError, PyExc_KeyError,      PyExc_TypeError,
        PyExc_ValueError,  PyExc_OSError,    PyExc_OverflowError, PyExc_NotImplementedError,
    };
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        if (PyErr_GivenExceptionMatches(exception, classes[i])) {
            return ((PyTypeObject *)classes[i])->tp_name;
        }
    }
    return NULL;
}

/* Fills class, base, message and traceback. Without help from Python code if that fails. */
static void
describe(PyObject *exception, bool keep_message)
{
    PyObject *parts = NULL;
    failure_last.base = base_of(exception);
    if (guest.describe_exception != NULL) {
        parts = PyObject_CallOneArg(guest.describe_exception, exception);
    }
    if (parts != NULL && PyTuple_CheckExact(parts) && PyTuple_GET_SIZE(parts) == 3 &&
        take_bytes(parts, 0, failure_last.class_name, MAX_CLASS) &&
        (keep_message || take_bytes(parts, 1, failure_last.message, MAX_MESSAGE)) &&
        take_bytes(parts, 2, failure_last.traceback, MAX_TRACEBACK)) {
        failure_last.has_class = failure_last.has_traceback = true;
    } else {
        PyErr_Clear();
        const char *name = Py_TYPE(exception)->tp_name;
        failure_copy(failure_last.class_name, MAX_CLASS, name, strlen(name));
        failure_last.has_class = true;
        if (!keep_message) {
            snprintf(failure_last.message, sizeof failure_last.message,
                     "%s (its text could not be formatted)", failure_last.class_name);
        }
    }
    Py_XDECREF(parts);
}

static FailureKind
kind_of(PyObject *exception, FailureKind otherwise)
{
    if (PyErr_GivenExceptionMatches(exception, PyExc_MemoryError)) {
        return FAILURE_MEMORY;
    }
    if (PyErr_GivenExceptionMatches(exception, PyExc_RecursionError)) {
        return FAILURE_RECURSION;
    }
    if (PyErr_GivenExceptionMatches(exception, PyExc_SystemExit)) {
        return FAILURE_EXIT;
    }
    if (argument_error != NULL && PyErr_GivenExceptionMatches(exception, argument_error)) {
        return FAILURE_ARGUMENT;
    }
    return otherwise;
}

/* When memory is really out, CPython raises one static object again and again, and its traceback
 * would keep the frames, and all that filled the memory, alive: empties them. */
static void
clear_frames(PyObject *exception)
{
    PyObject *at = PyException_GetTraceback(exception);
    while (at != NULL && PyTraceBack_Check(at)) {
        PyTracebackObject *traceback = (PyTracebackObject *)at;
        PyObject *done = PyObject_CallMethod((PyObject *)traceback->tb_frame, "clear", NULL);
        if (done == NULL) {
            PyErr_Clear(); /* a frame that is still running */
        }
        Py_XDECREF(done);
        PyObject *next = Py_XNewRef(traceback->tb_next);
        Py_DECREF(at);
        at = next;
    }
    Py_XDECREF(at);
}

/* Fills everything but the row from an exception, of which the last reference may be dropped
 * afterwards. */
static void
take_exception(PyObject *exception, FailureKind kind, bool keep_message)
{
    failure_last.kind = kind_of(exception, kind);
    if (failure_last.kind == FAILURE_MEMORY) {
        release_reserve();
    }
    describe(exception, keep_message);
    if (failure_last.kind == FAILURE_MEMORY) {
        clear_frames(exception);
    }
}

void
failure_from_exception(FailureKind kind)
{
    PyObject *exception = PyErr_GetRaisedException();
    failure_clear();
    if (exception == NULL) {
        failure_set(FAILURE_INTERNAL, NULL, "a failure without an exception");
        return;
    }
    take_exception(exception, kind, false);
    Py_DECREF(exception);
    failure_reserve();
}

void
failure_set_named(const char *kind, const char *message, PyObject *exception)
{
    failure_clear();
    failure_last.kind = FAILURE_INTERNAL;
    for (int i = FAILURE_SYNTAX; i <= FAILURE_INTERNAL; i++) {
        if (strcmp(kind, KIND_NAMES[i]) == 0) {
            failure_last.kind = (FailureKind)i;
        }
    }
    if (message != NULL) {
        failure_copy(failure_last.message, MAX_MESSAGE, message, strlen(message));
    }
    if (exception != NULL) {
        take_exception(exception, failure_last.kind, message != NULL);
        failure_reserve();
    }
}

void
failure_describe_value(PyObject *value, char *text, size_t capacity)
{
    PyObject *raised = PyErr_GetRaisedException();
    PyObject *bytes = NULL;
    if (guest.describe_value != NULL) {
        bytes = PyObject_CallOneArg(guest.describe_value, value);
    }
    if (bytes != NULL && PyBytes_CheckExact(bytes)) {
        failure_copy(text, capacity - 1, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    } else {
        PyErr_Clear();
        snprintf(text, capacity, "%.100s", Py_TYPE(value)->tp_name);
    }
    Py_XDECREF(bytes);
    PyErr_SetRaisedException(raised);
}

void
failure_brief(char *text, size_t capacity)
{
    snprintf(text, capacity, "%.120s: %s", failure_last.class_name, failure_last.message);
    text[cut(text, strlen(text), capacity - 4)] = '\0';
    for (char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20) {
            *c = ' ';
        }
    }
}

bool
failure_add_argument(const char *name, PyObject *value)
{
    if (failure_arguments.count == MAX_ARGUMENTS) {
        return false;
    }
    char *text = failure_arguments.items[failure_arguments.count].text;
    failure_describe_value(value, text, MAX_ARGUMENT_TEXT + 1);
    /* The value stands after the name of its type, which has no space. */
    char *space = strchr(text, ' ');
    if (space != NULL && value != Py_None) {
        memmove(text, space + 1, strlen(space + 1) + 1);
    }
    char *to = failure_arguments.items[failure_arguments.count++].name;
    failure_copy(to, MAX_ARGUMENT_NAME, name, strlen(name));
    return true;
}

void
failure_forget_arguments(void)
{
    failure_arguments.count = 0;
}

void
failure_keep_arguments(void)
{
    failure_last.has_arguments = failure_last.kind == FAILURE_EXCEPTION;
}

bool
failure_init(PyObject *module)
{
    argument_error = PyErr_NewExceptionWithDoc(
        "vivarium.ArgumentError", "A value of a column that Python cannot hold.", PyExc_ValueError,
        NULL);
    return argument_error != NULL &&
           PyModule_AddObjectRef(module, "ArgumentError", argument_error) == 0;
}

void
failure_raise(int64_t row)
{
    failure_last.row = row;
    const char *message = failure_whole_message();
    PyObject *text = PyUnicode_DecodeUTF8(message, (Py_ssize_t)strlen(message), "replace");
    failure_clear();
    if (text != NULL) {
        PyErr_SetObject(argument_error, text);
        Py_DECREF(text);
    }
}
