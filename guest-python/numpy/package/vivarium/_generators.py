"""Seeds of NumPy's generators, which takes its random bits from here.

While an image is built there is no entropy: a seed sequence without chosen entropy gets a provisional
one, by which it and everything that was derived from it can be found. In every fork all these get
fresh ones before the first row.
"""

import gc
from os import urandom

# What provisional entropy begins with: 96 bits that nobody chooses. A number follows.
_MARK = 0x9D1F_6AC2_58E3_B740_C5A9_137E
_NUMBER_BITS = 32

_building = True
_issued = 0
_found = None

# The types that are looked for, and NumPy's own objects in the base image, which are frozen there:
# later searches do not find them.
_sequence_type = _generator_type = _state_type = None
_adopted = []

# The bit generator behind the functions of `numpy.random`. Every fork pays for its seed.
_own = None


def randbits(k):
    """As `secrets.randbits`, for 128 bits and more; provisional while an image is built."""
    global _issued
    if not _building:
        return int.from_bytes(urandom((k + 7) // 8)) >> (-k % 8)
    _issued += 1
    return (_MARK << _NUMBER_BITS | _issued) << (k - 128)


def _number(sequence):
    """Which provisional entropy a seed sequence has, or None."""
    entropy = sequence.entropy
    if not isinstance(entropy, int):
        return None
    entropy >>= max(sequence.pool_size * 32 - 128, 0)
    return entropy & (1 << _NUMBER_BITS) - 1 if entropy >> _NUMBER_BITS == _MARK else None


def _all():
    """Every seed sequence, bit generator and RandomState, once each."""
    kinds = (_sequence_type, _generator_type, _state_type)
    items = {id(item): item for item in _adopted}
    items.update((id(item), item) for item in gc.get_objects() if issubclass(type(item), kinds))
    return items.values()


def adopt(random):
    """Remembers what the module `numpy.random` holds. To be called before the base image is frozen."""
    global _sequence_type, _generator_type, _state_type, _own
    _sequence_type, _generator_type, _state_type = random.SeedSequence, random.BitGenerator, random.RandomState
    _own = random.mtrand._rand._bit_generator
    # What NumPy makes at the first use of this way is in the base image then.
    for _ in range(10):
        _seed(random.MT19937(0), bytes(32))
    _adopted[:] = _all()


def _seed(generator, entropy):
    """Quicker than by a seed sequence: every fork does it."""
    generator._legacy_seeding(memoryview(entropy).cast("I"))


def drew():
    """Finds what has to be reseeded, and tells whether it was drawn from while importing. To be asked
    before the image is frozen, as frozen objects cannot be found."""
    global _found
    sequences, generators, states = [], [], []
    for item in _all():
        kind = type(item)
        if issubclass(kind, _sequence_type):
            if _number(item) is not None:
                sequences.append(item)
        elif issubclass(kind, _generator_type):
            sequence = item.seed_seq
            if isinstance(sequence, _sequence_type) and _number(sequence) is not None:
                generators.append(item)
        elif issubclass(kind, _state_type):
            states.append(item)
    numbers = {_number(sequence) for sequence in sequences}
    numbers.update(_number(generator.seed_seq) for generator in generators)
    drawn = [generator for generator in generators if not _is_fresh(generator)]
    states = [state for state in states if any(state._bit_generator is generator for generator in drawn)]
    _found = sequences, generators, states
    # The first was issued to the module's own generator, which a chosen seed may replace.
    lost = any(number not in numbers for number in range(2, _issued + 1))
    return lost or bool(drawn) or any(map(_is_spawned, sequences))


def _is_spawned(sequence):
    return sequence.n_children_spawned != 0


def _is_fresh(generator):
    return _same(generator.state, type(generator)(generator.seed_seq).state)


def _same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return bool((one == other).all()) if hasattr(one, "shape") else one == other


def reseed():
    """Runs in every fork before the first row."""
    global _building, _found
    _building = False
    if _issued == 0:
        return
    if _found is None:
        gc.unfreeze()
        drew()
        gc.freeze()
    if _found is None:
        return
    sequences, generators, states = _found
    _found = None
    own = _own.seed_seq if _own in generators else None
    if own is not None:
        _seed(_own, urandom(32))
    fresh = {}
    for sequence in sequences:
        if sequence is own:
            continue
        # Sequences that were derived from one entropy still are.
        number = _number(sequence)
        if number not in fresh:
            # A bit above the random ones: seeds of one length cost the same fuel.
            fresh[number] = 1 << 127 | randbits(127)
        type(sequence).__init__(
            sequence,
            fresh[number],
            spawn_key=sequence.spawn_key,
            pool_size=sequence.pool_size,
            n_children_spawned=sequence.n_children_spawned,
        )
    for generator in generators:
        if generator.seed_seq is not None:
            generator.state = type(generator)(generator.seed_seq).state
    for state in states:
        _forget_gauss(state)


def _forget_gauss(state):
    """Drops the second number of a pair, whose first one was drawn while importing."""
    values = state.get_state(legacy=False)
    if values.get("has_gauss"):
        state.set_state({**values, "has_gauss": 0, "gauss": 0.0})
