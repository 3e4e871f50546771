//! Python code against its limits: every attack ends in a typed error, and the next fork works.

mod common;

use std::time::{Duration, Instant};

use common::{fork, int64_batch, int64_image, int64_spec, int64_values, run_under};
use vivarium_runtime::{
    BuildError, BuildLimits, CallError, Capabilities, ForkError, FunctionErrorKind, FunctionFiles,
    InputError, Limits,
};

/// Code that would run for ever.
const ENDLESS: [&str; 7] = [
    "def f(x):\n    while True: pass\n",
    "def f(x):\n    return sum(range(1 << 60))\n",
    "def f(x):\n    return pow(3, 10**9)\n",
    "import re\ndef f(x):\n    return len(re.match('(a+)+$', 'a' * 64 + 'b') or '')\n",
    "from collections import deque\nfrom itertools import repeat\ndef f(x):\n    deque(repeat(0), maxlen=0)\n",
    "def f(x):\n    try:\n        while True: pass\n    except BaseException:\n        f(x)\n    finally:\n        f(x)\n",
    "import time\ndef f(x):\n    time.sleep(1e6)\n",
];

#[test]
fn endless_code_meets_its_deadline() {
    for code in ENDLESS {
        let image = int64_image(code);
        let limits = Limits { deadline_ms: 150, fuel_per_batch: u64::MAX, ..Limits::default() };
        let start = Instant::now();
        let error = run_under(&image, &limits).unwrap_err();
        assert!(matches!(error, CallError::Deadline { limit_ms: 150 }), "{code}: {error}");
        assert!(start.elapsed() < Duration::from_millis(1500), "{code}: {:?}", start.elapsed());
    }
}

#[test]
fn endless_code_runs_out_of_fuel() {
    for code in ENDLESS.into_iter().filter(|code| !code.contains("sleep")) {
        let image = int64_image(code);
        let limits = Limits { fuel_per_batch: 200_000_000, ..Limits::default() };
        let error = run_under(&image, &limits).unwrap_err();
        assert!(matches!(error, CallError::Fuel { limit: 200_000_000 }), "{code}: {error}");
    }
}

#[test]
fn cancelling_takes_milliseconds() {
    let image = int64_image(ENDLESS[0]);
    let mut worst = Duration::ZERO;
    for _ in 0..5 {
        let mut instance = fork(&image);
        let canceller = instance.canceller();
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            canceller.cancel();
            Instant::now()
        });
        let error = instance.invoke(&int64_batch([1])).unwrap_err();
        assert!(matches!(error, CallError::Cancelled), "{error}");
        worst = worst.max(killer.join().unwrap().elapsed());
    }
    assert!(worst < Duration::from_millis(100), "{worst:?}");
}

#[test]
fn memory_bombs_are_memory_errors() {
    for code in [
        "def f(x):\n    return len(bytearray(1 << 30))\n",
        "def f(x):\n    keep = []\n    while True: keep.append(bytearray(1 << 20))\n",
        "def f(x):\n    return len('a' * (1 << 30))\n",
    ] {
        let image = int64_image(code);
        let limits = Limits { memory_bytes: 96 << 20, ..Limits::default() };
        let mut instance = image.fork(&limits, &Capabilities::default()).unwrap();
        let error = instance.invoke(&int64_batch([1])).unwrap_err();
        assert!(
            matches!(error, CallError::Memory { limit_bytes, .. } if limit_bytes == 96 << 20),
            "{code}: {error}"
        );
        assert!(instance.usage().peak_memory_bytes <= 96 << 20);
    }
}

#[test]
fn recursion_in_python_is_a_python_error() {
    let image = int64_image("def f(x):\n    return f(x) + 1\n");
    let error = run_under(&image, &Limits::default()).unwrap_err();
    let CallError::Function(error) = error else { panic!("{error}") };
    assert_eq!(error.kind, FunctionErrorKind::Recursion);
}

#[test]
fn recursion_in_c_never_hurts_the_host() {
    for code in [
        "import json\ndef f(x):\n    return len(json.loads('[' * 200000))\n",
        "def f(x):\n    return eval('-' * 100000 + '1')\n",
        "def f(x):\n    y = []\n    for _ in range(1000000): y = [y]\n    return hash(repr(y))\n",
        "import sys\nsys.setrecursionlimit(10**6)\ndef f(x):\n    return f(x) + 1\n",
        "class A:\n    def __getattr__(self, name): return getattr(self, name)\ndef f(x):\n    return A().x\n",
    ] {
        let image = int64_image(code);
        let error = run_under(&image, &Limits::default()).unwrap_err();
        let typed = matches!(
            error,
            CallError::Recursion { .. }
                | CallError::Memory { .. }
                | CallError::Abort { .. }
                | CallError::Function(_)
        );
        assert!(typed, "{code}: {error}");
        let mut next = fork(&int64_image("def f(x):\n    return x + 1\n"));
        assert_eq!(int64_values(&next.invoke(&int64_batch([1])).unwrap()), [2]);
    }
}

