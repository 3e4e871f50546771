"""Pure-Python programs, run by the interpreter in the guest and by a native one: see `programs.rs`.

Some are the classics of interpreter benchmarks, others are what functions over rows do. None of them is part
of the training set (`guest-python/profile`). Each takes a number of rounds and returns a text that does not
depend on the machine, so that the two interpreters can be compared before they are timed.

Run by itself it reads lines `name rounds` and answers each with `seconds text`.
"""

import collections
import datetime
import decimal
import itertools
import json
import math
import re
import sys
import time

PROGRAMS = {}


def program(rounds):
    """Registers a program with the rounds that take some 100 ms."""

    def register(function):
        PROGRAMS[function.__name__] = (function, rounds)
        return function

    return register


@program(90_000)
def nbody(rounds):
    bodies = [
        ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], 39.47841760435743),
        ([4.84143144246472, -1.16032004402742, -0.10362204447112], [0.60632639299, 2.81198684491, -0.02521836165], 0.03769367487),
        ([8.34336671824457, 4.12479856412430, -0.40352341711432], [-1.01077434617, 1.82566237123, 0.00841576137], 0.01128632613),
        ([12.8943695621391, -15.1111514016986, -0.22330757889265], [1.08279100644, 0.86871301816, -0.01083263740], 0.00172372405),
        ([15.3796971148509, -25.9193146099879, 0.17925877295037], [0.97909073224, 0.59469899864, -0.03475595555], 0.00203368686),
    ]
    pairs = list(itertools.combinations(bodies, 2))
    for _ in range(rounds // 10):
        for (p1, v1, m1), (p2, v2, m2) in pairs:
            dx, dy, dz = p1[0] - p2[0], p1[1] - p2[1], p1[2] - p2[2]
            magnitude = 0.01 * (dx * dx + dy * dy + dz * dz) ** -1.5
            b1, b2 = m1 * magnitude, m2 * magnitude
            v1[0] -= dx * b2
            v1[1] -= dy * b2
            v1[2] -= dz * b2
            v2[0] += dx * b1
            v2[1] += dy * b1
            v2[2] += dz * b1
        for position, velocity, _mass in bodies:
            for axis in range(3):
                position[axis] += 0.01 * velocity[axis]
    return f"{sum(abs(position[0]) for position, _, _ in bodies):.6f}"


@program(8)
def fannkuch(rounds):
    most = 0
    for permutation in itertools.permutations(range(rounds)):
        if permutation[0] == 0:
            continue
        turned = list(permutation)
        flips = 0
        while (first := turned[0]) != 0:
            turned[: first + 1] = turned[first::-1]
            flips += 1
        most = max(most, flips)
    return str(most)


@program(100)
def spectral_norm(rounds):
    def entry(i, j):
        return 1.0 / ((i + j) * (i + j + 1) // 2 + i + 1)

    def times(vector, transposed):
        size = range(len(vector))
        if transposed:
            return [sum(entry(j, i) * vector[j] for j in size) for i in size]
        return [sum(entry(i, j) * vector[j] for j in size) for i in size]

    u = [1.0] * rounds
    for _ in range(6):
        v = times(times(u, False), True)
        u = times(times(v, False), True)
    return f"{math.sqrt(sum(a * b for a, b in zip(u, v)) / sum(b * b for b in v)):.9f}"


@program(9)
def queens(rounds):
    def place(row, columns, left, right):
        if row == rounds:
            return 1
        found = 0
        for column in range(rounds):
            if column not in columns and row - column not in left and row + column not in right:
                found += place(row + 1, columns | {column}, left | {row - column}, right | {row + column})
        return found

    return str(place(0, frozenset(), frozenset(), frozenset()))


@program(1_500)
def pi_digits(rounds):
    q, r, t, k, n, m = 1, 0, 1, 1, 3, 3
    digits = []
    while len(digits) < rounds:
        if 4 * q + r - t < n * t:
            digits.append(n)
            q, r, n = 10 * q, 10 * (r - n * t), 10 * (3 * q + r) // t - 10 * n
        else:
            q, r, t, k, n, m = q * k, (2 * q + r) * m, t * m, k + 1, (q * (7 * k + 2) + r * m) // (t * m), m + 2
    return "".join(map(str, digits[-20:]))


class Packet:
    def __init__(self, link, kind):
        self.link, self.kind, self.data = link, kind, [0] * 4

    def append_to(self, queue):
        self.link = None
        if queue is None:
            return self
        last = queue
        while last.link is not None:
            last = last.link
        last.link = self
        return queue


class Worker:
    def __init__(self, name, limit):
        self.name, self.limit, self.queue, self.done = name, limit, None, 0

    def step(self, others):
        packet = self.queue
        if packet is None:
            return False
        self.queue = packet.link
        self.done += 1
        packet.data[self.done % 4] = (packet.data[self.done % 4] * 31 + self.done) & 0xFFFF
        if self.done < self.limit:
            target = others[packet.data[self.done % 4] % len(others)]
            target.queue = packet.append_to(target.queue)
        return True


@program(120_000)
def scheduler(rounds):
    """Objects that pass messages, as in Richards' benchmark."""
    workers = [Worker(name, rounds // 4) for name in "abcd"]
    for worker in workers:
        for kind in range(3):
            worker.queue = Packet(None, kind).append_to(worker.queue)
    while any([worker.step(workers) for worker in workers]):
        pass
    return ",".join(str(worker.done) for worker in workers)


class Node:
    __slots__ = ("key", "left", "right")

    def __init__(self, key):
        self.key, self.left, self.right = key, None, None

    def __iter__(self):
        if self.left is not None:
            yield from self.left
        yield self.key
        if self.right is not None:
            yield from self.right


@program(40_000)
def tree(rounds):
    """A search tree that is filled, and walked by generators."""
    root = Node(rounds)
    key = 12345
    for _ in range(rounds):
        key = (key * 1103515245 + 12345) & 0x7FFFFFFF
        at = root
        while True:
            side = "left" if key < at.key else "right"
            below = getattr(at, side)
            if below is None:
                setattr(at, side, Node(key))
                break
            at = below
    return str(sum(index * key for index, key in enumerate(root)) & 0xFFFFFFFF)


@program(9_000)
def edit_distance(rounds):
    words = ["kitten", "sitting", "saturday", "sunday", "database", "databricks", "engine", "enginner"]
    total = 0
    for number in range(rounds):
        one, other = words[number % 8], words[number * 3 % 7]
        above = list(range(len(other) + 1))
        for i, a in enumerate(one, 1):
            row = [i]
            for j, b in enumerate(other, 1):
                row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a != b)))
            above = row
        total += above[-1]
    return str(total)


@program(10_000)
def json_rows(rounds):
    total = 0
    for number in range(rounds):
        row = {"id": number, "tags": ["a", "ü", str(number)], "price": number / 8, "nested": {"deep": [None, True, -1]}}
        text = json.dumps(row, ensure_ascii=False, sort_keys=True)
        back = json.loads(text)
        total += len(text) + back["id"] + len(back["nested"]["deep"])
    return str(total)


ADDRESS = re.compile(r"(?P<user>[\w.+-]+)@(?P<host>(?:[\w-]+\.)+[a-z]{2,})", re.ASCII)


@program(9_000)
def addresses(rounds):
    """Regular expressions over free text."""
    found = collections.Counter()
    for number in range(rounds):
        text = f"write to user.{number}@mail{number % 7}.example.com, or to nobody@localhost; cc: a+b@x-y.org (#{number})"
        for match in ADDRESS.finditer(text):
            found[match["host"]] += len(match["user"])
        text = re.sub(r"\d+", lambda match: str(int(match[0]) + 1), text)
        found["length"] += len(text)
    return repr(sorted(found.items()))


@program(12_000)
def word_count(rounds):
    text = "The quick brown Fox jumps over the lazy dog's back; THE END? No: the fox runs, and runs, and RUNS."
    counts = collections.defaultdict(int)
    for number in range(rounds):
        for word in text.lower().replace(";", " ").split():
            word = word.strip(".,?:!'")
            if word.isalpha() and len(word) > 2:
                counts[word, number % 3] += 1
    return ",".join(f"{word}{number}={count}" for (word, number), count in sorted(counts.items())[:9])


@program(14_000)
def dates(rounds):
    """Parsing, moving and formatting points in time."""
    total = 0
    for number in range(rounds):
        start = datetime.datetime.fromisoformat(f"2024-{number % 12 + 1:02}-{number % 28 + 1:02}T{number % 24:02}:15:30+00:00")
        moved = start + datetime.timedelta(days=number % 90, minutes=number)
        first = moved.replace(day=1, hour=0, minute=0, second=0)
        total += (moved - first).days * moved.isoweekday() + len(moved.strftime("%A %d.%m.%Y %H:%M"))
    return str(total)


@program(45_000)
def invoices(rounds):
    """Sums of money, exact to the cent."""
    cent, rate = decimal.Decimal("0.01"), decimal.Decimal("0.19")
    totals = collections.defaultdict(decimal.Decimal)
    for number in range(rounds):
        net = decimal.Decimal(number * 7919 % 100_003) / 100
        tax = (net * rate).quantize(cent, rounding=decimal.ROUND_HALF_UP)
        totals[number % 10] += net + tax
    return ",".join(str(totals[key]) for key in sorted(totals))


@program(80_000)
def group_rows(rounds):
    """Records that are grouped, sorted and formatted."""
    Row = collections.namedtuple("Row", "region amount day")
    rows = [Row("north south east west".split()[n * 7 % 4], n * 31 % 1009, n % 365) for n in range(rounds)]
    groups = {}
    for row in rows:
        groups.setdefault((row.region, row.day // 30), []).append(row.amount)
    lines = []
    for (region, month), amounts in sorted(groups.items(), key=lambda item: (-sum(item[1]), item[0])):
        amounts.sort()
        lines.append(f"{region:>6}|{month:02d}|{len(amounts):5d}|{amounts[len(amounts) // 2]:8.2f}")
    return lines[0] + str(len(lines))


@program(240)
def life(rounds):
    """Conway's game on a set of cells."""
    cells = {(x, y) for x in range(24) for y in range(24) if (x * 7 + y * 13) % 5 < 2}
    for _ in range(rounds):
        near = collections.Counter()
        for x, y in cells:
            for dx, dy in ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)):
                near[x + dx, y + dy] += 1
        cells = {cell for cell, count in near.items() if count == 3 or (count == 2 and cell in cells)}
    return str(len(cells))


def run(name, rounds):
    """The function that the guest is asked for."""
    return PROGRAMS[name][0](rounds)


def serve():
    """The native interpreter's side."""
    for line in sys.stdin:
        name, rounds = line.split()
        if name == "list":
            print(" ".join(f"{name}:{rounds}" for name, (_, rounds) in PROGRAMS.items()), flush=True)
            continue
        start = time.perf_counter()
        text = run(name, int(rounds))
        print(f"{time.perf_counter() - start} {text}", flush=True)


if __name__ == "__main__":
    serve()
