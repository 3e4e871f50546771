//! The code that is added to the module: charges where they are due, and some functions: the slow path
//! of a charge, metered replacements of `memory.fill`, `memory.copy` (both in pieces) and `memory.grow`, and
//! the way to the host for input.

use wasm_encoder::{BlockType, BranchHint, Function, InstructionSink, ValType};

use super::{BULK_BYTES_PER_UNIT, BULK_PIECE_BYTES, MEMORY_PAGE_COST};

/// Indices of the injected items, in the rewritten module.
#[derive(Clone, Copy)]
pub(super) struct Injected {
    /// The imported `vivarium.refill: (i64) -> i64`.
    pub(super) refill: u32,
    /// The imported `vivarium.pull: (i32, i32) -> i32`.
    pub(super) pull: u32,
    /// The fuel global.
    pub(super) fuel: u32,
    /// `() -> ()`: hands the negative counter to the host and stores the next slice.
    pub(super) out_of_slice: u32,
    /// `(dest, value, length) -> ()`.
    pub(super) memory_fill: u32,
    /// `(dest, source, length) -> ()`.
    pub(super) memory_copy: u32,
    /// `(pages) -> pages before, or -1`.
    pub(super) memory_grow: u32,
    /// The type `(i32, i32) -> ()`.
    pub(super) two_numbers: u32,
}

/// A function being written.
pub(super) struct Emitter {
    pub(super) function: Function,
    pub(super) injected: Injected,
    /// The branches to the slow paths.
    pub(super) unlikely: Vec<BranchHint>,
}

/// A bulk memory operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bulk {
    Fill,
    Copy,
}

impl Emitter {
    /// Charges `cost` units.
    pub(super) fn charge(&mut self, cost: u32) {
        let injected = self.injected;
        let mut code = self.function.instructions();
        code.global_get(injected.fuel).i64_const(i64::from(cost));
        injected.settle(&mut code);
        self.slow_path(None);
    }

    /// Reads the fuel counter into the local `cache`.
    pub(super) fn load_cache(&mut self, cache: u32) {
        self.function.instructions().global_get(self.injected.fuel).local_set(cache);
    }

    /// Charges `cost` units where the local `cache` is known to equal the fuel counter: spares a tight
    /// loop the detour through memory from one iteration to the next.
    pub(super) fn charge_cached(&mut self, cost: u32, cache: u32) {
        let mut code = self.function.instructions();
        code.local_get(cache).i64_const(i64::from(cost)).i64_sub().local_tee(cache);
        code.global_set(self.injected.fuel).local_get(cache).i64_const(0).i64_lt_s();
        self.slow_path(Some(cache));
    }

    fn slow_path(&mut self, cache: Option<u32>) {
        // Offsets fit: a function body is at most 7.6 MiB in every engine.
        let branch_func_offset = u32::try_from(self.function.byte_len()).unwrap_or(u32::MAX);
        self.unlikely.push(BranchHint { branch_func_offset, branch_hint_value: 0 });
        let mut code = self.function.instructions();
        code.if_(BlockType::Empty).call(self.injected.out_of_slice);
        if let Some(cache) = cache {
            code.global_get(self.injected.fuel).local_set(cache);
        }
        code.end();
    }

    /// Performs a bulk operation whose operands are on the stack. Up to one piece it is charged on the
    /// spot, and whether fuel is left is seen at the next charge; beyond, a function takes over.
    pub(super) fn bulk(&mut self, length: u32, bulk: Bulk) {
        let injected = self.injected;
        let mut code = self.function.instructions();
        code.local_tee(length).i32_const(BULK_PIECE_BYTES.cast_signed()).i32_gt_u();
        let branch_func_offset = u32::try_from(self.function.byte_len()).unwrap_or(u32::MAX);
        self.unlikely.push(BranchHint { branch_func_offset, branch_hint_value: 0 });
        let mut code = self.function.instructions();
        code.if_(BlockType::FunctionType(injected.two_numbers)).local_get(length);
        match bulk {
            Bulk::Fill => code.call(injected.memory_fill),
            Bulk::Copy => code.call(injected.memory_copy),
        };
        code.else_();
        injected.bytes_cost(&mut code, length);
        code.i64_sub().global_set(injected.fuel).local_get(length);
        match bulk {
            Bulk::Fill => code.memory_fill(0),
            Bulk::Copy => code.memory_copy(0, 0),
        };
        code.end();
    }
}

impl Injected {
    /// Emits `fuel -= cost` and the test whether it fell below zero, after the caller has put `fuel`
    /// and `cost` on the stack.
    fn settle(&self, code: &mut InstructionSink<'_>) {
        code.i64_sub().global_set(self.fuel).global_get(self.fuel).i64_const(0).i64_lt_s();
    }

