"""Translates functions that calculate with numbers into programs that the bridge evaluates without making
Python objects (`bridge/src/unboxed.h`).

The bytecode is followed with a stack of the registers in which values are: parameters and other local
variables have a register each, constants and globals too, results of operations get temporary ones. What
is not known here ends a path with HAND_BACK: a row that comes there is run by the interpreter. So an
operation has to be exactly Python's, or not to be translated; exceptions need no translation at all.
"""

import math
from _opcode_metadata import opmap
from opcode import _inline_cache_entries
from struct import pack
from types import BuiltinFunctionType, FunctionType

# In the order of `bridge/src/unboxed_operations.h`.
OPERATIONS = (
    "COPY ADD AND FLOOR_DIVIDE LSHIFT MULTIPLY REMAINDER OR POWER RSHIFT SUBTRACT TRUE_DIVIDE XOR "
    "LT LE EQ NE GT GE IS IS_NOT NEGATIVE POSITIVE INVERT NOT TRUTH ABS FABS MIN MAX INT FLOAT ROUND FLOOR CEIL "
    "ISNAN ISINF ISFINITE SQRT MATH LEN TEXT UPPER LOWER "
    "STRIP LSTRIP RSTRIP STARTS_WITH ENDS_WITH CONTAINS INDEX SLICE RANGE UNBIND "
    "CHECK_BOUND RETURN HAND_BACK "
    "JUMP JUMP_IF JUMP_UNLESS JUMP_IF_NONE JUMP_IF_NOT_NONE "
    "JUMP_IF_LT JUMP_IF_LE JUMP_IF_EQ JUMP_IF_NE JUMP_IF_GT JUMP_IF_GE "
    "JUMP_UNLESS_LT JUMP_UNLESS_LE JUMP_UNLESS_EQ JUMP_UNLESS_NE JUMP_UNLESS_GT JUMP_UNLESS_GE FOR"
).split()
_NUMBER = {name: number for number, name in enumerate(OPERATIONS)}
_COPY, _RETURN, _HAND_BACK = _NUMBER["COPY"], _NUMBER["RETURN"], _NUMBER["HAND_BACK"]
_JUMP, _FOR = _NUMBER["JUMP"], _NUMBER["FOR"]
_JUMP_IF, _JUMP_UNLESS, _TRUTH = _NUMBER["JUMP_IF"], _NUMBER["JUMP_UNLESS"], _NUMBER["TRUTH"]
_LT, _GE, _UNBIND = _NUMBER["LT"], _NUMBER["GE"], _NUMBER["UNBIND"]
_ADD, _EQ, _OR, _NOT = _NUMBER["ADD"], _NUMBER["EQ"], _NUMBER["OR"], _NUMBER["NOT"]
_FUSED = {_JUMP_IF: _NUMBER["JUMP_IF_LT"] - _LT, _JUMP_UNLESS: _NUMBER["JUMP_UNLESS_LT"] - _LT}

# The functions of `math` that the bridge calls by their number, see `math_call` there.
MATH = "acos acosh asin asinh atan atanh cbrt cos cosh exp exp2 expm1 log log10 log2 sin sinh tan".split()

# Operators in the order of BINARY_OP's argument; None: not for numbers.
_BINARY = [
    _NUMBER.get(name)
    for name in (
        "ADD AND FLOOR_DIVIDE LSHIFT MATRIX_MULTIPLY MULTIPLY REMAINDER OR POWER RSHIFT SUBTRACT TRUE_DIVIDE XOR"
    ).split()
]

# Built-in functions: the operation, `b` of it, and how many arguments they take here.
_CALLS = {
    abs: ("ABS", 0, 1),
    min: ("MIN", None, None),
    max: ("MAX", None, None),
    int: ("INT", 0, 1),
    float: ("FLOAT", 0, 1),
    bool: ("TRUTH", 0, 1),
    round: ("ROUND", 0, 1),
    pow: ("POWER", None, 2),
    range: ("RANGE", None, None),
    len: ("LEN", 0, 1),
    str: ("TEXT", 0, 1),
    math.sqrt: ("SQRT", 0, 1),
    math.fabs: ("FABS", 0, 1),
    math.floor: ("FLOOR", 0, 1),
    math.ceil: ("CEIL", 0, 1),
    math.trunc: ("INT", 0, 1),
    math.isnan: ("ISNAN", 0, 1),
    math.isinf: ("ISINF", 0, 1),
    math.isfinite: ("ISFINITE", 0, 1),
} | {getattr(math, name): ("MATH", number, 1) for number, name in enumerate(MATH)}

