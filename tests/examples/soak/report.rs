//! What became of the attacks.

use std::collections::BTreeMap;
use std::fmt;

/// How one attack ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ending {
    /// Whether this is what should become of it.
    pub(crate) is_expected: bool,
    /// The code, and the beginning of the message.
    pub(crate) text: String,
}

/// Endings by kind of attack.
#[derive(Default)]
pub(crate) struct Tally(BTreeMap<&'static str, BTreeMap<Ending, u64>>);

impl Tally {
    pub(crate) fn count(&mut self, kind: &'static str, ending: Ending) {
        let endings = self.0.entry(kind).or_default();
        // Messages with numbers in them must not fill memory.
        let ending = if endings.len() < 50 || endings.contains_key(&ending) {
            ending
        } else {
            Ending { text: "others".to_owned(), ..ending }
        };
        *endings.entry(ending).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: Self) {
        for (kind, endings) in other.0 {
            for (ending, count) in endings {
                *self.0.entry(kind).or_default().entry(ending).or_default() += count;
            }
        }
    }

    pub(crate) fn calls(&self) -> u64 {
        self.0.values().flat_map(BTreeMap::values).sum()
    }

    pub(crate) fn unexpected(&self) -> u64 {
        let endings = self.0.values().flatten();
        endings.filter(|(ending, _)| !ending.is_expected).map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, endings) in &self.0 {
            writeln!(formatter, "{kind}: {}", endings.values().sum::<u64>())?;
            let mut endings: Vec<_> = endings.iter().collect();
            endings.sort_by_key(|(ending, count)| (ending.is_expected, std::cmp::Reverse(**count)));
            for (ending, count) in endings.iter().take(6) {
                let mark = if ending.is_expected { " " } else { "!" };
                writeln!(formatter, " {mark}{count:>9}  {}", ending.text)?;
            }
            if endings.len() > 6 {
                writeln!(formatter, "            and {} other endings", endings.len() - 6)?;
            }
        }
        Ok(())
    }
}

/// Something that must hold.
pub(crate) struct Promise {
    what: String,
    pub(crate) is_kept: bool,
}

impl Promise {
    pub(crate) fn new(what: &str, is_kept: bool) -> Self {
        Self { what: what.to_owned(), is_kept }
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", if self.is_kept { "kept  " } else { "BROKEN" }, self.what)
    }
}
