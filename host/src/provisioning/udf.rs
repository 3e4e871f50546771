//! The RFC generation of Databend's provisioning: `udfproto.UdfService`.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use vivarium_proto::udfproto::udf_service_server::UdfService;
use vivarium_proto::udfproto::{ApplyUdfResourceRequest, ApplyUdfResourceResponse, UdfImport};

use super::desk::{Desk, DeskError};
use super::spec;
use crate::imports::Import;

/// `udfproto.UdfService`.
#[derive(Debug)]
pub(super) struct Udfs(pub(super) Arc<Desk>);

impl Udfs {
    async fn apply(
        &self,
        request: Request<ApplyUdfResourceRequest>,
    ) -> Result<ApplyUdfResourceResponse, DeskError> {
        let tenant = self.0.tenant(&request, "")?;
        let request = request.into_inner();
        let imports = request.imports.into_iter().map(import).collect();
        let definition = spec::parse(&request.spec, imports, self.0.max_spec_bytes())?;
        let callable = self.0.provision(&tenant, definition).await?;
        Ok(ApplyUdfResourceResponse { endpoint: callable.endpoint, headers: callable.headers })
    }
}

/// An empty tag says nothing of the content.
fn import(sent: UdfImport) -> Import {
    let UdfImport { location, url, tag } = sent;
    Import { location, url, tag: Some(tag).filter(|tag| !tag.is_empty()), headers: Default::default() }
}

#[tonic::async_trait]
impl UdfService for Udfs {
    async fn apply_udf_resource(
        &self,
        request: Request<ApplyUdfResourceRequest>,
    ) -> Result<Response<ApplyUdfResourceResponse>, Status> {
        self.0.answer("ApplyUdfResource", self.apply(request)).await
    }
}
