//! Steps that belong together, of which random ones would seldom come one after another.

use layerlab_model::inode::{Body, Inode, Node, Stamp, Time};
use layerlab_model::operation::{Access, Before, Fill, Flags, Operation, Slot, Target};
use layerlab_model::process::Machine;
use layerlab_model::text::Text;

use super::paths::Known;
use super::steps::CAPABILITY;
use super::{Generator, NEW};

/// The most paths that are replaced at once.
const REPLACED_MAX: usize = 5;
/// How often a name gets something of another type.
const TYPES: usize = 3;

impl Generator {
    /// Decides the next steps.
    pub(super) fn plan(&mut self, machine: &Machine, tree: &Known) {
        let steps = match self.below(14) {
            0 => self.rewritten(machine, tree),
            1 => self.linked(tree),
            2 => self.of_many_types(tree),
            3 => self.open_and_gone(tree),
            4 => self.open_twice(tree),
            5 | 6 => self.copied_up(tree),
            7 => self.away_and_again(tree),
            8 => self.onto_a_name_that_is_gone(tree),
            9 => self.as_it_was(tree),
            10 => self.twins(tree),
            _ => self.replaced(tree),
        };
        self.planned.extend(steps);
    }

    /// A new layer, now and then.
    fn maybe_commit(&mut self, steps: &mut Vec<Operation>) {
        if self.one_in(2) {
            steps.push(Operation::Commit);
        }
    }

    /// Something with all that is in it makes room for something else of the same name: what lies below must not come back.
    fn replaced(&mut self, tree: &Known) -> Vec<Operation> {
        let top = self.of(&tree.all);
        let mut all: Vec<&Text> = tree.all.iter().filter(|path| is_within(path, &top)).collect();
        if top.as_bytes() == b"/" || all.len() > REPLACED_MAX {
            return Vec::new();
        }
        // Deepest first.
        all.sort();
        let gone = |path: &Text| match tree.others.contains(path) {
            true => Operation::Unlink { path: path.clone() },
            false => Operation::Rmdir { path: path.clone() },
        };
        let mut steps: Vec<Operation> = all.into_iter().rev().map(gone).collect();
        steps.push(match self.below(4) {
            0 => Operation::Open { slot: self.any_slot(), path: top, flags: NEW, mode: self.create_mode() },
            1 => Operation::Symlink { content: Text::from("a"), path: top },
            _ => Operation::Mkdir { path: top, mode: 0o755 },
        });
        self.maybe_commit(&mut steps);
        steps
    }

    /// As many bytes as were there are written over them, and the time is put back: neither size nor time say that anything changed.
    fn rewritten(&mut self, machine: &Machine, tree: &Known) -> Vec<Operation> {
        if tree.files.is_empty() {
            return Vec::new();
        }
        let path = self.of(&tree.files);
        let Some(Inode { meta, body: Body::File(content), .. }) = inode(machine, &path) else { return Vec::new() };
        let target = Target::Path(path.clone());
        let mut steps = Vec::new();
        let time = match meta.mtime {
            Stamp::Set(time) => time,
            Stamp::Clock(_) => {
                let time = Time { seconds: 1_000_000_000, nanoseconds: 1 };
                steps.push(Operation::SetTime { target: target.clone(), time });
                time
            }
        };
        self.maybe_commit(&mut steps);
        let slot = self.any_slot();
        let flags = Flags { create: false, exclusive: false, ..NEW };
        let letter = if content.first() == Some(&b'A') { 'B' } else { 'A' };
        steps.extend([
            Operation::Open { slot, path, flags, mode: 0 },
            Operation::Write { slot, offset: 0, fill: Fill { letter, length: content.len() as u32 } },
            Operation::SetTime { target, time },
        ]);
        self.maybe_commit(&mut steps);
        steps
    }

