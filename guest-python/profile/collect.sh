#!/bin/sh
# Counts how often each branch of CPython runs while it does what user-defined functions do, and
# writes the counts to cpython.profdata. Run it when CPython's pin or zig's LLVM changes:
#
#     profile/collect.sh PYTHON_SOURCE WORK_FOLDER
#
# PYTHON_SOURCE is the unpacked, pinned source; WORK_FOLDER takes a native build of it (minutes).
# Needs clang and llvm-profdata of zig's LLVM version (CC, PROFDATA), libffi's headers (ctypes) and,
# for the batches, the pyarrow of the test clients on PYTHONPATH.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$1" && pwd)
mkdir -p "$2"
work=$(cd "$2" && pwd)
CC=${CC:-clang-22}
PROFDATA=${PROFDATA:-llvm-profdata-22}
instrument="-O2 -fprofile-instr-generate"

# The source as it is, without toolchain/adjust.py: with counts of the adjusted source a row of `a + b`
# took a tenth longer.
if [ ! -x "$work/python/python" ]; then
    mkdir -p "$work/python"
    (
        cd "$work/python"
        CC=$CC "$source/configure" --quiet --disable-test-modules --with-ensurepip=no --with-pymalloc \
            --with-hash-algorithm=siphash13 CFLAGS="$instrument -fno-semantic-interposition" \
            LDFLAGS=-fprofile-instr-generate
        make -s -j "$(getconf _NPROCESSORS_ONLN)"
    )
fi

# The bridge, instrumented too: what it inlines of CPython's headers counts.
bridge="$here/../bridge"
# shellcheck disable=SC2086
$CC $instrument -std=c23 -fPIC -shared -fvisibility=hidden -fwrapv -DNDEBUG \
    -DVIVARIUM_UDF_ROOT="\"$work/udf\"" -I "$work/python" -I "$source/Include" -I "$bridge/src" \
    $(ls "$bridge"/src/*.c | grep -v /pull.c) "$bridge/tests/native.c" -o "$work/libvivarium.so"

# Libraries that are loaded after a function has cleared the environment write to the current folder.
cd "$work"
rm -f ./*.profraw
export VIVARIUM_BRIDGE_LIBRARY="$work/libvivarium.so" VIVARIUM_BRIDGE_TESTS="$bridge/tests"
for program in rows batches; do
    LLVM_PROFILE_FILE="$program-%m.profraw" "$work/python/python" -B "$here/$program.py"
done
$PROFDATA merge -sparse -o "$here/cpython.profdata" ./*.profraw
