"""Vivarium beside the native servers: one client, the same rows, in turns; medians and ratios.

Run by `cargo xtask bench peers`, which sets the environment. `--rounds N` for more than 5 rounds, `--output
FOLDER` for where `peers.json`, `peers.md` and `peers.svg` go.
"""

import argparse
import json
import os
import pathlib
import statistics
import sys
import time

import pyarrow.flight as flight

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "report"))

import plot  # noqa: E402
from machine import machine  # noqa: E402

from functions import BATCHES, cases  # noqa: E402
from servers import Native, Vivarium, exchange, options, resident_bytes, stop  # noqa: E402

ONE_ROW_CALLS = 300


def peers():
    with_numpy = os.environ["VIVARIUM_PEER_PACKAGES"]
    old = [os.environ["VIVARIUM_OLD_PEER_PACKAGES"], with_numpy]
    arrow_udf = [os.environ["VIVARIUM_ARROW_UDF_PACKAGES"], with_numpy]
    databend_udf = "native_server.py"
    return [
        Vivarium(),
        Native("databend-udf 0.2.17, io_threads=1", old, databend_udf, "1"),
        Native("databend-udf 0.2.20, io_threads=1", [with_numpy], databend_udf, "1", batches=1),
        Native("databend-udf 0.2.20, defaults", [with_numpy], databend_udf, "0", batches=1),
        Native("arrow-udf 0.3.2", arrow_udf, "arrow_udf_server.py"),
    ]


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def rows_per_second(servers, rounds):
    """{case: {server: [rows a second, ...]}}, the servers in turns."""
    found = {}
    for case in cases():
        found[case.name] = {server.name: [] for server in servers}
        clients = {server.name: flight.connect(f"grpc://{server.address}") for server in servers}
        calls = {server.name: options(server, case) for server in servers}
        for server in servers:
            exchange(clients[server.name], calls[server.name], case, 1, check=True)
        for turn in range(rounds):
            for server in servers:
                # What takes seconds for one batch is asked for twice.
                if server.batches is not None and turn >= 2:
                    continue
                batches = server.batches or BATCHES
                took = exchange(clients[server.name], calls[server.name], case, batches)
                found[case.name][server.name].append(case.batch.num_rows * batches / took)
        for server in servers:
            median = statistics.median(found[case.name][server.name])
            print(f"{case.name:24}{server.name:40}{median / 1e6:10.3f} M rows/s", flush=True)
    return found


def one_row(servers):
    """{"open connection" | "new connection": {server: [seconds, ...]}}, in blocks of ten by turns."""
    case = cases(1)[0]
    found = {kind: {server.name: [] for server in servers} for kind in ("open connection", "new connection")}
    clients = {server.name: flight.connect(f"grpc://{server.address}") for server in servers}
    calls = {server.name: options(server, case) for server in servers}
    for server in servers:
        for _ in range(20):
            exchange(clients[server.name], calls[server.name], case, 1)
    for _ in range(ONE_ROW_CALLS // 10):
        for server in servers:
            for _ in range(10):
                took = exchange(clients[server.name], calls[server.name], case, 1)
                found["open connection"][server.name].append(took)
            for _ in range(10):
                began = time.perf_counter()
                with flight.connect(f"grpc://{server.address}") as client:
                    exchange(client, calls[server.name], case, 1)
                    found["new connection"][server.name].append(time.perf_counter() - began)
    for kind, times in found.items():
        for name, values in times.items():
            half, most = percentile(values, 0.5) * 1000, percentile(values, 0.99) * 1000
            print(f"one row, {kind:18}{name:40}{half:8.3f} ms p50 {most:8.3f} ms p99", flush=True)
    return found


def starts(kinds, rounds):
    """{server: {"first answer": [seconds, ...], "resident": [bytes, ...]}} from the start of the process."""
    case = cases(1)[0]
    found = {}
    for _ in range(rounds):
        for server in kinds:
            began = time.perf_counter()
            server.start()
            try:
                call = options(server, case)
                with flight.connect(f"grpc://{server.address}") as client:
                    exchange(client, call, case, 1)
                took = time.perf_counter() - began
                figures = found.setdefault(server.name, {"first answer": [], "resident": []})
                figures["first answer"].append(took)
                figures["resident"].append(resident_bytes(server))
            finally:
                stop(server)
    for name, figures in found.items():
        first, resident = (statistics.median(figures[key]) for key in ("first answer", "resident"))
        print(f"start to first answer   {name:40}{first * 1000:8.1f} ms, {resident / 2**20:6.1f} MiB", flush=True)
    return found


def table(names, rows, unit):
    """Markdown: a row of medians for each case, and how many times Vivarium's figure is the other's."""
    lines = [f"| {unit} | " + " | ".join(names) + " |", "|" + "---|" * (len(names) + 1)]
    for title, figures in rows:
        cells = [f"{figures[names[0]]:.3g}"]
        for name in names[1:]:
            cells.append(f"{figures[name]:.3g} ({figures[names[0]] / figures[name]:.3g})")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def report(folder, about, rates, calls, started):
    names = list(started)
    medians = [
        (case, {name: statistics.median(values) / 1e6 for name, values in figures.items()})
        for case, figures in rates.items()
    ]
    latencies = [
        (f"one row, {kind}, {label}", {name: percentile(values, share) * 1000 for name, values in figures.items()})
        for kind, figures in calls.items()
        for label, share in (("p50", 0.5), ("p99", 0.99))
    ]
    latencies.append(
        ("start to first answer", {n: statistics.median(f["first answer"]) * 1000 for n, f in started.items()})
    )
    memory = [("resident after it", {n: statistics.median(f["resident"]) / 2**20 for n, f in started.items()})]
    text = "# Vivarium beside the native servers\n\n"
    text += "Made by `cargo xtask bench peers`. One client (pyarrow.flight), the same rows, in turns, client and\n"
    text += "server on the same machine. Medians; in parentheses Vivarium's figure divided by the peer's.\n"
    text += "Each server's first answer to a function is compared with the function's own.\n"
    text += "arrow-udf runs with pyarrow 25.0.1, the newest that it allows, all others with the one below.\n\n"
    text += "".join(f"* {key}: {value}\n" for key, value in about.items())
    text += "\n" + table(names, medians, "million rows a second")
    text += "\n" + table(names, latencies, "milliseconds")
    text += "\n" + table(names, memory, "MiB")
    (folder / "peers.md").write_text(text)
    raw = {"machine": about, "rows a second": rates, "one row, s": calls, "start": started}
    (folder / "peers.json").write_text(json.dumps(raw, indent=1) + "\n")
    chart = plot.bars("Million rows a second through Flight (log scale)", names, medians)
    (folder / "peers.svg").write_text(plot.page([chart]))
    print(f"\n{text}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(__file__).parent.parent / "results")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    about = machine()
    # Compiles what is compiled once for a machine.
    warm = Vivarium()
    warm.start()
    stop(warm)
    started = starts(peers(), arguments.rounds)
    servers = peers()
    try:
        for server in servers:
            server.start()
        calls = one_row(servers)
        rates = rows_per_second(servers, arguments.rounds)
    finally:
        for server in servers:
            if hasattr(server, "process"):
                stop(server)
    report(arguments.output, about, rates, calls, started)


if __name__ == "__main__":
    sys.exit(main())
