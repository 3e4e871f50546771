/* preview1's calls on descriptors. */
#include <string.h>

#include "attributes.h"
#include "descriptor.h"
#include "host.h"

wasi_result PREVIEW1(fd_close)(int32_t fd) { return descriptor_close(fd); }

/* Reads at `offset`; past the end there is nothing. */
static size_t read_at(const struct node *file, uint64_t offset, const struct wasi_iovec *iovecs, size_t count)
{
    size_t total = 0;
    for (size_t i = 0; i < count && offset < file->file.size; i++) {
        size_t available = file->file.size - (size_t)offset;
        size_t len = iovecs[i].len < available ? iovecs[i].len : available;
        memcpy(iovecs[i].base, file->file.data + offset, len);
        offset += len;
        total += len;
    }
    return total;
}

/* Writes everything or nothing. */
static wasi_result write_at(struct node *file, uint64_t offset, const struct wasi_iovec *iovecs, size_t count,
                            size_t *written)
{
    uint64_t len = 0;
    for (size_t i = 0; i < count; i++) {
        len += iovecs[i].len;
    }
    *written = 0;
    if (file->discards) {
        *written = (size_t)(len < FILE_SIZE_MAX ? len : FILE_SIZE_MAX);
        return WASI_SUCCESS;
    }
    if (len == 0) {
        return WASI_SUCCESS;
    }
    if (len > FILE_SIZE_MAX || offset > FILE_SIZE_MAX - len) {
        return WASI_EFBIG;
    }
    if (offset + len > file->file.size && !node_resize(file, (size_t)(offset + len))) {
        return WASI_ENOSPC;
    }
    for (size_t i = 0; i < count; i++) {
        if (iovecs[i].len != 0) {
            memmove(file->file.data + offset, iovecs[i].base, iovecs[i].len);
            offset += iovecs[i].len;
        }
    }
    *written = (size_t)len;
    attributes_touch(file);
    return WASI_SUCCESS;
}

wasi_result PREVIEW1(fd_read)(int32_t fd, const struct wasi_iovec *iovecs, size_t count, size_t *read)
{
    struct descriptor *descriptor = descriptor_get(fd);
    if (!descriptor || !descriptor->readable) {
        return WASI_EBADF;
    }
    *read = 0;
    if (descriptor->kind != DESCRIPTOR_NODE) {
        return WASI_SUCCESS; /* standard input is empty */
    }
    if (descriptor->node->kind == NODE_DIRECTORY) {
        return WASI_EISDIR;
    }
    *read = read_at(descriptor->node, descriptor->offset, iovecs, count);
    descriptor->offset += *read;
    return WASI_SUCCESS;
}

wasi_result PREVIEW1(fd_pread)(int32_t fd, const struct wasi_iovec *iovecs, size_t count, uint64_t offset,
                               size_t *read)
{
    wasi_result error;
    struct descriptor *descriptor = descriptor_file(fd, &error);
    if (!descriptor) {
        return error;
    }
    if (!descriptor->readable) {
        return WASI_EBADF;
    }
    *read = read_at(descriptor->node, offset, iovecs, count);
    return WASI_SUCCESS;
}

wasi_result PREVIEW1(fd_write)(int32_t fd, const struct wasi_iovec *iovecs, size_t count, size_t *written)
{
    struct descriptor *descriptor = descriptor_get(fd);
    if (!descriptor || !descriptor->writable) {
        return WASI_EBADF;
    }
    if (descriptor->kind == DESCRIPTOR_STDOUT) {
        return host_fd_write(fd, iovecs, count, written);
    }
    uint64_t offset = descriptor->offset;
    if (descriptor->flags & WASI_FDFLAGS_APPEND) {
        offset = descriptor->node->file.size;
    }
    wasi_result result = write_at(descriptor->node, offset, iovecs, count, written);
    if (result == WASI_SUCCESS) {
        descriptor->offset = offset + *written;
    }
    return result;
}

wasi_result PREVIEW1(fd_pwrite)(int32_t fd, const struct wasi_iovec *iovecs, size_t count, uint64_t offset,
                                size_t *written)
{
    wasi_result error;
    struct descriptor *descriptor = descriptor_file(fd, &error);
    if (!descriptor) {
        return error;
    }
    if (!descriptor->writable) {
        return WASI_EBADF;
    }
    return write_at(descriptor->node, offset, iovecs, count, written);
}

wasi_result PREVIEW1(fd_seek)(int32_t fd, int64_t delta, int32_t whence, uint64_t *offset)
{
    wasi_result error;
    struct descriptor *descriptor = descriptor_file(fd, &error);
    if (!descriptor) {
        return error;
    }
    uint64_t base;
    switch (whence) {
    case WASI_WHENCE_SET:
        base = 0;
        break;
    case WASI_WHENCE_CUR:
        base = descriptor->offset;
        break;
    case WASI_WHENCE_END:
        base = descriptor->node->file.size;
        break;
    default:
        return WASI_EINVAL;
    }
    int64_t target;
    if (__builtin_add_overflow((int64_t)base, delta, &target) || target < 0) {
        return WASI_EINVAL;
    }
    *offset = descriptor->offset = (uint64_t)target;
    return WASI_SUCCESS;
}

wasi_result PREVIEW1(fd_tell)(int32_t fd, uint64_t *offset) { return PREVIEW1(fd_seek)(fd, 0, WASI_WHENCE_CUR, offset); }

