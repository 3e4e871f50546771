"""Every Arrow type, with and without null, through scalar and vectorised functions and back."""

import unittest

import pyarrow as pa

from service import Function
from types_of_arrow import arrays, text_of, with_nulls

SCALAR = "def f(x): return x"
VECTORISED = {
    "column": "import vivarium\n@vivarium.udf(vectorized=True, parameters=['{0}'], result='{1}', null_handling='call')\ndef f(x): return x\n",
    "list": "import vivarium\n@vivarium.udf(vectorized=True, parameters=['{0}'], result='{1}', null_handling='call')\ndef f(x): return x.to_list()\n",
}


class Matrix(unittest.TestCase):
    maxDiff = None

    def test_every_type_comes_back(self):
        cells = 0
        for arrow_type, array, values in arrays():
            for nullable in (False, True):
                column = array(with_nulls(values) if nullable else values)
                field = pa.field("arg1", arrow_type, nullable)
                text = text_of(field)
                for way, code in {"scalar": SCALAR, **VECTORISED}.items():
                    with self.subTest(type=text, way=way):
                        quoted = text.replace("\\", "\\\\").replace("'", "\\'")
                        function = Function(code.replace("{0}", quoted).replace("{1}", quoted), "f", [text], text)
                        batch = pa.RecordBatch.from_arrays([column], schema=pa.schema([field]))
                        results, _ = function.exchange([batch, batch.slice(1, 2), batch.slice(0, 0)])
                        self.assertEqual(results[0].schema.field(0), field.with_name("result"))
                        for result, expected in zip(results, [column, column.slice(1, 2), column.slice(0, 0)], strict=True):
                            result.validate(full=True)
                            self.assertTrue(result.column(0).equals(expected), f"{result.column(0)} != {expected}")
                        cells += 1
        self.assertGreater(cells, 300)

    def test_inputs_in_another_layout(self):
        cases = [
            ("VARCHAR NULL", pa.array(["a", None, "b", "a"]), [pa.dictionary(pa.int32(), pa.string()), pa.large_string(), pa.string_view()]),
            ("BIGINT NULL", pa.array([5, 5, None, 7]), [pa.dictionary(pa.int32(), pa.int64())]),
            ("LIST<BIGINT NULL> NULL", pa.array([[1], None, [2, None], []]), [pa.list_view(pa.int64()), pa.large_list(pa.int64()), pa.large_list_view(pa.int64())]),
            ("DECIMAL(10, 2) NULL", pa.array([None, "1.25", "-3.00"]).cast(pa.decimal128(10, 2)), [pa.decimal64(10, 2), pa.decimal256(10, 2)]),
        ]
        for text, column, others in cases:
            function = Function(SCALAR, "f", [text], text)
            for other in others:
                with self.subTest(text, other=str(other)):
                    sent = column.dictionary_encode() if pa.types.is_dictionary(other) else pa.array(column.to_pylist(), other)
                    self.assertEqual(function(sent), column.to_pylist())
        runs = pa.RunEndEncodedArray.from_arrays(pa.array([2, 5], pa.int32()), pa.array(["x", None]))
        self.assertEqual(Function(SCALAR, "f", ["VARCHAR NULL"], "VARCHAR NULL")(runs), ["x", "x", None, None, None])

    def test_variant_is_json_in_databends_words(self):
        code = "def f(x): return {'got': x}"
        function = Function(code, "f", ["VARIANT NULL"], "VARIANT NULL")
        field = pa.field("arg1", pa.large_binary(), True, {b"Extension": b"Variant"})
        column = pa.array([b'{"a": 1}', b"null", None], pa.large_binary())
        (result,), _ = function.exchange([pa.RecordBatch.from_arrays([column], schema=pa.schema([field]))])
        self.assertEqual(result.schema.field(0).metadata, {b"Extension": b"Variant"})
        self.assertEqual(result.column(0).to_pylist(), [b'{"got":{"a":1}}', b'{"got":null}', b'{"got":null}'])


if __name__ == "__main__":
    unittest.main()
