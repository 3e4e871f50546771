//! How a case is run and what must hold after it.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use vivarium_runtime::{
    BuildError, BuildLimits, CallError, Capabilities, Engine, EngineConfig, EngineUsage, FunctionSpec, Image,
    Limits, worker_thread,
};

use crate::common::wat_guest::{IDENTITY, WatGuest};
use crate::common::{int64_batch, int64_spec, int64_values};

/// A batch of so many rows makes the guest of a case hostile; with any other it is honest.
pub(crate) const TRIGGER_ROWS: usize = 7;

pub(crate) const LIMITS: Limits = Limits {
    fuel_per_batch: 20_000_000,
    deadline_ms: 60_000,
    memory_bytes: 16 << 20,
    input_bytes: 1 << 20,
    output_bytes: 64 << 10,
    stream_output_bytes: 1 << 20,
    stream_output_rows: 1 << 20,
    aggregate_groups: 1000,
    log_bytes: 1 << 10,
};

pub(crate) const BUILD_LIMITS: BuildLimits = BuildLimits {
    fuel: 20_000_000,
    deadline_ms: 60_000,
    memory_bytes: 16 << 20,
    log_bytes: 1 << 10,
    code_bytes: 1 << 20,
    files: 10,
    file_bytes: 1 << 20,
};

/// One line of a table.
pub(crate) struct Case {
    pub(crate) what: &'static str,
    pub(crate) guest: WatGuest,
    /// The function's parameter and result.
    pub(crate) column: ArrayRef,
    pub(crate) limits: Limits,
    /// The error in full, or `ok: ` and what came back.
    pub(crate) expected: &'static str,
}

/// A guest that does `hostile` (an expression that answers for `vivarium_invoke`, of `$input` and
/// `$output`) when it is given the trigger. `$identity` does what an honest guest would.
pub(crate) fn hostile(what: &'static str, hostile: &str, expected: &'static str) -> Case {
    let column = Arc::new(Int64Array::from_iter_values(0..TRIGGER_ROWS as i64));
    hostile_column(what, column, hostile, expected)
}

/// The same for a function from and to a column of this type, given with the trigger's number of rows.
pub(crate) fn hostile_column(
    what: &'static str,
    column: ArrayRef,
    hostile: &str,
    expected: &'static str,
) -> Case {
    assert_eq!(column.len(), TRIGGER_ROWS);
    let guest = WatGuest {
        extra: format!(
            "(func $identity (param $input i32) (param $output i32)
                {})
            (func $hostile (param $input i32) (param $output i32) (result i32) {hostile})",
            IDENTITY.trim_end().trim_end_matches("(i32.const 0)")
        ),
        invoke: format!(
            "(if (i64.eq (i64.load (local.get $input)) (i64.const {TRIGGER_ROWS}))
                (then (return (call $hostile (local.get $input) (local.get $output)))))
            {IDENTITY}"
        ),
        ..WatGuest::default()
    };
    Case { what, guest, column, limits: LIMITS, expected }
}

/// Runs all cases, and shows everything that was not as expected.
pub(crate) fn run(cases: Vec<Case>) {
    on_worker(move || {
        let before = Held::now();
        let wrong: Vec<String> = cases.iter().filter_map(check).collect();
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
        assert_eq!(Held::now(), before, "descriptors or mappings are left behind");
    });
}

