"""Random functions that calculate, and values that are hard on them."""

import random

import pyarrow as pa

INTEGERS = [0, 1, -1, 2, 3, -7, 10, 63, 64, 2**31, 2**53, 2**53 + 1, -(2**53) - 1, 2**62, 2**63 - 1, -(2**63)]
FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, -1.5, 2.5, 0.1, 1e-300, 5e-324, 1e308, -1e308, 9007199254740993.0, 1e19]
FLOATS += [float("inf"), float("-inf"), float("nan")]

TEXTS = ["", "a", "Z", "b1", "  Ab c\t", "\x1c x\n", "x" * 9, "aB[z{`@Zz}" * 7, "\x00\x7f", "12", "None", "é", "ß straße", "😀"]
TEXTS += ["Long " * 5000]


def _within(low, high):
    return [*(value for value in INTEGERS if low <= value <= high), low, high]


VALUES = {
    pa.int64(): INTEGERS,
    pa.int32(): _within(-(2**31), 2**31 - 1),
    pa.int16(): _within(-(2**15), 2**15 - 1),
    pa.int8(): _within(-128, 127),
    pa.uint64(): _within(0, 2**64 - 1),
    pa.uint32(): _within(0, 2**32 - 1),
    pa.uint16(): _within(0, 2**16 - 1),
    pa.uint8(): _within(0, 255),
    pa.float64(): FLOATS,
    pa.float32(): [0.0, -0.0, 1.0, -1.5, 0.5, 3.4e38, 1e-45, float("inf"), float("-inf"), float("nan")],
    pa.bool_(): [False, True],
    pa.string(): TEXTS,
    pa.large_string(): TEXTS,
}
TYPES = list(VALUES)[:-2]
COMMON = [pa.int64(), pa.int64(), pa.float64(), pa.float64(), pa.bool_()]

TEXT_CONSTANTS = ["''", "'a'", "'b1'", "'é'", "'  x '", "'Ab'", "('z' * 3)", "W"]

PREAMBLE = "W = 'ab'\nimport math\nfrom math import sqrt, floor as down\nK = 3\nL = -2.5\nT = True\nN = None\n"
CONSTANTS = "0 1 -1 2 3 7 64 1.5 -0.0 0.1 1e308 True False None".split()
CONSTANTS += [str(2**31), str(2**53 + 1), str(2**63 - 1)]
MATH = "acos asin atan cbrt ceil cos cosh exp exp2 expm1 fabs floor isfinite isinf isnan log log10 log2 sin"
MATH = [f"math.{name}" for name in (MATH + " sinh sqrt tan tanh trunc atanh").split()]
ONE = ["abs", "int", "float", "bool", "round", "sqrt", "down", "-", "+", "~", "not "]


