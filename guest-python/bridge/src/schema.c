#include <Python.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "extension.h"
#include "failure.h"
#include "schema.h"

/* Deeper nesting serves nobody and would only burn the C stack. */
enum { MAX_DEPTH = 64, MAX_CHILDREN = 100000 };

static const struct {
    const char *format;
    TypeKind kind;
    int32_t width;
    TimeUnit unit;
} PLAIN_TYPES[] = {
    {"n", TYPE_NULL, 0, 0},
    {"b", TYPE_BOOL, 0, 0},
    {"c", TYPE_INT8, 1, 0},
    {"C", TYPE_UINT8, 1, 0},
    {"s", TYPE_INT16, 2, 0},
    {"S", TYPE_UINT16, 2, 0},
    {"i", TYPE_INT32, 4, 0},
    {"I", TYPE_UINT32, 4, 0},
    {"l", TYPE_INT64, 8, 0},
    {"L", TYPE_UINT64, 8, 0},
    {"e", TYPE_FLOAT16, 2, 0},
    {"f", TYPE_FLOAT32, 4, 0},
    {"g", TYPE_FLOAT64, 8, 0},
    {"u", TYPE_UTF8, 0, 0},
    {"U", TYPE_LARGE_UTF8, 0, 0},
    {"z", TYPE_BINARY, 0, 0},
    {"Z", TYPE_LARGE_BINARY, 0, 0},
    {"tdD", TYPE_DATE32, 4, 0},
    {"tdm", TYPE_DATE64, 8, 0},
    {"tts", TYPE_TIME32, 4, UNIT_SECOND},
    {"ttm", TYPE_TIME32, 4, UNIT_MILLISECOND},
    {"ttu", TYPE_TIME64, 8, UNIT_MICROSECOND},
    {"ttn", TYPE_TIME64, 8, UNIT_NANOSECOND},
    {"tDs", TYPE_DURATION, 8, UNIT_SECOND},
    {"tDm", TYPE_DURATION, 8, UNIT_MILLISECOND},
    {"tDu", TYPE_DURATION, 8, UNIT_MICROSECOND},
    {"tDn", TYPE_DURATION, 8, UNIT_NANOSECOND},
    {"tiM", TYPE_INTERVAL_MONTHS, 4, 0},
    {"tiD", TYPE_INTERVAL_DAY_TIME, 8, 0},
    {"tin", TYPE_INTERVAL_MONTH_DAY_NANO, 16, 0},
    {"+l", TYPE_LIST, 0, 0},
    {"+L", TYPE_LARGE_LIST, 0, 0},
    {"+s", TYPE_STRUCT, 0, 0},
    {"+m", TYPE_MAP, 0, 0},
};

static const char *const UNIT_NAMES[] = {"s", "ms", "us", "ns"};

static bool
parse_width(const char *text, int32_t *width)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || value < 0 || value > INT32_MAX) {
        return false;
    }
    *width = (int32_t)value;
    return true;
}

static bool
parse_decimal(const char *text, Type *type)
{
    int precision, scale, bits = 128, used = 0;
    if (sscanf(text, "%d,%d%n", &precision, &scale, &used) != 2 || used == 0) {
        return false;
    }
    if (text[used] == ',') {
        int more = 0;
        if (sscanf(text + used, ",%d%n", &bits, &more) != 1) {
            return false;
        }
        used += more;
    }
    int max = bits == 32 ? 9 : bits == 64 ? 18 : bits == 128 ? 38 : bits == 256 ? 76 : 0;
    if (text[used] != '\0' || precision < 1 || precision > max || scale < -max || scale > max) {
        return false;
    }
    type->kind = TYPE_DECIMAL;
    type->precision = precision;
    type->scale = scale;
    type->width = bits / 8;
    return true;
}

static bool
parse_timestamp(const char *text, Type *type)
{
    const char *units = "smun";
    const char *unit = *text ? strchr(units, *text) : NULL;
    if (unit == NULL || text[1] != ':') {
        return false;
    }
    type->kind = TYPE_TIMESTAMP;
    type->unit = (TimeUnit)(unit - units);
    type->width = 8;
    if (text[2] != '\0') {
        type->timezone = strdup(text + 2);
        return type->timezone != NULL;
    }
    return true;
}

