//! layerdb: which layers exist, under their chain IDs, and which of them each container is mounted on.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Asked, Hold, Lock, StoreError, atomic, failed, make_directory};
use crate::image::Digest;

/// The file from which a layer's tar can be put together.
const TAR_SPLIT: &str = "tar-split.json.gz";

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Its name: the digest of itself on all below it.
    pub chain_id: Digest,
    /// The digest of its uncompressed tar.
    pub diff_id: Digest,
    /// The layer right below, by chain ID.
    pub parent: Option<Digest>,
    /// The storage driver's name for it, 64 hex digits.
    pub cache_id: String,
    /// Bytes of the regular files in its tar.
    pub size_bytes: u64,
}

/// What a container is mounted on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountRecord {
    /// The cache ID of its writable layer.
    pub mount_id: String,
    /// The cache ID of the layer that Docker puts right below, with mount points such as `/etc/hosts`.
    pub init_id: String,
    /// The top layer of its image, by chain ID.
    pub parent: Option<Digest>,
}

/// The directory `layerdb`.
pub struct Layers {
    chains: PathBuf,
    mounts: PathBuf,
    scratch: PathBuf,
}

impl Layers {
    pub(super) fn open(home: &Path) -> Result<Layers, StoreError> {
        let layers = Layers { chains: home.join("sha256"), mounts: home.join("mounts"), scratch: home.join("tmp") };
        make_directory(&layers.chains, 0o755)?;
        make_directory(&layers.scratch, 0o755)?;
        Ok(layers)
    }

    /// The chain IDs of all layers.
    pub fn all(&self) -> Result<Vec<Digest>, StoreError> {
        Ok(names_in(&self.chains)?.iter().filter_map(|name| Digest::from_hex(name).ok()).collect())
    }

    /// Whether the layer `chain_id` is here.
    pub fn has(&self, chain_id: &Digest) -> bool {
        self.chains.join(chain_id.hex()).is_dir()
    }

    /// The record of layer `chain_id`.
    pub fn get(&self, chain_id: &Digest) -> Result<Layer, StoreError> {
        let directory = self.chains.join(chain_id.hex());
        let size_bytes = self.size_bytes(chain_id)?;
        let cache_id = cache_id(&directory.join("cache-id"))?;
        let parent =
            optional(&directory.join("parent"))?.map(|text| digest(&directory.join("parent"), &text)).transpose()?;
        let diff_id = digest(&directory.join("diff"), &read(&directory.join("diff"))?)?;
        Ok(Layer { chain_id: chain_id.clone(), diff_id, parent, cache_id, size_bytes })
    }

    /// [`Layer::size_bytes`] of layer `chain_id`.
    pub fn size_bytes(&self, chain_id: &Digest) -> Result<u64, StoreError> {
        let path = self.chains.join(chain_id.hex()).join("size");
        match fs::read_to_string(&path) {
            Ok(size) => size.parse().map_err(|error| damaged(&path, error)),
            Err(_) if !self.has(chain_id) => Err(StoreError::NoSuchLayer(chain_id.clone())),
            Err(error) => Err(failed("open", &path)(error)),
        }
    }

    /// The record of `chain_id` and of all layers below it, the nearest first.
    pub fn chain(&self, chain_id: &Digest) -> Result<Vec<Layer>, StoreError> {
        let mut chain = vec![self.get(chain_id)?];
        while let Some(parent) = chain.last().and_then(|layer| layer.parent.clone()) {
            chain.push(self.get(&parent)?);
        }
        Ok(chain)
    }

    /// Makes a layer known, all at once. `tar_split`: the file from which its tar can be put together, which moves here. `sync` writes everything to disk
    /// that lies below the data root: the layer's directory, and what is to be its record.
    pub fn register(
        &self,
        layer: &Layer,
        tar_split: Option<&Path>,
        sync: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut files = vec![
            ("cache-id", layer.cache_id.clone()),
            ("diff", layer.diff_id.to_string()),
            ("size", layer.size_bytes.to_string()),
        ];
        files.extend(layer.parent.as_ref().map(|parent| ("parent", parent.to_string())));
        let (aside, place) = (self.aside(&files)?, self.chains.join(layer.chain_id.hex()));
        if let Some(file) = tar_split {
            let set_mode = || fs::set_permissions(file, fs::Permissions::from_mode(0o644));
            let keep = set_mode().and_then(|()| fs::rename(file, aside.path().join(TAR_SPLIT)));
            keep.map_err(failed("keep", file))?;
        }
        sync()?;
        put(aside, &place, 0o700)?;
        atomic::sync_directory(&self.chains).map_err(failed("sync", &place))
    }

