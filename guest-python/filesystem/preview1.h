/* WASI preview1: the types and numbers that the file system needs.
 *
 * Not <wasi/api.h>, which exists for wasm only: these files are also compiled natively, for their
 * tests. Layouts are those of the wasm32 ABI where the host or wasi-libc sees them.
 */
#ifndef VIVARIUM_PREVIEW1_H
#define VIVARIUM_PREVIEW1_H

#include <stddef.h>
#include <stdint.h>

/* wasi-libc calls every function of preview1 through a symbol of this form. Whatever is defined
 * under such a name is bound by the linker and does not become an import. */
#define PREVIEW1(name) __imported_wasi_snapshot_preview1_##name

/* Functions return one of these as an i32. */
typedef int32_t wasi_result;

enum {
    WASI_SUCCESS = 0,
    WASI_EBADF = 8,
    WASI_EBUSY = 10,
    WASI_EEXIST = 20,
    WASI_EFBIG = 22,
    WASI_EINVAL = 28,
    WASI_EISDIR = 31,
    WASI_EMFILE = 33,
    WASI_ENAMETOOLONG = 37,
    WASI_ENOENT = 44,
    WASI_ENOMEM = 48,
    WASI_ENOSPC = 51,
    WASI_ENOTDIR = 54,
    WASI_ENOTEMPTY = 55,
    WASI_ENOTSUP = 58,
    WASI_EROFS = 69,
    WASI_ESPIPE = 70,
};

enum {
    WASI_FILETYPE_CHARACTER_DEVICE = 2,
    WASI_FILETYPE_DIRECTORY = 3,
    WASI_FILETYPE_REGULAR_FILE = 4,
};

enum { WASI_OFLAGS_CREAT = 1, WASI_OFLAGS_DIRECTORY = 2, WASI_OFLAGS_EXCL = 4, WASI_OFLAGS_TRUNC = 8 };

enum { WASI_FDFLAGS_APPEND = 1, WASI_FDFLAGS_ALL = 31 };

enum { WASI_WHENCE_SET = 0, WASI_WHENCE_CUR = 1, WASI_WHENCE_END = 2 };

enum { WASI_FSTFLAGS_ATIM = 1, WASI_FSTFLAGS_ATIM_NOW = 2, WASI_FSTFLAGS_MTIM = 4, WASI_FSTFLAGS_MTIM_NOW = 8 };

enum { WASI_CLOCK_REALTIME = 0, WASI_CLOCK_MONOTONIC = 1 };

#define CLOCK_RESOLUTION ((uint64_t)1000000) /* nanoseconds */

#define WASI_RIGHT_FD_READ ((uint64_t)1 << 1)
#define WASI_RIGHT_FD_WRITE ((uint64_t)1 << 6)
#define WASI_RIGHT_FD_READDIR ((uint64_t)1 << 14)
#define WASI_RIGHTS_ALL (((uint64_t)1 << 30) - 1)

struct wasi_iovec {
    uint8_t *base;
    size_t len;
};

struct wasi_fdstat {
    uint8_t filetype;
    uint16_t flags;
    uint64_t rights_base;
    uint64_t rights_inheriting;
};

struct wasi_filestat {
    uint64_t dev;
    uint64_t ino;
    uint8_t filetype;
    uint64_t nlink;
    uint64_t size;
    uint64_t atim; /* nanoseconds since 1970 */
    uint64_t mtim;
    uint64_t ctim;
};

struct wasi_prestat {
    uint8_t tag; /* 0: a directory */
    size_t name_len;
};

struct wasi_dirent {
    uint64_t next;
    uint64_t ino;
    uint32_t name_len;
    uint8_t filetype;
};

_Static_assert(sizeof(struct wasi_fdstat) == 24, "fdstat layout");
_Static_assert(sizeof(struct wasi_filestat) == 64, "filestat layout");
_Static_assert(sizeof(struct wasi_dirent) == 24, "dirent layout");

#endif
