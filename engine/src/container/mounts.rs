//! What is mounted in a container beside its own files: planned and filled when it is made, bound when it starts.
//!
//! A volume that is empty begins with what the image has at its place, owners and modes included, unless `nocopy` forbids it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::config::{BIND, HostConfig, LOCAL, MountPoint, VOLUME, VolumeOptions};
use super::error::failed;
use super::rootfs::Bind;
use super::volumes::check_volume;
use super::{Container, Engine, EngineError, mount_spec};
use crate::driver::DriverError;
use crate::image::RunConfig;
use crate::layer::{Files, OverlayXattr, copy_tree};
use crate::store::Volume;
use crate::sys::reason::reason;
use crate::sys::root::Root;

impl Engine {
    /// The mount points of a new container, by their places. Nothing is made yet.
    pub(super) fn plan_mounts(
        &self,
        host: &HostConfig,
        run: &RunConfig,
    ) -> Result<BTreeMap<String, MountPoint>, EngineError> {
        let mut points = BTreeMap::new();
        let bound = host.binds.iter().flatten().map(|raw| mount_spec::bind(raw));
        let mounted = host.mounts.iter().map(mount_spec::mount);
        for point in bound.chain(mounted) {
            let point = self.named(point?)?;
            let place = point.destination.clone();
            if points.insert(place.clone(), point).is_some() {
                return Err(EngineError::Mount(format!("Duplicate mount point: {place}")));
            }
        }
        for path in run.volumes.iter().flat_map(BTreeMap::keys) {
            let point = mount_spec::anonymous(path);
            if !points.contains_key(&point.destination) {
                points.insert(point.destination.clone(), MountPoint { name: self.entropy.hex_id(), ..point });
            }
        }
        Ok(points)
    }

    /// Gives a volume that was asked for its name and its source.
    fn named(&self, mut point: MountPoint) -> Result<MountPoint, EngineError> {
        if !point.is_volume() {
            return Ok(point);
        }
        if point.name.is_empty() {
            point.name = self.entropy.hex_id();
        }
        let driver = options(&point).and_then(|options| options.driver_config.as_ref());
        check_volume(&point.name, driver.map(|driver| driver.name.as_str()).unwrap_or_default())?;
        if driver.and_then(|driver| driver.options.as_ref()).is_some_and(|options| !options.is_empty()) {
            return Err(EngineError::Volume {
                operation: "create",
                name: point.name,
                reason: "this engine's volumes take no driver options: leave volume-opt out".to_owned(),
            });
        }
        point.driver = LOCAL.to_owned();
        point.source = self.store.volumes.data(&point.name).display().to_string();
        if point.mode.is_empty() {
            // dockerd's default, a shared security label.
            point.mode = "z".to_owned();
        }
        Ok(point)
    }

    /// The volumes that a new container brings into being.
    pub(super) fn missing_volumes(&self, container: &Container) -> Vec<String> {
        let volumes = container.config.mount_points.values().filter(|point| point.is_volume());
        let missing = volumes.filter(|point| !self.store.volumes.data(&point.name).is_dir());
        missing.map(|point| point.name.clone()).collect()
    }

