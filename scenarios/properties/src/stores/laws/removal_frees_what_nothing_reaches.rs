//! `directories on disk = layers reached`, and `bytes = f(images)`: what is removed leaves nothing behind, what is left loses nothing.
//! The same images take the same files and bytes whatever was there in between; without images there is what there was at first.
//! Garbage that is collected is what has no name, or with `--all` what has no container, and what is said to be freed is what went.
//! Where the storage driver failed once in the midst, images that are left are whole, and of garbage no more is left than that of one image;
//! done again it is as if nothing had failed.
//!
//! Checklist: GC-01, GC-05~, GC-06~, N-15

use std::collections::{BTreeMap, BTreeSet};

use layerlab_model::store::chain_ids;

use super::{Law, Moment, Watch, Weights};
use crate::laws::{Verdict, verdict};
use crate::stores::Act;
use crate::stores::shelf::Shelf;

pub static LAW: Frees = Frees;

pub struct Frees;

impl Law for Frees {
    fn name(&self) -> &'static str {
        "removal-frees-what-nothing-reaches"
    }

    fn weights(&self) -> Weights {
        Weights { removals: 12, tags: 6, containers: 8, prunes: 8, ..Weights::default() }
    }

    fn watch(&self) -> Box<dyn Watch> {
        Box::new(Watching::default())
    }
}

/// Files below `image/` and below the driver's directory, and bytes there.
type Used = ([usize; 2], u64);

#[derive(Default)]
struct Watching {
    /// What each set of images, with the number of their names, took when it was seen first.
    used: BTreeMap<Vec<(String, usize, usize)>, Used>,
    /// What was there before.
    before: Shelf,
}

impl Watch for Watching {
    fn after(&mut self, moment: &Moment<'_>) -> Verdict {
        let mut found = Vec::new();
        let wanted: BTreeSet<&String> = moment.model.all().keys().collect();
        let images: BTreeSet<&String> = moment.shelf.images.keys().collect();
        if wanted != images {
            found.push(format!("the images are {images:?}, should be {wanted:?}"));
        }
        let names = moment.model.names();
        let actual: BTreeMap<&str, &String> = moment.shelf.names.iter().map(|(name, id)| (name.as_str(), id)).collect();
        if names != actual {
            found.push(format!("the names are {actual:?}, should be {names:?}"));
        }
        if moment.shelf.containers != *moment.model.containers() {
            found.push(format!(
                "the containers are {:?}, should be {:?}",
                moment.shelf.containers,
                moment.model.containers()
            ));
        }
        let of_images = moment.shelf.layers.values().map(|layer| &layer.cache_id);
        let of_containers = moment.shelf.mounts.values().flat_map(|mount| &mount.directories);
        let reached: BTreeSet<&String> = of_images.chain(of_containers).collect();
        let directories: BTreeSet<&String> = moment.shelf.directories.iter().collect();
        let lost = reached.difference(&directories).map(|id| format!("the directory {id} of a layer is gone"));
        let left = directories.difference(&reached).map(|id| format!("the directory {id} is no layer's"));
        found.extend(lost.chain(left));
        let users = |id: &String| moment.model.containers().values().filter(|used| *used == id).count();
        let images = moment.model.all().iter().map(|(id, image)| (id.clone(), image.names.len(), users(id))).collect();
        let now = (moment.shelf.files, moment.shelf.bytes);
        let before = *self.used.entry(images).or_insert(now);
        if before != now {
            let say = |([image, driver], bytes): Used| format!("{image} files and {driver} files of {bytes} bytes");
            found.push(format!("the same images took {}, and take {}", say(before), say(now)));
        }
        match &moment.stumbled {
            Some(left) => found.extend(left_whole(moment, &self.before, left)),
            None => found.extend(told(moment, &self.before)),
        }
        self.before = moment.shelf.clone();
        verdict(found)
    }
}

/// What is wrong with what is left when the driver has failed once.
fn left_whole(moment: &Moment<'_>, before: &Shelf, left: &Shelf) -> Vec<String> {
    let is_whole = |id: &str| {
        let chain = chain_ids(&left.diff_ids(id).unwrap_or_default());
        chain.iter().all(|id| left.layers.get(id).is_some_and(|layer| left.directories.contains(&layer.cache_id)))
    };
    let broken = left.images.keys().filter(|id| !is_whole(id));
    let mut found: Vec<String> = broken.map(|id| format!("the image {id} is there, and its layers are not")).collect();
    if matches!(moment.act, Act::Prune { .. }) {
        let should_go = before.images.keys().filter(|id| !moment.model.all().contains_key(*id));
        let stayed: Vec<Vec<String>> = should_go.filter_map(|id| left.diff_ids(id)).collect();
        // What an image was made of stays with it.
        let is_below = |one: &[String], other: &[String]| other.starts_with(one);
        let apart = stayed.iter().any(|one| stayed.iter().any(|other| !is_below(one, other) && !is_below(other, one)));
        if apart {
            found.push(format!("{} images stayed, though one removal failed", stayed.len()));
        }
    }
    found
}

/// Where what the engine says that it removed is not what is there no more.
fn told(moment: &Moment<'_>, before: &Shelf) -> Vec<String> {
    let is_refusable = matches!(moment.act, Act::Remove { .. });
    let Some(freed) = &moment.freed else {
        let is_wrong = is_refusable && !moment.is_refused && !before.names.is_empty();
        return Vec::from_iter(is_wrong.then(|| "it is refused, though nothing speaks against it".to_owned()));
    };
    let mut found = Vec::new();
    if moment.is_refused {
        found.push("it is not refused, though a container is of the image".to_owned());
    }
    let images = before.images.keys().filter(|id| !moment.shelf.images.contains_key(*id));
    let layers = || before.layers.iter().filter(|(id, _)| !moment.shelf.layers.contains_key(*id));
    let mut gone: Vec<&String> = images.chain(layers().map(|(id, _)| id)).collect();
    let mut told: Vec<&String> = freed.deleted.iter().collect();
    gone.sort();
    told.sort();
    if gone != told {
        found.push(format!("it is said that {told:?} went, and what went is {gone:?}"));
    }
    let bytes: u64 = layers().map(|(_, layer)| layer.size_bytes).sum();
    if freed.reclaimed_bytes.is_some_and(|told| told != bytes) {
        found.push(format!("it is said that {:?} bytes came back, of {bytes}", freed.reclaimed_bytes));
    }
    found
}
