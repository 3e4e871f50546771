/* Fast paths for text: most strings are short and ASCII. */
#ifndef VIVARIUM_TEXT_H
#define VIVARIUM_TEXT_H

#include <Python.h>

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define ASCII_MASK UINT64_C(0x8080808080808080)

/* Copies up to 64 bytes without a call: the bulk memory operation that `memcpy` becomes in the
 * guest costs more than copying a short string. Reads and writes exactly `length` bytes. */
static inline void
copy_short(uint8_t *to, const uint8_t *from, size_t length)
{
    uint64_t word;
    if (length > 64) {
        memcpy(to, from, length);
        return;
    }
    if (length >= 8) {
        size_t last = length - 8;
        for (size_t i = 0; i < last; i += 8) {
            memcpy(&word, from + i, 8);
            memcpy(to + i, &word, 8);
            __asm__ volatile("" ::: "memory"); /* or the loop is turned back into a memcpy */
        }
        memcpy(&word, from + last, 8);
        memcpy(to + last, &word, 8);
        return;
    }
    if (length >= 4) {
        uint32_t head, tail;
        memcpy(&head, from, 4);
        memcpy(&tail, from + length - 4, 4);
        memcpy(to, &head, 4);
        memcpy(to + length - 4, &tail, 4);
        return;
    }
    if (length > 0) {
        to[0] = from[0];
        to[length >> 1] = from[length >> 1];
        to[length - 1] = from[length - 1];
    }
}

static inline bool
is_ascii(const uint8_t *text, size_t length)
{
    uint64_t word, seen = 0;
    size_t i = 0;
    for (; i + 8 <= length; i += 8) {
        memcpy(&word, text + i, 8);
        seen |= word;
    }
    for (; i < length; i++) {
        seen |= text[i];
    }
    return (seen & ASCII_MASK) == 0;
}

/* A str from UTF-8, decoded strictly; raises UnicodeDecodeError. */
static inline PyObject *
text_from_utf8(const uint8_t *text, size_t length)
{
    if (length > 1 && is_ascii(text, length)) {
        PyObject *result = PyUnicode_New((Py_ssize_t)length, 127);
        if (result != NULL) {
            copy_short(PyUnicode_1BYTE_DATA(result), text, length);
        }
        return result;
    }
    return PyUnicode_DecodeUTF8((const char *)text, (Py_ssize_t)length, NULL);
}

#endif
