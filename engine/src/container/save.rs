//! Images as an archive in Docker's form (`engine/src/image/docker_archive.rs`), written as it is made.
//!
//! Members stand in the order of their names, their times are the images' own: the same images give the same bytes.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufWriter, Write};

use jiff::Timestamp;

use super::{Engine, EngineError};
use crate::image::docker_archive::{
    LAYER_TAR, LEGACY_JSON, LegacyNames, MANIFEST, ManifestItem, REPOSITORIES, VERSION, legacy_layers,
};
use crate::image::reference::ReferenceError;
use crate::image::{Digest, Reference, go_json};
use crate::layer::chain_ids;
use crate::layer::header::{BLOCK_BYTES, Header, padding_bytes};
use crate::store::Layer;
use crate::store::repositories::is_digest;

const BUFFER_BYTES: usize = 256 << 10;

/// An image, and the names under which it is to be saved.
struct Chosen {
    id: Digest,
    names: Vec<Reference>,
}

/// What stands under a name in the archive.
enum Member {
    Directory,
    File(Vec<u8>),
    Link(String),
    Layer(Box<Layer>),
}

/// The members by name, each with its time in seconds since 1970.
type Members = BTreeMap<String, (i64, Member)>;

impl Engine {
    /// Writes the images called `names` to `out`. A repository's name alone means all its tags. Nothing is written before
    /// all names and all layers are known to be here.
    pub fn save_images(&self, names: &[String], out: &mut dyn Write) -> Result<(), EngineError> {
        let (members, _lease) = {
            let _lock = self.store.lock()?;
            let chosen = self.chosen(names)?;
            let images = chosen.iter().map(|image| &image.id);
            let lease = self.lease(images)?;
            (self.members(&chosen)?, lease)
        };
        let mut out = BufWriter::with_capacity(BUFFER_BYTES, out);
        for (name, (mtime_seconds, member)) in &members {
            self.write_member(name, *mtime_seconds, member, &mut out)?;
        }
        out.write_all(&[0; 2 * BLOCK_BYTES]).and_then(|()| out.flush()).map_err(EngineError::Output)
    }

    fn chosen(&self, names: &[String]) -> Result<Vec<Chosen>, EngineError> {
        let repositories = self.store.repositories()?;
        let mut chosen: Vec<Chosen> = Vec::new();
        let mut choose = |id: Digest, name: Option<Reference>| {
            let known = chosen.iter().position(|image| image.id == id);
            let place = known.unwrap_or(chosen.len());
            if known.is_none() {
                chosen.push(Chosen { id, names: Vec::new() });
            }
            let names = &mut chosen[place].names;
            names.extend(name.filter(|name| name.tag().is_some() && !names.contains(name)));
        };
        for name in names {
            let reference = match Reference::parse(name) {
                // An ID in full is none of a repository's names.
                Err(ReferenceError::LooksLikeId(_)) => {
                    choose(self.image_id(name)?, None);
                    continue;
                }
                reference => reference?,
            };
            let repository = reference.familiar_name();
            if repository == "sha256" {
                let found = self.image_id(name).map_err(|_| EngineError::NoSuchImage(name.clone()))?;
                choose(found, None);
            } else if reference.is_name_only() {
                let all = repositories.in_repository(&repository);
                if all.is_empty() {
                    let found = self.image_id(name).map_err(|_| EngineError::NoSuchImage(name.clone()))?;
                    choose(found, None);
                }
                for (tag, id) in all {
                    let tagged = (!is_digest(tag)).then(|| Reference::parse(tag)).transpose()?;
                    choose(id.clone(), tagged);
                }
            } else {
                let found = repositories.get(&repository, &reference.familiar());
                choose(found.cloned().ok_or(EngineError::NoSuchReference)?, Some(reference));
            }
        }
        Ok(chosen)
    }

