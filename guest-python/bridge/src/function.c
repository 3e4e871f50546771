#include "function.h"

#include <Python.h>

#include <stdlib.h>

#include "arrow_abi.h"
#include "failure.h"
#include "guest.h"
#include "integers.h"
#include "platform.h"
#include "reader.h"
#include "schema.h"
#include "text.h"
#include "writer.h"

typedef struct {
    Type input;  /* a struct with the parameters as fields */
    Type output;
    int64_t n_parameters;
    Reader *readers;
    Writer writer;
    PyObject *callable;
    vectorcallfunc call;
    bool skip_null;
    PyObject **arguments; /* one more than parameters: the callee may use the first slot */
} Function;

static Function **functions;
static int32_t n_functions;
static bool reseed_is_due;

void
function_arm_reseed(void)
{
    reseed_is_due = true;
}

static void
function_release(Function *function)
{
    if (function == NULL) {
        return;
    }
    for (int64_t i = 0; function->readers != NULL && i < function->n_parameters; i++) {
        reader_release(&function->readers[i]);
    }
    free(function->readers);
    writer_release(&function->writer);
    type_release(&function->input);
    type_release(&function->output);
    Py_XDECREF(function->callable);
    free(function->arguments);
    free(function);
}

/* Readers and writer. Done before any code of the user runs. */
static bool
build_codecs(Function *function, const ArrowSchema *input, const ArrowSchema *output)
{
    if (!type_parse(input, &function->input) || !type_parse(output, &function->output)) {
        return false;
    }
    if (function->input.kind != TYPE_STRUCT) {
        failure_set(FAILURE_SCHEMA, NULL, "the input schema is not a struct");
        return false;
    }
    size_t count = (size_t)function->input.n_children;
    function->readers = calloc(count + 1, sizeof(Reader));
    function->arguments = calloc(count + 1, sizeof(PyObject *));
    if (function->readers == NULL || function->arguments == NULL) {
        PyErr_NoMemory();
        return false;
    }
    function->n_parameters = function->input.n_children;
    for (int64_t i = 0; i < function->n_parameters; i++) {
        if (!reader_build(&function->readers[i], &function->input.children[i], NULL)) {
            return false;
        }
    }
    return writer_build(&function->writer, &function->output, NULL);
}

/* Takes (kind, message, exception) from the loader. */
static void
take_loader_failure(PyObject *parts)
{
    const char *kind = PyUnicode_AsUTF8(PyTuple_GET_ITEM(parts, 0));
    PyObject *message = PyTuple_GET_ITEM(parts, 1);
    PyObject *exception = PyTuple_GET_ITEM(parts, 2);
    const char *text = PyBytes_Check(message) ? PyBytes_AS_STRING(message) : NULL;
    failure_set_named(kind ? kind : "internal", text, exception == Py_None ? NULL : exception);
    PyErr_Clear();
}

/* Executes the user's code and binds the handler. */
static bool
bind_handler(Function *function, const char *spec, uint32_t spec_len)
{
    PyObject *parts =
        PyObject_CallFunction(guest.load, "y#L", spec, (Py_ssize_t)spec_len,
                              (long long)function->n_parameters);
    if (parts == NULL) {
        return false;
    }
    bool bound = PyTuple_CheckExact(parts) && PyTuple_GET_SIZE(parts) == 2;
    if (bound) {
        function->callable = Py_NewRef(PyTuple_GET_ITEM(parts, 0));
        function->skip_null = PyTuple_GET_ITEM(parts, 1) == Py_True;
        /* A Python function's vectorcall never changes; other callables are asked each time. */
        function->call = PyFunction_Check(function->callable)
                             ? PyVectorcall_Function(function->callable)
                             : NULL;
        if (function->call == NULL) {
            function->call = PyObject_Vectorcall;
        }
    } else {
        take_loader_failure(parts);
    }
    Py_DECREF(parts);
    return bound;
}

/* Adds the function to the table; its handle, or 0 after MemoryError. */
static int32_t
add_function(Function *function)
{
    size_t count = (size_t)n_functions + 1;
    Function **table = realloc(functions, count * sizeof(Function *));
    if (table == NULL) {
        PyErr_NoMemory();
        return 0;
    }
    functions = table;
    functions[n_functions] = function;
    return ++n_functions;
}

/* Imports the user's code, binds the handler and compiles readers and writer for the schemas.
 * Returns a handle of 1 or more, or 0 with `vivarium_last_error`. */
VIVARIUM_EXPORT(vivarium_load)
int32_t
vivarium_load(const char *spec, uint32_t spec_len, const ArrowSchema *input,
              const ArrowSchema *output)
{
    failure_clear();
    int32_t handle = 0;
    Function *function = calloc(1, sizeof(Function));
    if (function == NULL) {
        PyErr_NoMemory();
    } else if (build_codecs(function, input, output) && bind_handler(function, spec, spec_len)) {
        handle = add_function(function);
    }
    if (handle == 0) {
        if (!failure_is_set()) {
            failure_from_exception(FAILURE_INTERNAL);
        }
        function_release(function);
    }
    return handle;
}

