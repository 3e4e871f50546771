//! Options of the builds. They are part of the digests: a changed option is another stage.

/// Seconds since 1970 that every time stamp in the guest shows: CPython 3.13.5's release day.
pub const SOURCE_DATE_EPOCH: &str = "1749600000";

/// zlib's files that the `zlib` module needs.
pub const ZLIB_FILES: &[&str] = &[
    "adler32.c",
    "compress.c",
    "crc32.c",
    "deflate.c",
    "infback.c",
    "inffast.c",
    "inflate.c",
    "inftrees.c",
    "trees.c",
    "uncompr.c",
    "zutil.c",
];

/// How zlib is compiled.
pub const ZLIB_CFLAGS: &[&str] = &["-O3", "-g0", "-D_LARGEFILE64_SOURCE", "-DHAVE_UNISTD_H"];

/// `configure` arguments of the native Python.
pub const NATIVE_CONFIGURE: &[&str] = &["--quiet", "--without-ensurepip", "--disable-test-modules"];

/// What the compiler makes code for: WASI preview 1, and of wasm only what every engine has.
pub const TARGET: &[&str] = &[
    "--target=wasm32-wasi",
    "-mcpu=mvp+bulk_memory+bulk_memory_opt+mutable_globals+nontrapping_fptoint+sign_ext",
];

/// Compiler flags for CPython. zig turns `-O3` into `-O2` and keeps frame pointers, unless clang
/// itself is told; its sanitizer and its error on `__DATE__` (which `SOURCE_DATE_EPOCH` fixes) are
/// turned off.
pub const CROSS_CFLAGS: &[&str] = &[
    "-O3",
    "-Xclang",
    "-O3",
    "-fomit-frame-pointer",
    "-g0",
    "-fno-sanitize=undefined",
    "-Wno-error=date-time",
];

/// More flags for CPython's own files, which `configure` does not try its programs with: link-time
/// optimisation, and the execution counts of `profile/`.
pub const CROSS_OPTIMISATION: &[&str] = &[
    "-flto",
    "-fprofile-instr-use=../cpython.profdata",
    "-Wno-profile-instr-out-of-date",
    "-Wno-profile-instr-unprofiled",
];

/// `configure` arguments of the WASI build.
pub const CROSS_CONFIGURE: &[&str] = &[
    "--quiet",
    "--host=wasm32-wasip1",
    "--disable-test-modules",
    "--with-ensurepip=no",
    "--with-pymalloc",
    "--with-hash-algorithm=siphash13",
];

/// What `make` shall build for WASI: CPython and the libraries inside it.
pub const CROSS_LIBRARIES: &[&str] = &[
    "libpython3.13.a",
    "Modules/expat/libexpat.a",
    "Modules/_decimal/libmpdec/libmpdec.a",
    "Modules/_hacl/libHacl_Hash_SHA2.a",
];

/// How those libraries become one object, optimised as a whole.
pub const CROSS_LINK: &[&str] = &["-r", "-O3", "--lto-O3", "--whole-archive"];

/// More compiler flags for NumPy than CPython's. It is not optimised as a whole with CPython: its
/// loops call nothing of it. It alone uses vector instructions. The C library names no floating-point
/// exceptions, as WebAssembly has none; those that NumPy raises itself are kept by
/// `numpy/floating_point.c`.
pub const NUMPY_CFLAGS: &[&str] = &[
    "-msimd128",
    "-D_WASI_EMULATED_SIGNAL",
    "-DFE_INVALID=1",
    "-DFE_DIVBYZERO=4",
    "-DFE_OVERFLOW=8",
    "-DFE_UNDERFLOW=16",
];

/// More compiler flags for NumPy's C++. Exceptions cannot be thrown in the guest: what throws
/// compiles to a call of `__cxa_throw`, which ends the instance (see `numpy/modules.c`).
pub const NUMPY_CXXFLAGS: &[&str] = &["-fexceptions", "-fignore-exceptions"];

/// Options of NumPy's build. Its fast paths for processors are not for WebAssembly.
pub const NUMPY_SETUP: &[&str] = &[
    "-Dbuildtype=release",
    "-Dblas=none",
    "-Dlapack=none",
    "-Dallow-noblas=true",
    "-Ddisable-optimization=true",
    "-Ddisable-threading=true",
];

/// NumPy's extension modules, by their files. `numpy/modules.c` registers the same.
pub const NUMPY_MODULES: &[&str] = &[
    "numpy/_core/_multiarray_umath",
    "numpy/fft/_pocketfft_umath",
    "numpy/linalg/_umath_linalg",
    "numpy/random/_bounded_integers",
    "numpy/random/_common",
    "numpy/random/_generator",
    "numpy/random/_mt19937",
    "numpy/random/_pcg64",
    "numpy/random/_philox",
    "numpy/random/_sfc64",
    "numpy/random/bit_generator",
    "numpy/random/mtrand",
];

/// How their objects become one.
pub const NUMPY_LINK: &[&str] = &["-r", "-O3"];

/// Compiler flags for the bridge and the file system.
pub const GUEST_CFLAGS: &[&str] = &[
    "-std=c23",
    "-O3",
    "-Xclang",
    "-O3",
    "-fomit-frame-pointer",
    "-g0",
    "-DNDEBUG",
    "-fwrapv",
    "-fno-sanitize=undefined",
    "-Wall",
    "-Wextra",
];

/// Linker arguments. zig places the stack first, so that an overflow leaves memory and traps.
pub const LINK: &[&str] = &[
    "-O3",
    "-mexec-model=reactor",
    "-Wl,-z,stack-size=8388608",
    "-Wl,--export=__stack_pointer",
    "-lwasi-emulated-signal",
    "-lwasi-emulated-getpid",
    "-lwasi-emulated-process-clocks",
];

/// More of them for the module with NumPy.
pub const LINK_NUMPY: &[&str] = &["-lc++"];