# Methods of str: the operation, and how many arguments they take here.
_METHODS = {
    "upper": ("UPPER", 0),
    "lower": ("LOWER", 0),
    "strip": ("STRIP", 0),
    "lstrip": ("LSTRIP", 0),
    "rstrip": ("RSTRIP", 0),
    "startswith": ("STARTS_WITH", 1),
    "endswith": ("ENDS_WITH", 1),
}

_MAX_CODE = 8192
_MAX_REGISTERS = 400
_MAX_INSTRUCTIONS = 4096
_LIMIT = 1 << 63
_EXTENDED_ARG, _BACKWARD, _LOAD_FAST_CHECK = (
    opmap[name] for name in ("EXTENDED_ARG", "JUMP_BACKWARD", "LOAD_FAST_CHECK")
)
_FORWARD = frozenset(
    opmap[name]
    for name in (
        "FOR_ITER JUMP_FORWARD POP_JUMP_IF_FALSE POP_JUMP_IF_NONE POP_JUMP_IF_NOT_NONE POP_JUMP_IF_TRUE"
    ).split()
)
_CACHES = {opmap[name]: count for name, count in _inline_cache_entries.items() if name in opmap}
_UNARY_POSITIVE = 5  # an intrinsic function

# *args, **kwargs, generators, coroutines.
_FLAGS = 0x04 | 0x08 | 0x20 | 0x80 | 0x100 | 0x200

_NULL = ("null",)
_MISSING = object()


class _HandBack(Exception):
    """The path cannot be followed further."""


class _Impossible(Exception):
    """The function cannot be translated."""


def translate(function, n_parameters):
    """A program (instructions, number of registers, constants, globals), or None. The bridge checks
    that it holds together."""
    if type(function) is not FunctionType:
        return None
    code = function.__code__
    if (
        code.co_argcount != n_parameters
        or code.co_kwonlyargcount
        or code.co_flags & _FLAGS
        or code.co_freevars
        or code.co_cellvars
        or len(code.co_code) > _MAX_CODE
        or code.co_nlocals + code.co_stacksize > _MAX_REGISTERS
        or type(function.__globals__) is not dict
        or type(function.__builtins__) is not dict
    ):
        return None
    try:
        return _Translation(function, code).run()
    except _Impossible:
        return None


def _is_plain(value):
    """Whether a constant or a global can be in a register."""
    kind = type(value)
    if kind is int:
        return -_LIMIT <= value < _LIMIT
    return kind is float or kind is bool or value is None or (kind is str and value.isascii())


