//! What the host asks of a loaded function, and what the guest may answer.

/// Second argument of `vivarium_invoke`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Operation {
    /// Starts a function over a batch.
    Call = 0,
    /// Asks a table or map function for more.
    Next = 1,
    /// Adds rows to groups.
    Accumulate = 2,
    /// Takes rows out of groups.
    Retract = 3,
    /// Adds states to groups.
    Merge = 4,
    /// Hands the groups' states over.
    States = 5,
    /// Hands the groups' results over.
    Finish = 6,
}

/// What an answer may say, which depends on the function's kind and the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// One array. The guest may keep the input.
    Column,
    /// One array.
    Total,
    /// No array.
    Nothing,
    /// Any number of arrays, the last of which may be the end.
    Rows,
    /// Any number of arrays, and then none.
    Batches,
}

/// What the guest answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The operation failed, and the guest knows why.
    pub(crate) failed: bool,
    /// There is an array.
    pub(crate) filled: bool,
    /// There may be a further array.
    pub(crate) more: bool,
    /// The input's memory belongs to the guest now.
    pub(crate) kept: bool,
}

const FAILED: i32 = -1;
const FAILED_KEPT: i32 = -2;
const MORE: i32 = 1;
const NOTHING: i32 = 2;
const KEPT: i32 = 16;

impl Answer {
    /// Reads an answer; `None` if it has no meaning here.
    pub(crate) fn read(value: i32, expect: Expect) -> Option<Self> {
        let keeps = expect == Expect::Column;
        if value == FAILED || (value == FAILED_KEPT && keeps) {
            return Some(Self { failed: true, filled: false, more: false, kept: value == FAILED_KEPT });
        }
        let kept = value & KEPT != 0;
        let meaningful = matches!(
            (expect, value & !KEPT),
            (Expect::Column | Expect::Total, 0)
                | (Expect::Nothing, NOTHING)
                | (Expect::Rows, 0 | MORE | NOTHING)
                | (Expect::Batches, MORE | NOTHING)
        );
        let (filled, more) = (value & NOTHING == 0, value & MORE != 0);
        (meaningful && (keeps || !kept)).then_some(Self { failed: false, filled, more, kept })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_a_meaning_is_read() {
        let meaningful = [
            (Expect::Column, &[-2, -1, 0, 16][..]),
            (Expect::Total, &[-1, 0]),
            (Expect::Nothing, &[-1, 2]),
            (Expect::Rows, &[-1, 0, 1, 2]),
            (Expect::Batches, &[-1, 1, 2]),
        ];
        for (expect, values) in meaningful {
            let read = |value: &i32| Answer::read(*value, expect).is_some();
            assert_eq!((-70..300).filter(read).collect::<Vec<_>>(), values, "{expect:?}");
        }
        let answer = Answer::read(KEPT, Expect::Column);
        assert_eq!(answer, Some(Answer { failed: false, filled: true, more: false, kept: true }));
        let answer = Answer::read(FAILED_KEPT, Expect::Column);
        assert_eq!(answer, Some(Answer { failed: true, filled: false, more: false, kept: true }));
    }
}
