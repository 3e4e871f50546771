/* Programs without jumps over many rows at a time: a register is a column of values of one kind, and an
 * instruction a loop over it, which costs a fraction of deciding about each row's instruction anew.
 *
 * What a block cannot do (nulls, text, a row that is to be handed back) is left to `unboxed_run`, from the
 * block's first row on: it finds the row. */
#ifndef VIVARIUM_UNBOXED_BLOCK_H
#define VIVARIUM_UNBOXED_BLOCK_H

#include "function.h"
#include "unboxed_program.h"

/* Rows of a block. Its registers stay in the processor's nearest cache, and a row that spoils a block costs
 * few others. */
enum { BLOCK_ROWS = 128 };

typedef struct {
    union {
        int64_t integers[BLOCK_ROWS];
        double reals[BLOCK_ROWS];
    };
    uint32_t tag; /* of all values: TAG_INT, TAG_BOOL or TAG_FLOAT */
} BlockColumn;

/* Room for blocks of a program, or NULL if it has none: it jumps, is about text, or memory is short. */
UnboxedBlock *block_new(const Unboxed *unboxed, int64_t count, int64_t n_parameters);
void block_release(UnboxedBlock *block);

/* Takes constants and globals out of the program's registers. Before the first block of a batch. */
void block_begin(UnboxedBlock *block, const Unboxed *unboxed);

/* The results of `count` rows, at most BLOCK_ROWS; NULL: they are to be run one by one. */
const BlockColumn *block_run(UnboxedBlock *block, const Function *function, int64_t row, int64_t count);

#endif
