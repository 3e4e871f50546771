"""Takes the place of a module that the sandbox does not have, for packages that import it in any case:
the simple types and their sizes, and nothing that calls native code."""

import struct


class _SimpleCData:
    _type_ = "x"

    def __init__(self, value=None):
        self.value = value


def sizeof(type_or_value):
    """Size of a simple type, in bytes, as the sandbox's C compiler has it."""
    return struct.calcsize(type_or_value._type_)


class c_bool(_SimpleCData):
    _type_ = "?"


class c_char(_SimpleCData):
    _type_ = "c"


class c_byte(_SimpleCData):
    _type_ = "b"


class c_ubyte(_SimpleCData):
    _type_ = "B"


class c_short(_SimpleCData):
    _type_ = "h"


class c_ushort(_SimpleCData):
    _type_ = "H"


class c_int(_SimpleCData):
    _type_ = "i"


class c_uint(_SimpleCData):
    _type_ = "I"


class c_long(_SimpleCData):
    _type_ = "l"


class c_ulong(_SimpleCData):
    _type_ = "L"


class c_longlong(_SimpleCData):
    _type_ = "q"


class c_ulonglong(_SimpleCData):
    _type_ = "Q"


class c_size_t(_SimpleCData):
    _type_ = "N"


class c_ssize_t(_SimpleCData):
    _type_ = "n"


class c_float(_SimpleCData):
    _type_ = "f"


class c_double(_SimpleCData):
    _type_ = "d"


class c_void_p(_SimpleCData):
    _type_ = "P"


class c_char_p(_SimpleCData):
    _type_ = "P"


c_int8, c_uint8, c_int16, c_uint16 = c_byte, c_ubyte, c_short, c_ushort
c_int32, c_uint32, c_int64, c_uint64 = c_int, c_uint, c_longlong, c_ulonglong
