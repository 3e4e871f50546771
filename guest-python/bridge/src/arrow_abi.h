/* The structs of the Arrow C data interface, in the pointer width of the target: in the guest
 * (ILP32) `ArrowSchema` takes 48 and `ArrowArray` 64 bytes, as ABI.md lays down. */
#ifndef VIVARIUM_ARROW_ABI_H
#define VIVARIUM_ARROW_ABI_H

#include <stdint.h>

#define ARROW_FLAG_NULLABLE 2

typedef struct ArrowSchema ArrowSchema;
typedef struct ArrowArray ArrowArray;

struct ArrowSchema {
    const char *format;
    const char *name;
    const char *metadata;
    int64_t flags;
    int64_t n_children;
    ArrowSchema **children;
    ArrowSchema *dictionary;
    void (*release)(ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;
    ArrowArray **children;
    ArrowArray *dictionary;
    void (*release)(ArrowArray *);
    void *private_data;
};

#if UINTPTR_MAX == 0xffffffffu
_Static_assert(sizeof(ArrowSchema) == 48, "ILP32 ArrowSchema");
_Static_assert(sizeof(ArrowArray) == 64, "ILP32 ArrowArray");
#endif

#endif
