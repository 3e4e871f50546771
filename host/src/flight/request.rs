//! Who calls what: the headers and the descriptor of a request.

use arrow_flight::FlightDescriptor;
use arrow_flight::flight_descriptor::DescriptorType;
use tonic::{Code, Request};
use vivarium_runtime::FunctionKind;

use super::signature::Phase;
use crate::config::HeaderConfig;
use crate::functions::{CallRefused, Version};
use crate::status::Failure;
use crate::tls::{ClientTenants, Peer};

/// A request with this header, set to `1`, is answered with what the function writes.
const LOGS_HEADER: &str = "x-vivarium-logs";

/// What a request's headers say.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) token: Option<String>,
    pub(super) tenant: Option<String>,
    pub(super) handler: Option<String>,
    pub(super) query: Option<String>,
    /// Where it comes from.
    pub(super) peer: Option<Peer>,
    /// Whether the caller wants to read what the function writes.
    pub(super) logs: bool,
    /// Name of the header that `handler` comes from.
    handler_header: String,
}

/// Why a request names no function.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RequestError {
    #[error("the first message has no descriptor; it must name the function by the path [handler]")]
    NoDescriptor,
    #[error(
        "the descriptor must be a path of one element, the handler, or two for an aggregate function; it is {found}"
    )]
    Descriptor { found: String },
    #[error("the descriptor's second element must be accumulate, merge or finish; it is `{found}`")]
    Phase { found: String },
    #[error("the descriptor has a second element, `{phase}`, but `{function}` is no aggregate function")]
    NoAggregate { function: String, phase: String },
    #[error("the descriptor names `{descriptor}`, the header `{name}` names `{header}`")]
    Contradiction { descriptor: String, name: String, header: String },
}

impl Failure for RequestError {
    fn code(&self) -> Code {
        Code::InvalidArgument
    }
}

impl Caller {
    pub(super) fn read<T>(request: &Request<T>, names: &HeaderConfig) -> Caller {
        let metadata = request.metadata();
        let text = |name: &str| metadata.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let token = text(&names.token).map(|value| match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim().to_owned(),
            _ => value,
        });
        Caller {
            token,
            tenant: text(&names.tenant),
            handler: text(&names.handler),
            query: text(&names.query),
            peer: request.extensions().get::<Peer>().cloned(),
            logs: text(LOGS_HEADER).is_some_and(|value| value.trim() == "1"),
            handler_header: names.handler.clone(),
        }
    }
}

impl Caller {
    /// Refuses a client whose certificate is not for the version's tenant. Public functions have none.
    pub(super) fn check_certificate(
        &self,
        clients: &ClientTenants,
        version: &Version,
    ) -> Result<(), CallRefused> {
        if !version.is_public() {
            clients.check(self.peer.as_ref(), &version.id.tenant)?;
        }
        Ok(())
    }
}

/// What a descriptor names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) function: String,
    phase: Option<String>,
}

impl Target {
    /// The phase that is asked of a function.
    pub(super) fn phase(&self, version: &Version) -> Result<Phase, RequestError> {
        let Some(phase) = &self.phase else {
            return Ok(Phase::Whole);
        };
        if !matches!(version.spec().kind, FunctionKind::Aggregate { .. }) {
            let function = self.function.clone();
            return Err(RequestError::NoAggregate { function, phase: excerpt(phase) });
        }
        Phase::parse(phase).ok_or_else(|| RequestError::Phase { found: excerpt(phase) })
    }
}

/// The function that a descriptor names; a header that names one too must agree.
pub(super) fn target(descriptor: Option<FlightDescriptor>, caller: &Caller) -> Result<Target, RequestError> {
    let descriptor = descriptor.ok_or(RequestError::NoDescriptor)?;
    if descriptor.r#type() != DescriptorType::Path {
        return Err(RequestError::Descriptor { found: "not a path".to_owned() });
    }
    let elements = descriptor.path.len();
    let mut path = descriptor.path.into_iter();
    let (Some(function), phase, None) = (path.next(), path.next(), path.next()) else {
        return Err(RequestError::Descriptor { found: format!("a path of {elements} elements") });
    };
    match &caller.handler {
        Some(header) if *header != function => Err(RequestError::Contradiction {
            descriptor: function,
            name: caller.handler_header.clone(),
            header: header.clone(),
        }),
        _ => Ok(Target { function, phase }),
    }
}

/// The beginning of a text from outside, for an error.
fn excerpt(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(headers: &[(&'static str, &'static str)]) -> Caller {
        let mut request = Request::new(());
        for (name, value) in headers {
            request.metadata_mut().insert(*name, value.parse().unwrap());
        }
        Caller::read(&request, &HeaderConfig::default())
    }

    #[test]
    fn tokens_are_read_with_and_without_the_scheme() {
        for value in ["Bearer viv1.a.b", "bearer viv1.a.b", "viv1.a.b"] {
            assert_eq!(caller(&[("authorization", value)]).token.as_deref(), Some("viv1.a.b"));
        }
        assert_eq!(caller(&[]).token, None);
    }

    #[test]
    fn a_descriptor_is_a_path_of_one_or_two_elements() {
        let nobody = caller(&[]);
        let path = |elements: &[&str]| {
            Some(FlightDescriptor::new_path(elements.iter().map(|e| (*e).into()).collect()))
        };
        let named =
            |phase: Option<&str>| Ok(Target { function: "gcd".to_owned(), phase: phase.map(str::to_owned) });
        assert_eq!(target(path(&["gcd"]), &nobody), named(None));
        assert_eq!(target(path(&["gcd", "merge"]), &nobody), named(Some("merge")));
        assert_eq!(target(None, &nobody), Err(RequestError::NoDescriptor));
        for wrong in [path(&[]), path(&["a", "b", "c"]), Some(FlightDescriptor::new_cmd("gcd"))] {
            assert!(matches!(target(wrong, &nobody), Err(RequestError::Descriptor { .. })));
        }
    }

    #[test]
    fn logs_are_asked_for_by_a_header() {
        assert!(caller(&[("x-vivarium-logs", "1")]).logs);
        assert!(!caller(&[("x-vivarium-logs", "0")]).logs && !caller(&[]).logs);
    }

    #[test]
    fn a_header_must_not_contradict_the_descriptor() {
        let path = || Some(FlightDescriptor::new_path(vec!["gcd".to_owned()]));
        let name = "x-databend-function-handler";
        assert!(target(path(), &caller(&[(name, "gcd")])).is_ok());
        assert!(matches!(target(path(), &caller(&[(name, "lcm")])), Err(RequestError::Contradiction { .. })));
    }
}
