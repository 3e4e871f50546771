/* Rows of unboxed programs: from columns into registers, and from a register into the result's column. */
#include <math.h>
#include <string.h>

#include "row.h"
#include "text.h"
#include "unboxed_block.h"
#include "unboxed_program.h"

static bool
is_plain(const Type *type)
{
    if (type->extension != EXTENSION_NONE) {
        return false;
    }
    switch (type->kind) {
    case TYPE_BOOL:
    case TYPE_INT8:
    case TYPE_INT16:
    case TYPE_INT32:
    case TYPE_INT64:
    case TYPE_UINT8:
    case TYPE_UINT16:
    case TYPE_UINT32:
    case TYPE_UINT64:
    case TYPE_FLOAT32:
    case TYPE_FLOAT64:
    case TYPE_UTF8:
    case TYPE_LARGE_UTF8:
        return true;
    default:
        return false;
    }
}

bool
unboxed_supports(const Type *input, const Type *output)
{
    for (int64_t i = 0; i < input->n_children; i++) {
        if (!is_plain(&input->children[i])) {
            return false;
        }
    }
    return is_plain(output);
}

/* Offsets that decrease and text that is not valid are handed back, too. */
static inline bool
load_text(Value *value, const Reader *reader, int64_t start, int64_t end)
{
    if (start < 0 || end < start || end - start > INT32_MAX) {
        return false;
    }
    const uint8_t *text = (const uint8_t *)reader->values + start;
    value_set_text(value, text, (size_t)(end - start));
    return is_ascii(text, (size_t)(end - start));
}

/* Reads one argument. False: it is an integer beyond int64, or text beyond ASCII. */
VIVARIUM_INLINE bool
load(Value *value, const Reader *reader, int64_t row)
{
    if (reader_is_null(reader, row)) {
        value_set_none(value);
        return true;
    }
#define INTEGER(KIND, ctype)                                        \
    case KIND:                                                      \
        value_set_integer(value, ((const ctype *)reader->values)[row]); \
        return true;
    switch (reader->type->kind) {
    INTEGER(TYPE_INT64, int64_t)
    INTEGER(TYPE_INT32, int32_t)
    INTEGER(TYPE_INT16, int16_t)
    INTEGER(TYPE_INT8, int8_t)
    INTEGER(TYPE_UINT32, uint32_t)
    INTEGER(TYPE_UINT16, uint16_t)
    INTEGER(TYPE_UINT8, uint8_t)
    case TYPE_UINT64: {
        uint64_t number = ((const uint64_t *)reader->values)[row];
        value_set_integer(value, (int64_t)number);
        return number <= INT64_MAX;
    }
    case TYPE_FLOAT64:
        value_set_real(value, ((const double *)reader->values)[row]);
        return true;
    case TYPE_FLOAT32:
        value_set_real(value, (double)((const float *)reader->values)[row]);
        return true;
    case TYPE_BOOL:
        value_set_bool(value, bit_is_set(reader->values, row));
        return true;
    case TYPE_UTF8: {
        const int32_t *offsets = reader->offsets;
        return load_text(value, reader, offsets[row], offsets[row + 1]);
    }
    case TYPE_LARGE_UTF8: {
        const int64_t *offsets = reader->offsets;
        return load_text(value, reader, offsets[row], offsets[row + 1]);
    }
    default:
        return false;
    }
#undef INTEGER
}

/* What became of a row. */
typedef enum { WRITTEN, HANDED_BACK, FAILED } Outcome;

static inline Outcome
store_null(Writer *writer)
{
    if (!writer->type->nullable) {
        return HANDED_BACK;
    }
    return writer_append_null(writer) == 0 ? WRITTEN : FAILED;
}

/* As `take_integer` of the writers: a float without a fraction will do. */
static inline bool
take_int64(const Value *value, int64_t *integer)
{
    *integer = value->integer;
    return value->tag <= TAG_LAST_INT || (value->tag == TAG_FLOAT && value->real == floor(value->real) &&
                                          value_take_whole(value->real, integer));
}

