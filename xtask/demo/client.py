"""The demo's client: a plain gRPC stub provisions the function, pyarrow.flight streams the data.

Nothing of Vivarium is imported here: this is what any engine's client looks like.
"""

import argparse
import json
import pathlib
import sys
import tempfile
import threading
import time
import zipfile

import grpc
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.flight as flight
from grpc_tools import protoc

BATCH_ROWS = 65_536


def main() -> None:
    arguments = parse_arguments()
    source = arguments.function.read_text()

    with step("read the flights") as done:
        flights = read_flights(arguments.data)
        airlines = pyarrow.csv.read_csv(arguments.data / "airlines.csv")
        done(f"{flights.num_rows:,} flights, {flights.nbytes / 1e6:.0f} MB of Arrow")

    with step("provision (ApplyUdfResource)") as done:
        answer = provision(arguments, source)
        done(f"endpoint {answer.endpoint}")

    columns = flights.select(["distance", "arr_delay"])
    result, first_row, total, fuel = exchange(answer, columns)
    print(f"  {'first batch answered':<32}{first_row * 1e3:9.1f} ms")
    print(f"  {'all rows streamed':<32}{total * 1e3:9.1f} ms   {len(result) / total:,.0f} rows/s, {fuel}")

    report(flights.append_column("euros", result), airlines)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--provisioning", required=True, help="host:port of the gRPC service")
    parser.add_argument("--proto", required=True, type=pathlib.Path, help="the service's .proto file")
    parser.add_argument("--data", required=True, type=pathlib.Path, help="folder with flights.csv.zip")
    parser.add_argument("--function", required=True, type=pathlib.Path, help="the Python function's file")
    return parser.parse_args()


class step:
    """Prints what a step did and how long it took."""

    def __init__(self, name: str):
        self.name, self.text = name, ""

    def __enter__(self):
        self.start = time.perf_counter()
        return self.done

    def done(self, text: str) -> None:
        self.text = text

    def __exit__(self, kind, value, traceback):
        if kind is None:
            print(f"  {self.name:<32}{(time.perf_counter() - self.start) * 1e3:9.1f} ms   {self.text}", flush=True)


def read_flights(folder: pathlib.Path) -> pa.Table:
    convert = pyarrow.csv.ConvertOptions(
        null_values=["NA", ""],
        strings_can_be_null=True,
        column_types={"arr_delay": pa.float64(), "distance": pa.int64()},
    )
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        with archive.open("flights.csv") as file:
            return pyarrow.csv.read_csv(file, convert_options=convert)


def provision(arguments: argparse.Namespace, source: str):
    udf_pb2, udf_pb2_grpc = stubs(arguments.proto)
    specification = {
        "version": 1,
        "kind": "udf",
        "language": "python",
        "handler": "compensation",
        "input_types": ["BIGINT", "DOUBLE NULL"],
        "result_type": "BIGINT",
        "imports": [],
        "packages": [],
        "runtime_version": "3.12",
        "code": source,
    }
    with grpc.insecure_channel(arguments.provisioning) as channel:
        service = udf_pb2_grpc.UdfServiceStub(channel)
        request = udf_pb2.ApplyUdfResourceRequest(spec=json.dumps(specification))
        return service.ApplyUdfResource(request, metadata=[("x-databend-tenant", "demo")], timeout=5)


def stubs(proto: pathlib.Path):
    """Python code for the service, generated from its .proto as any client would."""
    folder = tempfile.mkdtemp(prefix="vivarium-demo-")
    outcome = protoc.main(
        ["protoc", f"-I{proto.parent}", f"--python_out={folder}", f"--grpc_python_out={folder}", str(proto)]
    )
    if outcome != 0:
        sys.exit("the service's .proto does not compile")
    sys.path.insert(0, folder)
    return __import__(f"{proto.stem}_pb2"), __import__(f"{proto.stem}_pb2_grpc")


def exchange(answer, columns: pa.Table):
    """Streams the columns through DoExchange; reads results while batches are still being sent."""
    client = flight.connect(f"grpc://{answer.endpoint.removeprefix('http://')}")
    headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
    options = flight.FlightCallOptions(headers=headers)
    start = time.perf_counter()
    writer, reader = client.do_exchange(flight.FlightDescriptor.for_path("compensation"), options)

    def send() -> None:
        writer.begin(columns.schema)
        for batch in columns.to_batches(max_chunksize=BATCH_ROWS):
            writer.write_batch(batch)
        writer.done_writing()

    sender = threading.Thread(target=send)
    sender.start()
    results, first, usage = [], None, {}
    with writer:
        for chunk in reader:
            first = first or time.perf_counter() - start
            if chunk.data is not None:
                results.append(chunk.data.column(0))
            if chunk.app_metadata is not None:
                usage = json.loads(chunk.app_metadata.to_pybytes())
        sender.join()
    total = time.perf_counter() - start
    fuel = f"{usage['fuel']:,} fuel" if "fuel" in usage else "fuel not reported"
    # Received buffers start anywhere in a message; one copy puts them where pyarrow wants them.
    return pa.chunked_array(results).combine_chunks(), first, total, fuel


def report(flights: pa.Table, airlines: pa.Table) -> None:
    owed = flights.append_column("late", pc.cast(pc.greater(flights["euros"], 0), pa.int64()))
    by_carrier = (
        owed.group_by("carrier")
        .aggregate([("euros", "count"), ("late", "sum"), ("euros", "sum")])
        .join(airlines, "carrier")
        .sort_by([("euros_sum", "descending")])
    )
    print("\nWhat each airline would have owed per seat, 2013, departures from New York")
    print(f"  {'airline':<28}{'flights':>10}{'late or cancelled':>20}{'euros a flight':>18}")
    for row in by_carrier.to_pylist():
        mean = row["euros_sum"] / row["euros_count"]
        print(f"  {row['name']:<28}{row['euros_count']:>10,}{row['late_sum']:>20,}{mean:>18.2f}")
    total = pc.sum(flights["euros"]).as_py()
    print(f"  {'all':<28}{flights.num_rows:>10,}{pc.sum(owed['late']).as_py():>20,}{total / flights.num_rows:>18.2f}")


if __name__ == "__main__":
    main()