    fn members(&self, chosen: &[Chosen]) -> Result<Members, EngineError> {
        let mut members = Members::new();
        let mut tars: HashMap<Digest, String> = HashMap::new();
        let mut manifest = Vec::new();
        let mut legacy_names = LegacyNames::new();
        for Chosen { id, names } in chosen {
            let config = self.image_config(id)?;
            let created = config.view().created.parse::<Timestamp>().map_or(0, Timestamp::as_second).max(0);
            let chain_ids = chain_ids(&config.view().rootfs.diff_ids);
            if chain_ids.is_empty() {
                return Err(EngineError::EmptyExport);
            }
            let legacy = legacy_layers(&config, &chain_ids).map_err(EngineError::Json)?;
            for (layer, chain_id) in legacy.iter().zip(&chain_ids) {
                let directory = format!("{}/", layer.id);
                if members.contains_key(&directory) {
                    continue;
                }
                let record = self.store.layers.get(chain_id)?;
                let tar = match tars.get(&record.diff_id) {
                    Some(equal) => Member::Link(format!("../{equal}")),
                    None => {
                        tars.insert(record.diff_id.clone(), format!("{directory}{LAYER_TAR}"));
                        Member::Layer(Box::new(record))
                    }
                };
                members.insert(format!("{directory}{}", VERSION.0), (created, Member::File(VERSION.1.into())));
                members.insert(format!("{directory}{LEGACY_JSON}"), (created, Member::File(layer.json.clone())));
                members.insert(format!("{directory}{LAYER_TAR}"), (created, tar));
                members.insert(directory, (created, Member::Directory));
            }
            for name in names {
                let tags = legacy_names.entry(name.familiar_name()).or_default();
                let top = legacy.last().map(|layer| layer.id.clone());
                tags.extend(name.tag().map(str::to_owned).zip(top));
            }
            let parent = self.store.images.parent(id)?;
            let parent = parent.filter(|parent| chosen.iter().any(|other| other.id == *parent));
            let file = format!("{}.json", id.hex());
            manifest.push(ManifestItem {
                config: file.clone(),
                repo_tags: (!names.is_empty()).then(|| names.iter().map(Reference::familiar).collect()),
                layers: Some(legacy.iter().map(|layer| format!("{}/{LAYER_TAR}", layer.id)).collect()),
                parent: parent.map(|parent| parent.to_string()),
            });
            members.insert(file, (created, Member::File(config.raw().to_vec())));
        }
        if !legacy_names.is_empty() {
            members.insert(REPOSITORIES.to_owned(), (0, Member::File(json_line(&legacy_names)?)));
        }
        members.insert(MANIFEST.to_owned(), (0, Member::File(json_line(&manifest)?)));
        Ok(members)
    }

    fn write_member(
        &self,
        name: &str,
        mtime_seconds: i64,
        member: &Member,
        out: &mut impl Write,
    ) -> Result<(), EngineError> {
        let owner = || "root".to_owned();
        let mut header =
            Header { name: name.into(), mtime_seconds, user_name: owner(), group_name: owner(), ..Header::default() };
        (header.kind, header.mode) = match member {
            Member::Directory => (b'5', 0o040_755),
            Member::Link(_) => (b'2', 0o120_777),
            Member::File(_) | Member::Layer(_) => (b'0', 0o100_644),
        };
        match member {
            Member::Directory => {}
            Member::Link(target) => header.link_name = target.clone().into_bytes(),
            Member::File(bytes) => header.size_bytes = bytes.len() as u64,
            Member::Layer(layer) => header.size_bytes = self.layer_tar_size_bytes(layer)?,
        }
        let blocks = header.encode().map_err(|error| EngineError::Output(std::io::Error::other(error)))?;
        out.write_all(&blocks).map_err(EngineError::Output)?;
        match member {
            Member::File(bytes) => out.write_all(bytes).map_err(EngineError::Output)?,
            Member::Layer(layer) => self.write_layer_tar(layer, out)?,
            Member::Directory | Member::Link(_) => {}
        }
        let padding = padding_bytes(header.size_bytes) as usize;
        out.write_all(&[0; BLOCK_BYTES][..padding]).map_err(EngineError::Output)
    }
}

fn json_line(value: &impl serde::Serialize) -> Result<Vec<u8>, EngineError> {
    let mut text = go_json::to_vec(value).map_err(EngineError::Json)?;
    text.push(b'\n');
    Ok(text)
}
