/* From a path to a place in the tree. */
#ifndef VIVARIUM_PATH_H
#define VIVARIUM_PATH_H

#include "node.h"
#include "preview1.h"

enum { PATH_LEN_MAX = 4096 };

struct place {
    struct node *node; /* what the path names, or NULL if nothing is there yet */
    /* The entry the path names: NULL and empty if it ends in "." or ".." or is the root. */
    struct node *parent;
    const char *name; /* points into the path */
    size_t name_len;
    bool must_be_directory; /* the path ends in a slash */
};

/* Walks `path` from `start`, or from the root if it begins with a slash; never above the root.
 * Every component but the last must be an existing directory. Returns 0, INVAL (a NUL inside),
 * NAMETOOLONG, NOENT (also for the empty path) or NOTDIR. */
wasi_result path_walk(struct node *start, const char *path, size_t path_len, struct place *place);

/* path_walk(), and NOENT if nothing is there. */
wasi_result path_find(struct node *start, const char *path, size_t path_len, struct place *place);

#endif
