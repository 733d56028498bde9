//! What the books below a data root say, read file by file: one that is lost or damaged hides no other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use nix::unistd::Pid;
use serde::Deserialize;

use super::finding::{Fault, Findings};
use super::names::{self, Names};
use super::place::{Place, names_in};
use super::text::Text;
use super::{CheckError, Known, KnownLayers, Scope, content, leftovers};
use crate::image::{Digest, ImageConfig, Reference};
use crate::layer::chain_ids;
use crate::store::{daemon, failed};
use crate::sys::presence::Presence;
use crate::sys::process::Process;
use crate::sys::reason::reason;

/// The record of a layer, as far as it can be read.
#[derive(Debug, Clone, Default)]
pub(super) struct LayerRecord {
    pub cache_id: Option<String>,
    pub diff_id: Option<Digest>,
    pub parent: Option<Digest>,
    pub size_bytes: Option<u64>,
}

/// The record of what a container is mounted on, as far as it can be read.
#[derive(Debug, Clone, Default)]
pub(super) struct MountRecord {
    pub mount_id: Option<String>,
    pub init_id: Option<String>,
    pub parent: Option<Digest>,
}

/// What is needed of a container's `config.v2.json`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct ContainerRecord {
    pub image: String,
    pub driver: String,
    pub name: String,
    pub created: String,
    pub state: State,
    pub config: Given,
}

/// With what a container was made.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Given {
    /// What its image was called.
    pub image: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct State {
    pub running: bool,
    pub pid: i32,
    pub removal_in_progress: bool,
}

/// All books of one driver.
#[derive(Default)]
pub(super) struct Books {
    pub images: BTreeMap<Digest, ImageConfig>,
    /// Files in the place of configurations that are none.
    pub broken_images: BTreeSet<Digest>,
    pub names: Names,
    pub layers: BTreeMap<Digest, LayerRecord>,
    /// Layers whose `cache-id` is another layer's, which has the directory.
    pub doubled: BTreeSet<Digest>,
    /// What images say of layers.
    pub known: KnownLayers,
    pub mounts: BTreeMap<String, MountRecord>,
    /// Containers that a command has begun to make: it has noted so, and they have no record yet.
    pub begun: BTreeSet<String>,
    /// Directories of containers that a command has begun to make, which may be named nowhere but in its note.
    pub begun_directories: BTreeSet<String>,
    /// Containers that a command has noted to be removing.
    pub going: BTreeSet<String>,
    /// Containers of this driver; nothing for one whose record cannot be read.
    pub containers: BTreeMap<String, Option<ContainerRecord>>,
    /// The driver's directories.
    pub directories: BTreeSet<String>,
    /// Whether a dockerd works there now, and watches the containers that run.
    pub is_dockerds: bool,
}

