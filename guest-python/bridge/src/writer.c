/* What all writers share: choice, nulls, offsets, reset and the finished array. */
#include "writer.h"

#include <Python.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "extension.h"

/* A buffer above this size is not kept for the next batch. */
enum { KEEP_BYTES = 8 * 1024 * 1024 };

static size_t
offset_width(Layout layout)
{
    switch (layout) {
    case LAYOUT_BYTES:
    case LAYOUT_LIST:
        return 4;
    case LAYOUT_LARGE_BYTES:
    case LAYOUT_LARGE_LIST:
        return 8;
    default:
        return 0;
    }
}

bool
writer_build(Writer *writer, const Type *type, const Path *parent)
{
    const char *name = parent == NULL && type->name[0] == '\0' ? "result" : type->name;
    *writer = (Writer){.type = type, .path = {.name = name, .parent = parent, .index = -1}};
    if (type->n_children > 0) {
        size_t count = (size_t)type->n_children;
        writer->children = calloc(count, sizeof(Writer));
        writer->child_arrays = calloc(count, sizeof(ArrowArray *));
        if (writer->children == NULL || writer->child_arrays == NULL) {
            PyErr_NoMemory();
            return false;
        }
        writer->n_children = type->n_children;
        for (int64_t i = 0; i < type->n_children; i++) {
            if (!writer_build(&writer->children[i], &type->children[i], &writer->path)) {
                return false;
            }
            writer->child_arrays[i] = &writer->children[i].array;
        }
    }
    if (!writer_choose_plain(writer) && !writer_choose_temporal(writer) &&
        !writer_choose_nested(writer)) {
        if (!failure_is_set() && !PyErr_Occurred()) {
            failure_set(FAILURE_SCHEMA, type->name, "a type without a writer");
        }
        return false;
    }
    extension_choose_writer(writer);
    return true;
}

void
writer_set_root(Writer *writer)
{
    writer->path.parent = NULL;
    if (writer->path.name[0] == '\0') {
        writer->path.name = "result";
    }
}

/* Lets go of what a function returned. Its memory may be freed now, by code of the user even. */
static void
give_back(Writer *writer)
{
    if (writer->is_lent) {
        Py_buffer lent = writer->lent;
        writer->is_lent = false;
        PyBuffer_Release(&lent);
    }
}

size_t
writer_bytes(const Writer *writer)
{
    size_t bytes = writer->is_lent ? (size_t)writer->lent.len : writer->values.size;
    bytes += writer->offsets.size + writer->validity.size;
    for (int64_t i = 0; i < writer->n_children; i++) {
        bytes += writer_bytes(&writer->children[i]);
    }
    return bytes;
}

void
writer_drop_buffers(Writer *writer)
{
    give_back(writer);
    buffer_release(&writer->validity);
    buffer_release(&writer->values);
    buffer_release(&writer->offsets);
    writer->length = writer->null_count = 0;
    for (int64_t i = 0; i < writer->n_children; i++) {
        writer_drop_buffers(&writer->children[i]);
    }
}

void
writer_release(Writer *writer)
{
    for (int64_t i = 0; i < writer->n_children; i++) {
        if (writer->keys != NULL) {
            Py_XDECREF(writer->keys[i]);
        }
        writer_release(&writer->children[i]);
    }
    give_back(writer);
    buffer_release(&writer->validity);
    buffer_release(&writer->values);
    buffer_release(&writer->offsets);
    free(writer->keys);
    free(writer->children);
    free(writer->child_arrays);
    *writer = (Writer){0};
}

bool
writer_reset(Writer *writer, int64_t rows)
{
    give_back(writer);
    writer->length = writer->null_count = 0;
    buffer_reset(&writer->validity, KEEP_BYTES);
    buffer_reset(&writer->values, KEEP_BYTES);
    buffer_reset(&writer->offsets, KEEP_BYTES);
    if (rows < 0 || (uint64_t)rows > SIZE_MAX / 64) {
        PyErr_NoMemory();
        return false;
    }
    size_t width = writer->layout == LAYOUT_FIXED ? (size_t)writer->type->width : 0;
    if (width > 64 ? !buffer_reserve(&writer->values, 64)
                   : !buffer_reserve(&writer->values, width * (size_t)rows + 1)) {
        return false;
    }
    size_t per_offset = offset_width(writer->layout);
    if (per_offset > 0) {
        if (!buffer_reserve(&writer->offsets, per_offset * ((size_t)rows + 1))) {
            return false;
        }
        memset(writer->offsets.data, 0, per_offset);
        writer->offsets.size = per_offset;
    }
    int64_t child_rows = writer->layout == LAYOUT_STRUCT ? rows : 0;
    for (int64_t i = 0; i < writer->n_children; i++) {
        if (!writer_reset(&writer->children[i], child_rows)) {
            return false;
        }
    }
    return true;
}

