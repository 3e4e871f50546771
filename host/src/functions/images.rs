//! Images on their way to memory: built once, kept on disk, loaded again when they are needed.

use std::cmp::Reverse;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;
use vivarium_runtime::{BuildError, BuildLimits, CallError, Engine, EngineUsage, Image};

use super::error::{ImageError, PrepareError, StartError};
use super::fuel::Fuel;
use super::materials::{Materials, Preparer};
use super::registry::Version;
use super::store::{Store, StoredImage};
use crate::config::Config;
use crate::descriptors;
use crate::metrics::{ImageOutcome, Metrics};
use crate::packages::{Fault, Packages};
use crate::workers::{WorkerError, WorkerPool};

/// Where a version's image is.
#[derive(Clone, Default)]
pub(super) enum ImageState {
    /// Not in memory, and nobody is working on it.
    #[default]
    Absent,
    /// Being built or loaded.
    Coming,
    /// In memory.
    Ready(Ready),
    /// It could not be built; trying again without a reason would give the same.
    Failed(Arc<PrepareError>),
    /// Nobody is working on it any more: the builder panicked or was refused a turn.
    Lost,
}

/// An image in memory, and what it was made from.
#[derive(Clone)]
pub(super) struct Ready {
    pub(super) image: Image,
    pub(super) materials: Arc<Materials>,
}

impl fmt::Debug for ImageState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Absent => "Absent",
            Self::Coming => "Coming",
            Self::Ready(_) => "Ready",
            Self::Failed(_) => "Failed",
            Self::Lost => "Lost",
        })
    }
}

/// Builds and loads images on threads of its own.
pub(super) struct Images {
    builders: WorkerPool,
    shared: Arc<Shared>,
}

struct Shared {
    engine: Engine,
    preparer: Arc<Preparer>,
    limits: BuildLimits,
    store: Arc<Store>,
    /// The versions whose images may be in memory.
    resident: Mutex<Vec<Weak<Version>>>,
    max_resident: usize,
    metrics: Arc<Metrics>,
    fuel: Arc<Fuel>,
    /// Images that are ready and on their way to disk.
    keeping: watch::Sender<usize>,
}

/// Counts an image as on its way to disk.
struct Keeping<'a>(&'a watch::Sender<usize>);

impl<'a> Keeping<'a> {
    fn begin(keeping: &'a watch::Sender<usize>) -> Self {
        keeping.send_modify(|keeping| *keeping += 1);
        Self(keeping)
    }
}

impl Drop for Keeping<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|keeping| *keeping -= 1);
    }
}

impl Images {
    pub(super) fn start(
        config: &Config,
        engine: Engine,
        preparer: Arc<Preparer>,
        store: Arc<Store>,
        metrics: Arc<Metrics>,
        fuel: Arc<Fuel>,
    ) -> Result<Self, StartError> {
        let builders = WorkerPool::start("build", config.build_pool()).map_err(StartError::Thread)?;
        let shared = Arc::new(Shared {
            engine,
            preparer,
            limits: config.build_limits.clone(),
            store,
            resident: Mutex::default(),
            max_resident: descriptors::images(config.server.max_resident_images),
            metrics,
            fuel,
            keeping: watch::Sender::new(0),
        });
        Ok(Self { builders, shared })
    }

    /// Starts to bring the image to memory unless it is there, on its way, or known to fail. Of
    /// any number of callers at the same time, one starts it.
    pub(super) fn ensure(&self, version: &Arc<Version>) -> Result<(), WorkerError> {
        self.claim(version, |state| matches!(state, ImageState::Absent | ImageState::Lost))
    }

    /// Starts to look whether imported files have changed, if it is time to look again. Calls that
    /// come from now on wait for the answer.
    pub(super) fn refresh(&self, version: &Arc<Version>) -> Result<(), WorkerError> {
        let imports = version.imports();
        if imports.is_empty() || self.shared.preparer.is_fresh(&version.id.tenant, &imports) {
            return Ok(());
        }
        self.claim(version, |state| matches!(state, ImageState::Ready(_)))
    }

    /// Takes on a version whose state is one of those, and works on it in the background.
    fn claim(&self, version: &Arc<Version>, takes: impl Fn(&ImageState) -> bool) -> Result<(), WorkerError> {
        // Gives itself back if the job is refused, forgotten or panics.
        let Some((claim, before)) = Claim::take(version, takes) else { return Ok(()) };
        let shared = Arc::clone(&self.shared);
        self.builders.submit(&version.id.tenant, move || shared.bring(claim, before))
    }