    /// Puts the fuel counter and the cost of as many bytes as the local `bytes` says on the stack.
    fn bytes_cost(&self, code: &mut InstructionSink<'_>, bytes: u32) {
        code.global_get(self.fuel).local_get(bytes).i32_const(BULK_BYTES_PER_UNIT.trailing_zeros() as i32);
        code.i32_shr_u().i64_extend_i32_u();
    }

    /// Emits a charge for as many bytes as local `bytes` says.
    fn charge_bytes(&self, code: &mut InstructionSink<'_>, bytes: u32) {
        self.bytes_cost(code, bytes);
        self.settle(code);
        code.if_(BlockType::Empty).call(self.out_of_slice).end();
    }

    /// Body of the charge's slow path.
    pub(super) fn out_of_slice_body(&self) -> Function {
        let mut function = Function::new([]);
        function.instructions().global_get(self.fuel).call(self.refill).global_set(self.fuel).end();
        function
    }

    /// Body of what was the stub for input. The host function charges for itself.
    pub(super) fn pull_body(&self) -> Function {
        let mut function = Function::new([]);
        function.instructions().local_get(0).local_get(1).call(self.pull).end();
        function
    }

    /// Body of the replacement of `memory.fill`.
    pub(super) fn memory_fill_body(&self) -> Function {
        let (dest, value, length, piece) = (0, 1, 2, 3);
        let mut function = Function::new([(1, ValType::I32)]);
        let mut code = function.instructions();
        code.loop_(BlockType::Empty);
        Self::next_piece(&mut code, length, piece);
        self.charge_bytes(&mut code, piece);
        code.local_get(dest).local_get(value).local_get(piece).memory_fill(0);
        code.local_get(dest).local_get(piece).i32_add().local_set(dest);
        code.local_get(length).local_get(piece).i32_sub().local_tee(length).br_if(0);
        code.end().end();
        function
    }

    /// Body of the replacement of `memory.copy`. Pieces go forward when the destination lies below
    /// the source and backward otherwise, so that overlapping ranges come out right.
    pub(super) fn memory_copy_body(&self) -> Function {
        let (dest, source, length, piece) = (0, 1, 2, 3);
        let mut function = Function::new([(1, ValType::I32)]);
        let mut code = function.instructions();
        code.local_get(dest).local_get(source).i32_le_u().if_(BlockType::Empty);
        code.loop_(BlockType::Empty);
        Self::next_piece(&mut code, length, piece);
        self.charge_bytes(&mut code, piece);
        code.local_get(dest).local_get(source).local_get(piece).memory_copy(0, 0);
        code.local_get(dest).local_get(piece).i32_add().local_set(dest);
        code.local_get(source).local_get(piece).i32_add().local_set(source);
        code.local_get(length).local_get(piece).i32_sub().local_tee(length).br_if(0);
        code.end();
        code.else_();
        code.loop_(BlockType::Empty);
        Self::next_piece(&mut code, length, piece);
        self.charge_bytes(&mut code, piece);
        code.local_get(length).local_get(piece).i32_sub().local_set(length);
        code.local_get(dest).local_get(length).i32_add();
        code.local_get(source).local_get(length).i32_add();
        code.local_get(piece).memory_copy(0, 0);
        code.local_get(length).br_if(0);
        code.end();
        code.end().end();
        function
    }

    /// Body of the replacement of `memory.grow`. What is refused costs nothing but the call.
    pub(super) fn memory_grow_body(&self) -> Function {
        let (pages, before) = (0, 1);
        let mut function = Function::new([(1, ValType::I32)]);
        let mut code = function.instructions();
        code.local_get(pages).memory_grow(0).local_tee(before).i32_const(-1).i32_ne();
        code.if_(BlockType::Empty);
        code.global_get(self.fuel).local_get(pages).i64_extend_i32_u();
        code.i64_const(MEMORY_PAGE_COST.into()).i64_mul();
        self.settle(&mut code);
        code.if_(BlockType::Empty).call(self.out_of_slice).end();
        code.end();
        code.local_get(before).end();
        function
    }

    /// `piece = min(length, BULK_PIECE_BYTES)`, unsigned.
    fn next_piece(code: &mut InstructionSink<'_>, length: u32, piece: u32) {
        let most = BULK_PIECE_BYTES.cast_signed();
        code.local_get(length).i32_const(most);
        code.local_get(length).i32_const(most).i32_lt_u();
        code.select().local_set(piece);
    }
}