impl Books {
    /// Reads everything; what is wrong with a single configuration or `repositories.json` is found here.
    pub(super) fn read(place: &Place, findings: &mut Findings) -> Result<Books, CheckError> {
        let mut books = Books { is_dockerds: daemon::is_dockerd_at_work(&place.data_root), ..Books::default() };
        let damage = match names::read(&place.repositories()) {
            Ok(names) => {
                books.names = names;
                None
            }
            Err(damage) => Some(damage),
        };
        for id in digests_in(&place.configurations())? {
            books.read_image(place, id, findings);
        }
        for config in books.images.values() {
            let diff_ids = &config.view().rootfs.diff_ids;
            let chain = chain_ids(diff_ids);
            for (index, (chain_id, diff_id)) in chain.iter().zip(diff_ids).enumerate() {
                let parent = index.checked_sub(1).map(|below| chain[below].clone());
                books.known.insert(chain_id.clone(), Known { diff_id: diff_id.clone(), parent });
            }
        }
        for chain_id in digests_in(&place.chains())? {
            let directory = place.chains().join(chain_id.hex());
            let text = |name: &str| Text::said(&directory.join(name));
            let record = LayerRecord {
                cache_id: text("cache-id").filter(|id| is_cache_id(id)),
                diff_id: text("diff").and_then(|text| text.parse().ok()),
                parent: text("parent").and_then(|text| text.parse().ok()),
                size_bytes: text("size").and_then(|text| text.parse().ok()),
            };
            books.layers.insert(chain_id, record);
        }
        books.part_doubled(place);
        for id in listed(&place.mounts())? {
            let directory = place.mounts().join(&id);
            let text = |name: &str| Text::said(&directory.join(name));
            let record = MountRecord {
                mount_id: text("mount-id").filter(|id| is_cache_id(id)),
                init_id: text("init-id").filter(|id| is_cache_id(id)),
                parent: text("parent").and_then(|text| text.parse().ok()),
            };
            books.mounts.insert(id, record);
        }
        for id in listed(&place.containers())?.into_iter().filter(|id| place.containers().join(id).is_dir()) {
            let text = fs::read(place.containers().join(&id).join("config.v2.json")).ok();
            let record = text.and_then(|text| serde_json::from_slice::<ContainerRecord>(&text).ok());
            // Those of another driver are its own.
            if record.as_ref().is_none_or(|record| record.driver.is_empty() || record.driver == place.driver()) {
                books.containers.insert(id, record);
            }
        }
        let has_record = |id: &String| place.containers().join(id).join("config.v2.json").exists();
        books.begun = leftovers::noted(place, "making ")?.into_iter().filter(|id| !has_record(id)).collect();
        books.going = leftovers::noted(place, "container ")?;
        books.begun_directories = leftovers::begun_directories(place)?;
        books.directories = listed(&place.home())?.into_iter().filter(|name| name != "l").collect();
        if let Some(damage) = damage {
            names::report(place, &books, damage, findings);
        }
        Ok(books)
    }

    /// Whether a container is being removed.
    pub(super) fn is_going(&self, id: &str) -> bool {
        let record = self.containers.get(id).and_then(Option::as_ref);
        self.going.contains(id) || record.is_some_and(|record| record.state.removal_in_progress)
    }

    /// Of several layers with one directory it is that one's whose files are there, or else the first's.
    fn part_doubled(&mut self, place: &Place) {
        let mut by_directory: BTreeMap<String, Vec<Digest>> = BTreeMap::new();
        for (chain, record) in &self.layers {
            by_directory.entry(record.cache_id.clone().unwrap_or_default()).or_default().push(chain.clone());
        }
        by_directory.retain(|cache_id, chains| !cache_id.is_empty() && chains.len() > 1);
        for (cache_id, chains) in by_directory {
            let is_owner = |chain: &&Digest| {
                self.diff_id(chain).is_some_and(|diff_id| content::is_home_of(place, chain, &diff_id, &cache_id))
            };
            let owner = chains.iter().find(is_owner).or(chains.first()).cloned();
            for chain in chains.into_iter().filter(|chain| Some(chain) != owner.as_ref()) {
                if let Some(record) = self.layers.get_mut(&chain) {
                    record.cache_id = None;
                }
                self.doubled.insert(chain);
            }
        }
    }

    fn read_image(&mut self, place: &Place, id: Digest, findings: &mut Findings) {
        let path = place.configurations().join(id.hex());
        let what = match fs::read(&path) {
            Err(error) => format!("the configuration of image {} cannot be read: {}", id.short(), reason(&error)),
            Ok(raw) if Digest::of(&raw) != id => {
                format!("the configuration of image {} was changed: its digest is {}", id.short(), Digest::of(&raw))
            }
            Ok(raw) => match ImageConfig::from_raw(raw) {
                Ok(config) => {
                    self.images.insert(id, config);
                    return;
                }
                Err(error) => format!("image {}: {error}", id.short()),
            },
        };
        findings.image(&id, Fault::ImageConfig, &path, what, self.fetch_config(&id));
        self.broken_images.insert(id);
    }

    /// The images that `names` mean, with their layers.
    pub(super) fn scope(&self, names: &[String]) -> Result<Scope, CheckError> {
        if names.is_empty() {
            return Ok(Scope { images: None, layers: None });
        }
        let images: BTreeSet<Digest> = names.iter().map(|name| self.image(name)).collect::<Result<_, _>>()?;
        let configs = images.iter().filter_map(|id| self.images.get(id));
        let layers = configs.flat_map(|config| chain_ids(&config.view().rootfs.diff_ids)).collect();
        Ok(Scope { images: Some(images), layers: Some(layers) })
    }

