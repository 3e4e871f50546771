"""The rows of a table function, in all the shapes that databend-udf takes."""

from collections.abc import Iterable, Mapping, Sequence

from vivarium._foreign import optional


class Rows:
    """Turns what a table function returns into tuples."""

    def __init__(self, function_name, columns, conversions):
        self._function_name = function_name
        self._columns = columns
        self._conversions = [optional(convert) for convert in conversions]

    def of(self, result):
        """The rows of one result: nothing, one row, columns, or many of these."""
        if result is None:
            return
        if isinstance(result, Mapping):
            yield from self._of_item(result)
        elif isinstance(result, Iterable) and not isinstance(result, (bytes, str)):
            for item in result:
                yield from self._of_item(item)
        else:
            name = self._function_name
            raise TypeError(f"Table function {name} must yield records, mappings, or pyarrow batches")

    def _of_item(self, item):
        if isinstance(item, Mapping):
            if all(_is_sequence(values) for values in item.values()):
                yield from map(self._converted, self._of_columns(item))
                return
            for name in self._columns:
                if name not in item:
                    raise ValueError(f"Missing column '{name}' in table function row")
            yield self._converted([item[name] for name in self._columns])
        elif _is_sequence(item):
            if len(item) != len(self._columns):
                raise ValueError(
                    f"Row sequence length {len(item)} does not match expected column count "
                    f"{len(self._columns)}"
                )
            yield self._converted(item)
        else:
            name = self._function_name
            raise TypeError(f"Table function {name} returned unsupported rows of type {type(item)}")

    def _of_columns(self, columns):
        for name in self._columns:
            if name not in columns:
                raise ValueError(f"Missing expected column '{name}' in column mapping")
        columns = [columns[name] for name in self._columns]
        if len({len(values) for values in columns}) > 1:
            raise ValueError("Column mapping contains columns of differing lengths")
        return zip(*columns)

    def _converted(self, row):
        return tuple([convert(value) for convert, value in zip(self._conversions, row)])


def _is_sequence(value):
    return isinstance(value, Sequence) and not isinstance(value, (bytes, str))
