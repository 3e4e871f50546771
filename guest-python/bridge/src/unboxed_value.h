/* Values of unboxed programs: numbers, truth values, None, and text that is ASCII. */
#ifndef VIVARIUM_UNBOXED_VALUE_H
#define VIVARIUM_UNBOXED_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bits, so that the tags of two values together tell whether both are of a family. */
typedef enum {
    TAG_INT = 0,
    TAG_BOOL = 1, /* an int, 0 or 1; TAG_INT | TAG_BOOL is an int, too */
    TAG_FLOAT = 2,
    TAG_NONE = 4,
    TAG_UNBOUND = 8, /* a local variable before its first assignment */
    TAG_TEXT = 16,
} Tag;

enum { TAG_LAST_INT = TAG_BOOL, TAG_LAST_NUMBER = TAG_FLOAT | TAG_BOOL };

typedef struct {
    union {
        int64_t integer;
        double real;
        const uint8_t *text; /* what it points to outlives the row */
    };
    uint32_t tag;
    uint32_t length; /* of text */
} Value;

typedef struct {
    uint16_t operation, to, a, b;
} Instruction;

/* Runs a program. The register with the result, or NULL if the row is handed back. */
const Value *unboxed_run(const Instruction *program, Value *registers);

static inline void
value_set_integer(Value *value, int64_t integer)
{
    value->integer = integer;
    value->tag = TAG_INT;
}

static inline void
value_set_bool(Value *value, bool truth)
{
    value->integer = truth;
    value->tag = TAG_BOOL;
}

static inline void
value_set_real(Value *value, double real)
{
    value->real = real;
    value->tag = TAG_FLOAT;
}

static inline void
value_set_text(Value *value, const uint8_t *text, size_t length)
{
    value->text = text;
    value->tag = TAG_TEXT;
    value->length = (uint32_t)length;
}

static inline void
value_set_none(Value *value)
{
    value->integer = 0;
    value->tag = TAG_NONE;
}

/* The value of a float that is a whole number in the range of int64. */
static inline bool
value_take_whole(double real, int64_t *integer)
{
    /* Also false for NaN. */
    if (!(real >= -0x1p63 && real < 0x1p63)) {
        return false;
    }
    *integer = (int64_t)real;
    return true;
}

#endif
