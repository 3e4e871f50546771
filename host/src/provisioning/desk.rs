//! What all generations of the provisioning protocol share.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use tonic::{Code, Request, Response, Status};

use super::script::{self, Script};
use super::workers::{WorkerError, Workers};
use super::{ScriptError, SignatureError, SpecError, signature};
use crate::config::Config;
use crate::functions::{Definition, Functions, ProvisionError};
use crate::imports::Import;
use crate::metrics::Metrics;
use crate::status::{Failure, status};
use crate::tls::{ClientTenants, Peer, TenantRefused, TlsService};

/// Room in a script for everything but the code: the program, and the signed addresses of imports.
const SCRIPT_OVERHEAD_BYTES: usize = 2 << 20;

/// What the services of all generations work with.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) functions: Arc<Functions>,
    pub(super) workers: Arc<Workers>,
    metrics: Arc<Metrics>,
    endpoint: String,
    token_header: String,
    tenant_header: String,
    default_tenant: Option<String>,
    client_tenants: ClientTenants,
    code_bytes: usize,
}

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum DeskError {
    #[error(
        "the request names no tenant: the header `{header}` is missing, and this server has no default tenant"
    )]
    NoTenant { header: String },
    #[error("the header `{header}` is not text")]
    TenantNotText { header: String },
    #[error("the header `{header}` and `tenant_id` name different tenants")]
    TenantContradiction { header: String },
    #[error(transparent)]
    TenantRefused(#[from] TenantRefused),
    #[error("resources of type `{found}` are unknown; there is `udf`")]
    Type { found: String },
    #[error("the request has {what}")]
    Incomplete { what: &'static str },
    #[error("`state_action` {found} is unknown")]
    Action { found: i32 },
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error(transparent)]
    Script(#[from] ScriptError),
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    #[error(transparent)]
    Worker(#[from] WorkerError),
}

impl Failure for DeskError {
    fn code(&self) -> Code {
        match self {
            Self::TenantRefused(error) => error.code(),
            Self::Spec(error) => error.code(),
            Self::Script(error) => error.code(),
            Self::Provision(error) => error.code(),
            Self::Worker(error) => error.code(),
            _ => Code::InvalidArgument,
        }
    }
}

/// How a provisioned function is called.
pub(super) struct Callable {
    pub(super) endpoint: String,
    pub(super) headers: HashMap<String, String>,
    /// Digest of its version.
    pub(super) version: [u8; 32],
}

impl Desk {
    pub(super) fn new(
        functions: Arc<Functions>,
        workers: Arc<Workers>,
        metrics: Arc<Metrics>,
        config: &Config,
        endpoint: String,
    ) -> Self {
        Self {
            functions,
            workers,
            metrics,
            endpoint,
            token_header: config.headers.token.clone(),
            tenant_header: config.headers.tenant.clone(),
            default_tenant: config.tenants.default_tenant.clone(),
            client_tenants: ClientTenants::new(&config.tls, TlsService::Provisioning),
            code_bytes: usize::try_from(config.build_limits.code_bytes).unwrap_or(usize::MAX),
        }
    }

    /// Largest spec: JSON escapes may double the code, and the signature needs some room.
    pub(super) fn max_spec_bytes(&self) -> usize {
        self.code_bytes.saturating_mul(2).saturating_add(1 << 20)
    }

    /// The tenant of a request, for which its client may act: `stated` in its message, in its header, or
    /// the default one.
    pub(super) fn tenant<T>(&self, request: &Request<T>, stated: &str) -> Result<String, DeskError> {
        let tenant = self.tenant_of(request, stated)?;
        self.client_tenants.check(request.extensions().get::<Peer>(), &tenant)?;
        Ok(tenant)
    }

    fn tenant_of<T>(&self, request: &Request<T>, stated: &str) -> Result<String, DeskError> {
        let header = || self.tenant_header.clone();
        let in_header = request
            .metadata()
            .get(&self.tenant_header)
            .map(|value| value.to_str().map_err(|_| DeskError::TenantNotText { header: header() }))
            .transpose()?;
        match (in_header, stated) {
            (Some(tenant), "") => Ok(tenant.to_owned()),
            (Some(tenant), stated) if tenant != stated => {
                Err(DeskError::TenantContradiction { header: header() })
            }
            (None, "") => self.default_tenant.clone().ok_or_else(|| DeskError::NoTenant { header: header() }),
            (_, stated) => Ok(stated.to_owned()),
        }
    }

    /// The function that a script defines.
    pub(super) fn definition(&self, kind: &str, text: &str) -> Result<Definition, DeskError> {
        if kind != "udf" {
            return Err(DeskError::Type {
                found: kind.chars().take(60).flat_map(char::escape_debug).collect(),
            });
        }
        let script = script::parse(text, self.code_bytes.saturating_add(SCRIPT_OVERHEAD_BYTES))?;
        let Script { code, handler, input_types, result_type, packages, imports } = script;
        let spec = signature::function_spec(&handler, &input_types, &result_type, code)?;
        let imports = imports
            .into_iter()
            .map(|import| Import {
                location: import.location,
                url: import.url,
                tag: None,
                headers: import.headers,
            })
            .collect();
        Ok(Definition { packages, imports, ..Definition::of(spec) })
    }

    pub(super) async fn provision(
        &self,
        tenant: &str,
        definition: Definition,
    ) -> Result<Callable, DeskError> {
        let provisioned = self.functions.provision(tenant, definition).await?;
        let token = (self.token_header.clone(), format!("Bearer {}", provisioned.token));
        Ok(Callable {
            endpoint: self.endpoint.clone(),
            headers: [token].into(),
            version: provisioned.version.digest,
        })
    }

    /// Counts and logs a call, and turns its outcome into an answer.
    pub(super) async fn answer<T>(
        &self,
        method: &'static str,
        work: impl Future<Output = Result<T, DeskError>>,
    ) -> Result<Response<T>, Status> {
        let began = Instant::now();
        let outcome = work.await;
        let code = outcome.as_ref().map_or_else(Failure::code, |_| Code::Ok);
        self.metrics.provisioning(method, code, began.elapsed());
        outcome.map(Response::new).map_err(|error| {
            tracing::info!(method, ?code, error = error.to_string(), "provisioning refused");
            status(&error)
        })
    }
}
