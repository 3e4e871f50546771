/* What the host lends, under names of our own: preview1.h's PREVIEW1(...) symbols are ours. */
#ifndef VIVARIUM_HOST_H
#define VIVARIUM_HOST_H

#include "preview1.h"

#ifdef __wasm__
#define HOST_IMPORT(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name)))
#else
#define HOST_IMPORT(name)
#endif

/* Writes to the host's standard output (fd 1) or error (fd 2). */
wasi_result host_fd_write(int32_t fd, const struct wasi_iovec *iovecs, size_t count, size_t *written)
    HOST_IMPORT(fd_write);

wasi_result host_clock_time_get(int32_t clock, uint64_t precision, uint64_t *nanoseconds)
    HOST_IMPORT(clock_time_get);

_Noreturn void host_proc_exit(int32_t code) HOST_IMPORT(proc_exit);

#endif