class Functions(random.Random):
    """Makes functions of the same seed again."""

    texts = ()  # the names that are text

    def text(self, names, depth):
        """Code of an expression over `names` that is text, mostly."""
        if depth == 0 or not self.texts:
            return self.choice(self.texts or names) if self.random() < 0.8 else self.choice(TEXT_CONSTANTS)
        text = lambda: self.text(names, self.randint(0, depth - 1))  # noqa: E731
        number = lambda: self.choice(["0", "1", "-1", "None", "3", "True", self.choice(names), "-99", str(2**62)])  # noqa: E731
        kind = self.randrange(9)
        if kind < 2:
            return f"({text()} + {text()})"
        if kind < 4:
            return f"{text()}.{self.choice(['upper', 'lower', 'strip', 'lstrip', 'rstrip'])}()"
        if kind == 4:
            return f"{text()}[{number()}:{number()}]"
        if kind == 5:
            return f"{text()}[{number()}]"
        if kind == 6:
            return f"str({self.expression(names, 1)})"
        if kind == 7:
            return f"f'{{{text()}}}-{{{self.choice(names)}}}'"
        return f"({text()} if {self.truth(names)} else {text()})"

    def truth(self, names):
        """Code of an expression about text."""
        text = lambda: self.text(names, 1)  # noqa: E731
        kind = self.randrange(6)
        if kind < 2:
            return f"{text()} {self.choice('< <= == != > >='.split())} {self.choice([text(), text(), self.choice(names)])}"
        if kind == 2:
            return f"{text()} {self.choice(['in', 'not in'])} {text()}"
        if kind == 3:
            return f"{text()}.{self.choice(['startswith', 'endswith'])}({text()})"
        if kind == 4:
            return f"{text()} in ('a', 'b1', None, 'é')"
        return f"len({text()}) {self.choice('<>')} {self.choice(names)}"

    def expression(self, names, depth):
        """Code of an expression over `names`."""
        if self.texts and self.random() < 0.5:
            return self.choice((self.text, self.text, lambda names, depth: self.truth(names)))(names, depth)
        if depth == 0:
            kind = self.random()
            if kind < 0.65:
                return self.choice(names)
            return self.choice(CONSTANTS) if kind < 0.9 else self.choice("KLTN")

        def inner(less=1):
            return self.expression(names, self.randint(0, max(depth - less, 0)))

        make = self.choice((self.binary, self.binary, self.binary, self.compared, self.called, self.chosen))
        return make(inner)

    def binary(self, inner):
        operator = self.choice("+ - * / // % + - * / // % & | ^ << >> **".split())
        if operator in ("<<", "**"):  # by no more than the interpreter does in a moment
            amount = self.choice(["2", "3", "-1", "0.5", f"({inner()} % 5)", f"({inner()} & 31)"])
            return f"({inner()} {operator} {'K' if operator == '**' and '31' in amount else amount})"
        return f"({inner()} {operator} {inner()})"

    def compared(self, inner):
        relation = lambda: self.choice("< <= == != > >=".split())  # noqa: E731
        kind = self.randrange(8)
        if kind < 4:
            return f"({inner()} {relation()} {inner()})"
        if kind == 4:
            return f"({inner()} {relation()} {inner()} {relation()} {inner()})"
        if kind == 5:
            return f"({inner()} {self.choice(['is', 'is not'])} {self.choice(['None', 'None', 'True', 'False'])})"
        if kind == 6:
            return f"({inner()} {self.choice(['in', 'not in'])} (1, 2.5, None, -3))"
        return f"({inner()} {self.choice(['and', 'or'])} {inner()})"

    def called(self, inner):
        kind = self.randrange(8)
        if kind < 4:
            name = self.choice(ONE)
            return f"{name}({inner()})" if name[0].isalpha() and name != "not " else f"({name}{inner()})"
        if kind == 4:
            return f"{self.choice(['min', 'max'])}({inner()}, {inner()})"
        if kind == 5:
            return f"{self.choice(['min', 'max'])}({inner()}, {inner()}, {inner()})"
        return f"{self.choice(MATH)}({inner()})"

    def chosen(self, inner):
        return f"({inner()} if {inner()} else {inner()})"

    def body(self, names):
        """Lines of a function."""
        kind = self.randrange(10)
        make = lambda depth=2: self.expression(names, depth)  # noqa: E731
        if kind < 5:
            return [f"return {make(3)}"]
        if kind == 5:
            return [f"if {make()}:", f"    return {make()}", f"x = {make()}", f"return x if {make()} else {make()}"]
        if kind == 6:
            return ["x, y, n = 0, 1, 0", f"for i in range({self.span(make)}):", "    x, y, n = y, x + i, n + 1",
                    f"    if n > {self.randint(2, 5)}: break", f"return {self.expression([*names, 'x', 'y'], 2)}"]
        if kind == 7:
            inside = self.expression([*names, "x"], 1).replace("**", "+").replace("<<", "-")
            return ["x = n = 0", f"while {make()} or n < 2:", "    n += 1", f"    x = {inside}", "    if n == 4: break",
                    f"    if x == {make(1)}: continue", "    x += 1", "return x"]
        if kind == 8:
            error = self.choice(["ZeroDivisionError", "TypeError", "ArithmeticError"])
            return ["try:", f"    return {make()}", f"except {error}:", f"    return {make(1)}"]
        return [f"if {make()}:", f"    raise ValueError({make(1)})", f"elif {make()}: x = {make()}", "return x"]

    def span(self, make):
        return self.choice([make(1), f"{make(0)}, {make(0)}", f"{make(0)}, {make(0)}, {self.choice('12') }", "5, 0, -2"])

    def function(self):
        """(code, types of parameters, field of the result)."""
        types = [self.choice(COMMON if self.random() < 0.7 else TYPES) for _ in range(self.randint(1, 3))]
        if self.random() < 0.4:
            types = [self.choice([pa.string(), pa.string(), pa.large_string(), *types]) for _ in types]
        names = list("abc"[: len(types)])
        self.texts = [name for name, kind in zip(names, types) if VALUES[kind] is TEXTS]
        lines = [f"def f({', '.join(names)}):", *(f"    {line}" for line in self.body(names))]
        result = self.choice(COMMON if self.random() < 0.7 else TYPES)
        if self.texts and self.random() < 0.7:
            result = self.choice([pa.string(), pa.string(), pa.large_string(), pa.bool_()])
        return PREAMBLE + "\n".join(lines) + "\n", types, pa.field("result", result, self.random() < 0.85)

    def column(self, arrow_type, rows):
        """An array of hard values, with nulls or without."""
        nulls = self.choice((0, 0, 0.1))
        values = [None if self.random() < nulls else self.choice(VALUES[arrow_type]) for _ in range(rows)]
        return pa.array(values, arrow_type)
