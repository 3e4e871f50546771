#include "unboxed_text.h"

#include <string.h>

#include "text.h"

uint8_t text_scratch[TEXT_SCRATCH];
size_t text_used;

/* Room for a text that the row makes; NULL if there is none. */
static uint8_t *
reserve(size_t length)
{
    if (length > TEXT_SCRATCH - text_used) {
        return NULL;
    }
    uint8_t *room = text_scratch + text_used;
    text_used += length;
    return room;
}

int
text_compare(const Value *a, const Value *b)
{
    uint32_t shorter = a->length < b->length ? a->length : b->length;
    int order = shorter == 0 ? 0 : memcmp(a->text, b->text, shorter);
    return order != 0 ? order : (a->length > b->length) - (a->length < b->length);
}

bool
text_join(Value *to, const Value *a, const Value *b)
{
    size_t first = a->length, second = b->length;
    uint8_t *room = reserve(first + second);
    if (room == NULL) {
        return false;
    }
    copy_short(room, a->text, first);
    copy_short(room + first, b->text, second);
    value_set_text(to, room, first + second);
    return true;
}

bool
text_length(Value *to, const Value *text)
{
    if (text->tag != TAG_TEXT) {
        return false;
    }
    value_set_integer(to, text->length);
    return true;
}

static bool
set_literal(Value *to, const char *text)
{
    value_set_text(to, (const uint8_t *)text, strlen(text));
    return true;
}

static bool
text_of_integer(Value *to, int64_t integer)
{
    enum { LONGEST = 20 };
    uint8_t *room = reserve(LONGEST);
    if (room == NULL) {
        return false;
    }
    uint64_t magnitude = integer < 0 ? 0 - (uint64_t)integer : (uint64_t)integer;
    size_t start = LONGEST;
    do {
        room[--start] = (uint8_t)('0' + magnitude % 10);
        magnitude /= 10;
    } while (magnitude != 0);
    if (integer < 0) {
        room[--start] = '-';
    }
    value_set_text(to, room + start, LONGEST - start);
    return true;
}

bool
text_of(Value *to, const Value *value)
{
    switch (value->tag) {
    case TAG_TEXT:
        *to = *value;
        return true;
    case TAG_INT:
        return text_of_integer(to, value->integer);
    case TAG_BOOL:
        return set_literal(to, value->integer ? "True" : "False");
    case TAG_NONE:
        return set_literal(to, "None");
    default:
        return false;
    }
}

#define EACH_BYTE UINT64_C(0x0101010101010101)

/* Changes the case of the letters from `first` on in eight characters. They are below 128, so adding to
 * them sets the high bit of those from a letter on and carries nothing. */
static inline uint64_t
change_case(uint64_t word, uint8_t first)
{
    uint64_t from = word + (0x80 - first) * EACH_BYTE;
    uint64_t beyond = word + (0x80 - (first + 26)) * EACH_BYTE;
    return word ^ ((from & ~beyond & (0x80 * EACH_BYTE)) >> 2);
}

static inline bool
with_case(Value *to, const Value *text, uint8_t first)
{
    size_t length = text->length, i = 0;
    uint8_t *room = text->tag == TAG_TEXT ? reserve(length) : NULL;
    uint64_t word = 0;
    if (room == NULL) {
        return false;
    }
    for (; i + 8 <= length; i += 8) {
        memcpy(&word, text->text + i, 8);
        word = change_case(word, first);
        memcpy(room + i, &word, 8);
    }
    for (; i < length; i++) {
        uint8_t character = text->text[i];
        room[i] = (uint8_t)(character - first) < 26 ? character ^ 0x20 : character;
    }
    value_set_text(to, room, length);
    return true;
}

bool
text_upper(Value *to, const Value *text)
{
    return with_case(to, text, 'a');
}

bool
text_lower(Value *to, const Value *text)
{
    return with_case(to, text, 'A');
}

/* What `str.isspace` says of ASCII. */
static inline bool
is_space(uint8_t character)
{
    return character == ' ' || (character >= 0x09 && character <= 0x0D) ||
           (character >= 0x1C && character <= 0x1F);
}

bool
text_strip(Value *to, const Value *text, bool left, bool right)
{
    size_t start = 0, end = text->length;
    if (text->tag != TAG_TEXT) {
        return false;
    }
    while (left && start < end && is_space(text->text[start])) {
        start++;
    }
    while (right && end > start && is_space(text->text[end - 1])) {
        end--;
    }
    value_set_text(to, text->text + start, end - start);
    return true;
}

static bool
is_at(const Value *text, const Value *part, size_t start)
{
    return part->length == 0 || memcmp(text->text + start, part->text, part->length) == 0;
}

bool
text_starts_with(Value *to, const Value *text, const Value *start)
{
    if (!are_texts(text, start)) {
        return false;
    }
    value_set_bool(to, start->length <= text->length && is_at(text, start, 0));
    return true;
}

bool
text_ends_with(Value *to, const Value *text, const Value *end)
{
    if (!are_texts(text, end)) {
        return false;
    }
    value_set_bool(to, end->length <= text->length && is_at(text, end, text->length - end->length));
    return true;
}

bool
text_contains(Value *to, const Value *part, const Value *text)
{
    if (!are_texts(text, part)) {
        return false;
    }
    bool found = false;
    for (size_t start = 0; !found && start + part->length <= text->length; start++) {
        found = is_at(text, part, start);
    }
    value_set_bool(to, found);
    return true;
}

bool
text_index(Value *to, const Value *text, const Value *index)
{
    if (text->tag != TAG_TEXT || index->tag > TAG_LAST_INT) {
        return false;
    }
    int64_t at = index->integer < 0 ? index->integer + text->length : index->integer;
    if (at < 0 || at >= text->length) {
        return false;
    }
    value_set_text(to, text->text + at, 1);
    return true;
}

/* A bound of a slice, between 0 and `length`. */
static bool
take_bound(const Value *bound, int64_t length, int64_t otherwise, int64_t *at)
{
    *at = otherwise;
    if (bound->tag == TAG_NONE) {
        return true;
    }
    *at = bound->integer < 0 ? bound->integer + length : bound->integer;
    *at = *at < 0 ? 0 : *at > length ? length : *at;
    return bound->tag <= TAG_LAST_INT;
}

bool
text_slice(Value *to, const Value *text, const Value *bounds)
{
    int64_t start, end, length = text->length;
    if (text->tag != TAG_TEXT || !take_bound(&bounds[0], length, 0, &start) ||
        !take_bound(&bounds[1], length, length, &end)) {
        return false;
    }
    value_set_text(to, text->text + start, start < end ? (size_t)(end - start) : 0);
    return true;
}
