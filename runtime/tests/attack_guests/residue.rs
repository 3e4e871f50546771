//! What one tenant leaves behind is not there for the next (46, 48).

use std::sync::Arc;

use arrow::array::Int64Array;
use vivarium_runtime::{CallError, Canceller, Capabilities, Engine, EngineConfig, Image, Limits};

use crate::common::wat_guest::WatGuest;
use crate::common::{int64_batch, int64_spec, int64_values};
use crate::harness::{BUILD_LIMITS, LIMITS, engine, idle, neighbour, on_worker};

/// Rounds of fork, misuse and drop. `VIVARIUM_RESIDUE_ROUNDS` asks for more.
fn rounds() -> u64 {
    let rounds = std::env::var("VIVARIUM_RESIDUE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    rounds.unwrap_or(60)
}

/// Enough fuel to write to all of memory, which is small so that many rounds take seconds.
const FILL: Limits = Limits { fuel_per_batch: 500_000_000, memory_bytes: 4 << 20, ..LIMITS };

/// What is looked for in memory. It is in no module: the guest gets it as its first row.
const MARKER: i64 = 0x5ec2_e7c0_ffee_0001;

/// A guest that does as its batch says. One row: it grows to the limit and counts the words of its memory
/// that hold the marker, which is its row plus one. More rows: it fills all that it can reach with the first
/// row, its globals too, and ends in the way that the second row says.
fn guest() -> WatGuest {
    let grow = "(loop $grow (br_if $grow (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))";
    let data = "(i32.load offset=4 (i32.load offset=40 (i32.load (i32.load offset=44 (local.get $input)))))";
    WatGuest {
        extra: "(global $kept (mut i64) (i64.const 0)) (global $wide (mut f64) (f64.const 0))
            (func $deep (result i32) (i32.add (call $deep) (i32.const 1)))"
            .into(),
        // The end of the image's memory holds what the code says: a secret of this image's own.
        load: "(local $at i32)
            (local.set $at (i32.const 200000))
            (loop $copy
                (i32.store8 (local.get $at) (i32.load8_u (i32.sub (i32.add (local.get 0)
                    (local.get 1)) (i32.const 1))))
                (br_if $copy (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1)))
                    (i32.const 200064))))
            (i32.const 1)"
            .into(),
        invoke: format!(
            "(local $at i32) (local $end i32) (local $word i64) (local $seen i64) (local $how i64)
            (local.set $word (i64.load {data}))
            (if (i64.eq (i64.load (local.get $input)) (i64.const 1))
                (then
                    {grow}
                    (local.set $word (i64.add (local.get $word) (i64.const 1)))
                    (local.set $end (i32.mul (memory.size) (i32.const 65536)))
                    (loop $scan
                        (local.set $seen (i64.add (local.get $seen) (i64.extend_i32_u
                            (i64.eq (i64.load (local.get $at)) (local.get $word)))))
                        (br_if $scan (i32.lt_u
                            (local.tee $at (i32.add (local.get $at) (i32.const 8))) (local.get $end))))
                    (local.set $seen (i64.add (local.get $seen)
                        (i64.extend_i32_u (i64.ne (global.get $kept) (i64.const 0)))))
                    (local.set $seen (i64.add (local.get $seen)
                        (i64.extend_i32_u (f64.ne (global.get $wide) (f64.const 0)))))
                    (local.set $seen (i64.add (local.get $seen)
                        (i64.extend_i32_u (i32.ne (global.get $stack) (i32.const 65536)))))
                    (i64.store {data} (local.get $seen))
                    (memory.copy (local.get $output) (i32.load (i32.load offset=44 (local.get $input)))
                        (i32.const 64))
                    (return (i32.const 0))))
            (local.set $how (i64.load offset=8 {data}))
            {grow}
            (local.set $end (i32.mul (memory.size) (i32.const 65536)))
            (loop $fill
                (i64.store (local.get $at) (local.get $word))
                (br_if $fill (i32.lt_u
                    (local.tee $at (i32.add (local.get $at) (i32.const 8))) (local.get $end))))
            (global.set $kept (local.get $word))
            (global.set $wide (f64.const 1))
            (global.set $stack (i32.const 12))
            (block $return (block $spin (block $deep (block $outside (block $trap
                (br_table $trap $outside $deep $spin $return (i32.wrap_i64 (local.get $how))))
                (unreachable))
                (drop (i32.load (i32.const -4))))
                (return (call $deep)))
                (loop (br 0)))
            (i32.const -1)"
        ),
        ..WatGuest::default()
    }
}

/// Fills a fork's memory with the marker, and lets it end in one of the ways.
fn misuse(image: &Image, how: i64) -> CallError {
    let mut instance = image.fork(&FILL, &Capabilities::default()).unwrap();
    instance.invoke(&int64_batch([MARKER, how])).unwrap_err()
}

/// How many words of a fork's memory hold the marker.
fn seen(image: &Image) -> i64 {
    let mut instance = image.fork(&FILL, &Capabilities::default()).unwrap();
    int64_values(&instance.invoke(&int64_batch([MARKER - 1])).unwrap())[0]
}

fn image(engine: &Engine, code: &str) -> Image {
    engine.build_image(&int64_spec(code), &Default::default(), &BUILD_LIMITS).unwrap()
}

