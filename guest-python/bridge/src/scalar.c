/* Scalar functions: one call and one result per row. */
#include <Python.h>

#include <stdio.h>

#include "failure.h"
#include "function.h"
#include "guest.h"
#include "platform.h"
#include "row.h"
#include "unboxed.h"

/* So many rows in succession that an unboxed program hands back say that it is of no use for the batch. */
enum { MAX_HANDED_BACK = 32 };

/* Rows that failed in one batch and are null instead. */
typedef struct {
    int64_t count;
    int64_t first_row;
    char first[512];
} Failures;

/* Runs one row. 0, or -1 with a failure recorded or an exception raised. Inlined into the loops below,
 * which saves a row of `a + b` a tenth. */
VIVARIUM_INLINE int
invoke_row(Function *function, int64_t row)
{
    PyObject *result = call_row(function, &function->handler, NULL, row);
    if (result == NULL) {
        return -1;
    }
    int status = write_result(&function->writer, result);
    release_result(result);
    return status;
}

/* Takes the exception that is raised, if it is one that makes a row null. */
static bool
forgive(Function *function, Failures *failures, int64_t row)
{
    if (failure_is_set() || !function->output.nullable ||
        !PyErr_ExceptionMatches(PyExc_Exception) || PyErr_ExceptionMatches(PyExc_MemoryError)) {
        return false;
    }
    if (failures->count++ == 0) {
        failures->first_row = row;
        failure_from_exception(FAILURE_EXCEPTION);
        failure_brief(failures->first, sizeof failures->first);
        failure_clear();
    } else {
        PyErr_Clear();
    }
    return true;
}

static void
report(const Failures *failures, int64_t rows)
{
    char line[768];
    snprintf(line, sizeof line,
             "%lld of %lld rows failed and are null; the first one is row %lld: %s\n",
             (long long)failures->count, (long long)rows, (long long)failures->first_row,
             failures->first);
    guest_write_stderr(line);
}

/* As `invoke_rows`, where an exception makes its row null. */
static int64_t
invoke_rows_forgiving(Function *function, Failures *failures, int64_t row, int64_t rows)
{
    for (; row < rows; row++) {
        PyObject *result = NULL;
        int status;
        if (!function->skips || !row_is_skipped(function, row)) {
            result = call_row(function, &function->handler, NULL, row);
            if (result == NULL && !forgive(function, failures, row)) {
                break;
            }
        }
        status = result ? write_result(&function->writer, result)
                        : writer_append_null(&function->writer);
        Py_XDECREF(result);
        if (status < 0) {
            break;
        }
    }
    return row;
}

/* Calls the function for the rows from `row` to `rows`; the first one that did not succeed. */
static int64_t
invoke_rows(Function *function, Failures *failures, int64_t row, int64_t rows)
{
    if (function->null_on_error) {
        return invoke_rows_forgiving(function, failures, row, rows);
    }
    if (function->skips) {
        for (; row < rows; row++) {
            int status = row_is_skipped(function, row) ? writer_append_null(&function->writer)
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

/* As `invoke_rows`, for all rows of a function that is evaluated unboxed: calls those that are handed
 * back. When many in a row are, the rest of the batch is called. What a call changes may be what the
 * program relies on, as collecting garbage can run any code. */
static int64_t
evaluate_rows(Function *function, Failures *failures, int64_t rows)
{
    int64_t row = 0, in_succession = 0, failed;
    while (row < rows && in_succession < MAX_HANDED_BACK &&
           unboxed_begin(function->unboxed, function->handler.object)) {
        int64_t reached = unboxed_rows(function, row, rows, &failed);
        if (reached < 0) {
            return failed;
        }
        in_succession = reached == row ? in_succession + 1 : 1;
        row = reached;
        if (row < rows) {
            if (invoke_rows(function, failures, row, row + 1) == row) {
                return row;
            }
            row++;
        }
    }
    return invoke_rows(function, failures, row, rows);
}

static int32_t
scalar_invoke(Function *function, Operation Py_UNUSED(operation), ArrowArray *input,
              ArrowArray *output)
{
    if (!function_bind(function, input, 0)) {
        return ANSWER_FAILED;
    }
    if (!writer_reset(&function->writer, input->length)) {
        return function_fail(function, FAILURE_MEMORY);
    }
    Failures failures = {0};
    int64_t row = function->unboxed != NULL ? evaluate_rows(function, &failures, input->length)
                                            : invoke_rows(function, &failures, 0, input->length);
    if (failures.count > 0 && !failure_is_set() && !PyErr_Occurred()) {
        report(&failures, input->length);
    }
    if (row < input->length) {
        return function_fail_at(function, row, true);
    }
    if (!writer_finish(&function->writer)) {
        return function_fail(function, FAILURE_MEMORY);
    }
    *output = function->writer.array;
    return ANSWER_FILLED;
}

const KindMethods scalar_methods = {
    .invoke = scalar_invoke,
    .operations = 1u << OPERATION_CALL,
};
