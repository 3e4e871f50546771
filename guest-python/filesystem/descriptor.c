#include "descriptor.h"

static struct descriptor table[DESCRIPTORS_MAX] = {
    [0] = {.kind = DESCRIPTOR_STDIN, .readable = true},
    [1] = {.kind = DESCRIPTOR_STDOUT, .writable = true, .flags = WASI_FDFLAGS_APPEND},
    [2] = {.kind = DESCRIPTOR_STDOUT, .writable = true, .flags = WASI_FDFLAGS_APPEND},
};

struct descriptor *descriptor_get(int32_t fd)
{
    if (fd < 0 || fd >= DESCRIPTORS_MAX) {
        return NULL;
    }
    struct descriptor *descriptor = &table[fd];
    if (fd == DESCRIPTOR_ROOT && descriptor->kind == DESCRIPTOR_CLOSED) {
        descriptor->kind = DESCRIPTOR_NODE;
        descriptor->readable = true;
        descriptor->node = node_root();
    }
    return descriptor->kind == DESCRIPTOR_CLOSED ? NULL : descriptor;
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
        if (table[fd].kind == DESCRIPTOR_CLOSED && fd != DESCRIPTOR_ROOT) {
            return fd;
        }
    }
    return -1;
}

bool descriptor_available(void) { return lowest_free() >= 0; }

int32_t descriptor_open(struct node *node, bool readable, bool writable, uint16_t flags)
{
    int32_t fd = lowest_free();
    if (fd >= 0) {
        table[fd] = (struct descriptor){
            .kind = DESCRIPTOR_NODE, .readable = readable, .writable = writable, .flags = flags, .node = node};
        node_open(node);
    }
    return fd;
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
    descriptor->kind = DESCRIPTOR_CLOSED;
    if (descriptor->node) {
        node_close(descriptor->node);
        descriptor->node = NULL;
    }
    return WASI_SUCCESS;
}
