//! What is about to be made or removed, written down first: so that what a killed command left half done is known for what
//! it is, and nothing that somebody else made is ever taken for it.
//!
//! On disk: files in `<data root>/image/<driver>/intents`, which is there as long as there are any (a dockerd that begins
//! empties `tmp`). Their lines:
//! ```text
//! cache <cache ID>            a layer directory that is made
//! chain <chain ID>            a registered layer that may go, the topmost first
//! volume <name>               a volume that is made, or removed
//! making <ID>                 a container that is made
//! container <ID> [volumes]    one that is removed, with the volumes that nobody named
//! ```
//! One exists only while the store's lock is held; one that is seen by the next holder of the lock was left by a process that is
//! gone, or names layers that somebody still read when they were to be removed (`lease.rs`).

use std::fs;
use std::io;
use std::iter;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::error::failed;
use super::{Engine, EngineError};
use crate::image::Digest;
use crate::store::volumes::is_name;
use crate::store::{INTENTS, atomic, daemon, staging};

/// A note that some layers are being made or removed.
#[must_use = "an intent that is not done is swept"]
pub(super) struct Intent {
    path: PathBuf,
}

impl Intent {
    /// What was intended has happened, or has been undone.
    pub(super) fn done(self) -> Result<(), EngineError> {
        fs::remove_file(&self.path).map_err(failed("remove", &self.path))?;
        // Others are there, or none is.
        self.path.parent().map_or(Ok(()), |place| fs::remove_dir(place).or(Ok(())))
    }
}

impl Engine {
    /// Notes that these layer directories and registered layers may be left half done. To be called under the store's
    /// lock.
    pub(super) fn intend(&self, cache_ids: &[&str], chain_ids: &[Digest]) -> Result<Intent, EngineError> {
        let caches = cache_ids.iter().map(|id| format!("cache {id}\n"));
        let chains = chain_ids.iter().map(|id| format!("chain {}\n", id.hex()));
        self.note(&caches.chain(chains).collect::<String>())
    }

    /// [`Engine::intend`], for these volumes.
    pub(super) fn intend_volumes(&self, volumes: &[String]) -> Result<Intent, EngineError> {
        self.note(&volumes.iter().map(|name| format!("volume {name}\n")).collect::<String>())
    }

    /// [`Engine::intend`], for a container that is made with these layer directories and volumes.
    pub(super) fn intend_container(
        &self,
        id: &str,
        cache_ids: &[&str],
        volumes: &[String],
    ) -> Result<Intent, EngineError> {
        // Its mount first: what that refers to stays.
        let caches = cache_ids.iter().map(|id| format!("cache {id}\n"));
        let volumes = volumes.iter().map(|name| format!("volume {name}\n"));
        self.note(&iter::once(format!("making {id}\n")).chain(caches).chain(volumes).collect::<String>())
    }

    /// [`Engine::intend`], for the removal of a container, and of these layers after it.
    pub(super) fn intend_removal(
        &self,
        container: &str,
        volumes: bool,
        chain_ids: &[Digest],
    ) -> Result<Intent, EngineError> {
        let chains: String = chain_ids.iter().map(|id| format!("chain {}\n", id.hex())).collect();
        let volumes = if volumes { " volumes" } else { "" };
        self.note(&format!("container {container}{volumes}\n{chains}"))
    }

    fn intents(&self) -> PathBuf {
        self.store.data_root().join("image").join(self.driver.name()).join(INTENTS)
    }

    /// All that lies where notes do; without the store's lock it may be of what another command does just now.
    fn noted(&self) -> Result<Vec<PathBuf>, EngineError> {
        let place = self.intents();
        match fs::read_dir(&place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            entries => Ok(entries.map_err(failed("list", &place))?.flatten().map(|entry| entry.path()).collect()),
        }
    }

