/* The last failure: what went wrong, kept in static memory so that it can be told even when there
 * is no memory left. */
#ifndef VIVARIUM_FAILURE_H
#define VIVARIUM_FAILURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <Python.h>

typedef enum {
    FAILURE_NONE,
    FAILURE_SYNTAX,
    FAILURE_IMPORT,
    FAILURE_HANDLER,
    FAILURE_SCHEMA,
    FAILURE_EXCEPTION,
    FAILURE_ARGUMENT,
    FAILURE_RESULT,
    FAILURE_RECURSION,
    FAILURE_MEMORY,
    FAILURE_EXIT,
    FAILURE_INTERNAL,
} FailureKind;

/* Where a value sits: a column, or a field or an element below one. */
typedef struct Path Path;

struct Path {
    const char *name;
    const Path *parent;
    bool element;  /* one of the elements of `parent`, so that its name says nothing */
    int64_t index; /* of the element, or -1 if it is not tracked */
};

/* Writes for example `result.items[2].price`, cut off where `capacity` is too small. */
void path_format(const Path *path, char *text, size_t capacity);

/* Creates the exception type and adds it to the module. Raises and returns false on failure. */
bool failure_init(PyObject *module);

/* Keeps memory aside that is given back while a MemoryError is formatted. */
void failure_reserve(void);

void failure_clear(void);
bool failure_is_set(void);

/* Records a failure. `column` may be NULL. The message is cut to its limit. */
void failure_set(FailureKind kind, const char *column, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Records a failure of a value: its message starts with the path and, once the row is known, the
 * row; the failure's column is the path's outermost name. */
void failure_set_at(FailureKind kind, const Path *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Says which row of the batch failed. */
void failure_set_row(int64_t row);
int64_t failure_row(void); /* -1: none */

/* Turns the exception that is being raised into a failure. RecursionError, MemoryError and
 * SystemExit have kinds of their own, every other exception is of `kind`. */
void failure_from_exception(FailureKind kind);

/* A failure with a kind by name (from the loader); `message` and `exception` may be NULL. */
void failure_set_named(const char *kind, const char *message, PyObject *exception);

/* Describes a value that a function returned, for example `str 'abc'`, in bounded text. */
void failure_describe_value(PyObject *value, char *text, size_t capacity);

/* Turns the recorded failure of a value, which user code asked for, into a `vivarium.ArgumentError`
 * that is raised; no failure is recorded afterwards. */
void failure_raise(int64_t row);

/* Class and message of the failure in one line, for example `ValueError: no`. */
void failure_brief(char *text, size_t capacity);

/* Notes one argument of the row that is about to be reported, by name; no more than a report
 * holds (then false). Clears what formatting raises. */
bool failure_add_argument(const char *name, PyObject *value);
void failure_forget_arguments(void);

/* Makes the noted arguments part of the failure, if it is an exception of the function. */
void failure_keep_arguments(void);

/* Name of the outermost path. */
const char *path_root(const Path *path);

#endif
