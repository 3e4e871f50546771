/* Fuzzes the file system, compiled for this machine with sanitizers: an input is a program of calls, of
 * which those are kept and changed further that reach new edges. Every input runs in a process of its own,
 * so each can be run again:
 *
 *     filesystem_fuzz SECONDS          fuzzes; an input that fails is written to a file in this folder
 *     filesystem_fuzz SECONDS FILE     runs one input
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "archive.h"
#include "calls.h"
#include "filesystem.h"
#include "host.h"
#include "node.h"

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

const uint8_t vivarium_archive[] = "VIVFS001\1\0\0\0\34\0\0\0\6\0\0\0\42\0\0\0\3\0\0\0/lib/aabc";
const size_t vivarium_archive_len = sizeof vivarium_archive - 1;

/* What is covered: edges of the file system's code, in memory that parent and child share. */

enum { EDGES = 1 << 16, INPUT_MAX = 2048, CORPUS_MAX = 4096 };

static uint8_t *edges;
static uintptr_t before;

void __sanitizer_cov_trace_pc(void);

void __sanitizer_cov_trace_pc(void)
{
    if (!edges) {
        return; /* before main */
    }
    uintptr_t here = (uintptr_t)__builtin_return_address(0) * (uintptr_t)0x9e3779b97f4a7c15u >> 48;
    edges[(here ^ before) % EDGES] = 1;
    before = here >> 1;
}

/* The program of an input. */

static const uint8_t *input;
static size_t input_len;

static uint8_t byte(void)
{
    if (input_len == 0) {
        return 0;
    }
    input_len--;
    return *input++;
}

static uint32_t pick(uint32_t below) { return byte() % below; }

static uint64_t number(void)
{
    static const uint64_t numbers[] = {0, 1, 2, 3, 100, 5000, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX};
    uint32_t which = pick(sizeof numbers / sizeof *numbers + 2);
    if (which < sizeof numbers / sizeof *numbers) {
        return numbers[which];
    }
    uint64_t value = 0;
    for (int i = 0; i < (which % 2 ? 8 : 2); i++) {
        value = value << 8 | byte();
    }
    return value;
}

/* Sizes that would only fill the machine's memory become small. */
static uint64_t size_number(void)
{
    uint64_t value = number();
    return value > 10000 && value < UINT32_MAX ? value % 10000 : value;
}

static size_t path_of(char *path, size_t room)
{
    static const char *const parts[] = {"tmp/", "a", "b", "/", "..", ".", "lib", "", "udf", "tmp", "//", "c/"};
    size_t len = 0;
    for (uint32_t i = 0, count = pick(8); i < count; i++) {
        uint8_t which = byte();
        if (which < 200) {
            const char *part = parts[which % (sizeof parts / sizeof *parts)];
            len += (size_t)snprintf(path + len, room - len, "%s", part);
        } else if (which < 220) {
            size_t times = pick(255);
            times = times < room - len - 1 ? times : room - len - 1;
            memset(path + len, 'n', times);
            len += times;
        } else if (len + 1 < room) {
            path[len++] = (char)byte();
        }
        if (len + 300 > room) {
            break;
        }
    }
    return len;
}

