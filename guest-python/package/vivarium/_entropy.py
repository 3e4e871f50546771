"""Keeps the forks of one image from drawing the same random numbers.

While an image is built there is no entropy: `os.urandom` fails. A generator that is seeded without
a value is only recorded then, and gets its real seed in every fork before the first row (see the
bridge's entropy.c). A generator that was seeded with a value keeps it: whoever asks for a fixed
sequence gets it in every fork.
"""

import functools
import random
import sys
import uuid  # noqa: F401 (its cached node is reset below, so it has to be known)
import weakref
from _random import Random as _Generator

DREW_WHILE_IMPORTING = 1

_modules = sys.modules
_state_of = _Generator.getstate
_seed = random.Random.seed
_setstate = random.Random.setstate

# Modules that keep generators of other kinds: each has `drew()` and `reseed()`.
sources = []

# id of a generator -> (weak reference, fingerprint of its state just after it was seeded)
_unseeded = {}
_building = True
_flags = 0


def _fingerprint(generator):
    return hash(_state_of(generator)) if _building else None


def _record(generator):
    key = id(generator)

    def forget(_reference):
        global _flags
        _unseeded.pop(key, None)
        if _building:
            # It was made to be drawn from, and what it drew may be in the image.
            _flags |= DREW_WHILE_IMPORTING

    _unseeded[key] = (weakref.ref(generator, forget), _fingerprint(generator))


@functools.wraps(_seed)
def seed(self, a=None, version=2):
    _seed(self, a, version)
    if a is None:
        _record(self)
    else:
        _unseeded.pop(id(self), None)


@functools.wraps(_setstate)
def setstate(self, state):
    _setstate(self, state)
    _unseeded.pop(id(self), None)


def image_flags():
    """Facts about the code that was loaded. To be asked before the image is frozen."""
    drew = any(
        _fingerprint(generator) != before
        for reference, before in list(_unseeded.values())
        if (generator := reference()) is not None
    )
    for source in sources:
        drew = source.drew() or drew
    return _flags | (DREW_WHILE_IMPORTING if drew else 0)


def unseeded():
    """References to the generators that every fork has to seed. To be asked when the image is complete."""
    global _building
    _building = False
    references = []
    for reference, _before in list(_unseeded.values()):
        generator = reference()
        if generator is None:
            continue
        references.append(reference)
        try:
            generator.gauss_next = None
        except Exception:
            pass  # a subclass without the attribute has nothing to reset
    module = _modules.get("uuid")
    if module is not None:
        module._node = module._last_timestamp = None
    return tuple(references)


def reseed():
    """Runs in every fork before the first row, when its generators of this module have their seeds."""
    for source in sources:
        source.reseed()


def _install():
    random.Random.seed = seed
    random.Random.setstate = setstate
    # The module's functions are methods of a hidden instance, bound before the change above.
    random.seed = random._inst.seed
    random.setstate = random._inst.setstate
    _record(random._inst)


_install()
