#include "descriptor.h"

static struct descriptor descriptors[DESCRIPTORS_MAX] = {
    [0] = {.kind = DESCRIPTOR_STDIN, .references = 1, .readable = true},
    [1] = {.kind = DESCRIPTOR_STDOUT, .references = 1, .writable = true, .flags = WASI_FDFLAGS_APPEND},
    [2] = {.kind = DESCRIPTOR_STDOUT, .references = 1, .writable = true, .flags = WASI_FDFLAGS_APPEND},
};

/* What each number stands for; NULL if it is free. */
static struct descriptor *table[DESCRIPTORS_MAX] = {&descriptors[0], &descriptors[1], &descriptors[2]};

struct descriptor *descriptor_get(int32_t fd)
{
    if (fd < 0 || fd >= DESCRIPTORS_MAX) {
        return NULL;
    }
    if (fd == DESCRIPTOR_ROOT && !table[fd]) {
        descriptors[fd] = (struct descriptor){
            .kind = DESCRIPTOR_NODE, .references = 1, .readable = true, .node = node_root()};
        table[fd] = &descriptors[fd];
    }
    return table[fd];
}

struct descriptor *descriptor_directory(int32_t fd, wasi_result *error)
{
    struct descriptor *descriptor = descriptor_get(fd);
    if (!descriptor) {
        *error = WASI_EBADF;
        return NULL;
    }
    if (descriptor->kind != DESCRIPTOR_NODE || descriptor->node->kind != NODE_DIRECTORY) {
        *error = WASI_ENOTDIR;
        return NULL;
    }
    return descriptor;
}

struct descriptor *descriptor_file(int32_t fd, wasi_result *error)
{
    struct descriptor *descriptor = descriptor_get(fd);
    if (!descriptor) {
        *error = WASI_EBADF;
        return NULL;
    }
    if (descriptor->kind != DESCRIPTOR_NODE) {
        *error = WASI_ESPIPE;
        return NULL;
    }
    if (descriptor->node->kind == NODE_DIRECTORY) {
        *error = WASI_EISDIR;
        return NULL;
    }
    return descriptor;
}

/* The lowest free number, or -1. */
static int32_t lowest_free(void)
{
    for (int32_t fd = 0; fd < DESCRIPTORS_MAX; fd++) {
        if (!table[fd] && fd != DESCRIPTOR_ROOT) {
            return fd;
        }
    }
    return -1;
}

bool descriptor_available(void) { return lowest_free() >= 0; }

/* One that no number stands for. There is one for each number. */
static struct descriptor *unused(void)
{
    for (int32_t at = 0; at < DESCRIPTORS_MAX; at++) {
        if (descriptors[at].kind == DESCRIPTOR_CLOSED && at != DESCRIPTOR_ROOT) {
            return &descriptors[at];
        }
    }
    return NULL;
}

int32_t descriptor_open(struct node *node, bool readable, bool writable, uint16_t flags)
{
    int32_t fd = lowest_free();
    struct descriptor *descriptor = unused();
    if (fd < 0 || !descriptor) {
        return -1;
    }
    *descriptor = (struct descriptor){.kind = DESCRIPTOR_NODE,
                                      .references = 1,
                                      .readable = readable,
                                      .writable = writable,
                                      .flags = flags,
                                      .node = node};
    table[fd] = descriptor;
    node_open(node);
    return fd;
}

int32_t descriptor_duplicate(int32_t fd, wasi_result *error)
{
    struct descriptor *descriptor = descriptor_get(fd);
    if (!descriptor) {
        *error = WASI_EBADF;
        return -1;
    }
    int32_t other = lowest_free();
    if (other < 0) {
        *error = WASI_EMFILE;
        return -1;
    }
    table[other] = descriptor;
    descriptor->references++;
    return other;
}

wasi_result descriptor_close(int32_t fd)
{
    struct descriptor *descriptor = descriptor_get(fd);
    if (!descriptor) {
        return WASI_EBADF;
    }
    if (fd == DESCRIPTOR_ROOT) {
        return WASI_ENOTSUP;
    }
    table[fd] = NULL;
    if (--descriptor->references > 0) {
        return WASI_SUCCESS;
    }
    if (descriptor->node) {
        node_close(descriptor->node);
    }
    *descriptor = (struct descriptor){.kind = DESCRIPTOR_CLOSED};
    return WASI_SUCCESS;
}
