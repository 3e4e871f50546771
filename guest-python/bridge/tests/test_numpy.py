"""NumPy inside the guest: numbers as on every 64-bit machine, and nothing shared between forks."""

import unittest

import pyarrow as pa

import backends
from support import Function, is_wasm, new_backend

NOTSUP = 58
DREW = 1

EVALUATE = """
import warnings
import numpy as np
warnings.simplefilter("always")

def show(value):
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.tolist()}"
    if isinstance(value, np.generic):
        return f"{value.dtype} {value}"
    if isinstance(value, (list, tuple)):
        return "(" + ", ".join(map(show, value)) + ")"
    return str(value)

def evaluate(expression):
    with warnings.catch_warnings(record=True) as caught:
        try:
            result = show(eval(expression))
        except Exception as exception:
            result = f"{type(exception).__name__}: {exception}"
    return "".join(f"[{warning.message}] " for warning in caught) + result
"""

# What NumPy answers on x86-64 Linux.
DEFAULT_INTEGER = {
    "np.array([1, 2]).dtype": "int64",
    "np.int_ is np.int64, np.intp is np.int64, np.dtype(int), np.dtype('uint')": "(True, True, int64, uint64)",
    "np.arange(100000).sum()": "int64 4999950000",
    "np.array([2**31 - 1] * 3, np.int32).sum()": "int64 6442450941",
    "np.full(10, 1000, np.int32).prod()": "int64 5076944270305263616",
    "np.array([2**31 - 1] * 2, np.int32).cumsum()": "int64 [2147483647, 4294967294]",
    "np.array([100, 100], np.int8).cumprod()": "int64 [100, 10000]",
    "np.array([2**32 - 1] * 2, np.uint32).sum()": "uint64 8589934590",
    "np.array([True, True]).sum()": "int64 2",
    "np.add.reduceat(np.array([100, 100], np.int8), [0])": "int64 [200]",
    "np.negative(5), np.power(2, 40)": "(int64 -5, int64 1099511627776)",
    "np.where([True, False], 1, 0)": "int64 [1, 0]",
    "np.array(['1', '2']).astype(int)": "int64 [1, 2]",
    "np.int32(2**30) + 1": "int32 1073741825",
    "np.array([1], np.int32) + 1": "int32 [2]",
    "np.argsort([3, 1, 2]) * 2**40": "int64 [1099511627776, 2199023255552, 0]",
    "np.argmax([1, 5]) * 2**40": "int64 1099511627776",
    "np.nonzero([0, 1])[0] * 2**40": "int64 [1099511627776]",
    "np.bincount([1, 1])": "int64 [0, 2]",
    "np.searchsorted([1, 2, 3], [2])": "int64 [1]",
    "np.unique([5, 5, 3], return_counts=True)": "(int64 [3, 5], int64 [1, 2])",
    "np.histogram([1, 2, 2], bins=2)[0]": "int64 [1, 2]",
    "np.repeat([7, 8], np.array([2, 1]))": "int64 [7, 7, 8]",
    "np.arange(5)[np.array([2**32])]": "IndexError: index 4294967296 is out of bounds for axis 0 with size 5",
    "np.take([1, 2], [2**32 + 1])": "IndexError: index 4294967297 is out of bounds for axis 0 with size 2",
    "np.random.RandomState(1).randint(0, 2**40, 2)": "int64 [163196666091, 605300724808]",
    "np.random.RandomState(1).poisson(5, 2), np.random.RandomState(1).binomial([2**40], 0.5)": (
        "(int64 [2, 2], int64 [549755620156])"
    ),
    "np.random.RandomState(1).tomaxint(1)": "int64 [3846349041279680629]",
    # As on Windows.
    "np.dtype('l').itemsize, np.long is np.int64": "(4, False)",
}

