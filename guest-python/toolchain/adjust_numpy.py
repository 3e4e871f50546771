"""Applies the guest's changes to NumPy's source.

They make NumPy calculate as on every 64-bit machine although the guest's pointers have 32 bits: the
default integer, indices, sizes and the integers of the legacy random functions have 64 bits. As in
`adjust.py` each change must find the text it replaces as often as it says.

usage: adjust_numpy.py SOURCE_FOLDER
"""

import pathlib
import sys

from adjust import Adjustment

COMMON = "numpy/_core/include/numpy/npy_common.h"
MULTIARRAY = "numpy/_core/src/multiarray"
UMATH = "numpy/_core/src/umath"
RANDOM = "numpy/random"

# `npy_intp` is the type of sizes, strides and indices, and its NumPy type is the default integer.
# With 64 bits it is wider than CPython's sizes, so everything that goes through Py_ssize_t is
# listed here (the compiler refuses pointers to the other type). Sizes stay below 2 GiB: see
# npy_mul_sizes_with_overflow.
WIDE_INTP = [
    Adjustment(
        COMMON,
        "typedef Py_ssize_t npy_intp;\ntypedef size_t npy_uintp;\n",
        """\
typedef long long npy_intp;
typedef unsigned long long npy_uintp;

/* As PySlice_GetIndicesEx, for a length below PY_SSIZE_T_MAX. */
static inline int
npy_slice_indices(PyObject *slice, npy_intp length, npy_intp *start, npy_intp *stop,
                  npy_intp *step, npy_intp *count)
{
    Py_ssize_t from, to, by, n;
    if (PySlice_GetIndicesEx(slice, (Py_ssize_t)length, &from, &to, &by, &n) < 0) {
        return -1;
    }
    *start = from;
    *stop = to;
    *step = by;
    *count = n;
    return 0;
}

static inline Py_ssize_t
npy_clamp_to_ssize(npy_intp value)
{
    return (Py_ssize_t)(value > PY_SSIZE_T_MAX ? PY_SSIZE_T_MAX
                        : value < PY_SSIZE_T_MIN ? PY_SSIZE_T_MIN : value);
}

/* As PySlice_AdjustIndices. */
static inline npy_intp
npy_slice_adjust(npy_intp length, npy_intp *start, npy_intp *stop, npy_intp step)
{
    Py_ssize_t from = npy_clamp_to_ssize(*start), to = npy_clamp_to_ssize(*stop);
    Py_ssize_t count = PySlice_AdjustIndices((Py_ssize_t)length, &from, &to,
                                             npy_clamp_to_ssize(step));
    *start = from;
    *stop = to;
    return count;
}
""",
    ),
    Adjustment(
        "numpy/_core/meson.build",
        "['NPY_SIZEOF_INTP', 'size_t'],\n  ['NPY_SIZEOF_UINTP', 'size_t'],",
        "['NPY_SIZEOF_INTP', 'long long'],\n  ['NPY_SIZEOF_UINTP', 'long long'],",
    ),
    # This size is that of the slots in the iterator's memory, which hold pointers and npy_intp.
    Adjustment(
        "numpy/_core/meson.build",
        "cc.sizeof('Py_intptr_t', dependencies: py_dep, prefix: '#include <Python.h>'))",
        "cc.sizeof('long long'))",
    ),
    Adjustment(f"{MULTIARRAY}/nditer_impl.h", "    Py_intptr_t ", "    npy_intp ", times=3),
    # The index behind the data pointers is added to as a pointer and read as npy_intp: the upper
    # half of its slot has to be zero.
    Adjustment(
        f"{MULTIARRAY}/nditer_constr.c",
        "PyObject_Malloc(NIT_SIZEOF_ITERATOR(itflags, ndim, nop))",
        "PyObject_Calloc(1, NIT_SIZEOF_ITERATOR(itflags, ndim, nop))",
    ),
    Adjustment(
        f"{MULTIARRAY}/nditer_constr.c",
        "memset(NBF_BUFFERS(bufferdata), 0, nop*NPY_SIZEOF_INTP);",
        "memset(NBF_BUFFERS(bufferdata), 0, nop*sizeof(char *));",
    ),
    Adjustment(
        f"{MULTIARRAY}/nditer_templ.c.src",
        "memcpy(ptrs, NIT_DATAPTRS(iter), NPY_SIZEOF_INTP*nop);",
        "memcpy(ptrs, NIT_DATAPTRS(iter), sizeof(char *)*nop);",
    ),
    Adjustment(
        f"{MULTIARRAY}/nditer_api.c",
        "memcpy(NIT_USERPTRS(iter), NIT_DATAPTRS(iter), NPY_SIZEOF_INTP*nop);",
        "memcpy(NIT_USERPTRS(iter), NIT_DATAPTRS(iter), sizeof(char *)*nop);",
    ),
    Adjustment(
        f"{MULTIARRAY}/buffer.c",
        "info->shape = (npy_intp *)((char *)info",
        "info->shape = (Py_ssize_t *)((char *)info",
    ),
    Adjustment(
        f"{MULTIARRAY}/buffer.c",
        "assert((size_t)info->shape % sizeof(npy_intp) == 0);",
        "assert((size_t)info->shape % sizeof(Py_ssize_t) == 0);",
    ),
    Adjustment(f"{MULTIARRAY}/alloc.h", "PyDataMem_UserNEW(npy_uintp sz,", "PyDataMem_UserNEW(size_t sz,"),
    Adjustment(f"{MULTIARRAY}/alloc.h", "PyDataMem_UserFREE(void * p, npy_uintp sd,", "PyDataMem_UserFREE(void * p, size_t sd,"),
    # What can be in memory is smaller than 2 GiB: sizes beyond are an overflow, as with 32 bits.
    Adjustment(
        "numpy/_core/src/common/templ_common.h.src",
        "npy_mul_sizes_with_overflow (npy_intp * r, npy_intp a, npy_intp b)\n{\n#ifdef HAVE___BUILTIN_MUL_OVERFLOW\n"
        "    return __builtin_mul_overflow(a, b, r);\n",
        "npy_mul_sizes_with_overflow (npy_intp * r, npy_intp a, npy_intp b)\n{\n#ifdef HAVE___BUILTIN_MUL_OVERFLOW\n"
        "    return __builtin_mul_overflow(a, b, r) || *r > PY_SSIZE_T_MAX;\n",
    ),
    Adjustment(f"{MULTIARRAY}/array_method.c", "        Py_ssize_t subloopsize;\n", "        npy_intp subloopsize;\n"),
    Adjustment(
        f"{MULTIARRAY}/array_method.c",
        "    Py_ssize_t length = -1;\n",
        "    npy_intp length = -1;\n",
    ),
    Adjustment(f"{MULTIARRAY}/mapping.c", "PySlice_GetIndicesEx(", "npy_slice_indices("),
    Adjustment(f"{MULTIARRAY}/iterators.c", "PySlice_GetIndicesEx(", "npy_slice_indices(", times=2),
    Adjustment(f"{UMATH}/string_ufuncs.cpp", "PySlice_AdjustIndices(", "npy_slice_adjust("),
    Adjustment(f"{UMATH}/stringdtype_ufuncs.cpp", "PySlice_AdjustIndices(", "npy_slice_adjust("),
    Adjustment(
        f"{MULTIARRAY}/textreading/readtext.c",
        "    Py_ssize_t skiplines = 0;\n    Py_ssize_t max_rows = -1;\n",
        "    npy_intp skiplines = 0;\n    npy_intp max_rows = -1;\n",
    ),
    Adjustment(f"{MULTIARRAY}/hashdescr.c", 'Py_BuildValue("(ccKnn)"', 'Py_BuildValue("(ccKLL)"'),
]

