/* The tree: directories and files. Knows nothing of descriptors, paths or WASI calls. */
#ifndef VIVARIUM_NODE_H
#define VIVARIUM_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NAME_LEN_MAX = 255 };

/* Largest file: offsets inside linear memory must stay positive as a 32-bit integer. */
#define FILE_SIZE_MAX ((uint64_t)INT32_MAX)

enum node_kind { NODE_FILE, NODE_DIRECTORY };

struct node {
    enum node_kind kind;
    bool writable;      /* may be changed by the program: /tmp and all below it */
    bool discards;      /* /dev/null: a file that stays empty, whatever is written */
    bool name_borrowed; /* `name` lives as long as the module */
    bool data_borrowed; /* `data` lives as long as the module (the archive) */
    uint16_t name_len;
    uint32_t name_hash;
    uint32_t open_count; /* descriptors that refer to this node */
    const char *name;
    struct node *parent; /* NULL once removed from the tree; the root is its own */
    struct node *next_in_bucket;
    uint64_t ino;
    uint64_t cookie; /* place in its directory's order; never reused there */
    uint64_t accessed, modified, changed; /* nanoseconds since 1970 */
    union {
        struct {
            uint8_t *data;
            size_t size, capacity;
        } file;
        struct {
            struct node **entries; /* ascending `cookie` */
            size_t count, capacity;
            uint64_t next_cookie;
        } directory;
    };
};

/* Cookies 1 and 2 stand for "." and "..". */
enum { FIRST_COOKIE = 3 };

/* The time that everything not written by the program carries. */
#define BUILD_TIME ((uint64_t)VIVARIUM_SOURCE_DATE_EPOCH * 1000000000u)

struct node *node_root(void);

/* The entry of that name, or NULL. */
struct node *node_find(const struct node *directory, const char *name, size_t name_len);

/* A new entry, which must not exist yet. The name is copied unless `borrow_name`. NULL: no memory. */
struct node *node_create(struct node *directory, const char *name, size_t name_len, enum node_kind kind,
                         bool writable, bool borrow_name, uint64_t now);

/* Takes the node out of the tree; it is freed now or when its last descriptor closes. */
void node_remove(struct node *node);

/* Moves a node to another place, which `replaced` occupies until now if it is not NULL.
 * False: no memory, nothing changed. */
bool node_move(struct node *node, struct node *directory, const char *name, size_t name_len,
               struct node *replaced);

/* True if `node` is `directory` or lies below it. */
bool node_is_within(const struct node *node, const struct node *directory);

/* The index of the first entry whose cookie is at least `cookie`. */
size_t node_entry_index(const struct node *directory, uint64_t cookie);

/* Sets a file's size, filling with zeros; one that discards keeps its own. False: no memory, nothing
 * changed. */
bool node_resize(struct node *file, size_t size);

/* WASI_FILETYPE_* */
uint8_t node_filetype(const struct node *node);

void node_open(struct node *node);
void node_close(struct node *node);

#endif