static inline Outcome
store_bool(Writer *writer, const Value *value)
{
    int64_t bit = writer->length;
    if (value->tag != TAG_BOOL) {
        return HANDED_BACK;
    }
    if ((bit & 7) == 0) {
        if (!buffer_reserve(&writer->values, 1)) {
            return FAILED;
        }
        writer->values.data[writer->values.size++] = 0;
    }
    writer->values.data[bit >> 3] |= (uint8_t)(value->integer << (bit & 7));
    writer->length++;
    return WRITTEN;
}

static inline Outcome
store_text(Writer *writer, const Value *value)
{
    Buffer *values = &writer->values;
    bool narrow = writer->layout == LAYOUT_BYTES;
    if (value->tag != TAG_TEXT || (narrow && value->length > (size_t)INT32_MAX - values->size)) {
        return HANDED_BACK;
    }
    if (!buffer_reserve(values, value->length) || !buffer_reserve(&writer->offsets, narrow ? 4 : 8)) {
        return FAILED;
    }
    copy_short(values->data + values->size, value->text, value->length);
    values->size += value->length;
    writer_push_offset(writer, (int64_t)values->size);
    writer->length++;
    return WRITTEN;
}

static inline bool
take_double(const Value *value, double *real)
{
    *real = value->tag == TAG_FLOAT ? value->real : (double)value->integer;
    return value->tag <= TAG_LAST_NUMBER;
}

/* Appends a result, if the column's writer would accept it. */
VIVARIUM_INLINE Outcome
store(Writer *writer, const Value *value)
{
    int64_t integer;
    double real;
    if (value->tag == TAG_NONE) {
        return store_null(writer);
    }
#define SLOT(ctype, number)                                  \
    {                                                        \
        ctype *slot = writer_slot(writer, sizeof(ctype));    \
        if (slot == NULL) {                                  \
            return FAILED;                                   \
        }                                                    \
        *slot = (ctype)(number);                             \
        return WRITTEN;                                      \
    }
#define INTEGER(KIND, ctype, min, max)                                                  \
    case KIND:                                                                          \
        if (!take_int64(value, &integer) || integer < (min) || integer > (max)) {       \
            return HANDED_BACK;                                                         \
        }                                                                               \
        SLOT(ctype, integer)
    switch (writer->type->kind) {
    INTEGER(TYPE_INT64, int64_t, INT64_MIN, INT64_MAX)
    INTEGER(TYPE_INT32, int32_t, INT32_MIN, INT32_MAX)
    INTEGER(TYPE_INT16, int16_t, INT16_MIN, INT16_MAX)
    INTEGER(TYPE_INT8, int8_t, INT8_MIN, INT8_MAX)
    INTEGER(TYPE_UINT64, uint64_t, 0, INT64_MAX)
    INTEGER(TYPE_UINT32, uint32_t, 0, UINT32_MAX)
    INTEGER(TYPE_UINT16, uint16_t, 0, UINT16_MAX)
    INTEGER(TYPE_UINT8, uint8_t, 0, UINT8_MAX)
    case TYPE_FLOAT64:
        if (!take_double(value, &real)) {
            return HANDED_BACK;
        }
        SLOT(double, real)
    case TYPE_FLOAT32:
        if (!take_double(value, &real) || (isinf((float)real) && !isinf(real))) {
            return HANDED_BACK;
        }
        SLOT(float, real)
    case TYPE_BOOL:
        return store_bool(writer, value);
    case TYPE_UTF8:
    case TYPE_LARGE_UTF8:
        return store_text(writer, value);
    default:
        return HANDED_BACK;
    }
#undef INTEGER
#undef SLOT
}

