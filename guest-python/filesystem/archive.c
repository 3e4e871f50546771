#include "archive.h"

#include <string.h>

static const char MAGIC[8] = {'V', 'I', 'V', 'F', 'S', '0', '0', '1'};

enum { HEADER_LEN = 12, RECORD_LEN = 16 };

static uint32_t read_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

bool archive_open(struct archive *archive, const uint8_t *bytes, size_t len)
{
    if (len < HEADER_LEN || memcmp(bytes, MAGIC, sizeof MAGIC) != 0) {
        return false;
    }
    *archive = (struct archive){.bytes = bytes, .len = len, .count = read_u32(bytes + sizeof MAGIC)};
    return archive->count <= (len - HEADER_LEN) / RECORD_LEN;
}

static bool is_inside(const struct archive *archive, uint32_t offset, uint32_t len)
{
    return offset <= archive->len && len <= archive->len - offset;
}

bool archive_entry(const struct archive *archive, uint32_t index, struct archive_entry *entry)
{
    const uint8_t *record = archive->bytes + HEADER_LEN + (size_t)index * RECORD_LEN;
    uint32_t path_offset = read_u32(record), path_len = read_u32(record + 4);
    uint32_t data_offset = read_u32(record + 8), data_len = read_u32(record + 12);
    if (!is_inside(archive, path_offset, path_len) || !is_inside(archive, data_offset, data_len)) {
        return false;
    }
    *entry = (struct archive_entry){
        .path = (const char *)archive->bytes + path_offset,
        .path_len = path_len,
        .data = archive->bytes + data_offset,
        .data_len = data_len,
    };
    return true;
}