static inline PyObject *
read_argument(Reader *reader, int64_t row)
{
    if (reader_is_null(reader, row)) {
        return Py_None;
    }
    switch (reader->fast) {
    case FAST_INT64:
        return spare_integer(&reader->spare, ((const int64_t *)reader->values)[row]);
    case FAST_FLOAT64:
        return spare_float(&reader->spare, ((const double *)reader->values)[row]);
    default:
        return reader->read(reader, row);
    }
}

static inline int
write_result(Writer *writer, PyObject *value)
{
    if (writer->fast == FAST_INT64) {
        int64_t number;
        if (PyLong_CheckExact(value) && integer_small_value(value, &number)) {
            int64_t *slot = writer_slot(writer, sizeof(int64_t));
            if (slot == NULL) {
                return -1;
            }
            *slot = number;
            return 0;
        }
    } else if (writer->fast == FAST_FLOAT64) {
        if (PyFloat_CheckExact(value)) {
            double *slot = writer_slot(writer, sizeof(double));
            if (slot == NULL) {
                return -1;
            }
            *slot = PyFloat_AS_DOUBLE(value);
            return 0;
        }
    }
    return writer_append(writer, value);
}

/* Drops a result. Integers, the most common ones, are freed without the detour through their type,
 * as the interpreter itself does it; those that live forever have a higher count. */
static inline void
release_result(PyObject *result)
{
    if (PyLong_CheckExact(result) && Py_REFCNT(result) == 1) {
        integer_free(result);
    } else {
        Py_DECREF(result);
    }
}

static bool
any_argument_is_null(const Function *function, int64_t row)
{
    for (int64_t i = 0; i < function->n_parameters; i++) {
        Reader *reader = &function->readers[i];
        if (reader_is_null(reader, row) || reader->type->kind == TYPE_NULL) {
            return true;
        }
    }
    return false;
}

/* Runs one row. 0, or -1 with a failure recorded or an exception raised. */
static inline int
invoke_row(Function *function, int64_t row)
{
    PyObject **arguments = function->arguments + 1;
    Py_ssize_t count = (Py_ssize_t)function->n_parameters, filled = 0;
    PyObject *result = NULL;
    int status = -1;
    while (filled < count) {
        PyObject *argument = read_argument(&function->readers[filled], row);
        if (argument == NULL) {
            break;
        }
        arguments[filled++] = argument;
    }
    if (filled == count) {
        result = function->call(function->callable, arguments,
                                (size_t)count | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    }
    while (filled > 0) {
        Py_DECREF(arguments[--filled]);
    }
    if (result != NULL) {
        status = write_result(&function->writer, result);
        release_result(result);
    }
    return status;
}

/* Runs all rows; the number of those that succeeded. */
static int64_t
invoke_rows(Function *function, int64_t rows)
{
    int64_t row = 0;
    if (function->skip_null) {
        for (; row < rows; row++) {
            int status = any_argument_is_null(function, row)
                             ? writer_append_null(&function->writer)
                             : invoke_row(function, row);
            if (status < 0) {
                break;
            }
        }
    } else {
        while (row < rows && invoke_row(function, row) == 0) {
            row++;
        }
    }
    return row;
}

static bool
reseed(void)
{
    PyObject *result = PyObject_CallNoArgs(guest.reseed);
    if (result == NULL) {
        failure_from_exception(FAILURE_INTERNAL);
        return false;
    }
    Py_DECREF(result);
    reseed_is_due = false;
    return true;
}

/* Binds the batch to readers and writer. */
static bool
prepare(Function *function, const ArrowArray *input)
{
    if (input->n_children != function->n_parameters || input->length < 0) {
        failure_set(FAILURE_INTERNAL, NULL, "a batch with %lld columns for %lld parameters",
                    (long long)input->n_children, (long long)function->n_parameters);
        return false;
    }
    for (int64_t i = 0; i < function->n_parameters; i++) {
        if (!reader_bind(&function->readers[i], input->children[i])) {
            return false;
        }
    }
    if (!writer_reset(&function->writer, input->length)) {
        failure_from_exception(FAILURE_MEMORY);
        return false;
    }
    return true;
}

/* Records why a row failed. */
static void
fail_at(Function *function, int64_t row)
{
    if (!failure_is_set()) {
        /* What was written so far is of no use any more, its memory is. */
        writer_drop_buffers(&function->writer);
        failure_from_exception(FAILURE_EXCEPTION);
    }
    failure_set_row(row);
    PyErr_Clear();
}

/* Runs a loaded function over one batch and fills `output`. 0, or -1 with `vivarium_last_error`. */
VIVARIUM_EXPORT(vivarium_invoke)
int32_t
vivarium_invoke(int32_t handle, const ArrowArray *input, ArrowArray *output)
{
    failure_clear();
    if (handle < 1 || handle > n_functions) {
        failure_set(FAILURE_INTERNAL, NULL, "no function has the handle %d", (int)handle);
        return -1;
    }
    Function *function = functions[handle - 1];
    if ((reseed_is_due && !reseed()) || !prepare(function, input)) {
        return -1;
    }
    int64_t row = invoke_rows(function, input->length);
    guest_flush();
    if (row < input->length) {
        fail_at(function, row);
        return -1;
    }
    if (!writer_finish(&function->writer)) {
        failure_from_exception(FAILURE_MEMORY);
        return -1;
    }
    *output = function->writer.array;
    return 0;
}
