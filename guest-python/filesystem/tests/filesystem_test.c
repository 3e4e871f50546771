/* The file system, compiled for the machine of the tests: a table of calls with their expected
 * answers, then random calls under the sanitizers. Ends with 0 if all is well. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive.h"
#include "calls.h"
#include "descriptor.h"
#include "filesystem.h"
#include "host.h"
#include "path.h"

/* The host's side. */

static uint64_t clock_now = 1000000000;

wasi_result host_clock_time_get(int32_t clock, uint64_t precision, uint64_t *nanoseconds)
{
    (void)clock, (void)precision;
    *nanoseconds = clock_now += 1000000;
    return WASI_SUCCESS;
}

wasi_result host_fd_write(int32_t fd, const struct wasi_iovec *iovecs, size_t count, size_t *written)
{
    (void)fd;
    *written = 0;
    for (size_t i = 0; i < count; i++) {
        *written += iovecs[i].len;
    }
    return WASI_SUCCESS;
}

_Noreturn void host_proc_exit(int32_t code) { exit(code); }

/* An archive with one file, /lib/a, holding "abc". */
const uint8_t vivarium_archive[] = "VIVFS001\1\0\0\0\34\0\0\0\6\0\0\0\42\0\0\0\3\0\0\0/lib/aabc";
const size_t vivarium_archive_len = sizeof vivarium_archive - 1;

/* The table. */

enum call { OPEN, MKDIR, UNLINK, RMDIR, RENAME, STAT, READLINK, PUT };

struct row {
    enum call call;
    const char *path;
    const char *target; /* of RENAME */
    int32_t oflags;
    bool write;
    wasi_result expected;
};

static int32_t last_opened;

static wasi_result run_row(const struct row *row)
{
    struct wasi_filestat stat;
    size_t len = strlen(row->path);
    uint64_t rights = WASI_RIGHT_FD_READ | (row->write ? WASI_RIGHT_FD_WRITE : 0);
    char target[8];
    size_t target_len;
    switch (row->call) {
    case OPEN:
        return PREVIEW1(path_open)(3, 0, row->path, len, row->oflags, rights, 0, 0, &last_opened);
    case MKDIR:
        return PREVIEW1(path_create_directory)(3, row->path, len);
    case UNLINK:
        return PREVIEW1(path_unlink_file)(3, row->path, len);
    case RMDIR:
        return PREVIEW1(path_remove_directory)(3, row->path, len);
    case RENAME:
        return PREVIEW1(path_rename)(3, row->path, len, 3, row->target, strlen(row->target));
    case STAT:
        return PREVIEW1(path_filestat_get)(3, 0, row->path, len, &stat);
    case READLINK:
        return PREVIEW1(path_readlink)(3, row->path, len, target, sizeof target, &target_len);
    case PUT:
        return vivarium_fs_put(row->path, len, "data", 4, 1);
    }
    return -1;
}

enum { CREAT = WASI_OFLAGS_CREAT, DIRECTORY = WASI_OFLAGS_DIRECTORY, EXCL = WASI_OFLAGS_EXCL, TRUNC = WASI_OFLAGS_TRUNC };

