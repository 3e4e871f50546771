/* The evaluator of blocks of rows. */
#include "unboxed_block.h"

#include <stdlib.h>

#include "reader.h"
#include "unboxed_arithmetic.h"
#include "unboxed_operations.h"

enum { MAX_BLOCK_REGISTERS = 24 };

struct UnboxedBlock {
    const Instruction *instructions;
    int64_t n_parameters;
    int n_registers;
    bool is_constant[MAX_BLOCK_REGISTERS]; /* read before anything is written there */
    bool constants_fit;                    /* they are numbers */
    BlockColumn left, right;               /* integers that became floats */
    BlockColumn registers[];
};

/* Which operands an operation reads; -1: blocks do not know it. */
static int
count_operands(unsigned operation)
{
    switch (operation) {
    case UNBOXED_COPY:
    case UNBOXED_NEGATIVE:
    case UNBOXED_ABS:
    case UNBOXED_FLOAT:
    case UNBOXED_SQRT:
    case UNBOXED_CHECK_BOUND:
    case UNBOXED_RETURN:
        return 1;
    case UNBOXED_ADD:
    case UNBOXED_SUBTRACT:
    case UNBOXED_MULTIPLY:
    case UNBOXED_FLOOR_DIVIDE:
    case UNBOXED_REMAINDER:
    case UNBOXED_TRUE_DIVIDE:
    case UNBOXED_AND:
    case UNBOXED_OR:
    case UNBOXED_XOR:
    case UNBOXED_LT:
    case UNBOXED_LE:
    case UNBOXED_EQ:
    case UNBOXED_NE:
    case UNBOXED_GT:
    case UNBOXED_GE:
        return 2;
    default:
        return -1;
    }
}

/* Looks at the program up to its first RETURN, which is its end, as nothing before it jumps. */
static bool
survey(UnboxedBlock *block, int64_t count)
{
    bool written[MAX_BLOCK_REGISTERS] = {false};
    for (int64_t i = 0; i < block->n_parameters; i++) {
        written[i] = true;
    }
    for (int64_t i = 0; i < count; i++) {
        const Instruction *at = &block->instructions[i];
        int operands = count_operands(at->operation);
        if (operands < 0) {
            return false;
        }
        if (!written[at->a]) {
            block->is_constant[at->a] = true;
        }
        if (operands == 2 && !written[at->b]) {
            block->is_constant[at->b] = true;
        }
        if (at->operation == UNBOXED_RETURN) {
            return true;
        }
        if (at->operation != UNBOXED_CHECK_BOUND) {
            if (block->is_constant[at->to]) {
                return false;
            }
            written[at->to] = true;
        }
    }
    return false;
}

UnboxedBlock *
block_new(const Unboxed *unboxed, int64_t count, int64_t n_parameters)
{
    int n_registers = unboxed->n_registers;
    if (n_registers > MAX_BLOCK_REGISTERS) {
        return NULL;
    }
    UnboxedBlock *block = malloc(sizeof(UnboxedBlock) + (size_t)n_registers * sizeof(BlockColumn));
    if (block == NULL) {
        return NULL;
    }
    block->instructions = unboxed->instructions;
    block->n_parameters = n_parameters;
    block->n_registers = n_registers;
    block->constants_fit = false;
    for (int i = 0; i < MAX_BLOCK_REGISTERS; i++) {
        block->is_constant[i] = false;
    }
    if (!survey(block, count)) {
        free(block);
        return NULL;
    }
    return block;
}

void
block_release(UnboxedBlock *block)
{
    free(block);
}

void
block_begin(UnboxedBlock *block, const Unboxed *unboxed)
{
    block->constants_fit = true;
    for (int i = 0; i < block->n_registers; i++) {
        const Value *value = &unboxed->registers[i];
        BlockColumn *column = &block->registers[i];
        if (!block->is_constant[i]) {
            continue;
        }
        if (value->tag != TAG_INT && value->tag != TAG_BOOL && value->tag != TAG_FLOAT) {
            block->constants_fit = false;
            return;
        }
        column->tag = value->tag;
        for (int row = 0; row < BLOCK_ROWS; row++) {
            if (value->tag == TAG_FLOAT) {
                column->reals[row] = value->real;
            } else {
                column->integers[row] = value->integer;
            }
        }
    }
}

