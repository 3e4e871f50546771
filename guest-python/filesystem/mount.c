/* What is there before the program starts: the embedded archive, /tmp, /dev/null, and the files that
 * the bridge puts. */
#include "filesystem.h"

#include <stdlib.h>
#include <string.h>

#include "archive.h"
#include "host.h"
#include "path.h"

/* Is `name` usable as one component of a normalised path? */
static wasi_result check_name(const char *name, size_t name_len)
{
    if (name_len == 0 || (name_len == 1 && name[0] == '.') || (name_len == 2 && memcmp(name, "..", 2) == 0) ||
        memchr(name, '\0', name_len)) {
        return WASI_EINVAL;
    }
    return name_len > NAME_LEN_MAX ? WASI_ENAMETOOLONG : WASI_SUCCESS;
}

/* Finds the parent of `path`, making the directories that are missing; *name is the rest. */
static wasi_result make_parents(const char *path, size_t path_len, bool borrow_names, struct node **parent,
                                const char **name, size_t *name_len)
{
    if (path_len == 0 || path[0] != '/') {
        return WASI_EINVAL;
    }
    if (path_len > PATH_LEN_MAX) {
        return WASI_ENAMETOOLONG;
    }
    struct node *directory = node_root();
    const char *end = path + path_len;
    for (const char *at = path + 1;;) {
        const char *slash = memchr(at, '/', (size_t)(end - at));
        size_t len = (size_t)((slash ? slash : end) - at);
        wasi_result result = check_name(at, len);
        if (result != WASI_SUCCESS) {
            return result;
        }
        if (!slash) {
            *parent = directory;
            *name = at;
            *name_len = len;
            return WASI_SUCCESS;
        }
        struct node *next = node_find(directory, at, len);
        if (!next) {
            next = node_create(directory, at, len, NODE_DIRECTORY, directory->writable, borrow_names, BUILD_TIME);
        }
        if (!next) {
            return WASI_ENOMEM;
        }
        if (next->kind != NODE_DIRECTORY) {
            return WASI_ENOTDIR;
        }
        directory = next;
        at = slash + 1;
    }
}

int vivarium_fs_put(const char *path, size_t path_len, const void *data, size_t len, int copy)
{
    struct node *parent;
    const char *name;
    size_t name_len;
    wasi_result result = make_parents(path, path_len, !copy, &parent, &name, &name_len);
    if (result != WASI_SUCCESS) {
        return result;
    }
    struct node *existing = node_find(parent, name, name_len);
    if (existing && (existing->kind == NODE_DIRECTORY || existing->data_borrowed || existing->discards)) {
        return WASI_EEXIST;
    }
    if (len > FILE_SIZE_MAX) {
        return WASI_ENOMEM;
    }
    bool borrow = !copy && !parent->writable; /* what the program may resize must be on the heap */
    uint8_t *content = (uint8_t *)data;
    if (!borrow && len != 0) {
        content = malloc(len);
        if (!content) {
            return WASI_ENOMEM;
        }
        memcpy(content, data, len);
    }
    if (existing) {
        node_remove(existing);
    }
    struct node *file = node_create(parent, name, name_len, NODE_FILE, parent->writable, !copy, BUILD_TIME);
    if (!file) {
        if (!borrow && len != 0) {
            free(content);
        }
        return WASI_ENOMEM;
    }
    file->data_borrowed = borrow;
    file->file.data = len != 0 || borrow ? content : NULL;
    file->file.size = file->file.capacity = len;
    return WASI_SUCCESS;
}

int vivarium_fs_mount(const void *bytes, size_t len)
{
    struct archive archive;
    if (!archive_open(&archive, bytes, len)) {
        return WASI_EINVAL;
    }
    for (uint32_t i = 0; i < archive.count; i++) {
        struct archive_entry entry;
        if (!archive_entry(&archive, i, &entry)) {
            return WASI_EINVAL;
        }
        int result = vivarium_fs_put(entry.path, entry.path_len, entry.data, entry.data_len, 0);
        if (result != WASI_SUCCESS) {
            return result;
        }
    }
    return WASI_SUCCESS;
}

/* Ends the guest: without its standard library there is nothing that could run. */
static void require(bool done)
{
    if (!done) {
        abort();
    }
}

/* Runs before the other constructors, so that they find their files. */
__attribute__((constructor(101))) static void mount(void)
{
    struct node *tmp = node_create(node_root(), "tmp", 3, NODE_DIRECTORY, true, true, BUILD_TIME);
    require(tmp != NULL);
    struct node *dev = node_create(node_root(), "dev", 3, NODE_DIRECTORY, false, true, BUILD_TIME);
    require(dev != NULL);
    struct node *null = node_create(dev, "null", 4, NODE_FILE, true, true, BUILD_TIME);
    require(null != NULL);
    null->discards = true;
    require(vivarium_fs_mount(vivarium_archive, vivarium_archive_len) == WASI_SUCCESS);
}
