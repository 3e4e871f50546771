//! A guest of a few lines that keeps to the guest ABI, with parts to replace by lies.

use vivarium_runtime::{Engine, EngineConfig, FunctionSpec, Image};

use super::int64_spec;

/// A guest whose functions have these bodies (WebAssembly text).
#[derive(Clone)]
pub(crate) struct WatGuest {
    pub(crate) imports: String,
    pub(crate) extra: String,
    pub(crate) initialize: String,
    pub(crate) abi_version: String,
    pub(crate) init: String,
    pub(crate) alloc: String,
    pub(crate) mount: String,
    pub(crate) load: String,
    pub(crate) describe: String,
    pub(crate) pull: String,
    pub(crate) freeze: String,
    pub(crate) invoke: String,
    pub(crate) last_error: String,
}

/// Returns the first column unchanged.
pub(crate) const IDENTITY: &str = "
    (memory.copy
        (local.get $output)
        (i32.load (i32.load offset=44 (local.get $input)))
        (i32.const 64))
    (i32.const 0)";

impl Default for WatGuest {
    fn default() -> Self {
        Self {
            imports: String::new(),
            extra: String::new(),
            initialize: String::new(),
            abi_version: "(i32.const 1)".into(),
            init: "(i32.const 0)".into(),
            alloc: "
                (local $at i32)
                (local.set $at
                    (i32.and (i32.add (global.get $heap) (i32.const 63)) (i32.const -64)))
                (global.set $heap (i32.add (local.get $at) (local.get $size)))
                (if (i32.gt_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536)))
                    (then
                        (if (i32.eq
                                (memory.grow (i32.add (i32.const 1)
                                    (i32.div_u (local.get $size) (i32.const 65536))))
                                (i32.const -1))
                            (then (return (i32.const 0))))))
                (local.get $at)"
                .into(),
            mount: "(i32.const 0)".into(),
            load: "(i32.const 1)".into(),
            describe: "(i32.const -1)".into(),
            pull: r#"(func $pull (export "vivarium_pull") (param i32 i32) (result i32) (i32.const -1))"#
                .into(),
            freeze: "(i32.const 0)".into(),
            invoke: IDENTITY.into(),
            last_error: "
                (i32.store (local.get $out) (i32.const 70000))
                (i32.store offset=4 (local.get $out) (i32.const 35))"
                .into(),
        }
    }
}

impl WatGuest {
    /// The module.
    pub(crate) fn wasm(&self) -> Vec<u8> {
        wat::parse_str(self.text()).unwrap()
    }

    /// The module as text.
    pub(crate) fn text(&self) -> String {
        format!(
            r#"(module
                {imports}
                (memory (export "memory") 4)
                (table 4 funcref)
                (global $stack (export "__stack_pointer") (mut i32) (i32.const 65536))
                (global $heap (mut i32) (i32.const 131072))
                (global $counter (mut i64) (i64.const 0))
                (data (i32.const 70000) "{{\22kind\22:\22exception\22,\22message\22:\22no\22}} ")
                {extra}
                (func (export "_initialize") {initialize})
                (func (export "vivarium_abi_version") (result i32) {abi_version})
                (func (export "vivarium_init") (param $seed i32) (result i32) {init})
                (func $alloc (export "vivarium_alloc") (param $size i32) (result i32) {alloc})
                (func (export "vivarium_free") (param $pointer i32))
                (func (export "vivarium_mount") (param $archive i32) (param $len i32) (result i32) {mount})
                (func (export "vivarium_load") (param i32 i32 i32 i32 i32) (result i32) {load})
                (func (export "vivarium_describe") (param $spec i32) (param $len i32) (param $out i32)
                    (result i32) {describe})
                {pull}
                (func (export "vivarium_image_flags") (result i32) (i32.const 0))
                (func (export "vivarium_freeze") (result i32) {freeze})
                (func (export "vivarium_invoke") (param $function i32) (param $operation i32)
                    (param $input i32) (param $output i32) (result i32) {invoke})
                (func (export "vivarium_last_error") (param $out i32) {last_error}))"#,
            imports = self.imports,
            extra = self.extra,
            initialize = self.initialize,
            abi_version = self.abi_version,
            init = self.init,
            alloc = self.alloc,
            mount = self.mount,
            load = self.load,
            describe = self.describe,
            pull = self.pull,
            freeze = self.freeze,
            invoke = self.invoke,
            last_error = self.last_error,
        )
    }

    /// An engine for it, without a cache.
    pub(crate) fn engine(&self) -> Engine {
        Engine::with_guest(&EngineConfig::default(), &self.wasm()).unwrap()
    }

    /// The image of some function.
    pub(crate) fn image(&self) -> Image {
        self.image_of(&int64_spec(""))
    }

    /// The image of the function that `spec` claims it to be.
    pub(crate) fn image_of(&self, spec: &FunctionSpec) -> Image {
        self.engine().build_image(spec, &Default::default(), &Default::default()).unwrap()
    }
}
