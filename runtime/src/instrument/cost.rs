//! The static cost of functions and loops. The model is described in the parent module.

use wasmparser::{FunctionBody, Operator};

use super::survey::Survey;
use super::{InstrumentError, LEAF_COST_MAX, MEMORY_GROW_COST, REGION_COST_MAX};

/// What decides whether a function is a leaf.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct FunctionShape {
    operators: u32,
    loops: bool,
    calls: bool,
}

impl FunctionShape {
    pub(super) fn add(&mut self, operator: &Operator<'_>) {
        self.operators = self.operators.saturating_add(own_cost(operator));
        self.loops |= matches!(operator, Operator::Loop { .. });
        self.calls |= matches!(
            operator,
            Operator::Call { .. }
                | Operator::CallIndirect { .. }
                | Operator::MemoryFill { .. }
                | Operator::MemoryCopy { .. }
        );
    }

    /// Whether the callers pay for this function.
    pub(super) fn is_leaf(self) -> bool {
        !self.loops && !self.calls && self.operators <= LEAF_COST_MAX
    }

    /// Number of operators.
    pub(super) fn operators(self) -> u32 {
        self.operators
    }
}

/// Whether an instruction changes something that a snapshot of memory and globals would miss, or
/// waits for other threads.
pub(super) fn is_state_outside_memory(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::TableSet { .. }
            | Operator::TableGrow { .. }
            | Operator::TableFill { .. }
            | Operator::TableCopy { .. }
            | Operator::TableInit { .. }
            | Operator::ElemDrop { .. }
            | Operator::DataDrop { .. }
            | Operator::MemoryInit { .. }
            | Operator::MemoryAtomicNotify { .. }
            | Operator::MemoryAtomicWait32 { .. }
            | Operator::MemoryAtomicWait64 { .. }
            | Operator::ReturnCall { .. }
            | Operator::ReturnCallIndirect { .. }
    )
}

/// Operators that `operator` counts as on its own.
fn own_cost(operator: &Operator<'_>) -> u32 {
    match operator {
        Operator::MemoryGrow { .. } => MEMORY_GROW_COST,
        Operator::Block { .. } | Operator::Loop { .. } | Operator::End | Operator::Nop => 0,
        _ => 1,
    }
}

/// The charges of one function: at entry, and at each loop in the order of the `loop`s.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Charges {
    /// Charged at the function's entry; none for a leaf.
    pub(super) entry: Option<u32>,
    /// Charged at the head of each loop.
    pub(super) loops: Vec<u32>,
}

impl Charges {
    /// Computes the charges of the function `body`, whose shape is `shape`.
    pub(super) fn of(
        body: &FunctionBody<'_>,
        shape: FunctionShape,
        survey: &Survey,
    ) -> Result<Self, InstrumentError> {
        if shape.is_leaf() {
            return Ok(Self { entry: None, loops: Vec::new() });
        }
        let mut entry = 0_u32;
        let mut loops: Vec<u32> = Vec::new();
        // For each open block: the loop whose region it belongs to, `None` for the function's own.
        let mut open: Vec<Option<usize>> = Vec::new();
        for operator in body.get_operators_reader()? {
            let operator = operator?;
            let region = open.last().copied().flatten();
            let mut cost = own_cost(&operator);
            match &operator {
                Operator::Loop { .. } => {
                    open.push(Some(loops.len()));
                    loops.push(0);
                }
                Operator::Block { .. } | Operator::If { .. } => open.push(region),
                Operator::End => {
                    open.pop();
                }
                Operator::Call { function_index } => {
                    if let Some(callee) = survey.function(*function_index).filter(|f| f.is_leaf()) {
                        cost = cost.saturating_add(callee.operators());
                    }
                }
                _ => {}
            }
            let sum = match region {
                Some(index) => loops.get_mut(index),
                None => Some(&mut entry),
            };
            if let Some(sum) = sum {
                *sum = sum.saturating_add(cost);
            }
        }
        let bounded = |cost: u32| cost.clamp(1, REGION_COST_MAX);
        loops.iter_mut().for_each(|cost| *cost = bounded(*cost));
        Ok(Self { entry: Some(bounded(entry)), loops })
    }
}