    /// The file from which the tar of layer `chain_id` can be put together; older stores have none.
    pub fn tar_split(&self, chain_id: &Digest) -> Result<fs::File, StoreError> {
        let path = self.chains.join(chain_id.hex()).join(TAR_SPLIT);
        fs::File::open(&path).map_err(failed("open", &path))
    }

    /// Forgets a layer.
    pub fn remove(&self, chain_id: &Digest) -> Result<(), StoreError> {
        // Renamed first: a half-deleted record would be a damaged layer.
        let (place, aside) =
            (self.chains.join(chain_id.hex()), self.scratch.join(format!("removing-{}", chain_id.hex())));
        fs::rename(&place, &aside).map_err(failed("remove", &place))?;
        fs::remove_dir_all(&aside).map_err(failed("remove", &aside))
    }

    /// The mount records of all containers: container ID and record.
    pub fn mounts(&self) -> Result<Vec<(String, MountRecord)>, StoreError> {
        if !self.mounts.exists() {
            return Ok(Vec::new());
        }
        names_in(&self.mounts)?.into_iter().map(|id| Ok((id.clone(), self.mount(&id)?))).collect()
    }

    /// The mount record of a container.
    pub fn mount(&self, container: &str) -> Result<MountRecord, StoreError> {
        let directory = self.mounts.join(container);
        let mount_id = cache_id(&directory.join("mount-id"))?;
        let init_id = match cache_id(&directory.join("init-id")) {
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                format!("{mount_id}-init")
            }
            init_id => init_id?,
        };
        let parent =
            optional(&directory.join("parent"))?.map(|text| digest(&directory.join("parent"), &text)).transpose()?;
        Ok(MountRecord { mount_id, init_id, parent })
    }

    /// Remembers what a container is mounted on, all at once. It is not on disk before [`super::Store::sync`].
    pub fn put_mount(&self, container: &str, record: &MountRecord) -> Result<(), StoreError> {
        make_directory(&self.mounts, 0o755)?;
        let mut files = vec![("init-id", record.init_id.clone()), ("mount-id", record.mount_id.clone())];
        files.extend(record.parent.as_ref().map(|parent| ("parent", parent.to_string())));
        put(self.aside(&files)?, &self.mounts.join(container), 0o755)
    }

    /// A directory of small files, beside all others.
    fn aside(&self, files: &[(&str, String)]) -> Result<TempDir, StoreError> {
        let aside = tempfile::Builder::new().prefix("write-set-").tempdir_in(&self.scratch);
        let aside = aside.map_err(failed("create", &self.scratch))?;
        for (name, text) in files {
            let path = aside.path().join(name);
            let set_mode = || fs::set_permissions(&path, fs::Permissions::from_mode(0o644));
            fs::write(&path, text).and_then(|()| set_mode()).map_err(failed("write", &path))?;
        }
        Ok(aside)
    }

    /// Asks for the lock on a container's own layer; it goes with the mount's record.
    pub fn ask_for_mount(&self, container: &str, hold: Hold) -> Result<Asked, StoreError> {
        Lock::ask(&self.mounts.join(container), hold)
    }

    /// Asks for the lock on the layer `chain_id`.
    pub fn ask_for(&self, chain_id: &Digest, hold: Hold) -> Result<Asked, StoreError> {
        Lock::ask(&self.chains.join(chain_id.hex()), hold)
    }

    /// Forgets the mount of a container.
    pub fn remove_mount(&self, container: &str) -> Result<(), StoreError> {
        // Renamed first, as a layer's record.
        let (place, aside) = (self.mounts.join(container), self.scratch.join(format!("removing-{container}")));
        match fs::rename(&place, &aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            renamed => renamed.map_err(failed("remove", &place))?,
        }
        fs::remove_dir_all(&aside).map_err(failed("remove", &aside))
    }

    /// Removes what killed commands left half written or half removed. To be called under the store's lock.
    pub fn sweep(&self) -> Result<(), StoreError> {
        for name in names_in(&self.scratch)? {
            let path = self.scratch.join(name);
            let is_directory = fs::symlink_metadata(&path).map_err(failed("stat", &path))?.is_dir();
            let removed = if is_directory { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(failed("remove", &path))?;
        }
        Ok(())
    }
}

/// Gives a directory that waited aside its mode and its place.
fn put(aside: TempDir, place: &Path, mode: u32) -> Result<(), StoreError> {
    fs::set_permissions(aside.path(), fs::Permissions::from_mode(mode)).map_err(failed("chmod", aside.path()))?;
    fs::rename(aside.path(), place).map_err(failed("rename", place))?;
    let _ = aside.keep();
    Ok(())
}

fn names_in(directory: &Path) -> Result<Vec<String>, StoreError> {
    let entries = fs::read_dir(directory).map_err(failed("list", directory))?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.collect::<io::Result<_>>().map_err(failed("list", directory))
}

