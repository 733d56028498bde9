//! What is sent on the journey: two layers of an image with everything that a file can have, and what a container changes of it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::made::Act;
use super::node::{Content, Kind, Node};
use super::packed::Entry;

/// What the traveller may do, and what its storage driver bears.
#[derive(Debug, Clone, Copy)]
pub struct Ability {
    /// Root of the machine makes devices and gives xattrs of the system's.
    pub is_root: bool,
    /// There are other users than the caller.
    pub has_owners: bool,
    /// A file of more than 4 GiB takes no more room than what is in it, and says where that is: dockerd writes holes as zeros, fuse-overlayfs
    /// reads them so.
    pub keeps_holes: bool,
    /// It is the kernel that does what is asked. The program fuse-overlayfs (1.10) wants to be able to make a file `.wh.NAME` of each name, and
    /// bears no other such file; the xattr of a link it gives to what the link points to; what it copies up loses the bits that give a user or
    /// a group, a link its time; and one name less of a file touches the directories of its others.
    pub is_kernels: bool,
    /// A file can have xattrs of the names that an overlay's have: the program fuse-overlayfs takes them for its own.
    pub keeps_overlay_xattrs: bool,
    /// An image can be saved whose whiteout has something in it: dockerd 20.10 looks for a file of that name.
    pub fills_whiteouts: bool,
}

/// Below this directory is all that is looked at.
pub const TOP: &str = "j";

