//! Makes up cases: each step is drawn with the model's present tree in view, so that most of them find something to do.
//!
//! Names come from a small alphabet, so that collisions are common; a few are as odd as names can be.

use std::collections::{BTreeSet, VecDeque};

use layerlab_model::inode::{Body, Node, Time};
use layerlab_model::operation::{Access, Allocate, Before, Fill, Flags, Operation, Replace, Slot, Step, Target, User};
use layerlab_model::process::{Machine, OTHER_ID};
use layerlab_model::text::Text;
use layerlab_model::union::Seen;
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

/// How often each kind of operation is drawn, relative to the others.
#[derive(Debug, Clone, Copy)]
pub struct Weights {
    /// Opening, and what is done with open files.
    pub contents: u32,
    /// Attributes.
    pub attributes: u32,
    /// Making and removing names.
    pub names: u32,
    /// Moving names.
    pub renames: u32,
    /// Mounting again.
    pub remount: u32,
    /// A new layer.
    pub commit: u32,
}

impl Default for Weights {
    fn default() -> Weights {
        Weights { contents: 40, attributes: 20, names: 40, renames: 15, remount: 2, commit: 4 }
    }
}

const NAMES: [&[u8]; 5] = [b"a", b"b", b"c", b"d", b"e"];
const LETTERS: [char; 6] = ['u', 'v', 'w', 'x', 'y', 'z'];
const SLOTS: u32 = 3;
/// One step in so many begins to replace something.
const PLAN_EVERY: u32 = 40;
/// The most paths that are replaced at once.
const REPLACED_MAX: usize = 5;
const DEPTH_MAX: usize = 4;
const XATTRS: [&str; 4] = ["user.one", "user.two", "trusted.three", "security.capability"];
/// `cap_net_bind_service=ep` (`struct vfs_cap_data`, revision 2).
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A source of steps; the same seed gives the same ones.
pub struct Generator {
    random: TestRng,
    weights: Weights,
    has_other_user: bool,
    /// What was there once: names that come back over what lies below are where layers go wrong.
    seen: BTreeSet<Text>,
    /// Steps that are already decided.
    planned: VecDeque<Operation>,
}

impl Generator {
    /// Draws by `weights`.
    pub fn new(seed: u64, weights: Weights, has_other_user: bool) -> Generator {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Generator {
            random: TestRng::from_seed(RngAlgorithm::ChaCha, &bytes),
            weights,
            has_other_user,
            seen: BTreeSet::new(),
            planned: VecDeque::new(),
        }
    }

    fn below(&mut self, bound: u32) -> u32 {
        self.random.next_u32() % bound.max(1)
    }

