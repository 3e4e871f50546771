# Thin names for what xtask does; `just --list` shows them.

# Build what is missing, start a server, provision a function, stream 336,776 flights through it
demo:
    cargo xtask demo

# All tests, the Python clients' included
test:
    cargo xtask test

# Only the guest: CPython as one WebAssembly module
guest:
    cargo xtask guest

# What continuous integration runs
ci:
    .ci/run

# Speed of our own parts (criterion), and of the same work natively
bench *ARGS:
    cargo xtask bench parts {{ARGS}}

# Pure-Python programs beside the native interpreter
bench-programs *NAMES:
    cargo xtask bench programs {{NAMES}}

# The server beside the native ones, through the same client
bench-peers *ARGS:
    cargo xtask bench peers {{ARGS}}

# From nothing to the first row: new functions, known functions, the server's start
bench-provisioning *ARGS:
    cargo xtask bench provisioning {{ARGS}}

# Ten thousand functions on one host, and many tenants at once
bench-scale *ARGS:
    cargo xtask bench scale {{ARGS}}

# How the cost of an exchange grows
bench-curves *ARGS:
    cargo xtask bench curves {{ARGS}}

# One exchange on one core and on two
bench-cores *ARGS:
    cargo xtask bench cores {{ARGS}}

# Metering beside wasmtime's own and none, and how late calls are stopped
bench-meters *ARGS:
    cargo xtask bench meters {{ARGS}}

# The runtime in process, beside arrow-udf-runtime, the bridge built natively, native CPython and memcpy
bench-runtimes *ARGS:
    cargo xtask bench runtimes {{ARGS}}

# Fuzz everything that reads a stranger's bytes, or one TARGET: `just fuzz flight --seconds 300`
fuzz TARGET="" *ARGS:
    cargo xtask fuzz {{ if TARGET == "" { "" } else { "--target " + TARGET } }} {{ARGS}}

# Serve a good tenant while others attack: `just soak --seconds 600`, `just soak --calls 1000000`
soak *ARGS:
    cargo xtask soak {{ARGS}}

# Take defences out, one at a time, and see the tests fail that are named for them: `just mutate 51`
mutate *ARGS:
    cargo xtask mutate {{ARGS}}

# Format and lint
check:
    cargo fmt --all --check
    cargo clippy --release --workspace --all-targets -- --deny warnings

# Write the tables of SECURITY.md anew, from the program
security:
    VIVARIUM_WRITE_SECURITY=1 cargo xtask test --test command_line -- security_md

# Licences, sources, bans, and (with a network) advisories of what we depend on: `cargo install cargo-deny --locked`
deny *ARGS:
    cargo deny check {{ARGS}}
