#include "failure.h"

#include <frameobject.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"
#include "platform.h"

enum {
    MAX_MESSAGE = 4096,
    MAX_CLASS = 256,
    MAX_TRACEBACK = 16384,
    MAX_COLUMN = 256,
    MAX_ARGUMENTS = 32,
    MAX_ARGUMENT_NAME = 128,
    MAX_ARGUMENT_TEXT = 480, /* 120 characters of up to four bytes */
    /* A byte takes at most six characters (`\u0001`) in JSON. */
    MAX_JSON = 6 * (MAX_MESSAGE + MAX_CLASS + MAX_TRACEBACK + MAX_COLUMN +
                    MAX_ARGUMENTS * (MAX_ARGUMENT_NAME + MAX_ARGUMENT_TEXT + 2)) + 256,
    /* Enough for one more arena of the object allocator. */
    RESERVE = 512 * 1024,
};

static struct {
    FailureKind kind;
    int64_t row; /* -1: none */
    bool has_class, has_traceback, has_column, names_path, has_arguments;
    char path[MAX_COLUMN];
    char message[MAX_MESSAGE + 1];
    char class_name[MAX_CLASS + 1];
    char traceback[MAX_TRACEBACK + 1];
    char column[MAX_COLUMN + 1];
} last;

static struct {
    int count;
    struct {
        char name[MAX_ARGUMENT_NAME + 1];
        char text[MAX_ARGUMENT_TEXT + 1];
    } items[MAX_ARGUMENTS];
} noted;

static char json[MAX_JSON];
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
    last.kind = FAILURE_NONE;
    last.row = -1;
    last.has_class = last.has_traceback = last.has_column = last.names_path = false;
    last.has_arguments = false;
    last.message[0] = last.path[0] = '\0';
}

