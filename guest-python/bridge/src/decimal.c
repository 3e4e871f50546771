#include "decimal.h"

#include <Python.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decimal_layout.h"
#include "guest.h"
#include "integers.h"
#include "magnitude.h"
#include "reader.h"
#include "writer.h"

static bool layout_known;

/* Powers of ten: a coefficient of n digits is below limits[n]. */
static Magnitude limits[MAX_DIGITS + 1];

static const uint32_t POWERS_OF_TEN[] = {1,      10,      100,      1000,      10000,
                                         100000, 1000000, 10000000, 100000000, 1000000000};

enum { SMALL_DIGITS = 18 };

static const uint64_t SMALL_POWERS[SMALL_DIGITS + 1] = {
    UINT64_C(1),
    UINT64_C(10),
    UINT64_C(100),
    UINT64_C(1000),
    UINT64_C(10000),
    UINT64_C(100000),
    UINT64_C(1000000),
    UINT64_C(10000000),
    UINT64_C(100000000),
    UINT64_C(1000000000),
    UINT64_C(10000000000),
    UINT64_C(100000000000),
    UINT64_C(1000000000000),
    UINT64_C(10000000000000),
    UINT64_C(100000000000000),
    UINT64_C(1000000000000000),
    UINT64_C(10000000000000000),
    UINT64_C(100000000000000000),
    UINT64_C(1000000000000000000),
};

/* ---- Arrow to Decimal ---- */

static PyObject *
decimal_from_text(const Magnitude *magnitude, bool negative, int32_t scale)
{
    char text[128];
    char *digits = text + sizeof text;
    Magnitude rest = *magnitude;
    int exponent_length = snprintf(text, sizeof text, "E%d", -scale);
    digits -= exponent_length;
    memcpy(digits, text, (size_t)exponent_length);
    do {
        uint32_t chunk = magnitude_divide(&rest, POWERS_OF_TEN[9]);
        bool more = !magnitude_is_zero(&rest);
        for (int i = 0; more ? i < 9 : i == 0 || chunk > 0; i++) {
            *--digits = (char)('0' + chunk % 10);
            chunk /= 10;
        }
    } while (!magnitude_is_zero(&rest));
    if (negative) {
        *--digits = '-';
    }
    PyObject *string = PyUnicode_FromStringAndSize(digits, text + sizeof text - digits);
    PyObject *result = string ? PyObject_CallOneArg(guest.decimal, string) : NULL;
    Py_XDECREF(string);
    return result;
}

static int
split_small(uint64_t value, DecimalWord *words)
{
    int count = 0;
    do {
        words[count++] = (DecimalWord)(value % WORD_RADIX);
        value /= WORD_RADIX;
    } while (value > 0);
    return count;
}

/* Splits the magnitude into words; their number, or 0 if there are too many for an object without
 * memory of its own. */
static int
split_words(Magnitude rest, DecimalWord *words)
{
    int count = 0;
    while (!magnitude_is_zero(&rest)) {
        if (count == DECIMAL_INLINE_WORDS) {
            return 0;
        }
        uint64_t word = magnitude_divide(&rest, POWERS_OF_TEN[9]);
        if (WORD_DIGITS == 19) {
            word += (uint64_t)magnitude_divide(&rest, POWERS_OF_TEN[9]) * POWERS_OF_TEN[9];
            word += magnitude_divide(&rest, 10) * UINT64_C(1000000000000000000);
        }
        words[count++] = (DecimalWord)word;
    }
    return count;
}

static PyObject *
decimal_from_words(Reader *reader, const DecimalWord *words, int count, bool negative)
{
    PyTypeObject *type = (PyTypeObject *)guest.decimal;
    PyObject *object;
    if (!reader->reuses) {
        object = type->tp_alloc(type, 0);
    } else if (spare_is_free(&reader->spare)) {
        object = Py_NewRef(reader->spare.object);
    } else {
        object = spare_replace(&reader->spare, type->tp_alloc(type, 0), 0);
    }
    if (object == NULL) {
        return NULL;
    }
    DecimalObject *decimal = (DecimalObject *)object;
    Py_ssize_t digits = (Py_ssize_t)(count - 1) * WORD_DIGITS;
    DecimalWord top = words[count - 1];
    do {
        digits++;
        top /= 10;
    } while (top > 0);
    decimal->hash = -1;
    decimal->number = (DecimalNumber){
        .flags = (uint8_t)(DECIMAL_STATIC | (negative ? DECIMAL_NEGATIVE : 0)),
        .exponent = -reader->type->scale,
        .digits = digits,
        .length = count,
        .allocated = DECIMAL_INLINE_WORDS,
        .words = decimal->inline_words,
    };
    memcpy(decimal->inline_words, words, sizeof words[0] * (size_t)count);
    return object;
}

