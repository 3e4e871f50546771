#include "attributes.h"

#include <string.h>

#include "host.h"

uint64_t time_now(void)
{
    uint64_t nanoseconds = 0;
    host_clock_time_get(WASI_CLOCK_REALTIME, CLOCK_RESOLUTION, &nanoseconds);
    return nanoseconds;
}

void attributes_touch(struct node *node) { node->modified = node->changed = time_now(); }

void attributes_get(const struct node *node, struct wasi_filestat *stat)
{
    memset(stat, 0, sizeof *stat);
    stat->dev = 1;
    stat->ino = node->ino;
    stat->nlink = node->parent ? 1 : 0;
    stat->filetype = node_filetype(node);
    stat->size = node->kind == NODE_FILE ? node->file.size : 0;
    stat->atim = node->accessed;
    stat->mtim = node->modified;
    stat->ctim = node->changed;
}

wasi_result attributes_set_times(struct node *node, uint64_t atim, uint64_t mtim, int32_t flags)
{
    const int32_t both_atim = WASI_FSTFLAGS_ATIM | WASI_FSTFLAGS_ATIM_NOW;
    const int32_t both_mtim = WASI_FSTFLAGS_MTIM | WASI_FSTFLAGS_MTIM_NOW;
    if ((flags & ~(both_atim | both_mtim)) || (flags & both_atim) == both_atim ||
        (flags & both_mtim) == both_mtim) {
        return WASI_EINVAL;
    }
    if (!node->writable) {
        return WASI_EROFS;
    }
    uint64_t now = time_now();
    if (flags & both_atim) {
        node->accessed = flags & WASI_FSTFLAGS_ATIM ? atim : now;
    }
    if (flags & both_mtim) {
        node->modified = flags & WASI_FSTFLAGS_MTIM ? mtim : now;
    }
    node->changed = now;
    return WASI_SUCCESS;
}
