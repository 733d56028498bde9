//! A pull of some layers of an image only: unpacked aside and verified, then put in the place of the broken ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::books::is_cache_id;
use super::place::Place;
use super::repair::{Means, RepairError};
use super::text::Text;
use crate::driver::{self, Driver};
use crate::image::{Digest, ImageConfig, Reference};
use crate::layer::tar_split::FILE_NAME;
use crate::layer::{Owners, Unpacked};
use crate::registry::{self, LayerEvent, LayerToPull, PullProgress, PullSink, RegistrySettings, SinkError};
use crate::store::{Staging, atomic, failed};
use crate::sys::random::KernelEntropy;
use crate::world::Entropy;

/// A pull that takes some layers only, into a place of its own, which is gone when this is dropped.
pub(super) struct Fetcher {
    wanted: BTreeSet<Digest>,
    driver: Box<dyn Driver>,
    owners: Owners,
    unpacked: Mutex<BTreeMap<Digest, Unpacked>>,
    layers: Mutex<Vec<LayerToPull>>,
    staging: Staging,
}

/// What a pull brought.
pub(super) struct Fetched {
    pub config: ImageConfig,
    /// The wanted layers that the image has, the base first.
    pub layers: Vec<LayerToPull>,
}

impl Fetcher {
    pub(super) fn new(place: &Place, means: &Means<'_>, wanted: BTreeSet<Digest>) -> Result<Fetcher, RepairError> {
        let scratch = place.data_root.join("tmp");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&scratch).map_err(failed("create", &scratch))?;
        let staging = Staging::new(&place.data_root)?;
        let owners = if means.squash_owners { Owners::SquashUnmapped } else { Owners::AsRecorded };
        Ok(Fetcher {
            wanted,
            driver: driver::open(Some(place.driver()), &place.data_root)?,
            owners,
            unpacked: Mutex::default(),
            layers: Mutex::default(),
            staging,
        })
    }

    pub(super) fn pull(&self, reference: &str, settings: &RegistrySettings) -> Result<Fetched, RepairError> {
        let parsed = Reference::parse(reference).map_err(|_| RepairError::OtherImage(reference.to_owned()))?;
        let pulled = registry::pull(&parsed, None, settings, self, &Silent)?;
        let config = pulled.config.ok_or_else(|| RepairError::OtherImage(reference.to_owned()))?;
        let layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Fetched { config, layers })
    }

    fn content(&self, chain: &Digest) -> PathBuf {
        self.staging.directory().join(chain.hex())
    }

    fn record(&self, chain: &Digest) -> PathBuf {
        self.staging.directory().join(format!("{}.{FILE_NAME}", chain.hex()))
    }

    /// Puts a layer and its record in place. To be called under the store's lock.
    pub(super) fn put(&self, place: &Place, driver: &dyn Driver, layer: &LayerToPull) -> Result<(), RepairError> {
        let record = place.chains().join(layer.chain_id.hex());
        let below = layer.parent.as_ref().map(|parent| read_cache_id(place, parent).ok_or(RepairError::Changed));
        let below = below.transpose()?;
        let known = read_cache_id(place, &layer.chain_id);
        // A layer that has another's directory gets one of its own.
        let cache_id = known.filter(|id| !is_shared(place, &layer.chain_id, id));
        let cache_id = cache_id.unwrap_or_else(|| KernelEntropy.hex_id());
        let content = self.content(&layer.chain_id);
        if place.directory(&cache_id).exists() {
            let beside = KernelEntropy.hex_id();
            driver.adopt(&beside, below.as_deref(), &content)?;
            let (files, old) = (place.files(&cache_id), self.staging.directory().join(format!("old-{}", layer.index)));
            if files.exists() {
                fs::rename(&files, &old).map_err(failed("rename", &files))?;
            }
            fs::rename(place.files(&beside), &files).map_err(failed("rename", &files))?;
            driver.remove(&beside)?;
        } else {
            driver.adopt(&cache_id, below.as_deref(), &content)?;
        }
        // What a record names is on the disk before it.
        let root = fs::File::open(&place.data_root).map_err(failed("open", &place.data_root))?;
        rustix::fs::syncfs(&root).map_err(|errno| failed("sync", &place.data_root)(errno.into()))?;
        let unpacked = self.unpacked.lock().unwrap_or_else(PoisonError::into_inner).get(&layer.chain_id).cloned();
        let size_bytes = driver.size_bytes(&unpacked.unwrap_or_default());
        if !record.is_dir() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&record).map_err(failed("create", &record))?;
        }
        let split = self.record(&layer.chain_id);
        fs::set_permissions(&split, fs::Permissions::from_mode(0o644)).map_err(failed("chmod", &split))?;
        fs::rename(&split, record.join(FILE_NAME)).map_err(failed("rename", &split))?;
        if let Some(parent) = &layer.parent {
            atomic::write(&record.join("parent"), parent.to_string().as_bytes(), 0o644)?;
        }
        atomic::write(&record.join("diff"), layer.diff_id.to_string().as_bytes(), 0o644)?;
        atomic::write(&record.join("size"), size_bytes.to_string().as_bytes(), 0o644)?;
        Ok(atomic::write(&record.join("cache-id"), cache_id.as_bytes(), 0o644)?)
    }
}

fn read_cache_id(place: &Place, chain: &Digest) -> Option<String> {
    match Text::read(&place.chains().join(chain.hex()).join("cache-id")) {
        Text::Is(text) if is_cache_id(&text) => Some(text),
        _ => None,
    }
}

fn is_shared(place: &Place, chain: &Digest, cache_id: &str) -> bool {
    let others = super::place::names_in(&place.chains()).unwrap_or_default();
    let mut others = others.iter().filter_map(|hex| Digest::from_hex(hex).ok()).filter(|other| other != chain);
    others.any(|other| read_cache_id(place, &other).is_some_and(|id| id == cache_id))
}

impl PullSink for Fetcher {
    fn has_image(&self, _: &Digest) -> bool {
        false
    }

    fn has_layer(&self, chain_id: &Digest) -> bool {
        !self.wanted.contains(chain_id)
    }

    fn layers_max(&self) -> usize {
        usize::MAX
    }

    fn unpack(&self, layer: &LayerToPull, tar: &mut dyn Read) -> Result<(), SinkError> {
        if !self.wanted.contains(&layer.chain_id) {
            return Ok(());
        }
        let content = self.content(&layer.chain_id);
        make(&content)?;
        let path = self.record(&layer.chain_id);
        let mut record = fs::File::create(&path).map_err(failed("create", &path))?;
        let unpacked = self.driver.unpack(tar, &content, self.owners, &mut record)?;
        self.unpacked.lock().unwrap_or_else(PoisonError::into_inner).insert(layer.chain_id.clone(), unpacked);
        Ok(())
    }

    /// All layers of the image are verified by now.
    fn register(&self, layer: &LayerToPull) -> Result<(), SinkError> {
        if self.wanted.contains(&layer.chain_id) {
            self.layers.lock().unwrap_or_else(PoisonError::into_inner).push(layer.clone());
        }
        Ok(())
    }

    fn discard(&self, _: &LayerToPull) {}
}

fn make(path: &Path) -> std::io::Result<()> {
    fs::create_dir(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// Nobody watches these pulls.
struct Silent;

impl PullProgress for Silent {
    fn pulling_from(&self, _: &Reference) {}

    fn event(&self, _: &str, _: LayerEvent) {}
}