/* Loads a value that fits 64 bits; false if it does not. */
static bool
load_small(const char *bytes, size_t width, int64_t *value)
{
    if (width == 4) {
        int32_t narrow;
        memcpy(&narrow, bytes, 4);
        *value = narrow;
        return true;
    }
    memcpy(value, bytes, 8);
    int64_t sign = *value >> 63, word;
    bool small = true;
    for (size_t i = 8; i < width; i += 8) {
        memcpy(&word, bytes + i, 8);
        small = small && word == sign;
    }
    return small;
}

PyObject *
read_decimal(Reader *reader, int64_t row)
{
    size_t width = (size_t)reader->type->width;
    const char *bytes = (const char *)reader->values + width * (size_t)row;
    DecimalWord words[DECIMAL_INLINE_WORDS];
    int64_t small;
    if (layout_known && load_small(bytes, width, &small)) {
        uint64_t size = small < 0 ? 0 - (uint64_t)small : (uint64_t)small;
        return decimal_from_words(reader, words, split_small(size, words), small < 0);
    }
    Magnitude magnitude;
    bool negative = magnitude_load(&magnitude, bytes, width);
    int count = layout_known ? split_words(magnitude, words) : 0;
    return count > 0 ? decimal_from_words(reader, words, count, negative)
                     : decimal_from_text(&magnitude, negative, reader->type->scale);
}

/* ---- Decimal to Arrow ---- */

/* Multiplies by a power of ten; false on overflow. */
static bool
scale_up(Magnitude *magnitude, Py_ssize_t exponent)
{
    if (magnitude_is_zero(magnitude)) {
        return true;
    }
    if (exponent > MAX_DIGITS) {
        return false;
    }
    for (; exponent > 0; exponent -= 9) {
        uint32_t factor = POWERS_OF_TEN[exponent < 9 ? exponent : 9];
        if (!magnitude_multiply_add(magnitude, factor, 0)) {
            return false;
        }
    }
    return true;
}

/* Divides by a power of ten; false if digits would be lost. */
static bool
scale_down(Magnitude *magnitude, Py_ssize_t exponent)
{
    for (; exponent > 0 && !magnitude_is_zero(magnitude); exponent -= 9) {
        if (magnitude_divide(magnitude, POWERS_OF_TEN[exponent < 9 ? exponent : 9]) != 0) {
            return false;
        }
    }
    return true;
}

static int
reject_digits(Writer *writer, PyObject *value)
{
    return writer_reject(writer, value, "more digits than the type's precision");
}

/* Appends coefficient * 10**exponent. */
static int
append_scaled(Writer *writer, PyObject *value, Magnitude magnitude, bool negative,
              Py_ssize_t exponent)
{
    Py_ssize_t shift = exponent + writer->type->scale;
    if (shift < 0 && !scale_down(&magnitude, -shift)) {
        return writer_reject(writer, value, "more decimal places than the type's scale");
    }
    if (shift > 0 && !scale_up(&magnitude, shift)) {
        return reject_digits(writer, value);
    }
    if (!magnitude_less(&magnitude, &limits[writer->type->precision])) {
        return reject_digits(writer, value);
    }
    size_t width = (size_t)writer->type->width;
    void *slot = writer_slot(writer, width);
    if (slot == NULL) {
        return -1;
    }
    magnitude_store(magnitude, negative, slot, width);
    return 0;
}

/* Adds `count` decimal digits of a coefficient whose value so far is `magnitude`. */
static bool
take_digits(Magnitude *magnitude, const char *digits, Py_ssize_t count)
{
    for (Py_ssize_t i = 0; i < count;) {
        uint32_t chunk = 0, factor = 1;
        for (; i < count && factor < POWERS_OF_TEN[9]; i++) {
            chunk = chunk * 10 + (uint32_t)(digits[i] - '0');
            factor *= 10;
        }
        if (!magnitude_multiply_add(magnitude, factor, chunk)) {
            return false;
        }
    }
    return true;
}

