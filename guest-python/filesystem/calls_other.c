/* The rest of preview1: what has a constant answer here. Not defined, and so left to the host:
 * clock_time_get, random_get, poll_oneoff, proc_exit. */
#include "preview1.h"

wasi_result PREVIEW1(args_sizes_get)(size_t *count, size_t *size)
{
    *count = *size = 0;
    return WASI_SUCCESS;
}

wasi_result PREVIEW1(args_get)(char **arguments, char *buffer)
{
    (void)arguments, (void)buffer;
    return WASI_SUCCESS;
}

wasi_result PREVIEW1(environ_sizes_get)(size_t *count, size_t *size)
{
    *count = *size = 0;
    return WASI_SUCCESS;
}

wasi_result PREVIEW1(environ_get)(char **variables, char *buffer)
{
    (void)variables, (void)buffer;
    return WASI_SUCCESS;
}

wasi_result PREVIEW1(clock_res_get)(int32_t clock, uint64_t *nanoseconds)
{
    if (clock != WASI_CLOCK_REALTIME && clock != WASI_CLOCK_MONOTONIC) {
        return WASI_ENOTSUP;
    }
    *nanoseconds = CLOCK_RESOLUTION;
    return WASI_SUCCESS;
}

wasi_result PREVIEW1(sched_yield)(void) { return WASI_SUCCESS; }

wasi_result PREVIEW1(sock_accept)(int32_t socket, int32_t flags, int32_t *accepted)
{
    (void)socket, (void)flags, (void)accepted;
    return WASI_ENOTSUP;
}

wasi_result PREVIEW1(sock_recv)(int32_t socket, const struct wasi_iovec *iovecs, size_t count, int32_t flags,
                                size_t *received, int32_t *received_flags)
{
    (void)socket, (void)iovecs, (void)count, (void)flags, (void)received, (void)received_flags;
    return WASI_ENOTSUP;
}

wasi_result PREVIEW1(sock_send)(int32_t socket, const struct wasi_iovec *iovecs, size_t count, int32_t flags,
                                size_t *sent)
{
    (void)socket, (void)iovecs, (void)count, (void)flags, (void)sent;
    return WASI_ENOTSUP;
}

wasi_result PREVIEW1(sock_shutdown)(int32_t socket, int32_t how)
{
    (void)socket, (void)how;
    return WASI_ENOTSUP;
}