/* Reads a column's part. False: it has a null there, or a value that programs do not have. */
static bool
load(BlockColumn *to, const Reader *reader, int64_t first, int64_t count)
{
    bool fits = true;
    if (reader->validity != NULL) {
        for (int64_t i = 0; i < count; i++) {
            fits &= bit_is_set(reader->validity, first + i);
        }
        if (!fits) {
            return false;
        }
    }
    to->tag = TAG_INT;
#define INTEGERS(KIND, ctype)                                            \
    case KIND:                                                           \
        for (int64_t i = 0; i < count; i++) {                            \
            to->integers[i] = ((const ctype *)reader->values)[first + i]; \
        }                                                                \
        return true;
    switch (reader->type->kind) {
    INTEGERS(TYPE_INT64, int64_t)
    INTEGERS(TYPE_INT32, int32_t)
    INTEGERS(TYPE_INT16, int16_t)
    INTEGERS(TYPE_INT8, int8_t)
    INTEGERS(TYPE_UINT32, uint32_t)
    INTEGERS(TYPE_UINT16, uint16_t)
    INTEGERS(TYPE_UINT8, uint8_t)
    case TYPE_UINT64:
        for (int64_t i = 0; i < count; i++) {
            uint64_t number = ((const uint64_t *)reader->values)[first + i];
            to->integers[i] = (int64_t)number;
            fits &= number <= INT64_MAX;
        }
        return fits;
    case TYPE_FLOAT64:
        to->tag = TAG_FLOAT;
        for (int64_t i = 0; i < count; i++) {
            to->reals[i] = ((const double *)reader->values)[first + i];
        }
        return true;
    case TYPE_FLOAT32:
        to->tag = TAG_FLOAT;
        for (int64_t i = 0; i < count; i++) {
            to->reals[i] = (double)((const float *)reader->values)[first + i];
        }
        return true;
    case TYPE_BOOL:
        to->tag = TAG_BOOL;
        for (int64_t i = 0; i < count; i++) {
            to->integers[i] = bit_is_set(reader->values, first + i);
        }
        return true;
    default:
        return false;
    }
#undef INTEGERS
}

/* The same values as floats, in `room` if they are integers. */
static const BlockColumn *
as_reals(const BlockColumn *column, BlockColumn *room, int64_t count)
{
    if (column->tag == TAG_FLOAT) {
        return column;
    }
    for (int64_t i = 0; i < count; i++) {
        room->reals[i] = (double)column->integers[i];
    }
    return room;
}

static bool
are_exact(const BlockColumn *column, int64_t count)
{
    bool exact = true;
    for (int64_t i = 0; i < count && column->tag != TAG_FLOAT; i++) {
        exact &= is_exact_in_double(column->integers[i]);
    }
    return exact;
}

static inline bool
float_add(double x, double y, double *result)
{
    *result = x + y;
    return true;
}

/* As in unboxed_run.c, with the same functions, in a loop. All rows are calculated, whatever becomes of one. */
#define ARITHMETIC(NAME, name)                                                                    \
    case UNBOXED_##NAME:                                                                          \
        if (both_integers) {                                                                      \
            for (int64_t i = 0; i < count; i++) {                                                 \
                int64_t result = 0;                                                               \
                fits &= int_##name(a->integers[i], b->integers[i], &result);                      \
                to->integers[i] = result;                                                         \
            }                                                                                     \
            to->tag = TAG_INT;                                                                    \
        } else {                                                                                  \
            const BlockColumn *x = as_reals(a, &block->left, count);                              \
            const BlockColumn *y = as_reals(b, &block->right, count);                             \
            for (int64_t i = 0; i < count; i++) {                                                 \
                double result = 0.0;                                                              \
                fits &= float_##name(x->reals[i], y->reals[i], &result);                          \
                to->reals[i] = result;                                                            \
            }                                                                                     \
            to->tag = TAG_FLOAT;                                                                  \
        }                                                                                         \
        break;

#define BITWISE(NAME, OPERATOR)                                                                   \
    case UNBOXED_##NAME:                                                                          \
        if (!both_integers) {                                                                     \
            return NULL;                                                                          \
        }                                                                                         \
        for (int64_t i = 0; i < count; i++) {                                                     \
            to->integers[i] = a->integers[i] OPERATOR b->integers[i];                             \
        }                                                                                         \
        to->tag = a->tag & b->tag;                                                                \
        break;

