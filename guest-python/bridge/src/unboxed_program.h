/* A loaded unboxed program. */
#ifndef VIVARIUM_UNBOXED_PROGRAM_H
#define VIVARIUM_UNBOXED_PROGRAM_H

#include <Python.h>

#include <stdint.h>

#include "unboxed.h"
#include "unboxed_value.h"

/* A global that the program uses. The references are the program's. */
typedef struct {
    int to;              /* the register that a number goes to; negative: `expected` is what it must be */
    PyObject *name;
    PyObject *module;    /* NULL, or what the name must be, */
    PyObject *attribute; /* and the attribute of it that is meant */
    PyObject *expected;
} Global;

typedef struct UnboxedBlock UnboxedBlock;

struct Unboxed {
    PyObject *program; /* what the translator made; keeps alive what globals refer to */
    PyObject *code;    /* the code that was translated */
    Instruction *instructions;
    Value *registers;  /* the first ones are the parameters */
    int n_registers;
    Global *globals;
    int64_t n_globals;
    UnboxedBlock *block; /* NULL: rows are run one by one */
};

#endif
