//! What the sandbox brings itself, so that no index is needed for it.
//!
//! The wheels come with the guest. Some are the pure-Python part of packages whose indexes
//! have wheels with native code only; others have no code and stand for what is in the sandbox already.

use std::str::FromStr as _;

use pep440_rs::Version;
use vivarium_guest::WHEELS;

use super::requirement::Requirement;

/// A wheel inside this program.
#[derive(Debug)]
pub(super) struct Provided {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    pub(super) file_name: &'static str,
    pub(super) bytes: &'static [u8],
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An ordinary wheel.
    Wheel,
    /// Compiled into the interpreter with NumPy.
    NumPy,
    /// Modules that every sandbox has; any version may be asked for.
    StandIn,
}

macro_rules! provided {
    ($index:literal, $name:literal, $version:literal, $kind:ident) => {
        Provided {
            name: $name,
            version: $version,
            file_name: WHEELS[$index].file_name,
            bytes: WHEELS[$index].bytes,
            kind: Kind::$kind,
        }
    };
}

/// All of them, by name.
pub(super) static PROVIDED: [Provided; 6] = [
    provided!(0, "arrow-udf", "0.3.2", StandIn),
    provided!(1, "databend-udf", "0.2.20", StandIn),
    provided!(2, "markupsafe", "3.0.3", Wheel),
    provided!(3, "msgpack", "1.2.4", Wheel),
    provided!(4, "numpy", "2.4.6", NumPy),
    provided!(5, "pyyaml", "6.0.3", Wheel),
];

/// Top-level modules of the sandbox that are in no package.
pub(super) const OWN_MODULES: [&str; 5] = ["arrow_udf", "databend_udf", "numpy", "pyarrow", "vivarium"];

/// Modules of the standard library that the sandbox lacks, but popular packages import without using
/// them here; path and content.
pub(super) const STAND_IN_MODULES: [(&str, &[u8]); 4] = [
    ("bz2.py", include_bytes!("../../packages/modules/bz2.py")),
    ("ctypes.py", include_bytes!("../../packages/modules/ctypes.py")),
    ("pydoc.py", include_bytes!("../../packages/modules/pydoc.py")),
    ("ssl.py", include_bytes!("../../packages/modules/ssl.py")),
];

/// What is provided under a normalised name.
pub(super) fn find(name: &str) -> Option<&'static Provided> {
    PROVIDED.iter().find(|provided| provided.name == name)
}

/// All of them, for a message.
pub(super) fn list() -> String {
    let names: Vec<_> =
        PROVIDED.iter().map(|provided| format!("{} {}", provided.name, provided.version)).collect();
    names.join(", ")
}

impl Provided {
    /// Whether the sandbox has it without collecting anything.
    pub(super) fn is_built_in(&self) -> bool {
        self.kind != Kind::Wheel
    }

    /// Whether any version of it may be asked for.
    pub(super) fn is_stand_in(&self) -> bool {
        self.kind == Kind::StandIn
    }

    /// Whether it is what the requirement asks for.
    pub(super) fn satisfies(&self, requirement: &Requirement) -> bool {
        self.kind == Kind::StandIn
            || Version::from_str(self.version).is_ok_and(|version| requirement.accepts(&version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::parse_requirements;
    use crate::packages::wheel::{self, Identity};

    #[test]
    fn the_wheels_are_what_they_are_called() {
        for provided in &PROVIDED {
            let identity = Identity { name: provided.name, version: provided.version };
            let limits = crate::archive::ArchiveLimits::default();
            let files = wheel::unpack(provided.bytes, &identity, &limits).unwrap();
            let has_code = files.iter().any(|(path, _)| path.ends_with(".py"));
            assert_eq!(has_code, !provided.is_built_in(), "{}", provided.name);
            let has_licence = files.iter().any(|(path, _)| path.contains(".dist-info/licenses/"));
            assert_eq!(has_licence, has_code, "{}", provided.name);
        }
    }

    #[test]
    fn numpy_is_the_one_in_the_guest() {
        assert_eq!(find("numpy").unwrap().version, vivarium_runtime::NUMPY_VERSION);
    }

    #[test]
    fn a_stand_in_satisfies_any_version_and_numpy_its_own_only() {
        for (text, expected) in [
            ("numpy", true),
            ("numpy>=2", true),
            ("numpy==2.4.6", true),
            ("numpy<2", false),
            ("databend-udf==0.1", true),
            ("pyyaml==5", false),
        ] {
            let requirement = &parse_requirements(&[text.to_owned()]).unwrap()[0];
            let provided = find(requirement.name()).unwrap();
            assert_eq!(provided.satisfies(requirement), expected, "{text}");
        }
    }
}
