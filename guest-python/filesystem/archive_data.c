/* The archive's bytes. VIVARIUM_ARCHIVE is the path of the file, in quotes. */
#include "archive.h"

const uint8_t vivarium_archive[] = {
#embed VIVARIUM_ARCHIVE
};

const size_t vivarium_archive_len = sizeof vivarium_archive;
