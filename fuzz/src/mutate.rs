//! Random changes of inputs, for runs without a fuzzing engine. The same seed gives the same changes.

/// A small generator of numbers that repeats itself for a seed.
#[derive(Clone, Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `bound`, or 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.number() >> 11) as usize % bound.max(1)
    }
}

/// Numbers at which things break.
const EDGES: [u64; 12] = [
    0,
    1,
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    i64::MAX as u64,
    i64::MIN as u64,
    u64::MAX,
];

/// Changes `input` in one to eight places; now and then brings in a piece of `other`.
pub fn mutate(input: &mut Vec<u8>, other: &[u8], numbers: &mut Numbers) {
    for _ in 0..=numbers.below(8) {
        let at = numbers.below(input.len());
        let len = 1 + numbers.below(16);
        let range = at..(at + len).min(input.len());
        match numbers.below(8) {
            0 if !input.is_empty() => input[at] ^= 1 << numbers.below(8),
            1 if !input.is_empty() => input[at] = numbers.number().to_le_bytes()[3],
            2 => {
                let value = EDGES[numbers.below(EDGES.len())].to_le_bytes();
                let width = [1, 2, 4, 8][numbers.below(4)].min(input.len() - at.min(input.len()));
                input[at..at + width].copy_from_slice(&value[..width]);
            }
            3 => drop(input.drain(range)),
            4 => {
                let copy = input[range].to_vec();
                input.splice(at..at, copy);
            }
            5 => {
                let from = numbers.below(other.len());
                let piece = other[from..(from + 4 * len).min(other.len())].to_vec();
                let end = (at + numbers.below(2) * piece.len()).min(input.len());
                input.splice(at..end, piece);
            }
            6 => input.truncate(at.max(1)),
            _ => {
                let bytes: Vec<u8> = (0..len).map(|_| numbers.number().to_le_bytes()[2]).collect();
                input.splice(at..at, bytes);
            }
        }
    }
}
