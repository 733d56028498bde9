//! Images out of an archive: Docker's own form, and OCI image layouts in a tar.
//!
//! An image's missing layers are unpacked aside and compared with their diff IDs; when all are there, the image is
//! registered at once, as a pulled one is.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use serde::de::IgnoredAny;

use super::incoming::{Incoming, Section};
use super::intent::Intent;
use super::{Engine, EngineError};
use crate::image::docker_archive::{MANIFEST, ManifestItem, REPOSITORIES};
use crate::image::manifest::{Manifest, Platform};
use crate::image::{Digest, ImageConfig, Reference, go_json, oci_layout};
use crate::layer::archive::ArchiveError;
use crate::layer::{chain_ids, decompressed};
use crate::store::{Layer, Staging};
use crate::sys::reason::reason;
use crate::sys::side_by_side::side_by_side;

/// An archive that cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("Error processing tar file(exit status 1): {}", tar_reason(.0))]
    Tar(#[source] ArchiveError),
    #[error("Error processing tar file(exit status 1): unexpected EOF")]
    Truncated,
    #[error("Error processing tar file(exit status 1): {}", stream_reason(.0))]
    Stream(#[source] io::Error),
    #[error("open {}: no such file or directory", path.display())]
    Missing { path: PathBuf },
    #[error("{}", json_reason(.name, .source))]
    Json { name: String, source: serde_json::Error },
    #[error("{name} of the archive is larger than {limit_bytes} bytes: the archive is damaged or hostile")]
    TooLarge { name: String, limit_bytes: u64 },
    #[error("invalid manifest, layers length mismatch: expected {expected}, got {found}")]
    LayersLength { expected: usize, found: usize },
    #[error("invalid diffID for layer {index}: expected \"{expected}\", got \"{found}\"")]
    DiffId { index: usize, expected: Digest, found: Digest },
    #[error("{name} of the archive has digest {found}: the archive is damaged")]
    Blob { name: String, found: Digest },
    #[error("cannot load {os} image on linux")]
    System { os: String },
    #[error("invalid tag {0:?}")]
    Tag(String),
    #[error("image {parent} is not a valid parent for {image}")]
    Parent { parent: Digest, image: Digest },
    #[error(transparent)]
    Manifest(#[from] crate::image::manifest::ManifestError),
    #[error("the archive has no {MANIFEST}: it was saved by a Docker older than 1.10; save it again with a newer one")]
    Legacy,
}

/// Go's words for what our own reader finds.
pub(super) fn tar_reason(error: &ArchiveError) -> String {
    match error {
        ArchiveError::Truncated { .. } => "unexpected EOF".to_owned(),
        ArchiveError::Malformed { .. } => "archive/tar: invalid tar header".to_owned(),
        ArchiveError::Read { source, .. } => stream_reason(source),
        other => other.to_string(),
    }
}

/// Go's words for JSON that ends too early.
fn json_reason(name: &str, source: &serde_json::Error) -> String {
    match source.is_eof() {
        true if source.column() == 0 => "EOF".to_owned(),
        true => "unexpected EOF".to_owned(),
        false => format!("{name} of the archive: {}; save the image again", go_json::reason(source)),
    }
}

/// Go's words for a compressed stream that breaks off.
fn stream_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "unexpected EOF".to_owned(),
        _ => reason(error),
    }
}

/// What came out of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loaded {
    /// A name that another image had till now.
    Renamed { name: String, old: Digest },
    /// An image, by its name.
    Name(String),
    /// An image without a name.
    Id(Digest),
}

/// Someone who is told how a load goes on: of several layers at a time.
pub trait LoadProgress: Sync {
    /// Bytes of a layer that have been read; `layer_short` is the short form of its diff ID.
    fn loading(&self, layer_short: &str, done_bytes: u64, total_bytes: u64);

    /// One more line of the outcome.
    fn loaded(&self, what: Loaded);
}

/// An image as an archive describes it.
struct Described {
    config: ImageConfig,
    /// The layers' tars in the archive, the base first.
    layers: Vec<String>,
    names: Vec<String>,
    parent: Option<Digest>,
}

/// A layer that is unpacked and waits to be registered.
struct Staged {
    layer: Layer,
    content: PathBuf,
}

impl Engine {
    /// Loads all images of the archive `input`. Those that came before a broken one stay, as with dockerd.
    pub fn load_images(&self, input: File, progress: &dyn LoadProgress) -> Result<(), EngineError> {
        {
            // Before it is asked which layers are here: those of a killed command are not to be relied on.
            let _lock = self.store.lock()?;
            self.sweep()?;
        }
        let staging = Staging::for_import(self.store.data_root())?;
        let archive = Incoming::open(input, &staging)?;
        let mut staged_count = 0;
        let mut ids = Vec::new();
        let mut parents = Vec::new();
        let mut last_is_named = false;
        for image in described(&archive)? {
            let chain = chain_ids(&image.config.view().rootfs.diff_ids);
            let (here_count, _lease) = self.lease_here(self.store.lock()?, &chain)?;
            let staged = self.stage(&image, here_count, &archive, &staging, &mut staged_count, progress)?;
            let id = self.register_loaded(&image.config, staged)?;
            for name in &image.names {
                progress_name(self.name_loaded(name, &id)?, progress);
            }
            last_is_named = !image.names.is_empty();
            parents.extend(image.parent.clone().map(|parent| (id.clone(), parent)));
            ids.push(id);
        }
        for (image, parent) in parents.into_iter().filter(|(_, parent)| ids.contains(parent)) {
            self.set_loaded_parent(&image, &parent)?;
        }
        if !last_is_named {
            ids.into_iter().for_each(|id| progress.loaded(Loaded::Id(id)));
        }
        Ok(())
    }

