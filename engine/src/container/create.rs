//! Making a container: the image's settings with the caller's over them, a name, an `-init` layer and a writable one.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};

use super::config::{ContainerConfig, EndpointSettings, HostConfig};
use super::error::failed;
use super::intent::remove_directory;
use super::network::joined;
use super::remove_image::Released;
use super::{Container, Engine, EngineError, names, rootfs, signal};
use crate::image::Digest;
use crate::image::config::RunConfig;
use crate::store::MountRecord;

/// What a new container is to be.
#[derive(Debug, Clone)]
pub struct CreateSpec {
    /// The image, by any of its names.
    pub image: String,
    /// Its name; without one it gets a random one.
    pub name: Option<String>,
    /// What the caller says about the program; what is left unsaid comes from the image.
    pub run: RunConfig,
    /// What it may use of the host.
    pub host: HostConfig,
}

impl Engine {
    /// Makes a container that does not run yet, and says what the caller should be warned of.
    pub fn create(&self, spec: CreateSpec) -> Result<(Container, Vec<String>), EngineError> {
        let image_id = self.image_id(&spec.image)?;
        let run = RunConfig { image: spec.image, ..spec.run };
        self.create_on(Some(&image_id), run, spec.host, spec.name)
    }

    /// [`Engine::create`] on an image that is known, or on nothing at all.
    pub(super) fn create_on(
        &self,
        image_id: Option<&Digest>,
        run: RunConfig,
        mut host: HostConfig,
        name: Option<String>,
    ) -> Result<(Container, Vec<String>), EngineError> {
        if !run.stop_signal.is_empty() {
            signal::number(&run.stop_signal)?;
        }
        let image = image_id.map(|id| self.image_config(id)).transpose()?;
        let defaults = image.as_ref().and_then(|image| image.view().config.clone()).unwrap_or_default();
        let mut run = merged(run, &defaults);
        let command: Vec<String> = run.entrypoint.iter().flatten().chain(run.cmd.iter().flatten()).cloned().collect();
        let Some((path, args)) = command.split_first() else { return Err(EngineError::NoCommand) };
        if !run.working_dir.is_empty() && !run.working_dir.starts_with('/') {
            return Err(EngineError::WorkingDirectory(run.working_dir));
        }
        let mount_points = self.plan_mounts(&host, &run)?;
        let other = self.resolve_joined(&mut host, &run)?;
        // An unknown network is refused at the start, as dockerd does.
        let network = network_name(&host.network_mode).unwrap_or(&host.network_mode).to_owned();
        let mut warnings = Vec::new();
        if network == "host" && !host.port_bindings.is_empty() {
            warnings.push("Published ports are discarded when using host network mode".to_owned());
        }
        let id = self.entropy.hex_id();
        if run.hostname.is_empty() {
            // A container on the host's network has the host's name.
            run.hostname = match &other {
                Some(other) => other.config.config.hostname.clone(),
                None if network == "host" => host_name(),
                None => id[..12].to_owned(),
            };
        }

        let _lock = self.store.lock()?;
        self.sweep()?;
        let name = self.free_name(name)?;
        let directory = self.record_directory(&id);
        let file = |name: &str| directory.join(name).display().to_string();
        let mut config = ContainerConfig {
            id: id.clone(),
            created: self.clock.now().into(),
            path: path.clone(),
            args: args.to_vec(),
            config: run,
            image: image_id.map(ToString::to_string).unwrap_or_default(),
            log_path: file(&format!("{id}-json.log")),
            name: format!("/{name}"),
            driver: self.driver.name().to_owned(),
            mount_points,
            hostname_path: file("hostname"),
            hosts_path: file("hosts"),
            resolv_conf_path: file("resolv.conf"),
            ..ContainerConfig::default()
        };
        match other {
            Some(Container { config: other, .. }) => {
                config.hostname_path = other.hostname_path;
                config.hosts_path = other.hosts_path;
                config.resolv_conf_path = other.resolv_conf_path;
            }
            None if joined(&host.network_mode).is_some() => {}
            None => config.network_settings.networks = BTreeMap::from([(network, EndpointSettings::default())]),
        }
        let container = Container { id, config, host };
        let made = self.lay_out(&container, image.as_ref().and_then(|image| self.top_layer(image)));
        if made.is_err() {
            self.forget(&container, true)?;
            self.sweep()?;
        }
        made.map(|()| (container, warnings))
    }

