/* The only place that knows whether the bridge is part of the wasm guest or a native library.
 *
 * Native builds exist for tests and for benchmarks: the same code converts the same Arrow structs,
 * only with 64-bit pointers and inside an interpreter that somebody else has started. */
#ifndef VIVARIUM_PLATFORM_H
#define VIVARIUM_PLATFORM_H

#include <stddef.h>

#ifdef __wasm__
#define VIVARIUM_EXPORT(name) __attribute__((export_name(#name), used))
/* The interpreter has the changes of toolchain/adjust.py. */
#define VIVARIUM_ADJUSTED_PYTHON
/* Nobody else uses the interpreter. */
#define VIVARIUM_OWN_PYTHON
#else
#define VIVARIUM_EXPORT(name) __attribute__((visibility("default")))
#endif

#define VIVARIUM_INLINE static inline __attribute__((always_inline))

/* Directory of the user's code. Native builds set another one. */
#ifndef VIVARIUM_UDF_ROOT
#define VIVARIUM_UDF_ROOT "/udf"
#endif

/* Creates a read-only file with its parent directories; `path` is absolute and normalised.
 * `copy` = 0 lets the file system keep a pointer to `data`, which then must live forever.
 * Returns a WASI errno, 0 on success. In the guest this is the in-memory file system. */
int vivarium_fs_put(const char *path, size_t path_len, const void *data, size_t len, int copy);

/* Creates the files of an archive, which must live forever. A WASI errno, 0 on success. */
int vivarium_fs_mount(const void *archive, size_t len);

#endif