    /// Unpacks the layers of `image` that are not here, side by side: all but the lowest `here_count`.
    fn stage(
        &self,
        image: &Described,
        here_count: usize,
        archive: &Incoming,
        staging: &Staging,
        staged_count: &mut usize,
        progress: &dyn LoadProgress,
    ) -> Result<Vec<Staged>, EngineError> {
        let diff_ids = &image.config.view().rootfs.diff_ids;
        self.refuse_depth(diff_ids.len())?;
        let chain = chain_ids(diff_ids);
        let mut missing = Vec::new();
        for (index, diff_id) in diff_ids.iter().enumerate().skip(here_count) {
            let content = staging.layer(*staged_count)?;
            *staged_count += 1;
            // They stand in this order on a terminal, whichever is read first. One that is not there is told of when its turn comes.
            if let Ok(section) = archive.section(&image.layers[index]) {
                progress.loading(diff_id.short(), 0, section.size_bytes());
            }
            missing.push((index, content));
        }
        side_by_side(&missing, |(index, content)| {
            let (index, diff_id) = (*index, &diff_ids[*index]);
            let section = archive.section(&image.layers[index])?;
            let total_bytes = section.size_bytes();
            let tar = Told { section, layer: diff_id, total_bytes, told_bytes: 0, progress };
            let tar = decompressed(tar).map_err(LoadError::Stream)?;
            let (found, unpacked) = self.unpack_digested(tar, content)?;
            progress.loading(diff_id.short(), total_bytes, total_bytes);
            if found != *diff_id {
                return Err(LoadError::DiffId { index, expected: diff_id.clone(), found }.into());
            }
            let layer = Layer {
                chain_id: chain[index].clone(),
                diff_id: diff_id.clone(),
                parent: index.checked_sub(1).map(|below| chain[below].clone()),
                cache_id: String::new(),
                size_bytes: self.driver.size_bytes(&unpacked),
            };
            Ok(Staged { layer, content: content.clone() })
        })
    }

    /// Makes an image known with the layers that were missing, all or nothing.
    fn register_loaded(&self, config: &ImageConfig, staged: Vec<Staged>) -> Result<Digest, EngineError> {
        let _lock = self.store.lock()?;
        let mut chain_ids: Vec<Digest> = staged.iter().map(|staged| staged.layer.chain_id.clone()).collect();
        chain_ids.reverse();
        let intent = self.intend(&[], &chain_ids)?;
        let register = || {
            for Staged { layer, content } in &staged {
                // Another command may have brought the same layer meanwhile. Those below come before.
                if self.store.layers.get(&layer.chain_id).is_err() {
                    self.adopt_layer(layer.clone(), content)?;
                }
            }
            if let Some(top) = self.top_layer(config) {
                self.store.layers.chain(&top)?;
            }
            Ok(self.store.images.put(config.raw())?)
        };
        let registered: Result<Digest, EngineError> = register();
        match registered {
            Ok(_) => Intent::done(intent)?,
            Err(_) => self.sweep()?,
        }
        registered
    }

    /// Gives a loaded image its name; says which image lost it.
    fn name_loaded(&self, name: &str, id: &Digest) -> Result<(String, Option<Digest>), EngineError> {
        let reference = Reference::parse(name)?;
        if reference.tag().is_none() {
            return Err(LoadError::Tag(name.to_owned()).into());
        }
        let (repository, name) = (reference.familiar_name(), reference.familiar());
        let _lock = self.store.lock()?;
        let mut names = self.store.repositories()?;
        let old = names.get(&repository, &name).filter(|old| *old != id).cloned();
        names.set(&repository, &name, id);
        self.store.save_repositories(&names)?;
        Ok((name, old))
    }

    /// Remembers which of two loaded images was made from the other, if its history bears that out.
    fn set_loaded_parent(&self, image: &Digest, parent: &Digest) -> Result<(), EngineError> {
        let (config, below) = (self.image_config(image)?, self.image_config(parent)?);
        let (steps, steps_below) = (&config.view().history, &below.view().history);
        let is_one_more = steps.len() == steps_below.len() + 1 && steps.starts_with(steps_below);
        let is_valid = is_one_more || (steps.is_empty() && steps_below.is_empty());
        if !is_valid {
            return Err(LoadError::Parent { parent: parent.clone(), image: image.clone() }.into());
        }
        let _lock = self.store.lock()?;
        Ok(self.store.images.set_parent(image, parent)?)
    }
}

