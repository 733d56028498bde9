//! Volumes as people know them: made, listed, removed, and never removed while a container has them.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::config::{LOCAL, MountPoint};
use super::error::failed;
use super::{Container, Engine, EngineError, Pruned};
use crate::store::Volume;
use crate::store::volumes::{Pairs, is_name};

impl Engine {
    /// Makes a volume, with a name of its own when none is given; one that is there stays as it is. Says its name.
    pub fn create_volume(&self, name: Option<&str>, driver: &str, labels: &Pairs) -> Result<String, EngineError> {
        let name = name.filter(|name| !name.is_empty()).map_or_else(|| self.entropy.hex_id(), str::to_owned);
        check_volume(&name, driver)?;
        let _lock = self.store.lock()?;
        self.sweep()?;
        self.store.volumes.create(&name, Some(labels))?;
        Ok(name)
    }

    /// All volumes, by name.
    pub fn volumes(&self) -> Result<Vec<Volume>, EngineError> {
        Ok(self.store.volumes.all()?)
    }

    /// The volume called `name`.
    pub fn volume(&self, name: &str) -> Result<Volume, EngineError> {
        self.store.volumes.get(name)?.ok_or_else(|| EngineError::NoSuchVolume(name.to_owned()))
    }

    /// Removes a volume that no container has.
    pub fn remove_volume(&self, name: &str) -> Result<(), EngineError> {
        let _lock = self.store.lock()?;
        self.sweep()?;
        let volume = self.volume(name)?;
        if let Some(users) = self.volume_users()?.remove(name) {
            let reason = format!("volume is in use - [{}]", users.join(", "));
            return Err(EngineError::Volume { operation: "remove", name: name.to_owned(), reason });
        }
        self.drop_volume(&volume.name)
    }

    /// Removes all volumes that no container has and that are `meant`; says which, and how many bytes they held.
    pub fn prune_volumes(&self, meant: &dyn Fn(&Volume) -> bool) -> Result<Pruned<String>, EngineError> {
        let _lock = self.store.lock()?;
        self.sweep()?;
        let users = self.volume_users()?;
        let unused = |volume: &Volume| !users.contains_key(&volume.name) && meant(volume);
        let mut pruned = Pruned::default();
        for volume in self.store.volumes.all()?.into_iter().filter(unused) {
            let measured = size(&volume.data, &mut HashSet::new()).map_err(failed("measure", &volume.data));
            match measured.and_then(|size_bytes| self.drop_volume(&volume.name).map(|()| size_bytes)) {
                Ok(size_bytes) => {
                    pruned.reclaimed_bytes += size_bytes;
                    pruned.removed.push(volume.name);
                }
                Err(error) => pruned.has_failed(error),
            }
        }
        Ok(pruned)
    }

    /// Removes a volume that nobody has. To be called under the store's lock.
    fn drop_volume(&self, name: &str) -> Result<(), EngineError> {
        let intent = self.intend_volumes(&[name.to_owned()])?;
        let removed = self.store.volumes.remove(name);
        // What cannot be removed now cannot be by the next command either, which would fail for it.
        intent.done()?;
        Ok(removed?)
    }

    /// The volumes that containers have, each with the IDs of those containers: of every storage driver, since volumes
    /// are of none.
    pub fn volume_users(&self) -> Result<BTreeMap<String, Vec<String>>, EngineError> {
        let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for id in self.container_ids()? {
            let container = match self.load(&id) {
                Err(EngineError::NoSuchContainer(_)) => continue,
                other => other?,
            };
            for point in container.config.mount_points.values().filter(|point| point.is_volume()) {
                users.entry(point.name.clone()).or_default().push(id.clone());
            }
        }
        Ok(users)
    }

    /// Removes the volumes of a container that nobody gave a name and that no other container has. To be called under the
    /// store's lock.
    pub(super) fn remove_anonymous_volumes(&self, container: &Container) -> Result<(), EngineError> {
        let own: Vec<&MountPoint> =
            container.config.mount_points.values().filter(|point| point.is_anonymous()).collect();
        if own.is_empty() {
            return Ok(());
        }
        let users = self.volume_users()?;
        for point in own {
            let is_shared = users.get(&point.name).is_some_and(|ids| ids.iter().any(|id| *id != container.id));
            if !is_shared && is_name(&point.name) {
                self.drop_volume(&point.name)?;
            }
        }
        Ok(())
    }
}

/// Whether a volume may be made: by that name, and by a driver that is here.
pub(super) fn check_volume(name: &str, driver: &str) -> Result<(), EngineError> {
    let refused = |reason: String| Err(EngineError::Volume { operation: "create", name: name.to_owned(), reason });
    if driver != LOCAL && !driver.is_empty() {
        return refused(format!("error looking up volume plugin {driver}: plugin {driver:?} not found"));
    }
    if name.len() == 1 {
        return refused("volume name is too short, names should be at least two alphanumeric characters".to_owned());
    }
    if !is_name(name) {
        return refused(format!(
            "{name:?} includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. \
             If you intended to pass a host directory, use absolute path"
        ));
    }
    Ok(())
}

/// Bytes of everything below `directory` that is no directory, a file with several names once.
fn size(directory: &Path, seen: &mut HashSet<u64>) -> io::Result<u64> {
    let mut size_bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        if meta.is_dir() {
            size_bytes += size(&entry.path(), seen)?;
        } else if seen.insert(meta.ino()) {
            size_bytes += meta.len();
        }
    }
    Ok(size_bytes)
}
