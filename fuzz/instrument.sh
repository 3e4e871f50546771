#!/bin/sh
# The compiler of the crates of this workspace (cargo's RUSTC_WORKSPACE_WRAPPER) when they are built to be
# fuzzed: with counters of covered code, which stable compilers have, and with all assertions. Dependencies
# are compiled as ever. Programs that run while others are built have no fuzzer to count for.
case " $* " in
*" --crate-name build_script_"* | *" --crate-name vivarium_guest_recipe "* | *" --crate-type proc-macro "*) exec "$@" ;;
esac
exec "$@" -Copt-level=3 -Cdebug-assertions=on -Coverflow-checks=on -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares
