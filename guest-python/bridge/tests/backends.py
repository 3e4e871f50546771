"""Two ways to run the bridge: as a native library in this process, and inside the wasm guest."""

import ctypes
import json
import os
import struct
import sys

from arrow_nodes import NULLABLE, read_array


class BridgeError(Exception):
    """What `vivarium_last_error` told."""

    def __init__(self, parts):
        super().__init__(parts.get("message"))
        self.parts = parts

    def __getattr__(self, name):
        return self.__dict__["parts"].get({"class_": "class"}.get(name, name))


class _Layout:
    """Writes schemas and arrays as C structs and reads arrays back. Subclasses supply memory."""

    pointer = "I"  # struct code of a pointer

    def __init__(self):
        size = struct.calcsize(self.pointer)
        self.pointer_size = size
        # Field offsets follow from C's alignment rules: int64 is aligned to 8 everywhere.
        self.schema_format = f"<3{self.pointer}{'4x' if size == 4 else ''}2q4{self.pointer}"
        self.array_format = f"<5q5{self.pointer}{'4x' if size == 4 else ''}"

    def place(self, data):
        """Copies bytes into memory that lives until `free_placed`; returns the address."""
        address = self.allocate(max(len(data), 1))
        self.write(address, bytes(data))
        self.placed.append(address)
        return address

    def pointers(self, addresses):
        return self.place(struct.pack(f"<{len(addresses)}{self.pointer}", *addresses)) if addresses else 0

    def place_schema(self, node):
        children = self.pointers([self.place_schema(child) for child in node.children])
        flags = NULLABLE if node.nullable else 0
        form, name = (self.place(text.encode() + b"\0") for text in (node.format, node.name))
        fields = (form, name, 0, flags, len(node.children), children, 0, 0, 0)
        return self.place(struct.pack(self.schema_format, *fields))

    def place_array(self, node):
        children = self.pointers([self.place_array(child) for child in node.children])
        buffers = self.pointers([0 if b is None else self.place(b) for b in node.buffers])
        counts = (node.length, node.null_count, 0, len(node.buffers), len(node.children))
        return self.place(struct.pack(self.array_format, *counts, buffers, children, 0, 0, 0))

    def array_at(self, address):
        return _RawArray(self, address)

    def last_error(self):
        out = self.place(b"\0" * 16)
        self.call("vivarium_last_error", out)
        address, length = struct.unpack(f"<2{self.pointer}", self.read(out, 2 * self.pointer_size))
        return BridgeError(json.loads(self.read(address, length).decode("utf-8")))

    def free_placed(self):
        for address in self.placed:
            self.call("vivarium_free", address)
        self.placed.clear()

    def load(self, code, inputs, output, **options):
        spec = {
            "name": "f",
            "handler": "f",
            "filename": "udf.py",
            "environment": {},
            "skip_null": False,
            "code": code,
        } | options
        raw = json.dumps(spec).encode()
        try:
            handle = self.call(
                "vivarium_load", self.place(raw), len(raw), self.place_schema(inputs), self.place_schema(output)
            )
            if handle <= 0:
                raise self.last_error()
        finally:
            self.free_placed()
        return handle

    def invoke(self, handle, batch, output_schema):
        """Runs one batch (an array node with the parameters as children); the result as a node."""
        out = self.allocate(struct.calcsize(self.array_format))
        try:
            if self.call("vivarium_invoke", handle, self.place_array(batch), out) != 0:
                raise self.last_error()
            return read_array(output_schema, self.array_at(out))
        finally:
            self.free_placed()
            self.call("vivarium_free", out)


class _RawArray:
    def __init__(self, layout, address):
        fields = struct.unpack(layout.array_format, layout.read(address, struct.calcsize(layout.array_format)))
        self.layout = layout
        self.length, self.null_count, self.offset, self.n_buffers, self.n_children = fields[:5]
        self._buffers, self._children = fields[5:7]

    def _pointer(self, table, index):
        size = self.layout.pointer_size
        return struct.unpack(f"<{self.layout.pointer}", self.layout.read(table + index * size, size))[0]

    def buffer(self, index, size):
        address = self._pointer(self._buffers, index)
        assert address % 64 == 0, "a buffer is not aligned"
        return self.layout.read(address, size) if size else b""

    def child(self, index):
        return self.layout.array_at(self._pointer(self._children, index))


