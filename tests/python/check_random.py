"""Random batches of random schemas through identity functions: what comes back is what was sent."""

import unittest
import uuid

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service import Function
from types_of_arrow import FLAT, text_of

CODE = "def f({names}): return ({names},)"

FLAT_TYPES = st.sampled_from([arrow_type for arrow_type, _ in FLAT])
NAMES = st.text("abcxyz _\"'ä1", min_size=1, max_size=5)


def fields(types):
    return st.builds(pa.field, NAMES, types, st.booleans())


def structs(types):
    return st.lists(fields(types), min_size=1, max_size=3, unique_by=lambda field: field.name).map(pa.struct)


def maps(types):
    keys = st.sampled_from([pa.string(), pa.int32(), pa.date32()])
    items = st.builds(pa.field, st.just("value"), types, st.booleans())
    return st.builds(lambda key, item: pa.map_(pa.field("key", key, False), item), keys, items)


def item(types):
    return st.builds(pa.field, st.just("item"), types, st.booleans())


TYPES = st.recursive(
    FLAT_TYPES,
    lambda inner: st.one_of(
        item(inner).map(pa.list_),
        item(inner).map(pa.large_list),
        st.builds(pa.list_, item(inner), st.integers(1, 3)),
        structs(inner),
        maps(inner),
    ),
    max_leaves=4,
)

VALUES = {arrow_type: values for arrow_type, values in FLAT}


def values(field):
    """Python values that pyarrow makes an array of the field's type of."""
    t = field.type
    if t in VALUES:
        strategy = st.sampled_from(VALUES[t])
    elif pa.types.is_struct(t):
        strategy = st.tuples(*[values(f) for f in t]).map(lambda row: {f.name: v for f, v in zip(t, row)})
    elif pa.types.is_map(t):
        pairs = st.tuples(values(t.key_field), values(t.item_field))
        strategy = st.lists(pairs, max_size=3, unique_by=lambda pair: pair[0])
    elif pa.types.is_fixed_size_list(t):
        strategy = st.lists(values(t.value_field), min_size=t.list_size, max_size=t.list_size)
    else:
        strategy = st.lists(values(t.value_field), max_size=3)
    return st.one_of(st.none(), strategy) if field.nullable else strategy


@st.composite
def batches(draw):
    columns = draw(st.lists(st.builds(pa.field, st.just("x"), TYPES, st.booleans()), min_size=1, max_size=3))
    columns = [field.with_name(f"c{i}") for i, field in enumerate(columns)]
    rows = draw(st.lists(st.tuples(*[values(field) for field in columns]), max_size=6))
    arrays = [pa.array([row[i] for row in rows], field.type) for i, field in enumerate(columns)]
    batch = pa.RecordBatch.from_arrays(arrays, schema=pa.schema(columns))
    start = draw(st.integers(0, len(rows)))
    return batch.slice(start)


class Random(unittest.TestCase):
    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(batches())
    def test_what_comes_back_is_what_was_sent(self, batch):
        names = ", ".join(f"x{i}" for i in range(batch.num_columns))
        result = pa.field("result", pa.struct(list(batch.schema)), False)
        # A name of its own for each: retired functions must not make room for one another.
        code = CODE.format(names=names)
        function = Function(code, "f", [text_of(field) for field in batch.schema], text_of(result), tenant=uuid.uuid4().hex)
        (answer,), _ = function.exchange([batch])
        answer.validate(full=True)
        self.assertEqual(answer.schema.field(0), result)
        for index, column in enumerate(batch.columns):
            returned = answer.column(0).field(index)
            self.assertTrue(returned.equals(column), f"{returned} != {column}")


if __name__ == "__main__":
    unittest.main()
