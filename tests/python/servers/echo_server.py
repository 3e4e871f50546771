"""The least that a server of a function can do: answers `(INT, INT) -> INT` with the first column.

Run as `echo_server.py ADDRESS`; prints a line when it is ready.
"""

import sys

import pyarrow as pa
import pyarrow.flight as flight

RESULT = pa.schema([pa.field("result", pa.int32())])
SIGNATURE = pa.schema(
    [pa.field("a", pa.int32()), pa.field("b", pa.int32()), *RESULT], metadata={"x-databend-udf-input-count": "2"}
)


class Echo(flight.FlightServerBase):
    def get_flight_info(self, context, descriptor):
        return flight.FlightInfo(SIGNATURE, descriptor, [], len(SIGNATURE), 0)

    def do_exchange(self, context, descriptor, reader, writer):
        writer.begin(RESULT)
        for chunk in reader:
            writer.write_batch(pa.RecordBatch.from_arrays([chunk.data.column(0)], schema=RESULT))


server = Echo(f"grpc://{sys.argv[1]}")
print("ready", flush=True)
server.serve()