fn progress_name((name, old): (String, Option<Digest>), progress: &dyn LoadProgress) {
    if let Some(old) = old {
        progress.loaded(Loaded::Renamed { name: name.clone(), old });
    }
    progress.loaded(Loaded::Name(name));
}

/// The images of an archive, in its order.
fn described(archive: &Incoming) -> Result<Vec<Described>, EngineError> {
    if archive.has(MANIFEST) {
        let items: Vec<ManifestItem> = json(MANIFEST, &archive.text(MANIFEST)?)?;
        return items.into_iter().map(|item| described_by_docker(archive, item)).collect();
    }
    if archive.has(oci_layout::INDEX) {
        let text = archive.text(oci_layout::INDEX)?;
        let entries = oci_layout::entries(&text).map_err(|source| json_error(oci_layout::INDEX, source))?;
        return entries.iter().map(|entry| described_by_oci(archive, entry)).collect();
    }
    match archive.section(REPOSITORIES) {
        Ok(_) => Err(LoadError::Legacy.into()),
        Err(missing) => Err(missing.into()),
    }
}

fn described_by_docker(archive: &Incoming, item: ManifestItem) -> Result<Described, EngineError> {
    let config = ImageConfig::from_raw(archive.text(&item.config)?)?;
    let parent = item.parent.and_then(|parent| parent.parse().ok());
    checked(Described {
        config,
        layers: item.layers.unwrap_or_default(),
        names: item.repo_tags.unwrap_or_default(),
        parent,
    })
}

fn described_by_oci(archive: &Incoming, entry: &oci_layout::LayoutEntry) -> Result<Described, EngineError> {
    let mut manifest = Manifest::parse(blob(archive, &entry.descriptor.digest)?).map_err(LoadError::from)?;
    if let Manifest::Index(index) = &manifest {
        let chosen = index.select(&Platform::host()).map_err(LoadError::from)?;
        manifest = Manifest::parse(blob(archive, &chosen.digest)?).map_err(LoadError::from)?;
    }
    let Manifest::Image(image) = manifest else {
        return Err(LoadError::Manifest(crate::image::manifest::ManifestError::NotAnImage {
            media_type: entry.descriptor.media_type.clone(),
        })
        .into());
    };
    checked(Described {
        config: ImageConfig::from_raw(blob(archive, &image.config.digest)?)?,
        layers: image.layers.iter().map(|layer| oci_layout::blob_path(&layer.digest)).collect(),
        names: entry.name().map(tagged).transpose()?.into_iter().collect(),
        parent: None,
    })
}

fn tagged(name: &str) -> Result<String, EngineError> {
    Ok(Reference::parse(name)?.with_default_tag().familiar())
}

fn checked(image: Described) -> Result<Described, EngineError> {
    let view = image.config.view();
    if !["", "linux"].contains(&view.os.as_str()) {
        return Err(LoadError::System { os: view.os.clone() }.into());
    }
    let (expected, found) = (image.layers.len(), view.rootfs.diff_ids.len());
    match expected == found {
        true => Ok(image),
        false => Err(LoadError::LayersLength { expected, found }.into()),
    }
}

/// A blob of an OCI layout, proved to be it.
fn blob(archive: &Incoming, digest: &Digest) -> Result<Vec<u8>, LoadError> {
    let name = oci_layout::blob_path(digest);
    let bytes = archive.text(&name)?;
    match Digest::of(&bytes) {
        found if found == *digest => Ok(bytes),
        found => Err(LoadError::Blob { name, found }),
    }
}

fn json<T: serde::de::DeserializeOwned>(name: &str, text: &[u8]) -> Result<T, LoadError> {
    // What is no JSON at all is told before what is JSON of another kind.
    let first = |source| serde_json::from_slice::<IgnoredAny>(text).err().unwrap_or(source);
    serde_json::from_slice(text).map_err(|source| json_error(name, first(source)))
}

fn json_error(name: &str, source: serde_json::Error) -> LoadError {
    LoadError::Json { name: name.to_owned(), source }
}

/// A layer that tells how much of it has been read.
struct Told<'a> {
    section: Section<'a>,
    layer: &'a Digest,
    total_bytes: u64,
    told_bytes: u64,
    progress: &'a dyn LoadProgress,
}

impl Read for Told<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        /// Docker tells after so many bytes, or after a hundredth of the layer if that is less.
        const STEP_BYTES: u64 = 512 << 10;
        let count = self.section.read(buffer)?;
        let done_bytes = self.total_bytes - self.section.size_bytes();
        if done_bytes - self.told_bytes > STEP_BYTES.min(self.total_bytes / 100) {
            self.told_bytes = done_bytes;
            self.progress.loading(self.layer.short(), done_bytes, self.total_bytes);
        }
        Ok(count)
    }
}
