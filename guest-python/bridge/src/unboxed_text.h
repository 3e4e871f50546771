/* Text in unboxed programs: ASCII, where bytes are characters. What a function makes is in scratch memory
 * until the row ends. All answer false where the row is handed back: an operand is no text, or there is no
 * room. */
#ifndef VIVARIUM_UNBOXED_TEXT_H
#define VIVARIUM_UNBOXED_TEXT_H

#include <stdbool.h>

#include "unboxed_value.h"

enum { TEXT_SCRATCH = 32 * 1024 };

extern uint8_t text_scratch[TEXT_SCRATCH];
extern size_t text_used;

/* Begins a row. */
static inline void
text_begin(void)
{
    text_used = 0;
}

static inline bool
are_texts(const Value *a, const Value *b)
{
    return (a->tag & b->tag) == TAG_TEXT;
}

/* Below, at or above 0, as `a` comes before, is, or comes after `b`. */
int text_compare(const Value *a, const Value *b);

bool text_join(Value *to, const Value *a, const Value *b);
bool text_length(Value *to, const Value *text);

/* `str(value)`, of everything but floats. */
bool text_of(Value *to, const Value *value);

bool text_upper(Value *to, const Value *text);
bool text_lower(Value *to, const Value *text);
bool text_strip(Value *to, const Value *text, bool left, bool right);
bool text_starts_with(Value *to, const Value *text, const Value *start);
bool text_ends_with(Value *to, const Value *text, const Value *end);
bool text_contains(Value *to, const Value *part, const Value *text);
bool text_index(Value *to, const Value *text, const Value *index);

/* `text[bounds[0]:bounds[1]]` */
bool text_slice(Value *to, const Value *text, const Value *bounds);

#endif
