//! What is lost at a station, and nothing else: each loss with its reason.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use layerlab_engine::driver::{Deviation, Known};

use super::node::{Kind, Node, Tree};
use super::packed::Entry;

/// Whose losses they are.
#[derive(Clone, Copy)]
pub struct Losses {
    pub is_dockerd: bool,
    pub known: &'static Known,
    /// Root's overlays have their attributes elsewhere than those of others.
    pub is_root: bool,
}

impl Losses {
    /// The tree that layers make when they are unpacked.
    pub fn at_unpacking(&self, layers: &[Vec<Entry>]) -> Tree {
        let mut tree = Tree::default();
        layers.iter().flatten().for_each(|entry| entry.apply(&mut tree));
        for name in tree.names() {
            let node = tree.change(&name);
            // A device 0:0 in a layer is how an overlay says that a name is gone (kernel, `overlayfs.rst`, "whiteouts").
            if node.kind == Kind::Char(0, 0) && self.known.deviates(Deviation::NullDevicesHide) {
                tree.remove(&name);
                continue;
            }
            self.overlays_own(node);
            if self.is_dockerd {
                clamp(node);
                // A record without a value is none (`mergePAX` of Go's archive/tar).
                node.xattrs.retain(|_, value| !value.is_empty());
            }
        }
        if self.is_dockerd {
            hand_down(&mut tree);
        }
        tree
    }

    /// What has the name of an overlay's own attribute. We keep it under an escaped name where it would be read (`engine/src/layer/whiteout.rs`),
    /// which kernels before 6.7 do not show (`ovl_is_escaped_xattr` in `fs/overlayfs/xattrs.c`); the program fuse-overlayfs knows no escape. dockerd takes all as they
    /// are, and overlayfs shows none of its own.
    fn overlays_own(&self, node: &mut Node) {
        let is_programs = self.known.deviates(Deviation::NoOverlayXattrs);
        let (trusted, user) = match () {
            () if self.known.deviates(Deviation::MountsNothing) => (false, false),
            () if is_programs => (true, true),
            () => (self.is_root, !self.is_root),
        };
        let is_read = |name: &str| {
            (trusted && name.starts_with("trusted.overlay.")) || (user && name.starts_with("user.overlay."))
        };
        let is_escaped = !self.is_dockerd && !is_programs && super::shows_escaped_xattrs();
        node.xattrs.retain(|name, _| is_escaped || !is_read(name));
    }

    /// The tree of an image that was committed: what is in its new layer went through a tar such as dockerd 20.10 writes.
    pub fn at_commit(&self, tree: &Tree, names: &BTreeSet<PathBuf>) -> Tree {
        let mut tree = tree.clone();
        let present: Vec<PathBuf> = names.iter().filter(|name| tree.get(name).is_some()).cloned().collect();
        for name in present {
            // A file of such a name is a whiteout in a layer, whoever made it (`archive.UnpackLayer` of dockerd).
            let last = name.file_name().unwrap_or_default().as_bytes();
            if let Some(hidden) = last.strip_prefix(b".wh.") {
                tree.remove(&name.with_file_name(OsStr::from_bytes(hidden)));
                tree.remove(&name);
                continue;
            }
            let node = tree.change(&name);
            // No tar can hold a socket (`archive.ErrSocket…`: "archive/tar: sockets not supported").
            if node.kind == Kind::Socket {
                tree.remove(&name);
                continue;
            }
            // `archive.FileInfoHeader`: whole seconds; of xattrs security.capability alone (`ReadSecurityXattrToTarHeader`).
            node.time.1 = 0;
            node.xattrs.retain(|name, _| name == "security.capability");
            // Files are written in full.
            if let Kind::File(content) = &mut node.kind {
                content.has_holes = false;
            }
            if self.is_dockerd {
                clamp(node);
            }
        }
        tree
    }
}

/// What lies before 1970 or after 2262 dockerd sets to 1970 (`system.Chtimes`), the time of a symbolic link it counts in nanoseconds, for which 64
/// bits do not do (`system.LUtimesNano`); we keep both.
fn clamp(node: &mut Node) {
    const SECOND: i64 = 1_000_000_000;
    let last = (i64::MAX / SECOND, 854_775_807);
    if matches!(node.kind, Kind::Symlink(_)) {
        let count = node.time.0.wrapping_mul(SECOND).wrapping_add(i64::from(node.time.1));
        node.time = (count.div_euclid(SECOND), u32::try_from(count.rem_euclid(SECOND)).unwrap());
    } else if !((0, 0)..=last).contains(&node.time) {
        node.time = (0, 0);
    }
}

/// dockerd gives a directory its default access control list before it makes what is in it, which so gets one too (acl(5)); we do not.
fn hand_down(tree: &mut Tree) {
    for name in tree.names() {
        let list = name.parent().and_then(|parent| tree.get(parent)?.xattrs.get("system.posix_acl_default").cloned());
        let Some(mut list) = list else { continue };
        let node = tree.change(&name);
        // Of the entries those of the owner, the mask and all others follow the mode.
        let class = |shift: u32| u8::try_from(node.mode >> shift & 7).unwrap();
        for entry in list[4..].chunks_exact_mut(8) {
            match entry[0] {
                1 => entry[2] = class(6),
                16 => entry[2] = class(3),
                32 => entry[2] = class(0),
                _ => {}
            }
        }
        node.xattrs.entry("system.posix_acl_access".into()).or_insert(list);
    }
}