# Messages in which sizes are formatted: CPython's formatter takes what the text says from the
# arguments, nothing checks it.
MESSAGES = [
    Adjustment(f"{MULTIARRAY}/common.c", "string of length %zd is", 'string of length %" NPY_INTP_FMT " is', times=2),
    Adjustment(f"{MULTIARRAY}/convert_datatype.c", "string of length %zd is", 'string of length %" NPY_INTP_FMT " is'),
    Adjustment(f"{MULTIARRAY}/ctors.c", "dtype %c item size %d.", 'dtype %c item size %" NPY_INTP_FMT ".'),
    Adjustment(f"{MULTIARRAY}/descriptor.c", "the field alignment %d ", 'the field alignment %" NPY_INTP_FMT " '),
    Adjustment(f"{MULTIARRAY}/descriptor.c", "descriptor requires %d bytes", 'descriptor requires %" NPY_INTP_FMT " bytes'),
    Adjustment(f"{MULTIARRAY}/descriptor.c", "alignment of %d bytes", 'alignment of %" NPY_INTP_FMT " bytes'),
    Adjustment(
        f"{MULTIARRAY}/item_selection.c",
        "with shape (%zd,) (%zd,)",
        'with shape (%" NPY_INTP_FMT ",) (%" NPY_INTP_FMT ",)',
    ),
    Adjustment(
        f"{MULTIARRAY}/item_selection.c",
        "kth(=%zd) out of bounds (%zd)",
        'kth(=%" NPY_INTP_FMT ") out of bounds (%" NPY_INTP_FMT ")',
    ),
    Adjustment(f"{MULTIARRAY}/item_selection.c", "item %zd type does", 'item %" NPY_INTP_FMT " type does'),
    Adjustment(
        f"{MULTIARRAY}/multiarraymodule.c",
        "size %d and the array at index %d has size %d",
        'size %" NPY_INTP_FMT " and the array at index %d has size %" NPY_INTP_FMT "',
    ),
    Adjustment(f"{MULTIARRAY}/scalartypes.c.src", 'NPY_INTP_FMT "w", length', 'NPY_INTP_FMT "w", (npy_intp)length'),
    Adjustment(f"{MULTIARRAY}/shape.c", "array of size %zd into", 'array of size %" NPY_INTP_FMT " into'),
    Adjustment(f"{MULTIARRAY}/textreading/rows.c", "`max_rows=%zd`", '`max_rows=%" NPY_INTP_FMT "`'),
    Adjustment(f"{UMATH}/loops.c.src", "not support argument %d of ", 'not support argument %" NPY_INTP_FMT " of '),
    Adjustment(f"{UMATH}/string_ufuncs.cpp", "string of length %zd is", 'string of length %" NPY_INTP_FMT " is'),
    Adjustment(
        "numpy/linalg/umath_linalg.cpp",
        "m=%zd and n=%zd, so p must be %zd, but got p=%zd.",
        'm=%" NPY_INTP_FMT " and n=%" NPY_INTP_FMT ", so p must be %" NPY_INTP_FMT ", but got p=%" NPY_INTP_FMT ".',
    ),
    Adjustment(f"{UMATH}/ufunc_object.c", "(size %zd is different ", '(size %" NPY_INTP_FMT " is different '),
    Adjustment(f"{UMATH}/ufunc_object.c", '"from %zd)"', '"from %" NPY_INTP_FMT ")"'),
]

