//! Functions that are added to the module: the slow path of a charge, and metered, piecewise
//! replacements of `memory.fill` and `memory.copy`.

use wasm_encoder::{BlockType, Function, InstructionSink, ValType};

use super::{BULK_BYTES_PER_UNIT, BULK_PIECE_BYTES};

/// Indices of the injected items, in the rewritten module.
#[derive(Clone, Copy)]
pub(super) struct Injected {
    /// The imported `vivarium.refill: (i64) -> i64`.
    pub(super) refill: u32,
    /// The fuel global.
    pub(super) fuel: u32,
    /// `() -> ()`: hands the negative counter to the host and stores the next slice.
    pub(super) out_of_slice: u32,
    /// `(dest, value, length) -> ()`.
    pub(super) memory_fill: u32,
    /// `(dest, source, length) -> ()`.
    pub(super) memory_copy: u32,
}

impl Injected {
    /// Emits `fuel -= <i64 on the stack>; if fuel < 0 { out_of_slice() }` after the caller has put
    /// `fuel` and the amount on the stack. Returns nothing; the branch is the last `if` emitted.
    fn settle(&self, code: &mut InstructionSink<'_>) {
        code.i64_sub().global_set(self.fuel).global_get(self.fuel).i64_const(0).i64_lt_s();
    }

    /// Emits a charge of `cost` units. Returns the offset of the branch, for a branch hint.
    pub(super) fn charge(&self, function: &mut Function, cost: u32) -> usize {
        let mut code = function.instructions();
        code.global_get(self.fuel).i64_const(i64::from(cost));
        self.settle(&mut code);
        let branch = function.byte_len();
        function.instructions().if_(BlockType::Empty).call(self.out_of_slice).end();
        branch
    }

    /// Emits a charge for as many bytes as local `bytes` says.
    fn charge_bytes(&self, code: &mut InstructionSink<'_>, bytes: u32) {
        code.global_get(self.fuel).local_get(bytes).i32_const(BULK_BYTES_PER_UNIT.trailing_zeros() as i32);
        code.i32_shr_u().i64_extend_i32_u().i64_const(1).i64_add();
        self.settle(code);
        code.if_(BlockType::Empty).call(self.out_of_slice).end();
    }

    /// Body of the charge's slow path.
    pub(super) fn out_of_slice_body(&self) -> Function {
        let mut function = Function::new([]);
        function.instructions().global_get(self.fuel).call(self.refill).global_set(self.fuel).end();
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

    /// `piece = min(length, BULK_PIECE_BYTES)`, unsigned.
    fn next_piece(code: &mut InstructionSink<'_>, length: u32, piece: u32) {
        let most = BULK_PIECE_BYTES.cast_signed();
        code.local_get(length).i32_const(most);
        code.local_get(length).i32_const(most).i32_lt_u();
        code.select().local_set(piece);
    }
}
