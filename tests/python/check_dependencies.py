"""Functions with packages, imported files and an environment, from empty caches and again.

Usage: check_dependencies.py PHASE FOLDER PORT, where PHASE is `first`, then, on a restarted server, `again`; the
bucket is on PORT.
"""

import http.server
import io
import json
import os
import pathlib
import sys
import tarfile
import threading
import time
import zipfile

import grpc
import pyarrow as pa
import service

PHASE, FOLDER, PORT = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])


def archive(files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as target:
        for name, text in files.items():
            target.writestr(name, text)
    return content.getvalue()


def tarball(files):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as target:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            target.addfile(info, io.BytesIO(text.encode()))
    return content.getvalue()


class Bucket(http.server.ThreadingHTTPServer):
    """What an object store does with presigned URLs."""

    def __init__(self, files):
        self.files, self.requests = dict(files), []
        super().__init__(("127.0.0.1", PORT), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, name):
        return f"http://127.0.0.1:{self.server_port}/bucket/{name}?X-Amz-Signature={time.time_ns()}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.partition("?")[0].rpartition("/")[2]
        content = self.server.files.get(name)
        etag = f'"{hash(content) & 0xFFFFFFFF:x}"'
        self.server.requests.append(name)
        if content is None:
            self.send_error(404)
        elif self.headers.get("if-none-match") == etag:
            self.send_response(304)
            self.send_header("etag", etag)
            self.end_headers()
        else:
            self.send_response(200)
            self.send_header("etag", etag)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *_):
        pass


class Function(service.Function):
    """A function with files in a bucket; each provisioning has fresh URLs."""

    def __init__(self, code, handler, input_types, result_type, bucket=None, files=(), tags=False, tenant="tests", **changes):
        imports = [f"@stage/{name}" for name in files]
        spec = service.specification(code, handler, input_types, result_type, imports=imports, **changes)
        sent = [
            service.udf_pb2.UdfImport(location=f"@stage/{name}", url=bucket.url(name), tag=str(len(bucket.files[name])) if tags else "")
            for name in files
        ]
        with grpc.insecure_channel(service.PROVISIONING) as channel:
            request = service.udf_pb2.ApplyUdfResourceRequest(spec=json.dumps(spec), imports=sent)
            stub = service.udf_pb2_grpc.UdfServiceStub(channel)
            self.answer = stub.ApplyUdfResource(request, metadata=[("x-databend-tenant", tenant)], timeout=10)
        self.handler = handler
        self.headers = {name.lower(): value for name, value in self.answer.headers.items()}


def fails(expected, make, *arguments):
    try:
        make()(*arguments)
    except (grpc.RpcError, pa.ArrowException) as error:
        text = error.details() if isinstance(error, grpc.RpcError) else str(error)
        assert expected in text, text
    else:
        raise AssertionError(f"no error with {expected!r}")


NUMBERS = ([1234567, None, 5], pa.int64())


def packages_and_imports(bucket):
    """The case of the issue: two packages, two imports."""
    code = """
import humanize, numpy as np
import helper, tables.names

def describe(x):
    if x is None:
        return None
    return f"{humanize.intcomma(helper.twice(x))} {tables.names.UNIT} {np.int64(2) ** 40}"
"""
    # The client's own libraries take longer the first time, whatever the server does.
    for client in ["the client's first call", "the client's second call"]:
        began = time.perf_counter()
        function = Function(
            code, "describe", ["BIGINT NULL"], "VARCHAR NULL", bucket, ["helper.py", "tables.zip"], tags=True, packages=["humanize==4.9.0", "numpy"]
        )
        answer = function(NUMBERS)
        elapsed = time.perf_counter() - began
        assert answer == ["2,469,134 rows 1099511627776", None, "10 rows 1099511627776"], answer
        print(f"packages and imports, {PHASE}, {client}: {elapsed * 1000:.0f} ms from the request to the answer")


def inline_metadata(bucket):
    code = """
# /// script
# requires-python = ">=3.11"
# dependencies = ["humanize==4.9.0"]
# ///
import importlib.metadata, humanize

def name(x):
    return humanize.ordinal(x) + importlib.metadata.version("humanize")
"""
    function = Function(code, "name", ["BIGINT NOT NULL"], "VARCHAR")
    assert function(([1, 22], pa.int64())) == ["1st4.9.0", "22nd4.9.0"]


