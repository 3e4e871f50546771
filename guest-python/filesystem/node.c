#include "node.h"
#include "preview1.h"

#include <stdlib.h>
#include <string.h>

static struct node root = {
    .kind = NODE_DIRECTORY,
    .name = "",
    .name_borrowed = true,
    .parent = &root,
    .ino = 1,
    .open_count = 1,
    .accessed = BUILD_TIME,
    .modified = BUILD_TIME,
    .changed = BUILD_TIME,
    .directory = {.next_cookie = FIRST_COOKIE},
};

static uint64_t next_ino = 2;

/* One hash table over (directory, name) for the whole tree. */
static struct node **buckets;
static size_t bucket_count; /* a power of two */
static size_t node_count;

struct node *node_root(void) { return &root; }

/* FNV-1a, started from the directory's number. */
static uint32_t hash_name(const struct node *directory, const char *name, size_t name_len)
{
    uint32_t hash = 2166136261u ^ (uint32_t)(directory->ino * 2654435761u);
    for (size_t i = 0; i < name_len; i++) {
        hash = (hash ^ (uint8_t)name[i]) * 16777619u;
    }
    return hash;
}

struct node *node_find(const struct node *directory, const char *name, size_t name_len)
{
    if (bucket_count == 0) {
        return NULL;
    }
    uint32_t hash = hash_name(directory, name, name_len);
    for (struct node *node = buckets[hash & (bucket_count - 1)]; node; node = node->next_in_bucket) {
        if (node->name_hash == hash && node->parent == directory && node->name_len == name_len &&
            memcmp(node->name, name, name_len) == 0) {
            return node;
        }
    }
    return NULL;
}

static bool reserve_bucket(void)
{
    if (node_count < bucket_count) {
        return true;
    }
    size_t new_count = bucket_count ? bucket_count * 2 : 1024;
    struct node **new_buckets = calloc(new_count, sizeof *new_buckets);
    if (!new_buckets) {
        return bucket_count != 0; /* longer chains, but it works */
    }
    for (size_t i = 0; i < bucket_count; i++) {
        while (buckets[i]) {
            struct node *node = buckets[i];
            buckets[i] = node->next_in_bucket;
            struct node **bucket = &new_buckets[node->name_hash & (new_count - 1)];
            node->next_in_bucket = *bucket;
            *bucket = node;
        }
    }
    free(buckets);
    buckets = new_buckets;
    bucket_count = new_count;
    return true;
}

static bool reserve_entry(struct node *directory)
{
    if (directory->directory.count < directory->directory.capacity) {
        return true;
    }
    size_t capacity = directory->directory.capacity ? directory->directory.capacity * 2 : 8;
    struct node **entries = realloc(directory->directory.entries, capacity * sizeof *entries);
    if (!entries) {
        return false;
    }
    directory->directory.entries = entries;
    directory->directory.capacity = capacity;
    return true;
}

/* Room was reserved: cannot fail. */
static void attach(struct node *node, struct node *directory)
{
    node->parent = directory;
    node->cookie = directory->directory.next_cookie++;
    directory->directory.entries[directory->directory.count++] = node;
    node->name_hash = hash_name(directory, node->name, node->name_len);
    struct node **bucket = &buckets[node->name_hash & (bucket_count - 1)];
    node->next_in_bucket = *bucket;
    *bucket = node;
    node_count++;
}

static void detach(struct node *node)
{
    struct node *directory = node->parent;
    size_t index = node_entry_index(directory, node->cookie);
    struct node **entry = &directory->directory.entries[index];
    directory->directory.count--;
    memmove(entry, entry + 1, (directory->directory.count - index) * sizeof *entry);
    struct node **link = &buckets[node->name_hash & (bucket_count - 1)];
    while (*link != node) {
        link = &(*link)->next_in_bucket;
    }
    *link = node->next_in_bucket;
    node->parent = NULL;
    node_count--;
}

struct node *node_create(struct node *directory, const char *name, size_t name_len, enum node_kind kind,
                         bool writable, bool borrow_name, uint64_t now)
{
    if (!reserve_bucket() || !reserve_entry(directory)) {
        return NULL;
    }
    struct node *node = calloc(1, sizeof *node);
    if (!node) {
        return NULL;
    }
    if (!borrow_name) {
        char *copy = malloc(name_len);
        if (!copy) {
            free(node);
            return NULL;
        }
        memcpy(copy, name, name_len);
        name = copy;
    }
    node->kind = kind;
    node->writable = writable;
    node->name = name;
    node->name_len = (uint16_t)name_len;
    node->name_borrowed = borrow_name;
    node->ino = next_ino++;
    node->accessed = node->modified = node->changed = now;
    if (kind == NODE_DIRECTORY) {
        node->directory.next_cookie = FIRST_COOKIE;
    }
    attach(node, directory);
    directory->modified = directory->changed = now;
    return node;
}

static void free_node(struct node *node)
{
    if (!node->name_borrowed) {
        free((char *)node->name);
    }
    if (node->kind == NODE_DIRECTORY) {
        free(node->directory.entries);
    } else if (!node->data_borrowed) {
        free(node->file.data);
    }
    free(node);
}

void node_remove(struct node *node)
{
    detach(node);
    if (node->open_count == 0) {
        free_node(node);
    }
}

bool node_move(struct node *node, struct node *directory, const char *name, size_t name_len,
               struct node *replaced)
{
    char *copy = malloc(name_len);
    if (!copy || !reserve_entry(directory)) {
        free(copy);
        return false;
    }
    memcpy(copy, name, name_len);
    if (replaced) {
        node_remove(replaced);
    }
    detach(node);
    if (!node->name_borrowed) {
        free((char *)node->name);
    }
    node->name = copy;
    node->name_len = (uint16_t)name_len;
    node->name_borrowed = false;
    attach(node, directory);
    return true;
}

bool node_is_within(const struct node *node, const struct node *directory)
{
    while (node && node != directory && node != &root) {
        node = node->parent;
    }
    return node == directory;
}

size_t node_entry_index(const struct node *directory, uint64_t cookie)
{
    size_t low = 0, high = directory->directory.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (directory->directory.entries[middle]->cookie < cookie) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool node_resize(struct node *file, size_t size)
{
    if (file->discards) {
        return true;
    }
    if (size > file->file.capacity) {
        size_t doubled = file->file.capacity * 2;
        size_t capacity = doubled > size ? doubled : size;
        uint8_t *data = realloc(file->file.data, capacity);
        if (!data && capacity > size) {
            capacity = size;
            data = realloc(file->file.data, capacity);
        }
        if (!data) {
            return false;
        }
        file->file.data = data;
        file->file.capacity = capacity;
    }
    if (size > file->file.size) {
        memset(file->file.data + file->file.size, 0, size - file->file.size);
    }
    file->file.size = size;
    if (size == 0) {
        free(file->file.data);
        file->file.data = NULL;
        file->file.capacity = 0;
    }
    return true;
}

uint8_t node_filetype(const struct node *node)
{
    if (node->kind == NODE_DIRECTORY) {
        return WASI_FILETYPE_DIRECTORY;
    }
    return node->discards ? WASI_FILETYPE_CHARACTER_DEVICE : WASI_FILETYPE_REGULAR_FILE;
}

void node_open(struct node *node) { node->open_count++; }

void node_close(struct node *node)
{
    node->open_count--;
    if (node->open_count == 0 && !node->parent) {
        free_node(node);
    }
}
