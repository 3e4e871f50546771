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