static bool
parse_format(const char *format, Type *type)
{
    for (size_t i = 0; i < sizeof(PLAIN_TYPES) / sizeof(PLAIN_TYPES[0]); i++) {
        if (strcmp(format, PLAIN_TYPES[i].format) == 0) {
            type->kind = PLAIN_TYPES[i].kind;
            type->width = PLAIN_TYPES[i].width;
            type->unit = PLAIN_TYPES[i].unit;
            return true;
        }
    }
    if (strncmp(format, "d:", 2) == 0) {
        return parse_decimal(format + 2, type);
    }
    if (strncmp(format, "w:", 2) == 0) {
        type->kind = TYPE_FIXED_BINARY;
        return parse_width(format + 2, &type->width);
    }
    if (strncmp(format, "+w:", 3) == 0) {
        type->kind = TYPE_FIXED_LIST;
        return parse_width(format + 3, &type->width);
    }
    if (strncmp(format, "ts", 2) == 0) {
        return parse_timestamp(format + 2, type);
    }
    return false;
}

static bool
check_children(const Type *type)
{
    switch (type->kind) {
    case TYPE_LIST:
    case TYPE_LARGE_LIST:
    case TYPE_FIXED_LIST:
        return type->n_children == 1;
    case TYPE_MAP:
        return type->n_children == 1 && type->children[0].kind == TYPE_STRUCT &&
               type->children[0].n_children == 2;
    case TYPE_STRUCT:
        return true;
    default:
        return type->n_children == 0;
    }
}

static bool
parse_at(const ArrowSchema *schema, Type *type, int depth)
{
    *type = (Type){0};
    const char *name = schema->name ? schema->name : "";
    if (depth > MAX_DEPTH) {
        failure_set(FAILURE_SCHEMA, name, "types nested deeper than %d levels", MAX_DEPTH);
        return false;
    }
    type->name = strdup(name);
    type->format = strdup(schema->format ? schema->format : "");
    if (type->name == NULL || type->format == NULL) {
        PyErr_NoMemory();
        return false;
    }
    type->nullable = (schema->flags & ARROW_FLAG_NULLABLE) != 0;
    if (schema->format == NULL || schema->dictionary != NULL ||
        !parse_format(schema->format, type)) {
        failure_set(FAILURE_SCHEMA, name, "the Arrow type with format '%.100s'%s is not supported",
                    schema->format ? schema->format : "",
                    schema->dictionary ? " (dictionary)" : "");
        return false;
    }
    if (!extension_parse(schema, type)) {
        return false;
    }
    if (schema->n_children < 0 || schema->n_children > MAX_CHILDREN) {
        failure_set(FAILURE_SCHEMA, name, "a type with %lld children (at most %d)",
                    (long long)schema->n_children, MAX_CHILDREN);
        return false;
    }
    if (schema->n_children > 0) {
        type->children = calloc((size_t)schema->n_children, sizeof(Type));
        if (type->children == NULL) {
            PyErr_NoMemory();
            return false;
        }
    }
    for (int64_t i = 0; i < schema->n_children; i++) {
        type->n_children = i + 1;
        if (!parse_at(schema->children[i], &type->children[i], depth + 1)) {
            return false;
        }
    }
    if (!check_children(type)) {
        failure_set(FAILURE_SCHEMA, name, "the Arrow type with format '%.100s' has %lld children",
                    schema->format, (long long)type->n_children);
        return false;
    }
    return true;
}

bool
type_parse(const ArrowSchema *schema, Type *type)
{
    if (parse_at(schema, type, 0)) {
        return true;
    }
    type_release(type);
    return false;
}

void
type_release(Type *type)
{
    for (int64_t i = 0; i < type->n_children; i++) {
        type_release(&type->children[i]);
    }
    free(type->children);
    free(type->timezone);
    free(type->name);
    free(type->format);
    *type = (Type){0};
}