static const struct row rows[] = {
    /* The read-only tree. */
    {OPEN, "lib/a", NULL, 0, false, WASI_SUCCESS},
    {OPEN, "lib/a", NULL, 0, true, WASI_EROFS},
    {OPEN, "lib/a", NULL, TRUNC, false, WASI_EROFS},
    {OPEN, "lib/a", NULL, CREAT, false, WASI_SUCCESS},
    {OPEN, "lib/a", NULL, CREAT | EXCL, false, WASI_EEXIST},
    {OPEN, "lib/b", NULL, CREAT, true, WASI_EROFS},
    {OPEN, "lib/a", NULL, DIRECTORY, false, WASI_ENOTDIR},
    {OPEN, "lib/a/", NULL, 0, false, WASI_ENOTDIR},
    {OPEN, "lib/a/b", NULL, 0, false, WASI_ENOTDIR},
    {OPEN, "lib", NULL, 0, true, WASI_EISDIR},
    {OPEN, "lib", NULL, DIRECTORY, false, WASI_SUCCESS},
    {MKDIR, "lib", NULL, 0, false, WASI_EEXIST},
    {MKDIR, "new", NULL, 0, false, WASI_EROFS},
    {UNLINK, "lib/a", NULL, 0, false, WASI_EROFS},
    {RMDIR, "tmp", NULL, 0, false, WASI_EROFS},
    {RENAME, "lib/a", "tmp/a", 0, false, WASI_EROFS},
    {RENAME, "tmp", "lib/tmp", 0, false, WASI_EROFS},
    {READLINK, "lib/a", NULL, 0, false, WASI_EINVAL},
    {READLINK, "lib/b", NULL, 0, false, WASI_ENOENT},
    /* Paths. */
    {STAT, "", NULL, 0, false, WASI_ENOENT},
    {STAT, "/", NULL, 0, false, WASI_SUCCESS},
    {STAT, "..", NULL, 0, false, WASI_SUCCESS},
    {STAT, "../../../../lib//./a", NULL, 0, false, WASI_SUCCESS},
    {STAT, "nothing/../lib", NULL, 0, false, WASI_ENOENT},
    {STAT, "lib/a/../a", NULL, 0, false, WASI_ENOTDIR},
    {RMDIR, "tmp/..", NULL, 0, false, WASI_EBUSY},
    /* /tmp. */
    {OPEN, "tmp/f", NULL, 0, true, WASI_ENOENT},
    {OPEN, "tmp/f/", NULL, CREAT, true, WASI_EISDIR},
    {OPEN, "tmp/f", NULL, CREAT | EXCL, true, WASI_SUCCESS},
    {OPEN, "tmp/f", NULL, CREAT | EXCL, true, WASI_EEXIST},
    {OPEN, "tmp/f", NULL, CREAT | DIRECTORY, true, WASI_EINVAL},
    {MKDIR, "tmp/f", NULL, 0, false, WASI_EEXIST},
    {MKDIR, "tmp/d/", NULL, 0, false, WASI_SUCCESS},
    {MKDIR, "tmp/d/e", NULL, 0, false, WASI_SUCCESS},
    {MKDIR, "tmp/x/y", NULL, 0, false, WASI_ENOENT},
    {RMDIR, "tmp/d", NULL, 0, false, WASI_ENOTEMPTY},
    {RMDIR, "tmp/f", NULL, 0, false, WASI_ENOTDIR},
    {UNLINK, "tmp/d", NULL, 0, false, WASI_EISDIR},
    {RENAME, "tmp/d", "tmp/d/e/f", 0, false, WASI_EINVAL},
    {RENAME, "tmp/d", "tmp/d", 0, false, WASI_SUCCESS},
    {RENAME, "tmp/d", "tmp/f", 0, false, WASI_ENOTDIR},
    {RENAME, "tmp/f", "tmp/d", 0, false, WASI_EISDIR},
    {RENAME, "tmp/f", "tmp/g/", 0, false, WASI_ENOTDIR},
    {RENAME, "tmp/d/e", "tmp/e", 0, false, WASI_SUCCESS},
    {RENAME, "tmp/e", "tmp/d", 0, false, WASI_SUCCESS},
    {STAT, "tmp/e", NULL, 0, false, WASI_ENOENT},
    {RMDIR, "tmp/d", NULL, 0, false, WASI_SUCCESS},
    {UNLINK, "tmp/f", NULL, 0, false, WASI_SUCCESS},
    {UNLINK, "tmp/f", NULL, 0, false, WASI_ENOENT},
    /* The one device. */
    {OPEN, "dev/null", NULL, 0, true, WASI_SUCCESS},
    {OPEN, "dev/null", NULL, CREAT | TRUNC, true, WASI_SUCCESS},
    {OPEN, "dev/zero", NULL, CREAT, true, WASI_EROFS},
    {UNLINK, "dev/null", NULL, 0, false, WASI_EROFS},
    {RENAME, "tmp", "dev/null", 0, false, WASI_EROFS},
    {PUT, "/dev/null", NULL, 0, false, WASI_EEXIST},
    /* What the bridge puts. */
    {PUT, "/udf/sub/u.py", NULL, 0, false, WASI_SUCCESS},
    {PUT, "/udf/sub/u.py", NULL, 0, false, WASI_SUCCESS},
    {PUT, "/udf/sub", NULL, 0, false, WASI_EEXIST},
    {PUT, "/udf/sub/u.py/x", NULL, 0, false, WASI_ENOTDIR},
    {PUT, "/lib/a", NULL, 0, false, WASI_EEXIST},
    {PUT, "udf/a", NULL, 0, false, WASI_EINVAL},
    {PUT, "/udf/../a", NULL, 0, false, WASI_EINVAL},
    {PUT, "/udf//a", NULL, 0, false, WASI_EINVAL},
    {PUT, "/udf/", NULL, 0, false, WASI_EINVAL},
    {PUT, "/", NULL, 0, false, WASI_EINVAL},
    {OPEN, "udf/sub/u.py", NULL, 0, true, WASI_EROFS},
    {PUT, "/tmp/p", NULL, 0, false, WASI_SUCCESS},
    {OPEN, "tmp/p", NULL, TRUNC, true, WASI_SUCCESS},
};

