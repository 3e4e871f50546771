/* The guest's own file system, as the bridge sees it.
 *
 * Everything lives in linear memory: /lib is mounted from the archive that the linker put into the
 * module, /tmp belongs to the program that runs in the guest, everything else is what
 * vivarium_fs_put() created. The host lends no files at all.
 */
#ifndef VIVARIUM_FILESYSTEM_H
#define VIVARIUM_FILESYSTEM_H

#include <stddef.h>

/* Creates a file, and the directories above it, whether or not the place is writable to the program
 * itself. The file is read-only unless it lies below /tmp.
 *
 * `path` is absolute and normalised ("/udf/a.py": no empty, "." or ".." component, no NUL). With
 * `copy` 0 the file and its name keep pointing to `data` and `path`, which must stay valid and
 * unchanged for ever. A file that an earlier call copied in is replaced; descriptors that are open
 * on it keep the old content.
 *
 * Returns 0 or a WASI errno: INVAL (path), NAMETOOLONG, EXIST (a directory, or a file of the
 * embedded archive), NOTDIR (a file among the parents), NOMEM.
 */
int vivarium_fs_put(const char *path, size_t path_len, const void *data, size_t len, int copy);

/* Creates the files of an archive as archive.h describes it. They and their names keep pointing into
 * `archive`, which must stay valid and unchanged for ever.
 *
 * Returns 0 or a WASI errno: INVAL (not an archive), or what vivarium_fs_put() answers for the first
 * file that cannot be created. */
int vivarium_fs_mount(const void *archive, size_t len);

#endif
