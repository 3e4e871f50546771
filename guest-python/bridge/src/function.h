/* A loaded function, and what every kind of function does with a batch. */
#ifndef VIVARIUM_FUNCTION_H
#define VIVARIUM_FUNCTION_H

#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

#include "arrow_abi.h"
#include "reader.h"
#include "schema.h"
#include "writer.h"

typedef enum {
    KIND_SCALAR,
    KIND_VECTORIZED,
    KIND_TABLE,
    KIND_AGGREGATE,
    KIND_MAP,
} FunctionKind;

/* The operations of `vivarium_invoke`. */
typedef enum {
    OPERATION_CALL,
    OPERATION_NEXT,
    OPERATION_ACCUMULATE,
    OPERATION_RETRACT,
    OPERATION_MERGE,
    OPERATION_STATES,
    OPERATION_FINISH,
} Operation;

/* What `vivarium_invoke` answers: a failure, or bits. */
enum {
    ANSWER_FAILED_KEPT = -2, /* failed, and the guest still refers to the input block */
    ANSWER_FAILED = -1,
    ANSWER_FILLED = 0,
    ANSWER_MORE = 1,
    ANSWER_NOTHING = 2,
    ANSWER_KEPT = 16,
};

/* A callable of the user with the fastest way to call it. */
typedef struct {
    PyObject *object; /* NULL: there is none */
    vectorcallfunc call;
} Callable;

typedef struct Vectorized Vectorized;
typedef struct Table Table;
typedef struct Aggregate Aggregate;
typedef struct Map Map;
typedef struct Unboxed Unboxed;

typedef struct {
    FunctionKind kind;
    Type input;  /* a struct with the parameters as fields */
    Type output;
    Type state;  /* aggregates only */
    bool has_state;
    int64_t n_parameters;
    Reader *readers;
    Writer writer;
    Callable handler;
    bool *skipped; /* per parameter: a null there means that the row is left out */
    bool skips;    /* any of them */
    bool null_on_error;
    Unboxed *unboxed; /* scalar functions: NULL, or what calculates rows without the interpreter */
    PyObject **arguments; /* two more than parameters: see `function_arguments` */
    union {
        Vectorized *vectorized;
        Table *table;
        Aggregate *aggregate;
        Map *map;
    } as;
} Function;

/* Where the arguments of a call go. The callee may use the slot before them; aggregates put the
 * state there and let the callee use the one before that. */
static inline PyObject **
function_arguments(Function *function)
{
    return function->arguments + 2;
}

/* Takes a reference to `object`. */
void callable_set(Callable *callable, PyObject *object);

/* Binds the batch to the readers, of which the first one is the batch's column `first`. On failure
 * records an `internal` failure. */
bool function_bind(Function *function, const ArrowArray *input, int64_t first);

/* Ends a call whose row failed: turns a raised exception into a failure, with the arguments of
 * the row if `arguments` says so. Returns ANSWER_FAILED. */
int32_t function_fail_at(Function *function, int64_t row, bool arguments);

/* Ends a call that failed outside of any row. */
int32_t function_fail(Function *function, FailureKind kind);

/* One kind of function. All may be called with a failure recorded or an exception raised, and
 * answer what `vivarium_invoke` answers. */
typedef struct {
    /* Allocates what the kind needs, and checks the shapes of the schemas; on failure a failure is
     * recorded or an exception raised. NULL: nothing to do. `target` is what the loader bound. */
    bool (*open)(Function *function, PyObject *target);
    void (*close)(Function *function);
    int32_t (*invoke)(Function *function, Operation operation, ArrowArray *input,
                      ArrowArray *output);
    uint32_t operations; /* bit set of those that it knows */
} KindMethods;

extern const KindMethods scalar_methods, vectorized_methods, table_methods, aggregate_methods,
    map_methods;

#endif
