//! Containers on disk, and which of them run.
//!
//! ```text
//! <data root>/containers/<id>/config.v2.json hostconfig.json hostname hosts resolv.conf <id>-json.log   (Docker's)
//! <exec root>/<id>/monitor.pid attach.sock                                                             (while it runs)
//! ```
//! A monitor holds a lock on `monitor.pid`; the kernel gives it up with the process, so a container whose record says that
//! it runs and whose lock is free has lost its monitor.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::unistd::Pid;

use super::config::{ContainerConfig, HostConfig, State, Time, to_docker_json};
use super::error::failed;
use super::intent::{is_id, remove_directory};
use super::{Engine, EngineError};
use crate::store::{Asked, Hold, Lock, StoreError, atomic, no_json};
use crate::sys::presence::Presence;
use crate::sys::process::Process;

/// A container, as its records tell. `config.name` begins with a slash.
#[derive(Debug, Clone)]
pub struct Container {
    /// 64 hex digits.
    pub id: String,
    /// What it is and how it fares.
    pub config: ContainerConfig,
    /// What it may use of the host.
    pub host: HostConfig,
}

/// What a container is, and how it fares.
const CONFIG: &str = "config.v2.json";
/// What it may use of the host.
const HOST: &str = "hostconfig.json";
/// The file that says which process is a container's monitor.
const MONITOR: &str = "monitor.pid";

/// The exit code of a container that nobody watched to its end (dockerd says the same after a crash of its own).
const UNKNOWN_EXIT_CODE: i64 = 255;

impl Engine {
    pub(super) fn record_directory(&self, id: &str) -> PathBuf {
        self.settings.data_root.join("containers").join(id)
    }

    /// Where the monitor of `id` keeps its socket and lock.
    pub(super) fn run_directory(&self, id: &str) -> PathBuf {
        self.settings.exec_root.join(id)
    }

    /// All containers, running or not, newest first.
    pub fn containers(&self) -> Result<Vec<Container>, EngineError> {
        let mut containers = Vec::new();
        for id in self.container_ids()? {
            match self.load(&id) {
                // As dockerd does: those of another storage driver are not known while this one is used.
                Ok(container) if container.config.driver != self.driver.name() => {}
                Ok(container) => containers.push(container),
                // One that is being made or removed right now.
                Err(EngineError::NoSuchContainer(_)) => {}
                // As dockerd does: one damaged container must not keep people from the others.
                Err(error) => tracing::error!(id, %error, "this container is passed over"),
            }
        }
        containers.sort_by(|a, b| b.config.created.cmp(&a.config.created).then_with(|| a.id.cmp(&b.id)));
        Ok(containers)
    }

    /// The container with this ID, this name, or an ID that begins so.
    pub fn container(&self, name: &str) -> Result<Container, EngineError> {
        if is_id(name)
            && let Ok(found) = self.load(name)
            && found.config.driver == self.driver.name()
        {
            return Ok(found);
        }
        let all = self.containers()?;
        let wanted = name.strip_prefix('/').unwrap_or(name);
        if let Some(found) =
            all.iter().find(|container| container.id == name || container.config.plain_name() == wanted)
        {
            return Ok(found.clone());
        }
        let mut fitting = all.into_iter().filter(|container| !name.is_empty() && container.id.starts_with(name));
        match (fitting.next(), fitting.next()) {
            (Some(found), None) => Ok(found),
            (Some(_), Some(_)) => Err(EngineError::Ambiguous(name.to_owned())),
            _ => Err(EngineError::NoSuchContainer(name.to_owned())),
        }
    }

    pub(super) fn container_ids(&self) -> Result<Vec<String>, EngineError> {
        let directory = self.settings.data_root.join("containers");
        let entries = fs::read_dir(&directory).map_err(failed("list", &directory))?;
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect::<io::Result<_>>().map_err(failed("list", &directory))
    }

    pub(super) fn load(&self, id: &str) -> Result<Container, EngineError> {
        let config = self.load_config(id)?.ok_or_else(|| EngineError::NoSuchContainer(id.to_owned()))?;
        let host = read(&self.record_directory(id).join(HOST))?.unwrap_or_default();
        Ok(Container { id: id.to_owned(), config, host })
    }

    fn load_config(&self, id: &str) -> Result<Option<ContainerConfig>, EngineError> {
        read(&self.record_directory(id).join(CONFIG))
    }

    /// Writes the record of a new container, and then all that lies below the data root, to disk. The container is there when
    /// all else is.
    pub(super) fn register(&self, container: &Container) -> Result<(), EngineError> {
        let directory = self.record_directory(&container.id);
        let beside = |name: &str, json: serde_json::Result<Vec<u8>>, mode| {
            let path = directory.join(name);
            let json = json.map_err(no_json(&path))?;
            atomic::beside(&path, &json, mode)
        };
        let host = beside(HOST, to_docker_json(&container.host), 0o644)?;
        let config = beside(CONFIG, to_docker_json(&container.config), 0o600)?;
        host.put().map_err(failed("write", &directory))?;
        self.store.sync()?;
        config.put().and_then(|_| atomic::sync_directory(&directory)).map_err(failed("write", &directory))
    }