class _Translation:
    """One function on its way. Registers: local variables, then where a value of the stack is when paths
    meet (one for each place), and from there on whatever comes."""

    def __init__(self, function, code):
        self.code = code
        self.globals = function.__globals__
        self.builtins = function.__builtins__
        self.meeting = code.co_nlocals
        self.temporaries = self.registers = self.meeting + code.co_stacksize
        self.free = []  # temporary registers
        self.out = []  # [operation, to, a, b]; jumps have the offset that they lead to
        self.block = 0  # where instructions began that are only run one after the other
        self.place = 0  # the last place that jumps may lead to
        self.stack = []  # registers, and tuples for what is no number; None: no path leads here
        self.states = {}  # offset -> the stack when paths meet there
        self.places = {}  # offset -> index in `out`
        self.constants = {}
        self.loaded = {}  # globals -> register
        self.used = {}  # globals, as the bridge takes them
        self.checked = set()

    def run(self):
        """Follows every path."""
        instructions, targets = self.read()
        handlers, places = _HANDLERS, self.places
        for register in sorted(self.checked):
            self.emit(_UNBIND, register)
        for offset, operation, argument, end in instructions:
            if offset in targets:
                if self.stack is not None:
                    self.attempt(_Translation.meet, offset)
                state = self.states.get(offset)
                self.stack = None if state is None else list(state)
                places[offset] = self.block = self.place = len(self.out)
            if self.stack is not None:
                self.attempt(handlers.get(operation), argument, end)
        return self.finish()

    def attempt(self, handler, *arguments):
        """Goes one step; where that is not possible the path ends."""
        try:
            if handler is None:
                raise _HandBack
            handler(self, *arguments)
        except _HandBack:
            self.leave(_HAND_BACK)

    def read(self):
        """[(offset, operation, argument, end)], and the offsets that jumps lead to."""
        raw, instructions, targets = self.code.co_code, [], set()
        offset, size, extended = 0, len(raw), 0
        while offset < size:
            start, operation, argument = offset, raw[offset], raw[offset + 1] | extended
            offset += 2
            if operation == _EXTENDED_ARG:
                extended = argument << 8
                continue
            extended = 0
            offset += 2 * _CACHES.get(operation, 0)
            instructions.append((start, operation, argument, offset))
            if operation in _FORWARD:
                targets.add(offset + 2 * argument)
            elif operation == _BACKWARD:
                targets.add(offset - 2 * argument)
            elif operation == _LOAD_FAST_CHECK and argument >= self.code.co_argcount:
                self.checked.add(argument)
        return instructions, targets

    def finish(self):
        """The program as the bridge takes it."""
        out = self.out
        if len(out) > _MAX_INSTRUCTIONS:
            raise _Impossible
        flat, returns = [], False
        for operation, to, a, b in out:
            if operation >= _JUMP:
                to = self.places.get(to, -1)
                if not 0 <= to < len(out):
                    raise _Impossible
            elif operation == _RETURN:
                returns = True
            flat += (operation, to, a, b)
        if not returns:
            raise _Impossible
        constants = tuple(self.constants.values())
        return pack(f"<{len(flat)}H", *flat), self.registers, constants, tuple(self.used.values())

    # Paths.

    def settle(self):
        """Brings the stack into the form that it has where paths meet."""
        stack, meeting = self.stack, self.meeting
        for place, register in enumerate(stack):
            if type(register) is not int:
                if register[0] == "constants":
                    raise _HandBack
            elif register != meeting + place and meeting <= register < self.temporaries:
                # Another place needs this register.
                stack[place] = self.copy(register, self.temporary())
        for place, register in enumerate(stack):
            if type(register) is int and register != meeting + place:
                stack[place] = self.copy(register, meeting + place)

    def meet(self, offset):
        """Notes that a path leads to `offset`."""
        self.settle()
        state = tuple(self.stack)
        if self.states.setdefault(offset, state) != state:
            raise _Impossible

    def branch(self, operation, offset, a=0, b=0):
        """Jumps or goes on, both with the same stack."""
        self.meet(offset)
        self.emit(operation, offset, a, b)
        self.block = len(self.out)

    def leave(self, operation, to=0, a=0):
        """Ends the path."""
        self.emit(operation, to, a)
        self.stack = None

    # Registers.

    def temporary(self):
        """A register that nothing on the stack uses."""
        for register in self.free:
            if register not in self.stack:
                return register
        self.free.append(self.reserve())
        return self.free[-1]

    def reserve(self, count=1):
        register = self.registers
        self.registers += count
        if self.registers > _MAX_REGISTERS:
            raise _Impossible
        return register

    def constant(self, value):
        if not _is_plain(value):
            raise _HandBack
        key = type(value), repr(value)
        if key not in self.constants:
            self.constants[key] = self.reserve(), value
        return self.constants[key][0]

    def pop(self):
        register = self.stack.pop()
        if type(register) is not int:
            raise _HandBack
        return register

    def emit(self, operation, to, a=0, b=0):
        self.out.append([operation, to, a, b])

    def copy(self, register, to):
        self.emit(_COPY, to, register)
        return to

    def push(self, operation, a, b=0):
        """Pushes the result of an operation."""
        to = self.temporary()
        self.emit(operation, to, a, b)
        self.stack.append(to)

    def last(self, register):
        """The instruction before, if all it did was to write a register that was just popped."""
        if len(self.out) > self.block and register in self.free and register not in self.stack:
            last = self.out[-1]
            if last[1] == register and last[0] <= _UNBIND:
                return last
        return None

    # Python's instructions.

    def nothing(self, argument, end):
        pass

    def load_fast(self, argument, end):
        self.stack.append(argument)

    def load_fast_check(self, argument, end):
        if argument in self.checked:
            self.emit(_NUMBER["CHECK_BOUND"], 0, argument)
        self.stack.append(argument)

    def load_fast_load_fast(self, argument, end):
        self.stack += (argument >> 4, argument & 15)

    def store_fast(self, argument, end):
        value, stack, out = self.pop(), self.stack, self.out
        if value == argument:
            return
        if argument in stack:
            stack.append(value)
            kept = self.copy(argument, self.temporary())
            stack.pop()
            stack[:] = [kept if register == argument else register for register in stack]
        elif (last := self.last(value)) is not None:
            last[1] = argument
            return
        elif len(out) > self.place and out[-1][0] == _FOR and out[-1][3] == value and value not in stack:
            out[-1][3] = argument
            return
        self.copy(value, argument)

    def store_fast_load_fast(self, argument, end):
        self.store_fast(argument >> 4, end)
        self.stack.append(argument & 15)

    def store_fast_store_fast(self, argument, end):
        self.store_fast(argument >> 4, end)
        self.store_fast(argument & 15, end)

    def load_const(self, argument, end):
        value = self.code.co_consts[argument]
        if type(value) is tuple or type(value) is frozenset:
            self.stack.append(("constants", value))
        else:
            self.stack.append(self.constant(value))

    def unpack_sequence(self, argument, end):
        constants = self.stack.pop()
        if type(constants) is int or constants[0] != "constants" or len(constants[1]) != argument:
            raise _HandBack
        if type(constants[1]) is not tuple:
            raise _HandBack
        self.stack += [self.constant(value) for value in reversed(constants[1])]

    def return_value(self, argument, end):
        self.leave(_RETURN, a=self.pop())

    def return_const(self, argument, end):
        self.leave(_RETURN, a=self.constant(self.code.co_consts[argument]))

    def binary_op(self, argument, end):
        b, a = self.pop(), self.pop()
        operation = _BINARY[argument % len(_BINARY)]  # a += b is a + b
        if operation is None:
            raise _HandBack
        self.push(operation, a, b)

    def compare_op(self, argument, end):
        b, a = self.pop(), self.pop()
        self.push(_LT + (argument >> 5), a, b)

    def is_op(self, argument, end):
        # Which numbers are one object is nothing to be relied on, and not known here.
        b, a = self.pop(), self.pop()
        singletons = [
            register for register, value in self.constants.values() if value is None or type(value) is bool
        ]
        if a not in singletons and b not in singletons:
            raise _HandBack
        self.push(_NUMBER["IS_NOT" if argument else "IS"], a, b)

    def contains_op(self, argument, end):
        constants, value, stack = self.stack.pop(), self.pop(), self.stack
        if type(constants) is int:
            self.push(_NUMBER["CONTAINS"], value, constants)
            if argument:
                self.push(_NOT, stack.pop())
            return
        if constants[0] != "constants" or not 0 < len(constants[1]) <= 16:
            raise _HandBack
        stack.append(value)
        for index, constant in enumerate(constants[1]):
            if constant != constant:
                raise _HandBack  # NaN is found by identity
            self.push(_EQ, value, self.constant(constant))
            if index > 0:
                other, found = stack.pop(), stack.pop()
                self.push(_OR, found, other)
        if argument:
            self.push(_NOT, stack.pop())
        del stack[-2]

    def call_intrinsic_1(self, argument, end):
        if argument != _UNARY_POSITIVE:
            raise _HandBack
        self.push(_NUMBER["POSITIVE"], self.pop())

    def build_string(self, argument, end):
        parts = self.stack[len(self.stack) - argument :]
        if any(type(register) is not int for register in parts):
            raise _HandBack
        result = parts[0]
        for part in parts[1:]:
            self.push(_ADD, result, part)
            result = self.stack[-1]
        del self.stack[len(self.stack) - 2 * argument + 1 :]
        self.stack.append(result)

    def binary_slice(self, argument, end):
        stop, start, text = self.pop(), self.pop(), self.pop()
        bounds = self.reserve(2)
        self.copy(start, bounds)
        self.copy(stop, bounds + 1)
        self.push(_NUMBER["SLICE"], text, bounds)

    def binary_subscr(self, argument, end):
        index, text = self.pop(), self.pop()
        self.push(_NUMBER["INDEX"], text, index)

    def copy_item(self, argument, end):
        self.stack.append(self.stack[-argument])

    def swap(self, argument, end):
        stack = self.stack
        stack[-argument], stack[-1] = stack[-1], stack[-argument]

    def pop_top(self, argument, end):
        self.stack.pop()

    def push_null(self, argument, end):
        self.stack.append(_NULL)

    def jump_forward(self, argument, end):
        self.meet(end + 2 * argument)
        self.leave(_JUMP, end + 2 * argument)

    def jump_backward(self, argument, end):
        offset = end - 2 * argument
        if offset not in self.states:
            raise _Impossible
        self.meet(offset)
        self.leave(_JUMP, offset)

    def jump_on(self, operation, offset, condition):
        """A conditional jump."""
        stack = self.stack
        if any(type(register) is int for register in stack):
            stack.append(condition)  # it stays what it is while the stack is settled
            self.settle()
            condition = stack.pop()
        self.branch(operation, offset, condition)

    def get_iter(self, argument, end):
        if type(self.stack[-1]) is int or self.stack[-1][0] != "range":
            raise _HandBack

    def for_iter(self, argument, end):
        iterator = self.stack[-1]
        if type(iterator) is int or iterator[0] != "range":
            raise _HandBack
        self.settle()
        to = self.temporary()
        self.branch(_FOR, end + 2 * argument, iterator[1], to)
        self.stack.append(to)

    def load_global(self, argument, end):
        name = self.code.co_names[argument >> 1]
        found = self.globals.get(name, _MISSING)
        if found is _MISSING:
            found = self.builtins.get(name, _MISSING)
        if found is math:
            self.stack.append(("module", name))
        else:
            self.stack.append(self.meaning(found, name, None, None))
        if argument & 1:
            self.stack.append(_NULL)

    def load_attr(self, argument, end):
        module = self.stack.pop()
        attribute = self.code.co_names[argument >> 1]
        if type(module) is int and argument & 1 and attribute in _METHODS:
            self.stack += (("method", *_METHODS[attribute]), module)
            return
        if type(module) is int or module[0] != "module":
            raise _HandBack
        found = math.__dict__.get(attribute, _MISSING)
        self.stack.append(self.meaning(found, module[1], math, attribute))
        if argument & 1:
            self.stack.append(_NULL)

    def meaning(self, found, name, module, attribute):
        """What a global stands for on the stack, provided that it is so in a batch, too."""
        key, kind = (name, attribute), type(found)
        if kind is BuiltinFunctionType or kind is type:
            call = _CALLS.get(found)
            if call is None:
                raise _HandBack
            self.used[key] = -1, name, module, attribute, found
            return "call", *call
        if not _is_plain(found):
            raise _HandBack
        if key not in self.loaded:
            self.loaded[key] = self.reserve()
            self.used[key] = self.loaded[key], name, module, attribute, None
        return self.loaded[key]

    def call(self, argument, end):
        stack = self.stack
        start = len(stack) - argument
        if start < 2 or type(stack[start - 2]) is int:
            raise _HandBack
        what, *called = stack[start - 2]
        arguments = stack[start:]
        if any(type(register) is not int for register in arguments):
            raise _HandBack
        if what == "method":
            result = self.method(*called, stack[start - 1], *arguments)
        elif what == "call" and stack[start - 1] == _NULL:
            result = self.result(*called, arguments)
        else:
            raise _HandBack
        stack[start - 2 :] = (result,)

    def method(self, name, count, text, *arguments):
        """Where a method's result is."""
        if len(arguments) != count:
            raise _HandBack
        self.push(_NUMBER[name], text, *arguments)
        return self.stack[-1]

    def result(self, name, b, count, arguments):
        """Where a called function's result is."""
        if name == "RANGE":
            return "range", self.range(arguments)
        if len(arguments) != count and (count is not None or len(arguments) < 2):
            raise _HandBack
        result, operation = arguments[0], _NUMBER[name]
        if count == 1:
            self.push(operation, result, b)
            return self.stack.pop()
        for other in arguments[1:]:
            self.push(operation, result, other)
            result = self.stack[-1]
        return result

    def range(self, arguments):
        """The first of three registers that are a range."""
        if len(arguments) == 1:
            arguments = self.constant(0), *arguments
        if len(arguments) == 2:
            arguments = *arguments, self.constant(1)
        if len(arguments) != 3:
            raise _HandBack
        first = self.reserve(3)
        for place, register in enumerate(arguments):
            self.copy(register, first + place)
        self.emit(_NUMBER["RANGE"], first)
        return first