/* A text of bounded size; once it is full, nothing more is added. */
typedef struct {
    char *text;
    size_t capacity, used;
} Text;

static void
add(Text *text, const char *format, ...)
{
    if (text->used + 1 >= text->capacity) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text->text + text->used, text->capacity - text->used, format, arguments);
    va_end(arguments);
    if (n > 0) {
        text->used += (size_t)n;
        if (text->used >= text->capacity) {
            text->used = text->capacity - 1;
        }
    }
}

static void
describe(const Type *type, Text *text)
{
    static const char *const SIMPLE[] = {
        [TYPE_NULL] = "null",
        [TYPE_BOOL] = "bool",
        [TYPE_INT8] = "int8",
        [TYPE_INT16] = "int16",
        [TYPE_INT32] = "int32",
        [TYPE_INT64] = "int64",
        [TYPE_UINT8] = "uint8",
        [TYPE_UINT16] = "uint16",
        [TYPE_UINT32] = "uint32",
        [TYPE_UINT64] = "uint64",
        [TYPE_FLOAT16] = "float16",
        [TYPE_FLOAT32] = "float32",
        [TYPE_FLOAT64] = "float64",
        [TYPE_UTF8] = "utf8",
        [TYPE_LARGE_UTF8] = "large_utf8",
        [TYPE_BINARY] = "binary",
        [TYPE_LARGE_BINARY] = "large_binary",
        [TYPE_DATE32] = "date32",
        [TYPE_DATE64] = "date64",
        [TYPE_TIME32] = "time32",
        [TYPE_TIME64] = "time64",
        [TYPE_DURATION] = "duration",
        [TYPE_INTERVAL_MONTHS] = "interval[year_month]",
        [TYPE_INTERVAL_DAY_TIME] = "interval[day_time]",
        [TYPE_INTERVAL_MONTH_DAY_NANO] = "interval[month_day_nano]",
    };
    if (type->extension != EXTENSION_NONE) {
        add(text, "%s", extension_name(type->extension));
        return;
    }
    switch (type->kind) {
    case TYPE_DECIMAL:
        add(text, "decimal%d(%d, %d)", type->width * 8, type->precision, type->scale);
        break;
    case TYPE_FIXED_BINARY:
        add(text, "fixed_size_binary(%d)", type->width);
        break;
    case TYPE_TIME32:
    case TYPE_TIME64:
    case TYPE_DURATION:
        add(text, "%s[%s]", SIMPLE[type->kind], UNIT_NAMES[type->unit]);
        break;
    case TYPE_TIMESTAMP:
        if (type->timezone) {
            add(text, "timestamp[%s, tz=%s]", UNIT_NAMES[type->unit], type->timezone);
        } else {
            add(text, "timestamp[%s]", UNIT_NAMES[type->unit]);
        }
        break;
    case TYPE_LIST:
    case TYPE_LARGE_LIST:
        add(text, type->kind == TYPE_LIST ? "list<" : "large_list<");
        describe(&type->children[0], text);
        add(text, ">");
        break;
    case TYPE_FIXED_LIST:
        add(text, "fixed_size_list<");
        describe(&type->children[0], text);
        add(text, ", %d>", type->width);
        break;
    case TYPE_MAP:
        add(text, "map<");
        describe(&type->children[0].children[0], text);
        add(text, ", ");
        describe(&type->children[0].children[1], text);
        add(text, ">");
        break;
    case TYPE_STRUCT:
        add(text, "struct<");
        for (int64_t i = 0; i < type->n_children && text->used + 1 < text->capacity; i++) {
            add(text, i ? ", %s: " : "%s: ", type->children[i].name);
            describe(&type->children[i], text);
        }
        add(text, ">");
        break;
    default:
        add(text, "%s", SIMPLE[type->kind]);
    }
}

void
type_describe(const Type *type, char *out, size_t capacity)
{
    Text text = {out, capacity, 0};
    out[0] = '\0';
    describe(type, &text);
    if (text.used + 1 >= capacity && capacity > 4) {
        memcpy(out + capacity - 4, "...", 4);
    }
}
