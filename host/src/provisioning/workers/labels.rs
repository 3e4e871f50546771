//! Tags and options: a few short texts under short names.

use std::collections::BTreeMap;

use tonic::Code;

use super::{SUSPENDED, excerpt};
use crate::config::ProvisioningConfig;
use crate::status::Failure;

/// Tags or options by name.
pub(in crate::provisioning) type Labels = BTreeMap<String, String>;

/// Why tags or options cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// There are too many of them.
    #[error(
        "a worker has at most {limit} {what}s (limit provisioning.max_labels); it would have {requested}"
    )]
    TooMany {
        /// `tag` or `option`.
        what: &'static str,
        /// Allowed.
        limit: usize,
        /// There would be.
        requested: usize,
    },
    /// One of them is too long.
    #[error("the {what} `{key}` has {requested} bytes; limit provisioning.max_label_bytes is {limit}")]
    TooLong {
        /// `tag` or `option`.
        what: &'static str,
        /// The beginning of its name.
        key: String,
        /// Bytes of name and value allowed.
        limit: usize,
        /// Bytes given.
        requested: usize,
    },
    /// A name is empty.
    #[error("a name of a {what} is empty")]
    Empty {
        /// `tag` or `option`.
        what: &'static str,
    },
    /// The same is to be set and to be taken away.
    #[error("the {what} `{key}` is to be set and to be unset at the same time")]
    Contradiction {
        /// `tag` or `option`.
        what: &'static str,
        /// The beginning of its name.
        key: String,
    },
    /// An option that is changed in another way.
    #[error("the option `{SUSPENDED}` is changed by suspending and resuming the worker")]
    Reserved,
}

impl Failure for LabelError {
    fn code(&self) -> Code {
        match self {
            Self::TooMany { .. } | Self::TooLong { .. } => Code::ResourceExhausted,
            _ => Code::InvalidArgument,
        }
    }
}

/// Changes labels: `unset` that are not there are no error.
pub(super) fn apply(
    what: &'static str,
    labels: &mut Labels,
    set: Labels,
    unset: &[String],
    limits: &ProvisioningConfig,
) -> Result<(), LabelError> {
    if what == "option" && set.keys().chain(unset).any(|key| key == SUSPENDED) {
        return Err(LabelError::Reserved);
    }
    for key in unset {
        if set.contains_key(key) {
            return Err(LabelError::Contradiction { what, key: excerpt(key) });
        }
        labels.remove(key);
    }
    for (key, value) in set {
        let requested = key.len() + value.len();
        if key.is_empty() {
            return Err(LabelError::Empty { what });
        }
        if requested > limits.max_label_bytes {
            return Err(LabelError::TooLong {
                what,
                key: excerpt(&key),
                limit: limits.max_label_bytes,
                requested,
            });
        }
        labels.insert(key, value);
    }
    if labels.len() > limits.max_labels {
        return Err(LabelError::TooMany { what, limit: limits.max_labels, requested: labels.len() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_named() {
        let limits =
            ProvisioningConfig { max_labels: 2, max_label_bytes: 5, ..ProvisioningConfig::default() };
        let change = |set: &[(&str, &str)], unset: &[&str]| {
            let set = set.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
            let unset: Vec<_> = unset.iter().map(|&key| key.to_owned()).collect();
            let mut labels = Labels::from([("a".to_owned(), "1".to_owned())]);
            apply("tag", &mut labels, set, &unset, &limits)
                .map(|()| labels)
                .map_err(|error| error.to_string())
        };
        assert_eq!(
            change(&[("b", "2")], &["a", "z"]).unwrap(),
            Labels::from([("b".to_owned(), "2".to_owned())])
        );
        for (set, unset, message) in [
            (
                &[("b", ""), ("c", "")][..],
                &[][..],
                "a worker has at most 2 tags (limit provisioning.max_labels); it would have 3",
            ),
            (&[("b", "12345")], &[], "the tag `b` has 6 bytes; limit provisioning.max_label_bytes is 5"),
            (&[("", "1")], &[], "a name of a tag is empty"),
            (&[("b", "")], &["b"], "the tag `b` is to be set and to be unset at the same time"),
        ] {
            assert_eq!(change(set, unset).unwrap_err(), message);
        }
    }
}
