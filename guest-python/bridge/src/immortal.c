/* Forks share the interpreter's pages until they write to them, and a function that merely looks at an
 * object writes to its reference count. Of the 31 pages that the first call of `a + b` wrote to, 12 were as
 * before afterwards. CPython leaves the counts of immortal objects alone (PEP 683).
 *
 * This is for the interpreter before any user's code: what never dies there would not have died anyway. */
#include "immortal.h"

#include <Python.h>

#include <stdlib.h>
#include <string.h>

/* Objects whose own references have not been followed yet. */
typedef struct {
    PyObject **items;
    size_t count, capacity;
    bool exhausted;
} Waiting;

static int
make_immortal(PyObject *object, void *argument)
{
    Waiting *waiting = argument;
    if (object == NULL || _Py_IsImmortal(object) || waiting->exhausted) {
        return 0;
    }
    if (waiting->count == waiting->capacity) {
        size_t capacity = waiting->capacity ? waiting->capacity * 2 : 1 << 16;
        PyObject **items = realloc(waiting->items, capacity * sizeof *items);
        if (items == NULL) {
            waiting->exhausted = true;
            return 0;
        }
        waiting->items = items;
        waiting->capacity = capacity;
    }
    object->ob_refcnt = _Py_IMMORTAL_REFCNT;
    waiting->items[waiting->count++] = object;
    return 0;
}

static int
make_tracked_immortal(PyObject *object, void *waiting)
{
    make_immortal(object, waiting);
    return 1; /* go on */
}

/* Code is not known to the collector and cannot be traversed. */
static void
follow_code(PyCodeObject *code, Waiting *waiting)
{
    PyObject *parts[] = {
        code->co_consts,    code->co_names,    code->co_exceptiontable, code->co_localsplusnames,
        code->co_localspluskinds, code->co_filename, code->co_name,     code->co_qualname,
        code->co_linetable,
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        make_immortal(parts[i], waiting);
    }
}

static void
follow(PyObject *object, Waiting *waiting)
{
    PyTypeObject *type = Py_TYPE(object);
    make_immortal((PyObject *)type, waiting);
    if (PyCode_Check(object)) {
        follow_code((PyCodeObject *)object, waiting);
    } else if (type->tp_traverse != NULL) {
        type->tp_traverse(object, make_immortal, waiting);
    }
}

bool
immortal_make_all(void)
{
    Waiting waiting = {0};
    PyUnstable_GC_VisitObjects(make_tracked_immortal, &waiting);
    while (waiting.count > 0) {
        follow(waiting.items[--waiting.count], &waiting);
    }
    if (waiting.items != NULL) {
        /* What is not zero would be stored in the base image. */
        memset(waiting.items, 0, waiting.capacity * sizeof *waiting.items);
        free(waiting.items);
    }
    if (waiting.exhausted) {
        PyErr_NoMemory();
    }
    return !waiting.exhausted;
}
