/* The guest's file system for native builds: plain files under the directory of the test run. */
#include <errno.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "platform.h"

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