    fn note(&self, lines: &str) -> Result<Intent, EngineError> {
        let place = self.intents();
        match fs::DirBuilder::new().mode(0o700).create(&place) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed("create", &place)(error)),
            _ => {}
        }
        let path = place.join(self.entropy.hex_id());
        let beside = atomic::beside(&path, lines.as_bytes(), 0o600)?;
        // With a new file the kernel's journaling file systems write the names that lead to it. Until it is on disk nothing has begun, so that one that a power cut
        // emptied is about nothing.
        beside.put().and_then(|file| file.sync_all()).map_err(failed("write", &path))?;
        Ok(Intent { path })
    }

    /// [`Engine::sweep`], for whoever has no lock.
    pub fn finish_what_was_cut_off(&self) -> Result<(), EngineError> {
        let _lock = self.store.lock()?;
        self.sweep()
    }

    /// Removes what killed commands left half done, and what could not be removed yet: only what their notes name, and of that only
    /// what nobody refers to. Whatever else has lost its record may be somebody's only copy: `layerlab check` tells of it.
    /// To be called under the store's lock.
    pub(super) fn sweep(&self) -> Result<(), EngineError> {
        // Whoever finishes a removal makes notes, too.
        let mut notes = self.noted()?;
        // A container that was being made may have records that say nothing, which stop whoever asks who needs what: it goes first.
        notes.sort_by_cached_key(|path| !fs::read_to_string(path).is_ok_and(|text| text.starts_with("making ")));
        for path in notes {
            // Somebody was killed while he wrote it, and had begun nothing.
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
                Intent { path }.done()?;
                continue;
            }
            let text = fs::read_to_string(&path).map_err(failed("open", &path))?;
            let noted = fs::metadata(&path).and_then(|meta| meta.modified()).map_err(failed("look at", &path))?;
            tracing::info!(intent = %path.display(), "what was left to be removed is removed");
            // What lies below a layer that somebody reads stays too.
            let mut is_done = true;
            for line in text.lines() {
                // Nobody refers to it: what cannot be removed is in nobody's way, and is tried again by the next command.
                is_done = is_done
                    && self.undo(line, noted).unwrap_or_else(|error| {
                        tracing::warn!(%error, intent = %path.display(), "what was left to be removed stays for now");
                        false
                    });
            }
            if is_done {
                Intent { path }.done()?;
            }
        }
        self.store.layers.sweep()?;
        // Nobody refers to it: what cannot be removed is in nobody's way.
        if let Err(error) = staging::sweep(self.store.data_root()) {
            tracing::warn!(%error, "what a killed command had unpacked stays");
        }
        Ok(())
    }

    /// Whether nothing of this line, which was noted then, is left to be undone.
    fn undo(&self, line: &str, noted: SystemTime) -> Result<bool, EngineError> {
        match line.split_once(' ') {
            // Whoever saw it there again may have gone on with it.
            Some(("container" | "volume", _)) if self.has_dockerd_begun_since(noted) => {}
            Some(("container", rest)) => {
                let (id, volumes) = rest.split_once(' ').unwrap_or((rest, ""));
                return self.finish_removal(id, volumes == "volumes", noted);
            }
            Some(("making", id)) => return self.clear(id),
            Some(("cache", id)) if is_cache_id(id) && !self.is_referred_to(id)? => self.driver.remove(id)?,
            Some(("chain", hex)) => {
                if let Some(top) = Digest::from_hex(hex).ok().filter(|top| self.store.layers.has(top)) {
                    return Ok(self.release_layers(Some(top), &self.needs()?)?.is_all);
                }
            }
            Some(("volume", name)) if is_name(name) && !self.volume_users()?.contains_key(name) => {
                self.store.volumes.remove(name)?;
            }
            _ => {}
        }
        Ok(true)
    }

    /// Whether a dockerd has begun on this data root after that time: each writes into its database of volumes then (bbolt's `Tx.Commit`, of
    /// moby's `volume/service/store.go`).
    fn has_dockerd_begun_since(&self, noted: SystemTime) -> bool {
        daemon::last_begun(self.store.data_root()).is_some_and(|begun| begun > noted)
    }

    /// Whether a container is gone, or was started again after its removal was cut off, which takes it back.
    fn finish_removal(&self, id: &str, volumes: bool, noted: SystemTime) -> Result<bool, EngineError> {
        let held = match self.own_layer_now(id) {
            Ok(Some(held)) => held,
            Ok(None) => return Ok(false),
            Err(EngineError::NoSuchContainer(_)) => return self.clear(id),
            Err(error) => return Err(error),
        };
        if SystemTime::from(held.container.config.state.started_at.timestamp()) > noted {
            return Ok(true);
        }
        match self.forget(&held.container, volumes) {
            Ok(()) => Ok(true),
            Err(error) => {
                tracing::warn!(id, %error, "this container was being removed, and cannot be");
                Ok(false)
            }
        }
    }

    /// Whether nothing is left of a container without a record: one that was not made wholly, or is gone but for this. One with a
    /// record stays.
    fn clear(&self, id: &str) -> Result<bool, EngineError> {
        // Where the records of all are away they are not gone one by one: something is not mounted, or was moved.
        if !self.store.data_root().join("containers").is_dir() {
            return Ok(false);
        }
        let directory = self.record_directory(id);
        let record = directory.join("config.v2.json");
        if !is_id(id) || fs::exists(&record).map_err(failed("look for", &record))? {
            return Ok(true);
        }
        if let Ok(mount) = self.store.layers.mount(id) {
            self.driver.remove(&mount.mount_id)?;
            self.driver.remove(&mount.init_id)?;
        }
        self.store.layers.remove_mount(id)?;
        remove_directory(&directory)?;
        Ok(true)
    }

    /// Whether something is noted. Without the store's lock it may be what another command does just now.
    pub(super) fn has_intents(&self) -> Result<bool, EngineError> {
        Ok(!self.noted()?.is_empty())
    }

    fn is_referred_to(&self, cache_id: &str) -> Result<bool, EngineError> {
        let mounts = self.store.layers.mounts()?;
        if mounts.iter().any(|(_, mount)| mount.mount_id == cache_id || mount.init_id == cache_id) {
            return Ok(true);
        }
        for chain_id in self.store.layers.all()? {
            if self.store.layers.get(&chain_id)?.cache_id == cache_id {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether this names a layer's directory: an ID, which the layer of mount points has with `-init` behind it.
fn is_cache_id(text: &str) -> bool {
    is_id(text.strip_suffix("-init").unwrap_or(text))
}

/// How many digits the ID of a container has.
pub(super) const ID_BYTES: usize = 64;

/// Whether this is the ID of a container, and no path to elsewhere.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == ID_BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Removes a directory and all in it; one that is gone already is no error.
pub(super) fn remove_directory(path: &Path) -> Result<(), EngineError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}