/// Runs `work` where guest code needs no thread of its own, and nothing else of this binary runs.
pub(crate) fn on_worker(work: impl FnOnce() + Send + 'static) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one: MutexGuard<'_, ()> = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    neighbour();
    let thread = worker_thread("attack").spawn(work).unwrap();
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// What was not as expected of a case.
fn check(case: &Case) -> Option<String> {
    let field = |name| Field::new(name, case.column.data_type().clone(), true);
    let spec = FunctionSpec { parameters: vec![field("x")], result: field("y"), ..int64_spec("") };
    let engine = engine(&case.guest);
    let image = match engine.build_image(&spec, &Default::default(), &BUILD_LIMITS) {
        Ok(image) => image,
        Err(error) => return differs(case, &build_text(error)),
    };
    honest(&image, &case.column);
    let mut instance = image.fork(&case.limits, &Capabilities::default()).unwrap();
    let outcome = instance.invoke(&batch(&case.column));
    let text = match &outcome {
        Ok(result) => {
            result.to_data().validate_full().unwrap();
            format!("ok: {} rows of {}", result.len(), result.data_type())
        }
        Err(error) => error.to_string(),
    };
    let poisons = outcome.is_err_and(|error| error.poisons());
    assert_eq!(instance.is_poisoned(), poisons, "{}", case.what);
    if poisons {
        let again = instance.invoke(&batch(&case.column.slice(0, 3)));
        assert!(matches!(again, Err(CallError::Poisoned)), "{}", case.what);
    }
    drop(instance);
    honest(&image, &case.column);
    idle(&engine);
    neighbour();
    differs(case, &text)
}

fn differs(case: &Case, got: &str) -> Option<String> {
    (got != case.expected)
        .then(|| format!("{}\n    expected: {}\n    got:      {got}", case.what, case.expected))
}

/// An engine for this guest.
pub(crate) fn engine(guest: &WatGuest) -> Engine {
    Engine::with_guest(&EngineConfig::default(), &guest.wasm()).unwrap()
}

/// The error of a build, with what it names.
pub(crate) fn build_text(error: BuildError) -> String {
    format!("build: {error}")
}

/// Nothing is held for instances that have ended.
pub(crate) fn idle(engine: &Engine) {
    assert_eq!(engine.usage(), EngineUsage { instances: 0, admitted_memory_bytes: 0 });
}

/// A fork of the image answers as it should.
fn honest(image: &Image, column: &ArrayRef) {
    let column = column.slice(0, 3);
    let mut instance = image.fork(&LIMITS, &Capabilities::default()).unwrap();
    assert_eq!(&instance.invoke(&batch(&column)).unwrap(), &column);
}

/// Another tenant's function, in an engine that lives as long as the process, answers as it should.
pub(crate) fn neighbour() {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    let image = IMAGE.get_or_init(|| WatGuest::default().image());
    let mut instance = image.fork(&LIMITS, &Capabilities::default()).unwrap();
    assert_eq!(int64_values(&instance.invoke(&int64_batch([5, 6])).unwrap()), [5, 6]);
}

fn batch(column: &ArrayRef) -> RecordBatch {
    let field = Field::new("x", column.data_type().clone(), true);
    RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![column.clone()]).unwrap()
}

/// A column of lists of 64-bit integers.
pub(crate) fn lists() -> ArrayRef {
    use arrow::array::ListArray;
    use arrow::datatypes::Int64Type;
    let rows = (0..TRIGGER_ROWS as i64).map(|row| Some((0..row % 3).map(Some).collect::<Vec<_>>()));
    Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(rows))
}

/// A column of text.
pub(crate) fn text() -> ArrayRef {
    use arrow::array::StringArray;
    Arc::new(StringArray::from_iter_values((0..TRIGGER_ROWS).map(|row| "ß".repeat(row))))
}

/// A column of structs, `depth` of them one in the other, around nothing.
pub(crate) fn nested(depth: usize) -> ArrayRef {
    use arrow::array::{NullArray, StructArray};
    let mut column: ArrayRef = Arc::new(NullArray::new(TRIGGER_ROWS));
    for _ in 0..depth {
        let field = Field::new("s", column.data_type().clone(), true);
        column = Arc::new(StructArray::new(vec![field].into(), vec![column], None));
    }
    assert!(matches!(column.data_type(), DataType::Struct(_)));
    column
}

/// What this process holds of the kernel's.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    descriptors: usize,
    images: usize,
}

impl Held {
    fn now() -> Self {
        let count = |folder: &Path| std::fs::read_dir(folder).map(Iterator::count).unwrap();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let images = maps.lines().filter(|line| line.contains("vivarium-")).count();
        Self { descriptors: count(Path::new("/proc/self/fd")), images }
    }
}
