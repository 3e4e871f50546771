"""Two ways to run the bridge: as a native library in this process, and inside the wasm guest."""

import ctypes
import json
import os
import struct
import sys

from arrow_nodes import NULLABLE, read_array

CALL, NEXT, ACCUMULATE, RETRACT, MERGE, STATES, FINISH = range(7)
FAILED, FAILED_KEPT = -1, -2
MORE, NOTHING, KEPT = 1, 2, 16


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
        self.placed = []
        self.streams = {}  # handle -> input block that an unfinished stream reads
        self.kept = 0  # input blocks that the guest took over

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
        metadata = self.place(_metadata(node.metadata)) if node.metadata else 0
        fields = (form, name, metadata, flags, len(node.children), children, 0, 0, 0)
        return self.place(struct.pack(self.schema_format, *fields))

    def block(self, node):
        """Puts an array into one block, as the host does: the top struct comes first."""
        size = len(_Block(self, 0).add(node).data)
        base = self.allocate(size)
        assert base % 64 == 0
        self.write(base, bytes(_Block(self, base).add(node).data))
        return base

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

    def load(self, code, inputs, output, state=None, **options):
        spec = {
            "name": "f",
            "handler": "f",
            "filename": "udf.py",
            "environment": {},
            "kind": "scalar",
            "null_handling": "call",
            "on_error": "raise",
            "code": code,
        } | options
        raw = json.dumps(spec).encode()
        try:
            schemas = self.place_schema(inputs), self.place_schema(output), self.place_schema(state) if state else 0
            handle = self.call("vivarium_load", self.place(raw), len(raw), *schemas)
            if handle <= 0:
                raise self.last_error()
        finally:
            self.free_placed()
        return handle

    def describe(self, code, filename="udf.py", environment=None):
        raw = json.dumps({"filename": filename, "code": code, "environment": environment or {}}).encode()
        try:
            out = self.place(b"\0" * 16)
            if self.call("vivarium_describe", self.place(raw), len(raw), out) != 0:
                raise self.last_error()
            address, length = struct.unpack(f"<2{self.pointer}", self.read(out, 2 * self.pointer_size))
            return json.loads(self.read(address, length))
        finally:
            self.free_placed()

    def operate(self, handle, operation, batch, output_schema):
        """One `vivarium_invoke`: the answer's bits, and the array where it has one. `batch` is None or an array
        node with the columns as children. Raises what `vivarium_last_error` tells."""
        if operation == CALL:
            self.forget_stream(handle)
        out = self.allocate(struct.calcsize(self.array_format))
        block = 0 if batch is None else self.block(batch)
        try:
            answer = self.call("vivarium_invoke", handle, operation, block, out)
            if answer in (FAILED, FAILED_KEPT):
                self.kept += answer == FAILED_KEPT
                block = 0 if answer == FAILED_KEPT else block
                raise self.last_error()
            assert answer & ~(MORE | NOTHING | KEPT) == 0, answer
            node = None if answer & NOTHING else read_array(output_schema, self.array_at(out))
            if answer & KEPT:
                self.kept += 1
                block = 0
            elif answer & MORE and operation == CALL:
                self.streams[handle] = block
                block = 0
            return answer, node
        finally:
            if block:
                # What is read after the block was given back shall not look right.
                self.write(block, b"\xa5" * 64)
                self.call("vivarium_free", block)
            self.free_placed()
            self.call("vivarium_free", out)

    def forget_stream(self, handle):
        """Gives the input of a stream back; it stays valid until the next CALL."""
        block = self.streams.pop(handle, 0)
        if block:
            self.call("vivarium_free", block)

    def invoke(self, handle, batch, output_schema):
        """Runs one batch (an array node with the parameters as children); the result as a node."""
        answer, node = self.operate(handle, CALL, batch, output_schema)
        assert answer & ~KEPT == 0, answer
        return node


def _metadata(pairs):
    """Arrow's encoding of a field's metadata."""
    parts = [struct.pack("<i", len(pairs))]
    for text in (text for pair in pairs.items() for text in pair):
        data = text.encode()
        parts += [struct.pack("<i", len(data)), data]
    return b"".join(parts)


class _Block:
    """The bytes of a block that begins at `base`."""

    def __init__(self, layout, base):
        self.layout, self.base, self.data = layout, base, bytearray()

    def room(self, size):
        offset = len(self.data)
        self.data += bytes(-(-size // 64) * 64)
        return offset

    def add(self, node):
        self.fill(self.room(struct.calcsize(self.layout.array_format)), node)
        return self

    def bytes(self, data):
        offset = self.room(max(len(data), 1))
        self.data[offset : offset + len(data)] = data
        return self.base + offset

    def pointers(self, addresses):
        return self.bytes(struct.pack(f"<{len(addresses)}{self.layout.pointer}", *addresses)) if addresses else 0

    def fill(self, offset, node):
        children = []
        for child in node.children:
            at = self.room(struct.calcsize(self.layout.array_format))
            self.fill(at, child)
            children.append(self.base + at)
        buffers = self.pointers([0 if b is None else self.bytes(b) for b in node.buffers])
        counts = (node.length, node.null_count, 0, len(node.buffers), len(node.children))
        fields = (*counts, buffers, self.pointers(children), 0, 0, 0)
        struct.pack_into(self.layout.array_format, self.data, offset, *fields)


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
        return self.layout.read(address, size) if size else b""

    def child(self, index):
        return self.layout.array_at(self._pointer(self._children, index))


class Native(_Layout):
    pointer = "Q"

    def __init__(self, library, package):
        super().__init__()
        sys.path.insert(0, package)
        self.library = ctypes.PyDLL(library)
        for name in ("vivarium_alloc",):
            getattr(self.library, name).restype = ctypes.c_void_p
        if self.call("vivarium_init", 7) != 0:
            raise self.last_error()

    def call(self, name, *arguments):
        wide = {"vivarium_load": (0, 2, 3, 4), "vivarium_invoke": (2, 3)}.get(name, range(5))
        if name in ("vivarium_alloc", "vivarium_init"):
            wide = ()
        converted = [ctypes.c_void_p(a) if i in wide else ctypes.c_int32(a) for i, a in enumerate(arguments)]
        return getattr(self.library, name)(*converted)

    def supply(self, batches):
        """Makes the array nodes of an iterator the input of map functions."""
        pending = None

        def pull(room, size):
            nonlocal pending
            if not room:
                assert pending is None, "a batch was announced and not taken"
                pending = next(batches, None)
                return 0 if pending is None else len(_Block(self, 0).add(pending).data)
            data = bytes(_Block(self, room).add(pending).data)
            assert room % 64 == 0 and size == len(data)
            self.write(room, data)
            pending = None
            return 0

        self.source = ctypes.PYFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_uint32)(pull)
        self.library.vivarium_test_source(self.source)

    def mount(self, files):
        """Creates files, given as absolute path and contents."""
        for path, data in files.items():
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(data)

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

    def mount(self, files):
        """Creates files, given as absolute path and contents."""
        toolchain = os.path.join(os.path.dirname(__file__), "..", "..", "toolchain")
        sys.path.insert(0, toolchain)
        try:
            from pack import pack
        finally:
            sys.path.remove(toolchain)
        archive = pack(files)
        address = self.allocate(len(archive))
        self.write(address, archive)
        assert self.call("vivarium_mount", address, len(archive)) == 0

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
