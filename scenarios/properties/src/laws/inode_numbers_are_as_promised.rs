//! `inode(file, later) = inode(file)` as long as it is mounted, through copy-up and rename; `d_ino = st_ino`; everything has the
//! root's `st_dev`; what has one inode number is one file.
//!
//! Checklist: RD-03~, RD-04, IN-01, IN-02~, IN-03~, IN-04~

use std::collections::{HashMap, HashSet};

use layerlab_model::inode::At;
use layerlab_model::operation::Operation;
use layerlab_model::text::Text;

use super::{Law, Verdict, Watch, verdict};
use crate::case::Moment;
use crate::generate::Weights;
use crate::tree;

pub static LAW: Inodes = Inodes;

pub struct Inodes;

impl Law for Inodes {
    fn name(&self) -> &'static str {
        "inode-numbers-are-as-promised"
    }

    fn weights(&self) -> Weights {
        Weights { renames: 25, commit: 10, ..Weights::default() }
    }

    fn watch(&self) -> Box<dyn Watch> {
        Box::new(Watching::default())
    }
}

#[derive(Default)]
struct Watching {
    /// Of which lower file something is the copy.
    origins: HashMap<At, At>,
    /// The same of what only the index of the upper layer keeps one file.
    indexed: HashMap<At, At>,
    /// The inode number that a file had first since the mount.
    numbers: HashMap<At, u64>,
    /// What has had several names since the mount.
    named_again: HashSet<At>,
}

impl Watch for Watching {
    fn after(&mut self, moment: &Moment<'_>) -> Verdict {
        if matches!(moment.step.operation, Operation::Commit | Operation::Remount) {
            // The remount's own law says whether they stay.
            self.numbers.clear();
            self.named_again.clear();
        }
        if moment.step.operation == Operation::Commit {
            self.indexed.clear();
        }
        let (union, promises) = (moment.model.union(), moment.model.promises());
        for moved in moment.model.copied() {
            let inode = union.inode(moved.from);
            let origin = *self.origins.get(&moved.from).unwrap_or(&moved.from);
            // Names of one file in a lower layer are parted by a copy-up without an index (overlayfs, "Non-standard behavior").
            if inode.links == 1 {
                self.origins.insert(moved.to, origin);
            } else if union.is_kept_whole(moved.from) {
                self.indexed.insert(moved.to, origin);
            }
        }
        let actual = &moment.after.merged;
        let device = actual.get(&Text::default()).map(|root| root.identity.0);
        let (mut found, mut listed_otherwise) = (Vec::new(), Vec::new());
        let mut files: HashMap<(u64, u64), At> = HashMap::new();
        for (names, seen) in union.walk() {
            let path = tree::path(&names);
            let Some(facts) = actual.get(&path) else { continue };
            let (at, number) = (seen.top(), facts.identity.1);
            if union.inode(at).links > 1 {
                self.named_again.insert(at);
            }
            let is_free = !promises.further_names_are_listed_with_their_inode
                && (self.origins.contains_key(&at) || self.indexed.contains_key(&at))
                && self.named_again.contains(&at);
            let is_free = is_free || union.depth() >= promises.layers_max;
            if !facts.is_listed_with_its_inode && !is_free {
                listed_otherwise.push(path.clone());
            }
            if Some(facts.identity.0) != device {
                found.push(format!("/{path} is on another device than the root"));
            }
            if *files.entry(facts.identity).or_insert(at) != at {
                found.push(format!("/{path} has the inode number of another file"));
            }
            let file = *self.indexed.get(&at).or_else(|| self.origins.get(&at)).unwrap_or(&at);
            let known = *self.numbers.entry(file).or_insert(number);
            if known != number {
                found.push(format!("/{path} had the inode number {known}, and has {number}"));
            }
        }
        match moment.listed_otherwise(listed_otherwise) {
            Ok(paths) => {
                found.extend(
                    paths.iter().map(|path| format!("/{path} is listed with another inode number than it has")),
                );
            }
            Err(error) => found.push(error.to_string()),
        }
        verdict(found)
    }
}
