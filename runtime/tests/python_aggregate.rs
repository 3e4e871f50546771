//! Aggregate functions in the real guest.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, StructArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type};
use common::{batch_of, fork_of, function_error, int64_batch, int64_values, spec_of};
use vivarium_runtime::{
    BuildError, BuildLimits, CallError, FunctionErrorKind, FunctionFiles, FunctionKind, FunctionSpec,
    Instance, Limits, NullHandling,
};

/// Mean, whose state is a struct.
const MEAN: &str = "
class f:
    def create_state():
        return {'sum': 0.0, 'count': 0}
    def accumulate(state, x):
        state['sum'] += x
        state['count'] += 1
        return state
    def retract(state, x):
        state['sum'] -= x
        state['count'] -= 1
        return state
    def merge(state, other):
        return {'sum': state['sum'] + other['sum'], 'count': state['count'] + other['count']}
    def finish(state):
        return state['sum'] / state['count'] if state['count'] else None
";

fn mean(code: &str) -> FunctionSpec {
    let fields =
        vec![Field::new("sum", DataType::Float64, false), Field::new("count", DataType::Int64, false)];
    let state = Field::new_struct("state", fields, false);
    let parameters = vec![Field::new("x", DataType::Float64, true)];
    let result = Field::new("mean", DataType::Float64, true);
    let spec = spec_of(code, FunctionKind::Aggregate { state }, parameters, result);
    FunctionSpec { null_handling: NullHandling::SkipNull, ..spec }
}

fn sum(code: &str) -> FunctionSpec {
    let field = |name: &str| Field::new(name, DataType::Int64, true);
    spec_of(code, FunctionKind::Aggregate { state: field("s") }, vec![field("x")], field("r"))
}

fn groups(groups: &[u32]) -> UInt32Array {
    groups.to_vec().into()
}

fn floats(values: &[Option<f64>]) -> arrow::array::RecordBatch {
    batch_of(vec![Arc::new(Float64Array::from(values.to_vec()))])
}

fn means(instance: &mut Instance, groups: usize) -> Vec<Option<f64>> {
    instance.finish(groups).unwrap().as_primitive::<Float64Type>().iter().collect()
}

#[test]
fn groups_are_folded_apart() {
    let mut instance = fork_of(&mean(MEAN), &Limits::default());
    instance.accumulate(&groups(&[0, 2, 0, 2]), &floats(&[Some(1.0), Some(5.0), Some(3.0), None])).unwrap();
    instance.accumulate(&groups(&[2, 3]), &floats(&[Some(7.0), Some(0.5)])).unwrap();
    assert_eq!(means(&mut instance, 5), [Some(2.0), None, Some(6.0), Some(0.5), None]);
    // Finishing forgets.
    assert_eq!(means(&mut instance, 1), [None]);
    assert_eq!(means(&mut instance, 0), []);
    assert_eq!(instance.usage().rows, 6);
}

#[test]
fn what_is_retracted_is_gone() {
    let mut instance = fork_of(&mean(MEAN), &Limits::default());
    instance.accumulate(&groups(&[0, 0, 1]), &floats(&[Some(1.0), Some(3.0), Some(9.0)])).unwrap();
    instance.retract(&groups(&[0, 1]), &floats(&[Some(1.0), Some(9.0)])).unwrap();
    assert_eq!(means(&mut instance, 2), [Some(3.0), None]);

    let code = MEAN.replace("def retract", "def unused");
    let mut instance = fork_of(&mean(&code), &Limits::default());
    let error = function_error(instance.retract(&groups(&[0]), &floats(&[Some(1.0)])));
    assert_eq!(error.kind, FunctionErrorKind::Handler, "{error:?}");
}

#[test]
fn states_travel_between_forks() {
    let spec = mean(MEAN);
    let fork = || fork_of(&spec, &Limits::default());
    let part = |groups: &UInt32Array, values: &[Option<f64>], count: usize| {
        let mut instance = fork();
        instance.accumulate(groups, &floats(values)).unwrap();
        instance.states(count).unwrap()
    };
    let first = part(&groups(&[0, 1]), &[Some(1.0), Some(10.0)], 3);
    let second = part(&groups(&[1, 1]), &[Some(20.0), Some(60.0)], 2);
    let states: &StructArray = first.as_struct();
    assert_eq!(states.column(1).as_primitive::<Int64Type>().values(), &[1, 1, 0]);
    let mut last = fork();
    last.merge(&groups(&[0, 1, 2]), &first).unwrap();
    last.merge(&groups(&[0, 1]), &second).unwrap();
    assert_eq!(means(&mut last, 3), [Some(1.0), Some(30.0), None]);
    // A fork that has groups of its own can merge into them, and hand states on again.
    let mut more = fork();
    more.accumulate(&groups(&[0]), &floats(&[Some(3.0)])).unwrap();
    more.merge(&groups(&[0, 0, 0]), &first).unwrap();
    let again = more.states(1).unwrap();
    more.merge(&groups(&[0]), &again).unwrap();
    assert_eq!(means(&mut more, 1), [Some(14.0 / 3.0)]);
}