/// `cap_net_raw+ep` of revision 2 (linux/capability.h, `struct vfs_cap_data`).
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// `user::rw-, user:UID:r--, group::r--, mask::rw-, other::---` (linux/posix_acl_xattr.h): its mode is 0660.
fn access_list(uid: u32) -> Vec<u8> {
    let mut list = vec![2, 0, 0, 0];
    for (tag, permissions, id) in
        [(1u16, 6u16, u32::MAX), (2, 4, uid), (4, 4, u32::MAX), (16, 6, u32::MAX), (32, 0, u32::MAX)]
    {
        list.extend(tag.to_le_bytes());
        list.extend(permissions.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    list
}

/// A file of each kind, with all attributes; those that come first in an order of names are the first names of what has several.
struct Kinds(Vec<(PathBuf, Thing)>);

enum Thing {
    Node(Node),
    Link(PathBuf),
}

impl Kinds {
    fn add(&mut self, name: impl AsRef<OsStr>, node: Node) {
        self.0.push((name.as_ref().into(), Thing::Node(node)));
    }

    fn link(&mut self, name: &str, of: &str) {
        self.0.push((name.into(), Thing::Link(of.into())));
    }
}

/// Those of the image, or those that a container makes.
fn kinds(able: Ability, is_made: bool) -> Kinds {
    let mut all = Kinds(Vec::new());
    let (one, other) = if able.has_owners { (33, 44) } else { (0, 0) };
    for bit in 0..12 {
        all.add(format!("mode-{bit:02}"), Node::file("mode").mode(1 << bit));
        all.add(format!("mode-of-directory-{bit:02}"), Node::directory().mode(0o700 | 1 << bit));
    }
    all.add("mode-none", Node::file("mode").mode(0));
    all.add("mode-all", Node::file("mode").mode(0o7777));
    all.add("owned", Node::file("owned").owner(one, other).mode(0o4755));
    all.add("owned-link", Node::symlink("nowhere").owner(other, one));
    all.add("owned-directory", Node::directory().owner(one, other).mode(0o2775));
    for (name, seconds, nanoseconds) in [
        ("epoch", 0, 0),
        ("nanoseconds", 1_234_567_890, 123_456_789),
        ("before-1970", -10, 0),
        ("just-before-1970", -2, 500_000_000),
        ("after-2106", 5_000_000_000, 1),
        ("after-2262", 10_413_792_000, 0),
    ] {
        all.add(format!("time-{name}"), Node::file("time").time(seconds, nanoseconds));
        all.add(format!("time-of-directory-{name}"), Node::directory().time(seconds, nanoseconds));
        all.add(format!("time-of-link-{name}"), Node::symlink("to").time(seconds, nanoseconds));
    }
    let with_xattrs = |node: Node| node.xattr("user.text", b"text").xattr("user.binary", b"=\n\0\xff binary");
    all.add("xattrs", with_xattrs(Node::file("xattrs")));
    all.add("xattrs-of-directory", with_xattrs(Node::directory()));
    all.add("capability", Node::file("capable").mode(0o755).xattr("security.capability", &CAPABILITY));
    let owned = Node::file("capable").mode(0o2755).owner(one, other);
    all.add("capability-of-others", owned.xattr("security.capability", &CAPABILITY));
    let list = access_list(one);
    all.add("acl", Node::file("acl").mode(0o660).xattr("system.posix_acl_access", &list));
    let directory = Node::directory().mode(0o660).xattr("system.posix_acl_access", &list);
    all.add("acl-of-directory", directory.xattr("system.posix_acl_default", &list));
    all.add("acl-of-directory/inside", Node::file("inside").mode(0o644));
    all.add("group-a", Node::file("four names").time(77, 7).xattr("user.of", b"four"));
    all.add("sub", Node::directory());
    all.link("group-b", "group-a");
    all.link("sub/group-c", "group-a");
    all.link("sub/group-d", "group-a");
    all.add("link", Node::symlink("group-a"));
    all.link("link-again", "link");
    all.add("fifo", Node::of(Kind::Fifo, 0o640));
    all.link("fifo-again", "fifo");
    all.add("empty", Node::file(""));
    for name in [
        &b"not-utf8-\xff\xfe"[..],
        b"two\nlines",
        b"-dash",
        b"back\\slash",
        b"#",
        b"a b",
        b"...",
        b".wh",
        b"x.wh.y",
        "\u{e4}\u{1f40b}".as_bytes(),
    ] {
        all.add(
            OsStr::from_bytes(name),
            with_xattrs(Node::file("name").mode(0o751).owner(one, other).time(12345, 6789)),
        );
    }
    all.add(long_name(able), Node::file("long").mode(0o4711).owner(one, other).time(999, 999));
    let mut deep = PathBuf::new();
    for _ in 0..4 {
        deep.push("p".repeat(90));
        all.add(&deep, Node::directory());
    }
    all.add(deep.join("file"), Node::file("deep").time(5, 5));
    all.add("holes", Node::of(Kind::File(Content::of(3 << 20, &[(1 << 20, b"in the middle")])), 0o644));
    if able.is_root {
        all.add("far-owner", Node::file("far").owner(3_000_000, 3_000_001));
        all.add("trusted", Node::file("trusted").xattr("trusted.of-root", b"yes"));
        if able.is_kernels || !is_made {
            all.add("trusted-link", Node::symlink("to").xattr("trusted.of-root", b"link"));
        }
        all.add("char", Node::of(Kind::Char(1, 3), 0o666).owner(one, other).time(4, 4));
        all.add("char-of-great-numbers", Node::of(Kind::Char(4095, 1_048_575), 0o600));
        all.add("block", Node::of(Kind::Block(7, 0), 0o1660));
        all.link("block-again", "block");
    }
    all
}

/// The longest that the storage driver bears.
fn long_name(able: Ability) -> String {
    "n".repeat(if able.is_kernels { 255 } else { 251 })
}

/// The layers of the image, the lowest first.
pub fn layers(able: Ability) -> [Vec<Entry>; 2] {
    let top = PathBuf::from(TOP);
    let mode = if able.is_kernels { 0o3751 } else { 0o1751 };
    let mut lower = vec![Entry::Put(top.clone(), Node::directory().mode(mode).time(99, 99))];
    let at = |path: &str| Path::new(TOP).join(path);
    for (path, thing) in kinds(able, false).0 {
        lower.push(match thing {
            Thing::Node(node) => Entry::Put(top.join(path), node),
            Thing::Link(of) => Entry::Link { path: top.join(path), of: top.join(of) },
        });
    }
    let put = |path: &str, node: Node| Entry::Put(at(path), node);
    for name in ["gone", "replaced", "nulled", "hidden-by-a-name", "stays"] {
        lower.push(put(name, Node::file(name).time(1, 1)));
    }
    for name in ["opaque", "opaque/below", "merged", "merged/below", "to-file", "to-file/below"] {
        lower.push(put(name, Node::directory().time(2, 2).xattr("user.of", name.as_bytes())));
    }
    if able.keeps_holes {
        let content = Content::of(5 << 30, &[(4096, b"begin"), ((5 << 30) - 4, b"last")]).with_holes();
        lower.push(put("long-file", Node::of(Kind::File(content), 0o600).time(3, 3)));
    }
    // What overlayfs itself would read, were it taken as it is.
    let marked = Node::directory().xattr("user.overlay.opaque", b"y").xattr("user.kept", b"1");
    lower.push(put("marked", if able.is_root { marked.xattr("trusted.overlay.opaque", b"y") } else { marked }));
    lower.push(put(
        "marked/file",
        Node::file("").xattr("user.overlay.metacopy", b"").xattr("user.overlay.redirect", b"/etc"),
    ));
    let mut upper = vec![
        put("", Node::directory().mode(mode).time(98, 98)),
        Entry::Whiteout(at("gone")),
        put("replaced", Node::symlink("elsewhere").time(3, 3)),
        put("opaque", Node::directory().mode(0o710).time(6, 6)),
        Entry::Opaque(at("opaque")),
        put("opaque/new", Node::file("new")),
        put("merged", Node::directory().mode(0o701).time(7, 7).xattr("user.of", b"merged")),
        put("merged/new", Node::file("new")),
        put("to-file", Node::file("a directory once")),
        put("second-a", Node::file("three names in the second layer").time(8, 8)),
        Entry::Link { path: at("merged/second-b"), of: at("second-a") },
        // One of the names of four goes over to another file.
        put("sub", Node::directory()),
        Entry::Link { path: at("sub/group-d"), of: at("second-a") },
        put("marked", Node::directory().xattr("user.overlay.opaque", b"y").xattr("user.kept", b"1")),
        put("marked/more", Node::file("more")),
    ];
    upper.push(put("nulled", Node::of(Kind::Char(0, 0), 0)));
    upper.push(put("null-of-nothing", Node::of(Kind::Char(0, 0), 0)));
    [lower, upper]
}

/// What a container does to the files of the image.
pub fn acts(able: Ability) -> Vec<Act> {
    let at = |path: &str| Path::new(TOP).join(path);
    let top = at("made");
    let mut acts = vec![Act::Make(top.clone(), Node::directory().mode(0o1711))];
    for (path, thing) in kinds(able, true).0 {
        acts.push(match thing {
            Thing::Node(mut node) => {
                if let Kind::File(content) = &mut node.kind {
                    content.has_holes = content.size_bytes > 1 << 20;
                }
                Act::Make(top.join(path), node)
            }
            Thing::Link(of) => Act::Link { path: top.join(path), of: top.join(of) },
        });
    }
    let (one, other) = if able.has_owners { (55, 66) } else { (0, 0) };
    acts.extend([
        Act::Make(at("made/socket"), Node::of(Kind::Socket, 0o600)),
        // As long as before, and of the same time.
        Act::Change(at("mode-08"), Node::file("edom").mode(1 << 8)),
        Act::Change(at("mode-07"), Node::file("mode").mode(0o6711)),
        Act::Change(at("time-epoch"), Node::file("time").time(1, 999_999_999)),
        Act::Change(at("owned"), Node::file("owned by another").owner(one, other).mode(0o4755)),
        Act::Change(at("xattrs"), Node::file("xattrs").xattr("user.text", b"another")),
        Act::Change(at("capability"), Node::file("capable").mode(0o755)),
        Act::Change(at("empty"), Node::file("").mode(0o755).xattr("security.capability", &CAPABILITY)),
        Act::Change(at("time-of-link-epoch"), Node::symlink("to").time(-5, 5).owner(one, other)),
        Act::Change(at("owned-directory"), Node::directory().mode(0o711).owner(one, other).time(11, 11)),
        Act::Remove(at("mode-of-directory-03")),
        Act::Rename { from: at("time-nanoseconds"), to: at("merged/renamed") },
        // Each kind in the place of another.
        Act::Remove(at("mode-of-directory-00")),
        Act::Make(at("mode-of-directory-00"), Node::file("a directory once")),
        Act::Remove(at("mode-00")),
        Act::Make(at("mode-00"), Node::directory().time(20, 20)),
        Act::Make(at("mode-00/inside"), Node::symlink("..")),
        Act::Remove(at("opaque")),
        Act::Make(at("opaque"), Node::directory().mode(0o710).time(21, 21)),
        Act::Make(at("opaque/again"), Node::file("again")),
        Act::Remove(at("link-again")),
        Act::Make(at("link-again"), Node::of(Kind::Fifo, 0o600)),
    ]);
    if able.keeps_overlay_xattrs {
        // Those that came with the image stay with what is not touched, and a container may give others.
        acts.push(Act::Change(at("marked/more"), Node::file("more and more").xattr("user.overlay.redirect", b"/etc")));
        acts.push(Act::Make(at("made/marked"), Node::directory().xattr("user.overlay.opaque", b"y")));
    }
    acts.push(Act::Remove(at(&long_name(able))));
    if able.is_kernels {
        acts.extend([
            Act::Remove(at("group-b")),
            Act::Remove(at("merged/second-b")),
            Act::Remove(at("second-a")),
            Act::Link { path: at("second-a"), of: at("made/group-a") },
            Act::Rename { from: at("mode-all"), to: at("mode-all-renamed") },
            Act::Rename { from: at("time-of-link-just-before-1970"), to: at("link-renamed") },
        ]);
        let text = if able.fills_whiteouts { "a whiteout for whoever makes a layer of it" } else { "" };
        acts.push(Act::Make(at(".wh.hidden-by-a-name"), Node::file(text)));
    }
    acts
}
