"""What the interpreter does when it runs user-defined functions: the training set of the profile.

Each workload is a function over rows, called row by row, as the bridge does. None of them may be
used as a benchmark whose figure is published.
"""

import base64
import bisect
import collections
import contextlib
import csv
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import hashlib
import heapq
import html
import io
import itertools
import json
import math
import operator
import random
import re
import statistics
import string
import struct
import textwrap
import unicodedata
import urllib.parse
import uuid
import zlib

WORKLOADS = []


def workload(rows):
    def register(function):
        WORKLOADS.append((function, rows))
        return function

    return register


NAMES = ["Ada Lovelace", "grace HOPPER", "  Alan Turing ", "Jürgen Gödel", "李 小龙", "O'Neil-Smith", "", "x" * 40]
CITIES = ["Berlin", "New York", "São Paulo", "東京", "Tripoli"]
LOG_LINE = '10.0.{0}.{1} - - [12/Mar/2024:06:2{2}:01 +0100] "GET /shop/{0}?q={1}&page={2} HTTP/1.1" 200 {3}'


@workload(150_000)
def arithmetic(i):
    price, quantity = i % 977 + 1, i % 13
    net = price * quantity
    tax = net * 19 // 100
    return net + tax - (net >> 5) ^ (i & 0xFF)


@workload(100_000)
def float_formula(i):
    celsius = (i % 600) / 10.0 - 20.0
    wind = 1.0 + i % 40
    return 13.12 + 0.6215 * celsius - 11.37 * wind**0.16 + 0.3965 * celsius * wind**0.16


@workload(60_000)
def branches(i):
    age = i % 110
    if age < 0 or age > 105:
        return None
    if age < 13:
        return "child"
    elif age < 20:
        return "teen"
    elif 20 <= age < 65 and age % 7 != 3:
        return "adult"
    return "senior" if not age % 2 else "other"


@workload(40_000)
def clean_name(i):
    name = NAMES[i % len(NAMES)]
    parts = [part.strip(" -'").capitalize() for part in name.split() if part]
    joined = " ".join(parts)
    return joined.replace("ü", "ue").lower() if joined.startswith(("J", "A")) else joined[::-1][:12]


@workload(30_000)
def slug(i):
    text = unicodedata.normalize("NFKD", f"{NAMES[i % 8]} in {CITIES[i % 5]} #{i}")
    kept = "".join(c if c.isalnum() else "-" for c in text)
    return "-".join(filter(None, kept.lower().split("-")))


@workload(30_000)
def format_row(i):
    return f"{i:>8,d}|{i / 7:.3f}|{NAMES[i % 8]!r:<24}|{'%05d' % i}|{{}}".format(i * 2)


WORD = re.compile(r"[A-Za-z']+")
REQUEST = re.compile(r'^(\S+) \S+ \S+ \[([^\]]+)\] "(\w+) ([^ ?"]+)(?:\?([^ "]*))? [^"]*" (\d{3}) (\d+)$')
EMAIL = re.compile(r"(?i)\b[\w.+-]+@[\w-]+\.[\w.]+\b")


@workload(15_000)
def parse_log(i):
    match = REQUEST.match(LOG_LINE.format(i % 255, i % 199, i % 6, i))
    host, when, verb, path, query, status, size = match.groups()
    fields = dict(pair.split("=", 1) for pair in query.split("&"))
    return int(size) * (status == "200") + int(fields["page"]) + len(host)


@workload(8_000)
def mask(i):
    text = f"write to user.{i}@mail{i % 9}.example.org or call +49 30 {i:07d}, ref {i * 31:x}"
    text = EMAIL.sub(lambda m: m[0][0] + "***", text)
    return re.sub(r"\d{3,}", "###", text), len(WORD.findall(text))


@workload(6_000)
def json_round_trip(i):
    order = json.loads(
        '{"id": %d, "lines": [{"sku": "A-%d", "qty": %d, "price": 9.99}, {"sku": "B", "qty": 1, "price": 12.5}],'
        ' "gift": %s, "note": "caf\\u00e9 \\"x\\"", "tags": ["a", null, true]}'
        % (i, i, i % 5, "true" if i % 2 else "false")
    )
    order["total"] = sum(line["qty"] * line["price"] for line in order["lines"])
    return json.dumps(order, sort_keys=True, ensure_ascii=bool(i % 2))