#define COMPARISON(NAME, OPERATOR)                                                                \
    case UNBOXED_##NAME:                                                                          \
        if (both_integers) {                                                                      \
            for (int64_t i = 0; i < count; i++) {                                                 \
                to->integers[i] = a->integers[i] OPERATOR b->integers[i];                         \
            }                                                                                     \
        } else {                                                                                  \
            fits &= are_exact(a, count) && are_exact(b, count);                                   \
            const BlockColumn *x = as_reals(a, &block->left, count);                              \
            const BlockColumn *y = as_reals(b, &block->right, count);                             \
            for (int64_t i = 0; i < count; i++) {                                                 \
                bool relation = x->reals[i] OPERATOR y->reals[i];                                 \
                to->integers[i] = relation;                                                       \
            }                                                                                     \
        }                                                                                         \
        to->tag = TAG_BOOL;                                                                       \
        break;

static const BlockColumn *
run(UnboxedBlock *block, int64_t count)
{
    bool fits = true;
    for (const Instruction *at = block->instructions; fits; at++) {
        const BlockColumn *a = &block->registers[at->a], *b = &block->registers[at->b];
        BlockColumn *to = &block->registers[at->to];
        bool two = count_operands(at->operation) == 2;
        bool both_integers = a->tag <= TAG_LAST_INT && (!two || b->tag <= TAG_LAST_INT);
        switch (at->operation) {
        case UNBOXED_COPY:
            if (to != a) {
                *to = *a;
            }
            break;
        ARITHMETIC(ADD, add)
        ARITHMETIC(SUBTRACT, subtract)
        ARITHMETIC(MULTIPLY, multiply)
        ARITHMETIC(FLOOR_DIVIDE, floor_divide)
        ARITHMETIC(REMAINDER, remainder)
        case UNBOXED_TRUE_DIVIDE: {
            const BlockColumn *x = as_reals(a, &block->left, count), *y = as_reals(b, &block->right, count);
            if (both_integers) {
                fits &= are_exact(a, count) && are_exact(b, count);
            }
            for (int64_t i = 0; i < count; i++) {
                double result = 0.0;
                fits &= float_true_divide(x->reals[i], y->reals[i], &result);
                to->reals[i] = result;
            }
            to->tag = TAG_FLOAT;
            break;
        }
        BITWISE(AND, &)
        BITWISE(OR, |)
        BITWISE(XOR, ^)
        COMPARISON(LT, <)
        COMPARISON(LE, <=)
        COMPARISON(EQ, ==)
        COMPARISON(NE, !=)
        COMPARISON(GT, >)
        COMPARISON(GE, >=)
        case UNBOXED_NEGATIVE:
        case UNBOXED_ABS:
            for (int64_t i = 0; i < count; i++) {
                bool flips = at->operation == UNBOXED_NEGATIVE;
                if (a->tag == TAG_FLOAT) {
                    to->reals[i] = flips ? -a->reals[i] : fabs(a->reals[i]);
                } else {
                    int64_t integer = a->integers[i];
                    fits &= integer != INT64_MIN;
                    flips |= integer < 0;
                    to->integers[i] = flips && integer != INT64_MIN ? -integer : integer;
                }
            }
            to->tag = a->tag == TAG_FLOAT ? TAG_FLOAT : TAG_INT;
            break;
        case UNBOXED_FLOAT:
        case UNBOXED_SQRT: {
            const BlockColumn *x = as_reals(a, &block->left, count);
            bool is_root = at->operation == UNBOXED_SQRT;
            for (int64_t i = 0; i < count; i++) {
                double real = x->reals[i];
                fits &= !is_root || real >= 0.0;
                to->reals[i] = is_root ? sqrt(real) : real;
            }
            to->tag = TAG_FLOAT;
            break;
        }
        case UNBOXED_CHECK_BOUND: /* nothing is unbound where nothing is left out */
            break;
        case UNBOXED_RETURN:
            return a;
        default:
            return NULL;
        }
    }
    return NULL;
}

const BlockColumn *
block_run(UnboxedBlock *block, const Function *function, int64_t row, int64_t count)
{
    if (!block->constants_fit) {
        return NULL;
    }
    for (int64_t i = 0; i < block->n_parameters; i++) {
        if (!load(&block->registers[i], &function->readers[i], row, count)) {
            return NULL;
        }
    }
    return run(block, count);
}