#[test]
fn module_functions_make_an_aggregate_too() {
    let code = "
import vivarium
@vivarium.udaf(state='BIGINT NULL')
class f:
    @staticmethod
    def create_state(): return None
    @staticmethod
    def accumulate(state: int, x: int) -> int: return x if state is None else max(state, x)
    @staticmethod
    def merge(state, other): return state if other is None else other if state is None else max(state, other)
    @staticmethod
    def finish(state) -> int: return state
";
    let mut instance = fork_of(&sum(code), &Limits::default());
    instance.accumulate(&groups(&[1, 0, 1]), &int64_batch([5, 7, 6])).unwrap();
    let states = instance.states(3).unwrap();
    assert_eq!(states.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(7), Some(6), None]);
    instance.merge(&groups(&[0, 0, 0]), &states).unwrap();
    assert_eq!(int64_values(&instance.finish(1).unwrap()), [7]);
}

const SUM: &str = "
class f:
    def create_state(): return 0
    def accumulate(state, x): return state + x
    def merge(state, other): return state + other
    def finish(state): return state
";

#[test]
fn a_state_of_the_wrong_shape_is_named() {
    let code = SUM.replace("return state + x", "return [state]");
    let mut instance = fork_of(&sum(&code), &Limits::default());
    instance.accumulate(&groups(&[1]), &int64_batch([1])).unwrap();
    let error = function_error(instance.states(2));
    assert_eq!((error.kind, error.row), (FunctionErrorKind::Result, Some(1)), "{error:?}");
    assert!(error.message.contains("expected int64, got list [0]"), "{}", error.message);
    // Afterwards there are no groups.
    assert_eq!(int64_values(&instance.finish(2).unwrap()), [0, 0]);

    let states: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
    let merged = instance.merge(&groups(&[0]), &states);
    assert!(matches!(merged, Err(CallError::Input(_))), "{merged:?}");
}

#[test]
fn a_failing_row_forgets_the_groups_and_not_the_function() {
    let code = SUM.replace("return state + x", "return state + 100 // x");
    let mut instance = fork_of(&sum(&code), &Limits::default());
    instance.accumulate(&groups(&[0]), &int64_batch([1])).unwrap();
    let error = function_error(instance.accumulate(&groups(&[0, 0]), &int64_batch([5, 0])));
    assert_eq!((error.kind, error.row), (FunctionErrorKind::Exception, Some(1)));
    assert!(error.arguments.iter().any(|pair| *pair == ("x".to_owned(), "0".to_owned())), "{error:?}");
    assert_eq!(int64_values(&instance.finish(1).unwrap()), [0]);
    instance.accumulate(&groups(&[0]), &int64_batch([50])).unwrap();
    assert_eq!(int64_values(&instance.finish(1).unwrap()), [2]);
}

#[test]
fn what_lacks_a_function_is_no_aggregate() {
    for code in ["def f(x): return x\n", &SUM.replace("def accumulate", "def add")] {
        let built =
            common::engine().build_image(&sum(code), &FunctionFiles::default(), &BuildLimits::default());
        let Err(BuildError::Call { error, .. }) = built else { panic!("{code}") };
        let CallError::Function(error) = *error else { panic!("{error}") };
        assert_eq!(error.kind, FunctionErrorKind::Handler, "{error:?}");
    }
}

#[test]
fn many_groups() {
    let mut instance = fork_of(&sum(SUM), &Limits::default());
    let numbers: Vec<u32> = (0..200_000).map(|row| row % 50_000).collect();
    instance.accumulate(&groups(&numbers), &int64_batch(0..200_000)).unwrap();
    let sums = int64_values(&instance.finish(50_000).unwrap());
    assert_eq!((sums[0], sums[49_999]), (300_000, 499_996));
    // The highest number that the limit allows makes room for all below.
    let limits = Limits { memory_bytes: 64 << 20, ..Limits::default() };
    let mut small = fork_of(&sum(SUM), &limits);
    let result = small.accumulate(&groups(&[9_999_999]), &int64_batch([1]));
    assert!(matches!(result, Err(CallError::Memory { .. }) | Ok(())), "{result:?}");
}
