//! Databend's provisioning protocol, in its three generations on one port.
//!
//! | generation | service | a function is defined by |
//! |---|---|---|
//! | the RFC of January 2026 | `udfproto.UdfService` | JSON |
//! | 1.2.874 to 1.2.882 | `resourceproto.ResourceService` | the text of a shell script, which is [read](script) and never run |
//! | 1.2.881 and later | `resourceproto.WorkerService` | the same, under the name of a [worker](workers) |
//!
//! All of them are adapters: they make a [`Definition`](crate::functions::Definition) and hand it to
//! [`Functions`].

mod desk;
mod resource;
pub mod script;
mod signature;
mod spec;
mod udf;
pub mod workers;

use std::sync::Arc;

use tonic::service::Routes;
use vivarium_proto::resourceproto::resource_service_server::ResourceServiceServer;
use vivarium_proto::resourceproto::worker_service_server::WorkerServiceServer;
use vivarium_proto::udfproto::udf_service_server::UdfServiceServer;

pub use self::script::{Script, ScriptError};
pub use self::signature::SignatureError;
pub use self::spec::{SpecError, parse as parse_spec};
pub use self::workers::Workers;

use self::desk::Desk;
use self::resource::{Resources, WorkersByName};
use self::udf::Udfs;
use crate::config::Config;
use crate::functions::Functions;
use crate::metrics::Metrics;

/// The provisioning services over the functions of this server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Provisioning {
    desk: Arc<Desk>,
    max_message_bytes: usize,
}

impl Provisioning {
    /// Services that send engines to the Flight service at the URL `endpoint`.
    pub fn new(
        functions: Arc<Functions>,
        workers: Arc<Workers>,
        metrics: Arc<Metrics>,
        config: &Config,
        endpoint: String,
    ) -> Self {
        let desk = Arc::new(Desk::new(functions, workers, metrics, config, endpoint));
        Self { desk, max_message_bytes: config.server.max_message_bytes }
    }

    /// Adds the services of all generations.
    pub fn add_to(&self, routes: Routes) -> Routes {
        let (limit, desk) = (self.max_message_bytes, || Arc::clone(&self.desk));
        let workers = WorkerServiceServer::new(WorkersByName(desk())).max_decoding_message_size(limit);
        let resources = ResourceServiceServer::new(Resources(desk())).max_decoding_message_size(limit);
        let udfs = UdfServiceServer::new(Udfs(desk())).max_decoding_message_size(limit);
        routes.add_service(workers).add_service(resources).add_service(udfs)
    }
}