bool
writer_extend_validity(Writer *writer, int64_t bits)
{
    size_t bytes = (size_t)((bits + 7) >> 3);
    Buffer *validity = &writer->validity;
    if (bytes > validity->size) {
        size_t extra = bytes - validity->size;
        if (!buffer_reserve(validity, extra)) {
            return false;
        }
        memset(validity->data + validity->size, 0xFF, extra);
        validity->size = bytes;
    }
    return true;
}

int
writer_append_empty(Writer *writer)
{
    size_t width;
    switch (writer->layout) {
    case LAYOUT_NULL:
        break;
    case LAYOUT_BITS:
        if ((writer->length & 7) == 0) {
            if (!buffer_reserve(&writer->values, 1)) {
                return -1;
            }
            writer->values.data[writer->values.size++] = 0;
        }
        break;
    case LAYOUT_FIXED:
        width = (size_t)writer->type->width;
        if (!buffer_reserve(&writer->values, width)) {
            return -1;
        }
        memset(writer->values.data + writer->values.size, 0, width);
        writer->values.size += width;
        break;
    case LAYOUT_BYTES:
    case LAYOUT_LARGE_BYTES:
    case LAYOUT_LIST:
    case LAYOUT_LARGE_LIST:
        width = offset_width(writer->layout);
        if (!buffer_reserve(&writer->offsets, width)) {
            return -1;
        }
        memcpy(writer->offsets.data + writer->offsets.size,
               writer->offsets.data + writer->offsets.size - width, width);
        writer->offsets.size += width;
        break;
    case LAYOUT_FIXED_LIST:
        for (int32_t i = 0; i < writer->type->width; i++) {
            if (writer_append_empty(&writer->children[0]) < 0) {
                return -1;
            }
        }
        break;
    case LAYOUT_STRUCT:
        for (int64_t i = 0; i < writer->n_children; i++) {
            if (writer_append_empty(&writer->children[i]) < 0) {
                return -1;
            }
        }
        break;
    }
    /* A null type has nothing but nulls, whoever looks. */
    writer->null_count += writer->layout == LAYOUT_NULL;
    writer->length++;
    return 0;
}

int
writer_append_null(Writer *writer)
{
    if (writer->layout == LAYOUT_NULL) {
        return writer_append_empty(writer);
    }
    if (!writer->type->nullable) {
        if (writer->type->extension == EXTENSION_JSON) {
            return writer->write(writer, Py_None);
        }
        return writer_reject(writer, Py_None, NULL);
    }
    int64_t bit = writer->length;
    if (!writer_extend_validity(writer, bit + 1) || writer_append_empty(writer) < 0) {
        return -1;
    }
    writer->validity.data[bit >> 3] &= (uint8_t)~(1u << (bit & 7));
    writer->null_count++;
    return 0;
}

bool
writer_finish(Writer *writer)
{
    bool has_validity = writer->layout != LAYOUT_NULL;
    bool has_nulls = has_validity && writer->null_count > 0;
    if (has_nulls && !writer_extend_validity(writer, writer->length)) {
        return false;
    }
    int64_t count = 0;
    if (has_validity) {
        writer->buffers[count++] = has_nulls ? writer->validity.data : NULL;
    }
    if (offset_width(writer->layout) > 0) {
        writer->buffers[count++] = writer->offsets.data;
    }
    if (writer->layout == LAYOUT_BITS || writer->layout == LAYOUT_FIXED ||
        writer->layout == LAYOUT_BYTES || writer->layout == LAYOUT_LARGE_BYTES) {
        writer->buffers[count++] = writer->is_lent ? writer->lent.buf : writer->values.data;
    }
    for (int64_t i = 0; i < writer->n_children; i++) {
        if (!writer_finish(&writer->children[i])) {
            return false;
        }
    }
    writer->array = (ArrowArray){
        .length = writer->length,
        .null_count = writer->null_count,
        .n_buffers = count,
        .n_children = writer->n_children,
        .buffers = writer->buffers,
        .children = writer->child_arrays,
    };
    return true;
}
