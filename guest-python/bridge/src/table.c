/* Table functions: every row gives any number of rows, delivered in chunks. */
#include <Python.h>

#include <stdlib.h>

#include "failure.h"
#include "function.h"
#include "row.h"

/* An answer holds no more rows, and is not continued above so many bytes. */
enum { CHUNK_ROWS = 8192, CHUNK_BYTES = 1 << 20 };

struct Table {
    PyObject *iterator; /* over the results of `row`, or NULL before the row's call */
    int64_t row, rows;  /* of the input, the current one and all; equal at the end */
};

static void
table_close(Function *function)
{
    if (function->as.table != NULL) {
        Py_XDECREF(function->as.table->iterator);
        free(function->as.table);
    }
}

static bool
table_open(Function *function, PyObject *Py_UNUSED(target))
{
    const Type *output = &function->output;
    if (output->kind != TYPE_STRUCT || output->n_children != 2 ||
        output->children[0].kind != TYPE_INT32) {
        failure_set(FAILURE_SCHEMA, NULL,
                    "the output schema of a table function is not a struct of row and value");
        return false;
    }
    writer_set_root(&function->writer.children[1]);
    function->as.table = calloc(1, sizeof(Table));
    if (function->as.table == NULL) {
        PyErr_NoMemory();
        return false;
    }
    return true;
}

/* Forgets what is left of the input. */
static void
drop(Table *table)
{
    table->row = table->rows = 0;
    Py_CLEAR(table->iterator); /* may run code of the user: a generator's `finally` */
}

/* Calls the function for the current row. False with a failure recorded or an exception raised. */
static bool
begin_row(Function *function)
{
    Table *table = function->as.table;
    PyObject *result = call_row(function, &function->handler, NULL, table->row);
    if (result == NULL) {
        return false;
    }
    bool refused = result == Py_None || PyUnicode_Check(result) || PyBytes_Check(result) ||
                   PyDict_Check(result);
    PyObject *iterator = refused ? NULL : PyObject_GetIter(result);
    if (iterator == NULL && (refused || PyErr_ExceptionMatches(PyExc_TypeError))) {
        char got[512];
        PyErr_Clear();
        failure_describe_value(result, got, sizeof got);
        failure_set_at(FAILURE_RESULT, &function->writer.children[1].path,
                       "expected an iterable of rows (a generator, a list), got %s", got);
    }
    Py_DECREF(result);
    table->iterator = iterator;
    return iterator != NULL;
}

/* Appends one result of the current row. */
static int
append(Function *function, PyObject *value)
{
    Writer *writer = &function->writer;
    int status = write_result(&writer->children[1], value);
    if (status == 0) {
        int32_t *row = writer_slot(&writer->children[0], sizeof(int32_t));
        if (row == NULL) {
            return -1;
        }
        *row = (int32_t)function->as.table->row;
        writer->length++;
    }
    return status;
}

/* Fills one chunk. False with a failure recorded or an exception raised. */
static bool
fill_chunk(Function *function)
{
    Table *table = function->as.table;
    const Writer *writer = &function->writer;
    while (table->row < table->rows && writer->length < CHUNK_ROWS &&
           writer_bytes(writer) < CHUNK_BYTES) {
        if (table->iterator == NULL) {
            if (function->skips && row_is_skipped(function, table->row)) {
                table->row++;
                continue;
            }
            if (!begin_row(function)) {
                return false;
            }
        }
        PyObject *value = PyIter_Next(table->iterator);
        if (value == NULL) {
            if (PyErr_Occurred()) {
                return false;
            }
            Py_CLEAR(table->iterator);
            table->row++;
            continue;
        }
        int status = append(function, value);
        release_result(value);
        if (status < 0) {
            return false;
        }
    }
    return true;
}

static int32_t
table_invoke(Function *function, Operation operation, ArrowArray *input, ArrowArray *output)
{
    Table *table = function->as.table;
    if (operation == OPERATION_CALL) {
        drop(table);
        if (!function_bind(function, input, 0)) {
            return ANSWER_FAILED;
        }
        table->rows = input->length;
    }
    if (!writer_reset(&function->writer, 0)) {
        return function_fail(function, FAILURE_MEMORY);
    }
    if (!fill_chunk(function)) {
        int32_t answer = function_fail_at(function, table->row, true);
        drop(table);
        return answer;
    }
    bool more = table->row < table->rows;
    if (!more) {
        drop(table);
    }
    if (!more && function->writer.length == 0) {
        return ANSWER_NOTHING;
    }
    if (!writer_finish(&function->writer)) {
        drop(table);
        return function_fail(function, FAILURE_MEMORY);
    }
    *output = function->writer.array;
    return more ? ANSWER_MORE : ANSWER_FILLED;
}

const KindMethods table_methods = {
    .open = table_open,
    .close = table_close,
    .invoke = table_invoke,
    .operations = 1u << OPERATION_CALL | 1u << OPERATION_NEXT,
};
