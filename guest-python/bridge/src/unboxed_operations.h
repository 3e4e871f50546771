/* The operations of unboxed programs (see unboxed.h), in the order in which `vivarium/_unboxed.py` numbers
 * them; a test of the package compares the two.
 *
 * An instruction is an operation with three numbers: `to`, `a`, `b`. They are registers, but for jumps,
 * where `to` is the instruction to go on with. */
#ifndef VIVARIUM_UNBOXED_OPERATIONS_H
#define VIVARIUM_UNBOXED_OPERATIONS_H

/* Write the register `to`. */
#define UNBOXED_VALUES(OPERATION) \
    OPERATION(COPY)               \
    OPERATION(ADD)                \
    OPERATION(AND)                \
    OPERATION(FLOOR_DIVIDE)       \
    OPERATION(LSHIFT)             \
    OPERATION(MULTIPLY)           \
    OPERATION(REMAINDER)          \
    OPERATION(OR)                 \
    OPERATION(POWER)              \
    OPERATION(RSHIFT)             \
    OPERATION(SUBTRACT)           \
    OPERATION(TRUE_DIVIDE)        \
    OPERATION(XOR)                \
    OPERATION(LT)                 \
    OPERATION(LE)                 \
    OPERATION(EQ)                 \
    OPERATION(NE)                 \
    OPERATION(GT)                 \
    OPERATION(GE)                 \
    OPERATION(IS)                 \
    OPERATION(IS_NOT)             \
    OPERATION(NEGATIVE)           \
    OPERATION(POSITIVE)           \
    OPERATION(INVERT)             \
    OPERATION(NOT)                \
    OPERATION(TRUTH)              \
    OPERATION(ABS)                \
    OPERATION(FABS)               \
    OPERATION(MIN)                \
    OPERATION(MAX)                \
    OPERATION(INT)                \
    OPERATION(FLOAT)              \
    OPERATION(ROUND)              \
    OPERATION(FLOOR)              \
    OPERATION(CEIL)               \
    OPERATION(ISNAN)              \
    OPERATION(ISINF)              \
    OPERATION(ISFINITE)           \
    OPERATION(SQRT)               \
    OPERATION(MATH) /* `b` is the number of a function */ \
    OPERATION(LEN)                \
    OPERATION(TEXT) /* `str(a)` */ \
    OPERATION(UPPER)              \
    OPERATION(LOWER)              \
    OPERATION(STRIP)              \
    OPERATION(LSTRIP)             \
    OPERATION(RSTRIP)             \
    OPERATION(STARTS_WITH)        \
    OPERATION(ENDS_WITH)          \
    OPERATION(CONTAINS) /* `a in b` */ \
    OPERATION(INDEX) /* `a[b]` */ \
    OPERATION(SLICE) /* of `a`, from the register `b` to the one after it */ \
    OPERATION(RANGE) /* start, stop, step in `to` and the two after it become next, count, step */ \
    OPERATION(UNBIND)

/* Write nothing. */
#define UNBOXED_CHECKS(OPERATION) \
    OPERATION(CHECK_BOUND)        \
    OPERATION(RETURN)             \
    OPERATION(HAND_BACK)

/* Jump to `to`, or go on. */
#define UNBOXED_JUMPS(OPERATION) \
    OPERATION(JUMP)              \
    OPERATION(JUMP_IF)           \
    OPERATION(JUMP_UNLESS)       \
    OPERATION(JUMP_IF_NONE)      \
    OPERATION(JUMP_IF_NOT_NONE)  \
    OPERATION(JUMP_IF_LT)        \
    OPERATION(JUMP_IF_LE)        \
    OPERATION(JUMP_IF_EQ)        \
    OPERATION(JUMP_IF_NE)        \
    OPERATION(JUMP_IF_GT)        \
    OPERATION(JUMP_IF_GE)        \
    OPERATION(JUMP_UNLESS_LT)    \
    OPERATION(JUMP_UNLESS_LE)    \
    OPERATION(JUMP_UNLESS_EQ)    \
    OPERATION(JUMP_UNLESS_NE)    \
    OPERATION(JUMP_UNLESS_GT)    \
    OPERATION(JUMP_UNLESS_GE)    \
    OPERATION(FOR) /* the range at `a` gives its next value to `b`, or is at its end */

typedef enum {
#define UNBOXED_NAME(name) UNBOXED_##name,
    UNBOXED_VALUES(UNBOXED_NAME) UNBOXED_CHECKS(UNBOXED_NAME) UNBOXED_JUMPS(UNBOXED_NAME)
#undef UNBOXED_NAME
    UNBOXED_OPERATIONS,
} UnboxedOperation;

#endif
