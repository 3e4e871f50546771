//! Functions and batches that several benchmarks use.

use vivarium_benches::client::Definition;

/// A function that no other benchmark and no other number has.
pub(crate) fn numbered(number: usize) -> Definition {
    Definition::of_integers(format!("def f(a, b):\n    return a + b + {number}\n"), 2)
}

/// What one row must be answered by the interpreter for, some 100 µs of it: objects, text and a dictionary,
/// none of which is evaluated without it.
pub(crate) const HEAVY: &str = "\
def f(n):
    seen = {}
    for step in range(200):
        word = str((n * 7 + step) % 61)
        seen[word] = seen.get(word, 0) + len(word)
    return sum(seen.values())
";