#[test]
fn aborting_is_a_typed_error() {
    let image = int64_image("import os\ndef f(x):\n    os.abort()\n");
    let mut instance = fork(&image);
    let error = instance.invoke(&int64_batch([1])).unwrap_err();
    assert!(matches!(error, CallError::Abort { .. } | CallError::Exit { .. }), "{error}");
    assert!(matches!(instance.invoke(&int64_batch([1])), Err(CallError::Poisoned)));
    let image = int64_image("import os\ndef f(x):\n    os._exit(3)\n");
    let error = run_under(&image, &Limits::default()).unwrap_err();
    assert!(matches!(error, CallError::Exit { code: 3 }), "{error}");
}

#[test]
fn input_and_output_limits_name_themselves() {
    let image = int64_image("def f(x):\n    return x\n");
    let limits = Limits { input_bytes: 1000, ..Limits::default() };
    let mut instance = image.fork(&limits, &Capabilities::default()).unwrap();
    let error = instance.invoke(&int64_batch(0..1000)).unwrap_err();
    assert!(matches!(error, CallError::Input(InputError::Limit { name: "input_bytes", limit: 1000, .. })));
    let limits = Limits { output_bytes: 1000, ..Limits::default() };
    let mut instance = image.fork(&limits, &Capabilities::default()).unwrap();
    let error = instance.invoke(&int64_batch(0..1000)).unwrap_err();
    assert!(matches!(error, CallError::Output(_)), "{error}");
    assert_eq!(int64_values(&instance.invoke(&int64_batch(0..10)).unwrap()), (0..10).collect::<Vec<_>>());
}

#[test]
fn memory_is_admitted_before_work_starts() {
    let config =
        vivarium_runtime::EngineConfig { max_instances: 4, host_memory_bytes: 300 << 20, ..common::config() };
    let engine = vivarium_runtime::Engine::new(config).unwrap();
    let spec = int64_spec("def f(x):\n    return x\n");
    let image = engine
        .build_image(
            &spec,
            &FunctionFiles::default(),
            &BuildLimits { memory_bytes: 200 << 20, ..Default::default() },
        )
        .unwrap();
    let limits = Limits { memory_bytes: 100 << 20, ..Limits::default() };
    let live: Vec<_> = (0..3).map(|_| image.fork(&limits, &Capabilities::default()).unwrap()).collect();
    assert_eq!((engine.usage().instances, engine.usage().admitted_memory_bytes), (3, 300 << 20));
    let refused = image.fork(&limits, &Capabilities::default());
    assert!(matches!(refused, Err(ForkError::Admission { requested, .. }) if requested == 100 << 20));
    drop(live);
    assert_eq!((engine.usage().instances, engine.usage().admitted_memory_bytes), (0, 0));
    let small = Limits { memory_bytes: 50 << 20, ..Limits::default() };
    let live: Vec<_> = (0..4).map(|_| image.fork(&small, &Capabilities::default()).unwrap()).collect();
    assert!(matches!(image.fork(&small, &Capabilities::default()), Err(ForkError::Memory(_))));
    drop(live);
    let tiny = Limits { memory_bytes: 1 << 20, ..Limits::default() };
    assert!(matches!(image.fork(&tiny, &Capabilities::default()), Err(ForkError::TooSmall { .. })));
}

#[test]
fn building_is_limited_too() {
    let build = |code: &str, limits: BuildLimits| match common::engine().build_image(
        &int64_spec(code),
        &FunctionFiles::default(),
        &limits,
    ) {
        Err(BuildError::Call { error, .. }) => *error,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was built"),
    };
    let endless = "while True: pass\n";
    let error = build(endless, BuildLimits { fuel: 100_000_000, ..Default::default() });
    assert!(matches!(error, CallError::Fuel { .. }), "{error}");
    let error = build(endless, BuildLimits { deadline_ms: 100, ..Default::default() });
    assert!(matches!(error, CallError::Deadline { .. }), "{error}");
    let error = build("x = bytearray(1 << 30)\n", BuildLimits::default());
    assert!(matches!(error, CallError::Memory { .. }), "{error}");
    let limits = BuildLimits { code_bytes: 10, ..Default::default() };
    let error = common::engine().build_image(&int64_spec(endless), &FunctionFiles::default(), &limits);
    assert!(matches!(error, Err(BuildError::Spec(_))));
}