def every_kind_of_file(bucket):
    code = """
import os, sys, tarfile
import later, in_wheel, in_egg

FOLDER = sys._xoptions["databend_import_directory"]
with open(os.path.join(FOLDER, "words.txt")) as words:
    WORDS = words.read().split()

def word(i):
    with tarfile.open(os.path.join(FOLDER, "more.tar.gz")) as more:
        extra = more.extractfile("deep/extra.txt").read().decode()
    import lazily
    return " ".join([WORDS[i], extra, in_wheel.NAME, in_egg.NAME, later.NAME, lazily.NAME])
"""
    files = ["words.txt", "more.tar.gz", "one-1.0-py3-none-any.whl", "two.egg", "later.py", "lazily.py"]
    function = Function(code, "word", ["INT"], "VARCHAR", bucket, files, tags=True)
    assert function(([1, 0], pa.int32())) == ["b extra wheel egg later lazily", "a extra wheel egg later lazily"]


def code_in_a_file(bucket):
    function = Function("@stage/whole.py", "answer", ["INT"], "INT", bucket, ["whole.py"])
    assert function(([1], pa.int32())) == [42]


def changed_content(bucket):
    """Without a tag, content is asked for again when it is old (here: at once)."""
    bucket.files["changing.py"] = b"VALUE = 1"
    make = lambda: Function("import changing\ndef f(x): return changing.VALUE", "f", ["INT"], "INT", bucket, ["changing.py"])
    assert make()(([0], pa.int32())) == [1]
    bucket.files["changing.py"] = b"VALUE = 2"
    time.sleep(1.1)
    assert make()(([0], pa.int32())) == [2]


def environment(_):
    """From the operator's file, replaced while the server runs."""
    code = "import os\nSEEN = os.environ.get('API_KEY')\ndef secret(x): return SEEN + os.environ['MODE'] + str(len(os.environ))"
    file = FOLDER / "environment.toml"
    assert Function(code, "secret", ["INT"], "VARCHAR")(([1], pa.int32())) == ["hidden-1fast2"]
    old = Function(code, "secret", ["INT"], "VARCHAR")
    file.with_suffix(".new").write_text(file.read_text().replace("hidden-1", "hidden-22"))
    os.replace(file.with_suffix(".new"), file)
    time.sleep(1.2)
    assert Function(code, "secret", ["INT"], "VARCHAR")(([1], pa.int32())) == ["hidden-22fast2"]
    assert old(([1], pa.int32())) == ["hidden-1fast2"], "an older version keeps its environment"
    other = Function(code.replace("SEEN + ", "str(SEEN) + ").replace("os.environ['MODE'] + ", ""), "secret", ["INT"], "VARCHAR", tenant="other")
    assert other(([1], pa.int32())) == ["None0"], "environments are of one tenant"
    for path in FOLDER.rglob("*"):
        if path.is_file() and path != file:
            assert b"hidden-" not in path.read_bytes(), f"{path} holds a secret"


def refusals(bucket):
    make = lambda files=(), **changes: lambda: Function("def f(x): return x", "f", ["INT"], "INT", bucket, files, **changes)
    one = ([1], pa.int32())
    fails("404", make(["missing.py"]), one)
    fails("evil.zip", make(["evil.zip"]), one)
    fails("`pkg @ https://example.org/pkg.whl`", make(packages=["pkg @ https://example.org/pkg.whl"]), one)
    fails("==", make(packages=["not a requirement =="]), one)
    fails("native code", make(packages=["lxml==6.0.0"]), one)
    fails("2.4.6", make(packages=["numpy==1.26.4"]), one)
    fails("no-such-package-of-vivarium", make(packages=["no-such-package-of-vivarium==1.0"]), one)


BUCKET = Bucket(
    {
        "helper.py": b"def twice(x): return 2 * x",
        "tables.zip": archive({"tables/__init__.py": "", "tables/names.py": "UNIT = 'rows'"}),
        "words.txt": b"a b c",
        "more.tar.gz": tarball({"deep/extra.txt": "extra"}),
        "one-1.0-py3-none-any.whl": archive({"in_wheel.py": "NAME = 'wheel'"}),
        "two.egg": archive({"in_egg/__init__.py": "NAME = 'egg'"}),
        "later.py": b"NAME = 'later'",
        "lazily.py": b"NAME = 'lazily'",
        "whole.py": b"def answer(x): return 42",
        "evil.zip": archive({"../../escape.py": "x = 1"}),
    }
)
CASES = [packages_and_imports, inline_metadata, every_kind_of_file, code_in_a_file, changed_content, refusals, environment]
if PHASE == "again":
    CASES = [packages_and_imports, inline_metadata, code_in_a_file]
for case in CASES:
    case(BUCKET)
    print(f"ok: {case.__name__}")
