"""Arrow's types as objects that know their text for a declaration (`__vivarium_type__`)."""

from vivarium._declaration import check_name, field_name

_EXTENSIONS = {
    "arrow.json": "JSON",
    "arrow.uuid": "UUID",
    "arrowudf.json": "JSON",
    "arrowudf.decimal": "DECIMAL",
}


class DataType:
    """An Arrow type: pyarrow's name for it and the text for a declaration."""

    def __init__(self, name, text, **facts):
        self.__vivarium_type__ = text
        self._name = name
        self.__dict__.update(facts)

    def __str__(self):
        return self._name

    def __repr__(self):
        return f"DataType({self})"

    def equals(self, other, *, check_metadata=False):
        return self == other

    def __eq__(self, other):
        if not isinstance(other, DataType):
            return NotImplemented
        return self.__vivarium_type__ == other.__vivarium_type__

    def __hash__(self):
        return hash(self.__vivarium_type__)


class ListType(DataType):
    """Any type of lists, with `value_field` and `value_type`."""


class MapType(DataType):
    """A map, with `key_field` and `item_field`."""


class StructType(DataType):
    """A struct, with `fields`."""

    def __iter__(self):
        return iter(self.fields)

    def __len__(self):
        return len(self.fields)


class ExtensionType(DataType):
    """A base class for extension types, which are what their name says or what they are stored as."""

    def __init__(self, storage_type, extension_name):
        text = _EXTENSIONS.get(extension_name) or _checked(storage_type).__vivarium_type__
        super().__init__(f"extension<{extension_name}>", text)
        self.storage_type = storage_type
        self.extension_name = extension_name


class Field:
    """A name, a type, and whether null is allowed."""

    def __init__(self, name, type, nullable=True, metadata=None):
        self.name = name
        self.type = type
        self.nullable = nullable
        self.metadata = metadata

    def with_name(self, name):
        return Field(name, self.type, self.nullable, self.metadata)

    def with_type(self, type):
        return Field(self.name, type, self.nullable, self.metadata)

    def with_nullable(self, nullable):
        return Field(self.name, self.type, nullable, self.metadata)

    def with_metadata(self, metadata):
        return Field(self.name, self.type, self.nullable, metadata)

    def _type_text(self):
        """The text of the type, which metadata of Databend's may name."""
        told = {_bytes(key): _bytes(value) for key, value in (self.metadata or {}).items()}
        if told.get(b"Extension") == b"Variant":
            return "VARIANT"
        if told.get(b"Extension") == b"Vector" and hasattr(self.type, "list_size"):
            return f"VECTOR({self.type.list_size})"
        return self.type.__vivarium_type__

    @property
    def __vivarium_type__(self):
        text = self._type_text()
        if text == "NULL":
            return text
        return text + (" NULL" if self.nullable else " NOT NULL")

    def _text(self):
        return f"{field_name(self.name, self._type_text())} {self.__vivarium_type__}"

    def __str__(self):
        return f"{self.name}: {self.type}" + ("" if self.nullable else " not null")

    def __repr__(self):
        return f"pyarrow.Field<{self}>"

    def equals(self, other, check_metadata=False):
        return self == other

    def __eq__(self, other):
        if not isinstance(other, Field):
            return NotImplemented
        return (self.name, self.type, self.nullable) == (other.name, other.type, other.nullable)

    def __hash__(self):
        return hash((self.name, self.type, self.nullable))


class Schema:
    """Fields in order."""

    def __init__(self, fields, metadata=None):
        self._fields = tuple(fields)
        self.metadata = metadata

    names = property(lambda self: [field.name for field in self._fields])
    types = property(lambda self: [field.type for field in self._fields])

    def field(self, key):
        if isinstance(key, str):
            return next(field for field in self._fields if field.name == key)
        return self._fields[key]

    def with_metadata(self, metadata):
        return Schema(self._fields, metadata)

    def __iter__(self):
        return iter(self._fields)

    def __len__(self):
        return len(self._fields)

    def __getitem__(self, index):
        return self._fields[index]

    def __eq__(self, other):
        return isinstance(other, Schema) and self._fields == other._fields

    def __hash__(self):
        return hash(self._fields)


def _bytes(value):
    return value.encode() if isinstance(value, str) else value


def _checked(value):
    if not isinstance(value, DataType):
        raise TypeError(f"DataType expected, got {type(value)}")
    return value


def _plain(function, name, text):
    def make():
        return DataType(name, text)

    make.__name__ = make.__qualname__ = function
    return make


