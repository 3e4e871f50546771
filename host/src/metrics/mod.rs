//! What the server counts, for Prometheus and for Databend's control plane.
//!
//! Counters of calls have the names, labels and buckets of `databend-udf`'s server, so that its
//! dashboards go on working; what only a sandbox has is under `vivarium_`. The names of functions and
//! tenants come from strangers: as labels they are bounded in number and cleaned (see [`labels`]).
//!
//! | name | type | labels |
//! |---|---|---|
//! | `udf_server_requests_count_total` | counter: exchanges | `function_name` |
//! | `udf_server_rows_count_total` | counter: input rows | `function_name` |
//! | `udf_server_running_requests_count` | gauge | `function_name` |
//! | `udf_server_running_rows_count` | gauge | `function_name` |
//! | `udf_server_response_duration_seconds` | histogram | `function_name` |
//! | `udf_server_errors_count_total` | counter | `function_name`, `error_type` |
//! | `udf_server_rejected_requests_count_total` | counter: no place within the tenant's or server's bounds | `function_name` |
//! | `vivarium_fuel_units_total` | counter | `tenant` |
//! | `vivarium_sandbox_rows_total` | counter: input rows of calls that succeeded | `tenant` |
//! | `vivarium_sandboxes_forked_total` | counter: forks | |
//! | `vivarium_sandbox_peak_memory_bytes` | histogram, one value for each sandbox | |
//! | `vivarium_limits_hit_total` | counter | `limit` |
//! | `vivarium_images_total` | counter | `outcome`: `built`, `loaded`, `failed` |
//! | `vivarium_image_build_duration_seconds` | histogram | |
//! | `vivarium_provisioning_total` | counter | `method`, `code` |
//! | `vivarium_provisioning_duration_seconds` | histogram | `method` |
//! | `vivarium_sandboxes` | gauge: alive now | |
//! | `vivarium_reserved_memory_bytes` | gauge: limits of what is alive now | |
//! | `vivarium_images_resident` | gauge | |
//! | `vivarium_functions` | gauge: versions of functions | |
//! | `vivarium_jobs_waiting`, `vivarium_jobs_running` | gauge | `pool`: `worker`, `build` |
//! | `vivarium_exchanges_waiting` | gauge: for a place | |
//! | `vivarium_quota_refusals_total` | counter: exchanges and functions that a tenant's quota did not allow | `tenant`, `limit` |
//! | `vivarium_tenant_functions` | gauge: versions of functions | `tenant` |
//! | `vivarium_tenant_sandboxes` | gauge: places held | `tenant` |
//! | `vivarium_tenant_reserved_memory_bytes` | gauge: their memory limits | `tenant` |
//! | `vivarium_tenant_fuel_left_units` | gauge: of tenants that used some lately; below zero for what is owed | `tenant` |

mod errors;
mod exchange;
pub mod labels;
mod stats;

use std::collections::BTreeMap;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use serde::Serialize;
use tonic::Code;
use vivarium_runtime::Usage;

pub use self::errors::{error_type, limit};
pub use self::exchange::ExchangeMeter;
pub use self::stats::{Stats, StatsReport};

use self::labels::BoundedLabels;
use crate::config::MetricsConfig;

