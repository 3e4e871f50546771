"""What a decorator records about a function, and where it is found again."""

import re

from ._loader import Refused

ATTRIBUTE = "__vivarium_declaration__"
MAX_NAME = 255
MAX_TYPE = 16 * 1024

NULL_HANDLING = ("call", "skip", "annotations")
ON_ERROR = ("raise", "null")

# Servers that the code has built with the stand-ins of other projects' packages.
servers = []

# A type with the mark that says whether it may be null.
MARKED = re.compile(r"(?is)\s*(.*?\S)\s+(NOT\s+NULL|NULL)\s*")

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+")
_KEYWORDS = frozenset("NULL NOT NON NULLABLE UNSIGNED PRECISION VARYING WITH WITHOUT".split())

# Control characters and halves of surrogate pairs; types may have line breaks and tabs.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_CONTROL = re.compile(r"(?![\t\n\r])[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class Declaration:
    """The settings that a decorated object carries.

    Subclasses know how to tell the types (`types`) and what the bridge shall call (`bind`)."""

    __slots__ = ("name", "null_handling", "on_error")
    dialect = "vivarium"
    listed = True

    def __init__(self, name, null_handling, on_error):
        self.name = name
        self.null_handling = null_handling
        self.on_error = on_error

    def kind(self, found):
        """The function's kind."""
        raise NotImplementedError

    def types(self, found, name):
        """([(parameter, type)], (result, type), state type or None)."""
        raise NotImplementedError

    def bind(self, found, name, n_parameters):
        """(target, skip), as `_loader.load` returns them."""
        raise NotImplementedError


class Fixed(Declaration):
    """A declaration whose types are known as text, and whose target is ready to be called."""

    __slots__ = ("dialect", "listed", "_kind", "parameters", "result", "target")

    def __init__(self, name, kind, parameters, result, target, dialect, null_handling="call"):
        super().__init__(name, null_handling, "raise")
        self._kind = kind
        self.parameters = parameters
        self.result = result
        self.target = target
        self.dialect = dialect
        self.listed = True

    def kind(self, found):
        return self._kind

    def types(self, found, name):
        return self.parameters, self.result, None

    def bind(self, found, name, n_parameters):
        if n_parameters != len(self.parameters):
            raise Refused(
                "handler",
                f"`{name}` is declared with {len(self.parameters)} input types, but it is called with "
                f"{n_parameters} arguments",
                None,
            )
        return self.target, (self.null_handling == "skip",) * n_parameters


def attach(found, declaration):
    """Leaves the declaration in the object's own dictionary. AttributeError or TypeError if it
    has none."""
    setattr(found, ATTRIBUTE, declaration)


def declaration_of(found):
    """The declaration that an object itself carries: neither its class's nor its base's, and
    without running code of the object."""
    owner = type if issubclass(type(found), type) else object
    try:
        declaration = owner.__getattribute__(found, "__dict__").get(ATTRIBUTE)
    except BaseException:  # a `__dict__` of its own may raise anything
        return None
    return declaration if issubclass(type(declaration), Declaration) else None


def served(name):
    """The function that some server was given under that name."""
    for server in servers:
        found = server._functions.get(name)
        if found is not None:
            return found
    return None


def brief(value):
    """A short repr for messages."""
    try:
        text = repr(value)
    except Exception:
        return f"<{type(value).__name__} whose repr() failed>"
    return text if len(text) <= 100 else text[:97] + "..."


def field_name(name, type_text):
    """The name of a struct's field as the grammar of types reads it, in front of the type."""
    plain = _PLAIN_NAME.fullmatch(name) and name.upper() not in _KEYWORDS
    if plain and type_text.upper() != "NULL":
        return name
    return '"' + name.replace('"', '""') + '"'


def check_name(name, what="name", identifier=True):
    """Refuses what cannot be a function's name."""
    if type(name) is not str:
        raise TypeError(f"{what} must be a str, not {type(name).__name__}")
    if not name or len(name) > MAX_NAME or _UNPRINTABLE.search(name):
        raise ValueError(
            f"{what} must have 1 to {MAX_NAME} characters, none of them a control character: {brief(name)}"
        )
    if identifier and not name.isidentifier():
        raise ValueError(f"{what} must be an identifier: {brief(name)}")
    return name


def check_choice(value, what, choices):
    """Refuses everything but one of `choices`."""
    if type(value) is not str or value not in choices:
        allowed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{what} must be one of {allowed}, not {brief(value)}")
    return value


def check_type_text(text, what):
    """Refuses text that can be no type whatever the grammar; the host reads the grammar."""
    if not text.strip():
        raise ValueError(f"{what}: the type is empty")
    if len(text) > MAX_TYPE:
        raise ValueError(f"{what}: the type has {len(text)} characters, the limit is {MAX_TYPE}")
    if stray := _CONTROL.search(text):
        raise ValueError(f"{what}: the type holds the control character {stray.group()!a}")
    return text
