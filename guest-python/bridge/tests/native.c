/* What native builds have in the place of the guest's file system (plain files under the directory
 * of the test run) and of the host's input. */
#include <errno.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "platform.h"
#include "pull.h"

int
vivarium_fs_put(const char *path, size_t path_len, const void *data, size_t len, int copy)
{
    (void)copy;
    char name[4096];
    if (path_len >= sizeof name) {
        return ENAMETOOLONG;
    }
    memcpy(name, path, path_len);
    name[path_len] = '\0';
    for (char *slash = strchr(name + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(name, 0700) != 0 && errno != EEXIST) {
            return errno;
        }
        *slash = '/';
    }
    FILE *file = fopen(name, "wb");
    if (file == NULL) {
        return errno;
    }
    size_t written = fwrite(data, 1, len, file);
    return fclose(file) == 0 && written == len ? 0 : EIO;
}

/* Native tests write their files themselves. */
int
vivarium_fs_mount(const void *archive, size_t len)
{
    (void)archive;
    (void)len;
    return ENOSYS;
}

typedef int32_t (*Pull)(void *, uint32_t);

static Pull source;

/* Lets a test supply the input of map functions. */
__attribute__((visibility("default"))) void
vivarium_test_source(Pull pull)
{
    source = pull;
}

VIVARIUM_EXPORT(vivarium_pull)
int32_t
vivarium_pull(void *room, uint32_t size)
{
    return source != NULL ? source(room, size) : -1;
}