/// Upper bounds in seconds of `databend-udf`'s histogram.
const RESPONSE_BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
const PROVISIONING_BUCKETS: [f64; 10] = [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 1.0, 5.0];
const BUILD_BUCKETS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0];
const MEMORY_BUCKETS: [f64; 7] =
    [16_777_216.0, 33_554_432.0, 67_108_864.0, 134_217_728.0, 268_435_456.0, 536_870_912.0, 1_073_741_824.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfFunction {
    function_name: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfError {
    function_name: String,
    error_type: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfTenant {
    tenant: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfQuota {
    tenant: String,
    limit: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfLimit {
    limit: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfOutcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfPool {
    pool: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfMethod {
    method: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfCall {
    method: &'static str,
    code: String,
}

/// How an image came to memory, or did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageOutcome {
    /// Built from code.
    Built,
    /// Read from disk.
    Loaded,
    /// Not at all.
    Failed,
}

/// What a tenant has at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TenantLevels {
    /// Versions of functions.
    pub functions: u64,
    /// Places for sandboxes.
    pub sandboxes: u64,
    /// Memory limits of those, in bytes.
    pub memory_bytes: u64,
    /// Fuel left of its quota, in units, if it has one and has used some lately; below zero for what it
    /// owes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel: Option<i64>,
}

impl TenantLevels {
    fn add(&mut self, other: &Self) {
        self.functions += other.functions;
        self.sandboxes += other.sandboxes;
        self.memory_bytes += other.memory_bytes;
        self.fuel = match (self.fuel, other.fuel) {
            (Some(one), Some(other)) => Some(one.saturating_add(other)),
            (one, other) => one.or(other),
        };
    }
}

/// What there is at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    /// Sandboxes.
    pub sandboxes: u64,
    /// Memory limits of all of them together, in bytes.
    pub reserved_memory_bytes: u64,
    /// Images in memory.
    pub images: u64,
    /// Versions of functions.
    pub functions: u64,
    /// Jobs that wait for a worker, and that run on one.
    pub worker_jobs: (u64, u64),
    /// The same for image builders.
    pub build_jobs: (u64, u64),
    /// Exchanges that wait for a place.
    pub exchanges_waiting: u64,
    /// What each tenant has.
    pub tenants: BTreeMap<String, TenantLevels>,
}

/// All counters of one server.
pub struct Metrics {
    registry: Registry,
    functions: BoundedLabels,
    tenants: BoundedLabels,
    stats: Stats,
    requests: Family<OfFunction, Counter>,
    rows: Family<OfFunction, Counter>,
    running_requests: Family<OfFunction, Gauge>,
    running_rows: Family<OfFunction, Gauge>,
    durations: Family<OfFunction, Histogram>,
    errors: Family<OfError, Counter>,
    rejected: Family<OfFunction, Counter>,
    fuel: Family<OfTenant, Counter>,
    tenant_rows: Family<OfTenant, Counter>,
    forks: Counter,
    peak_memory: Histogram,
    limits: Family<OfLimit, Counter>,
    images: Family<OfOutcome, Counter>,
    build_durations: Histogram,
    calls: Family<OfCall, Counter>,
    call_durations: Family<OfMethod, Histogram>,
    sandboxes: Gauge,
    reserved_memory: Gauge,
    resident: Gauge,
    versions: Gauge,
    jobs_waiting: Family<OfPool, Gauge>,
    jobs_running: Family<OfPool, Gauge>,
    exchanges_waiting: Gauge,
    quota_refusals: Family<OfQuota, Counter>,
    tenant_functions: Family<OfTenant, Gauge>,
    tenant_sandboxes: Family<OfTenant, Gauge>,
    tenant_memory: Family<OfTenant, Gauge>,
    tenant_fuel: Family<OfTenant, Gauge>,
}

impl Metrics {
    /// Counters that stand at zero.
    pub fn new(config: &MetricsConfig) -> Self {
        let metrics = Self {
            registry: Registry::default(),
            functions: BoundedLabels::new(config.max_functions.get()),
            tenants: BoundedLabels::new(config.max_tenants.get()),
            stats: Stats::default(),
            requests: Family::default(),
            rows: Family::default(),
            running_requests: Family::default(),
            running_rows: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(RESPONSE_BUCKETS)),
            errors: Family::default(),
            rejected: Family::default(),
            fuel: Family::default(),
            tenant_rows: Family::default(),
            forks: Counter::default(),
            peak_memory: Histogram::new(MEMORY_BUCKETS),
            limits: Family::default(),
            images: Family::default(),
            build_durations: Histogram::new(BUILD_BUCKETS),
            calls: Family::default(),
            call_durations: Family::new_with_constructor(|| Histogram::new(PROVISIONING_BUCKETS)),
            sandboxes: Gauge::default(),
            reserved_memory: Gauge::default(),
            resident: Gauge::default(),
            versions: Gauge::default(),
            jobs_waiting: Family::default(),
            jobs_running: Family::default(),
            exchanges_waiting: Gauge::default(),
            quota_refusals: Family::default(),
            tenant_functions: Family::default(),
            tenant_sandboxes: Family::default(),
            tenant_memory: Family::default(),
            tenant_fuel: Family::default(),
        };
        metrics.registered()
    }

    fn registered(mut self) -> Self {
        let of_calls = &mut self.registry;
        of_calls.register(
            "udf_server_requests_count",
            "Total number of UDF requests processed",
            self.requests.clone(),
        );
        of_calls.register("udf_server_rows_count", "Total number of rows processed", self.rows.clone());
        of_calls.register(
            "udf_server_running_requests_count",
            "Number of currently running UDF requests",
            self.running_requests.clone(),
        );
        of_calls.register(
            "udf_server_running_rows_count",
            "Number of currently processing rows",
            self.running_rows.clone(),
        );
        let name = "udf_server_response_duration";
        let help = "Time spent processing UDF requests";
        of_calls.register_with_unit(name, help, Unit::Seconds, self.durations.clone());
        of_calls.register(
            "udf_server_errors_count",
            "Total number of UDF processing errors",
            self.errors.clone(),
        );
        of_calls.register(
            "udf_server_rejected_requests_count",
            "Total number of requests rejected due to concurrency limit",
            self.rejected.clone(),
        );

        let ours = self.registry.sub_registry_with_prefix("vivarium");
        ours.register("fuel_units", "Fuel used, in units of the cost model", self.fuel.clone());
        ours.register("sandbox_rows", "Input rows of calls that succeeded", self.tenant_rows.clone());
        ours.register("sandboxes_forked", "Sandboxes forked from an image", self.forks.clone());
        let help = "Highest size of a sandbox's memory";
        ours.register_with_unit("sandbox_peak_memory", help, Unit::Bytes, self.peak_memory.clone());
        ours.register("limits_hit", "Calls that met a limit", self.limits.clone());
        ours.register("images", "Images brought to memory, or not", self.images.clone());
        let help = "Time from the start of an image's build to its end";
        ours.register_with_unit("image_build_duration", help, Unit::Seconds, self.build_durations.clone());
        ours.register("provisioning", "Calls of the provisioning services", self.calls.clone());
        let help = "Time spent answering a provisioning call";
        ours.register_with_unit("provisioning_duration", help, Unit::Seconds, self.call_durations.clone());
        ours.register("sandboxes", "Sandboxes alive", self.sandboxes.clone());
        let help = "Sum of the memory limits of everything alive";
        ours.register_with_unit("reserved_memory", help, Unit::Bytes, self.reserved_memory.clone());
        ours.register("images_resident", "Images in memory", self.resident.clone());
        ours.register("functions", "Versions of functions", self.versions.clone());
        ours.register("jobs_waiting", "Jobs that wait for a thread", self.jobs_waiting.clone());
        ours.register("jobs_running", "Jobs that run on a thread", self.jobs_running.clone());
        let help = "Exchanges that wait for a place";
        ours.register("exchanges_waiting", help, self.exchanges_waiting.clone());
        let help = "Exchanges and functions that a tenant's quota did not allow";
        ours.register("quota_refusals", help, self.quota_refusals.clone());
        let help = "Versions of a tenant's functions";
        ours.register("tenant_functions", help, self.tenant_functions.clone());
        ours.register("tenant_sandboxes", "Places that a tenant holds", self.tenant_sandboxes.clone());
        let help = "Memory limits of a tenant's sandboxes";
        ours.register_with_unit("tenant_reserved_memory", help, Unit::Bytes, self.tenant_memory.clone());
        let help = "Fuel left of a tenant's quota, below zero for what it owes";
        ours.register("tenant_fuel_left_units", help, self.tenant_fuel.clone());
        self
    }

    /// Begins to count an exchange with a function. `name` is the function's.
    pub fn exchange(&self, name: &str) -> ExchangeMeter {
        ExchangeMeter::begin(self, self.functions.of(name))
    }

    /// Counts batches and when they came.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Counts a sandbox that has ended.
    pub fn sandbox_ended(&self, tenant: &str, usage: Usage) {
        let tenant = OfTenant { tenant: self.tenants.of(tenant) };
        self.fuel.get_or_create(&tenant).inc_by(usage.fuel);
        self.tenant_rows.get_or_create(&tenant).inc_by(usage.rows);
        self.forks.inc();
        self.peak_memory.observe(usage.peak_memory_bytes as f64);
    }

    /// Counts what a tenant's quota did not allow. `limit` is the limit's name.
    pub fn quota_refused(&self, tenant: &str, limit: &'static str) {
        self.quota_refusals.get_or_create(&OfQuota { tenant: self.tenants.of(tenant), limit }).inc();
    }

    /// What tenants have, by label: those beyond the bound are one.
    pub fn by_label(&self, levels: &Levels) -> BTreeMap<String, TenantLevels> {
        let mut labels = BTreeMap::<String, TenantLevels>::new();
        for (tenant, levels) in &levels.tenants {
            labels.entry(self.tenants.of(tenant)).or_default().add(levels);
        }
        labels
    }

    /// Counts an image that was brought to memory, or not.
    pub fn image(&self, outcome: ImageOutcome, took: Duration) {
        let name = match outcome {
            ImageOutcome::Built => "built",
            ImageOutcome::Loaded => "loaded",
            ImageOutcome::Failed => "failed",
        };
        self.images.get_or_create(&OfOutcome { outcome: name }).inc();
        if outcome == ImageOutcome::Built {
            self.build_durations.observe(took.as_secs_f64());
        }
    }

    /// Counts a provisioning call.
    pub fn provisioning(&self, method: &'static str, code: Code, took: Duration) {
        self.calls.get_or_create(&OfCall { method, code: format!("{code:?}") }).inc();
        self.call_durations.get_or_create(&OfMethod { method }).observe(took.as_secs_f64());
    }

    /// Everything in the OpenMetrics text format, with what there is now.
    pub fn render(&self, levels: &Levels) -> String {
        let set = |gauge: &Gauge, value: u64| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        set(&self.sandboxes, levels.sandboxes);
        set(&self.reserved_memory, levels.reserved_memory_bytes);
        set(&self.resident, levels.images);
        set(&self.versions, levels.functions);
        set(&self.exchanges_waiting, levels.exchanges_waiting);
        for (pool, (waiting, running)) in [("worker", levels.worker_jobs), ("build", levels.build_jobs)] {
            set(&self.jobs_waiting.get_or_create(&OfPool { pool }), waiting);
            set(&self.jobs_running.get_or_create(&OfPool { pool }), running);
        }
        for family in [&self.tenant_functions, &self.tenant_sandboxes, &self.tenant_memory, &self.tenant_fuel]
        {
            family.clear();
        }
        for (tenant, levels) in self.by_label(levels) {
            let tenant = OfTenant { tenant };
            set(&self.tenant_functions.get_or_create(&tenant), levels.functions);
            set(&self.tenant_sandboxes.get_or_create(&tenant), levels.sandboxes);
            set(&self.tenant_memory.get_or_create(&tenant), levels.memory_bytes);
            if let Some(fuel) = levels.fuel {
                self.tenant_fuel.get_or_create(&tenant).set(fuel);
            }
        }
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}
