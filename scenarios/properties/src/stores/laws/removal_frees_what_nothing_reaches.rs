//! `directories on disk = layers reached`, and `bytes = f(images)`: what is removed leaves nothing behind, what is left loses nothing.
//! The same images take the same files and bytes whatever was there in between; without images there is what there was at first.
//!
//! Checklist: GC-01, N-15

use std::collections::{BTreeMap, BTreeSet};

use super::{Law, Moment, Watch};
use crate::laws::{Verdict, verdict};

pub static LAW: Frees = Frees;

pub struct Frees;

impl Law for Frees {
    fn name(&self) -> &'static str {
        "removal-frees-what-nothing-reaches"
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
    used: BTreeMap<Vec<(String, usize)>, Used>,
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
        let reached: BTreeSet<&String> = moment.shelf.layers.values().map(|layer| &layer.cache_id).collect();
        let directories: BTreeSet<&String> = moment.shelf.directories.iter().collect();
        let lost = reached.difference(&directories).map(|id| format!("the directory {id} of a layer is gone"));
        let left = directories.difference(&reached).map(|id| format!("the directory {id} is no layer's"));
        found.extend(lost.chain(left));
        let images = moment.model.all().iter().map(|(id, image)| (id.clone(), image.names.len())).collect();
        let now = (moment.shelf.files, moment.shelf.bytes);
        let before = *self.used.entry(images).or_insert(now);
        if before != now {
            let say = |([image, driver], bytes): Used| format!("{image} files and {driver} files of {bytes} bytes");
            found.push(format!("the same images took {}, and take {}", say(before), say(now)));
        }
        verdict(found)
    }
}
