/* The evaluator of unboxed programs. */
#include "unboxed_value.h"

#include "unboxed_arithmetic.h"
#include "unboxed_operations.h"
#include "unboxed_text.h"

/* Integers become doubles as `float(x)` rounds them. */
static inline bool
take_real(const Value *value, double *real)
{
    if (value->tag == TAG_FLOAT) {
        *real = value->real;
        return true;
    }
    *real = (double)value->integer;
    return value->tag <= TAG_LAST_INT;
}

/* Whether a value is true; for those that programs have, this never fails. */
static inline bool
is_true(const Value *value)
{
    switch (value->tag) {
    case TAG_FLOAT:
        return value->real != 0.0;
    case TAG_TEXT:
        return value->length != 0;
    default:
        return value->integer != 0;
    }
}

/* Compares an int with a float, as both being doubles; -1: handed back. */
#define COMPARE_MIXED(left, right, OPERATOR) \
    (is_exact_in_double(integer) ? (left) OPERATOR (right) : -1)

/* The relation of two values: 0, 1, or -1 if the row is handed back. EQUALITY is the answer for other kinds
 * than numbers and text, given whether both are of one, which is None then; -1 for orders. */
#define RELATION(name, OPERATOR, EQUALITY)                                     \
    static inline int                                                          \
    is_##name(const Value *a, const Value *b)                                  \
    {                                                                          \
        uint32_t tags = a->tag | b->tag;                                       \
        if (tags <= TAG_LAST_INT) {                                            \
            return a->integer OPERATOR b->integer;                             \
        }                                                                      \
        if (tags <= TAG_LAST_NUMBER) {                                         \
            if (a->tag != TAG_FLOAT) {                                         \
                int64_t integer = a->integer;                                  \
                return COMPARE_MIXED((double)integer, b->real, OPERATOR);      \
            }                                                                  \
            if (b->tag != TAG_FLOAT) {                                         \
                int64_t integer = b->integer;                                  \
                return COMPARE_MIXED(a->real, (double)integer, OPERATOR);      \
            }                                                                  \
            return a->real OPERATOR b->real;                                   \
        }                                                                      \
        if (are_texts(a, b)) {                                                 \
            return text_compare(a, b) OPERATOR 0;                              \
        }                                                                      \
        bool both = a->tag == b->tag;                                          \
        (void)both;                                                            \
        return EQUALITY;                                                       \
    }

RELATION(lt, <, -1)
RELATION(le, <=, -1)
RELATION(eq, ==, both)
RELATION(ne, !=, !both)
RELATION(gt, >, -1)
RELATION(ge, >=, -1)

/* Python's identity, where one of the two is None, True or False. */
static inline bool
is_same(const Value *a, const Value *b)
{
    return a->tag == b->tag && a->integer == b->integer;
}

static bool
power(Value *to, const Value *a, const Value *b)
{
    int64_t integer;
    double x, y, real;
    if ((a->tag | b->tag) <= TAG_LAST_INT && b->integer >= 0) {
        if (!int_power(a->integer, b->integer, &integer)) {
            return false;
        }
        value_set_integer(to, integer);
        return true;
    }
    if (!take_real(a, &x) || !take_real(b, &y) || !float_power(x, y, &real)) {
        return false;
    }
    value_set_real(to, real);
    return true;
}

typedef double (*Rounding)(double);

/* An int from a number; of a float what `rounding` gives. */
static inline bool
make_int(Value *to, const Value *from, Rounding rounding)
{
    int64_t integer = from->integer;
    if (from->tag == TAG_FLOAT ? !value_take_whole(rounding(from->real), &integer)
                               : from->tag > TAG_LAST_INT) {
        return false;
    }
    value_set_integer(to, integer);
    return true;
}

static bool
absolute(Value *to, const Value *from)
{
    if (from->tag == TAG_FLOAT) {
        value_set_real(to, fabs(from->real));
    } else if (from->tag <= TAG_LAST_INT && from->integer != INT64_MIN) {
        value_set_integer(to, from->integer < 0 ? -from->integer : from->integer);
    } else {
        return false;
    }
    return true;
}

static bool
negative(Value *to, const Value *from)
{
    if (from->tag == TAG_FLOAT) {
        value_set_real(to, -from->real);
    } else if (from->tag <= TAG_LAST_INT && from->integer != INT64_MIN) {
        value_set_integer(to, -from->integer);
    } else {
        return false;
    }
    return true;
}

/* Start, stop and step of a range become its first value, its length, and the step. */
static bool
make_range(Value *range)
{
    const int64_t bound = INT64_C(1) << 61; /* no difference overflows */
    for (int i = 0; i < 3; i++) {
        if (range[i].tag > TAG_LAST_INT || range[i].integer < -bound || range[i].integer > bound) {
            return false;
        }
    }
    int64_t start = range[0].integer, stop = range[1].integer, step = range[2].integer;
    int64_t count = 0;
    if (step == 0) {
        return false;
    }
    if (step > 0 && start < stop) {
        count = (stop - start - 1) / step + 1;
    } else if (step < 0 && start > stop) {
        count = (start - stop - 1) / -step + 1;
    }
    value_set_integer(&range[0], start);
    value_set_integer(&range[1], count);
    value_set_integer(&range[2], step);
    return true;
}