class Native(_Layout):
    pointer = "Q"

    def __init__(self, library, package):
        super().__init__()
        self.placed = []
        sys.path.insert(0, package)
        self.library = ctypes.PyDLL(library)
        for name in ("vivarium_alloc",):
            getattr(self.library, name).restype = ctypes.c_void_p
        if self.call("vivarium_init", 7) != 0:
            raise self.last_error()

    def call(self, name, *arguments):
        wide = {"vivarium_load": (0, 2, 3), "vivarium_invoke": (1, 2)}.get(name, range(4))
        if name in ("vivarium_alloc", "vivarium_init"):
            wide = ()
        converted = [ctypes.c_void_p(a) if i in wide else ctypes.c_int32(a) for i, a in enumerate(arguments)]
        return getattr(self.library, name)(*converted)

    def allocate(self, size):
        return self.call("vivarium_alloc", size)

    def write(self, address, data):
        ctypes.memmove(address, data, len(data))

    def read(self, address, size):
        return ctypes.string_at(address, size)


class Wasm(_Layout):
    """The guest module in wasmtime, with the five imports of the ABI."""

    def __init__(self, module_path, cache_directory=None):
        super().__init__()
        import wasmtime as w

        self.placed = []
        self.entropy_errno = 0
        self.output = {1: b"", 2: b""}
        config = w.Config()
        config.max_wasm_stack = 2 << 20
        engine = w.Engine(config)
        self.store = w.Store(engine)
        self.store.set_limits(memory_size=256 << 20)
        module = self._module(w, engine, module_path, cache_directory)
        linker = w.Linker(engine)
        i32, i64 = w.ValType.i32(), w.ValType.i64()
        for name, parameters, function in (
            ("clock_time_get", [i32, i64, i32], self._clock),
            ("random_get", [i32, i32], self._random),
            ("fd_write", [i32, i32, i32, i32], self._fd_write),
            ("poll_oneoff", [i32, i32, i32, i32], lambda *_: 52),
        ):
            linker.define_func("wasi_snapshot_preview1", name, w.FuncType(parameters, [i32]), function)
        linker.define_func("wasi_snapshot_preview1", "proc_exit", w.FuncType([i32], []), self._exit)
        self.exports = linker.instantiate(self.store, module).exports(self.store)
        self.memory = self.exports["memory"]
        self.exports["_initialize"](self.store)
        if self.call("vivarium_init", 7) != 0:
            raise self.last_error()

    @staticmethod
    def _module(w, engine, path, cache_directory):
        if cache_directory is None:
            return w.Module.from_file(engine, path)
        stat = os.stat(path)
        cached = os.path.join(cache_directory, f"{stat.st_mtime_ns}-{stat.st_size}.cwasm")
        if os.path.exists(cached):
            return w.Module.deserialize_file(engine, cached)
        module = w.Module.from_file(engine, path)
        with open(cached, "wb") as file:
            file.write(module.serialize())
        return module

    def _clock(self, _clock, _precision, out):
        import time

        self.write(out, struct.pack("<Q", time.time_ns()))
        return 0

    def _random(self, address, size):
        if self.entropy_errno:
            return self.entropy_errno
        self.write(address, os.urandom(size))
        return 0

    def _fd_write(self, fd, vectors, count, written):
        total = 0
        for i in range(count):
            address, size = struct.unpack("<II", self.read(vectors + 8 * i, 8))
            self.output[fd] += self.read(address, size)
            total += size
        self.write(written, struct.pack("<I", total))
        return 0

    def _exit(self, code):
        raise RuntimeError(f"proc_exit({code}): {self.output[2].decode(errors='replace')}")

    def call(self, name, *arguments):
        return self.exports[name](self.store, *arguments)

    def allocate(self, size):
        address = self.call("vivarium_alloc", size)
        assert address, "out of memory"
        return address & 0xFFFFFFFF

    def write(self, address, data):
        self.memory.write(self.store, data, address & 0xFFFFFFFF)

    def read(self, address, size):
        address &= 0xFFFFFFFF
        return bytes(self.memory.read(self.store, address, address + size)) if size else b""
