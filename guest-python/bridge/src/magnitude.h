/* Unsigned integers of up to 256 bits: the coefficients of decimals. */
#ifndef VIVARIUM_MAGNITUDE_H
#define VIVARIUM_MAGNITUDE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { LIMBS = 8, MAX_DIGITS = 76 };

typedef struct {
    uint32_t limb[LIMBS]; /* least significant first */
} Magnitude;

/* value = value * factor + addend; false on overflow. */
static inline bool
magnitude_multiply_add(Magnitude *value, uint32_t factor, uint32_t addend)
{
    uint64_t carry = addend;
    for (int i = 0; i < LIMBS; i++) {
        carry += (uint64_t)value->limb[i] * factor;
        value->limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    return carry == 0;
}

/* value = value / divisor; returns the remainder. */
static inline uint32_t
magnitude_divide(Magnitude *value, uint32_t divisor)
{
    uint64_t rest = 0;
    for (int i = LIMBS - 1; i >= 0; i--) {
        rest = rest << 32 | value->limb[i];
        value->limb[i] = (uint32_t)(rest / divisor);
        rest %= divisor;
    }
    return (uint32_t)rest;
}

static inline bool
magnitude_is_zero(const Magnitude *value)
{
    uint32_t seen = 0;
    for (int i = 0; i < LIMBS; i++) {
        seen |= value->limb[i];
    }
    return seen == 0;
}

static inline bool
magnitude_less(const Magnitude *left, const Magnitude *right)
{
    for (int i = LIMBS - 1; i >= 0; i--) {
        if (left->limb[i] != right->limb[i]) {
            return left->limb[i] < right->limb[i];
        }
    }
    return false;
}

/* Two's complement of the same width. */
static inline void
magnitude_negate(Magnitude *value)
{
    uint64_t carry = 1;
    for (int i = 0; i < LIMBS; i++) {
        carry += (uint32_t)~value->limb[i];
        value->limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
}

/* Reads a little-endian two's complement integer of `width` bytes (at most 32). */
static inline bool
magnitude_load(Magnitude *value, const void *bytes, size_t width)
{
    const uint8_t *source = bytes;
    bool negative = (source[width - 1] & 0x80) != 0;
    memset(value, negative ? 0xFF : 0, sizeof *value);
    memcpy(value, bytes, width);
    if (negative) {
        magnitude_negate(value);
    }
    return negative;
}

/* Writes it back; the caller has made sure that it fits. */
static inline void
magnitude_store(Magnitude value, bool negative, void *bytes, size_t width)
{
    if (negative) {
        magnitude_negate(&value);
    }
    memcpy(bytes, &value, width);
}

#endif