    /// Loads images of `versions` from disk on a thread of its own, at most `limit`, those first that were
    /// used last. What does not fit any more is left to its next call.
    pub(super) fn load_latest(
        &self,
        versions: impl FnOnce() -> Vec<Arc<Version>> + Send + 'static,
        limit: usize,
    ) -> std::io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let load = move || shared.load_latest(versions(), limit);
        thread::Builder::new().name("images".to_owned()).spawn(load).map(|_| ())
    }

    /// Waits until no image is on its way to disk.
    pub(super) async fn are_kept(&self) {
        // The other end is this value's own.
        let _ = self.shared.keeping.subscribe().wait_for(|keeping| *keeping == 0).await;
    }

    /// Images in memory.
    pub(super) fn resident(&self) -> usize {
        self.shared.resident.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Images that wait for a builder, and that are being built.
    pub(super) fn jobs(&self) -> (u64, u64) {
        self.builders.jobs()
    }

    /// What is alive in the engine.
    pub(super) fn engine_usage(&self) -> EngineUsage {
        self.shared.engine.usage()
    }

    /// Packages, as functions get them.
    pub(super) fn packages(&self) -> &Packages {
        self.shared.preparer.packages()
    }

    /// Counts an image that came with its version among those in memory.
    pub(super) fn add(&self, version: &Arc<Version>) {
        self.shared.make_room(version);
    }

    /// Forgets a failure that another try may not meet again.
    pub(super) fn retry(&self, version: &Version) {
        version.image.send_if_modified(|state| {
            let again = matches!(state, ImageState::Failed(error) if is_passing(error));
            if again {
                *state = ImageState::Absent;
            }
            again
        });
    }

    /// Waits for the image, at most for `wait`.
    pub(super) async fn get(&self, version: &Arc<Version>, wait: Duration) -> Result<Image, ImageError> {
        self.ensure(version)?;
        let mut state = version.image.subscribe();
        let ready = async {
            loop {
                let now = state.borrow_and_update().clone();
                match now {
                    ImageState::Ready(ready) => return Ok(ready.image),
                    ImageState::Failed(error) => return Err(ImageError::Prepare(error)),
                    ImageState::Lost => return Err(WorkerError::Lost.into()),
                    // Taken out of memory since: ask for it again.
                    ImageState::Absent => self.ensure(version)?,
                    ImageState::Coming => {}
                }
                state.changed().await.map_err(|_| WorkerError::Lost)?;
            }
        };
        tokio::time::timeout(wait, ready)
            .await
            .unwrap_or(Err(ImageError::NotReady { waited_s: wait.as_secs() }))
    }
}

impl Shared {
    fn bring(&self, claim: Claim, before: ImageState) {
        let version = Arc::clone(&claim.0);
        let began = Instant::now();
        let brought = match before {
            ImageState::Ready(ready) => self.refresh(&version, ready),
            _ => match self.load(&version) {
                Some(ready) => Ok((ready, ImageOutcome::Loaded)),
                None => self.build(&version).map(|ready| (ready, ImageOutcome::Built)),
            },
        };
        let outcome = brought.as_ref().map_or(ImageOutcome::Failed, |(_, outcome)| *outcome);
        self.metrics.image(outcome, began.elapsed());
        match brought {
            Ok((ready, outcome)) => {
                let keep = outcome == ImageOutcome::Built && version.may_be_kept();
                let keeping = keep.then(|| (Keeping::begin(&self.keeping), ready.clone()));
                let made = SystemTime::now();
                claim.settle(ImageState::Ready(ready));
                self.make_room(&version);
                // Calls do not wait for the disk.
                if let Some((_keeping, ready)) = keeping {
                    self.keep(&version, &ready, made);
                }
            }
            Err(error) => {
                tracing::info!(
                    tenant = version.id.tenant,
                    function = version.name(),
                    version = %version.id.short(),
                    error = error.to_string(),
                    "the image could not be built"
                );
                claim.settle(ImageState::Failed(Arc::new(error)));
            }
        }
    }

    /// The same image while the imported files are the same, else a new one.
    fn refresh(&self, version: &Version, ready: Ready) -> Result<(Ready, ImageOutcome), PrepareError> {
        if self.preparer.is_current(&version.id.tenant, &version.imports(), &ready.materials)? {
            return Ok((ready, ImageOutcome::Loaded));
        }
        tracing::info!(
            tenant = version.id.tenant,
            function = version.name(),
            version = %version.id.short(),
            "imported files have changed"
        );
        Ok((self.build(version)?, ImageOutcome::Built))
    }

    fn load_latest(&self, versions: Vec<Arc<Version>>, limit: usize) {
        let began = Instant::now();
        let time = |version: &Arc<Version>| self.store.image_time(&version.id);
        let mut kept: Vec<_> =
            versions.into_iter().filter_map(|version| Some((time(&version)?, version))).collect();
        kept.sort_by_key(|(time, _)| Reverse(*time));
        let limit = limit.min(self.max_resident);
        let loaded = kept.iter().take(limit).filter(|(_, version)| self.load_if_absent(version)).count();
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(loaded, kept = kept.len(), took_ms, "images of the last run");
    }

    /// Whether it was not in memory and is now.
    fn load_if_absent(&self, version: &Arc<Version>) -> bool {
        let Some((claim, _)) = Claim::take(version, |state| matches!(state, ImageState::Absent)) else {
            return false;
        };
        let began = Instant::now();
        let Some(ready) = self.load(version) else {
            claim.settle(ImageState::Absent);
            return false;
        };
        self.metrics.image(ImageOutcome::Loaded, began.elapsed());
        claim.settle(ImageState::Ready(ready));
        self.make_room(version);
        true
    }