    /// Makes the volumes of a new container whose files lie at `tree`, and fills those that are empty. To be called under
    /// the store's lock.
    pub(super) fn fill_volumes(&self, container: &Container, mount_id: &str, tree: &Path) -> Result<(), EngineError> {
        let points = &container.config.mount_points;
        if points.is_empty() {
            return Ok(());
        }
        let root = Root::open(tree).map_err(failed("open", tree))?;
        let shown =
            |place: &str| format!("{}/{}", self.driver.attached_at(mount_id).display(), place.trim_start_matches('/'));
        for point in points.values().filter(|point| point.is_volume()) {
            let labels = options(point).and_then(|options| options.labels.as_ref());
            self.store.volumes.create(&point.name, labels)?;
            let volume = self.usable(point)?;
            let place = match root.open_at(Path::new(&point.destination), OFlags::PATH, Mode::empty()) {
                Ok(place) => {
                    PathBuf::from(format!("/proc/self/fd/{}", place.as_raw_fd())).join(".").is_dir().then_some(place)
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound) => continue,
                Err(error) => return Err(failed("open", &tree.join(&point.destination))(error)),
            };
            match place {
                None if point.is_anonymous() => {
                    let place = shown(&point.destination);
                    return Err(EngineError::Mount(format!(
                        "cannot mount volume over existing file, file exists {place}"
                    )));
                }
                None if point.copies() => {
                    return Err(EngineError::Mount(format!("source {} is not directory", shown(&point.destination))));
                }
                Some(place) if point.copies() && is_empty(&volume.data)? => {
                    let from = PathBuf::from(format!("/proc/self/fd/{}", place.as_raw_fd()));
                    copy_tree(&from, &volume.data, Files::Copied, OverlayXattr::None).map_err(DriverError::from)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The volume of a mount point, if it is one whose content simply lies on disk.
    fn usable(&self, point: &MountPoint) -> Result<Volume, EngineError> {
        let volume = self.volume(&point.name)?;
        match &volume.options {
            Some(options) if !options.is_empty() => Err(EngineError::Mount(format!(
                "volume {} was made with options ({}), which this engine cannot mount: use another one",
                volume.name,
                options.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
            ))),
            _ => Ok(volume),
        }
    }

    /// [`Engine::binds`], and those of `files` whose places are not taken by them.
    pub(super) fn binds_and(&self, container: &Container, files: Vec<Bind>) -> Result<Vec<Bind>, EngineError> {
        let mut binds = self.binds(container)?;
        let is_free = |file: &Bind| binds.iter().all(|bind| bind.target != file.target);
        let files: Vec<Bind> = files.into_iter().filter(is_free).collect();
        binds.extend(files);
        Ok(binds)
    }

    /// What is bound into a container, outer places first. A path of the host that is missing is made, unless it has to be
    /// there.
    fn binds(&self, container: &Container) -> Result<Vec<Bind>, EngineError> {
        let mut points: Vec<&MountPoint> = container.config.mount_points.values().collect();
        points.sort_by_key(|point| point.destination.matches('/').count());
        points.into_iter().map(|point| self.bind(point)).collect()
    }

    fn bind(&self, point: &MountPoint) -> Result<Bind, EngineError> {
        if ["/", "."].contains(&point.destination.as_str()) {
            return Err(EngineError::Mount("invalid specification: destination can't be '/'".to_owned()));
        }
        if ![VOLUME, BIND].contains(&point.kind.as_str())
            || !["", "rprivate", "private"].contains(&point.propagation.as_str())
        {
            return Err(EngineError::Mount(format!(
                "{} wants a mount of type {} {}, which this engine does not have: make the container anew without it",
                point.destination, point.kind, point.propagation
            )));
        }
        let source = if point.is_volume() {
            self.usable(point)?.data
        } else {
            let source = PathBuf::from(&point.source);
            if !source.exists() && point.skip_mountpoint_creation {
                return Err(EngineError::Mount(format!(
                    "invalid mount config for type \"bind\": bind source path does not exist: {}",
                    point.source
                )));
            }
            let made = if source.exists() { Ok(()) } else { make_directories(&source) };
            made.map_err(|error| {
                let (path, reason) = (&point.source, reason(&error));
                EngineError::Mount(format!("error while creating mount source path '{path}': mkdir {path}: {reason}"))
            })?;
            source
        };
        let non_recursive = point.spec.bind_options.as_ref().is_some_and(|options| options.non_recursive);
        Ok(Bind { source, target: point.destination.clone(), read_only: !point.writable, recursive: !non_recursive })
    }

    /// The mount points of a container as `inspect` shows them: with the source of every volume.
    pub fn mount_points(&self, container: &Container) -> Vec<MountPoint> {
        let mut points: Vec<MountPoint> = container.config.mount_points.values().cloned().collect();
        for point in points.iter_mut().filter(|point| point.is_volume()) {
            point.source = self.store.volumes.data(&point.name).display().to_string();
        }
        points
    }
}

fn options(point: &MountPoint) -> Option<&VolumeOptions> {
    point.spec.volume_options.as_ref()
}

fn is_empty(directory: &Path) -> Result<bool, EngineError> {
    Ok(fs::read_dir(directory).map_err(failed("list", directory))?.next().is_none())
}

fn make_directories(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path)
}