null = _plain("null", "null", "NULL")
bool_ = _plain("bool_", "bool", "BOOLEAN")
int8 = _plain("int8", "int8", "TINYINT")
int16 = _plain("int16", "int16", "SMALLINT")
int32 = _plain("int32", "int32", "INT")
int64 = _plain("int64", "int64", "BIGINT")
uint8 = _plain("uint8", "uint8", "UINT8")
uint16 = _plain("uint16", "uint16", "UINT16")
uint32 = _plain("uint32", "uint32", "UINT32")
uint64 = _plain("uint64", "uint64", "UINT64")
float16 = _plain("float16", "halffloat", "FLOAT16")
float32 = _plain("float32", "float", "FLOAT")
float64 = _plain("float64", "double", "DOUBLE")
date32 = _plain("date32", "date32[day]", "DATE")
date64 = _plain("date64", "date64[ms]", "DATE64")
string = utf8 = _plain("string", "string", "UTF8")
large_string = large_utf8 = _plain("large_string", "large_string", "LARGE_STRING")
string_view = _plain("string_view", "string_view", "STRING_VIEW")
large_binary = _plain("large_binary", "large_binary", "LARGE_BINARY")
binary_view = _plain("binary_view", "binary_view", "BINARY_VIEW")
month_day_nano_interval = _plain("month_day_nano_interval", "month_day_nano_interval", "INTERVAL")
json_ = _plain("json_", "extension<arrow.json>", "JSON")
uuid = _plain("uuid", "extension<arrow.uuid>", "UUID")


def binary(length=-1):
    if length == -1:
        return DataType("binary", "BINARY")
    return DataType(f"fixed_size_binary[{int(length)}]", f"FIXED_SIZE_BINARY({int(length)})")


def _unit(unit, allowed):
    if unit not in allowed:
        raise ValueError(f"invalid time unit: {unit!r}")
    return unit


def timestamp(unit, tz=None):
    _unit(unit, ("s", "ms", "us", "ns"))
    if tz is None:
        return DataType(f"timestamp[{unit}]", f"TIMESTAMP({unit})", unit=unit, tz=None)
    zone = check_name(str(tz), "a time zone", identifier=False).replace('"', '""')
    return DataType(f"timestamp[{unit}, tz={tz}]", f'TIMESTAMP({unit}, "{zone}")', unit=unit, tz=str(tz))


def time32(unit):
    return DataType(f"time32[{_unit(unit, ('s', 'ms'))}]", f"TIME32({unit})", unit=unit)


def time64(unit):
    return DataType(f"time64[{_unit(unit, ('us', 'ns'))}]", f"TIME64({unit})", unit=unit)


def duration(unit):
    return DataType(f"duration[{_unit(unit, ('s', 'ms', 'us', 'ns'))}]", f"DURATION({unit})", unit=unit)


def _decimal(bits, digits):
    def make(precision, scale=0):
        precision, scale = int(precision), int(scale)
        if not 1 <= precision <= digits:
            raise ValueError(f"precision should be between 1 and {digits}")
        name = f"decimal{bits}({precision}, {scale})"
        return DataType(name, name.upper(), precision=precision, scale=scale)

    make.__name__ = make.__qualname__ = f"decimal{bits}"
    return make


decimal32 = _decimal(32, 9)
decimal64 = _decimal(64, 18)
decimal128 = _decimal(128, 38)
decimal256 = _decimal(256, 76)


def _item(value, name="item", nullable=True):
    return value if isinstance(value, Field) else Field(name, _checked(value), nullable)


def list_(value_type, list_size=-1):
    item = _item(value_type)
    facts = {"value_field": item, "value_type": item.type}
    if list_size == -1:
        return ListType(f"list<{item}>", f"LIST<{item.__vivarium_type__}>", **facts)
    size = int(list_size)
    text = f"FIXED_SIZE_LIST<{item.__vivarium_type__}>[{size}]"
    return ListType(f"fixed_size_list<{item}>[{size}]", text, list_size=size, **facts)


def large_list(value_type):
    item = _item(value_type)
    facts = {"value_field": item, "value_type": item.type}
    return ListType(f"large_list<{item}>", f"LARGE_LIST<{item.__vivarium_type__}>", **facts)


def map_(key_type, item_type, keys_sorted=False):
    key, item = _item(key_type, "key", False).with_nullable(False), _item(item_type, "value")
    text = f"MAP<{key.__vivarium_type__}, {item.__vivarium_type__}>"
    facts = {"key_field": key, "item_field": item, "key_type": key.type, "item_type": item.type}
    return MapType(f"map<{key.type}, {item.type}>", text, **facts)


def struct(fields):
    fields = _fields(fields)
    text = f"STRUCT<{', '.join(field._text() for field in fields)}>"
    return StructType(f"struct<{', '.join(map(str, fields))}>", text, fields=fields)


def field(name, type=None, nullable=None, metadata=None):
    if isinstance(name, Field):
        return name
    if not isinstance(name, str):
        raise TypeError(f"a field's name must be a str, not {name!r}")
    return Field(name, _checked(type), nullable is None or bool(nullable), metadata)


def schema(fields, metadata=None):
    return Schema(_fields(fields), metadata)


def _fields(fields):
    pairs = fields.items() if hasattr(fields, "items") else fields
    return [item if isinstance(item, Field) else field(*item) for item in pairs]


__all__ = [name for name in globals() if not name.startswith("_") and name not in ("check_name", "field_name")]
