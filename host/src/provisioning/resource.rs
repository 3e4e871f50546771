//! The generations of Databend's provisioning in which a script defines a function.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use vivarium_proto::resourceproto::alter_worker_request::WorkerStateAction;
use vivarium_proto::resourceproto::resource_service_server::ResourceService;
use vivarium_proto::resourceproto::worker_service_server::WorkerService;
use vivarium_proto::resourceproto::{
    AlterWorkerRequest, AlterWorkerResponse, ApplyResourceRequest, ApplyResourceResponse,
    CreateWorkerRequest, CreateWorkerResponse, DropWorkerRequest, DropWorkerResponse, ListWorkersRequest,
    ListWorkersResponse,
};

use super::desk::{Desk, DeskError};
use super::workers::{Change, Worker, WorkerError};

/// `resourceproto.ResourceService`.
#[derive(Debug)]
pub(super) struct Resources(pub(super) Arc<Desk>);

/// `resourceproto.WorkerService`.
#[derive(Debug)]
pub(super) struct WorkersByName(pub(super) Arc<Desk>);

impl Resources {
    async fn apply(
        &self,
        request: Request<ApplyResourceRequest>,
    ) -> Result<ApplyResourceResponse, DeskError> {
        let tenant = self.0.tenant(&request, "")?;
        let request = request.into_inner();
        let definition = self.0.definition(&request.r#type, &request.script)?;
        let callable = self.0.provision(&tenant, definition).await?;
        Ok(ApplyResourceResponse { endpoint: callable.endpoint, headers: callable.headers })
    }
}

#[tonic::async_trait]
impl ResourceService for Resources {
    async fn apply_resource(
        &self,
        request: Request<ApplyResourceRequest>,
    ) -> Result<Response<ApplyResourceResponse>, Status> {
        self.0.answer("ApplyResource", self.apply(request)).await
    }
}

impl WorkersByName {
    /// Without type and script the worker is a record and nothing else. With them the function is made
    /// callable; that a worker is suspended does not matter before it is called.
    async fn create(&self, request: Request<CreateWorkerRequest>) -> Result<CreateWorkerResponse, DeskError> {
        let desk = &self.0;
        let tenant = desk.tenant(&request, &request.get_ref().tenant_id)?;
        let request = request.into_inner();
        let if_not_exists = request.if_not_exists;
        let tags = request.tags.into_iter().collect();
        let options = request.options.into_iter().collect();
        let worker = desk.workers.prepare(&tenant, &request.name, if_not_exists, tags, options)?;
        let class = desk.workers.class(&worker)?;
        let callable = match (request.r#type.as_str(), request.script.as_str()) {
            ("", "") => None,
            ("", _) => return Err(DeskError::Incomplete { what: "a script and no type" }),
            (_, "") => return Err(DeskError::Incomplete { what: "a type and no script" }),
            (kind, script) => {
                let mut definition = desk.definition(kind, script)?;
                definition.class = class;
                definition.environment_name = worker.name.clone();
                Some(desk.provision(&tenant, definition).await?)
            }
        };
        let version = callable.as_ref().map(|callable| callable.version);
        let worker = desk.workers.keep(&tenant, worker, if_not_exists, version).await?;
        let (endpoint, headers) =
            callable.map(|callable| (callable.endpoint, callable.headers)).unwrap_or_default();
        Ok(CreateWorkerResponse { worker: Some(worker.to_message()), endpoint, headers })
    }

    async fn alter(&self, request: Request<AlterWorkerRequest>) -> Result<AlterWorkerResponse, DeskError> {
        let desk = &self.0;
        let tenant = desk.tenant(&request, &request.get_ref().tenant_id)?;
        let request = request.into_inner();
        let suspended = match WorkerStateAction::try_from(request.state_action) {
            Ok(WorkerStateAction::Unspecified) => None,
            Ok(WorkerStateAction::Suspend) => Some(true),
            Ok(WorkerStateAction::Resume) => Some(false),
            Err(_) => return Err(DeskError::Action { found: request.state_action }),
        };
        let change = Change {
            set_tags: request.set_tags.into_iter().collect(),
            unset_tags: request.unset_tags,
            set_options: request.set_options.into_iter().collect(),
            unset_options: request.unset_options,
            suspended,
        };
        let then = |worker: &Worker| {
            desk.functions.suspend(&tenant, &worker.name, worker.suspended == Some(true));
            tracing::info!(tenant, worker = worker.name, suspended = worker.suspended, "worker altered");
        };
        let worker = desk.workers.alter(&tenant, &request.name, change, then).await?;
        Ok(AlterWorkerResponse { worker: Some(worker.to_message()) })
    }

    async fn drop_worker(
        &self,
        request: Request<DropWorkerRequest>,
    ) -> Result<DropWorkerResponse, DeskError> {
        let desk = &self.0;
        let tenant = desk.tenant(&request, &request.get_ref().tenant_id)?;
        let request = request.into_inner();
        match desk.workers.remove(&tenant, &request.name).await {
            Err(WorkerError::Unknown { .. }) if request.if_exists => {}
            removed => {
                removed?;
                desk.functions.suspend(&tenant, &request.name, false);
                desk.functions.retire(&tenant, &request.name).await;
                tracing::info!(tenant, worker = request.name, "worker dropped");
            }
        }
        Ok(DropWorkerResponse {})
    }

    async fn list(&self, request: Request<ListWorkersRequest>) -> Result<ListWorkersResponse, DeskError> {
        let tenant = self.0.tenant(&request, &request.get_ref().tenant_id)?;
        let workers = self.0.workers.list(&tenant);
        Ok(ListWorkersResponse { workers: workers.iter().map(|worker| worker.to_message()).collect() })
    }
}

#[tonic::async_trait]
impl WorkerService for WorkersByName {
    async fn create_worker(
        &self,
        request: Request<CreateWorkerRequest>,
    ) -> Result<Response<CreateWorkerResponse>, Status> {
        self.0.answer("CreateWorker", self.create(request)).await
    }

    async fn alter_worker(
        &self,
        request: Request<AlterWorkerRequest>,
    ) -> Result<Response<AlterWorkerResponse>, Status> {
        self.0.answer("AlterWorker", self.alter(request)).await
    }

    async fn drop_worker(
        &self,
        request: Request<DropWorkerRequest>,
    ) -> Result<Response<DropWorkerResponse>, Status> {
        self.0.answer("DropWorker", self.drop_worker(request)).await
    }

    async fn list_workers(
        &self,
        request: Request<ListWorkersRequest>,
    ) -> Result<Response<ListWorkersResponse>, Status> {
        self.0.answer("ListWorkers", self.list(request)).await
    }
}
