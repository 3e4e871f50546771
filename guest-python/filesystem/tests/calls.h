/* preview1's calls, as far as the tests make them. In the module they are called by wasi-libc,
 * which declares them itself. */
#ifndef VIVARIUM_CALLS_H
#define VIVARIUM_CALLS_H

#include "preview1.h"

wasi_result PREVIEW1(fd_allocate)(int32_t fd, uint64_t offset, uint64_t len);
wasi_result PREVIEW1(fd_close)(int32_t fd);
wasi_result PREVIEW1(fd_fdstat_get)(int32_t fd, struct wasi_fdstat *stat);
wasi_result PREVIEW1(fd_filestat_get)(int32_t fd, struct wasi_filestat *stat);
wasi_result PREVIEW1(fd_filestat_set_size)(int32_t fd, uint64_t size);
wasi_result PREVIEW1(fd_pread)(int32_t fd, const struct wasi_iovec *iovecs, size_t count, uint64_t offset, size_t *read);
wasi_result PREVIEW1(fd_pwrite)(int32_t fd, const struct wasi_iovec *iovecs, size_t count, uint64_t offset, size_t *written);
wasi_result PREVIEW1(fd_read)(int32_t fd, const struct wasi_iovec *iovecs, size_t count, size_t *read);
wasi_result PREVIEW1(fd_readdir)(int32_t fd, uint8_t *buffer, size_t size, uint64_t cookie, size_t *used);
wasi_result PREVIEW1(fd_seek)(int32_t fd, int64_t delta, int32_t whence, uint64_t *offset);
wasi_result PREVIEW1(fd_write)(int32_t fd, const struct wasi_iovec *iovecs, size_t count, size_t *written);
wasi_result PREVIEW1(path_create_directory)(int32_t fd, const char *path, size_t path_len);
wasi_result PREVIEW1(path_filestat_get)(int32_t fd, int32_t lookup_flags, const char *path, size_t path_len, struct wasi_filestat *stat);
wasi_result PREVIEW1(path_filestat_set_times)(int32_t fd, int32_t lookup_flags, const char *path, size_t path_len, uint64_t atim, uint64_t mtim, int32_t flags);
wasi_result PREVIEW1(path_open)(int32_t fd, int32_t lookup_flags, const char *path, size_t path_len, int32_t oflags, uint64_t rights, uint64_t rights_inheriting, int32_t flags, int32_t *opened);
wasi_result PREVIEW1(path_readlink)(int32_t fd, const char *path, size_t path_len, char *target, size_t target_size, size_t *target_len);
wasi_result PREVIEW1(path_remove_directory)(int32_t fd, const char *path, size_t path_len);
wasi_result PREVIEW1(path_rename)(int32_t from_fd, const char *from_path, size_t from_len, int32_t to_fd, const char *to_path, size_t to_len);
wasi_result PREVIEW1(path_unlink_file)(int32_t fd, const char *path, size_t path_len);

#endif