    /// A file with three names or four in a lower layer, each of which is then used in a way of its own.
    fn linked(&mut self, tree: &Known) -> Vec<Operation> {
        let first = self.fresh(tree);
        let mut steps = vec![Operation::Open { slot: self.any_slot(), path: first.clone(), flags: NEW, mode: 0o644 }];
        let mut names = vec![first.clone()];
        for _ in 0..=self.below(2) + 1 {
            let to = self.fresh(tree);
            steps.push(Operation::Link { from: first.clone(), to: to.clone() });
            names.push(to);
        }
        steps.push(Operation::Commit);
        for path in names {
            let target = Target::Path(path.clone());
            steps.push(match self.below(6) {
                0 => Operation::Chmod { target, mode: self.mode() },
                1 => Operation::Truncate { target, length: self.length() },
                2 => Operation::Link { from: path, to: self.fresh(tree) },
                3 => Operation::Rename { from: path, to: self.fresh(tree), replace: self.replace() },
                4 => Operation::Unlink { path },
                _ => Operation::Read { slot: self.any_slot(), offset: 0, length: 1 },
            });
        }
        self.maybe_commit(&mut steps);
        steps
    }

    /// One name that is something else in each of three layers.
    fn of_many_types(&mut self, tree: &Known) -> Vec<Operation> {
        let path = self.fresh(tree);
        let within = path.join(&Text::from("a"));
        let mut kinds = vec![0, 1, 2, 3];
        let mut steps = Vec::new();
        for _ in 0..TYPES {
            let path = path.clone();
            let (make, unmake) = match kinds.swap_remove(self.below(kinds.len() as u32) as usize) {
                0 => {
                    let slot = self.any_slot();
                    let make = Operation::Open { slot, path: path.clone(), flags: NEW, mode: self.create_mode() };
                    (vec![make], vec![Operation::Unlink { path }])
                }
                1 => (
                    vec![
                        Operation::Mkdir { path: path.clone(), mode: 0o755 },
                        Operation::Mkdir { path: within.clone(), mode: 0o700 },
                    ],
                    vec![Operation::Rmdir { path: within.clone() }, Operation::Rmdir { path }],
                ),
                2 => {
                    let content = self.anything(tree);
                    (vec![Operation::Symlink { content, path: path.clone() }], vec![Operation::Unlink { path }])
                }
                _ => {
                    let make = Operation::Mknod { path: path.clone(), node: Node::Fifo, mode: self.create_mode() };
                    (vec![make], vec![Operation::Unlink { path }])
                }
            };
            steps.extend(make);
            steps.push(Operation::Commit);
            steps.extend(unmake);
        }
        // The last one stays.
        while steps.last().is_some_and(|step| *step != Operation::Commit) {
            steps.pop();
        }
        steps
    }

    /// Something with rare attributes is in a lower layer, and each way to bring it up is tried.
    fn copied_up(&mut self, tree: &Known) -> Vec<Operation> {
        let path = self.fresh(tree);
        let target = Target::Path(path.clone());
        let mode = self.of(&[0o4755, 0o2755, 0o1777, 0o6711, 0o400]);
        let make = match self.below(3) {
            0 => Operation::Mkdir { path: path.clone(), mode: 0o755 },
            _ => Operation::Open { slot: self.any_slot(), path: path.clone(), flags: NEW, mode: 0o644 },
        };
        let time = Time { seconds: 1_000_000_000, nanoseconds: 1 };
        let (name, value) = match self.one_in(2) {
            true => (Text::from("security.capability"), Text(CAPABILITY.to_vec())),
            false => (Text::from("trusted.three"), Text::from("v")),
        };
        let mut rare = [
            Operation::Chown { target: target.clone(), uid: self.id(), gid: self.id() },
            Operation::Chmod { target: target.clone(), mode },
            Operation::SetXattr { target: target.clone(), name, value, before: Before::Any },
            Operation::SetTime { target: target.clone(), time },
        ]
        .to_vec();
        // A mode is set after an owner, who takes bits of it away.
        rare.retain(|_| !self.one_in(3));
        let bring = match self.below(8) {
            0 => Operation::Chmod { target, mode: self.mode() },
            1 => Operation::Chown { target, uid: self.id(), gid: self.id() },
            2 => Operation::SetTime { target, time: Time { seconds: 1, nanoseconds: 0 } },
            3 => Operation::Touch { target },
            4 => {
                let (name, value) = (Text::from("trusted.one"), Text::from("v"));
                Operation::SetXattr { target, name, value, before: Before::Any }
            }
            5 => Operation::Link { from: path, to: self.fresh(tree) },
            6 => Operation::Truncate { target, length: self.length() },
            _ => Operation::Rename { from: path, to: self.fresh(tree), replace: self.replace() },
        };
        [vec![make], rare, vec![Operation::Commit, bring]].concat()
    }