bool
failure_is_set(void)
{
    return last.kind != FAILURE_NONE;
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

static void
copy(char *to, size_t limit, const char *from, size_t length)
{
    length = cut(from, length, limit);
    memcpy(to, from, length);
    to[length] = '\0';
}

/* Fills `last.message` from a format; longer texts are cut. */
static void
format_message(const char *format, va_list arguments)
{
    int n = vsnprintf(last.message, sizeof last.message, format, arguments);
    if (n < 0) {
        last.message[0] = '\0';
    } else if ((size_t)n >= sizeof last.message) {
        last.message[cut(last.message, MAX_MESSAGE, MAX_MESSAGE - 1)] = '\0';
    }
}

void
failure_set(FailureKind kind, const char *column, const char *format, ...)
{
    failure_clear();
    last.kind = kind;
    if (column != NULL && *column != '\0') {
        last.has_column = true;
        copy(last.column, MAX_COLUMN, column, strlen(column));
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
    last.kind = kind;
    last.has_column = last.names_path = true;
    const char *root = path_root(path);
    copy(last.column, MAX_COLUMN, root, strlen(root));
    path_format(path, last.path, sizeof last.path);
    va_list arguments;
    va_start(arguments, format);
    format_message(format, arguments);
    va_end(arguments);
}

void
failure_set_row(int64_t row)
{
    last.row = row;
}

int64_t
failure_row(void)
{
    return last.row;
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
        copy(text + used, capacity - used - 1, path->name, strlen(path->name));
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
    copy(to, limit, PyBytes_AS_STRING(item), (size_t)PyBytes_GET_SIZE(item));
    return true;
}

/* Fills class, message and traceback. Without help from Python code if that fails. */
static void
describe(PyObject *exception, bool keep_message)
{
    PyObject *parts = NULL;
    if (guest.describe_exception != NULL) {
        parts = PyObject_CallOneArg(guest.describe_exception, exception);
    }
    if (parts != NULL && PyTuple_CheckExact(parts) && PyTuple_GET_SIZE(parts) == 3 &&
        take_bytes(parts, 0, last.class_name, MAX_CLASS) &&
        (keep_message || take_bytes(parts, 1, last.message, MAX_MESSAGE)) &&
        take_bytes(parts, 2, last.traceback, MAX_TRACEBACK)) {
        last.has_class = last.has_traceback = true;
    } else {
        PyErr_Clear();
        const char *name = Py_TYPE(exception)->tp_name;
        copy(last.class_name, MAX_CLASS, name, strlen(name));
        last.has_class = true;
        if (!keep_message) {
            snprintf(last.message, sizeof last.message,
                     "%s (its text could not be formatted)", last.class_name);
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
    last.kind = kind_of(exception, kind);
    if (last.kind == FAILURE_MEMORY) {
        release_reserve();
    }
    describe(exception, keep_message);
    if (last.kind == FAILURE_MEMORY) {
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
    last.kind = FAILURE_INTERNAL;
    for (int i = FAILURE_SYNTAX; i <= FAILURE_INTERNAL; i++) {
        if (strcmp(kind, KIND_NAMES[i]) == 0) {
            last.kind = (FailureKind)i;
        }
    }
    if (message != NULL) {
        copy(last.message, MAX_MESSAGE, message, strlen(message));
    }
    if (exception != NULL) {
        take_exception(exception, last.kind, message != NULL);
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
        copy(text, capacity - 1, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
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
    snprintf(text, capacity, "%.120s: %s", last.class_name, last.message);
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
    if (noted.count == MAX_ARGUMENTS) {
        return false;
    }
    char *text = noted.items[noted.count].text;
    failure_describe_value(value, text, MAX_ARGUMENT_TEXT + 1);
    /* The value stands after the name of its type, which has no space. */
    char *space = strchr(text, ' ');
    if (space != NULL && value != Py_None) {
        memmove(text, space + 1, strlen(space + 1) + 1);
    }
    copy(noted.items[noted.count].name, MAX_ARGUMENT_NAME, name, strlen(name));
    noted.count++;
    return true;
}

void
failure_forget_arguments(void)
{
    noted.count = 0;
}

void
failure_keep_arguments(void)
{
    last.has_arguments = last.kind == FAILURE_EXCEPTION;
}

static char *
put(char *out, const char *text)
{
    size_t length = strlen(text);
    memcpy(out, text, length);
    return out + length;
}

static char *
put_string(char *out, const char *text)
{
    static const char HEX[] = "0123456789abcdef";
    *out++ = '"';
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            *out++ = '\\';
            *out++ = (char)c;
        } else if (c == '\n') {
            *out++ = '\\';
            *out++ = 'n';
        } else if (c < 0x20 || c == 0x7f) {
            out = put(out, "\\u00");
            *out++ = HEX[c >> 4];
            *out++ = HEX[c & 15];
        } else {
            *out++ = (char)c;
        }
    }
    *out++ = '"';
    return out;
}

/* Puts path and row in front of the message; both are known only when the row loop has ended. */
static const char *
whole_message(void)
{
    static char message[MAX_MESSAGE + 1];
    size_t used = 0;
    if (last.names_path) {
        const char *path = last.path[0] ? last.path : "result";
        int n = last.row >= 0 ? snprintf(message, sizeof message, "column `%s`, row %lld: ", path,
                                         (long long)last.row)
                              : snprintf(message, sizeof message, "column `%s`: ", path);
        used = n > 0 ? (size_t)n : 0;
    }
    copy(message + used, MAX_MESSAGE - used, last.message, strlen(last.message));
    return message;
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
    last.row = row;
    const char *message = whole_message();
    PyObject *text = PyUnicode_DecodeUTF8(message, (Py_ssize_t)strlen(message), "replace");
    failure_clear();
    if (text != NULL) {
        PyErr_SetObject(argument_error, text);
        Py_DECREF(text);
    }
}

static size_t
format_json(void)
{
    char *out = put(json, "{\"kind\": ");
    out = put_string(out, KIND_NAMES[last.kind]);
    out = put(out, ", \"message\": ");
    out = put_string(out, whole_message());
    if (last.has_class) {
        out = put(out, ", \"class\": ");
        out = put_string(out, last.class_name);
    }
    if (last.has_traceback) {
        out = put(out, ", \"traceback\": ");
        out = put_string(out, last.traceback);
    }
    if (last.row >= 0) {
        char number[40];
        snprintf(number, sizeof number, ", \"row\": %lld", (long long)last.row);
        out = put(out, number);
    }
    if (last.has_column) {
        out = put(out, ", \"column\": ");
        out = put_string(out, last.column);
    }
    if (last.has_arguments) {
        out = put(out, ", \"arguments\": [");
        for (int i = 0; i < noted.count; i++) {
            out = put(out, i ? ", [" : "[");
            out = put_string(out, noted.items[i].name);
            out = put(out, ", ");
            out = put_string(out, noted.items[i].text);
            out = put(out, "]");
        }
        out = put(out, "]");
    }
    *out++ = '}';
    return (size_t)(out - json);
}

/* Writes address and length (two u32 in the guest) of the last failure as JSON. */
VIVARIUM_EXPORT(vivarium_last_error)
void
vivarium_last_error(uintptr_t *out)
{
    size_t length = format_json();
    out[0] = (uintptr_t)json;
    out[1] = length;
}
