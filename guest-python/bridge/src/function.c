/* Loading functions, and dispatching the operations on them. */
#include "function.h"

#include <Python.h>

#include <stdlib.h>
#include <string.h>

#include "arrow_abi.h"
#include "entropy.h"
#include "failure.h"
#include "guest.h"
#include "platform.h"
#include "unboxed.h"

static const struct {
    const char *name;
    const KindMethods *methods;
} KINDS[] = {
    [KIND_SCALAR] = {"scalar", &scalar_methods},
    [KIND_VECTORIZED] = {"vectorized", &vectorized_methods},
    [KIND_TABLE] = {"table", &table_methods},
    [KIND_AGGREGATE] = {"aggregate", &aggregate_methods},
    [KIND_MAP] = {"map", &map_methods},
};

static const char *const OPERATION_NAMES[] = {
    [OPERATION_CALL] = "CALL",
    [OPERATION_NEXT] = "NEXT",
    [OPERATION_ACCUMULATE] = "ACCUMULATE",
    [OPERATION_RETRACT] = "RETRACT",
    [OPERATION_MERGE] = "MERGE",
    [OPERATION_STATES] = "STATES",
    [OPERATION_FINISH] = "FINISH",
};

static Function **functions;
static int32_t n_functions;
static PyObject *described; /* what `vivarium_describe` last answered */

static void
function_release(Function *function)
{
    if (function == NULL) {
        return;
    }
    if (KINDS[function->kind].methods->close != NULL) {
        KINDS[function->kind].methods->close(function);
    }
    for (int64_t i = 0; function->readers != NULL && i < function->n_parameters; i++) {
        reader_release(&function->readers[i]);
    }
    free(function->readers);
    writer_release(&function->writer);
    type_release(&function->input);
    type_release(&function->output);
    type_release(&function->state);
    Py_XDECREF(function->handler.object);
    unboxed_release(function->unboxed);
    free(function->skipped);
    free(function->arguments);
    free(function);
}

void
callable_set(Callable *callable, PyObject *object)
{
    Py_XSETREF(callable->object, Py_NewRef(object));
    /* A Python function's vectorcall never changes; other callables are asked each time. */
    callable->call = PyFunction_Check(object) ? PyVectorcall_Function(object) : NULL;
    if (callable->call == NULL) {
        callable->call = PyObject_Vectorcall;
    }
}