    /// A directory of a lower layer goes away, and what had its names is made anew: nothing of it may show.
    fn away_and_again(&mut self, tree: &Known) -> Vec<Operation> {
        let top = self.fresh(tree);
        let within = top.join(&Text::from("a"));
        let deep = within.join(&Text::from("b"));
        let mkdir = |path: &Text| Operation::Mkdir { path: path.clone(), mode: 0o755 };
        let slot = self.any_slot();
        let mut steps = vec![
            mkdir(&top),
            mkdir(&within),
            Operation::Open { slot, path: deep.clone(), flags: NEW, mode: 0o644 },
            Operation::Commit,
        ];
        match self.below(3) {
            0 => steps.extend([
                Operation::Unlink { path: deep },
                Operation::Rmdir { path: within.clone() },
                Operation::Rmdir { path: top.clone() },
            ]),
            _ => steps.push(Operation::Rename { from: top.clone(), to: self.fresh(tree), replace: self.replace() }),
        }
        self.maybe_commit(&mut steps);
        steps.extend([mkdir(&top), mkdir(&within)]);
        self.maybe_commit(&mut steps);
        steps
    }

    /// A file that one layer has, the next has not, and the one after that has again, alike in everything.
    fn as_it_was(&mut self, tree: &Known) -> Vec<Operation> {
        let (path, slot, mode) = (self.fresh(tree), self.any_slot(), self.create_mode());
        let time = Time { seconds: 1_000_000_000, nanoseconds: 0 };
        let make = [
            Operation::Open { slot, path: path.clone(), flags: NEW, mode },
            Operation::SetTime { target: Target::Path(path.clone()), time },
            Operation::Commit,
        ];
        let gone = [Operation::Unlink { path }, Operation::Commit];
        [&make[..], &gone, &make].concat()
    }

    /// Two files that hold the same, and are otherwise in everything else.
    fn twins(&mut self, tree: &Known) -> Vec<Operation> {
        let (fill, slot) = (self.fill(), self.any_slot());
        let mut steps = Vec::new();
        for mode in [0o600, 0o4755] {
            let path = self.fresh(tree);
            steps.extend([
                Operation::Open { slot, path: path.clone(), flags: NEW, mode },
                Operation::Write { slot, offset: 0, fill },
                Operation::Chmod { target: Target::Path(path), mode },
            ]);
        }
        steps.push(Operation::Commit);
        steps
    }

    /// What a lower layer has is moved to a name that was deleted, and the mount's memory is lost.
    fn onto_a_name_that_is_gone(&mut self, tree: &Known) -> Vec<Operation> {
        let (from, to) = (self.fresh(tree), self.fresh(tree));
        let (first, second) = (self.any_slot(), self.any_slot());
        // Where nothing is mounted, a new layer is all that there is.
        let forgotten = if self.weights.remount > 0 { Operation::Remount } else { Operation::Commit };
        vec![
            Operation::Open { slot: first, path: from.clone(), flags: NEW, mode: 0o644 },
            Operation::Open { slot: second, path: to.clone(), flags: NEW, mode: 0o644 },
            Operation::Commit,
            Operation::Unlink { path: to.clone() },
            Operation::Rename { from, to, replace: self.replace() },
            forgotten,
        ]
    }

