//! The program that `cargo xtask fuzz` builds: libFuzzer around the target that `VIVARIUM_FUZZ_TARGET`
//! names. With `VIVARIUM_FUZZ_SEEDS` it writes the target's seeds into that folder instead.

#![no_main]
#![expect(clippy::expect_used, clippy::panic, reason = "a fuzzer reports by ending")]

use std::panic;
use std::sync::{Once, OnceLock};

use libfuzzer_sys::fuzz_target;
use vivarium_fuzz::Target;

fn target() -> &'static Target {
    static TARGET: OnceLock<&'static Target> = OnceLock::new();
    TARGET.get_or_init(|| {
        let name = std::env::var("VIVARIUM_FUZZ_TARGET").expect("VIVARIUM_FUZZ_TARGET names a target");
        let target = vivarium_fuzz::target(&name).unwrap_or_else(|| panic!("there is no target `{name}`"));
        if let Some(folder) = std::env::var_os("VIVARIUM_FUZZ_SEEDS") {
            for (index, seed) in (target.seeds)().into_iter().enumerate() {
                let file = std::path::Path::new(&folder).join(format!("seed-{index:03}"));
                std::fs::write(file, seed).expect("seeds can be written");
            }
            std::process::exit(0);
        }
        target
    })
}

fuzz_target!(init: {
    let _named = target();
}, |data: &[u8]| {
    // What the decoder of messages catches of the Arrow library's panics is no crash; the engine's hook would
    // end the process before it is caught.
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        if target().name == "flight" {
            panic::set_hook(Box::new(|_| ()));
        }
    });
    (target().run)(data);
});