@workload(12_000)
def calendar(i):
    when = datetime.datetime(2020, 2, 28, 23, 59) + datetime.timedelta(hours=i, seconds=i * 7)
    day = datetime.date.fromisoformat(when.date().isoformat())
    quarter = (day.month - 1) // 3 + 1
    return when.strftime("%Y-%m-%dT%H:%M"), quarter, day.weekday() >= 5, (day - datetime.date(2019, 1, 1)).days


@workload(8_000)
def zone(i):
    local = datetime.datetime.fromtimestamp(1_600_000_000 + i * 977, tz=datetime.timezone.utc)
    shifted = local.astimezone(datetime.timezone(datetime.timedelta(hours=5, minutes=30)))
    return shifted.isoformat(timespec="milliseconds"), shifted.hour, local < shifted


@workload(15_000)
def money(i):
    net = decimal.Decimal(i) / 7 + decimal.Decimal("19.99")
    gross = (net * decimal.Decimal("1.19")).quantize(decimal.Decimal("0.01"), rounding=decimal.ROUND_HALF_EVEN)
    return gross, int(gross), str(-gross), gross.as_tuple().exponent


@workload(2_500)
def interest(i):
    balance = 1000.0 + i
    for month in range(48):
        balance += balance * (0.01 + (month % 3) * 0.001)
        if balance > 2000:
            balance -= 25
    return round(balance, 2)


@workload(1_200)
def edit_distance(i):
    a, b = f"saturday{i}", f"sunday{i * 3}"
    row = list(range(len(b) + 1))
    for y, left in enumerate(a, 1):
        previous, row[0] = row[0], y
        for x, right in enumerate(b, 1):
            previous, row[x] = row[x], min(row[x] + 1, row[x - 1] + 1, previous + (left != right))
    return row[-1]


@workload(3_000)
def histogram(i):
    counts = collections.Counter((i * k) % 17 for k in range(40))
    total = sum(counts.values())
    return {k: v / total for k, v in counts.most_common(3)}, max(counts, key=counts.get)


@workload(4_000)
def grouping(i):
    rows = [(k % 5, k * i % 23, NAMES[k % 8]) for k in range(20)]
    groups = collections.defaultdict(list)
    for key, value, name in rows:
        groups[key].append((value, name))
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    return [(key, min(v for v, _ in values)) for key, values in ordered]


@workload(4_000)
def set_logic(i):
    left = {k * 3 % 29 for k in range(i % 20)}
    right = frozenset(range(0, 29, 2))
    return len(left & right), left <= right, sorted(left ^ right)[:3], (left | right) - {1, 2}


@dataclasses.dataclass(order=True)
class Point:
    x: float
    y: float = 0.0

    def distance(self, other):
        return math.hypot(self.x - other.x, self.y - other.y)

    @property
    def quadrant(self):
        return (self.x >= 0) * 2 + (self.y >= 0)


class Colour(enum.Enum):
    RED = 1
    GREEN = 2
    BLUE = 3


@workload(12_000)
def objects(i):
    here, there = Point(i % 7 - 3.0, 2.0), Point(1.5, i % 5)
    colour = Colour(i % 3 + 1)
    return here.distance(there), here.quadrant, here < there, colour.name, colour is Colour.RED


class Account:
    rate = 2

    def __init__(self, owner, balance=0):
        self.owner = owner
        self.balance = balance
        self.history = []

    def deposit(self, amount, /, *, note="none"):
        if amount <= 0:
            raise ValueError(f"bad amount {amount}")
        self.balance += amount * self.rate
        self.history.append((amount, note))
        return self

    def __len__(self):
        return len(self.history)


class Savings(Account):
    rate = 3

    def deposit(self, amount, **keywords):
        return super().deposit(amount, **keywords)


@workload(12_000)
def methods(i):
    account = (Savings if i % 3 else Account)(owner=NAMES[i % 8])
    try:
        account.deposit(i % 4, note="row").deposit(5).deposit(-1 if i % 11 == 0 else 2)
    except ValueError as error:
        return len(account), str(error)
    finally:
        account.history.reverse()
    return account.balance, len(account)


def walk(tree, depth=0):
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield depth, key
            yield from walk(value, depth + 1)
    elif isinstance(tree, (list, tuple)):
        for value in tree:
            yield from walk(value, depth + 1)
    else:
        yield depth, tree


