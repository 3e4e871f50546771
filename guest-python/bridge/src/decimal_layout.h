/* The memory layout of decimal.Decimal in CPython 3.13 (Modules/_decimal with libmpdec). There is
 * no C API for Decimal; text is the only public way, at several times the cost. `decimal_init`
 * compares this layout with real objects before it is used, and a mismatch turns it off. */
#ifndef VIVARIUM_DECIMAL_LAYOUT_H
#define VIVARIUM_DECIMAL_LAYOUT_H

#include <Python.h>

#include <stdint.h>

/* Words of the coefficient hold 9 decimal digits on 32-bit targets and 19 on 64-bit ones. */
#if UINTPTR_MAX == 0xffffffffu
typedef uint32_t DecimalWord;
enum { WORD_DIGITS = 9 };
#define WORD_RADIX UINT64_C(1000000000)
#else
typedef uint64_t DecimalWord;
enum { WORD_DIGITS = 19 };
#define WORD_RADIX UINT64_C(10000000000000000000)
#endif

enum {
    DECIMAL_NEGATIVE = 1,
    DECIMAL_SPECIAL = 2 | 4 | 8,   /* infinity, quiet and signalling NaN */
    DECIMAL_STATIC = 16 | 32,      /* neither the number nor its words are on the heap */
    DECIMAL_INLINE_WORDS = 4,
};

typedef struct {
    uint8_t flags;
    Py_ssize_t exponent;
    Py_ssize_t digits;    /* decimal digits of the coefficient, 1 for zero */
    Py_ssize_t length;    /* words in use */
    Py_ssize_t allocated; /* words allocated */
    DecimalWord *words;   /* least significant first */
} DecimalNumber;

typedef struct {
    PyObject_HEAD
    Py_hash_t hash; /* -1: not computed yet */
    DecimalNumber number;
    DecimalWord inline_words[DECIMAL_INLINE_WORDS];
} DecimalObject;

#endif
