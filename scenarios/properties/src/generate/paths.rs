//! Which path a step is about: what is there, what was there once, and odd names now and then.

use layerlab_model::inode::Body;
use layerlab_model::operation::{Slot, Target};
use layerlab_model::process::Machine;
use layerlab_model::text::Text;
use layerlab_model::union::Seen;

use super::Generator;

const NAMES: [&[u8]; 5] = [b"a", b"b", b"c", b"d", b"e"];
const SLOTS: u32 = 3;
/// Below so many directories no more are made.
const DEPTH_MAX: usize = 4;

impl Generator {
    pub(super) fn name(&mut self) -> Text {
        match self.below(40) {
            0 => Text(vec![b'n'; 255]),
            1 => Text(vec![b'n'; 256]),
            2 => Text(b"a\xff\x01".to_vec()),
            3 => Text::from("a-"),
            4 => Text::from(self.of(&[".wh.a", ".wh.a", ".wh..wh..opq", ".wh..wh.plnk"])),
            5 => Text::from("a "),
            _ => Text::from(self.of(&NAMES)),
        }
    }

    /// A path that most often is free.
    pub(super) fn fresh(&mut self, tree: &Known) -> Text {
        if self.one_in(3) {
            let gone: Vec<Text> = self.seen.iter().filter(|path| !tree.all.contains(path)).cloned().collect();
            if !gone.is_empty() {
                return self.of(&gone);
            }
        }
        // What is no directory may be a link that leads to one.
        let is_odd = !tree.others.is_empty() && self.one_in(16);
        let directory = self.of(if is_odd { &tree.others } else { &tree.directories });
        let name = self.name();
        directory.join(&name)
    }

    /// A path at which most often something is.
    pub(super) fn there(&mut self, tree: &Known) -> Text {
        match self.below(12) {
            0 => self.fresh(tree),
            1 => self.of(&tree.all),
            _ if tree.others.is_empty() => self.anything(tree),
            _ => self.of(&tree.others),
        }
    }

    /// The root only now and then: there is always one, and little can be done with it.
    pub(super) fn anything(&mut self, tree: &Known) -> Text {
        let not_root = &tree.all[1..];
        match self.below(12) {
            0 => self.fresh(tree),
            1 => self.of(&tree.all),
            _ if not_root.is_empty() => self.fresh(tree),
            _ => self.of(not_root),
        }
    }

    pub(super) fn file(&mut self, tree: &Known) -> Text {
        if tree.files.is_empty() || self.one_in(8) { self.there(tree) } else { self.of(&tree.files) }
    }

    pub(super) fn directory(&mut self, tree: &Known) -> Text {
        if self.one_in(8) { self.there(tree) } else { self.of(&tree.directories) }
    }

    /// A slot in which most often a file is open.
    pub(super) fn slot(&mut self, tree: &Known) -> Slot {
        if tree.slots.is_empty() || self.one_in(8) { self.any_slot() } else { self.of(&tree.slots) }
    }

    pub(super) fn any_slot(&mut self) -> Slot {
        self.below(SLOTS) as Slot
    }

    pub(super) fn target(&mut self, tree: &Known) -> Target {
        if self.one_in(5) { Target::Slot(self.slot(tree)) } else { Target::Path(self.anything(tree)) }
    }
}

/// The paths there are, by kind.
pub(super) struct Known {
    pub(super) all: Vec<Text>,
    pub(super) files: Vec<Text>,
    pub(super) others: Vec<Text>,
    pub(super) directories: Vec<Text>,
    pub(super) empty: Vec<Text>,
    /// Extended attributes that there are.
    pub(super) xattrs: Vec<(Text, Text)>,
    pub(super) slots: Vec<Slot>,
}

impl Known {
    pub(super) fn of(machine: &Machine) -> Known {
        let mut known = Known {
            all: Vec::new(),
            files: Vec::new(),
            others: Vec::new(),
            directories: Vec::new(),
            empty: Vec::new(),
            xattrs: Vec::new(),
            slots: machine.open_slots(),
        };
        for (names, seen) in machine.union().walk() {
            let path = names.iter().fold(Text::from("/"), |path, name| path.join(name));
            if let Seen::Directory(stack) = &seen
                && !names.is_empty()
                && machine.union().names(stack).is_empty()
            {
                known.empty.push(path.clone());
            }
            let names_of_xattrs = machine.union().inode(seen.top()).meta.xattrs.keys();
            known.xattrs.extend(names_of_xattrs.map(|name| (path.clone(), name.clone())));
            match &seen {
                Seen::Directory(_) if names.len() < DEPTH_MAX => known.directories.push(path.clone()),
                Seen::Directory(_) => {}
                Seen::Other(at) => {
                    known.others.push(path.clone());
                    if matches!(machine.union().inode(*at).body, Body::File(_)) {
                        known.files.push(path.clone());
                    }
                }
            }
            known.all.push(path);
        }
        known
    }
}