/* Readers and writer. Done before any code of the user runs. */
static bool
build_codecs(Function *function, const ArrowSchema *input, const ArrowSchema *output,
             const ArrowSchema *state)
{
    if (!type_parse(input, &function->input) || !type_parse(output, &function->output) ||
        (state != NULL && !type_parse(state, &function->state))) {
        return false;
    }
    function->has_state = state != NULL;
    if (function->input.kind != TYPE_STRUCT) {
        failure_set(FAILURE_SCHEMA, NULL, "the input schema is not a struct");
        return false;
    }
    size_t count = (size_t)function->input.n_children;
    function->readers = calloc(count + 1, sizeof(Reader));
    function->arguments = calloc(count + 2, sizeof(PyObject *));
    function->skipped = calloc(count + 1, sizeof(bool));
    if (function->readers == NULL || function->arguments == NULL || function->skipped == NULL) {
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

/* Takes ("failed", kind, message, exception) from the loader; anything else is its mistake. */
static void
take_loader_failure(PyObject *parts)
{
    if (!PyTuple_CheckExact(parts) || PyTuple_GET_SIZE(parts) != 4) {
        failure_set(FAILURE_INTERNAL, NULL, "the loader's answer has another form");
        return;
    }
    const char *kind = PyUnicode_AsUTF8(PyTuple_GET_ITEM(parts, 1));
    PyObject *message = PyTuple_GET_ITEM(parts, 2);
    PyObject *exception = PyTuple_GET_ITEM(parts, 3);
    const char *text = PyBytes_Check(message) ? PyBytes_AS_STRING(message) : NULL;
    failure_set_named(kind ? kind : "internal", text, exception == Py_None ? NULL : exception);
    PyErr_Clear();
}

/* Whether the loader's answer is a tuple of `size` that starts with `tag`. */
static bool
is_answer(PyObject *parts, const char *tag, Py_ssize_t size)
{
    return PyTuple_CheckExact(parts) && PyTuple_GET_SIZE(parts) == size &&
           PyUnicode_Check(PyTuple_GET_ITEM(parts, 0)) &&
           PyUnicode_EqualToUTF8(PyTuple_GET_ITEM(parts, 0), tag);
}

/* Takes ("bound", kind, target, skip, null_on_error, program) from the loader. */
static bool
take_handler(Function *function, PyObject *parts)
{
    PyObject *kind = PyTuple_GET_ITEM(parts, 1), *skip = PyTuple_GET_ITEM(parts, 3);
    size_t count = sizeof KINDS / sizeof KINDS[0], found = 0;
    while (found < count &&
           !(PyUnicode_Check(kind) && PyUnicode_EqualToUTF8(kind, KINDS[found].name))) {
        found++;
    }
    if (found == count || !PyTuple_CheckExact(skip) ||
        PyTuple_GET_SIZE(skip) != function->n_parameters) {
        failure_set(FAILURE_INTERNAL, NULL, "the loader's answer has another form");
        return false;
    }
    for (int64_t i = 0; i < function->n_parameters; i++) {
        function->skipped[i] = PyTuple_GET_ITEM(skip, (Py_ssize_t)i) == Py_True;
        function->skips |= function->skipped[i];
    }
    function->null_on_error = PyTuple_GET_ITEM(parts, 4) == Py_True;
    PyObject *target = PyTuple_GET_ITEM(parts, 2);
    if (found != KIND_AGGREGATE) {
        callable_set(&function->handler, target);
    }
    if (function->has_state != (found == KIND_AGGREGATE)) {
        failure_set(FAILURE_SCHEMA, NULL, "a function of kind %s with%s a state schema",
                    KINDS[found].name, function->has_state ? "" : "out");
        return false;
    }
    function->kind = (FunctionKind)found;
    PyObject *program = PyTuple_GET_ITEM(parts, 5);
    if (program != Py_None) {
        function->unboxed = unboxed_new(program, target, function->n_parameters);
        if (function->unboxed == NULL) {
            return false;
        }
    }
    return KINDS[found].methods->open == NULL || KINDS[found].methods->open(function, target);
}

/* Executes the user's code and binds the handler. */
static bool
bind_handler(Function *function, const char *spec, uint32_t spec_len)
{
    PyObject *parts =
        PyObject_CallFunction(guest.load, "y#Li", spec, (Py_ssize_t)spec_len,
                              (long long)function->n_parameters,
                              (int)unboxed_supports(&function->input, &function->output));
    if (parts == NULL) {
        return false;
    }
    bool bound = is_answer(parts, "bound", 6);
    if (bound) {
        bound = take_handler(function, parts);
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

/* Imports the user's code, binds the handler and compiles readers and writers for the schemas.
 * Returns a handle of 1 or more, or 0 with `vivarium_last_error`. */
VIVARIUM_EXPORT(vivarium_load)
int32_t
vivarium_load(const char *spec, uint32_t spec_len, const ArrowSchema *input,
              const ArrowSchema *output, const ArrowSchema *state)
{
    failure_clear();
    int32_t handle = 0;
    Function *function = calloc(1, sizeof(Function));
    if (function == NULL) {
        PyErr_NoMemory();
    } else if (build_codecs(function, input, output, state) &&
               bind_handler(function, spec, spec_len)) {
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

/* Executes a module and lists the functions that it declares. Writes address and length (two u32
 * in the guest) of JSON to `out`. 0, or -1 with `vivarium_last_error`. */
VIVARIUM_EXPORT(vivarium_describe)
int32_t
vivarium_describe(const char *spec, uint32_t spec_len, uintptr_t *out)
{
    failure_clear();
    PyObject *parts =
        PyObject_CallFunction(guest.describe, "y#", spec, (Py_ssize_t)spec_len);
    if (parts == NULL) {
        failure_from_exception(FAILURE_INTERNAL);
    } else if (is_answer(parts, "described", 2) && PyBytes_Check(PyTuple_GET_ITEM(parts, 1))) {
        Py_XSETREF(described, Py_NewRef(PyTuple_GET_ITEM(parts, 1)));
        out[0] = (uintptr_t)PyBytes_AS_STRING(described);
        out[1] = (uintptr_t)PyBytes_GET_SIZE(described);
    } else {
        take_loader_failure(parts);
    }
    Py_XDECREF(parts);
    guest_flush();
    return failure_is_set() ? -1 : 0;
}

bool
function_bind(Function *function, const ArrowArray *input, int64_t first)
{
    if (input == NULL || input->n_children != function->n_parameters + first ||
        input->length < 0) {
        failure_set(FAILURE_INTERNAL, NULL, "a batch with %lld columns for %lld parameters",
                    (long long)(input ? input->n_children : 0),
                    (long long)(function->n_parameters + first));
        return false;
    }
    for (int64_t i = 0; i < function->n_parameters; i++) {
        if (!reader_bind(&function->readers[i], input->children[first + i])) {
            return false;
        }
    }
    return true;
}

/* Notes what the row's arguments were. The exception that is raised stays raised. */
static void
describe_arguments(Function *function, int64_t row)
{
    if (failure_is_set() || PyErr_ExceptionMatches(PyExc_MemoryError)) {
        return;
    }
    PyObject *raised = PyErr_GetRaisedException();
    for (int64_t i = 0; i < function->n_parameters; i++) {
        PyObject *value = reader_value(&function->readers[i], row);
        if (value == NULL ||
            !failure_add_argument(function->input.children[i].name, value)) {
            Py_XDECREF(value);
            break;
        }
        Py_DECREF(value);
    }
    failure_clear();
    PyErr_SetRaisedException(raised);
}

int32_t
function_fail_at(Function *function, int64_t row, bool arguments)
{
    failure_forget_arguments();
    if (!failure_is_set()) {
        /* What was written so far is of no use any more, its memory is. */
        writer_drop_buffers(&function->writer);
        if (arguments) {
            describe_arguments(function, row);
        }
        failure_from_exception(FAILURE_EXCEPTION);
        failure_keep_arguments();
    }
    failure_set_row(row);
    PyErr_Clear();
    return ANSWER_FAILED;
}

int32_t
function_fail(Function *function, FailureKind kind)
{
    if (!failure_is_set()) {
        writer_drop_buffers(&function->writer);
        failure_from_exception(kind);
    }
    PyErr_Clear();
    return ANSWER_FAILED;
}

/* Performs one operation of a loaded function. A negative answer means `vivarium_last_error`, else
 * it is a set of bits, see ABI.md. */
VIVARIUM_EXPORT(vivarium_invoke)
int32_t
vivarium_invoke(int32_t handle, int32_t operation, ArrowArray *input, ArrowArray *output)
{
    failure_clear();
    if (handle < 1 || handle > n_functions) {
        failure_set(FAILURE_INTERNAL, NULL, "no function has the handle %d", (int)handle);
        return ANSWER_FAILED;
    }
    Function *function = functions[handle - 1];
    const KindMethods *methods = KINDS[function->kind].methods;
    if (operation < 0 || operation > OPERATION_FINISH ||
        (methods->operations >> operation & 1) == 0) {
        bool known = operation >= 0 && operation <= OPERATION_FINISH;
        failure_set(FAILURE_INTERNAL, NULL, "a function of kind %s has no operation %s (%d)",
                    KINDS[function->kind].name, known ? OPERATION_NAMES[operation] : "?",
                    (int)operation);
        return ANSWER_FAILED;
    }
    if (!entropy_renew()) {
        return ANSWER_FAILED;
    }
    int32_t answer = methods->invoke(function, (Operation)operation, input, output);
    guest_flush();
    return answer;
}
