//! Who calls what: the headers and the descriptor of a request.

use arrow_flight::FlightDescriptor;
use arrow_flight::flight_descriptor::DescriptorType;
use tonic::Code;
use tonic::metadata::MetadataMap;

use crate::config::HeaderConfig;
use crate::status::Failure;

/// What a request's headers say.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) token: Option<String>,
    pub(super) tenant: Option<String>,
    pub(super) handler: Option<String>,
    pub(super) query: Option<String>,
    /// Name of the header that `handler` comes from.
    handler_header: String,
}

/// Why a request names no function.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RequestError {
    #[error("the first message has no descriptor; it must name the function by the path [handler]")]
    NoDescriptor,
    #[error("the descriptor must be a path of one element, the handler; it is {found}")]
    Descriptor { found: String },
    #[error("the descriptor names `{descriptor}`, the header `{name}` names `{header}`")]
    Contradiction { descriptor: String, name: String, header: String },
}

impl Failure for RequestError {
    fn code(&self) -> Code {
        Code::InvalidArgument
    }
}

impl Caller {
    pub(super) fn read(metadata: &MetadataMap, names: &HeaderConfig) -> Caller {
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
            handler_header: names.handler.clone(),
        }
    }
}

/// The function that a descriptor names; a header that names one too must agree.
pub(super) fn handler(descriptor: Option<FlightDescriptor>, caller: &Caller) -> Result<String, RequestError> {
    let descriptor = descriptor.ok_or(RequestError::NoDescriptor)?;
    if descriptor.r#type() != DescriptorType::Path {
        return Err(RequestError::Descriptor { found: "not a path".to_owned() });
    }
    let elements = descriptor.path.len();
    let Ok([named]) = <[String; 1]>::try_from(descriptor.path) else {
        return Err(RequestError::Descriptor { found: format!("a path of {elements} elements") });
    };
    match &caller.handler {
        Some(header) if *header != named => Err(RequestError::Contradiction {
            descriptor: named,
            name: caller.handler_header.clone(),
            header: header.clone(),
        }),
        _ => Ok(named),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(headers: &[(&'static str, &'static str)]) -> Caller {
        let mut metadata = MetadataMap::new();
        for (name, value) in headers {
            metadata.insert(*name, value.parse().unwrap());
        }
        Caller::read(&metadata, &HeaderConfig::default())
    }

    #[test]
    fn tokens_are_read_with_and_without_the_scheme() {
        for value in ["Bearer viv1.a.b", "bearer viv1.a.b", "viv1.a.b"] {
            assert_eq!(caller(&[("authorization", value)]).token.as_deref(), Some("viv1.a.b"));
        }
        assert_eq!(caller(&[]).token, None);
    }

    #[test]
    fn a_descriptor_is_a_path_of_one_element() {
        let nobody = caller(&[]);
        let path = |elements: &[&str]| {
            Some(FlightDescriptor::new_path(elements.iter().map(|e| (*e).into()).collect()))
        };
        assert_eq!(handler(path(&["gcd"]), &nobody), Ok("gcd".to_owned()));
        assert_eq!(handler(None, &nobody), Err(RequestError::NoDescriptor));
        for wrong in [path(&[]), path(&["a", "b"]), Some(FlightDescriptor::new_cmd("gcd"))] {
            assert!(matches!(handler(wrong, &nobody), Err(RequestError::Descriptor { .. })));
        }
    }

    #[test]
    fn a_header_must_not_contradict_the_descriptor() {
        let path = || Some(FlightDescriptor::new_path(vec!["gcd".to_owned()]));
        let name = "x-databend-function-handler";
        assert!(handler(path(), &caller(&[(name, "gcd")])).is_ok());
        assert!(matches!(
            handler(path(), &caller(&[(name, "lcm")])),
            Err(RequestError::Contradiction { .. })
        ));
    }
}
