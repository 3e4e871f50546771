#include "path.h"

#include <string.h>

/* The end of the component that begins at `at`. */
static size_t component_end(const char *path, size_t path_len, size_t at)
{
    while (at < path_len && path[at] != '/') {
        at++;
    }
    return at;
}

static size_t skip_slashes(const char *path, size_t path_len, size_t at)
{
    while (at < path_len && path[at] == '/') {
        at++;
    }
    return at;
}

wasi_result path_walk(struct node *start, const char *path, size_t path_len, struct place *place)
{
    if (path_len > PATH_LEN_MAX) {
        return WASI_ENAMETOOLONG;
    }
    if (path_len == 0) {
        return WASI_ENOENT;
    }
    if (memchr(path, '\0', path_len)) {
        return WASI_EINVAL;
    }
    struct node *node = path[0] == '/' ? node_root() : start;
    *place = (struct place){.node = node, .must_be_directory = path[path_len - 1] == '/'};
    for (size_t at = skip_slashes(path, path_len, 0); at < path_len;) {
        const char *name = path + at;
        size_t end = component_end(path, path_len, at);
        size_t name_len = end - at;
        at = skip_slashes(path, path_len, end);

        if (!node) {
            return WASI_ENOENT;
        }
        if (node->kind != NODE_DIRECTORY) {
            return WASI_ENOTDIR;
        }
        if (name_len > NAME_LEN_MAX) {
            return WASI_ENAMETOOLONG;
        }
        *place = (struct place){.must_be_directory = place->must_be_directory};
        if (name_len == 1 && name[0] == '.') {
            /* stays here */
        } else if (name_len == 2 && name[0] == '.' && name[1] == '.') {
            node = node->parent;
            if (!node) {
                return WASI_ENOENT; /* the directory was removed while it was open */
            }
        } else {
            place->parent = node;
            place->name = name;
            place->name_len = name_len;
            node = node_find(node, name, name_len);
        }
        place->node = node;
    }
    if (place->must_be_directory && node && node->kind != NODE_DIRECTORY) {
        return WASI_ENOTDIR;
    }
    return WASI_SUCCESS;
}

wasi_result path_find(struct node *start, const char *path, size_t path_len, struct place *place)
{
    wasi_result result = path_walk(start, path, path_len, place);
    if (result == WASI_SUCCESS && !place->node) {
        return WASI_ENOENT;
    }
    return result;
}
