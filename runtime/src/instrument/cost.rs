//! The static cost of functions and loops. The model is described in the parent module.

use wasmparser::{FunctionBody, Operator};

use super::survey::Survey;
use super::{InstrumentError, LEAF_COST_MAX, MEMORY_GROW_COST};

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
        Operator::Block { .. }
        | Operator::Loop { .. }
        | Operator::Else
        | Operator::End
        | Operator::Nop
        | Operator::Drop
        | Operator::LocalGet { .. }
        | Operator::I32Const { .. }
        | Operator::I64Const { .. } => 0,
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
        let mut walk = Walk::default();
        for operator in body.get_operators_reader()? {
            let operator = operator?;
            let mut cost = own_cost(&operator);
            if let Operator::Call { function_index } = &operator
                && let Some(callee) = survey.function(*function_index).filter(|f| f.is_leaf())
            {
                cost = cost.saturating_add(callee.operators());
            }
            walk.step(&operator, cost);
        }
        let bounded = |cost: u64| u32::try_from(cost / ONE).unwrap_or(u32::MAX).max(1);
        Ok(Self { entry: Some(bounded(walk.entry)), loops: walk.loops.into_iter().map(bounded).collect() })
    }
}

/// Probability 1, in fixed point: costs must come out the same on every machine.
const ONE: u64 = 1 << 20;

/// A conditional branch is taken once in this many times. Compilers branch away from the road that
/// they expect to be taken.
const BRANCH_TAKEN: u64 = 8;

/// Follows control flow once, forward, and adds up what each region costs on average.
#[derive(Default)]
struct Walk {
    /// Chance to get here from the start of the current region.
    chance: u64,
    started: bool,
    open: Vec<Open>,
    entry: u64,
    loops: Vec<u64>,
}

/// A block that has not ended.
struct Open {
    /// The loop in whose region the block's content is; `None` for the function's own.
    region: Option<usize>,
    kind: Kind,
    /// Chances of the branches to the block's end.
    arriving: u64,
}

enum Kind {
    Block,
    /// Chance of the other arm, until it begins.
    If(u64),
    /// Chance to get to the loop, in the region around it.
    Loop(u64),
}

impl Walk {
    fn step(&mut self, operator: &Operator<'_>, cost: u32) {
        if !self.started {
            self.started = true;
            self.chance = ONE;
        }
        let weighted = self.chance.saturating_mul(u64::from(cost));
        let region = self.region();
        let sum = match region {
            Some(index) => self.loops.get_mut(index),
            None => Some(&mut self.entry),
        };
        if let Some(sum) = sum {
            *sum = sum.saturating_add(weighted);
        }
        match operator {
            Operator::Block { .. } => self.begin(region, Kind::Block),
            Operator::If { .. } => {
                self.chance /= 2;
                self.begin(region, Kind::If(self.chance));
            }
            Operator::Loop { .. } => {
                let around = std::mem::replace(&mut self.chance, ONE);
                self.begin(Some(self.loops.len()), Kind::Loop(around));
                self.loops.push(0);
            }
            Operator::Else => {
                let after = std::mem::take(&mut self.chance);
                if let Some(open) = self.open.last_mut() {
                    open.arriving = open.arriving.saturating_add(after);
                    if let Kind::If(other) = &mut open.kind {
                        self.chance = std::mem::take(other);
                    }
                }
            }
            Operator::End => self.end(),
            Operator::Br { relative_depth } => {
                let chance = std::mem::take(&mut self.chance);
                self.branch(*relative_depth, chance);
            }
            Operator::BrIf { relative_depth } => {
                let taken = self.chance / BRANCH_TAKEN;
                self.chance -= taken;
                self.branch(*relative_depth, taken);
            }
            Operator::BrTable { targets } => {
                let chance = std::mem::take(&mut self.chance);
                let each = chance / (u64::from(targets.len()) + 1);
                for target in targets.targets().flatten() {
                    self.branch(target, each);
                }
                self.branch(targets.default(), each);
            }
            Operator::Return | Operator::Unreachable => self.chance = 0,
            _ => {}
        }
    }

    fn region(&self) -> Option<usize> {
        self.open.last().and_then(|open| open.region)
    }

    fn begin(&mut self, region: Option<usize>, kind: Kind) {
        self.open.push(Open { region, kind, arriving: 0 });
    }

