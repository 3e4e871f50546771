/* What stat() tells, and times. */
#ifndef VIVARIUM_ATTRIBUTES_H
#define VIVARIUM_ATTRIBUTES_H

#include "node.h"
#include "preview1.h"

/* Nanoseconds since 1970, as coarse as the host's clock. */
uint64_t time_now(void);

/* The content or the entries changed now. */
void attributes_touch(struct node *node);

void attributes_get(const struct node *node, struct wasi_filestat *stat);

/* `flags` are WASI_FSTFLAGS_*. ROFS outside /tmp, INVAL for contradicting flags. */
wasi_result attributes_set_times(struct node *node, uint64_t atim, uint64_t mtim, int32_t flags);

#endif