# The iterator keeps pointers and sizes side by side; slices and buffers pass through CPython's sizes.
SIZES = {
    "[(it.index, int(x)) for it in [np.nditer(np.arange(6).reshape(2, 3)[::-1], flags=['c_index'])] for x in it]": (
        "((3, 0), (4, 1), (5, 2), (0, 3), (1, 4), (2, 5))"
    ),
    "[x.tolist() for x in np.nditer(np.arange(5.0), flags=['buffered', 'external_loop'], op_dtypes=['f4'], "
    "casting='same_kind', buffersize=2)]": "((0.0, 1.0), (2.0, 3.0), (4.0))",
    "np.arange(10)[8:2:-3], np.arange(10).flat[1:9:4]": "(int64 [8, 5], int64 [1, 5])",
    "memoryview(np.arange(6).reshape(2, 3)[:, ::-1]).strides": "(24, -8)",
    "np.asarray(memoryview(np.arange(6, dtype='i2').reshape(2, 3)))": "int16 [[0, 1, 2], [3, 4, 5]]",
    "np.strings.slice(np.array(['abcdef']), 1, None, 2), np.strings.slice(np.array(['abc']), None, None, -1)": (
        "(<U6 ['bdf'], <U3 ['cba'])"
    ),
    "np.loadtxt(['1 2', '3 4', '5 6'], skiprows=1, max_rows=1)": "float64 [3.0, 4.0]",
    "hash(np.dtype([('a', int)])) == hash(np.dtype([('a', int)]))": "True",
    "np.zeros(2**31)": "ValueError: array is too big; `arr.size * arr.dtype.itemsize` is larger than the maximum "
    "possible size.",
    "np.zeros((2**20, 2**20), np.int8)": "ValueError: array is too big; `arr.size * arr.dtype.itemsize` is larger "
    "than the maximum possible size.",
    "np.broadcast_to(1, 2**40).shape": "ValueError: iterator is too large",
    "np.zeros(2**27)": "MemoryError: Unable to allocate 1.00 GiB for an array with shape (134217728,) and data type "
    "float64",
    "np.arange(6).reshape(4, 5)": "ValueError: cannot reshape array of size 6 into shape (4,5)",
    "np.repeat([1, 2], [1, 2, 3])": "ValueError: operands could not be broadcast together with shape (2,) (3,)",
    "np.partition([1, 2], 7)": "ValueError: kth(=7) out of bounds (2)",
    "np.concatenate([np.zeros((2, 3)), np.zeros((2, 4))])": "ValueError: all the input array dimensions except for "
    "the concatenation axis must match exactly, but along dimension 1, the array at index 0 has size 3 and the array "
    "at index 1 has size 4",
    "np.matmul(np.zeros((2, 3)), np.zeros((4, 5)))": "ValueError: matmul: Input operand 1 has a mismatch in its core "
    "dimension 0, with gufunc signature (n?,k),(k,m?)->(n?,m?) (size 4 is different from 3)",
}

LIBRARY = {
    "np.linalg.solve([[3, 1], [1, 2]], [9, 8])": "float64 [2.0, 3.0]",
    "np.linalg.matrix_power([[1, 1], [1, 0]], 60)[0, 1]": "int64 1548008755920",
    "np.allclose(np.linalg.inv([[1, 2], [3, 4]]) @ [[1, 2], [3, 4]], np.eye(2))": "True",
    "np.linalg.svd([[3, 0], [0, 4]])[1]": "float64 [4.0, 3.0]",
    "np.linalg.inv([[1, 1], [1, 1]])": "LinAlgError: Singular matrix",
    "np.allclose(np.fft.ifft(np.fft.fft(np.arange(1000))), np.arange(1000))": "True",
    "np.allclose(np.fft.irfft(np.fft.rfft(np.arange(37.0)), 37), np.arange(37))": "True",
    "np.random.default_rng(1).integers(0, 10, 5)": "int64 [4, 5, 7, 9, 0]",
    "np.random.default_rng(1).normal()": "0.345584192064786",
    "np.random.RandomState(1).randn(2).round(9)": "float64 [1.624345364, -0.611756414]",
    "np.random.default_rng(5).poisson(3, 100000).mean().round(1)": "float64 3.0",
    "np.ma.array([1, 2, 3], mask=[0, 1, 0]).sum()": "int64 4",
    "np.array([(1, 2.5, 'x')], dtype=[('a', int), ('b', float), ('c', 'U3')])['b']": "float64 [2.5]",
    "np.datetime64('2024-02-28') + np.arange(3) == np.datetime64('2024-03-01')": "bool [False, False, True]",
    "np.busday_count('2024-01-01', '2024-02-01')": "int64 23",
    "np.strings.upper(np.array(['ab', 'c'])), np.strings.find(np.array(['abc']), 'c')": "(<U2 ['AB', 'C'], int64 [2])",
    "np.strings.str_len(np.array(['aä', ''], dtype=np.dtypes.StringDType()))": "int64 [2, 0]",
    "np.finfo(np.longdouble).bits": "128",
}

# Floating-point exceptions: what NumPy raises itself is reported, what the arithmetic meets is not.
ERRORS = {
    "np.array([1, 2]) // 0": "[divide by zero encountered in floor_divide] int64 [0, 0]",
    "np.int64(2**62) * 4": "[overflow encountered in scalar multiply] int64 0",
    "np.errstate(all='raise')(lambda: np.array([1]) // 0)()": "FloatingPointError: divide by zero encountered in "
    "floor_divide",
    "np.array([1.0]) / 0": "float64 [inf]",
    "np.log(np.array([-1.0]))": "float64 [nan]",
    "np.errstate(all='raise')(lambda: np.array([1.0]) / 0)()": "float64 [inf]",
}


