#include "block.h"

#include <stdlib.h>

#include "buffer.h"
#include "guest.h"

/* So many kept blocks in a row make the garbage collector look for cycles that hold them: the
 * collector counts objects, not bytes. */
enum { KEPT_UNTIL_COLLECTION = 16 };

typedef struct {
    PyObject_HEAD
    Block *block;
    MemoryLayout layout;
} View;

static PyTypeObject *block_type, *view_type;
static int kept_blocks;

static void
block_dealloc(PyObject *self)
{
    Block *block = (Block *)self;
    if (block->owned) {
        aligned_release(block->memory);
    }
    if (block->writer != NULL) {
        writer_release(block->writer);
        free(block->writer);
    }
    PyTypeObject *type = Py_TYPE(self);
    PyObject_Free(self);
    Py_DECREF(type);
}

static void
view_dealloc(PyObject *self)
{
    Py_DECREF(((View *)self)->block);
    PyTypeObject *type = Py_TYPE(self);
    PyObject_Free(self);
    Py_DECREF(type);
}

int
layout_fill(const MemoryLayout *layout, PyObject *exporter, Py_buffer *view, int flags)
{
    view->obj = NULL;
    Py_ssize_t rows = layout->shape[0], width = layout->item_size;
    if (layout->dimensions == 2) {
        width *= layout->shape[1];
    }
    bool contiguous = rows <= 1 || layout->strides[0] == width;
    bool fortran = (flags & PyBUF_F_CONTIGUOUS) == PyBUF_F_CONTIGUOUS;
    if ((flags & PyBUF_WRITABLE) == PyBUF_WRITABLE) {
        PyErr_SetString(PyExc_BufferError, "the memory of a column is read-only");
        return -1;
    }
    if ((!contiguous && ((flags & PyBUF_STRIDES) != PyBUF_STRIDES ||
                         (flags & PyBUF_C_CONTIGUOUS) == PyBUF_C_CONTIGUOUS || fortran ||
                         (flags & PyBUF_ANY_CONTIGUOUS) == PyBUF_ANY_CONTIGUOUS)) ||
        (fortran && layout->dimensions == 2)) {
        PyErr_SetString(PyExc_BufferError, "the values of this column are not contiguous");
        return -1;
    }
    static const char nothing[64];
    *view = (Py_buffer){
        .buf = (void *)(layout->start ? layout->start : nothing),
        .len = rows * width,
        .itemsize = layout->item_size,
        .readonly = 1,
        .ndim = layout->dimensions,
        .format = flags & PyBUF_FORMAT ? (char *)layout->format : NULL,
        .shape = flags & PyBUF_ND ? (Py_ssize_t *)layout->shape : NULL,
        .strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? (Py_ssize_t *)layout->strides : NULL,
    };
    view->obj = Py_NewRef(exporter);
    return 0;
}

static int
view_getbuffer(PyObject *self, Py_buffer *view, int flags)
{
    return layout_fill(&((View *)self)->layout, self, view, flags);
}

bool
block_init(void)
{
    static PyType_Slot block_slots[] = {{Py_tp_dealloc, block_dealloc}, {0, NULL}};
    static PyType_Spec block_spec = {
        .name = "vivarium._Block",
        .basicsize = sizeof(Block),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
        .slots = block_slots,
    };
    static PyType_Slot view_slots[] = {
        {Py_tp_dealloc, view_dealloc},
        {Py_bf_getbuffer, view_getbuffer},
        {0, NULL},
    };
    static PyType_Spec view_spec = {
        .name = "vivarium._View",
        .basicsize = sizeof(View),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
        .slots = view_slots,
    };
    block_type = (PyTypeObject *)PyType_FromSpec(&block_spec);
    view_type = (PyTypeObject *)PyType_FromSpec(&view_spec);
    return block_type != NULL && view_type != NULL;
}

Block *
block_of_memory(void *memory, bool owned)
{
    Block *block = PyObject_New(Block, block_type);
    if (block != NULL) {
        block->memory = memory;
        block->owned = owned;
        block->writer = NULL;
    }
    return block;
}

Block *
block_of_writer(const Type *type)
{
    Block *block = block_of_memory(NULL, false);
    if (block == NULL) {
        return NULL;
    }
    block->writer = calloc(1, sizeof(Writer));
    if (block->writer == NULL) {
        PyErr_NoMemory();
    } else if (writer_build(block->writer, type, NULL) && writer_reset(block->writer, 0)) {
        return block;
    }
    Py_DECREF(block);
    return NULL;
}

bool
block_leave(Block *block)
{
    if (Py_REFCNT(block) > 1 && ++kept_blocks >= KEPT_UNTIL_COLLECTION) {
        kept_blocks = 0;
        PyObject *collected = PyObject_CallNoArgs(guest.collect);
        if (collected == NULL) {
            PyErr_Clear();
        }
        Py_XDECREF(collected);
    }
    bool kept = Py_REFCNT(block) > 1;
    block->owned = kept;
    Py_DECREF(block);
    return kept;
}

PyObject *
block_view(Block *block, const MemoryLayout *layout)
{
    View *view = PyObject_New(View, view_type);
    if (view == NULL) {
        return NULL;
    }
    view->block = (Block *)Py_NewRef((PyObject *)block);
    view->layout = *layout;
    PyObject *memory = PyMemoryView_FromObject((PyObject *)view);
    Py_DECREF(view);
    return memory;
}
