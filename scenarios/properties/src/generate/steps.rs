//! The steps that are drawn one by one.

use layerlab_model::acl::{Acl, Entry, Who};
use layerlab_model::inode::{Node, Time};
use layerlab_model::operation::{Access, Allocate, Before, Fill, Flags, List, Operation, Replace, Target};
use layerlab_model::process::OTHER_ID;
use layerlab_model::text::Text;

use super::Generator;
use super::paths::Known;

const LETTERS: [char; 6] = ['u', 'v', 'w', 'x', 'y', 'z'];
const XATTRS: [&str; 4] = ["user.one", "user.two", "trusted.three", "security.capability"];
/// `cap_net_bind_service=ep` (`struct vfs_cap_data`, revision 2).
pub(super) const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

impl Generator {
    pub(super) fn id(&mut self) -> u32 {
        if self.has_other_user { self.of(&[0, OTHER_ID]) } else { 0 }
    }

    pub(super) fn mode(&mut self) -> u32 {
        self.of(&[0o644, 0o600, 0o755, 0o777, 0o700, 0o4755, 0o2755, 0o2745, 0o1777, 0o444, 0o6711, 0o222, 0, 0o2777])
    }

    pub(super) fn create_mode(&mut self) -> u32 {
        self.of(&[0o644, 0o666, 0o755, 0o777, 0o600, 0o400])
    }

    fn xattr(&mut self) -> Text {
        match self.below(24) {
            0 => Text::from("odd.name"),
            1 => Text([&b"user."[..], &[b'n'; 251]].concat()),
            // All but the private prefix of overlayfs, which ends in a dot.
            2 => Text::from("trusted.overlayed"),
            _ => Text::from(self.of(&XATTRS)),
        }
    }

    /// Most often a list that can be set; now and then none, or one that lacks a line.
    fn acl(&mut self) -> Acl {
        let mut entries = Vec::new();
        let named = self.below(8);
        for who in [Who::Owner, Who::User(self.id()), Who::Group, Who::InGroup(self.id()), Who::Mask, Who::Others] {
            let is_there = match who {
                Who::User(_) => named & 1 != 0,
                Who::InGroup(_) => named & 2 != 0,
                Who::Mask => named != 0,
                _ => true,
            };
            if is_there != self.one_in(60) {
                entries.push(Entry { who, may: self.of(&[7, 7, 6, 5, 4, 2, 0]) });
            }
        }
        if self.one_in(12) { Acl::default() } else { Acl(entries) }
    }

    pub(super) fn length(&mut self) -> u32 {
        self.of(&[0, 1, 5, 100, 4095, 4096, 4097, 9000])
    }

    pub(super) fn fill(&mut self) -> Fill {
        let length = self.of(&[1, 3, 10, 4096, 5000]);
        Fill { letter: self.of(&LETTERS), length }
    }

    pub(super) fn access(&mut self) -> Access {
        match self.one_in(24) {
            true => Access::Neither,
            false => self.of(&[Access::Read, Access::Write, Access::ReadWrite]),
        }
    }

    /// What files are opened with to be made or not.
    fn flags(&mut self) -> Flags {
        Flags {
            no_follow: self.one_in(6),
            no_access_time: self.one_in(16),
            sync: self.one_in(16),
            data_sync: self.one_in(16),
            direct: self.one_in(16),
            ..Flags::of(self.access())
        }
    }

