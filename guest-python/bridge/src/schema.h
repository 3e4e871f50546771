/* Arrow types: the format strings of the C data interface, parsed into a tree. */
#ifndef VIVARIUM_SCHEMA_H
#define VIVARIUM_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arrow_abi.h"

typedef enum {
    TYPE_NULL,
    TYPE_BOOL,
    TYPE_INT8,
    TYPE_INT16,
    TYPE_INT32,
    TYPE_INT64,
    TYPE_UINT8,
    TYPE_UINT16,
    TYPE_UINT32,
    TYPE_UINT64,
    TYPE_FLOAT16,
    TYPE_FLOAT32,
    TYPE_FLOAT64,
    TYPE_DECIMAL,
    TYPE_UTF8,
    TYPE_LARGE_UTF8,
    TYPE_BINARY,
    TYPE_LARGE_BINARY,
    TYPE_FIXED_BINARY,
    TYPE_DATE32,
    TYPE_DATE64,
    TYPE_TIME32,
    TYPE_TIME64,
    TYPE_TIMESTAMP,
    TYPE_DURATION,
    TYPE_INTERVAL_MONTHS,
    TYPE_INTERVAL_DAY_TIME,
    TYPE_INTERVAL_MONTH_DAY_NANO,
    TYPE_LIST,
    TYPE_LARGE_LIST,
    TYPE_FIXED_LIST,
    TYPE_STRUCT,
    TYPE_MAP,
} TypeKind;

typedef enum { UNIT_SECOND, UNIT_MILLISECOND, UNIT_MICROSECOND, UNIT_NANOSECOND } TimeUnit;

/* Canonical types on top of a storage type, see ABI.md. */
typedef enum { EXTENSION_NONE, EXTENSION_JSON, EXTENSION_UUID, EXTENSION_DECIMAL } Extension;

typedef struct Type Type;

struct Type {
    TypeKind kind;
    bool nullable;
    Extension extension;
    char *name;      /* field name, never NULL */
    char *format;    /* as the schema gave it */
    int32_t width;   /* bytes per value (fixed-width types), or elements (fixed-size list) */
    int32_t precision;
    int32_t scale;
    TimeUnit unit;
    char *timezone;  /* NULL for none */
    int64_t n_children;
    Type *children;
};

/* Parses one field with everything below it. On failure sets a `schema` failure (or raises
 * MemoryError) and returns false; what was parsed so far is released. */
bool type_parse(const ArrowSchema *schema, Type *type);
void type_release(Type *type);

/* Writes the readable form, for example `timestamp[us, tz=UTC]` or `list<int32>`; cut off with
 * `...` where `capacity` is too small. */
void type_describe(const Type *type, char *text, size_t capacity);

#endif