static int check_table(void)
{
    int failures = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        last_opened = -1;
        wasi_result result = run_row(&rows[i]);
        if (result != rows[i].expected) {
            printf("row %zu (call %d on \"%s\"): %d, expected %d\n", i, rows[i].call, rows[i].path, result, rows[i].expected);
            failures++;
        }
        if (last_opened >= 0) {
            PREVIEW1(fd_close)(last_opened);
        }
    }
    return failures;
}

/* Two numbers of one open file share its offset, and the file stays open as long as either. */
static int check_duplicates(void)
{
    const char *path = "tmp/duplicated";
    int32_t fd = -1;
    wasi_result error = WASI_SUCCESS;
    size_t done = 0;
    uint64_t offset = 0;
    char text[8] = "";
    struct wasi_iovec abcd = {(uint8_t *)"abcd", 4}, rest = {(uint8_t *)text, sizeof text};
    PREVIEW1(path_open)(3, 0, path, strlen(path), CREAT, WASI_RIGHTS_ALL, 0, 0, &fd);
    int32_t other = descriptor_duplicate(fd, &error);
    bool done_well = other > fd && PREVIEW1(fd_write)(fd, &abcd, 1, &done) == WASI_SUCCESS &&
                     PREVIEW1(fd_seek)(other, 0, WASI_WHENCE_CUR, &offset) == WASI_SUCCESS && offset == 4 &&
                     PREVIEW1(fd_seek)(other, 1, WASI_WHENCE_SET, &offset) == WASI_SUCCESS &&
                     PREVIEW1(path_unlink_file)(3, path, strlen(path)) == WASI_SUCCESS &&
                     PREVIEW1(fd_close)(fd) == WASI_SUCCESS && PREVIEW1(fd_close)(fd) == WASI_EBADF &&
                     PREVIEW1(fd_read)(other, &rest, 1, &done) == WASI_SUCCESS && done == 3 &&
                     memcmp(text, "bcd", 3) == 0 && PREVIEW1(fd_close)(other) == WASI_SUCCESS &&
                     descriptor_duplicate(other, &error) == -1 && error == WASI_EBADF;
    if (!done_well) {
        printf("duplicates do not behave as one open file\n");
    }
    return !done_well;
}

/* Whatever is written to /dev/null, nothing is there. */
static int check_null(void)
{
    int32_t fd = -1;
    size_t done = 9;
    struct wasi_filestat stat;
    uint8_t byte = 0;
    struct wasi_iovec iovec = {&byte, 1};
    PREVIEW1(path_open)(3, 0, "dev/null", 8, 0, WASI_RIGHTS_ALL, 0, 0, &fd);
    bool done_well = PREVIEW1(fd_write)(fd, &iovec, 1, &done) == WASI_SUCCESS && done == 1 &&
                     PREVIEW1(fd_pwrite)(fd, &iovec, 1, UINT64_MAX, &done) == WASI_SUCCESS && done == 1 &&
                     PREVIEW1(fd_filestat_set_size)(fd, 1 << 20) == WASI_SUCCESS &&
                     PREVIEW1(fd_pread)(fd, &iovec, 1, 0, &done) == WASI_SUCCESS && done == 0 &&
                     PREVIEW1(fd_filestat_get)(fd, &stat) == WASI_SUCCESS && stat.size == 0 &&
                     stat.filetype == WASI_FILETYPE_CHARACTER_DEVICE && PREVIEW1(fd_close)(fd) == WASI_SUCCESS;
    if (!done_well) {
        printf("/dev/null keeps something\n");
    }
    return !done_well;
}

/* Archives that are mounted later. */

static void put_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(value >> 8 * i);
    }
}

/* Mounts files of two bytes each, from memory that is never given back. */
static int mount_files(const char *const *paths, uint32_t count)
{
    size_t len = 12 + 16 * (size_t)count;
    uint8_t *archive = calloc(1, len + 4096 * (size_t)count);
    memcpy(archive, "VIVFS001", 8);
    put_u32(archive + 8, count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t path_len = (uint32_t)strlen(paths[i]);
        const uint32_t record[] = {(uint32_t)len, path_len, (uint32_t)len + path_len, 2};
        for (int field = 0; field < 4; field++) {
            put_u32(archive + 12 + 16 * i + 4 * field, record[field]);
        }
        memcpy(archive + len, paths[i], path_len);
        memcpy(archive + len + path_len, "hi", 2);
        len += path_len + 2;
    }
    return vivarium_fs_mount(archive, len);
}

