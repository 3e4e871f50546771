/* Functions that the C library lacks, or that must not be its own. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "descriptor.h"
#include "host.h"

/* The library's version executes `unreachable`, which the host could not tell from a crash. */
_Noreturn void abort(void)
{
    static const char message[] = "vivarium: abort() was called\n";
    struct wasi_iovec iovec = {.base = (uint8_t *)message, .len = sizeof message - 1};
    size_t written;
    host_fd_write(2, &iovec, 1, &written);
    host_proc_exit(134);
}

/* In zig's library this one is written in Zig and imports fd_close under a symbol that C cannot
 * define, so the call would leave the module. */
int close(int fd)
{
    wasi_result PREVIEW1(fd_close)(int32_t fd);
    wasi_result error = PREVIEW1(fd_close)(fd);
    if (error != WASI_SUCCESS) {
        errno = error;
        return -1;
    }
    return 0;
}

/* The library has none, as preview1 cannot ask for it. */
int dup(int fd)
{
    wasi_result error = WASI_SUCCESS;
    int other = descriptor_duplicate(fd, &error);
    if (other < 0) {
        errno = error;
    }
    return other;
}

/* zig's version measures the whole string before it looks for anything. CPython's tokenizer asks it for
 * the end of every line, so that compiling a file took time by the square of the file's size. */
char *strchr(const char *text, int wanted)
{
    char byte = (char)wanted;
    while (*text != byte) {
        if (*text == '\0') {
            return NULL;
        }
        text++;
    }
    return (char *)text;
}