    /// Layers, mount record, volumes and container record, in this order: what a record names exists.
    fn lay_out(&self, container: &Container, top: Option<Digest>) -> Result<(), EngineError> {
        let mount_id = self.entropy.hex_id();
        let record = MountRecord { init_id: format!("{mount_id}-init"), mount_id, parent: top.clone() };
        let below = top.map(|top| self.store.layers.get(&top)).transpose()?;
        let volumes = self.missing_volumes(container);
        let intent = self.intend_container(&container.id, &[&record.mount_id, &record.init_id], &volumes)?;
        self.store.layers.put_mount(&container.id, &record)?;
        self.driver.create(&record.init_id, below.as_ref().map(|layer| layer.cache_id.as_str()))?;
        let tree = self.driver.edit(&record.init_id)?;
        rootfs::fill_init_layer(tree.path()).map_err(failed("fill", tree.path()))?;
        drop(tree);
        self.driver.create(&record.mount_id, Some(&record.init_id))?;
        // As with dockerd, the first mount is not that of the running container, which would show `uuid=on`.
        let tree = self.driver.edit(&record.mount_id)?;
        rootfs::make_working_directory(tree.path(), container)?;
        self.fill_volumes(container, &record.mount_id, tree.path())?;
        drop(tree);
        let directory = self.record_directory(&container.id);
        for (path, mode) in
            [(directory.clone(), 0o710), (directory.join("checkpoints"), 0o700), (directory.join("mounts"), 0o710)]
        {
            fs::DirBuilder::new().mode(mode).create(&path).map_err(failed("create", &path))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(failed("chmod", &path))?;
        }
        self.register(container)?;
        intent.done()
    }

    /// Removes a container that does not run: its layers, its mount record, with `volumes` those that nobody gave a name, and,
    /// last, its record, so that one that was half removed can be removed again. Who is cut off leaves a note, by which the next command goes on; who
    /// fails leaves none. To be called under the store's lock.
    pub(super) fn forget(&self, container: &Container, volumes: bool) -> Result<(), EngineError> {
        let mut mount = self.store.layers.mount(&container.id).ok();
        if let Some(mount) = mount.as_mut().filter(|mount| self.is_needed_by_image(container, mount.parent.as_ref())) {
            mount.parent = None;
        }
        let top = mount.as_ref().and_then(|mount| mount.parent.as_ref());
        let below = top.and_then(|top| self.store.layers.chain(top).ok()).unwrap_or_default();
        let chain_ids: Vec<_> = below.into_iter().map(|layer| layer.chain_id).collect();
        // On a full disk there is room when the layers are gone.
        let noted = self.intend_removal(&container.id, volumes, &chain_ids).ok();
        let removed = self.remove_all_of(container, mount.as_ref(), volumes);
        match (noted, removed) {
            // Layers that somebody reads go with their reader.
            (Some(_), Ok(released)) if !released.is_all => Ok(()),
            (Some(intent), removed) => intent.done().and(removed.map(drop)),
            (None, removed) => removed.map(drop),
        }
    }

    /// Whether the image of a container, which needs all its layers, is here, and `top` is its topmost layer.
    fn is_needed_by_image(&self, container: &Container, top: Option<&Digest>) -> bool {
        let image = container.config.image.parse().ok().filter(|image| self.store.images.has(image));
        let image = image.and_then(|image| self.image_config(&image).ok());
        image.is_some_and(|image| self.top_layer(&image).as_ref() == top)
    }

    /// Removes a container with what `mount` names. The layers that it lies on go if nothing else needs them.
    fn remove_all_of(
        &self,
        container: &Container,
        mount: Option<&MountRecord>,
        volumes: bool,
    ) -> Result<Released, EngineError> {
        let mut released = Released { removed: Vec::new(), is_all: true };
        if let Some(mount) = mount {
            self.driver.remove(&mount.mount_id)?;
            self.driver.remove(&mount.init_id)?;
            self.store.layers.remove_mount(&container.id)?;
            // The image may have been removed by force while the container still lay on its layers.
            if let Some(top) = &mount.parent {
                released = self.release_layers(Some(top.clone()), &self.needs()?)?;
            }
        }
        if volumes {
            self.remove_anonymous_volumes(container)?;
        }
        remove_directory(&self.record_directory(&container.id))?;
        Ok(released)
    }