    /// Changes the record of a container as it is now, whatever another process wrote meanwhile.
    pub(super) fn update(&self, id: &str, change: impl FnOnce(&mut Container)) -> Result<Container, EngineError> {
        self.change(id, atomic::write, change)
    }

    /// [`Engine::update`] for how a container fares: a power cut, after which it runs no more, may undo that.
    pub(super) fn note_state(&self, id: &str, change: impl FnOnce(&mut Container)) -> Result<Container, EngineError> {
        self.change(id, atomic::replace, change)
    }

    /// What it may use of the host never changes once it is made.
    fn change(
        &self,
        id: &str,
        write: fn(&Path, &[u8], u32) -> Result<(), StoreError>,
        change: impl FnOnce(&mut Container),
    ) -> Result<Container, EngineError> {
        let directory = self.record_directory(id);
        let Asked::Held(_lock) = Lock::ask(&directory, Hold::Alone)? else {
            return Err(EngineError::NoSuchContainer(id.to_owned()));
        };
        let mut container = self.load(id)?;
        change(&mut container);
        let path = directory.join(CONFIG);
        write(&path, &to_docker_json(&container.config).map_err(no_json(&path))?, 0o600)?;
        Ok(container)
    }

    /// The process number of the monitor of `id`, when it has one.
    pub(super) fn monitor(&self, id: &str) -> Option<i32> {
        Presence::of(&self.run_directory(id).join(MONITOR))
    }

    /// Sets containers right whose monitor was killed: not running any more, nothing mounted.
    pub(super) fn recover(&self) -> Result<(), EngineError> {
        for id in self.container_ids()? {
            // What cannot be read is told by whoever lists it.
            let Ok(Some(config)) = self.load_config(&id) else { continue };
            let State { running, removal_in_progress, .. } = config.state;
            let is_own = config.driver == self.driver.name();
            if is_own && (running || removal_in_progress) && self.monitor(&id).is_none() && self.load(&id).is_ok() {
                self.bury(&id)?;
            }
        }
        Ok(())
    }

    /// Leaves a container whose layer somebody uses to the next command: it may be starting just now.
    fn bury(&self, id: &str) -> Result<(), EngineError> {
        let held = match self.own_layer_now(id) {
            Ok(Some(held)) => held,
            // Somebody has removed it meanwhile.
            Ok(None) | Err(EngineError::NoSuchContainer(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        if !held.container.is_watched() || self.monitor(id).is_some() {
            return Ok(());
        }
        let now = self.clock.now();
        let pid = held.container.config.state.pid;
        if let Some(survivor) = Process::first_of_namespace(Pid::from_raw(pid)) {
            let directory = self.run_directory(id);
            if !directory.exists() {
                // No monitor of ours ever had it: a dockerd made it, and may come back to it.
                tracing::warn!(id, "this container runs, and is not this engine's");
                return Ok(());
            }
            survivor.signal(libc::SIGKILL).map_err(failed("kill what is left of", &directory))?;
            survivor.wait_for_end(None).map_err(failed("wait for", &directory))?;
        }
        let container = self.note_state(id, |container| {
            if container.config.state.running {
                container.end(UNKNOWN_EXIT_CODE, now.into());
            }
        })?;
        self.driver.detach(&self.store.layers.mount(id)?.mount_id)?;
        self.leave_network(&container)?;
        remove_directory(&self.run_directory(id))?;
        tracing::warn!(id, "the monitor of this container was killed; it counts as exited");
        if container.host.auto_remove {
            let _lock = self.store.lock()?;
            return self.forget(&container, true);
        }
        Ok(())
    }
}

impl Container {
    /// Whether it has a monitor, unless that was killed: it runs, or goes with its end (`--rm`) as soon as nobody reads it.
    fn is_watched(&self) -> bool {
        self.config.state.running || (self.config.state.removal_in_progress && self.host.auto_remove)
    }

    /// The container has ended.
    pub(super) fn end(&mut self, exit_code: i64, time: Time) {
        self.leave_network();
        let state = &mut self.config.state;
        *state = State { running: false, pid: 0, exit_code, finished_at: time, ..state.clone() };
    }

    /// Its address and ports are free for others.
    pub(super) fn leave_network(&mut self) {
        let network = &mut self.config.network_settings;
        network.ports = None;
        network.sandbox_id = String::new();
        for endpoint in network.networks.values_mut() {
            endpoint.ip_address = String::new();
            endpoint.ip_prefix_len = 0;
            endpoint.gateway = String::new();
            endpoint.mac_address = String::new();
            endpoint.endpoint_id = String::new();
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, EngineError> {
    let text = match fs::read(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        other => other.map_err(failed("open", path))?,
    };
    let parsed = serde_json::from_slice(&text);
    Ok(Some(parsed.map_err(no_json(path))?))
}

/// Takes the place of the monitor in `directory`; nothing when another has it.
pub(super) fn become_monitor(directory: &Path) -> Result<Option<Presence>, EngineError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed("create", directory))?;
    Presence::announce(&directory.join(MONITOR)).map_err(failed("lock", directory))
}

/// The process numbers of all monitors below `exec_root`.
pub(super) fn live_monitors(exec_root: &Path) -> Vec<i32> {
    let entries = fs::read_dir(exec_root).into_iter().flatten().flatten();
    entries.filter_map(|entry| Presence::of(&entry.path().join(MONITOR))).collect()
}