VIVARIUM_INLINE Outcome
evaluate(Function *function, int64_t row)
{
    const Unboxed *unboxed = function->unboxed;
    if (function->skips && row_is_skipped(function, row)) {
        return store_null(&function->writer);
    }
    for (int64_t i = 0; i < function->n_parameters; i++) {
        if (!load(&unboxed->registers[i], &function->readers[i], row)) {
            return HANDED_BACK;
        }
    }
    const Value *result = unboxed_run(unboxed->instructions, unboxed->registers);
    return result == NULL ? HANDED_BACK : store(&function->writer, result);
}

static int64_t calculated;

PyObject *
unboxed_count(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromLongLong(calculated);
}

/* A block is begun for no fewer rows: a call of one row does not touch its memory. */
enum { MIN_BLOCK_ROWS = 8 };

static bool
are_in_range(const BlockColumn *column, int64_t count, int64_t min, int64_t max)
{
    bool fits = true;
    for (int64_t i = 0; i < count; i++) {
        fits &= column->integers[i] >= min && column->integers[i] <= max;
    }
    return fits;
}

/* Appends a whole column if it is of one of the most frequent types, and all of it fits. */
static Outcome
store_block(Writer *writer, const BlockColumn *column, int64_t count)
{
    bool is_real = column->tag == TAG_FLOAT;
    size_t width;
    switch (writer->type->kind) {
    case TYPE_INT64:
    case TYPE_FLOAT64:
        if (is_real != (writer->type->kind == TYPE_FLOAT64)) {
            return HANDED_BACK;
        }
        width = sizeof(int64_t);
        break;
    case TYPE_INT32:
        if (is_real || !are_in_range(column, count, INT32_MIN, INT32_MAX)) {
            return HANDED_BACK;
        }
        width = sizeof(int32_t);
        break;
    default:
        return HANDED_BACK;
    }
    if (!buffer_reserve(&writer->values, (size_t)count * width)) {
        return FAILED;
    }
    uint8_t *end = writer->values.data + writer->values.size;
    if (width == sizeof(int64_t)) {
        memcpy(end, column->integers, (size_t)count * width);
    } else {
        for (int64_t i = 0; i < count; i++) {
            ((int32_t *)(void *)end)[i] = (int32_t)column->integers[i];
        }
    }
    writer->values.size += (size_t)count * width;
    writer->length += count;
    return WRITTEN;
}

/* Runs as many rows as a block has, and appends their results; how many. */
static int64_t
evaluate_block(Function *function, int64_t row, int64_t rows, Outcome *outcome)
{
    UnboxedBlock *block = function->unboxed->block;
    int64_t count = rows - row < BLOCK_ROWS ? rows - row : BLOCK_ROWS;
    const BlockColumn *column = NULL;
    if (block != NULL && count >= MIN_BLOCK_ROWS) {
        column = block_run(block, function, row, count);
    }
    if (column == NULL) {
        return 0;
    }
    *outcome = store_block(&function->writer, column, count);
    if (*outcome == WRITTEN) {
        return count;
    }
    if (*outcome == FAILED) {
        return 0;
    }
    /* Other types, or a value that does not fit: one by one, up to that one. */
    Value value = {.tag = column->tag};
    for (int64_t i = 0; i < count; i++) {
        if (column->tag == TAG_FLOAT) {
            value.real = column->reals[i];
        } else {
            value.integer = column->integers[i];
        }
        if ((*outcome = store(&function->writer, &value)) != WRITTEN) {
            return i;
        }
    }
    return count;
}

int64_t
unboxed_rows(Function *function, int64_t row, int64_t rows, int64_t *failed)
{
    int64_t first = row;
    Outcome outcome = WRITTEN;
    while (row < rows && outcome == WRITTEN) {
        int64_t done = evaluate_block(function, row, rows, &outcome);
        if (done == 0 && outcome == WRITTEN) {
            int64_t end = rows - row < BLOCK_ROWS ? rows : row + BLOCK_ROWS;
            while (row < end && (outcome = evaluate(function, row)) == WRITTEN) {
                row++;
            }
        }
        row += done;
    }
    calculated += row - first;
    *failed = row;
    return outcome == FAILED ? -1 : row;
}
