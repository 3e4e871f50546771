/* Aggregate functions: states are Python objects, kept per group from one operation to the next. */
#include <Python.h>

#include <stdlib.h>
#include <string.h>

#include "failure.h"
#include "function.h"
#include "row.h"

struct Aggregate {
    Callable create_state, accumulate, retract, merge, finish;
    Reader reader;      /* states that other instances have written */
    Writer writer;      /* states for them */
    PyObject **states;  /* by group; NULL: not touched yet */
    int64_t n_states, capacity;
};

static void
forget_states(Aggregate *aggregate)
{
    /* Taken out first: dropping a state may run code of the user. */
    PyObject **states = aggregate->states;
    int64_t count = aggregate->n_states;
    aggregate->states = NULL;
    aggregate->n_states = aggregate->capacity = 0;
    for (int64_t i = 0; i < count; i++) {
        Py_XDECREF(states[i]);
    }
    free(states);
}

static void
aggregate_close(Function *function)
{
    Aggregate *aggregate = function->as.aggregate;
    if (aggregate != NULL) {
        forget_states(aggregate);
        Py_XDECREF(aggregate->create_state.object);
        Py_XDECREF(aggregate->accumulate.object);
        Py_XDECREF(aggregate->retract.object);
        Py_XDECREF(aggregate->merge.object);
        Py_XDECREF(aggregate->finish.object);
        reader_release(&aggregate->reader);
        writer_release(&aggregate->writer);
        free(aggregate);
    }
}

static bool
aggregate_open(Function *function, PyObject *target)
{
    Aggregate *aggregate = function->as.aggregate = calloc(1, sizeof(Aggregate));
    if (aggregate == NULL) {
        PyErr_NoMemory();
        return false;
    }
    if (!PyTuple_CheckExact(target) || PyTuple_GET_SIZE(target) != 5) {
        failure_set(FAILURE_INTERNAL, NULL, "the loader's answer has another form");
        return false;
    }
    Callable *const parts[] = {&aggregate->create_state, &aggregate->accumulate,
                               &aggregate->retract, &aggregate->merge, &aggregate->finish};
    for (Py_ssize_t i = 0; i < 5; i++) {
        if (PyTuple_GET_ITEM(target, i) != Py_None) {
            callable_set(parts[i], PyTuple_GET_ITEM(target, i));
        }
    }
    return reader_build(&aggregate->reader, &function->state, NULL) &&
           writer_build(&aggregate->writer, &function->state, NULL);
}

/* Makes room for groups below `count`. Raises MemoryError. */
static bool
reserve(Aggregate *aggregate, int64_t count)
{
    if (count > aggregate->capacity) {
        int64_t capacity = aggregate->capacity + aggregate->capacity / 2 + 64;
        capacity = capacity < count ? count : capacity;
        PyObject **states = NULL;
        if ((uint64_t)capacity < SIZE_MAX / sizeof(PyObject *)) {
            states = realloc(aggregate->states, (size_t)capacity * sizeof(PyObject *));
        }
        if (states == NULL) {
            PyErr_NoMemory();
            return false;
        }
        aggregate->states = states;
        aggregate->capacity = capacity;
    }
    if (count > aggregate->n_states) {
        size_t added = (size_t)(count - aggregate->n_states);
        memset(aggregate->states + aggregate->n_states, 0, added * sizeof(PyObject *));
        aggregate->n_states = count;
    }
    return true;
}

/* A group's state, taken out of the table (the caller owns it), or a new one. */
static PyObject *
take_state(Aggregate *aggregate, int64_t group)
{
    PyObject *state = aggregate->states[group];
    aggregate->states[group] = NULL;
    if (state == NULL) {
        state = aggregate->create_state.call(aggregate->create_state.object, NULL, 0, NULL);
    }
    return state;
}

static bool
update_row(Function *function, const Callable *callable, int64_t group, int64_t row)
{
    Aggregate *aggregate = function->as.aggregate;
    if (!reserve(aggregate, group + 1)) {
        return false;
    }
    PyObject *state = take_state(aggregate, group);
    if (state == NULL) {
        return false;
    }
    PyObject *next = call_row(function, callable, state, row);
    aggregate->states[group] = next;
    Py_DECREF(state);
    return next != NULL;
}

/* The groups of a batch; NULL with a failure recorded if they are not what the ABI says. */
static const uint32_t *
groups_of(const ArrowArray *input)
{
    if (input == NULL || input->length < 0 || input->n_children < 1 ||
        input->children[0]->n_buffers != 2 || input->children[0]->null_count != 0 ||
        input->children[0]->offset != 0) {
        failure_set(FAILURE_INTERNAL, NULL, "a batch without a column of groups");
        return NULL;
    }
    static const uint32_t none;
    const uint32_t *groups = input->children[0]->buffers[1];
    return groups ? groups : &none;
}