/* Calculations whose operands may be ints or floats. */
#define ARITHMETIC(NAME, name)                                            \
    case UNBOXED_##NAME:                                                  \
        if ((a->tag | b->tag) <= TAG_LAST_INT) {                          \
            if (!int_##name(a->integer, b->integer, &integer)) {          \
                return NULL;                                              \
            }                                                             \
            value_set_integer(to, integer);                               \
        } else {                                                          \
            if (!take_real(a, &x) || !take_real(b, &y) ||                 \
                !float_##name(x, y, &real)) {                             \
                return NULL;                                              \
            }                                                             \
            value_set_real(to, real);                                     \
        }                                                                 \
        break;

/* Calculations with bits: of two truth values another one. */
#define BITWISE(NAME, OPERATOR)                                           \
    case UNBOXED_##NAME:                                                  \
        if ((a->tag | b->tag) > TAG_LAST_INT) {                           \
            return NULL;                                                  \
        }                                                                 \
        integer = a->integer OPERATOR b->integer;                         \
        to->tag = a->tag & b->tag;                                        \
        to->integer = integer;                                            \
        break;

#define SHIFT(NAME, name)                                                 \
    case UNBOXED_##NAME:                                                  \
        if ((a->tag | b->tag) > TAG_LAST_INT ||                           \
            !int_##name(a->integer, b->integer, &integer)) {              \
            return NULL;                                                  \
        }                                                                 \
        value_set_integer(to, integer);                                   \
        break;