/* Through `str(value)` of the base type: sign, digits with an optional point, optional exponent. */
static int
write_decimal_text(Writer *writer, PyObject *value)
{
    PyObject *string = ((PyTypeObject *)guest.decimal)->tp_repr(value); /* Decimal('...') */
    if (string == NULL) {
        return -1;
    }
    Py_ssize_t length;
    const char *text = PyUnicode_AsUTF8AndSize(string, &length);
    const char *start = text ? strchr(text, '\'') : NULL;
    int status = -1;
    char *digits = start ? malloc((size_t)length + 1) : NULL;
    if (digits == NULL) {
        PyErr_NoMemory();
        Py_DECREF(string);
        return -1;
    }
    const char *at = start + 1;
    bool negative = *at == '-', valid;
    at += negative;
    Py_ssize_t count = 0, exponent = 0;
    bool after_point = false;
    valid = *at >= '0' && *at <= '9';
    for (; (*at >= '0' && *at <= '9') || *at == '.'; at++) {
        if (*at == '.') {
            after_point = true;
            continue;
        }
        if (count > 0 || *at != '0') {
            digits[count++] = *at;
        }
        exponent -= after_point;
    }
    if (*at == 'E' || *at == 'e') {
        exponent += (Py_ssize_t)strtol(at + 1, NULL, 10);
    }
    for (; count > 0 && digits[count - 1] == '0'; count--) {
        exponent++;
    }
    Magnitude magnitude = {{0}};
    if (!valid) {
        writer_reject(writer, value, "only finite numbers fit");
    } else if (count > MAX_DIGITS || !take_digits(&magnitude, digits, count)) {
        /* Which of the two limits is broken first does not matter; say the more useful one. */
        bool places = exponent + writer->type->scale < 0;
        writer_reject(writer, value, places ? "more decimal places than the type's scale"
                                            : "more digits than the type's precision");
    } else {
        status = append_scaled(writer, value, magnitude, negative, count ? exponent : 0);
    }
    free(digits);
    Py_DECREF(string);
    return status;
}

/* Scales a coefficient that stays below 10**18. Returns false if it does not or if anything else is
 * out of the ordinary: the general way then finds the answer or the error. */
static bool
scale_small(const Writer *writer, const DecimalNumber *number, uint64_t *scaled)
{
    int64_t shift = (int64_t)number->exponent + writer->type->scale;
    int64_t digits = number->digits + (shift > 0 ? shift : 0);
    if (digits > SMALL_DIGITS || digits > writer->type->precision || shift < -SMALL_DIGITS) {
        return false;
    }
    uint64_t value = number->words[0];
    if (WORD_DIGITS == 9 && number->length == 2) {
        value += number->words[1] * WORD_RADIX;
    }
    uint64_t power = SMALL_POWERS[shift < 0 ? -shift : shift];
    if (shift < 0) {
        if (value % power != 0) {
            return false;
        }
        *scaled = value / power;
    } else {
        *scaled = value * power;
    }
    return true;
}

static int
append_small(Writer *writer, uint64_t size, bool negative)
{
    size_t width = (size_t)writer->type->width;
    char *slot = writer_slot(writer, width);
    if (slot == NULL) {
        return -1;
    }
    int64_t value = negative ? -(int64_t)size : (int64_t)size, sign = value >> 63;
    memcpy(slot, &value, width < 8 ? 4 : 8);
    for (size_t i = 8; i < width; i += 8) {
        memcpy(slot + i, &sign, 8);
    }
    return 0;
}