fn read(path: &Path) -> Result<String, StoreError> {
    fs::read_to_string(path).map_err(failed("open", path))
}

/// The driver's name of a layer; what a power cut has emptied is none, and must not be taken for the directory of all layers.
fn cache_id(path: &Path) -> Result<String, StoreError> {
    let text = read(path)?;
    if text.is_empty() || text.contains('/') { Err(damaged(path, "it names no directory")) } else { Ok(text) }
}

fn optional(path: &Path) -> Result<Option<String>, StoreError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("open", path)(error)),
    }
}

fn digest(path: &Path, text: &str) -> Result<Digest, StoreError> {
    text.parse().map_err(|error| damaged(path, error))
}

fn damaged(path: &Path, reason: impl ToString) -> StoreError {
    StoreError::Damaged { path: path.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(name: &[u8], parent: Option<&Layer>) -> Layer {
        Layer {
            chain_id: Digest::of(name),
            diff_id: Digest::of(&[name, b" tar"].concat()),
            parent: parent.map(|parent| parent.chain_id.clone()),
            cache_id: Digest::of(&[name, b" cache"].concat()).hex().to_owned(),
            size_bytes: 7,
        }
    }

    /// Checklist: DL-14, CR-01
    #[test]
    fn a_registered_layer_is_read_back_with_all_below_it() {
        let home = tempfile::tempdir().unwrap();
        let layers = Layers::open(home.path()).unwrap();
        let base = layer(b"base", None);
        let top = layer(b"top", Some(&base));
        let tar_split = home.path().join("0.tar-split.json.gz");
        fs::write(&tar_split, "how it was made").unwrap();
        layers.register(&base, None, || Ok(())).unwrap();
        layers.register(&top, Some(&tar_split), || Ok(())).unwrap();
        assert_eq!(layers.chain(&top.chain_id).unwrap(), [top.clone(), base.clone()]);
        assert_eq!(io::read_to_string(layers.tar_split(&top.chain_id).unwrap()).unwrap(), "how it was made");
        assert!(layers.tar_split(&base.chain_id).is_err() && !tar_split.exists());
        layers.remove(&top.chain_id).unwrap();
        assert!(!layers.has(&top.chain_id));
        assert_eq!(fs::read_dir(home.path().join("tmp")).unwrap().count(), 0);
    }

    /// Checklist: GC-07
    #[test]
    fn what_is_left_half_removed_is_swept() {
        let home = tempfile::tempdir().unwrap();
        let layers = Layers::open(home.path()).unwrap();
        fs::create_dir_all(home.path().join("tmp/removing-c/deep")).unwrap();
        fs::write(home.path().join("tmp/file"), "").unwrap();
        layers.sweep().unwrap();
        assert_eq!(fs::read_dir(home.path().join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn a_layer_without_a_number_for_its_size_is_damaged() {
        let home = tempfile::tempdir().unwrap();
        let layers = Layers::open(home.path()).unwrap();
        let base = layer(b"base", None);
        layers.register(&base, None, || Ok(())).unwrap();
        fs::write(home.path().join("sha256").join(base.chain_id.hex()).join("size"), "many").unwrap();
        assert!(matches!(layers.get(&base.chain_id), Err(StoreError::Damaged { .. })));
    }

    #[test]
    fn the_mount_of_a_container_is_remembered_until_it_is_removed() {
        let home = tempfile::tempdir().unwrap();
        let layers = Layers::open(home.path()).unwrap();
        let record = MountRecord { mount_id: "m".into(), init_id: "m-init".into(), parent: Some(Digest::of(b"base")) };
        layers.put_mount("c", &record).unwrap();
        assert_eq!(layers.mounts().unwrap(), [("c".to_owned(), record)]);
        layers.remove_mount("c").unwrap();
        assert!(layers.mounts().unwrap().is_empty());
        layers.remove_mount("c").unwrap();
    }

    #[test]
    fn a_mount_whose_note_a_power_cut_emptied_names_no_directory() {
        let home = tempfile::tempdir().unwrap();
        let layers = Layers::open(home.path()).unwrap();
        for (file, text) in [("mount-id", ""), ("init-id", ""), ("mount-id", "../x")] {
            let record = MountRecord { mount_id: "m".to_owned(), init_id: "m-init".to_owned(), parent: None };
            layers.put_mount("c", &record).unwrap();
            assert_eq!(layers.mount("c").unwrap(), record);
            fs::write(home.path().join("mounts/c").join(file), text).unwrap();
            assert!(matches!(layers.mount("c"), Err(StoreError::Damaged { .. })), "{file} {text:?}");
            layers.remove_mount("c").unwrap();
        }
    }
}
