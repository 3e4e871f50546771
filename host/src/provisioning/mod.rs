//! Databend's provisioning protocol, RFC generation: `udfproto.UdfService/ApplyUdfResource`.

pub mod script;
mod spec;
pub mod workers;

use std::sync::Arc;

use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status};
use vivarium_proto::udfproto::udf_service_server::{UdfService, UdfServiceServer};
use vivarium_proto::udfproto::{ApplyUdfResourceRequest, ApplyUdfResourceResponse, UdfImport};

pub use self::spec::{SpecError, parse as parse_spec};

use crate::config::Config;
use crate::functions::{Functions, ProvisionError};
use crate::imports::Import;
use crate::status::{Failure, status};

/// The provisioning service over the functions of this server.
#[derive(Debug)]
pub struct Provisioning {
    functions: Arc<Functions>,
    endpoint: String,
    token_header: String,
    tenant_header: String,
    default_tenant: Option<String>,
    max_spec_bytes: usize,
}

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
enum ApplyError {
    #[error(
        "the request names no tenant: the header `{header}` is missing, and this server has no default tenant"
    )]
    NoTenant { header: String },
    #[error("the header `{header}` is not text")]
    TenantNotText { header: String },
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error(transparent)]
    Provision(#[from] ProvisionError),
}

impl Failure for ApplyError {
    fn code(&self) -> Code {
        match self {
            Self::NoTenant { .. } | Self::TenantNotText { .. } => Code::InvalidArgument,
            Self::Spec(error) => error.code(),
            Self::Provision(error) => error.code(),
        }
    }
}

impl Provisioning {
    /// The gRPC service. `endpoint` is the URL of the Flight service that engines are sent to.
    pub fn service(
        functions: Arc<Functions>,
        config: &Config,
        endpoint: String,
    ) -> UdfServiceServer<Provisioning> {
        let code_bytes = usize::try_from(config.build_limits.code_bytes).unwrap_or(usize::MAX);
        let provisioning = Provisioning {
            functions,
            endpoint,
            token_header: config.headers.token.clone(),
            tenant_header: config.headers.tenant.clone(),
            default_tenant: config.tenants.default_tenant.clone(),
            // JSON escapes may double the code, and the signature needs some room.
            max_spec_bytes: code_bytes.saturating_mul(2).saturating_add(1 << 20),
        };
        UdfServiceServer::new(provisioning).max_decoding_message_size(config.server.max_message_bytes)
    }

    fn tenant<'a>(&'a self, metadata: &'a MetadataMap) -> Result<&'a str, ApplyError> {
        match metadata.get(&self.tenant_header) {
            Some(value) => {
                value.to_str().map_err(|_| ApplyError::TenantNotText { header: self.tenant_header.clone() })
            }
            None => self
                .default_tenant
                .as_deref()
                .ok_or_else(|| ApplyError::NoTenant { header: self.tenant_header.clone() }),
        }
    }

    async fn apply(
        &self,
        request: Request<ApplyUdfResourceRequest>,
    ) -> Result<ApplyUdfResourceResponse, ApplyError> {
        let tenant = self.tenant(request.metadata())?.to_owned();
        let request = request.into_inner();
        let imports = request.imports.into_iter().map(import).collect();
        let definition = spec::parse(&request.spec, imports, self.max_spec_bytes)?;
        let provisioned = self.functions.provision(&tenant, definition).await?;
        let headers = [(self.token_header.clone(), format!("Bearer {}", provisioned.token))];
        Ok(ApplyUdfResourceResponse { endpoint: self.endpoint.clone(), headers: headers.into() })
    }
}

/// An empty tag says nothing of the content.
fn import(sent: UdfImport) -> Import {
    let UdfImport { location, url, tag } = sent;
    Import { location, url, tag: Some(tag).filter(|tag| !tag.is_empty()), headers: Default::default() }
}

#[tonic::async_trait]
impl UdfService for Provisioning {
    async fn apply_udf_resource(
        &self,
        request: Request<ApplyUdfResourceRequest>,
    ) -> Result<Response<ApplyUdfResourceResponse>, Status> {
        match self.apply(request).await {
            Ok(response) => Ok(Response::new(response)),
            Err(error) => {
                tracing::info!(code = ?error.code(), error = error.to_string(), "provisioning refused");
                Err(status(&error))
            }
        }
    }
}