static int check_mount(void)
{
    static const char *const good[] = {"/packages/p/__init__.py", "/packages/p/data", "/imports/a.zip"};
    static const struct {
        const char *path;
        wasi_result expected;
    } bad[] = {
        {"/lib/a", WASI_EEXIST},       {"/packages/p/data", WASI_EEXIST}, {"/packages/p", WASI_EEXIST},
        {"/lib/a/b", WASI_ENOTDIR},    {"relative", WASI_EINVAL},         {"/", WASI_EINVAL},
        {"/a/../b", WASI_EINVAL},      {"/a//b", WASI_EINVAL},            {"/a/", WASI_EINVAL},
        {"/./a", WASI_EINVAL},
    };
    int failures = 0;
    if (mount_files(good, 3) != WASI_SUCCESS) {
        printf("files cannot be mounted\n");
        failures++;
    }
    const struct row rows_after[] = {
        {STAT, "packages/p/data", NULL, 0, false, WASI_SUCCESS},
        {OPEN, "packages/p/data", NULL, 0, true, WASI_EROFS},
        {OPEN, "packages/p/new", NULL, CREAT, true, WASI_EROFS},
        {UNLINK, "imports/a.zip", NULL, 0, false, WASI_EROFS},
        {PUT, "/imports/a.zip", NULL, 0, false, WASI_EEXIST},
    };
    for (size_t i = 0; i < sizeof rows_after / sizeof rows_after[0]; i++) {
        if (run_row(&rows_after[i]) != rows_after[i].expected) {
            printf("row %zu after mounting\n", i);
            failures++;
        }
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int result = mount_files(&bad[i].path, 1);
        if (result != bad[i].expected) {
            printf("mounting %s answers %d\n", bad[i].path, result);
            failures++;
        }
    }
    static const uint8_t broken[] = "VIVFS001\1\0\0\0\34\0\0\0\6\0\0\0\42\0\0\0\4\0\0\0/lib/cabc";
    for (size_t len = 0; len < sizeof broken; len++) {
        if (vivarium_fs_mount(broken, len) != WASI_EINVAL) {
            printf("%zu bytes are not an archive\n", len);
            failures++;
        }
    }
    return failures;
}

/* Random calls: a small set of names, numbers and paths, so that they meet. */

static uint32_t seed = 12345;

