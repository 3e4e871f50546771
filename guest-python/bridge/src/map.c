/* Map functions: from an iterator of batches to an iterable of batches. */
#include "map.h"

#include <Python.h>

#include <stdio.h>
#include <stdlib.h>

#include "batch.h"
#include "block.h"
#include "buffer.h"
#include "bulk.h"
#include "column.h"
#include "failure.h"
#include "function.h"
#include "pull.h"
#include "row.h"

/* The input of one call. */
typedef struct {
    PyObject_HEAD
    Function *function;
    bool open;      /* the call has not ended */
    bool exhausted;
} Input;

struct Map {
    PyObject **names;   /* of the input columns */
    PyObject *iterator; /* over what the function gives, or NULL */
    Input *input;
    bool running;       /* inside an invocation: only then there is input */
};

static PyTypeObject *input_type;

/* ---- Input ---- */

static void
input_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_Free(self);
    Py_DECREF(type);
}

/* Columns of a batch by name. Raises. */
static PyObject *
columns_of(Function *function, Block *block, int64_t rows)
{
    PyObject *columns = PyDict_New();
    for (int64_t i = 0; columns != NULL && i < function->n_parameters; i++) {
        PyObject *column = column_new(block, &function->readers[i], rows);
        if (column == NULL ||
            PyDict_SetItem(columns, function->as.map->names[i], column) < 0) {
            Py_CLEAR(columns);
        }
        Py_XDECREF(column);
    }
    return columns;
}

static PyObject *
make_batch(Function *function, Block *block)
{
    const ArrowArray *array = block->memory;
    if (!function_bind(function, array, 0)) {
        failure_clear();
        PyErr_SetString(PyExc_RuntimeError, "an input batch has another form than was declared");
        return NULL;
    }
    PyObject *columns = columns_of(function, block, array->length);
    return columns ? batch_new(columns, (Py_ssize_t)array->length) : NULL;
}

static PyObject *
input_next(PyObject *self)
{
    Input *input = (Input *)self;
    if (!input->open || !input->function->as.map->running) {
        PyErr_SetString(PyExc_RuntimeError, "this input belongs to a call that is not running");
        return NULL;
    }
    if (input->exhausted) {
        return NULL;
    }
    int32_t size = vivarium_pull(NULL, 0);
    if (size == 0) {
        input->exhausted = true;
        return NULL;
    }
    void *memory = size < (int32_t)sizeof(ArrowArray) ? NULL : aligned_allocate((uint32_t)size);
    if (memory == NULL) {
        if (size > 0) {
            return PyErr_NoMemory();
        }
        PyErr_SetString(PyExc_RuntimeError, "there is no input here");
        return NULL;
    }
    if (vivarium_pull(memory, (uint32_t)size) != 0) {
        aligned_release(memory);
        PyErr_SetString(PyExc_RuntimeError, "the input has failed");
        return NULL;
    }
    Block *block = block_of_memory(memory, true);
    if (block == NULL) {
        aligned_release(memory);
        return NULL;
    }
    PyObject *batch = make_batch(input->function, block);
    Py_DECREF(block);
    return batch;
}

bool
map_init(void)
{
    static PyType_Slot slots[] = {
        {Py_tp_dealloc, input_dealloc},
        {Py_tp_iter, PyObject_SelfIter},
        {Py_tp_iternext, input_next},
        {0, NULL},
    };
    static PyType_Spec spec = {
        .name = "vivarium._Input",
        .basicsize = sizeof(Input),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
        .slots = slots,
    };
    input_type = (PyTypeObject *)PyType_FromSpec(&spec);
    return input_type != NULL;
}

/* ---- Life ---- */

/* Ends a call, whatever is left of it. */
static void
drop(Map *map)
{
    if (map->input != NULL) {
        map->input->open = false;
        Py_CLEAR(map->input);
    }
    Py_CLEAR(map->iterator); /* may run code of the user: a generator's `finally` */
}

static void
map_close(Function *function)
{
    Map *map = function->as.map;
    if (map != NULL) {
        drop(map);
        for (int64_t i = 0; map->names != NULL && i < function->n_parameters; i++) {
            Py_XDECREF(map->names[i]);
        }
        free(map->names);
        free(map);
    }
}

