/* preview1's fd_readdir. */
#include <string.h>

#include "descriptor.h"

struct output {
    uint8_t *bytes;
    size_t size, used;
};

/* Appends as much as fits; a cut entry tells the caller to come again with more room. */
static bool append(struct output *output, const void *bytes, size_t len)
{
    size_t room = output->size - output->used;
    size_t fitting = len < room ? len : room;
    memcpy(output->bytes + output->used, bytes, fitting);
    output->used += fitting;
    return fitting == len;
}

static bool append_entry(struct output *output, const struct node *node, const char *name, size_t name_len,
                         uint64_t next)
{
    struct wasi_dirent entry;
    memset(&entry, 0, sizeof entry); /* the padding too */
    entry.next = next;
    entry.ino = node->ino;
    entry.name_len = (uint32_t)name_len;
    entry.filetype = node_filetype(node);
    return append(output, &entry, sizeof entry) && append(output, name, name_len);
}

/* A cookie names the first entry that is still to come: 0 "." then 1 "..", then the entries by
 * their own numbers. Any other number finds the next higher entry or the end. */
wasi_result PREVIEW1(fd_readdir)(int32_t fd, uint8_t *buffer, size_t size, uint64_t cookie, size_t *used)
{
    wasi_result error;
    struct descriptor *descriptor = descriptor_directory(fd, &error);
    if (!descriptor) {
        return error;
    }
    if (!descriptor->readable) {
        return WASI_EBADF;
    }
    const struct node *directory = descriptor->node;
    if (!directory->parent) {
        return WASI_ENOENT; /* it was removed while it was open */
    }
    struct output output = {.bytes = buffer, .size = size};
    bool room = true;
    if (cookie == 0) {
        room = append_entry(&output, directory, ".", 1, 1);
    }
    if (room && cookie <= 1) {
        room = append_entry(&output, directory->parent, "..", 2, 2);
    }
    for (size_t i = node_entry_index(directory, cookie); room && i < directory->directory.count; i++) {
        const struct node *node = directory->directory.entries[i];
        room = append_entry(&output, node, node->name, node->name_len, node->cookie + 1);
    }
    *used = output.used;
    return WASI_SUCCESS;
}