#[test]
fn attack_46_48_nothing_stays_in_memory_or_globals() {
    on_worker(|| {
        let engine = engine(&guest());
        let (mine, yours) = (image(&engine, "a"), image(&engine, "b"));
        let mut number = 7_u64;
        let mut ends = [0; 5];
        for round in 0..rounds() {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let how = (number >> 33) % 5;
            let error = misuse(if number >> 63 == 0 { &mine } else { &yours }, how as i64);
            ends[how as usize] += 1;
            let expected = ["trapped", "call stack", "call stack", "fuel", "not an object"][how as usize];
            assert!(error.to_string().contains(expected), "{round}: {error}");
            // Scanning is the dear part; the regions of the rounds between are scanned with the last.
            if round % 4 == 3 {
                assert_eq!((seen(&mine), seen(&yours)), (0, 0), "round {round}, ended by {how}");
            }
        }
        assert!(ends.iter().all(|count| *count > 0), "{ends:?}");
        idle(&engine);
        neighbour();
    });
}

#[test]
fn attack_46_48_nothing_stays_when_an_instance_is_reset_in_its_place() {
    on_worker(|| {
        let engine = engine(&guest());
        let image = image(&engine, "a");
        // A memory that has grown would get another fork in its place.
        let limits = Limits { memory_bytes: image.memory_bytes(), ..FILL };
        let mut instance = image.fork(&limits, &Capabilities::default()).unwrap();
        for how in 0..5 {
            instance.invoke(&int64_batch([MARKER, how])).unwrap_err();
            instance.reset().unwrap();
            let seen = instance.invoke(&int64_batch([MARKER - 1])).unwrap();
            assert_eq!(int64_values(&seen), [0], "ended by {how}");
            instance.reset().unwrap();
        }
        drop(instance);
        idle(&engine);
    });
}

#[test]
fn attack_46_an_image_of_another_tenant_is_not_in_a_region_that_was_used_for_it() {
    // The secret of an image is in pages of its own, which are mapped into regions that others get later.
    on_worker(|| {
        let engine = engine(&guest());
        let secret = |byte: u8| i64::from_le_bytes([byte; 8]);
        let holds = |image: &Image, byte: u8| {
            let mut instance = image.fork(&FILL, &Capabilities::default()).unwrap();
            int64_values(&instance.invoke(&int64_batch([secret(byte) - 1])).unwrap())[0]
        };
        // The last byte of the spec's JSON is `}` for all: it is what both hold.
        let (mine, yours) = (image(&engine, "A"), image(&engine, "B"));
        assert!(holds(&mine, b'}') >= 8 && holds(&yours, b'}') >= 8);
        for _ in 0..20 {
            misuse(&mine, 0);
            drop(mine.fork(&LIMITS, &Capabilities::default()).unwrap());
            assert_eq!(seen(&yours), 0);
            let fresh = image(&engine, "C");
            assert_eq!(seen(&fresh), 0);
        }
        idle(&engine);
    });
}

#[test]
fn attack_59_cancelling_at_random_points() {
    on_worker(|| {
        let engine = engine(&WatGuest {
            invoke: format!(
                "(if (i64.eq (i64.load (local.get $input)) (i64.const 2)) (then (loop (br 0)))) {}",
                crate::common::wat_guest::IDENTITY
            ),
            ..WatGuest::default()
        });
        let image = image(&engine, "");
        let limits = Limits { fuel_per_batch: u64::MAX, ..LIMITS };
        let (sender, receiver) = std::sync::mpsc::channel::<Canceller>();
        let canceller = std::thread::spawn(move || {
            let mut number = 3_u64;
            for canceller in receiver {
                number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                for _ in 0..(number >> 48) % 2000 {
                    std::hint::spin_loop();
                }
                canceller.cancel();
            }
        });
        for _ in 0..rounds() {
            let mut instance = image.fork(&limits, &Capabilities::default()).unwrap();
            sender.send(instance.canceller()).unwrap();
            let error = instance.invoke(&int64_batch([1, 1])).unwrap_err();
            assert!(matches!(error, CallError::Cancelled), "{error}");
            drop(instance);
            let mut next = image.fork(&LIMITS, &Capabilities::default()).unwrap();
            let result = next.invoke(&int64_batch([1, 2, 3])).unwrap();
            assert_eq!(result.as_ref(), &Int64Array::from(vec![1, 2, 3]) as &dyn arrow::array::Array);
        }
        drop(sender);
        canceller.join().unwrap();
        idle(&engine);
    });
}

#[test]
fn attack_63_memory_is_refused_before_anything_starts() {
    on_worker(|| {
        let config = EngineConfig { host_memory_bytes: 10 * (16 << 20) + 1, ..EngineConfig::default() };
        let engine = Engine::with_guest(&config, &WatGuest::default().wasm()).unwrap();
        let image = Arc::new(image(&engine, ""));
        let barrier = Arc::new(std::sync::Barrier::new(20));
        let flood: Vec<_> = (0..20)
            .map(|_| {
                let (image, barrier) = (image.clone(), barrier.clone());
                std::thread::spawn(move || {
                    let instance = image.fork(&LIMITS, &Capabilities::default());
                    // All are held until everybody has asked.
                    barrier.wait();
                    instance.map(drop).map_err(|error| error.to_string())
                })
            })
            .collect();
        let results: Vec<_> = flood.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 10);
        for error in results.into_iter().filter_map(Result::err) {
            assert_eq!(
                error,
                "host_memory_bytes: 167772160 of 167772161 bytes are promised, 16777216 more do not fit"
            );
        }
        idle(&engine);
        drop(image.fork(&LIMITS, &Capabilities::default()).unwrap());
    });
}