    fn end(&mut self) {
        let Some(open) = self.open.pop() else { return };
        self.chance = match open.kind {
            // Whoever enters a loop leaves it, by whatever road.
            Kind::Loop(around) => around,
            Kind::Block => self.chance.saturating_add(open.arriving),
            Kind::If(other) => self.chance.saturating_add(open.arriving).saturating_add(other),
        };
    }

    /// Lets `chance` arrive at the end of a block of the same region. Branches back to a loop and out
    /// of one are settled when the loop ends.
    fn branch(&mut self, depth: u32, chance: u64) {
        let region = self.region();
        let Some(index) = (self.open.len() - 1).checked_sub(depth as usize) else { return };
        if let Some(open) = self.open.get_mut(index)
            && open.region == region
            && !matches!(open.kind, Kind::Loop(_))
        {
            open.arriving = open.arriving.saturating_add(chance);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmparser::{Parser, Payload};

    /// Charges of the last function of a module with these functions.
    fn charges(functions: &str) -> Charges {
        let text = format!("(module (memory 1) (func $call (loop)) {functions})");
        let wasm = wat::parse_str(text).unwrap();
        let survey = Survey::read(&wasm).unwrap();
        let bodies = Parser::new(0).parse_all(&wasm).filter_map(|payload| match payload.unwrap() {
            Payload::CodeSectionEntry(body) => Some(body),
            _ => None,
        });
        let (body, shape) = bodies.zip(&survey.functions).last().unwrap();
        Charges::of(&body, *shape, &survey).unwrap()
    }

    fn nops(count: usize) -> String {
        "(drop (i32.eqz (i32.const 0)))".repeat(count)
    }

    #[test]
    fn straight_lines_cost_what_they_are() {
        assert_eq!(charges(&format!("(func (call $call) {})", nops(9))).entry, Some(10));
        let looped = charges(&format!("(func {} (loop {}) {})", nops(5), nops(300), nops(6)));
        assert_eq!(looped, Charges { entry: Some(11), loops: vec![300] });
    }

    #[test]
    fn nested_loops_are_charged_apart() {
        let nested = charges(&format!(
            "(func (loop {} (loop {} (br_if 0 (i32.const 0))) {} (br_if 0 (i32.const 0))))",
            nops(10),
            nops(20),
            nops(30)
        ));
        assert_eq!(nested, Charges { entry: Some(1), loops: vec![41, 21] });
    }

    #[test]
    fn arms_count_by_their_chance() {
        let both = charges(&format!(
            "(func (call $call) (if (i32.const 0) (then {}) (else {})))",
            nops(100),
            nops(20)
        ));
        assert_eq!(both.entry, Some(2 + 60));
        let table = charges(&format!(
            "(func (call $call)
                (block (block (block (block (br_table 0 1 2 3 (i32.const 0)))
                    {a} (br 2)) {a} (br 1)) {a}))",
            a = nops(400)
        ));
        // Three arms of four have 400 operators.
        assert!((300..310).contains(&table.entry.unwrap()), "{table:?}");
    }

    #[test]
    fn code_after_a_way_out_counts_less() {
        let guarded = charges(&format!(
            "(func (call $call) (block (br_if 0 (i32.const 0)) {} (return)) {})",
            nops(80),
            nops(800)
        ));
        assert_eq!(guarded.entry, Some(2 + 70 + 1 + 100 - 1));
        assert_eq!(charges(&format!("(func (call $call) (unreachable) {})", nops(99))).entry, Some(2));
    }

    #[test]
    fn leaves_are_charged_to_their_callers() {
        let leaf = format!("(func $leaf {})", nops(40));
        assert_eq!(charges(&leaf), Charges { entry: None, loops: vec![] });
        assert_eq!(charges(&format!("{leaf} (func (call $leaf) (call $leaf))")).entry, Some(82));
        let large = format!("(func $large {})", nops(65));
        assert_eq!(charges(&large).entry, Some(65));
        assert_eq!(charges("(func $self (call $self))").entry, Some(1));
    }

    #[test]
    fn endless_roads_cost_something() {
        assert_eq!(charges("(func (loop (br 0)))"), Charges { entry: Some(1), loops: vec![1] });
    }
}