    /// The image from disk, if it is there and still fits this engine. Images of public functions
    /// are built at each start, from their files, and never kept; nor are those of functions with an
    /// environment, which may hold secrets.
    fn load(&self, version: &Version) -> Option<Ready> {
        if !version.may_be_kept() {
            return None;
        }
        let StoredImage { materials, bytes } = match self.store.image(&version.id) {
            Ok(stored) => stored?,
            Err(error) => {
                tracing::warn!(error = %error, "a stored image is unreadable and is built again");
                return None;
            }
        };
        let spec = materials.guest_spec(&version.definition, &version.environment);
        match self.engine.load_image(&spec, &bytes) {
            Ok(image) => Some(Ready { image, materials: Arc::new(materials) }),
            Err(error) => {
                tracing::info!(
                    tenant = version.id.tenant,
                    function = version.name(),
                    error = error.to_string(),
                    "a stored image does not fit and is built again"
                );
                None
            }
        }
    }

    fn build(&self, version: &Version) -> Result<Ready, PrepareError> {
        version.check_environment()?;
        let prepared = self.preparer.prepare(
            &version.id.tenant,
            &version.definition,
            &version.imports(),
            &version.environment,
        )?;
        let image = self.engine.build_image(&prepared.spec, &prepared.files, &self.limits)?;
        self.fuel.charge(&version.id.tenant, image.build_usage().fuel);
        tracing::info!(
            tenant = version.id.tenant,
            function = version.name(),
            version = %version.id.short(),
            interpreter = prepared.materials.interpreter.name(),
            packages = prepared.materials.packages.len(),
            imports = prepared.materials.imports.len(),
            bytes = image.stored_bytes(),
            fuel = image.build_usage().fuel,
            drew_randomness_at_import = image.drew_randomness_at_import(),
            "image built"
        );
        super::session::log_output(version, image.build_logs());
        Ok(Ready { image, materials: Arc::new(prepared.materials) })
    }

    /// Writes an image to disk.
    fn keep(&self, version: &Version, Ready { image, materials }: &Ready, made: SystemTime) {
        if let Err(error) = self.store.put_image(&version.id, materials, &image.to_bytes(), made) {
            tracing::warn!(error = %error, "an image cannot be kept; it will be built again after a restart");
        }
    }

    /// Takes the longest unused images out of memory when there are too many. Sessions that use
    /// one keep it.
    fn make_room(&self, newest: &Arc<Version>) {
        let mut resident = self.resident.lock().unwrap_or_else(PoisonError::into_inner);
        resident.retain(|version| {
            version.upgrade().is_some_and(|version| {
                !Arc::ptr_eq(&version, newest) && matches!(*version.image.borrow(), ImageState::Ready(_))
            })
        });
        resident.push(Arc::downgrade(newest));
        let surplus = resident.len().saturating_sub(self.max_resident);
        if surplus == 0 {
            return;
        }
        resident.sort_by_key(|version| version.upgrade().map_or(0, |version| version.last_used()));
        for version in resident.drain(..surplus).filter_map(|version| version.upgrade()) {
            version.image.send_replace(ImageState::Absent);
        }
    }
}

/// The duty to settle a state that was set to [`ImageState::Coming`].
struct Claim(Arc<Version>);

impl Claim {
    /// Takes on a version whose state is one of those; answers the state, too.
    fn take(version: &Arc<Version>, takes: impl Fn(&ImageState) -> bool) -> Option<(Self, ImageState)> {
        let mut before = None;
        version.image.send_if_modified(|state| {
            let claimed = takes(state);
            if claimed {
                before = Some(std::mem::replace(state, ImageState::Coming));
            }
            claimed
        });
        before.map(|before| (Self(Arc::clone(version)), before))
    }

    fn settle(&self, state: ImageState) {
        self.0.image.send_replace(state);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.image.send_if_modified(|state| {
            let unsettled = matches!(state, ImageState::Coming);
            if unsettled {
                *state = ImageState::Lost;
            }
            unsettled
        });
    }
}

/// Whether an error came from the state of this host, or of others, rather than from the function. A
/// deadline is wall-clock time, which a busy host has less of.
fn is_passing(error: &PrepareError) -> bool {
    match error {
        PrepareError::Build(BuildError::Spec(_) | BuildError::Schema(_)) => false,
        PrepareError::Build(BuildError::Call { error, .. }) => {
            matches!(**error, CallError::Deadline { .. } | CallError::Host { .. } | CallError::Cancelled)
        }
        PrepareError::Build(_) => true,
        PrepareError::Packages(error) => error.fault() == Fault::Host,
        // The next query's addresses are others.
        PrepareError::Imports(_) => true,
        PrepareError::NoCode { .. } | PrepareError::CodeNotText { .. } | PrepareError::EnvironmentChanged => {
            false
        }
    }
}