    fn one_in(&mut self, bound: u32) -> bool {
        self.below(bound) == 0
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u32) as usize].clone()
    }

    /// The next step for `machine` as it is.
    pub fn step(&mut self, machine: &Machine) -> Step {
        let user = if self.has_other_user && self.one_in(4) { User::Other } else { User::Root };
        let tree = Known::of(machine);
        self.seen.extend(tree.all.iter().cloned());
        if self.planned.is_empty() && self.one_in(PLAN_EVERY) {
            self.plan_replacement(&tree);
        }
        if let Some(operation) = self.planned.pop_front() {
            return Step { user: User::Root, operation };
        }
        let Weights { contents, attributes, names, renames, remount, commit } = self.weights;
        let mut drawn = self.below(contents + attributes + names + renames + remount + commit);
        let mut is = |weight: u32| {
            let hit = drawn < weight;
            drawn = drawn.saturating_sub(weight);
            hit
        };
        let operation = match () {
            () if is(contents) => self.contents(&tree),
            () if is(attributes) => self.attributes(&tree),
            () if is(names) => self.names(&tree),
            () if is(renames) => self.rename(&tree),
            () if is(remount) => Operation::Remount,
            () => Operation::Commit,
        };
        let user = if matches!(operation, Operation::LinkSlot { .. }) { User::Root } else { user };
        Step { user, operation }
    }

    /// Something with all that is in it makes room for something else of the same name: what lies below must not come back.
    fn plan_replacement(&mut self, tree: &Known) {
        let top = self.of(&tree.all);
        let mut all: Vec<&Text> = tree.all.iter().filter(|path| is_within(path, &top)).collect();
        if top.as_bytes() == b"/" || all.len() > REPLACED_MAX {
            return;
        }
        // Deepest first.
        all.sort();
        for path in all.into_iter().rev() {
            self.planned.push_back(match tree.others.contains(path) {
                true => Operation::Unlink { path: path.clone() },
                false => Operation::Rmdir { path: path.clone() },
            });
        }
        let flags = Flags {
            access: Access::Write,
            create: true,
            exclusive: true,
            truncate: false,
            append: false,
            directory: false,
            no_follow: false,
        };
        let new = match self.below(4) {
            0 => Operation::Open { slot: self.any_slot(), path: top, flags, mode: self.create_mode() },
            1 => Operation::Symlink { content: Text::from("a"), path: top },
            _ => Operation::Mkdir { path: top, mode: 0o755 },
        };
        self.planned.push_back(new);
        if self.one_in(2) {
            self.planned.push_back(Operation::Commit);
        }
    }

    fn name(&mut self) -> Text {
        match self.below(40) {
            0 => Text(vec![b'n'; 255]),
            1 => Text(vec![b'n'; 256]),
            2 => Text(b"a\xff\x01".to_vec()),
            3 => Text::from("a-"),
            4 => Text::from(".wh.a"),
            5 => Text::from("a "),
            _ => Text::from(self.of(&NAMES)),
        }
    }

    /// A path that most often is free.
    fn fresh(&mut self, tree: &Known) -> Text {
        if self.one_in(3) {
            let gone: Vec<Text> = self.seen.iter().filter(|path| !tree.all.contains(path)).cloned().collect();
            if !gone.is_empty() {
                return self.of(&gone);
            }
        }
        let directory = self.of(&tree.directories);
        let name = self.name();
        directory.join(&name)
    }

    /// A path at which most often something is.
    fn there(&mut self, tree: &Known) -> Text {
        match self.below(12) {
            0 => self.fresh(tree),
            1 => self.of(&tree.all),
            _ => self.of(if tree.others.is_empty() { &tree.all } else { &tree.others }),
        }
    }

    /// The root only now and then: there is always one, and little can be done with it.
    fn anything(&mut self, tree: &Known) -> Text {
        let not_root = &tree.all[1..];
        match self.below(12) {
            0 => self.fresh(tree),
            1 => self.of(&tree.all),
            _ if not_root.is_empty() => self.fresh(tree),
            _ => self.of(not_root),
        }
    }

    fn file(&mut self, tree: &Known) -> Text {
        if tree.files.is_empty() || self.one_in(8) { self.there(tree) } else { self.of(&tree.files) }
    }

    fn directory(&mut self, tree: &Known) -> Text {
        if self.one_in(8) { self.there(tree) } else { self.of(&tree.directories) }
    }

    /// A slot in which most often a file is open.
    fn slot(&mut self, tree: &Known) -> Slot {
        if tree.slots.is_empty() || self.one_in(8) { self.any_slot() } else { self.of(&tree.slots) }
    }

    fn any_slot(&mut self) -> Slot {
        self.below(SLOTS) as Slot
    }

    fn target(&mut self, tree: &Known) -> Target {
        if self.one_in(5) { Target::Slot(self.slot(tree)) } else { Target::Path(self.anything(tree)) }
    }

    fn id(&mut self) -> u32 {
        if self.has_other_user { self.of(&[0, OTHER_ID]) } else { 0 }
    }

    fn mode(&mut self) -> u32 {
        self.of(&[0o644, 0o600, 0o755, 0o777, 0o700, 0o4755, 0o2755, 0o2745, 0o1777, 0o444, 0o6711, 0o222, 0, 0o2777])
    }

    fn create_mode(&mut self) -> u32 {
        self.of(&[0o644, 0o666, 0o755, 0o777, 0o600, 0o400])
    }

    fn length(&mut self) -> u32 {
        self.of(&[0, 1, 5, 100, 4095, 4096, 4097, 9000])
    }

    fn fill(&mut self) -> Fill {
        let length = self.of(&[1, 3, 10, 4096, 5000]);
        Fill { letter: self.of(&LETTERS), length }
    }

    fn access(&mut self) -> Access {
        self.of(&[Access::Read, Access::Write, Access::ReadWrite])
    }

    fn contents(&mut self, tree: &Known) -> Operation {
        let slot = self.slot(tree);
        // Most of what follows needs an open file.
        let kinds = if tree.slots.is_empty() && !self.one_in(6) { 7 } else { 24 };
        match self.below(kinds) {
            0..=3 => {
                let flags = Flags {
                    access: self.access(),
                    create: true,
                    exclusive: self.one_in(4),
                    truncate: self.one_in(4),
                    append: self.one_in(6),
                    directory: false,
                    no_follow: self.one_in(6),
                };
                let path = if self.one_in(3) { self.there(tree) } else { self.fresh(tree) };
                Operation::Open { slot: self.any_slot(), path, flags, mode: self.create_mode() }
            }
            4..=6 => {
                let flags = Flags {
                    access: self.access(),
                    create: false,
                    exclusive: false,
                    truncate: self.one_in(5),
                    append: self.one_in(6),
                    directory: self.one_in(10),
                    no_follow: self.one_in(6),
                };
                Operation::Open { slot: self.any_slot(), path: self.file(tree), flags, mode: 0 }
            }
            7..=10 => Operation::Write { slot, offset: self.length(), fill: self.fill() },
            11 | 12 => Operation::Read { slot, offset: self.length(), length: self.length().max(1) },
            13 => Operation::MapWrite { slot, offset: self.length(), fill: self.fill() },
            14 => Operation::CopyRange {
                from: self.slot(tree),
                from_offset: self.length(),
                to: slot,
                to_offset: self.length(),
                length: self.length(),
            },
            15 => Operation::Allocate {
                slot,
                how: self.of(&[Allocate::Extend, Allocate::KeepSize, Allocate::Punch]),
                offset: self.length(),
                length: self.length(),
            },
            16 | 17 => {
                let target = if self.one_in(3) { Target::Slot(slot) } else { Target::Path(self.file(tree)) };
                Operation::Truncate { target, length: self.length() }
            }
            18 => {
                Operation::OpenUnnamed { slot: self.any_slot(), path: self.directory(tree), mode: self.create_mode() }
            }
            19 => Operation::Close { slot },
            20 | 21 => Operation::Write { slot, offset: self.length(), fill: self.fill() },
            _ => Operation::MapWrite { slot, offset: 0, fill: Fill { letter: self.of(&LETTERS), length: 1 } },
        }
    }

    fn attributes(&mut self, tree: &Known) -> Operation {
        let target = self.target(tree);
        match self.below(10) {
            0..=2 => Operation::Chmod { target, mode: self.mode() },
            3 | 4 => Operation::Chown { target, uid: self.id(), gid: self.id() },
            5 | 6 => {
                let seconds = self.of(&[0, 1, 1_000_000_000, 1_700_000_000, -1, -100_000, 4_000_000_000]);
                Operation::SetTime { target, time: Time { seconds, nanoseconds: self.of(&[0, 1, 999_999_999]) } }
            }
            7 | 8 => {
                let name = Text::from(self.of(&XATTRS));
                let value = match name.as_bytes() {
                    b"security.capability" => Text(CAPABILITY.to_vec()),
                    _ => Text(vec![self.of(&LETTERS) as u8; self.of(&[0, 1, 40])]),
                };
                let before = self.of(&[Before::Any, Before::Any, Before::Absent, Before::Present]);
                Operation::SetXattr { target, name, value, before }
            }
            _ => Operation::RemoveXattr { target, name: Text::from(self.of(&XATTRS)) },
        }
    }

    fn names(&mut self, tree: &Known) -> Operation {
        match self.below(20) {
            0..=4 => {
                let path = if self.one_in(6) { self.there(tree) } else { self.fresh(tree) };
                Operation::Mkdir { path, mode: self.of(&[0o755, 0o777, 0o700, 0o1777, 0o2755]) }
            }
            5 => {
                let node = self.of(&[
                    Node::Fifo,
                    Node::Socket,
                    Node::Character { major: 240, minor: 7 },
                    Node::Block { major: 240, minor: 8 },
                ]);
                Operation::Mknod { path: self.fresh(tree), node, mode: self.create_mode() }
            }
            6 | 7 => {
                let content = match self.below(6) {
                    0 => self.name(),
                    1 => Text::from("../a"),
                    2 => Text::from(".."),
                    _ => self.anything(tree),
                };
                Operation::Symlink { content, path: self.fresh(tree) }
            }
            8..=10 => Operation::Link { from: self.there(tree), to: self.fresh(tree) },
            11 => Operation::LinkSlot { slot: self.slot(tree), to: self.fresh(tree) },
            12..=15 => Operation::Unlink { path: self.there(tree) },
            16 | 17 if !tree.empty.is_empty() && !self.one_in(4) => Operation::Rmdir { path: self.of(&tree.empty) },
            16 | 17 => Operation::Rmdir { path: self.directory(tree) },
            18 => Operation::ReadLink { path: self.there(tree) },
            _ => Operation::List { path: self.directory(tree) },
        }
    }

    fn rename(&mut self, tree: &Known) -> Operation {
        let replace = self.of(&[Replace::Yes, Replace::Yes, Replace::Yes, Replace::No, Replace::Exchange]);
        let to = match replace {
            Replace::Exchange => self.anything(tree),
            _ if self.one_in(2) => self.fresh(tree),
            _ => self.anything(tree),
        };
        Operation::Rename { from: self.anything(tree), to, replace }
    }
}

/// Whether `path` is `top` or below it.
fn is_within(path: &Text, top: &Text) -> bool {
    path.as_bytes().strip_prefix(top.as_bytes()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// The paths there are, by kind.
struct Known {
    all: Vec<Text>,
    files: Vec<Text>,
    others: Vec<Text>,
    directories: Vec<Text>,
    empty: Vec<Text>,
    slots: Vec<Slot>,
}

impl Known {
    fn of(machine: &Machine) -> Known {
        let mut known = Known {
            all: Vec::new(),
            files: Vec::new(),
            others: Vec::new(),
            directories: Vec::new(),
            empty: Vec::new(),
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