#define COMPARISON(NAME, name)                                            \
    case UNBOXED_##NAME:                                                  \
        if ((relation = is_##name(a, b)) < 0) {                           \
            return NULL;                                                  \
        }                                                                 \
        value_set_bool(to, relation);                                     \
        break;                                                            \
    case UNBOXED_JUMP_IF_##NAME:                                          \
        if ((relation = is_##name(a, b)) < 0) {                           \
            return NULL;                                                  \
        }                                                                 \
        if (relation) {                                                   \
            goto jump;                                                    \
        }                                                                 \
        break;                                                            \
    case UNBOXED_JUMP_UNLESS_##NAME:                                      \
        if ((relation = is_##name(a, b)) < 0) {                           \
            return NULL;                                                  \
        }                                                                 \
        if (!relation) {                                                  \
            goto jump;                                                    \
        }                                                                 \
        break;

#define CALCULATED(NAME, CALL)                                                \
    case UNBOXED_##NAME:                                                  \
        if (!(CALL)) {                                                    \
            return NULL;                                                  \
        }                                                                 \
        break;

#define PREDICATE(NAME, EXPRESSION)                                       \
    case UNBOXED_##NAME:                                                  \
        if (!take_real(a, &x)) {                                          \
            return NULL;                                                  \
        }                                                                 \
        value_set_bool(to, EXPRESSION);                                   \
        break;

const Value *
unboxed_run(const Instruction *program, Value *registers)
{
    int64_t integer;
    double x, y, real;
    int relation;
    text_begin();
    for (const Instruction *at = program;; at++) {
        const Value *a = &registers[at->a], *b = &registers[at->b];
        Value *to = &registers[at->to];
        switch ((UnboxedOperation)at->operation) {
        case UNBOXED_COPY:
            *to = *a;
            break;
        case UNBOXED_ADD:
            if ((a->tag | b->tag) <= TAG_LAST_INT) {
                if (!int_add(a->integer, b->integer, &integer)) {
                    return NULL;
                }
                value_set_integer(to, integer);
            } else if (are_texts(a, b)) {
                if (!text_join(to, a, b)) {
                    return NULL;
                }
            } else if (take_real(a, &x) && take_real(b, &y)) {
                value_set_real(to, x + y);
            } else {
                return NULL;
            }
            break;
        ARITHMETIC(SUBTRACT, subtract)
        ARITHMETIC(MULTIPLY, multiply)
        ARITHMETIC(FLOOR_DIVIDE, floor_divide)
        ARITHMETIC(REMAINDER, remainder)
        case UNBOXED_TRUE_DIVIDE:
            if ((a->tag | b->tag) <= TAG_LAST_INT) {
                if (!int_true_divide(a->integer, b->integer, &real)) {
                    return NULL;
                }
            } else if (!take_real(a, &x) || !take_real(b, &y) || !float_true_divide(x, y, &real)) {
                return NULL;
            }
            value_set_real(to, real);
            break;
        CALCULATED(POWER, power(to, a, b))
        BITWISE(AND, &)
        BITWISE(OR, |)
        BITWISE(XOR, ^)
        SHIFT(LSHIFT, lshift)
        SHIFT(RSHIFT, rshift)
        COMPARISON(LT, lt)
        COMPARISON(LE, le)
        COMPARISON(EQ, eq)
        COMPARISON(NE, ne)
        COMPARISON(GT, gt)
        COMPARISON(GE, ge)
        case UNBOXED_IS:
            value_set_bool(to, is_same(a, b));
            break;
        case UNBOXED_IS_NOT:
            value_set_bool(to, !is_same(a, b));
            break;
        case UNBOXED_POSITIVE:
            if (a->tag > TAG_LAST_NUMBER) {
                return NULL;
            }
            *to = *a;
            to->tag &= ~(uint32_t)TAG_BOOL;
            break;
        case UNBOXED_INVERT:
            if (a->tag != TAG_INT) {
                return NULL; /* of a truth value it warns */
            }
            value_set_integer(to, ~a->integer);
            break;
        case UNBOXED_NOT:
            value_set_bool(to, !is_true(a));
            break;
        case UNBOXED_TRUTH:
            value_set_bool(to, is_true(a));
            break;
        CALCULATED(NEGATIVE, negative(to, a))
        CALCULATED(ABS, absolute(to, a))
        CALCULATED(INT, make_int(to, a, trunc))
        CALCULATED(ROUND, make_int(to, a, float_round))
        CALCULATED(FLOOR, make_int(to, a, floor))
        CALCULATED(CEIL, make_int(to, a, ceil))
        case UNBOXED_MIN:
            if ((relation = is_lt(b, a)) < 0) {
                return NULL;
            }
            *to = relation ? *b : *a;
            break;
        case UNBOXED_MAX:
            if ((relation = is_gt(b, a)) < 0) {
                return NULL;
            }
            *to = relation ? *b : *a;
            break;
        case UNBOXED_FLOAT:
            if (!take_real(a, &x)) {
                return NULL;
            }
            value_set_real(to, x);
            break;
        case UNBOXED_FABS:
            if (!take_real(a, &x)) {
                return NULL;
            }
            value_set_real(to, fabs(x));
            break;
        PREDICATE(ISNAN, isnan(x))
        PREDICATE(ISINF, isinf(x))
        PREDICATE(ISFINITE, isfinite(x))
        case UNBOXED_SQRT:
            if (!take_real(a, &x) || !(x >= 0.0)) {
                return NULL;
            }
            value_set_real(to, sqrt(x));
            break;
        case UNBOXED_MATH:
            if (!take_real(a, &x) || !math_call(at->b, x, &real)) {
                return NULL;
            }
            value_set_real(to, real);
            break;
        CALCULATED(LEN, text_length(to, a))
        CALCULATED(TEXT, text_of(to, a))
        CALCULATED(UPPER, text_upper(to, a))
        CALCULATED(LOWER, text_lower(to, a))
        CALCULATED(STRIP, text_strip(to, a, true, true))
        CALCULATED(LSTRIP, text_strip(to, a, true, false))
        CALCULATED(RSTRIP, text_strip(to, a, false, true))
        CALCULATED(STARTS_WITH, text_starts_with(to, a, b))
        CALCULATED(ENDS_WITH, text_ends_with(to, a, b))
        CALCULATED(CONTAINS, text_contains(to, a, b))
        CALCULATED(INDEX, text_index(to, a, b))
        CALCULATED(SLICE, text_slice(to, a, b))
        CALCULATED(RANGE, make_range(to))
        case UNBOXED_UNBIND:
            to->tag = TAG_UNBOUND;
            break;
        case UNBOXED_CHECK_BOUND:
            if (a->tag == TAG_UNBOUND) {
                return NULL;
            }
            break;
        case UNBOXED_RETURN:
            return a;
        case UNBOXED_JUMP:
            goto jump;
        case UNBOXED_JUMP_IF:
            if (is_true(a)) {
                goto jump;
            }
            break;
        case UNBOXED_JUMP_UNLESS:
            if (!is_true(a)) {
                goto jump;
            }
            break;
        case UNBOXED_JUMP_IF_NONE:
            if (a->tag == TAG_NONE) {
                goto jump;
            }
            break;
        case UNBOXED_JUMP_IF_NOT_NONE:
            if (a->tag != TAG_NONE) {
                goto jump;
            }
            break;
        case UNBOXED_FOR: {
            Value *range = &registers[at->a];
            if (range[1].integer == 0) {
                goto jump;
            }
            range[1].integer--;
            value_set_integer(&registers[at->b], range[0].integer);
            range[0].integer += range[2].integer;
            break;
        }
        case UNBOXED_HAND_BACK:
        case UNBOXED_OPERATIONS:
            return NULL;
        }
        continue;
    jump:
        at = program + at->to - 1;
    }
}
