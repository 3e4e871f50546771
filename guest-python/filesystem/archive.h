/* The archive that is linked into the module: the standard library and the guest's own package.
 *
 * All numbers are little-endian u32. Layout:
 *
 *     "VIVFS001"
 *     count
 *     count times: path offset, path length, data offset, data length
 *     the paths ("/lib/python3.13/abc.pyc") and the contents
 *
 * Offsets count from the archive's first byte. Written by toolchain/pack.py.
 */
#ifndef VIVARIUM_ARCHIVE_H
#define VIVARIUM_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern const uint8_t vivarium_archive[];
extern const size_t vivarium_archive_len;

struct archive {
    const uint8_t *bytes;
    size_t len;
    uint32_t count;
};

struct archive_entry {
    const char *path;
    size_t path_len;
    const uint8_t *data;
    size_t data_len;
};

/* False: not an archive, or cut short. */
bool archive_open(struct archive *archive, const uint8_t *bytes, size_t len);

/* The entry of that index (below `count`). False: it points outside of the archive. */
bool archive_entry(const struct archive *archive, uint32_t index, struct archive_entry *entry);

#endif