    /// A file that is open to be read, and is then changed by another who opens it: the first sees that.
    fn open_twice(&mut self, tree: &Known) -> Vec<Operation> {
        if tree.files.is_empty() {
            return Vec::new();
        }
        let path = self.of(&tree.files);
        let opened = Flags { create: false, exclusive: false, ..NEW };
        let mut steps = Vec::new();
        self.maybe_commit(&mut steps);
        for (slot, access) in [(0, Access::Read), (1, Access::ReadWrite)] {
            steps.push(Operation::Open { slot, path: path.clone(), flags: Flags { access, ..opened }, mode: 0 });
        }
        let written = match self.below(3) {
            0 => self.used(1, tree),
            1 => Operation::Truncate { target: Target::Slot(1), length: self.length() },
            _ => Operation::Write { slot: 1, offset: 0, fill: self.fill() },
        };
        steps.extend([written, Operation::Read { slot: 0, offset: 0, length: 9000 }]);
        steps.extend([self.used(0, tree), Operation::Read { slot: 1, offset: 0, length: 9000 }]);
        steps
    }

    /// Something that is open and has lost its name, and perhaps its directory, and is used all the same.
    fn open_and_gone(&mut self, tree: &Known) -> Vec<Operation> {
        let (slot, is_directory) = (self.any_slot(), self.one_in(2));
        let parent = self.fresh(tree);
        let path = parent.join(&Text::from("a"));
        let opened = Flags { access: Access::Read, create: false, exclusive: false, ..NEW };
        let mut steps = vec![Operation::Mkdir { path: parent.clone(), mode: 0o755 }];
        steps.push(match is_directory {
            true => Operation::Mkdir { path: path.clone(), mode: 0o755 },
            false => Operation::Open { slot, path: path.clone(), flags: NEW, mode: 0o644 },
        });
        steps.push(Operation::Commit);
        steps.push(Operation::Open { slot, path: path.clone(), flags: opened, mode: 0 });
        steps.push(match is_directory {
            true => Operation::Rmdir { path },
            false => Operation::Unlink { path },
        });
        if self.one_in(2) {
            steps.push(Operation::Rmdir { path: parent });
        }
        for _ in 0..2 {
            steps.push(self.used(slot, tree));
        }
        steps
    }

    fn used(&mut self, slot: Slot, tree: &Known) -> Operation {
        let target = Target::Slot(slot);
        match self.below(10) {
            0 => Operation::Chmod { target, mode: self.mode() },
            1 => Operation::Chown { target, uid: self.id(), gid: self.id() },
            2 => Operation::SetTime { target, time: Time { seconds: 1, nanoseconds: 0 } },
            3 => {
                let (name, value) = (Text::from("user.one"), Text::from("v"));
                Operation::SetXattr { target, name, value, before: Before::Any }
            }
            4 => Operation::LinkSlot { slot, to: self.fresh(tree) },
            5 => Operation::Write { slot, offset: self.length(), fill: self.fill() },
            6 => Operation::MapWrite { slot, offset: 0, fill: Fill { letter: 'm', length: 1 } },
            7 => Operation::Truncate { target, length: self.length() },
            8 => Operation::Read { slot, offset: 0, length: self.length().max(1) },
            _ => Operation::RemoveXattr { target, name: Text::from("user.one") },
        }
    }
}

/// Whether `path` is `top` or below it.
fn is_within(path: &Text, top: &Text) -> bool {
    path.as_bytes().strip_prefix(top.as_bytes()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// What is at `path`, which leads through no link.
fn inode<'a>(machine: &'a Machine, path: &Text) -> Option<&'a Inode> {
    let names = path.as_bytes().split(|byte| *byte == b'/').filter(|name| !name.is_empty()).map(Text::from);
    let seen = machine.union().at(&names.collect::<Vec<_>>())?;
    Some(machine.union().inode(seen.top()))
}
