//! What the built modules may import and must export.
#![expect(clippy::unwrap_used, reason = "a module that cannot be parsed fails the test")]

use std::collections::{BTreeMap, BTreeSet};

use vivarium_guest::{IMPORT_MODULE, IMPORTS, NUMPY, PLAIN};
use wasmparser::{ExternalKind, MemoryType, Parser, Payload, TypeRef, Validator, WasmFeatures};

/// What a test looks at, read from the module once.
#[derive(Default)]
struct Module {
    imports: Vec<(String, String, bool)>,
    exports: BTreeMap<String, ExternalKind>,
    memories: Vec<MemoryType>,
    custom_sections: BTreeSet<String>,
    start_function: bool,
}

fn modules() -> [Module; 2] {
    [PLAIN, NUMPY].map(|guest| read(guest.wasm))
}

fn read(wasm: &[u8]) -> Module {
    let mut module = Module::default();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.unwrap() {
            Payload::ImportSection(imports) => {
                module.imports.extend(imports.into_imports().map(|import| {
                    let import = import.unwrap();
                    let is_function = matches!(import.ty, TypeRef::Func(_));
                    (import.module.to_owned(), import.name.to_owned(), is_function)
                }));
            }
            Payload::ExportSection(exports) => {
                module.exports.extend(exports.into_iter().map(|export| {
                    let export = export.unwrap();
                    (export.name.to_owned(), export.kind)
                }));
            }
            Payload::MemorySection(memories) => {
                module.memories.extend(memories.into_iter().map(Result::unwrap))
            }
            Payload::CustomSection(section) => drop(module.custom_sections.insert(section.name().to_owned())),
            Payload::StartSection { .. } => module.start_function = true,
            _ => {}
        }
    }
    module
}

#[test]
fn imports_only_what_the_sandbox_grants() {
    for (from, name, is_function) in modules().into_iter().flat_map(|module| module.imports) {
        assert!(is_function && from == IMPORT_MODULE && IMPORTS.contains(&name.as_str()), "{from}.{name}");
    }
}

#[test]
fn exports_the_contract_and_nothing_else() {
    let functions = [
        "_initialize",
        "vivarium_abi_version",
        "vivarium_alloc",
        "vivarium_describe",
        "vivarium_free",
        "vivarium_freeze",
        "vivarium_image_flags",
        "vivarium_init",
        "vivarium_invoke",
        "vivarium_last_error",
        "vivarium_load",
        "vivarium_mount",
        "vivarium_pull",
    ];
    for Module { exports, .. } in modules() {
        for name in functions {
            assert_eq!(exports.get(name), Some(&ExternalKind::Func), "{name}");
        }
        assert_eq!(exports.get("memory"), Some(&ExternalKind::Memory));
        assert_eq!(exports.get("__stack_pointer"), Some(&ExternalKind::Global));
        assert_eq!(exports.len(), functions.len() + 2, "{:?}", exports.keys());
    }
}

#[test]
fn has_one_memory_that_can_grow_to_any_limit() {
    for module in modules() {
        let [memory] = module.memories[..] else { panic!("{:?}", module.memories) };
        assert!(!memory.memory64 && !memory.shared && memory.maximum.is_none());
        assert!(!module.start_function);
    }
}

#[test]
fn needs_no_feature_beyond_those_switched_on() {
    let features = WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::FLOATS;
    Validator::new_with_features(features).validate_all(PLAIN.wasm).unwrap();
    // Loops over arrays are vectorised.
    Validator::new_with_features(features | WasmFeatures::SIMD).validate_all(NUMPY.wasm).unwrap();
}

#[test]
fn keeps_function_names_but_no_debugging_information() {
    for sections in modules().map(|module| module.custom_sections) {
        assert!(sections.contains("name"));
        assert!(!sections.iter().any(|name| name.starts_with(".debug")), "{sections:?}");
    }
}

#[test]
fn mentions_no_folder_of_the_machine_that_built_it() {
    let cache = std::path::Path::new(env!("VIVARIUM_GUEST_WASM")).ancestors().nth(2).unwrap();
    for folder in [cache.to_str().unwrap(), env!("CARGO_MANIFEST_DIR")] {
        for guest in [PLAIN, NUMPY] {
            assert!(!contains(guest.wasm, folder.as_bytes()), "{folder}");
        }
    }
}

#[test]
fn plain_functions_carry_nothing_of_numpy() {
    assert!(contains(NUMPY.wasm, b"/numpy/") && contains(NUMPY.wasm, b"PyInit__multiarray_umath"));
    assert!(!contains(PLAIN.wasm, b"/numpy/") && !contains(PLAIN.wasm, b"PyInit__multiarray_umath"));
    assert_ne!(PLAIN.digest, NUMPY.digest);
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
