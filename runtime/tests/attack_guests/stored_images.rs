//! Stored images that were changed: by accident, and by somebody who knows the format (51).

use sha2::{Digest, Sha256};
use vivarium_runtime::{BuildLimits, Capabilities, Engine, Image, LoadError};

use crate::common::wat_guest::WatGuest;
use crate::common::{int64_batch, int64_spec, int64_values};
use crate::harness::{LIMITS, engine, idle, neighbour, on_worker};

/// Where the digest is, and what it covers.
const DIGEST: std::ops::Range<usize> = 12..44;

fn built(engine: &Engine) -> Image {
    engine.build_image(&int64_spec(""), &Default::default(), &BuildLimits::default()).unwrap()
}

/// Loads bytes; what the image answers to `[5]`.
fn load(engine: &Engine, bytes: &[u8]) -> Result<Result<Vec<i64>, String>, LoadError> {
    let image = engine.load_image(&int64_spec(""), bytes)?;
    let answer = image.fork(&LIMITS, &Capabilities::default()).map_err(|error| error.to_string());
    Ok(answer.and_then(|mut instance| match instance.invoke(&int64_batch([5])) {
        Ok(values) => Ok(int64_values(&values)),
        Err(error) => Err(error.to_string()),
    }))
}

#[test]
fn attack_51_a_flipped_bit_anywhere() {
    on_worker(|| {
        let engine = engine(&WatGuest::default());
        let bytes = built(&engine).to_bytes();
        assert_eq!(load(&engine, &bytes).unwrap().unwrap(), [5]);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            let expected = match at {
                8..12 => "format",
                _ => "intact",
            };
            let error = load(&engine, &changed).unwrap_err().to_string();
            assert!(error.contains(expected), "byte {at}: {error}");
        }
        for len in (0..bytes.len()).step_by(37) {
            assert!(matches!(load(&engine, &bytes[..len]), Err(LoadError::Damaged)), "{len}");
        }
        idle(&engine);
    });
}

#[test]
fn attack_51_a_changed_image_with_the_right_digest() {
    // The digest is no secret: who can write files as this user can make one. What comes of it must still
    // be an error or an image whose forks are contained.
    on_worker(|| {
        let engine = engine(&WatGuest::default());
        let bytes = built(&engine).to_bytes();
        let header = DIGEST.end;
        let numbers = [0_u64, 1, 4096, 262_144, 1 << 32, u64::MAX - 4095, u64::MAX, i64::MAX as u64];
        let mut loaded = 0;
        let mut check = |mut changed: Vec<u8>, what: String| {
            let digest = Sha256::digest(&changed[header..]);
            changed[DIGEST].copy_from_slice(&digest);
            match load(&engine, &changed) {
                Ok(_) => loaded += 1,
                Err(error) => assert!(!error.to_string().is_empty(), "{what}"),
            }
            idle(&engine);
        };
        // Every word of what comes before the pages, by every kind of number that hurts.
        let words = header..bytes.len().min(header + 400);
        for at in words {
            for number in numbers {
                let mut changed = bytes.clone();
                let end = (at + 8).min(changed.len());
                changed[at..end].copy_from_slice(&number.to_le_bytes()[..end - at]);
                check(changed, format!("{number:#x} at {at}"));
            }
        }
        assert!(loaded > 0, "some changes only change content");
        assert_eq!(load(&engine, &bytes).unwrap().unwrap(), [5]);
        neighbour();
    });
}

#[test]
fn attack_51_an_image_of_another_engine_or_function() {
    on_worker(|| {
        let (mine, other) = (engine(&WatGuest::default()), engine(&WatGuest::default()));
        let changed = WatGuest { abi_version: "(nop) (i32.const 1)".into(), ..WatGuest::default() };
        let changed = engine(&changed);
        let bytes = built(&mine).to_bytes();
        assert!(load(&other, &bytes).is_ok(), "the same module, and the same base");
        assert!(matches!(load(&changed, &bytes), Err(LoadError::OtherEngine)));
        let spec = int64_spec("another");
        assert!(matches!(mine.load_image(&spec, &bytes), Err(LoadError::OtherFunction)));
    });
}