    fn image(&self, name: &str) -> Result<Digest, CheckError> {
        if let Ok(reference) = Reference::parse(name) {
            let reference = reference.with_default_tag();
            let named = self.names.get(&reference.familiar_name()).and_then(|names| names.get(&reference.familiar()));
            if let Some(id) = named.and_then(|id| id.parse().ok()) {
                return Ok(id);
            }
        }
        let hex = name.strip_prefix("sha256:").unwrap_or(name);
        let mut fitting = self.images.keys().chain(&self.broken_images).filter(|id| id.hex().starts_with(hex));
        match (fitting.next(), fitting.next()) {
            (Some(id), None) if !hex.is_empty() => Ok(id.clone()),
            _ => Err(CheckError::NoSuchImage(name.to_owned())),
        }
    }

    /// The chain from `top` down, as far as the records go; a circle ends it.
    pub(super) fn chain(&self, top: &Digest) -> Vec<Digest> {
        let mut chain = Vec::new();
        let mut next = Some(top.clone());
        while let Some(chain_id) = next.filter(|id| self.layers.contains_key(id) && !chain.contains(id)) {
            next = self.parent(&chain_id);
            chain.push(chain_id);
        }
        chain
    }

    /// The layer below `chain_id`: as images say, or else as its record does.
    pub(super) fn parent(&self, chain_id: &Digest) -> Option<Digest> {
        match self.known.get(chain_id) {
            Some(known) => known.parent.clone(),
            None => self.layers.get(chain_id).and_then(|record| record.parent.clone()),
        }
    }

    /// The diff ID of `chain_id`: as images say, or else as its record does.
    pub(super) fn diff_id(&self, chain_id: &Digest) -> Option<Digest> {
        let known = self.known.get(chain_id).map(|known| known.diff_id.clone());
        known.or_else(|| self.layers.get(chain_id)?.diff_id.clone())
    }

    pub(super) fn cache_id(&self, chain_id: &Digest) -> Option<&str> {
        self.layers.get(chain_id)?.cache_id.as_deref()
    }

    /// The top layer of a container: as its mount says, or else as its image does.
    pub(super) fn top_of_container(&self, id: &str) -> Option<Digest> {
        let mounted = self.mounts.get(id).and_then(|mount| mount.parent.clone());
        mounted.or_else(|| {
            let image: Digest = self.containers.get(id)?.as_ref()?.image.parse().ok()?;
            chain_ids(&self.images.get(&image)?.view().rootfs.diff_ids).pop()
        })
    }

    fn counts_as_running(&self, container: &str) -> Option<&State> {
        let record = self.containers.get(container)?.as_ref()?;
        Some(&record.state).filter(|state| state.running)
    }

    /// Whether a container's monitor lives, or the dockerd that runs it.
    pub(super) fn is_watched(&self, place: &Place, container: &str) -> bool {
        let is_dockerds = self.is_dockerds && self.counts_as_running(container).is_some();
        is_dockerds || Presence::of(&monitor_file(place, container)).is_some()
    }

    /// The first process of a container that counts as running, if it lives.
    pub(super) fn survivor(&self, container: &str) -> Option<i32> {
        let pid = self.counts_as_running(container)?.pid;
        Process::first_of_namespace(Pid::from_raw(pid)).map(|_| pid)
    }
}

/// A directory's or a container's name as people read it.
pub(super) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

fn monitor_file(place: &Place, container: &str) -> PathBuf {
    place.exec_root.join(container).join("monitor.pid")
}

/// Whether a driver's directory can be called so.
pub(super) fn is_cache_id(text: &str) -> bool {
    !text.is_empty() && !text.contains('/') && text != "." && text != ".." && text != "l"
}

pub(super) fn listed(directory: &Path) -> Result<Vec<String>, CheckError> {
    Ok(names_in(directory).map_err(failed("list", directory))?)
}

fn digests_in(directory: &Path) -> Result<Vec<Digest>, CheckError> {
    Ok(listed(directory)?.iter().filter_map(|name| Digest::from_hex(name).ok()).collect())
}