    /// The container whose network a new one is to have, if it is there; from then on it is known by its ID.
    fn resolve_joined(&self, host: &mut HostConfig, run: &RunConfig) -> Result<Option<Container>, EngineError> {
        let Some(name) = joined(&host.network_mode) else { return Ok(None) };
        if name.is_empty() {
            return Err(EngineError::Options("Invalid network mode: invalid container format container:<name|id>"));
        }
        if !run.hostname.is_empty() {
            return Err(EngineError::Options("conflicting options: hostname and the network mode"));
        }
        if !host.port_bindings.is_empty() {
            return Err(EngineError::Options(
                "conflicting options: port publishing and the container type network mode",
            ));
        }
        match self.container(name) {
            Ok(other) => {
                host.network_mode = format!("container:{}", other.id);
                Ok(Some(other))
            }
            // Refused at the start, as dockerd does.
            Err(EngineError::NoSuchContainer(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The name asked for, if it is allowed and free, or else a random one.
    pub(super) fn free_name(&self, wanted: Option<String>) -> Result<String, EngineError> {
        let all = self.containers()?;
        let holder = |name: &str| all.iter().find(|container| container.config.plain_name() == name);
        let Some(name) = wanted else { return Ok(names::choose(self.entropy.number(), |name| holder(name).is_some())) };
        let plain = name.strip_prefix('/').unwrap_or(&name);
        if !is_name(plain) {
            return Err(EngineError::InvalidName(name));
        }
        match holder(plain) {
            Some(other) => Err(EngineError::NameInUse { name: plain.to_owned(), id: other.id.clone() }),
            None => Ok(plain.to_owned()),
        }
    }
}

/// The caller's settings, with the image's where the caller says nothing (dockerd's `runconfig.Merge`).
fn merged(mut run: RunConfig, image: &RunConfig) -> RunConfig {
    if run.entrypoint.is_none() {
        if run.cmd.as_ref().is_none_or(Vec::is_empty) {
            run.cmd = image.cmd.clone();
        }
        run.entrypoint = image.entrypoint.clone();
    }
    let name = |entry: &String| entry.split('=').next().unwrap_or_default().to_owned();
    let mut env = run.env.take().unwrap_or_default();
    let said: Vec<String> = env.iter().map(name).collect();
    env.extend(image.env.iter().flatten().filter(|entry| !said.contains(&name(entry))).cloned());
    run.env = Some(env);
    for (port, set) in &image.exposed_ports {
        run.exposed_ports.insert(port.clone(), *set);
    }
    if let Some(volumes) = &image.volumes {
        run.volumes.get_or_insert_default().extend(volumes.clone());
    }
    let mut labels = image.labels.clone().unwrap_or_default();
    labels.extend(run.labels.take().unwrap_or_default());
    run.labels = Some(labels);
    for (said, inherited) in [
        (&mut run.user, &image.user),
        (&mut run.working_dir, &image.working_dir),
        (&mut run.stop_signal, &image.stop_signal),
    ] {
        if said.is_empty() {
            said.clone_from(inherited);
        }
    }
    // An empty entrypoint was asked for to silence the image's.
    run.entrypoint = run.entrypoint.filter(|words| words.iter().any(|word| !word.is_empty()));
    run.on_build = None;
    run.healthcheck = run.healthcheck.or_else(|| image.healthcheck.clone());
    run.stop_timeout = run.stop_timeout.or(image.stop_timeout);
    run
}

/// Whether a container may be called so: two characters at least, the first a letter or a digit.
fn is_name(name: &str) -> bool {
    let mut characters = name.chars();
    let first = characters.next().is_some_and(|first| first.is_ascii_alphanumeric());
    first && name.len() > 1 && characters.all(|other| other.is_ascii_alphanumeric() || "_.-".contains(other))
}

/// Docker's name of the network that a mode means.
pub(super) fn network_name(mode: &str) -> Result<&'static str, EngineError> {
    match mode {
        "default" | "bridge" | "" => Ok("bridge"),
        "none" => Ok("none"),
        "host" => Ok("host"),
        other => Err(EngineError::NoSuchNetwork(other.to_owned())),
    }
}

fn host_name() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Option<Vec<String>> {
        Some(words.iter().map(|word| word.to_string()).collect())
    }

    #[test]
    fn what_the_caller_leaves_unsaid_comes_from_the_image() {
        let image = RunConfig {
            cmd: words(&["httpd-foreground"]),
            env: words(&["PATH=/bin", "A=1"]),
            working_dir: "/usr/local/apache2".to_owned(),
            stop_signal: "SIGWINCH".to_owned(),
            ..RunConfig::default()
        };
        let run = merged(RunConfig { env: words(&["A=2", "B=3"]), ..RunConfig::default() }, &image);
        assert_eq!(run.cmd, image.cmd);
        assert_eq!(run.env, words(&["A=2", "B=3", "PATH=/bin"]));
        assert_eq!((run.working_dir.as_str(), run.stop_signal.as_str()), ("/usr/local/apache2", "SIGWINCH"));
    }

    #[test]
    fn an_entrypoint_of_the_callers_silences_the_images_command() {
        let image = RunConfig { cmd: words(&["bash"]), entrypoint: words(&["/entry"]), ..RunConfig::default() };
        let run = merged(RunConfig { entrypoint: words(&["echo"]), ..RunConfig::default() }, &image);
        assert_eq!((run.entrypoint, run.cmd), (words(&["echo"]), None));
        let run = merged(RunConfig { cmd: words(&["ls"]), ..RunConfig::default() }, &image);
        assert_eq!((run.entrypoint, run.cmd), (words(&["/entry"]), words(&["ls"])));
    }
}