# RandomState draws C's long; here it draws what it draws where long has 64 bits. Its own copy of
# the distributions is then the same as the one that Generator uses.
WIDE_RANDOM = [
    Adjustment(
        f"{RANDOM}/meson.build",
        "      fs.copyfile('mtrand.pyx'),\n      'src/distributions/distributions.c',\n",
        "      fs.copyfile('mtrand.pyx'),\n",
    ),
    Adjustment(
        f"{RANDOM}/meson.build", "    ['-DNP_RANDOM_LEGACY=1'], [npymath_lib],", "    [], [npyrandom_lib, npymath_lib],"
    ),
    Adjustment(f"{RANDOM}/mtrand.pyx", "bitgen_t *bitgen_state, long n, long *mnix", "bitgen_t *bitgen_state, int64_t n, int64_t *mnix"),
    Adjustment(f"{RANDOM}/mtrand.pyx", "<long>", "<int64_t>", times=2),
    Adjustment(f"{RANDOM}/mtrand.pyx", "<long*>", "<int64_t*>", times=2),
    Adjustment(f"{RANDOM}/mtrand.pyx", "<long *>", "<int64_t *>"),
    Adjustment(f"{RANDOM}/mtrand.pyx", "cdef long ", "cdef int64_t ", times=3),
    Adjustment(f"{RANDOM}/mtrand.pyx", "def multinomial(self, long n,", "def multinomial(self, int64_t n,"),
    Adjustment(f"{RANDOM}/mtrand.pyx", "x.astype('l',", "x.astype(np.int64,"),
    Adjustment(f"{RANDOM}/mtrand.pyx", "dtype='l')", "dtype=np.int64)"),
    Adjustment(f"{RANDOM}/mtrand.pyx", 'np.dtype("long")', "np.dtype(np.int64)"),
    Adjustment(f"{RANDOM}/mtrand.pyx", "np.long", "np.int64", times=7),
    Adjustment(f"{RANDOM}/_common.pyx", "np.iinfo('l')", "np.iinfo(np.int64)", times=2),
    Adjustment(f"{RANDOM}/_common.pyx", "    cdef long LONG_MAX ", "    cdef int64_t LONG_MAX \"INT64_MAX\" "),
    Adjustment(f"{RANDOM}/src/distributions/distributions.c", "#if ULONG_MAX <= 0xffffffffUL\n", "#if 0\n", times=2),
    Adjustment(f"{RANDOM}/src/legacy/legacy-distributions.c", "    const long i = ", "    const int64_t i = "),
    Adjustment(f"{RANDOM}/src/legacy/legacy-distributions.c", "static long legacy", "static int64_t legacy"),
    Adjustment(f"{RANDOM}/src/legacy/legacy-distributions.c", "(long)", "(int64_t)", times=2),
    Adjustment(f"{RANDOM}/src/legacy/legacy-distributions.c", "  long result;", "  int64_t result;"),
]

