/* The table of open descriptors. */
#ifndef VIVARIUM_DESCRIPTOR_H
#define VIVARIUM_DESCRIPTOR_H

#include "node.h"
#include "preview1.h"

enum {
    DESCRIPTORS_MAX = 1024, /* open at the same time, the standard three and the root included */
    DESCRIPTOR_ROOT = 3,    /* preopened on "/" */
};

enum descriptor_kind { DESCRIPTOR_CLOSED, DESCRIPTOR_STDIN, DESCRIPTOR_STDOUT, DESCRIPTOR_NODE };

/* An open file, with as many numbers as it has references: POSIX's open file description. */
struct descriptor {
    uint8_t kind;
    uint16_t references;
    bool readable, writable;
    uint16_t flags;    /* WASI_FDFLAGS_* */
    struct node *node; /* for DESCRIPTOR_NODE */
    uint64_t offset;
};

/* The open descriptor of that number, or NULL. */
struct descriptor *descriptor_get(int32_t fd);

/* The open descriptor if it is a directory or a file; otherwise *error says why not. */
struct descriptor *descriptor_directory(int32_t fd, wasi_result *error);
struct descriptor *descriptor_file(int32_t fd, wasi_result *error);

/* Opens `node`. Returns the lowest free number, or -1 if all are in use. */
int32_t descriptor_open(struct node *node, bool readable, bool writable, uint16_t flags);

/* Another number for the same open file, as POSIX's `dup`: the two share their offset. Returns the lowest
 * free number; -1 with *error otherwise. */
int32_t descriptor_duplicate(int32_t fd, wasi_result *error);

bool descriptor_available(void);

/* Closes; BADF if it is not open, NOTSUP for the root, which every later path needs. */
wasi_result descriptor_close(int32_t fd);

#endif