def _unary(operation):
    return lambda self, argument, end: self.push(operation, self.pop())


def _jump_if(operation):
    """A jump on the truth of a value; comparisons are done by the jump itself."""

    def handler(self, argument, end):
        condition, offset = self.pop(), end + 2 * argument
        last = self.last(condition)
        if last is not None and last[0] == _TRUTH:
            self.out.pop()
            condition = last[2]
        elif last is not None and _LT <= last[0] <= _GE and all(type(item) is tuple for item in self.stack):
            self.out.pop()
            self.branch(last[0] + _FUSED[operation], offset, last[2], last[3])
            return
        self.jump_on(operation, offset, condition)

    return handler


def _jump_if_none(operation):
    return lambda self, argument, end: self.jump_on(operation, end + 2 * argument, self.pop())


_HANDLERS = {
    opmap[name]: handler
    for name, handler in {
        "BINARY_OP": _Translation.binary_op,
        "BINARY_SLICE": _Translation.binary_slice,
        "BINARY_SUBSCR": _Translation.binary_subscr,
        "BUILD_STRING": _Translation.build_string,
        "CALL": _Translation.call,
        "CALL_INTRINSIC_1": _Translation.call_intrinsic_1,
        "COMPARE_OP": _Translation.compare_op,
        "CONTAINS_OP": _Translation.contains_op,
        "COPY": _Translation.copy_item,
        "END_FOR": _Translation.nothing,
        "FOR_ITER": _Translation.for_iter,
        "FORMAT_SIMPLE": _unary(_NUMBER["TEXT"]),
        "GET_ITER": _Translation.get_iter,
        "IS_OP": _Translation.is_op,
        "JUMP_BACKWARD": _Translation.jump_backward,
        "JUMP_FORWARD": _Translation.jump_forward,
        "LOAD_ATTR": _Translation.load_attr,
        "LOAD_CONST": _Translation.load_const,
        "LOAD_FAST": _Translation.load_fast,
        "LOAD_FAST_CHECK": _Translation.load_fast_check,
        "LOAD_FAST_LOAD_FAST": _Translation.load_fast_load_fast,
        "LOAD_GLOBAL": _Translation.load_global,
        "NOP": _Translation.nothing,
        "POP_JUMP_IF_FALSE": _jump_if(_JUMP_UNLESS),
        "POP_JUMP_IF_NONE": _jump_if_none(_NUMBER["JUMP_IF_NONE"]),
        "POP_JUMP_IF_NOT_NONE": _jump_if_none(_NUMBER["JUMP_IF_NOT_NONE"]),
        "POP_JUMP_IF_TRUE": _jump_if(_JUMP_IF),
        "POP_TOP": _Translation.pop_top,
        "PUSH_NULL": _Translation.push_null,
        "RESUME": _Translation.nothing,
        "RETURN_CONST": _Translation.return_const,
        "RETURN_VALUE": _Translation.return_value,
        "STORE_FAST": _Translation.store_fast,
        "STORE_FAST_LOAD_FAST": _Translation.store_fast_load_fast,
        "STORE_FAST_STORE_FAST": _Translation.store_fast_store_fast,
        "SWAP": _Translation.swap,
        "TO_BOOL": _unary(_TRUTH),
        "UNARY_INVERT": _unary(_NUMBER["INVERT"]),
        "UNARY_NEGATIVE": _unary(_NUMBER["NEGATIVE"]),
        "UNARY_NOT": _unary(_NOT),
        "UNPACK_SEQUENCE": _Translation.unpack_sequence,
    }.items()
}