static void call(void)
{
    char path[5000], target[5000];
    uint8_t bytes[300];
    memset(bytes, 'x', sizeof bytes);
    struct wasi_iovec iovecs[2] = {{bytes, pick(200)}, {bytes, pick(100)}};
    struct wasi_filestat stat;
    struct wasi_fdstat fdstat;
    size_t size, path_len;
    uint64_t offset;
    int32_t fd, opened;
    switch (pick(18)) {
    case 0:
        path_len = path_of(path, sizeof path);
        fd = pick(3) ? 3 : (int32_t)pick(16);
        PREVIEW1(path_open)(fd, (int32_t)pick(2), path, path_len, (int32_t)pick(32), pick(2) ? WASI_RIGHTS_ALL : number(), number(), (int32_t)pick(64), &opened);
        break;
    case 1:
        PREVIEW1(fd_close)((int32_t)pick(20) - 1);
        break;
    case 2:
        PREVIEW1(path_create_directory)((int32_t)pick(8), path, path_of(path, sizeof path));
        break;
    case 3:
        PREVIEW1(path_unlink_file)((int32_t)pick(8), path, path_of(path, sizeof path));
        break;
    case 4:
        PREVIEW1(path_remove_directory)((int32_t)pick(8), path, path_of(path, sizeof path));
        break;
    case 5:
        path_len = path_of(path, sizeof path);
        size = path_of(target, sizeof target);
        PREVIEW1(path_rename)((int32_t)pick(8), path, path_len, (int32_t)pick(8), target, size);
        break;
    case 6:
        PREVIEW1(fd_read)((int32_t)pick(20) - 1, iovecs, pick(3), &size);
        break;
    case 7:
        PREVIEW1(fd_write)((int32_t)pick(20) - 1, iovecs, pick(3), &size);
        break;
    case 8:
        fd = (int32_t)pick(20) - 1;
        PREVIEW1(fd_pread)(fd, iovecs, pick(3), number(), &size);
        break;
    case 9:
        fd = (int32_t)pick(20) - 1;
        PREVIEW1(fd_pwrite)(fd, iovecs, pick(3), size_number(), &size);
        break;
    case 10:
        fd = (int32_t)pick(20) - 1;
        offset = number();
        PREVIEW1(fd_seek)(fd, (int64_t)offset, (int32_t)pick(5), &offset);
        /* What is written behind a far place fills memory and nothing else. */
        if (offset > 10000 && offset < UINT32_MAX) {
            PREVIEW1(fd_seek)(fd, 0, WASI_WHENCE_SET, &offset);
        }
        break;
    case 11:
        fd = (int32_t)pick(20) - 1;
        size = pick(sizeof bytes - 44);
        PREVIEW1(fd_readdir)(fd, bytes, size, number(), &size);
        break;
    case 12:
        fd = (int32_t)pick(20) - 1;
        PREVIEW1(fd_filestat_set_size)(fd, size_number());
        break;
    case 13:
        fd = (int32_t)pick(20) - 1;
        PREVIEW1(fd_filestat_get)(fd, &stat);
        PREVIEW1(fd_fdstat_get)(fd, &fdstat);
        break;
    case 14:
        path_len = path_of(path, sizeof path);
        PREVIEW1(path_filestat_get)((int32_t)pick(8), (int32_t)pick(2), path, path_len, &stat);
        PREVIEW1(path_filestat_set_times)((int32_t)pick(8), (int32_t)pick(2), path, path_len, number(), number(), (int32_t)pick(32));
        PREVIEW1(path_readlink)(3, path, path_len, target, pick(100), &size);
        break;
    case 15:
        path_len = path_of(path, sizeof path);
        vivarium_fs_put(path, path_len, bytes, pick(255), 1);
        break;
    case 16:
        fd = (int32_t)pick(20) - 1;
        offset = size_number();
        PREVIEW1(fd_allocate)(fd, offset, pick(255));
        break;
    case 17: {
        /* An archive of the input's own bytes: it stays for ever, as in the guest. */
        size = pick(255);
        size = size < input_len ? size : input_len;
        uint8_t *archive = malloc(size + 1);
        if (archive) {
            memcpy(archive, input, size);
            input += size, input_len -= size;
            vivarium_fs_mount(archive, size);
        }
        break;
    }
    }
}

/* Every entry can be found by its name, and entries are in the order of their cookies. */
static void check_tree(const struct node *directory)
{
    for (size_t i = 0; i < directory->directory.count; i++) {
        struct node *node = directory->directory.entries[i];
        if (node->parent != directory || node_find(directory, node->name, node->name_len) != node ||
            (i > 0 && directory->directory.entries[i - 1]->cookie >= node->cookie)) {
            fprintf(stderr, "the entry %.*s is not in order\n", node->name_len, node->name);
            abort();
        }
        if (node->kind == NODE_DIRECTORY) {
            check_tree(node);
        }
    }
}

static void run(const uint8_t *bytes, size_t len)
{
    struct wasi_filestat stat;
    input = bytes, input_len = len;
    while (input_len > 0) {
        call();
    }
    check_tree(node_root());
    /* What the module brings cannot be changed, whatever was called. */
    if (PREVIEW1(path_filestat_get)(3, 0, "lib/a", 5, &stat) != WASI_SUCCESS) {
        fprintf(stderr, "/lib/a is gone\n");
        abort();
    }
}