/* ACCUMULATE and RETRACT. */
static int32_t
update(Function *function, const Callable *callable, const ArrowArray *input)
{
    const uint32_t *groups = groups_of(input);
    if (groups == NULL || !function_bind(function, input, 1)) {
        return ANSWER_FAILED;
    }
    for (int64_t row = 0; row < input->length; row++) {
        if (function->skips && row_is_skipped(function, row)) {
            continue;
        }
        if (!update_row(function, callable, groups[row], row)) {
            return function_fail_at(function, row, true);
        }
    }
    return ANSWER_NOTHING;
}

static bool
merge_row(Aggregate *aggregate, int64_t group, int64_t row)
{
    PyObject *slots[3] = {NULL};
    PyObject **arguments = slots + 1, *merged = NULL;
    if (!reserve(aggregate, group + 1)) {
        return false;
    }
    arguments[1] = reader_value(&aggregate->reader, row);
    if (arguments[1] == NULL) {
        return false;
    }
    arguments[0] = take_state(aggregate, group);
    if (arguments[0] != NULL) {
        PyObject *state = arguments[0];
        merged = aggregate->merge.call(aggregate->merge.object, arguments,
                                       2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
        aggregate->states[group] = merged;
        Py_DECREF(state);
    }
    Py_DECREF(arguments[1]);
    return merged != NULL;
}

static int32_t
merge(Function *function, const ArrowArray *input)
{
    Aggregate *aggregate = function->as.aggregate;
    const uint32_t *groups = groups_of(input);
    if (groups == NULL) {
        return ANSWER_FAILED;
    }
    if (input->n_children != 2) {
        failure_set(FAILURE_INTERNAL, NULL, "a batch of states with %lld columns",
                    (long long)input->n_children);
        return ANSWER_FAILED;
    }
    if (!reader_bind(&aggregate->reader, input->children[1])) {
        return ANSWER_FAILED;
    }
    for (int64_t row = 0; row < input->length; row++) {
        if (!merge_row(aggregate, groups[row], row)) {
            return function_fail_at(function, row, false);
        }
    }
    return ANSWER_NOTHING;
}

/* Appends the state of a group, or with `finish` what the function makes of it. */
static bool
deliver_group(Aggregate *aggregate, Writer *writer, int64_t group, bool finish)
{
    PyObject *value = take_state(aggregate, group);
    if (value != NULL && finish) {
        PyObject *slots[2] = {NULL, value};
        PyObject *result = aggregate->finish.call(aggregate->finish.object, slots + 1,
                                                  1 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
        Py_DECREF(value);
        value = result;
    }
    if (value == NULL) {
        return false;
    }
    int status = write_result(writer, value);
    Py_DECREF(value);
    return status == 0;
}

/* STATES and FINISH: one value per group. */
static int32_t
deliver(Function *function, const ArrowArray *input, ArrowArray *output, bool finish)
{
    Aggregate *aggregate = function->as.aggregate;
    Writer *writer = finish ? &function->writer : &aggregate->writer;
    if (input == NULL || input->n_children != 0 || input->length < aggregate->n_states) {
        failure_set(FAILURE_INTERNAL, NULL, "%lld groups where %lld are in use",
                    (long long)(input ? input->length : 0), (long long)aggregate->n_states);
        return ANSWER_FAILED;
    }
    if (!writer_reset(writer, input->length) || !reserve(aggregate, input->length)) {
        return function_fail(function, FAILURE_MEMORY);
    }
    for (int64_t group = 0; group < input->length; group++) {
        if (!deliver_group(aggregate, writer, group, finish)) {
            return function_fail_at(function, group, false);
        }
    }
    if (!writer_finish(writer)) {
        return function_fail(function, FAILURE_MEMORY);
    }
    *output = writer->array;
    return ANSWER_FILLED;
}

static int32_t
aggregate_invoke(Function *function, Operation operation, ArrowArray *input, ArrowArray *output)
{
    Aggregate *aggregate = function->as.aggregate;
    int32_t answer = ANSWER_FAILED;
    switch (operation) {
    case OPERATION_ACCUMULATE:
        answer = update(function, &aggregate->accumulate, input);
        break;
    case OPERATION_RETRACT:
        if (aggregate->retract.object != NULL) {
            answer = update(function, &aggregate->retract, input);
        } else {
            failure_set(FAILURE_HANDLER, NULL, "the aggregate has no `retract`");
        }
        break;
    case OPERATION_MERGE:
        answer = merge(function, input);
        break;
    default:
        answer = deliver(function, input, output, operation == OPERATION_FINISH);
    }
    if (answer != ANSWER_NOTHING) {
        forget_states(aggregate);
    }
    return answer;
}

const KindMethods aggregate_methods = {
    .open = aggregate_open,
    .close = aggregate_close,
    .invoke = aggregate_invoke,
    .operations = 1u << OPERATION_ACCUMULATE | 1u << OPERATION_RETRACT | 1u << OPERATION_MERGE |
                  1u << OPERATION_STATES | 1u << OPERATION_FINISH,
};
