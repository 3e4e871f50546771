#include "unboxed_arithmetic.h"

/* As `_float_div_mod` of CPython. */
bool
float_floor_divide(double x, double y, double *result)
{
    if (y == 0.0) {
        return false;
    }
    double remainder = fmod(x, y);
    double quotient = (x - remainder) / y;
    if (remainder != 0.0 && (y < 0) != (remainder < 0)) {
        quotient -= 1.0;
    }
    if (quotient != 0.0) {
        *result = floor(quotient);
        if (quotient - *result > 0.5) {
            *result += 1.0;
        }
    } else {
        *result = copysign(0.0, x / y);
    }
    return true;
}

/* As `float_rem` of CPython. */
bool
float_remainder(double x, double y, double *result)
{
    if (y == 0.0) {
        return false;
    }
    double remainder = fmod(x, y);
    if (remainder == 0.0) {
        remainder = copysign(0.0, y);
    } else if ((y < 0) != (remainder < 0)) {
        remainder += y;
    }
    *result = remainder;
    return true;
}

/* As `float_pow` of CPython, whose rare cases are handed back. */
bool
float_power(double x, double y, double *result)
{
    bool negate = false;
    if (y == 0.0) {
        *result = 1.0;
        return true;
    }
    if (!isfinite(x) || !isfinite(y) || x == 0.0) {
        return false;
    }
    if (x < 0.0) {
        if (y != floor(y)) {
            return false; /* a complex number */
        }
        x = -x;
        negate = fmod(fabs(y), 2.0) == 1.0;
    }
    double power = x == 1.0 ? 1.0 : pow(x, y);
    *result = negate ? -power : power;
    return isnormal(power);
}

bool
int_power(int64_t x, int64_t y, int64_t *result)
{
    int64_t power = 1;
    if (y < 0) {
        return false;
    }
    while (y != 0) {
        if ((y & 1) && __builtin_mul_overflow(power, x, &power)) {
            return false;
        }
        y >>= 1;
        /* A square that is not needed any more may overflow. */
        if (y != 0 && __builtin_mul_overflow(x, x, &x)) {
            return false;
        }
    }
    *result = power;
    return true;
}

double
float_round(double x)
{
    double rounded = round(x);
    if (fabs(x - rounded) == 0.5) {
        rounded = 2.0 * round(x / 2.0);
    }
    return rounded;
}

bool
math_call(unsigned function, double x, double *result)
{
    static double (*const FUNCTIONS[MATH_FUNCTIONS])(double) = {
        acos, acosh, asin, asinh, atan,  atanh, cbrt, cos, cosh,
        exp,  exp2,  expm1, log,  log10, log2,  sin,  sinh, tan,
    };
    if (function >= MATH_FUNCTIONS || !isfinite(x)) {
        return false;
    }
    *result = FUNCTIONS[function](x);
    return isfinite(*result);
}