static bool
map_open(Function *function, PyObject *Py_UNUSED(target))
{
    if (function->output.kind != TYPE_STRUCT) {
        failure_set(FAILURE_SCHEMA, NULL, "the output schema of a map function is not a struct");
        return false;
    }
    Map *map = function->as.map = calloc(1, sizeof(Map));
    if (map == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (int64_t i = 0; i < function->writer.n_children; i++) {
        writer_set_root(&function->writer.children[i]);
    }
    map->names = type_field_names(&function->input);
    return map->names != NULL;
}

/* ---- Output ---- */

static int
reject_batch(PyObject *value)
{
    char got[512];
    failure_describe_value(value, got, sizeof got);
    failure_set(FAILURE_RESULT, NULL,
                "expected a batch (a RecordBatch, a dict of columns by name, or a list of rows), "
                "got %s",
                got);
    return -1;
}

static int
reject_unknown_column(Writer *writer, PyObject *columns)
{
    PyObject *name, *column;
    Py_ssize_t position = 0;
    while (PyDict_Next(columns, &position, &name, &column)) {
        bool known = false;
        for (int64_t i = 0; !known && i < writer->n_children; i++) {
            known = PyUnicode_Check(name) && PyUnicode_Compare(name, writer->keys[i]) == 0;
        }
        if (!known) {
            char shown[256];
            failure_describe_value(name, shown, sizeof shown);
            failure_set(FAILURE_RESULT, NULL,
                        "a batch has a column with the key %s, which is not declared", shown);
            return -1;
        }
    }
    failure_set(FAILURE_RESULT, NULL, "a batch has changed while it was read");
    return -1;
}

/* Appends columns by name. `rows` is -1 where the first column tells. */
static int
write_columns(Writer *writer, PyObject *columns, int64_t rows)
{
    Py_ssize_t found = 0;
    for (int64_t i = 0; i < writer->n_children; i++) {
        PyObject *column;
        int present = PyDict_GetItemRef(columns, writer->keys[i], &column);
        if (present <= 0) {
            if (present < 0) {
                return -1;
            }
            continue;
        }
        found++;
        int status = writer_append_column(&writer->children[i], column, rows);
        Py_DECREF(column);
        if (status < 0) {
            return -1;
        }
        rows = writer->children[i].length;
    }
    if (found != PyDict_GET_SIZE(columns)) {
        return reject_unknown_column(writer, columns);
    }
    writer->length = rows < 0 ? 0 : rows;
    for (int64_t i = 0; i < writer->n_children; i++) {
        Writer *child = &writer->children[i];
        if (child->length == 0 && writer->length > 0 && !child->type->nullable) {
            failure_set_at(FAILURE_RESULT, &child->path, "a batch has no such column");
            return -1;
        }
        while (child->length < writer->length) {
            if (writer_append_null(child) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

static int
write_rows(Writer *writer, PyObject *rows)
{
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(rows); i++) {
        PyObject *row = Py_NewRef(PySequence_Fast_GET_ITEM(rows, i));
        int status = row == Py_None ? writer_reject(writer, row, NULL) : writer->write(writer, row);
        Py_DECREF(row);
        if (status < 0) {
            if (failure_is_set()) {
                failure_set_row(i);
            }
            return -1;
        }
    }
    return 0;
}

static int
write_batch(Writer *writer, PyObject *value)
{
    if (batch_check(value)) {
        const Batch *batch = (const Batch *)value;
        return write_columns(writer, batch->columns, batch->rows);
    }
    if (PyDict_Check(value)) {
        return write_columns(writer, value, -1);
    }
    if (PyList_Check(value) || PyTuple_Check(value)) {
        return write_rows(writer, value);
    }
    return reject_batch(value);
}

/* ---- Invocation ---- */

/* Calls the function. False with a failure recorded or an exception raised. */
static bool
start(Function *function)
{
    Map *map = function->as.map;
    map->input = PyObject_New(Input, input_type);
    if (map->input == NULL) {
        return false;
    }
    map->input->function = function;
    map->input->open = true;
    map->input->exhausted = false;
    PyObject *slots[2] = {NULL, (PyObject *)map->input};
    PyObject *result = function->handler.call(function->handler.object, slots + 1,
                                              1 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    if (result == NULL) {
        return false;
    }
    bool refused = result == Py_None || batch_check(result) || PyDict_Check(result) ||
                   PyUnicode_Check(result) || PyBytes_Check(result);
    map->iterator = refused ? NULL : PyObject_GetIter(result);
    if (map->iterator == NULL && (refused || PyErr_ExceptionMatches(PyExc_TypeError))) {
        char got[512];
        PyErr_Clear();
        failure_describe_value(result, got, sizeof got);
        failure_set(FAILURE_RESULT, NULL,
                    "expected an iterable of batches (a generator, a list), got %s", got);
    }
    Py_DECREF(result);
    return map->iterator != NULL;
}

/* 1 with a batch in the writer, 0 at the end, -1 with a failure recorded or an exception raised. */
static int
next_batch(Function *function)
{
    PyObject *value = PyIter_Next(function->as.map->iterator);
    if (value == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    bool written = writer_reset(&function->writer, 0) &&
                   write_batch(&function->writer, value) == 0 && writer_finish(&function->writer);
    Py_DECREF(value);
    return written ? 1 : -1;
}

static int32_t
map_invoke(Function *function, Operation operation, ArrowArray *Py_UNUSED(input),
           ArrowArray *output)
{
    Map *map = function->as.map;
    int status = 0;
    if (operation == OPERATION_CALL) {
        drop(map);
    }
    map->running = true;
    if (operation == OPERATION_CALL && !start(function)) {
        status = -1;
    } else if (map->iterator != NULL) {
        status = next_batch(function);
    }
    map->running = false;
    if (status > 0) {
        *output = function->writer.array;
        return ANSWER_MORE;
    }
    int32_t answer = ANSWER_NOTHING;
    if (status < 0) {
        answer = function_fail(function, FAILURE_EXCEPTION);
    }
    drop(map);
    return answer;
}

const KindMethods map_methods = {
    .open = map_open,
    .close = map_close,
    .invoke = map_invoke,
    .operations = 1u << OPERATION_CALL | 1u << OPERATION_NEXT,
};
