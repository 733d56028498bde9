//! Draws layers: few names, so that entries meet, in any order and spelling.

use std::collections::BTreeMap;

use layerlab_model::inode::{Node, Time};
use layerlab_model::received::{Entry, Kind, Meta};
use layerlab_model::text::Text;
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::write::Form;
use super::{CANARY, Part};

const LAYERS_MAX: usize = 3;
const ENTRIES_MAX: usize = 7;
/// Bytes below `/` sort before it, which walks of two trees at once must mind.
const NAMES: [&str; 7] = ["a", "b", "c", "d", "a-b", "a.b", "b c"];
const MODES: [u32; 8] = [0o644, 0o755, 0o700, 0o4755, 0o2755, 0o1777, 0o6711, 0o000];
const IDS: [u32; 7] = [0, 1, 1000, 65_534, 65_536, 2_097_152, u32::MAX - 1];
const TIMES: [(i64, u32); 6] =
    [(0, 0), (1, 500_000_000), (1_000_000_000, 0), (1_500_000_000, 999_999_999), (-1, 250_000_000), (9_000_000_000, 1)];
const NUMBERS: [(u32, u32); 4] = [(1, 3), (1, 255), (7, 256), (511, 1_048_575)];
/// `cap_net_bind_service=ep` (`struct vfs_cap_data`, revision 2).
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// A name that no header of a tar as it first was has room for.
const LONG: usize = 200;
const PADDINGS: [u16; 4] = [0, 0, 1, 20];

struct Draw {
    random: TestRng,
}

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.random.next_u32() as usize % bound
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    /// One time in so many.
    fn seldom(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn name(&mut self) -> String {
        if self.seldom(40) { "n".repeat(LONG) } else { self.one(&NAMES).to_owned() }
    }

    fn path(&mut self) -> String {
        let depth = 1 + self.below(3);
        (0..depth).map(|_| self.name()).collect::<Vec<_>>().join("/")
    }

    fn meta(&mut self, is_linked: bool, is_file: bool) -> Meta {
        let (seconds, nanoseconds) = self.one(&TIMES);
        let mut xattrs = BTreeMap::new();
        // A user's attributes are refused to links and nodes (xattr(7)).
        if !is_linked && self.seldom(3) {
            xattrs.insert(Text::from("trusted.one"), self.one(&[b"".to_vec(), b"value".to_vec()]));
            if self.seldom(2) {
                xattrs.insert(Text::from("trusted.two"), b"\0\xff=\n".to_vec());
            }
            if is_file && self.seldom(2) {
                xattrs.insert(Text::from("security.capability"), CAPABILITY.to_vec());
            }
        }
        Meta {
            mode: self.one(&MODES),
            uid: self.one(&IDS),
            gid: self.one(&IDS),
            mtime: Time { seconds, nanoseconds },
            xattrs,
        }
    }

    /// An entry; `before` are the names of the layer's own files so far, `below` those of the layers that it lies on.
    fn entry(&mut self, before: &[String], below: &[String]) -> Entry {
        let mut path = if below.is_empty() || !self.seldom(3) { self.path() } else { self.one(below) };
        let kind = match self.below(16) {
            0..5 => {
                let length = self.one(&[0, 1, 3, 600]);
                Kind::File(vec![self.one(b"xyz"); length])
            }
            5..9 => Kind::Directory,
            9 => Kind::Symlink(Text::from(&self.target()[..])),
            10 if !before.is_empty() => {
                let target = self.one(before);
                let target =
                    self.one(&[target.clone(), format!("./{target}"), format!("/{target}"), format!("a/../{target}")]);
                Kind::Link(Text::from(&target[..]))
            }
            11 => {
                let (major, minor) = self.one(&NUMBERS);
                Kind::Node(self.one(&[Node::Fifo, Node::Character { major, minor }, Node::Block { major, minor }]))
            }
            12..15 => {
                // Now and then what the layer has itself.
                if !before.is_empty() && self.seldom(3) {
                    path = self.one(before);
                }
                let (directory, name) = path.rsplit_once('/').unwrap_or(("", &path));
                let hidden = if self.seldom(4) { ".wh..wh..opq".to_owned() } else { format!(".wh.{name}") };
                path = if directory.is_empty() { hidden } else { format!("{directory}/{hidden}") };
                Kind::File(Vec::new())
            }
            _ => {
                // What means harm, or nothing.
                path = self.one(&[
                    "./".to_owned(),
                    format!("../{path}"),
                    format!("{path}/../../../../../x"),
                    format!("/{path}"),
                    ".wh.".to_owned(),
                    ".wh..wh.plnk/1.2".to_owned(),
                    format!("{}/file", String::from_utf8_lossy(&CANARY[1..])),
                ]);
                if self.seldom(2) { Kind::Directory } else { Kind::File(b"harm".to_vec()) }
            }
        };
        path = match self.below(8) {
            0 => format!("./{path}"),
            1 if kind == Kind::Directory => format!("{path}/"),
            _ => path,
        };
        let is_linked = matches!(kind, Kind::Symlink(_) | Kind::Link(_));
        let is_file = matches!(kind, Kind::File(_));
        Entry { name: Text::from(&path[..]), meta: self.meta(is_linked, is_file), kind }
    }

    fn target(&mut self) -> String {
        let path = self.path();
        let canary = String::from_utf8_lossy(CANARY).into_owned();
        self.one(&[
            path.clone(),
            format!("/{path}"),
            format!("../{path}"),
            canary.clone(),
            format!("{canary}/directory"),
            format!("../../../../../../../../..{canary}"),
        ])
    }
}

/// The case of `seed`.
pub fn drawn(seed: u64) -> Vec<Part> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut draw = Draw { random: TestRng::from_seed(RngAlgorithm::ChaCha, &bytes) };
    let (mut parts, mut below) = (Vec::new(), Vec::new());
    for _ in 0..=draw.below(LAYERS_MAX) {
        let (mut before, mut spelt, mut named) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..=draw.below(ENTRIES_MAX) {
            let entry = draw.entry(&before, &below);
            let name = entry.name.to_string();
            let plain = name.trim_start_matches("./").trim_end_matches('/').to_owned();
            // Two of one name are refused, which needs no more than a case now and then.
            if spelt.contains(&plain) && !draw.seldom(10) {
                continue;
            }
            spelt.push(plain.clone());
            if !plain.contains(".wh.") && !plain.contains("..") {
                named.push(plain.trim_start_matches('/').to_owned());
            }
            if !matches!(entry.kind, Kind::Directory | Kind::Link(_)) && !plain.contains(".wh.") {
                before.push(plain);
            }
            parts.push(Part::Entry(entry));
        }
        below.extend(named);
        parts.push(Part::End(Form { gnu: draw.seldom(2), padding: draw.one(&PADDINGS) }));
    }
    parts
}