static uint32_t pick(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static size_t random_path(char *path)
{
    static const char *const parts[] = {"tmp", "a", "b", "c", "..", ".", "lib", "", "udf"};
    size_t len = 0;
    if (pick(4) == 0) {
        path[len++] = '/';
    }
    len += (size_t)sprintf(path + len, "tmp/");
    for (uint32_t i = 0, depth = pick(5); i < depth; i++) {
        len += (size_t)sprintf(path + len, "%s/", parts[pick(sizeof parts / sizeof *parts)]);
    }
    return pick(3) ? len - 1 : len;
}

static uint64_t random_number(void)
{
    static const uint64_t numbers[] = {0, 1, 2, 3, 100, 5000, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX};
    return numbers[pick(sizeof numbers / sizeof *numbers)];
}

static void random_call(void)
{
    char path[128], target[128];
    uint8_t bytes[300];
    memset(bytes, 'x', sizeof bytes);
    struct wasi_iovec iovecs[2] = {{bytes, pick(200)}, {bytes, pick(100)}};
    struct wasi_filestat stat;
    struct wasi_fdstat fdstat;
    size_t path_len = random_path(path), target_len = random_path(target), size;
    int32_t fd = (int32_t)pick(12) + (pick(50) == 0 ? -5 : 3), opened;
    uint64_t number = random_number(), offset;
    switch (pick(21)) {
    case 0:
    case 1:
    case 2:
        PREVIEW1(path_open)(pick(3) ? 3 : fd, 0, path, path_len, (int32_t)pick(16), pick(2) ? WASI_RIGHTS_ALL : WASI_RIGHT_FD_READ, 0, (int32_t)pick(3), &opened);
        break;
    case 3:
    case 4:
        PREVIEW1(fd_close)(fd);
        break;
    case 5:
        PREVIEW1(path_create_directory)(3, path, path_len);
        break;
    case 6:
        PREVIEW1(path_unlink_file)(3, path, path_len);
        break;
    case 7:
        PREVIEW1(path_remove_directory)(3, path, path_len);
        break;
    case 8:
        PREVIEW1(path_rename)(3, path, path_len, fd, target, target_len);
        break;
    case 9:
        PREVIEW1(fd_read)(fd, iovecs, 2, &size);
        break;
    case 10:
        PREVIEW1(fd_write)(fd, iovecs, 2, &size);
        break;
    case 11:
        PREVIEW1(fd_pread)(fd, iovecs, 2, number, &size);
        break;
    case 12:
        PREVIEW1(fd_pwrite)(fd, iovecs, 2, number > 10000 && number < UINT32_MAX ? 7 : number, &size);
        break;
    case 13:
        PREVIEW1(fd_seek)(fd, (int64_t)number - (int64_t)pick(10), (int32_t)pick(4), &offset);
        break;
    case 14:
        PREVIEW1(fd_readdir)(fd, bytes, pick(sizeof bytes), number, &size);
        break;
    case 15:
        PREVIEW1(fd_filestat_set_size)(fd, number > 10000 && number < UINT32_MAX ? 9 : number);
        break;
    case 16:
        PREVIEW1(fd_filestat_get)(fd, &stat);
        PREVIEW1(fd_fdstat_get)(fd, &fdstat);
        break;
    case 17:
        PREVIEW1(path_filestat_set_times)(3, 0, path, path_len, number, number, (int32_t)pick(20));
        break;
    case 18:
        vivarium_fs_put(path, path_len, bytes, pick(sizeof bytes), 1);
        break;
    case 19:
        PREVIEW1(fd_allocate)(fd, number > 10000 && number < UINT32_MAX ? 9 : number, pick(300));
        break;
    case 20: {
        wasi_result error;
        descriptor_duplicate(fd, &error);
        break;
    }
    }
}

/* Every entry can be found by its name, and entries are in the order of their cookies. */
static int check_tree(const struct node *directory)
{
    int failures = 0;
    for (size_t i = 0; i < directory->directory.count; i++) {
        struct node *node = directory->directory.entries[i];
        if (node->parent != directory || node_find(directory, node->name, node->name_len) != node ||
            (i > 0 && directory->directory.entries[i - 1]->cookie >= node->cookie)) {
            printf("the entry %.*s is not in order\n", node->name_len, node->name);
            failures++;
        }
        if (node->kind == NODE_DIRECTORY) {
            failures += check_tree(node);
        }
    }
    return failures;
}

/* Names and paths of any length, and with anything in them. */
static int check_names(void)
{
    static char path[PATH_LEN_MAX + 2];
    struct wasi_filestat stat;
    wasi_result result[4];
    memset(path, 'n', sizeof path);
    memcpy(path, "tmp/", 4);
    result[0] = PREVIEW1(path_filestat_get)(3, 0, path, 4 + NAME_LEN_MAX, &stat);
    result[1] = PREVIEW1(path_filestat_get)(3, 0, path, 4 + NAME_LEN_MAX + 1, &stat);
    memset(path, '/', sizeof path);
    result[2] = PREVIEW1(path_filestat_get)(3, 0, path, PATH_LEN_MAX, &stat);
    result[3] = PREVIEW1(path_filestat_get)(3, 0, path, PATH_LEN_MAX + 1, &stat);
    wasi_result nul = PREVIEW1(path_filestat_get)(3, 0, "lib\0/a", 6, &stat);
    bool done_well = result[0] == WASI_ENOENT && result[1] == WASI_ENAMETOOLONG && result[2] == WASI_SUCCESS &&
                     result[3] == WASI_ENAMETOOLONG && nul == WASI_EINVAL;
    if (!done_well) {
        printf("names: %d %d %d %d %d\n", result[0], result[1], result[2], result[3], nul);
    }
    return !done_well;
}

/* A directory is written to the room that there is, byte for byte: the sanitizer knows where that ends. */
static int check_room(void)
{
    for (size_t room = 0; room < 64; room++) {
        size_t used = 0;
        uint8_t *bytes = malloc(room);
        wasi_result result = PREVIEW1(fd_readdir)(3, bytes, room, 0, &used);
        free(bytes);
        if (result != WASI_SUCCESS || used != room) {
            printf("a directory in %zu bytes: %d, %zu used\n", room, result, used);
            return 1;
        }
    }
    return 0;
}

int main(void)
{
    int failures = check_table() + check_names() + check_room() + check_duplicates() + check_null() + check_mount();
    for (int i = 0; i < 300000; i++) {
        random_call();
        if (i % 1000 == 0) {
            failures += check_tree(node_root());
        }
    }
    const struct row still_there = {STAT, "lib/a", NULL, 0, false, WASI_SUCCESS};
    failures += run_row(&still_there) != WASI_SUCCESS;
    return failures == 0 ? 0 : 1;
}