@workload(2_500)
def generators(i):
    tree = {"a": [1, 2, {"b": (3, i)}], "c": {"d": None, "e": [i, [i, [i]]]}}
    found = list(walk(tree))
    pairs = zip(itertools.accumulate(range(8)), itertools.chain("ab", "cd"), strict=False)
    return len(found), [n for n, c in pairs if c != "b"], next((x for x in found if x[0] > 3), None)


@functools.lru_cache(maxsize=64)
def collatz(n):
    steps = 0
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    return steps


@workload(6_000)
def closures(i):
    factor = i % 5

    def scale(value, *rest, offset=1, **options):
        nonlocal factor
        factor += 1
        return value * factor + offset + len(rest) + len(options)

    compose = functools.reduce(lambda f, g: lambda x: f(g(x)), [scale, abs, operator.neg])
    return compose(i), scale(1, 2, 3, offset=4, deep=5), collatz(i % 90 + 1), sorted([3, 1, i], key=lambda v: -v)


@workload(6_000)
def digests(i):
    raw = f"row-{i}".encode() * (i % 6 + 1)
    return hashlib.sha256(raw).hexdigest()[:8], hashlib.md5(raw).digest()[0], zlib.crc32(raw), base64.b64encode(raw)


@workload(8_000)
def packing(i):
    raw = struct.pack("<IhdB?", i, -(i % 99), i / 3, i % 256, i % 2)
    number, small, real, byte, flag = struct.unpack("<IhdB?", raw)
    view = memoryview(raw)[4:12]
    return number + small, bytes(view).hex(), int.from_bytes(raw[:4], "big"), bytearray(raw).count(0), flag


@workload(1_500)
def big_numbers(i):
    n = (1 << 200) + i * 10**30
    return n % 1_000_003, pow(n, i + 3, 1_000_007), str(n)[:5], math.gcd(n, 360_360), fractions.Fraction(i + 1, 84)


@workload(2_000)
def csv_text(i):
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerows([i, k, f'a "{k}"', k * 1.5] for k in range(5))
    rows = list(csv.reader(io.StringIO(buffer.getvalue())))
    return sum(float(row[3]) for row in rows), len(buffer.getvalue())


@workload(3_000)
def web(i):
    url = urllib.parse.urlsplit(f"https://shop.example/p/{i}?q=a%20b&x={i % 9}#frag")
    query = urllib.parse.parse_qs(url.query)
    return html.escape(f"<{url.path}>"), query["x"][0], urllib.parse.quote(NAMES[3]), uuid.UUID(int=i).hex[-4:]


@workload(2_500)
def queues(i):
    heap = [(k * i) % 31 for k in range(15)]
    heapq.heapify(heap)
    heapq.heappush(heap, i % 31)
    smallest = [heapq.heappop(heap) for _ in range(4)]
    window = collections.deque(maxlen=4)
    for value in heap:
        window.append(value)
    return smallest, sum(window), bisect.bisect(sorted(heap), 12), statistics.fmean(heap)


@workload(3_000)
def text_report(i):
    with contextlib.suppress(KeyError):
        _ = {"a": 1}[i]
    template = string.Template("$who owes $amount")
    line = template.substitute(who=NAMES[i % 8], amount=i)
    return textwrap.shorten(line * 3, 40), line.title(), line.center(60, "*"), line.partition("owes")[2], line.encode()


@workload(30_000)
def matching(i):
    match (i % 4, {"kind": "a" if i % 2 else "b", "n": i}):
        case (0, {"kind": "a"}):
            return 1
        case (1 | 2 as n, {"kind": kind, "n": int(v)}) if v > 10:
            return n + v + len(kind)
        case (3, _):
            return [*range(i % 6)]
        case _:
            return None


@workload(4_000)
def matrix(i):
    left = [[(r * c + i) % 7 for c in range(4)] for r in range(4)]
    right = list(map(list, zip(*left)))
    return [[sum(a * b for a, b in zip(row, column)) for column in right] for row in left][i % 4]


@workload(3_000)
def simulate(i):
    source = random.Random(i)
    walk_length = 0
    for _ in range(20):
        walk_length += 1 if source.random() < 0.5 else -1
    return walk_length, source.randint(1, 6), source.choice(CITIES), source.gauss(0, 1)


def main():
    for function, rows in WORKLOADS:
        results = []
        for i in range(rows):
            results.append(function(i))
        del results


if __name__ == "__main__":
    main()
