"""Imports NumPy, so that it is part of the base image and costs functions nothing."""

import numpy
import numpy.char
import numpy.fft
import numpy.linalg
import numpy.ma
import numpy.polynomial
import numpy.random
import numpy.rec
import numpy.strings

from . import _entropy, _generators


def _warm():
    """Fills the caches that NumPy fills at the first use of a function or a type."""
    for kind in (numpy.float64, numpy.float32, numpy.int64, numpy.int32, numpy.bool_):
        array = numpy.ones(3, kind)
        for function in (numpy.add, numpy.multiply, numpy.equal, numpy.less, numpy.maximum):
            function(array, array)
            function(array, array[0])
            function(array, 1)
        array.sum(), array.max(), array.any(), numpy.where(array, array, 0), repr(array)
    numpy.sqrt(numpy.ones(3)), numpy.exp(numpy.ones(3)), numpy.ones(3) / 2, -numpy.ones(3)
    numpy.asarray(memoryview(b"12345678").cast("q")), numpy.asarray(memoryview(b"12345678").cast("d"))


_warm()
_generators.adopt(numpy.random)
_entropy.sources.append(_generators)
