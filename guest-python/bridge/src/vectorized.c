/* Vectorised functions: one call per batch, with a Column per parameter. */
#include <Python.h>

#include <stdlib.h>
#include <string.h>

#include "block.h"
#include "bulk.h"
#include "column.h"
#include "failure.h"
#include "function.h"
#include "row.h"

/* Rows that follow each other without one that is left out. */
typedef struct {
    int64_t start, count;
} Run;

struct Vectorized {
    Writer writer; /* results of the rows that are not left out */
    Reader reader; /* the same as a column */
    Run *runs;     /* of the batch, where rows are left out */
    int64_t n_runs, capacity;
    int64_t seen;  /* rows in all runs */
};

static void
vectorized_close(Function *function)
{
    Vectorized *vectorized = function->as.vectorized;
    if (vectorized != NULL) {
        writer_release(&vectorized->writer);
        reader_release(&vectorized->reader);
        free(vectorized->runs);
        free(vectorized);
    }
}

static bool
vectorized_open(Function *function, PyObject *Py_UNUSED(target))
{
    Vectorized *vectorized = function->as.vectorized = calloc(1, sizeof(Vectorized));
    if (vectorized == NULL) {
        PyErr_NoMemory();
        return false;
    }
    return writer_build(&vectorized->writer, &function->output, NULL) &&
           reader_build(&vectorized->reader, &function->output, NULL);
}

static bool
add_row(Vectorized *vectorized, int64_t row)
{
    Run *last = vectorized->n_runs > 0 ? &vectorized->runs[vectorized->n_runs - 1] : NULL;
    vectorized->seen++;
    if (last != NULL && last->start + last->count == row) {
        last->count++;
        return true;
    }
    if (vectorized->n_runs == vectorized->capacity) {
        int64_t capacity = vectorized->capacity * 2 + 16;
        Run *runs = realloc(vectorized->runs, (size_t)capacity * sizeof(Run));
        if (runs == NULL) {
            PyErr_NoMemory();
            return false;
        }
        vectorized->runs = runs;
        vectorized->capacity = capacity;
    }
    vectorized->runs[vectorized->n_runs++] = (Run){row, 1};
    return true;
}

/* Finds the rows that the function shall see. Raises MemoryError. */
static bool
select_rows(Function *function, int64_t rows)
{
    Vectorized *vectorized = function->as.vectorized;
    vectorized->n_runs = vectorized->seen = 0;
    for (int64_t row = 0; row < rows; row++) {
        if (!row_is_skipped(function, row) && !add_row(vectorized, row)) {
            return false;
        }
    }
    return true;
}

/* The row of the batch that the function saw as its `index`th. */
static int64_t
row_of(const Vectorized *vectorized, int64_t index)
{
    for (int64_t i = 0; i < vectorized->n_runs; i++) {
        if (index < vectorized->runs[i].count) {
            return vectorized->runs[i].start + index;
        }
        index -= vectorized->runs[i].count;
    }
    return -1;
}

/* A column of its own memory with the selected rows only. */
static PyObject *
gather(Vectorized *vectorized, const Reader *reader)
{
    PyObject *column = NULL;
    Block *block = block_of_writer(reader->type);
    if (block == NULL) {
        return NULL;
    }
    int status = 0;
    for (int64_t i = 0; status == 0 && i < vectorized->n_runs; i++) {
        const Run *run = &vectorized->runs[i];
        status = writer_append_rows(block->writer, reader, run->start, run->count);
    }
    if (status == 0 && writer_finish(block->writer)) {
        Reader bound;
        if (reader_clone(&bound, reader) && reader_bind(&bound, &block->writer->array)) {
            column = column_new(block, &bound, vectorized->seen);
        }
        reader_release(&bound);
    }
    Py_DECREF(block);
    return column;
}

/* Calls the function; a new reference, or NULL with a failure recorded or an exception raised. */
static PyObject *
call(Function *function, Block *block, int64_t rows, bool partial)
{
    PyObject **arguments = function_arguments(function), *result = NULL;
    Py_ssize_t count = (Py_ssize_t)function->n_parameters, filled = 0;
    for (; filled < count; filled++) {
        const Reader *reader = &function->readers[filled];
        arguments[filled] = partial ? gather(function->as.vectorized, reader)
                                    : column_new(block, reader, rows);
        if (arguments[filled] == NULL) {
            break;
        }
    }
    if (filled == count) {
        result = function->handler.call(function->handler.object, arguments,
                                        (size_t)count | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    }
    while (filled > 0) {
        Py_DECREF(arguments[--filled]);
    }
    return result;
}

/* Puts the results of the selected rows into their places, with nulls between them. */
static bool
scatter(Function *function, int64_t rows)
{
    Vectorized *vectorized = function->as.vectorized;
    Writer *writer = &function->writer;
    if (!writer_finish(&vectorized->writer) ||
        !reader_bind(&vectorized->reader, &vectorized->writer.array)) {
        return false;
    }
    int64_t taken = 0, run = 0;
    while (writer->length < rows) {
        if (run < vectorized->n_runs && writer->length == vectorized->runs[run].start) {
            int64_t count = vectorized->runs[run++].count;
            if (writer_append_rows(writer, &vectorized->reader, taken, count) < 0) {
                return false;
            }
            taken += count;
        } else if (writer_append_null(writer) < 0) {
            failure_set_row(writer->length);
            return false;
        }
    }
    return true;
}

/* Runs the function over the rows that it shall see. */
static bool
run(Function *function, Block *block, int64_t rows)
{
    Vectorized *vectorized = function->as.vectorized;
    int64_t seen = function->skips ? vectorized->seen : rows;
    bool partial = seen < rows;
    Writer *writer = partial ? &vectorized->writer : &function->writer;
    if (seen > 0) {
        PyObject *result = call(function, block, rows, partial);
        int status = result ? writer_take_column(writer, result, seen) : -1;
        if (status < 0 && partial && failure_is_set() && failure_row() >= 0) {
            failure_set_row(row_of(vectorized, failure_row()));
        }
        Py_XDECREF(result);
        if (status < 0) {
            return false;
        }
    }
    return !partial || scatter(function, rows);
}

static int32_t
vectorized_invoke(Function *function, Operation Py_UNUSED(operation), ArrowArray *input,
                  ArrowArray *output)
{
    if (!function_bind(function, input, 0)) {
        return ANSWER_FAILED;
    }
    int64_t rows = input->length;
    Block *block = NULL;
    int32_t answer = ANSWER_FILLED;
    if (!writer_reset(&function->writer, 0) ||
        !writer_reset(&function->as.vectorized->writer, 0) ||
        (function->skips && !select_rows(function, rows)) ||
        (block = block_of_memory(input, false)) == NULL || !run(function, block, rows) ||
        !writer_finish(&function->writer)) {
        answer = function_fail(function, FAILURE_EXCEPTION);
    } else {
        *output = function->writer.array;
    }
    if (block != NULL && block_leave(block)) {
        answer = answer == ANSWER_FAILED ? ANSWER_FAILED_KEPT : answer | ANSWER_KEPT;
    }
    return answer;
}

const KindMethods vectorized_methods = {
    .open = vectorized_open,
    .close = vectorized_close,
    .invoke = vectorized_invoke,
    .operations = 1u << OPERATION_CALL,
};
