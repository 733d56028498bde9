//! The engine: images and containers as people know them, on top of store, driver and registry.
//!
//! *Why*: every verb of the command line is one method here, so that the same engine can be driven in process.
//! *Holds*: there is no daemon; a container that runs has a monitor process, which alone writes its state, its log and
//! its exit code. *Never*: text for people other than Docker's own refusals. *Proved by*: `engine/tests` and the replayed
//! pages.

use std::path::PathBuf;
use std::sync::Mutex;

use crate::driver::{self, Driver};
use crate::registry::RegistrySettings;
use crate::store::{Store, StoreError, daemon};
use crate::sys::random::{KernelEntropy, SystemClock};
use crate::world::{Clock, Entropy};

pub mod attach;
mod bridge;
mod build_step;
mod change;
pub mod commit;
pub mod config;
mod copy;
pub mod create;
pub mod detach_keys;
pub mod error;
pub mod exec;
mod export;
mod history;
mod hub;
pub mod images;
mod import;
mod incoming;
mod intent;
mod launch;
mod layer_lock;
mod lease;
mod lifecycle;
pub mod load;
pub mod log;
pub mod monitor;
mod mount_spec;
mod mounts;
pub mod names;
mod naming;
mod needs;
mod network;
mod processes;
mod program;
mod prune;
mod publish;
mod pull;
mod push;
mod records;
mod remove_image;
mod rename;
mod rootfs;
mod rootless;
mod save;
mod signal;
mod stop;
mod stream;
pub mod top;
mod volumes;

pub use build_step::StepImage;
pub use commit::CommitSpec;
pub use copy::ContainerFiles;
pub use create::CreateSpec;
pub use error::EngineError;
pub use history::HistoryStep;
pub use images::{Image, ImageSummary};
pub use import::ImportSpec;
pub use lease::Lease;
pub use lifecycle::{ExecSpec, Summoned};
pub use load::{LoadError, LoadProgress, Loaded};
pub use prune::Pruned;
pub use records::Container;
pub use remove_image::RemovedImage;
pub use rootless::{NamespaceLock, enter_namespaces};

pub use crate::driver::{Availability, Choice, GraphData};
pub use crate::store::{Staging, Volume};

/// What dockerd would read from its flags and `daemon.json`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where images and containers lie (`/var/lib/docker`).
    pub data_root: PathBuf,
    /// Where sockets and locks of running containers lie (`/run/layerlab`).
    pub exec_root: PathBuf,
    /// The storage driver that was asked for.
    pub storage_driver: Option<String>,
    /// How registries are reached.
    pub registry: RegistrySettings,
    /// Give every file to the caller when an image needs owners that are not mapped here.
    pub squash_owners: bool,
    /// The program that is started as a container's monitor.
    pub program: PathBuf,
}

/// An engine on one data root.
pub struct Engine {
    settings: Settings,
    store: Store,
    driver: Box<dyn Driver>,
    /// Why that one.
    choice: Choice,
    clock: Box<dyn Clock>,
    entropy: Box<dyn Entropy>,
    /// Held while no container has been started yet, by commands that start one (`rootless.rs`).
    namespace: Mutex<Option<NamespaceLock>>,
}

impl Engine {
    /// Opens the engine, laying out the data root when it is new, and puts right what a killed monitor left behind.
    pub fn open(settings: Settings) -> Result<Engine, EngineError> {
        Engine::open_with(settings, |driver| driver)
    }

    /// [`Engine::open`] with a driver of somebody's own, made of the one that the settings choose.
    pub fn open_with(
        settings: Settings,
        made_of: impl FnOnce(Box<dyn Driver>) -> Box<dyn Driver>,
    ) -> Result<Engine, EngineError> {
        let engine = Engine::open_as_is(settings, made_of)?;
        engine.recover()?;
        Ok(engine)
    }

    /// [`Engine::open_with`], whatever killed monitors have left.
    fn open_as_is(
        settings: Settings,
        made_of: impl FnOnce(Box<dyn Driver>) -> Box<dyn Driver>,
    ) -> Result<Engine, EngineError> {
        // The driver is asked first: one that does not exist must not leave directories behind.
        std::fs::create_dir_all(&settings.data_root).map_err(error::failed("create", &settings.data_root))?;
        if daemon::is_dockerd_at_work(&settings.data_root) {
            return Err(StoreError::Dockerd(settings.data_root).into());
        }
        let (name, choice) = driver::choose(settings.storage_driver.as_deref(), &settings.data_root)?;
        let driver = made_of(driver::open(Some(&name), &settings.data_root)?);
        let store = Store::open(&settings.data_root, driver.name())?;
        // The monitors of containers get the same one.
        let settings = Settings { storage_driver: Some(driver.name().to_owned()), ..settings };
        Ok(Engine {
            settings,
            store,
            driver,
            choice,
            clock: Box::new(SystemClock),
            entropy: Box::new(KernelEntropy),
            namespace: Mutex::new(None),
        })
    }

    /// What the engine was opened with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Docker's name of the storage driver, and its lines of `docker info`.
    pub fn driver_info(&self) -> (&'static str, Vec<(&'static str, String)>) {
        (self.driver.name(), self.driver.info())
    }

    /// Why this driver is the one in use.
    pub fn driver_choice(&self) -> Choice {
        self.choice
    }

    /// Every storage driver that has a name, and whether it works here.
    pub fn known_drivers(&self) -> Vec<(&'static str, Availability)> {
        driver::survey(self.store.data_root())
    }

    /// The directories of a container.
    pub fn container_graph(&self, container: &Container) -> Result<GraphData, EngineError> {
        Ok(self.driver.graph(&self.store.layers.mount(&container.id)?.mount_id)?)
    }

    /// The bytes of a container's own files, and those together with its image's.
    pub fn container_size_bytes(&self, container: &Container) -> Result<(u64, u64), EngineError> {
        let mount = self.store.layers.mount(&container.id)?;
        let own = self.driver.own_size_bytes(&mount.mount_id)?;
        let below = mount.parent.map(|parent| self.store.layers.chain(&parent)).transpose()?.unwrap_or_default();
        Ok((own, own + below.iter().map(|layer| layer.size_bytes).sum::<u64>()))
    }
}
