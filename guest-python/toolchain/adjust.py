"""Applies the guest's changes to CPython's source.

They are few and small, and all but the last for speed alone: each says what it is for, and each must find the text it
replaces as often as it says, so that a raised pin cannot drop one silently.

usage: adjust.py SOURCE_FOLDER
"""

import pathlib
import sys
from typing import NamedTuple


class Adjustment(NamedTuple):
    """Replaces `old`, which occurs `times` times in `file`."""

    file: str
    old: str
    new: str
    times: int = 1


ADJUSTMENTS = [
    # Objects are allocated and freed through a table of function pointers, so that debugging
    # allocators can be put in. An indirect call costs several times a direct one in WebAssembly,
    # and nobody puts one in here: ask the table, and call pymalloc directly when it is pymalloc.
    Adjustment(
        "Objects/obmalloc.c",
        "    return _PyObject.malloc(_PyObject.ctx, size);\n",
        "    if (_PyObject.malloc == _PyObject_Malloc)\n"
        "        return _PyObject_Malloc(NULL, size);\n"
        "    return _PyObject.malloc(_PyObject.ctx, size);\n",
    ),
    Adjustment(
        "Objects/obmalloc.c",
        "    OBJECT_STAT_INC(frees);\n    _PyObject.free(_PyObject.ctx, ptr);\n",
        "    OBJECT_STAT_INC(frees);\n"
        "    if (_PyObject.free == _PyObject_Free) {\n"
        "        _PyObject_Free(NULL, ptr);\n"
        "        return;\n"
        "    }\n"
        "    _PyObject.free(_PyObject.ctx, ptr);\n",
    ),
    # Integers of one digit get a free list, as floats have one and as CPython 3.14 has one for
    # them: allocating and freeing one was a fifth of the time of a row of `a + b`. The list is
    # linked through the type pointers of the dead objects and bounded.
    Adjustment(
        "Include/internal/pycore_long.h",
        "PyAPI_FUNC(PyObject*) _PyLong_Add(PyLongObject *left, PyLongObject *right);\n",
        "PyAPI_FUNC(PyObject*) _PyLong_Add(PyLongObject *left, PyLongObject *right);\n"
        "PyAPI_FUNC(void) _PyLong_ExactDealloc(PyObject *self);\n",
    ),
    Adjustment(
        "Objects/longobject.c",
        "static inline void\n_Py_DECREF_INT(PyLongObject *op)\n",
        """\
enum { MAX_FREE_INTEGERS = 100 };
static PyObject *free_integers;
static int n_free_integers;

/* Takes an integer that is not a subclass's and that nobody refers to. */
void
_PyLong_ExactDealloc(PyObject *self)
{
    if (_PyLong_IsCompact((PyLongObject *)self) && n_free_integers < MAX_FREE_INTEGERS) {
        self->ob_type = (PyTypeObject *)free_integers;
        free_integers = self;
        n_free_integers++;
        return;
    }
    PyObject_Free(self);
}

static inline void
_Py_DECREF_INT(PyLongObject *op)
""",
    ),
    Adjustment(
        "Objects/longobject.c",
        "    _Py_DECREF_SPECIALIZED((PyObject *)op, (destructor)PyObject_Free);\n",
        "    _Py_DECREF_SPECIALIZED((PyObject *)op, _PyLong_ExactDealloc);\n",
    ),
    Adjustment(
        "Objects/longobject.c",
        "    /* We could use a freelist here */\n    PyLongObject *v = PyObject_Malloc(sizeof(PyLongObject));\n",
        """\
    PyLongObject *v = (PyLongObject *)free_integers;
    if (v != NULL) {
        free_integers = (PyObject *)v->ob_base.ob_type;
        n_free_integers--;
    }
    else {
        v = PyObject_Malloc(sizeof(PyLongObject));
    }
""",
    ),
    Adjustment(
        "Objects/longobject.c",
        "    Py_TYPE(self)->tp_free(self);\n",
        "    if (PyLong_CheckExact(self)) {\n"
        "        _PyLong_ExactDealloc(self);\n"
        "        return;\n"
        "    }\n"
        "    Py_TYPE(self)->tp_free(self);\n",
    ),
    Adjustment(
        "Python/generated_cases.c.h",
        "(destructor)PyObject_Free",
        "_PyLong_ExactDealloc",
        times=12,
    ),
    # `os.dup` is what NumPy reads and writes files through. The guest's file system has it; preview1,
    # and with it the toolchain's C library, does not.
    Adjustment(
        "Python/fileutils.c",
        "#else\n    errno = ENOTSUP;\n    PyErr_SetFromErrno(PyExc_OSError);\n    return -1;\n#endif\n    return fd;\n",
        "#else\n"
        "    extern int dup(int);\n"
        "    fd = dup(fd);\n"
        "    if (fd < 0) {\n"
        "        PyErr_SetFromErrno(PyExc_OSError);\n"
        "        return -1;\n"
        "    }\n"
        "#endif\n"
        "    return fd;\n",
    ),
]


def main() -> None:
    source = pathlib.Path(sys.argv[1])
    for name, old, new, times in ADJUSTMENTS:
        file = source / name
        text = file.read_text(encoding="utf-8")
        found = text.count(old)
        if found != times:
            raise SystemExit(f"{name}: this text occurs {found} times, not {times}:\n{old}")
        file.write_text(text.replace(old, new), encoding="utf-8")


if __name__ == "__main__":
    main()