@unittest.skipUnless(is_wasm(), "NumPy is part of the guest module")
class Numpy(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.evaluate = Function(EVALUATE, [pa.string()], pa.string(), handler="evaluate")

    def check(self, table):
        answers = self.evaluate(pa.array(list(table))).to_pylist()
        for (expression, expected), answer in zip(table.items(), answers):
            with self.subTest(expression=expression):
                self.assertEqual(answer, expected)

    def test_default_integer(self):
        self.check(DEFAULT_INTEGER)

    def test_sizes(self):
        self.check(SIZES)

    def test_library(self):
        self.check(LIBRARY)

    def test_floating_point_errors(self):
        self.check(ERRORS)

    def test_a_plain_function_does_not_import_it(self):
        code = "import sys\ndef f(): return any(name.partition('.')[0] == 'numpy' for name in sys.modules)"
        self.assertEqual(Function(code, [], pa.bool_(), backend=new_backend())(length=1).to_pylist(), [False])

    def test_configuration_names_no_folder(self):
        code = "def f():\n    import numpy\n    return str(numpy.show_config('dicts'))"
        configuration = Function(code, [], pa.string())(length=1).to_pylist()[0]
        self.assertIn("wasm32", configuration)
        self.assertNotIn("/", configuration.replace("c++", ""))


@unittest.skipUnless(is_wasm(), "needs instances of their own")
class Entropy(unittest.TestCase):
    """Two guests with the same code and hash seed are two forks of one image: see test_entropy."""

    def fork(self, code, asked=True):
        backend = new_backend()
        backend.entropy_errno = NOTSUP
        function = Function("import numpy as np\n" + code, [], pa.string(), backend=backend)
        flags = backend.call("vivarium_image_flags") if asked else None
        self.assertEqual(backend.call("vivarium_freeze"), 0)
        backend.entropy_errno = 0
        return function(length=2).to_pylist(), flags

    def test_forks_do_not_repeat(self):
        for code in (
            "def f(): return str(np.random.random())",
            "np.random\ndef f(): return str(np.random.random())",
            "np.random.seed()\ndef f(): return str(np.random.normal())",
            "g = np.random.default_rng()\ndef f(): return str(g.random())",
            "g = np.random.RandomState()\ndef f(): return str(g.randint(2**60))",
            "g = np.random.Generator(np.random.Philox())\ndef f(): return str(g.random())",
            "s = np.random.SeedSequence()\ndef f(): return str(np.random.default_rng(s.spawn(1)[0]).random())",
            "g = np.random.default_rng()\ndef f(): return str(g.spawn(1)[0].random())",
            "def f(): return str(np.random.default_rng().random())",
        ):
            with self.subTest(code=code):
                (one, flags), (other, _) = self.fork(code), self.fork(code)
                self.assertEqual(len({*one, *other}), 4)
                self.assertEqual(flags, 0)

    def test_forks_do_not_repeat_if_nobody_asked_for_flags(self):
        code = "g = np.random.default_rng()\ndef f(): return str(g.random())"
        (one, _), (other, _) = self.fork(code, asked=False), self.fork(code, asked=False)
        self.assertEqual(len({*one, *other}), 4)

    def test_what_is_derived_from_a_generator_does_not_repeat(self):
        # What they were derived from is gone, which counts as drawn from.
        for code in (
            "g = np.random.default_rng().spawn(2)[1]\ndef f(): return str(g.random())",
            "import copy\ng = copy.deepcopy(np.random.default_rng())\ndef f(): return str(g.random())",
        ):
            with self.subTest(code=code):
                (one, _), (other, _) = self.fork(code), self.fork(code)
                self.assertEqual(len({*one, *other}), 4)

    def test_a_chosen_seed_is_kept(self):
        for code in (
            "np.random.seed(5)\ndef f(): return str(np.random.random())",
            "g = np.random.default_rng(5)\ndef f(): return str(g.random())",
            "g = np.random.RandomState(5)\ndef f(): return str(g.random())",
            "g = np.random.default_rng(5).spawn(2)[1]\ndef f(): return str(g.random())",
            "g = np.random.default_rng(np.random.SeedSequence([1, 2]))\ndef f(): return str(g.random())",
        ):
            with self.subTest(code=code):
                (one, flags), (other, _) = self.fork(code), self.fork(code)
                self.assertEqual(one, other)
                self.assertEqual(flags, 0)

    def test_drawing_while_importing_is_reported(self):
        for code in (
            "x = np.random.random()",
            "g = np.random.default_rng()\nx = g.random()",
            "x = np.random.default_rng().random()",
            "x = np.random.RandomState().randint(5)",
        ):
            with self.subTest(code=code):
                _, flags = self.fork(code + "\ndef f(): return ''")
                self.assertEqual(flags, DREW)


if __name__ == "__main__":
    unittest.main()