wasi_result PREVIEW1(fd_fdstat_get)(int32_t fd, struct wasi_fdstat *stat)
{
    struct descriptor *descriptor = descriptor_get(fd);
    if (!descriptor) {
        return WASI_EBADF;
    }
    memset(stat, 0, sizeof *stat);
    stat->flags = descriptor->flags;
    /* wasi-libc hands what a directory may inherit to open(), and reads the access mode of a
     * descriptor from its rights. */
    stat->rights_inheriting = WASI_RIGHTS_ALL;
    stat->rights_base = WASI_RIGHTS_ALL & ~(WASI_RIGHT_FD_READ | WASI_RIGHT_FD_WRITE | WASI_RIGHT_FD_READDIR);
    if (descriptor->readable) {
        stat->rights_base |= WASI_RIGHT_FD_READ | WASI_RIGHT_FD_READDIR;
    }
    if (descriptor->writable) {
        stat->rights_base |= WASI_RIGHT_FD_WRITE;
    }
    if (descriptor->kind != DESCRIPTOR_NODE) {
        stat->filetype = WASI_FILETYPE_CHARACTER_DEVICE;
    } else {
        stat->filetype = node_filetype(descriptor->node);
    }
    return WASI_SUCCESS;
}

wasi_result PREVIEW1(fd_fdstat_set_flags)(int32_t fd, int32_t flags)
{
    struct descriptor *descriptor = descriptor_get(fd);
    if (!descriptor) {
        return WASI_EBADF;
    }
    if (flags & ~WASI_FDFLAGS_ALL) {
        return WASI_EINVAL;
    }
    descriptor->flags = (uint16_t)flags;
    return WASI_SUCCESS;
}

wasi_result PREVIEW1(fd_filestat_get)(int32_t fd, struct wasi_filestat *stat)
{
    struct descriptor *descriptor = descriptor_get(fd);
    if (!descriptor) {
        return WASI_EBADF;
    }
    if (descriptor->kind == DESCRIPTOR_NODE) {
        attributes_get(descriptor->node, stat);
        return WASI_SUCCESS;
    }
    memset(stat, 0, sizeof *stat);
    stat->filetype = WASI_FILETYPE_CHARACTER_DEVICE;
    stat->nlink = 1;
    return WASI_SUCCESS;
}

/* A file that may change its size through `fd`, or NULL and *error. */
static struct node *resizable_file(int32_t fd, wasi_result *error)
{
    struct descriptor *descriptor = descriptor_file(fd, error);
    if (!descriptor) {
        if (*error == WASI_ESPIPE) {
            *error = WASI_EINVAL;
        }
        return NULL;
    }
    if (!descriptor->writable) {
        *error = descriptor->node->writable ? WASI_EINVAL : WASI_EROFS;
        return NULL;
    }
    return descriptor->node;
}

static wasi_result set_size(struct node *file, uint64_t size)
{
    if (size > FILE_SIZE_MAX) {
        return WASI_EFBIG;
    }
    if (!node_resize(file, (size_t)size)) {
        return WASI_ENOSPC;
    }
    attributes_touch(file);
    return WASI_SUCCESS;
}

wasi_result PREVIEW1(fd_filestat_set_size)(int32_t fd, uint64_t size)
{
    wasi_result error;
    struct node *file = resizable_file(fd, &error);
    return file ? set_size(file, size) : error;
}

wasi_result PREVIEW1(fd_allocate)(int32_t fd, uint64_t offset, uint64_t len)
{
    wasi_result error;
    struct node *file = resizable_file(fd, &error);
    if (!file) {
        return error;
    }
    uint64_t end;
    if (len == 0) {
        return WASI_EINVAL;
    }
    if (__builtin_add_overflow(offset, len, &end)) {
        return WASI_EFBIG;
    }
    return end <= file->file.size ? WASI_SUCCESS : set_size(file, end);
}

wasi_result PREVIEW1(fd_filestat_set_times)(int32_t fd, uint64_t atim, uint64_t mtim, int32_t flags)
{
    struct descriptor *descriptor = descriptor_get(fd);
    if (!descriptor) {
        return WASI_EBADF;
    }
    if (descriptor->kind != DESCRIPTOR_NODE) {
        return WASI_EINVAL;
    }
    return attributes_set_times(descriptor->node, atim, mtim, flags);
}

static wasi_result require_open(int32_t fd) { return descriptor_get(fd) ? WASI_SUCCESS : WASI_EBADF; }

wasi_result PREVIEW1(fd_advise)(int32_t fd, uint64_t offset, uint64_t len, int32_t advice)
{
    (void)offset, (void)len, (void)advice;
    return require_open(fd);
}

wasi_result PREVIEW1(fd_sync)(int32_t fd) { return require_open(fd); }

wasi_result PREVIEW1(fd_datasync)(int32_t fd) { return require_open(fd); }

wasi_result PREVIEW1(fd_renumber)(int32_t from, int32_t to)
{
    (void)from, (void)to;
    return WASI_ENOTSUP;
}

wasi_result PREVIEW1(fd_fdstat_set_rights)(int32_t fd, uint64_t base, uint64_t inheriting)
{
    (void)fd, (void)base, (void)inheriting;
    return WASI_ENOTSUP;
}

wasi_result PREVIEW1(fd_prestat_get)(int32_t fd, struct wasi_prestat *prestat)
{
    if (fd != DESCRIPTOR_ROOT) {
        return WASI_EBADF;
    }
    memset(prestat, 0, sizeof *prestat);
    prestat->name_len = 1;
    return WASI_SUCCESS;
}

wasi_result PREVIEW1(fd_prestat_dir_name)(int32_t fd, char *name, size_t len)
{
    if (fd != DESCRIPTOR_ROOT) {
        return WASI_EBADF;
    }
    if (len < 1) {
        return WASI_ENAMETOOLONG;
    }
    name[0] = '/';
    return WASI_SUCCESS;
}