static int
write_decimal_words(Writer *writer, PyObject *value)
{
    const DecimalNumber *number = &((const DecimalObject *)value)->number;
    if (number->flags & DECIMAL_SPECIAL) {
        return writer_reject(writer, value, "only finite numbers fit");
    }
    bool negative = (number->flags & DECIMAL_NEGATIVE) != 0;
    uint64_t scaled;
    if (scale_small(writer, number, &scaled)) {
        return append_small(writer, scaled, negative);
    }
    if (number->digits > MAX_DIGITS) {
        return write_decimal_text(writer, value); /* trailing zeros may still make it fit */
    }
    Magnitude magnitude = {{0}};
    for (Py_ssize_t i = number->length; i-- > 0;) {
        uint64_t word = number->words[i];
        if (WORD_DIGITS == 19) {
            uint64_t upper = word / UINT64_C(1000000000000000000);
            magnitude_multiply_add(&magnitude, 10, (uint32_t)upper);
            magnitude_multiply_add(&magnitude, POWERS_OF_TEN[9],
                                   (uint32_t)(word / POWERS_OF_TEN[9] % POWERS_OF_TEN[9]));
        }
        magnitude_multiply_add(&magnitude, POWERS_OF_TEN[9], (uint32_t)(word % POWERS_OF_TEN[9]));
    }
    return append_scaled(writer, value, magnitude, negative, number->exponent);
}

static int
write_integer(Writer *writer, PyObject *value)
{
    Magnitude magnitude;
    int64_t small;
    bool negative;
    if (integer_small_value(value, &small)) {
        negative = small < 0;
        uint64_t size = negative ? 0 - (uint64_t)small : (uint64_t)small;
        magnitude = (Magnitude){{(uint32_t)size, (uint32_t)(size >> 32)}};
    } else {
        uint8_t bytes[sizeof(Magnitude)];
        Py_ssize_t needed =
            PyLong_AsNativeBytes(value, bytes, sizeof bytes, Py_ASNATIVEBYTES_LITTLE_ENDIAN);
        if (needed < 0) {
            return -1;
        }
        if ((size_t)needed > sizeof bytes) {
            return reject_digits(writer, value);
        }
        negative = magnitude_load(&magnitude, bytes, sizeof bytes);
    }
    return append_scaled(writer, value, magnitude, negative, 0);
}

int
write_decimal(Writer *writer, PyObject *value)
{
    if (PyLong_Check(value)) {
        return write_integer(writer, value);
    }
    int status = PyObject_TypeCheck(value, (PyTypeObject *)guest.decimal);
    if (status == 0) {
        return writer_reject(writer, value, NULL);
    }
    return layout_known ? write_decimal_words(writer, value) : write_decimal_text(writer, value);
}

bool
decimal_is_finite(PyObject *value)
{
    if (layout_known) {
        return (((const DecimalObject *)value)->number.flags & DECIMAL_SPECIAL) == 0;
    }
    PyObject *answer = PyObject_CallMethod(value, "is_finite", NULL);
    bool finite = answer == Py_True;
    Py_XDECREF(answer);
    PyErr_Clear();
    return finite;
}

/* ---- Is the layout the one we know? ---- */

static bool
matches(const char *text, uint8_t flags, Py_ssize_t exponent, Py_ssize_t digits, uint64_t low)
{
    PyObject *value = PyObject_CallFunction(guest.decimal, "s", text);
    if (value == NULL) {
        PyErr_Clear();
        return false;
    }
    const DecimalObject *decimal = (const DecimalObject *)value;
    const DecimalNumber *number = &decimal->number;
    Py_ssize_t words = (digits + WORD_DIGITS - 1) / WORD_DIGITS;
    bool same = decimal->hash == -1 && number->flags == (flags | DECIMAL_STATIC) &&
                number->exponent == exponent && number->digits == digits &&
                number->length == words && number->allocated == DECIMAL_INLINE_WORDS &&
                number->words == decimal->inline_words &&
                number->words[0] == (DecimalWord)(low % WORD_RADIX);
    Py_DECREF(value);
    return same;
}

void
decimal_init(void)
{
    limits[0] = (Magnitude){{1}};
    for (int i = 1; i <= MAX_DIGITS; i++) {
        limits[i] = limits[i - 1];
        magnitude_multiply_add(&limits[i], 10, 0);
    }
    PyTypeObject *type = (PyTypeObject *)guest.decimal;
    layout_known = type->tp_basicsize == sizeof(DecimalObject) && type->tp_itemsize == 0 &&
                   matches("0", 0, 0, 1, 0) && matches("-12.50", DECIMAL_NEGATIVE, -2, 4, 1250) &&
                   matches("1234567890123456789E3", 0, 3, 19, UINT64_C(1234567890123456789)) &&
                   matches("9876543210987654321098765432.1", 0, -1, 29,
                           UINT64_C(9876543210987654321));
}
