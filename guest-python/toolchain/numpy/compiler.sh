#!/bin/sh
# Calls a compiler as NumPy's build does, which knows nothing of WebAssembly: extension modules are
# not linked (their "library" becomes the list of the arguments), and CPython's headers are the
# guest's.
#
# usage: compiler.sh INCLUDE_FOLDER COMPILER ARGUMENT...
include=$1
shift
shared=
output=
previous=
for argument; do
    shift
    case $argument in
    -Wl,--version)
        echo 'LLD (compatible with GNU linkers)'
        exit
        ;;
    -shared) shared=yes ;;
    -fPIC | -pthread | -Wl,*) ;;
    -I*/include/python3.*) set -- "$@" "-I$include" ;;
    *) set -- "$@" "$argument" ;;
    esac
    [ "$previous" = -o ] && output=$argument
    previous=$argument
done
if [ "$shared" ]; then
    printf '%s\n' "$@" >"$output"
else
    exec "$@"
fi
