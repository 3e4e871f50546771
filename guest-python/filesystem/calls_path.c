/* preview1's calls on paths. The order of checks is Linux's, so that Python sees the errors it
 * expects: a directory that exists answers EEXIST even where the tree is read-only. */
#include "attributes.h"
#include "descriptor.h"
#include "path.h"

/* Finds the place that `path` names, starting at the directory `fd`. */
static wasi_result walk(int32_t fd, const char *path, size_t path_len, struct place *place)
{
    wasi_result error;
    struct descriptor *descriptor = descriptor_directory(fd, &error);
    return descriptor ? path_walk(descriptor->node, path, path_len, place) : error;
}

static wasi_result find(int32_t fd, const char *path, size_t path_len, struct place *place)
{
    wasi_result result = walk(fd, path, path_len, place);
    return result == WASI_SUCCESS && !place->node ? WASI_ENOENT : result;
}

/* Creates the entry at an empty place. */
static wasi_result create(struct place *place, enum node_kind kind)
{
    if (!place->parent->writable) {
        return WASI_EROFS;
    }
    if (!place->parent->parent) {
        return WASI_ENOENT; /* the directory was removed while it was open */
    }
    place->node = node_create(place->parent, place->name, place->name_len, kind, true, false, time_now());
    return place->node ? WASI_SUCCESS : WASI_ENOSPC;
}

/* Finds an entry that may be removed or moved away. */
static wasi_result find_removable(int32_t fd, const char *path, size_t path_len, struct place *place)
{
    wasi_result result = find(fd, path, path_len, place);
    if (result != WASI_SUCCESS) {
        return result;
    }
    if (!place->parent) {
        return WASI_EBUSY; /* the root, "." or ".." */
    }
    return place->parent->writable ? WASI_SUCCESS : WASI_EROFS;
}

static wasi_result open_file(struct place *place, int32_t oflags, bool write, bool created)
{
    if (oflags & WASI_OFLAGS_DIRECTORY) {
        return WASI_ENOTDIR;
    }
    if ((write || oflags & WASI_OFLAGS_TRUNC) && !place->node->writable) {
        return WASI_EROFS;
    }
    if (oflags & WASI_OFLAGS_TRUNC && !created) {
        node_resize(place->node, 0);
        attributes_touch(place->node);
    }
    return WASI_SUCCESS;
}

wasi_result PREVIEW1(path_open)(int32_t fd, int32_t lookup_flags, const char *path, size_t path_len,
                                int32_t oflags, uint64_t rights, uint64_t rights_inheriting, int32_t flags,
                                int32_t *opened)
{
    (void)lookup_flags, (void)rights_inheriting;
    if (flags & ~WASI_FDFLAGS_ALL) {
        return WASI_EINVAL;
    }
    if (oflags & WASI_OFLAGS_CREAT && oflags & WASI_OFLAGS_DIRECTORY) {
        return WASI_EINVAL;
    }
    struct place place;
    wasi_result result = walk(fd, path, path_len, &place);
    if (result != WASI_SUCCESS) {
        return result;
    }
    bool write = rights & WASI_RIGHT_FD_WRITE;
    bool created = false;
    if (!place.node) {
        if (!(oflags & WASI_OFLAGS_CREAT)) {
            return WASI_ENOENT;
        }
        if (place.must_be_directory) {
            return WASI_EISDIR;
        }
        if (!descriptor_available()) {
            return WASI_EMFILE;
        }
        result = create(&place, NODE_FILE);
        created = true;
    } else if (oflags & WASI_OFLAGS_CREAT && oflags & WASI_OFLAGS_EXCL) {
        return WASI_EEXIST;
    }
    if (result != WASI_SUCCESS) {
        return result;
    }
    if (place.node->kind == NODE_FILE) {
        result = open_file(&place, oflags, write, created);
    } else if (write || oflags & (WASI_OFLAGS_CREAT | WASI_OFLAGS_TRUNC)) {
        result = WASI_EISDIR;
    }
    if (result != WASI_SUCCESS) {
        return result;
    }
    int32_t number = descriptor_open(place.node, rights & WASI_RIGHT_FD_READ, write, (uint16_t)flags);
    if (number < 0) {
        return WASI_EMFILE;
    }
    *opened = number;
    return WASI_SUCCESS;
}

wasi_result PREVIEW1(path_filestat_get)(int32_t fd, int32_t lookup_flags, const char *path, size_t path_len,
                                        struct wasi_filestat *stat)
{
    (void)lookup_flags;
    struct place place;
    wasi_result result = find(fd, path, path_len, &place);
    if (result == WASI_SUCCESS) {
        attributes_get(place.node, stat);
    }
    return result;
}

wasi_result PREVIEW1(path_filestat_set_times)(int32_t fd, int32_t lookup_flags, const char *path,
                                              size_t path_len, uint64_t atim, uint64_t mtim, int32_t flags)
{
    (void)lookup_flags;
    struct place place;
    wasi_result result = find(fd, path, path_len, &place);
    return result == WASI_SUCCESS ? attributes_set_times(place.node, atim, mtim, flags) : result;
}

wasi_result PREVIEW1(path_create_directory)(int32_t fd, const char *path, size_t path_len)
{
    struct place place;
    wasi_result result = walk(fd, path, path_len, &place);
    if (result != WASI_SUCCESS) {
        return result;
    }
    return place.node ? WASI_EEXIST : create(&place, NODE_DIRECTORY);
}

/* Takes the entry out of its directory. */
static void remove_entry(struct place *place)
{
    attributes_touch(place->parent);
    node_remove(place->node);
}

wasi_result PREVIEW1(path_unlink_file)(int32_t fd, const char *path, size_t path_len)
{
    struct place place;
    wasi_result result = find_removable(fd, path, path_len, &place);
    if (result != WASI_SUCCESS) {
        return result;
    }
    if (place.node->kind == NODE_DIRECTORY) {
        return WASI_EISDIR;
    }
    remove_entry(&place);
    return WASI_SUCCESS;
}

wasi_result PREVIEW1(path_remove_directory)(int32_t fd, const char *path, size_t path_len)
{
    struct place place;
    wasi_result result = find_removable(fd, path, path_len, &place);
    if (result != WASI_SUCCESS) {
        return result;
    }
    if (place.node->kind != NODE_DIRECTORY) {
        return WASI_ENOTDIR;
    }
    if (place.node->directory.count != 0) {
        return WASI_ENOTEMPTY;
    }
    remove_entry(&place);
    return WASI_SUCCESS;
}

/* May `from` take the place of what is at `to`? */
static wasi_result check_replace(const struct place *from, const struct place *to)
{
    bool moves_directory = from->node->kind == NODE_DIRECTORY;
    if (!to->node) {
        return to->must_be_directory && !moves_directory ? WASI_ENOTDIR : WASI_SUCCESS;
    }
    if (to->node->kind != NODE_DIRECTORY) {
        return moves_directory ? WASI_ENOTDIR : WASI_SUCCESS;
    }
    if (!moves_directory) {
        return WASI_EISDIR;
    }
    return to->node->directory.count == 0 ? WASI_SUCCESS : WASI_ENOTEMPTY;
}

wasi_result PREVIEW1(path_rename)(int32_t from_fd, const char *from_path, size_t from_len, int32_t to_fd,
                                  const char *to_path, size_t to_len)
{
    struct place from, to;
    wasi_result result = find_removable(from_fd, from_path, from_len, &from);
    if (result != WASI_SUCCESS) {
        return result;
    }
    result = walk(to_fd, to_path, to_len, &to);
    if (result != WASI_SUCCESS) {
        return result;
    }
    if (!to.parent) {
        return WASI_EBUSY;
    }
    if (!to.parent->writable) {
        return WASI_EROFS;
    }
    if (!to.parent->parent) {
        return WASI_ENOENT;
    }
    if (to.node == from.node) {
        return WASI_SUCCESS;
    }
    if (node_is_within(to.parent, from.node)) {
        return WASI_EINVAL;
    }
    result = check_replace(&from, &to);
    if (result != WASI_SUCCESS) {
        return result;
    }
    struct node *replaced = to.node;
    if (!node_move(from.node, to.parent, to.name, to.name_len, replaced)) {
        return WASI_ENOSPC;
    }
    attributes_touch(from.parent);
    attributes_touch(to.parent);
    from.node->changed = to.parent->changed;
    return WASI_SUCCESS;
}

wasi_result PREVIEW1(path_readlink)(int32_t fd, const char *path, size_t path_len, char *target,
                                    size_t target_size, size_t *target_len)
{
    (void)target, (void)target_size, (void)target_len;
    struct place place;
    wasi_result result = find(fd, path, path_len, &place);
    return result == WASI_SUCCESS ? WASI_EINVAL : result; /* there are no symbolic links */
}

wasi_result PREVIEW1(path_link)(int32_t from_fd, int32_t lookup_flags, const char *from_path, size_t from_len,
                                int32_t to_fd, const char *to_path, size_t to_len)
{
    (void)from_fd, (void)lookup_flags, (void)from_path, (void)from_len, (void)to_fd, (void)to_path, (void)to_len;
    return WASI_ENOTSUP;
}

wasi_result PREVIEW1(path_symlink)(const char *target, size_t target_len, int32_t fd, const char *path,
                                   size_t path_len)
{
    (void)target, (void)target_len, (void)fd, (void)path, (void)path_len;
    return WASI_ENOTSUP;
}
