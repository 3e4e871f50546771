//! Which of the two interpreters runs a function.

use serde::{Deserialize, Serialize};

/// Which interpreter runs a function. Both are the same CPython.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpreter {
    /// CPython with its standard library.
    #[default]
    Plain,
    /// The same with NumPy, which is imported already: `import numpy` costs nothing, each fork some
    /// microseconds more.
    #[serde(rename = "numpy")]
    NumPy,
}

impl Interpreter {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Plain, Self::NumPy];

    /// The name, as in specs: `plain`, `numpy`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::NumPy => "numpy",
        }
    }

    /// The interpreter that code asks for: the one with NumPy if the word `numpy` stands anywhere in it,
    /// be it in a comment. Code that names it otherwise, or needs it for a package, has to be given the
    /// right one.
    pub fn for_code(code: &str) -> Self {
        const WORD: &str = "numpy";
        let is_part = |c: char| c == '_' || c.is_alphanumeric();
        let is_word = |(start, _): (usize, &str)| {
            let (before, rest) = code.split_at(start);
            let after = rest.get(WORD.len()..).unwrap_or_default();
            !before.chars().next_back().is_some_and(is_part) && !after.chars().next().is_some_and(is_part)
        };
        if code.match_indices(WORD).any(is_word) { Self::NumPy } else { Self::Plain }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_asks_for_numpy_by_its_name() {
        for code in [
            "import numpy",
            "import numpy as np",
            "from numpy.linalg import solve",
            "import math,numpy;x=1",
            "# needs numpy",
            "importlib.import_module('numpy')",
        ] {
            assert_eq!(Interpreter::for_code(code), Interpreter::NumPy, "{code}");
        }
        for code in ["", "import math", "numpy_like = 1", "mynumpy", "import xnumpy", "numpyé = 2", "Numpy"]
        {
            assert_eq!(Interpreter::for_code(code), Interpreter::Plain, "{code}");
        }
    }

    #[test]
    fn names_are_those_of_specs() {
        for interpreter in Interpreter::ALL {
            let json = serde_json::to_value(interpreter).unwrap();
            assert_eq!(json, interpreter.name());
        }
    }
}
