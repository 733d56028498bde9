//! What a layer must hold on disk: names, whiteouts, and marks that say what shows through a directory.
//!
//! *Source*: overlayfs, "whiteouts and opaque directories" and "redirect_dir". *Holds*: that a mark is needed follows from what
//! shows through; nothing is noted for it.

use super::{ROOT, Seen, Union};
use crate::inode::{At, Entry};
use crate::text::Text;

impl Union {
    /// Everything that the upper layer must hold on disk, parents before children, the root first with no names.
    pub fn upper_marks(&self) -> Vec<(Vec<Text>, Mark)> {
        self.marks(self.lowers.len())
    }

    /// The same for any layer of the stack.
    pub fn marks(&self, layer: usize) -> Vec<(Vec<Text>, Mark)> {
        let root = At { layer, inode: ROOT };
        let natural = self.layer(layer).directory(ROOT).below.clone();
        let mut found = vec![(Vec::new(), Mark::Directory { at: root, through: Through::ByName })];
        let mut open = vec![(Vec::new(), root, natural)];
        while let Some((path, at, below)) = open.pop() {
            for (name, entry) in &self.layer(layer).directory(at.inode).entries {
                let path: Vec<Text> = [&path[..], std::slice::from_ref(name)].concat();
                let Entry::Inode(inode) = entry else {
                    found.push((path, Mark::Whiteout));
                    continue;
                };
                let at = At { layer, inode: *inode };
                let Some(directory) = self.inode(at).directory() else {
                    found.push((path, Mark::Other { at }));
                    continue;
                };
                let by_name = match self.child(&below, name) {
                    Some(Seen::Directory(stack)) => stack,
                    _ => Vec::new(),
                };
                let through = match &directory.below {
                    below if *below == by_name && below.is_empty() => Through::Nothing,
                    below if *below == by_name => Through::ByName,
                    below if below.is_empty() => Through::Opaque,
                    _ => Through::Redirect,
                };
                found.push((path.clone(), Mark::Directory { at, through }));
                open.push((path, at, directory.below.clone()));
            }
        }
        found.sort_by(|one, other| one.0.cmp(&other.0));
        found
    }
}

/// What a layer holds under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// A whiteout.
    Whiteout,
    /// A file, a link or a node.
    Other {
        /// Which.
        at: At,
    },
    /// A directory.
    Directory {
        /// Which.
        at: At,
        /// What of the layers below shows through it.
        through: Through,
    },
}

/// What shows through a directory of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Through {
    /// Nothing lies below it: an opaque mark would change nothing.
    Nothing,
    /// The directories with its name.
    ByName,
    /// Nothing, though directories with its name lie below: it must be marked opaque.
    Opaque,
    /// Other directories than those with its name: it must have a redirect.
    Redirect,
}
