/* Arithmetic exactly as CPython's `int` and `float` do it. False: hand the row back, because it would
 * raise, or because the result does not fit. */
#ifndef VIVARIUM_UNBOXED_ARITHMETIC_H
#define VIVARIUM_UNBOXED_ARITHMETIC_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

/* Integers up to this magnitude are exact as doubles. */
#define EXACT_IN_DOUBLE (INT64_C(1) << 53)

static inline bool
is_exact_in_double(int64_t x)
{
    return x >= -EXACT_IN_DOUBLE && x <= EXACT_IN_DOUBLE;
}

static inline bool
int_add(int64_t x, int64_t y, int64_t *result)
{
    return !__builtin_add_overflow(x, y, result);
}

static inline bool
int_subtract(int64_t x, int64_t y, int64_t *result)
{
    return !__builtin_sub_overflow(x, y, result);
}

static inline bool
int_multiply(int64_t x, int64_t y, int64_t *result)
{
    if (x == (int32_t)x && y == (int32_t)y) {
        *result = x * y; /* spares WebAssembly, which knows no overflow, a product of 128 bits */
        return true;
    }
    return !__builtin_mul_overflow(x, y, result);
}

/* Quotient and remainder, rounded towards minus infinity. */
static inline bool
int_divide(int64_t x, int64_t y, int64_t *quotient, int64_t *remainder)
{
    if ((((uint64_t)x | (uint64_t)y) >> 32) == 0 && y != 0) {
        *quotient = (uint32_t)x / (uint32_t)y; /* shorter on most processors */
        *remainder = (uint32_t)x % (uint32_t)y;
        return true;
    }
    if (y == 0 || (y == -1 && x == INT64_MIN)) {
        return false;
    }
    *quotient = x / y;
    *remainder = x % y;
    if (*remainder != 0 && (*remainder < 0) != (y < 0)) {
        *quotient -= 1;
        *remainder += y;
    }
    return true;
}

static inline bool
int_floor_divide(int64_t x, int64_t y, int64_t *result)
{
    int64_t remainder;
    return int_divide(x, y, result, &remainder);
}

static inline bool
int_remainder(int64_t x, int64_t y, int64_t *result)
{
    int64_t quotient;
    return int_divide(x, y, &quotient, result);
}

/* A quotient of doubles is the correctly rounded one if both are exact, which is what CPython gives. */
static inline bool
int_true_divide(int64_t x, int64_t y, double *result)
{
    if (y == 0 || !is_exact_in_double(x) || !is_exact_in_double(y)) {
        return false;
    }
    *result = (double)x / (double)y;
    return true;
}

static inline bool
int_lshift(int64_t x, int64_t y, int64_t *result)
{
    if (y < 0 || (y > 62 && x != 0)) {
        return false;
    }
    *result = x == 0 ? 0 : (int64_t)((uint64_t)x << y);
    return x == 0 || *result >> y == x;
}

static inline bool
int_rshift(int64_t x, int64_t y, int64_t *result)
{
    if (y < 0) {
        return false;
    }
    *result = x >> (y > 63 ? 63 : y);
    return true;
}

static inline bool
float_subtract(double x, double y, double *result)
{
    *result = x - y;
    return true;
}

static inline bool
float_multiply(double x, double y, double *result)
{
    *result = x * y;
    return true;
}

static inline bool
float_true_divide(double x, double y, double *result)
{
    *result = x / y;
    return y != 0.0;
}

bool float_floor_divide(double x, double y, double *result);
bool float_remainder(double x, double y, double *result);
bool float_power(double x, double y, double *result);
bool int_power(int64_t x, int64_t y, int64_t *result);

/* `round(x)` of a float: half-way cases to the even number. */
double float_round(double x);

/* The functions of the module `math` that take a number and give a float, by their number in
 * `vivarium/_unboxed.py`. */
enum { MATH_FUNCTIONS = 18 };
bool math_call(unsigned function, double x, double *result);

#endif