/* The fuzzer. */

static uint64_t random_state = 1;

static uint32_t draw(uint32_t below)
{
    random_state ^= random_state << 13, random_state ^= random_state >> 7, random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 11) % below;
}

static struct { uint8_t *bytes; size_t len; } corpus[CORPUS_MAX];
static size_t corpus_count;

static void keep(const uint8_t *bytes, size_t len)
{
    size_t at = corpus_count < CORPUS_MAX ? corpus_count++ : draw(CORPUS_MAX);
    corpus[at].bytes = malloc(len + 1);
    if (!corpus[at].bytes) {
        abort();
    }
    memcpy(corpus[at].bytes, bytes, len);
    corpus[at].len = len;
}

static size_t change(uint8_t *bytes, size_t len)
{
    for (uint32_t i = 0, times = 1 + draw(8); i < times; i++) {
        size_t at = draw((uint32_t)len + 1), piece;
        switch (draw(4)) {
        case 0:
            if (at < len) {
                bytes[at] = (uint8_t)draw(256);
            }
            break;
        case 1: /* remove */
            piece = draw(16);
            piece = piece < len - at ? piece : len - at;
            memmove(bytes + at, bytes + at + piece, len - at - piece);
            len -= piece;
            break;
        case 2: /* insert */
            piece = draw(16);
            piece = piece < INPUT_MAX - len ? piece : INPUT_MAX - len;
            memmove(bytes + at + piece, bytes + at, len - at);
            for (size_t k = 0; k < piece; k++) {
                bytes[at + k] = (uint8_t)draw(256);
            }
            len += piece;
            break;
        default: { /* continue as another input does */
            size_t other = draw((uint32_t)corpus_count), from = draw((uint32_t)corpus[other].len + 1);
            piece = corpus[other].len - from;
            piece = piece < INPUT_MAX - at ? piece : INPUT_MAX - at;
            memcpy(bytes + at, corpus[other].bytes + from, piece);
            len = at + piece;
        }
        }
    }
    return len;
}

int main(int argc, char **argv)
{
    static uint8_t seen[EDGES], bytes[INPUT_MAX];
    edges = mmap(NULL, EDGES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (edges == MAP_FAILED || argc < 2) {
        return 2;
    }
    if (argc > 2) {
        FILE *file = fopen(argv[2], "rb");
        if (!file) {
            return 2;
        }
        run(bytes, fread(bytes, 1, sizeof bytes, file));
        return 0;
    }
    time_t end = time(NULL) + atol(argv[1]);
    size_t executions = 0, covered = 0, crashes = 0;
    random_state = (uint64_t)time(NULL) * 2 + 1;
    keep((const uint8_t *)"", 0);
    while (time(NULL) < end) {
        size_t from = draw((uint32_t)corpus_count), len = corpus[from].len;
        memcpy(bytes, corpus[from].bytes, len);
        len = change(bytes, len);
        memset(edges, 0, EDGES);
        pid_t child = fork();
        if (child == 0) {
            before = 0;
            run(bytes, len);
            _exit(0);
        }
        int status = 0;
        if (child < 0 || waitpid(child, &status, 0) != child) {
            return 2;
        }
        executions++;
        if (status != 0) {
            char name[64];
            snprintf(name, sizeof name, "filesystem-crash-%zu", ++crashes);
            FILE *file = fopen(name, "wb");
            if (file) {
                fwrite(bytes, 1, len, file);
                fclose(file);
            }
            fprintf(stderr, "this input fails: %s\n", name);
            if (crashes == 10) {
                break;
            }
        }
        size_t fresh = 0;
        for (size_t i = 0; i < EDGES; i++) {
            fresh += edges[i] && !seen[i];
            seen[i] |= edges[i];
        }
        if (fresh > 0) {
            covered += fresh;
            keep(bytes, len);
        }
    }
    printf("%zu executions, %zu edges, %zu inputs kept, %zu crashes\n", executions, covered, corpus_count, crashes);
    return crashes == 0 ? 0 : 1;
}
