//! What a function's code looks like to the meter: its regions, their average cost, and the calls in
//! them. Nothing here knows other functions.

use wasmparser::{FunctionBody, Operator};

use super::{BULK_BYTES_PER_UNIT, CONSTANT_BULK_MAX, InstrumentError, MEMORY_GROW_COST};

/// Probability 1, in fixed point: costs must come out the same on every machine.
pub(super) const ONE: u64 = 1 << 20;

/// A conditional branch is taken once in this many times. Compilers branch away from the road that
/// they expect to be taken.
const BRANCH_TAKEN: u64 = 8;

/// One function.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FunctionProfile {
    /// Average number of operators of one pass through the body outside of its loops, times [`ONE`].
    pub(super) own: u64,
    /// The loops, in the order of their `loop`s.
    pub(super) loops: Vec<LoopProfile>,
    /// All calls, in order.
    pub(super) calls: Vec<CallSite>,
    /// Whether it copies or fills memory by a length that is not a small constant.
    pub(super) bulk: bool,
}

/// A call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CallSite {
    /// The function called; `None` for an indirect call.
    pub(super) callee: Option<u32>,
    /// The loop in whose region it is, `None` for the function's own.
    pub(super) region: Option<usize>,
    /// How often a pass through the region makes the call on average, times [`ONE`].
    pub(super) chance: u64,
    /// Whether it is reached by an unlikely branch only.
    pub(super) unlikely: bool,
}

/// One loop.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LoopProfile {
    /// Average number of operators of one pass through its body outside of nested loops, times [`ONE`].
    pub(super) own: u64,
    /// The loop around it, if any.
    pub(super) outer: Option<usize>,
    /// Calls in it and in nested loops, as a range of [`FunctionProfile::calls`].
    pub(super) calls: std::ops::Range<usize>,
    /// Whether it or a nested loop copies or fills memory by a computed length.
    pub(super) bulk: bool,
}