    pub(super) fn contents(&mut self, tree: &Known) -> Operation {
        let slot = self.slot(tree);
        // Most of what follows needs an open file.
        let kinds = if tree.slots.is_empty() && !self.one_in(6) { 7 } else { 24 };
        match self.below(kinds) {
            0..=3 => {
                let flags = Flags {
                    create: true,
                    exclusive: self.one_in(4),
                    truncate: self.one_in(4),
                    append: self.one_in(6),
                    directory: self.one_in(40),
                    path_only: self.one_in(60),
                    ..self.flags()
                };
                let path = if self.one_in(3) { self.there(tree) } else { self.fresh(tree) };
                Operation::Open { slot: self.any_slot(), path, flags, mode: self.create_mode() }
            }
            4..=6 => {
                let flags = Flags {
                    exclusive: self.one_in(20),
                    truncate: self.one_in(5),
                    append: self.one_in(6),
                    directory: self.one_in(10),
                    path_only: self.one_in(12),
                    ..self.flags()
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

    pub(super) fn attributes(&mut self, tree: &Known) -> Operation {
        let target = self.target(tree);
        match self.below(14) {
            0..=2 => Operation::Chmod { target, mode: self.mode() },
            3 | 4 => Operation::Chown { target, uid: self.id(), gid: self.id() },
            5 | 6 => {
                let seconds = self.of(&[0, 1, 1_000_000_000, 1_700_000_000, -1, -100_000, 4_000_000_000]);
                let time = Time { seconds, nanoseconds: self.of(&[0, 1, 999_999_999]) };
                match self.below(8) {
                    0 => Operation::Touch { target },
                    1 | 2 => Operation::SetLinkTime { path: self.there(tree), time },
                    _ => Operation::SetTime { target, time },
                }
            }
            7 | 8 => {
                let name = self.xattr();
                let value = match name.as_bytes() {
                    b"security.capability" => Text(CAPABILITY.to_vec()),
                    _ => Text(vec![self.of(&LETTERS) as u8; self.of(&[0, 1, 40])]),
                };
                let before = self.of(&[Before::Any, Before::Any, Before::Absent, Before::Present]);
                match self.one_in(8) {
                    true => Operation::SetLinkXattr { path: self.there(tree), name, value, before },
                    false => Operation::SetXattr { target, name, value, before },
                }
            }
            9 => match self.of(&tree.xattrs.iter().map(Some).chain([None]).collect::<Vec<_>>()) {
                Some((path, name)) => Operation::RemoveXattr { target: Target::Path(path.clone()), name: name.clone() },
                None => Operation::RemoveXattr { target, name: self.xattr() },
            },
            10 => {
                let list = self.of(&[List::Access, List::Default]);
                match self.below(8) {
                    0 => {
                        let value = Text(self.of(&[vec![], vec![2, 0, 0, 0, 9], vec![3, 0, 0, 0]]));
                        Operation::SetXattr { target, name: Text::from(list.xattr()), value, before: Before::Present }
                    }
                    _ => Operation::RemoveXattr { target, name: Text::from(list.xattr()) },
                }
            }
            11 => {
                let target = Target::Path(self.directory(tree));
                Operation::SetAcl { target, list: List::Default, acl: self.acl() }
            }
            _ => Operation::SetAcl { target, list: List::Access, acl: self.acl() },
        }
    }

    pub(super) fn names(&mut self, tree: &Known) -> Operation {
        match self.below(20) {
            0 if self.one_in(3) => Operation::MknodFile { path: self.fresh(tree), mode: self.create_mode() },
            0..=4 => {
                let path = if self.one_in(6) { self.there(tree) } else { self.fresh(tree) };
                Operation::Mkdir { path, mode: self.of(&[0o755, 0o777, 0o700, 0o1777, 0o2755]) }
            }
            5 => {
                let node = self.of(&[
                    Node::Fifo,
                    Node::Socket,
                    Node::Character { major: 240, minor: 7 },
                    Node::Character { major: 0, minor: 0 },
                    // More than a byte holds.
                    Node::Block { major: 240, minor: 70_000 },
                ]);
                Operation::Mknod { path: self.fresh(tree), node, mode: self.create_mode() }
            }
            6 | 7 => {
                let content = match self.below(6) {
                    0 if self.one_in(6) => Text(self.of(&[Vec::new(), vec![b'n'; 4096]])),
                    0 => self.name(),
                    1 => Text::from("../a"),
                    2 => Text::from(".."),
                    3 => self.anything(tree).join(&Text::default()),
                    _ => self.anything(tree),
                };
                Operation::Symlink { content, path: self.fresh(tree) }
            }
            8..=10 => Operation::Link { from: self.there(tree), to: self.fresh(tree) },
            11 => Operation::LinkSlot { slot: self.slot(tree), to: self.fresh(tree) },
            12..=15 => Operation::Unlink { path: self.there(tree) },
            16 | 17 if !tree.empty.is_empty() && !self.one_in(4) => Operation::Rmdir { path: self.of(&tree.empty) },
            16 | 17 => Operation::Rmdir { path: self.anything(tree) },
            18 => Operation::ReadLink { path: self.there(tree) },
            _ => Operation::List { path: self.directory(tree) },
        }
    }

    pub(super) fn race(&mut self, tree: &Known) -> Operation {
        let letters = Text::from(self.of(&["u", "vw", "xyz"]));
        let mode = if self.one_in(3) { Some(self.of(&[0o644, 0o600, 0o777, 0o755])) } else { None };
        Operation::Race { path: self.file(tree), letters, mode }
    }

    pub(super) fn replace(&mut self) -> Replace {
        self.of(&[Replace::Yes, Replace::Yes, Replace::Yes, Replace::No, Replace::Exchange])
    }

    pub(super) fn rename(&mut self, tree: &Known) -> Operation {
        let replace = self.replace();
        let to = match replace {
            Replace::Exchange => self.anything(tree),
            _ if self.one_in(2) => self.fresh(tree),
            _ => self.anything(tree),
        };
        Operation::Rename { from: self.anything(tree), to, replace }
    }
}