# The configuration that `numpy.show_config` prints must not name this machine.
CONFIGURATION = [
    Adjustment("numpy/__config__.py.in", f'"@BUILD_CPU{name}@"', '""') for name in ("", "_FAMILY", "_ENDIAN", "_SYSTEM")
] + [
    Adjustment("numpy/__config__.py.in", 'r"@PYTHON_PATH@"', '""'),
]

# Seeds come from the guest's module for random numbers: see vivarium/_generators.py.
ENTROPY = [
    Adjustment(
        f"{RANDOM}/bit_generator.pyx",
        "from secrets import randbits\n",
        "from vivarium._generators import randbits\n",
    ),
    # A generator with a chosen seed needs none before it.
    Adjustment(
        f"{RANDOM}/mtrand.pyx",
        "            bit_generator = _MT19937()\n            bit_generator._legacy_seeding(seed)\n",
        "            bit_generator = _MT19937(0)\n            bit_generator._legacy_seeding(seed)\n",
    ),
    # A generator without a chosen seed keeps its seed sequence, by which it can be told.
    Adjustment(
        f"{RANDOM}/_mt19937.pyx",
        "        self._seed_seq = None\n",
        "        self._seed_seq = seed if isinstance(seed, SeedSequence) else None\n",
    ),
]

# A WebAssembly function is called with the arguments that it has, or the call traps. These have one
# argument less than their table's entry says, which other machines do not notice.
ARGUMENTS = [
    Adjustment(f"{MULTIARRAY}/scalartypes.c.src", "gentype___copy__(PyObject *self)", "gentype___copy__(PyObject *self, PyObject *NPY_UNUSED(none))"),
    Adjustment(
        f"{MULTIARRAY}/array_converter.c",
        "array_converter_get_scalar_input(PyArrayArrayConverterObject *self)",
        "array_converter_get_scalar_input(PyArrayArrayConverterObject *self, void *NPY_UNUSED(closure))",
    ),
    Adjustment(
        f"{MULTIARRAY}/array_method.c",
        "boundarraymethod__supports_unaligned(PyBoundArrayMethodObject *self)",
        "boundarraymethod__supports_unaligned(PyBoundArrayMethodObject *self, void *NPY_UNUSED(closure))",
    ),
    Adjustment(
        f"{MULTIARRAY}/multiarraymodule.c",
        '{"_get_castingimpl",  (PyCFunction)_get_castingimpl,\n        METH_VARARGS | METH_KEYWORDS, NULL}',
        '{"_get_castingimpl",  (PyCFunction)_get_castingimpl,\n        METH_VARARGS, NULL}',
    ),
    Adjustment(
        f"{UMATH}/_scaled_float_dtype.c",
        "sfloat___reduce__(PyArray_SFloatDescr *self)",
        "sfloat___reduce__(PyArray_SFloatDescr *self, PyObject *NPY_UNUSED(none))",
    ),
]

ADJUSTMENTS = [*WIDE_INTP, *MESSAGES, *WIDE_RANDOM, *CONFIGURATION, *ENTROPY, *ARGUMENTS]


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