/// What an operator counts as on its own.
fn own_cost(operator: &Operator<'_>, constant: Option<u32>) -> u32 {
    match operator {
        Operator::MemoryGrow { .. } => MEMORY_GROW_COST,
        Operator::MemoryCopy { .. } | Operator::MemoryFill { .. } => {
            1 + constant.unwrap_or(0) / BULK_BYTES_PER_UNIT
        }
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

/// The length of a bulk operation, if the operator before it is a small constant.
pub(super) fn constant_length(before: Option<&Operator<'_>>) -> Option<u32> {
    match before {
        Some(Operator::I32Const { value }) => {
            u32::try_from(*value).ok().filter(|length| *length <= CONSTANT_BULK_MAX)
        }
        _ => None,
    }
}

/// Whether an instruction changes something that a snapshot of memory and globals would miss, or
/// waits for other threads, or leaves the function without returning.
fn is_unsupported(operator: &Operator<'_>) -> bool {
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
            | Operator::CallRef { .. }
            | Operator::ReturnCallRef { .. }
            | Operator::Throw { .. }
            | Operator::ThrowRef
            | Operator::TryTable { .. }
    )
}

impl FunctionProfile {
    /// Reads a function's body.
    pub(super) fn read(body: &FunctionBody<'_>) -> Result<Self, InstrumentError> {
        let mut walk = Walk { chance: ONE, heat: ONE, ..Walk::default() };
        let mut before = None;
        for operator in body.get_operators_reader()? {
            let operator = operator?;
            if is_unsupported(&operator) {
                return Err(InstrumentError::Unsupported {
                    what: "instructions that change tables or segments, exceptions, or tail calls",
                });
            }
            walk.step(&operator, constant_length(before.as_ref()));
            before = Some(operator);
        }
        Ok(walk.profile)
    }
}

/// Follows control flow once, forward.
#[derive(Default)]
struct Walk {
    profile: FunctionProfile,
    /// Chance to get here from the start of the current region.
    chance: u64,
    /// How likely the road here is, where all arms of a choice count as likely: [`ONE`] unless an
    /// unlikely branch must be taken.
    heat: u64,
    open: Vec<Open>,
}

/// A block that has not ended.
struct Open {
    /// The loop in whose region the block's content is; `None` for the function's own.
    region: Option<usize>,
    kind: Kind,
    /// Chance and heat of the branches to the block's end.
    chance: u64,
    heat: u64,
}

enum Kind {
    Block,
    /// Chance and heat of the other arm, until it begins.
    If(u64, u64),
    /// Chance and heat with which the loop is reached, in the region around it.
    Loop(u64, u64),
}

impl Walk {
    fn step(&mut self, operator: &Operator<'_>, constant: Option<u32>) {
        let weighted = self.chance.saturating_mul(u64::from(own_cost(operator, constant)));
        let region = self.region();
        let own = match region.and_then(|index| self.profile.loops.get_mut(index)) {
            Some(found) => &mut found.own,
            None => &mut self.profile.own,
        };
        *own = own.saturating_add(weighted);
        match operator {
            Operator::Block { .. } => self.begin(region, Kind::Block),
            Operator::If { .. } => {
                self.chance /= 2;
                self.begin(region, Kind::If(self.chance, self.heat));
            }
            Operator::Loop { .. } => {
                let around = Kind::Loop(self.chance, self.heat);
                (self.chance, self.heat) = (ONE, ONE);
                self.begin(Some(self.profile.loops.len()), around);
                let calls = self.profile.calls.len();
                self.profile.loops.push(LoopProfile {
                    outer: region,
                    calls: calls..calls,
                    ..LoopProfile::default()
                });
            }
            Operator::Else => {
                let after = (std::mem::take(&mut self.chance), std::mem::take(&mut self.heat));
                if let Some(open) = self.open.last_mut() {
                    open.arrive(after);
                    if let Kind::If(chance, heat) = &mut open.kind {
                        (self.chance, self.heat) = (std::mem::take(chance), std::mem::take(heat));
                    }
                }
            }
            Operator::End => self.end(),
            Operator::Br { relative_depth } => {
                let all = (std::mem::take(&mut self.chance), std::mem::take(&mut self.heat));
                self.branch(*relative_depth, all);
            }
            Operator::BrIf { relative_depth } => {
                let taken = self.chance / BRANCH_TAKEN;
                self.chance -= taken;
                self.branch(*relative_depth, (taken, self.heat / BRANCH_TAKEN));
            }
            Operator::BrTable { targets } => {
                let (chance, heat) = (std::mem::take(&mut self.chance), std::mem::take(&mut self.heat));
                let each = chance / (u64::from(targets.len()) + 1);
                for target in targets.targets().flatten() {
                    self.branch(target, (each, heat));
                }
                self.branch(targets.default(), (each, heat));
            }
            Operator::Return | Operator::Unreachable => (self.chance, self.heat) = (0, 0),
            Operator::Call { function_index } => self.call(region, Some(*function_index)),
            Operator::CallIndirect { .. } => self.call(region, None),
            Operator::MemoryCopy { .. } | Operator::MemoryFill { .. } if constant.is_none() => {
                self.profile.bulk = true;
                self.mark_bulk(region);
            }
            // What it brings is charged by its replacement.
            Operator::MemoryGrow { .. } => {
                self.profile.bulk = true;
                self.mark_bulk(region);
            }
            _ => {}
        }
    }

    fn region(&self) -> Option<usize> {
        self.open.last().and_then(|open| open.region)
    }

    fn call(&mut self, region: Option<usize>, callee: Option<u32>) {
        let (chance, unlikely) = (self.chance, self.heat < ONE);
        self.profile.calls.push(CallSite { callee, region, chance, unlikely });
    }

    fn mark_bulk(&mut self, region: Option<usize>) {
        let mut around = region;
        while let Some(found) = around.and_then(|index| self.profile.loops.get_mut(index)) {
            found.bulk = true;
            around = found.outer;
        }
    }

    fn begin(&mut self, region: Option<usize>, kind: Kind) {
        self.open.push(Open { region, kind, chance: 0, heat: 0 });
    }

    fn end(&mut self) {
        let Some(mut open) = self.open.pop() else { return };
        match open.kind {
            // Whoever enters a loop leaves it, by whatever road.
            Kind::Loop(chance, heat) => {
                (self.chance, self.heat) = (chance, heat);
                let calls = self.profile.calls.len();
                if let Some(ended) = open.region.and_then(|index| self.profile.loops.get_mut(index)) {
                    ended.calls.end = calls;
                }
                return;
            }
            Kind::Block => {}
            Kind::If(chance, heat) => open.arrive((chance, heat)),
        }
        open.arrive((self.chance, self.heat));
        (self.chance, self.heat) = (open.chance, open.heat);
    }

    /// Lets a branch arrive at the end of a block of the same region. Branches back to a loop and out
    /// of one are settled when the loop ends.
    fn branch(&mut self, depth: u32, branch: (u64, u64)) {
        let region = self.region();
        let Some(index) = self.open.len().checked_sub(1 + depth as usize) else { return };
        if let Some(open) = self.open.get_mut(index)
            && open.region == region
            && !matches!(open.kind, Kind::Loop(..))
        {
            open.arrive(branch);
        }
    }
}

impl Open {
    fn arrive(&mut self, (chance, heat): (u64, u64)) {
        self.chance = self.chance.saturating_add(chance);
        self.heat = self.heat.max(heat);
    }
}
