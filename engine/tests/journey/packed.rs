//! Writes layers as tars with PAX records, in which all can be said, and images as archives of them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::node::{Kind, Node, Tree};

/// One entry of a layer.
#[derive(Debug, Clone)]
pub enum Entry {
    Put(PathBuf, Node),
    Link {
        path: PathBuf,
        of: PathBuf,
    },
    /// Hides the name.
    Whiteout(PathBuf),
    /// Hides what lower layers have in the directory.
    Opaque(PathBuf),
}

impl Entry {
    /// What it makes of a tree.
    pub fn apply(&self, tree: &mut Tree) {
        match self {
            Entry::Put(path, node) => tree.put(path, node.clone()),
            Entry::Link { path, of } => tree.link(path, of),
            Entry::Whiteout(path) => tree.remove(path),
            Entry::Opaque(path) => tree.empty(path),
        }
    }
}

/// The tar of a layer.
pub fn layer(entries: &[Entry]) -> Vec<u8> {
    let mut tar = Vec::new();
    let mut tree = Tree::default();
    for entry in entries {
        entry.apply(&mut tree);
        match entry {
            Entry::Put(path, node) => put(&mut tar, path, node),
            Entry::Link { path, of } => {
                // A further name says again what the file has.
                let node = tree.change(of);
                let mut records = attributes(bytes(path), node);
                records.push(record("linkpath", bytes(of)));
                write(&mut tar, b'1', node, records, &[]);
            }
            Entry::Whiteout(path) => {
                let name = [b".wh.", path.file_name().unwrap_or_default().as_bytes()].concat();
                put(&mut tar, &path.with_file_name(OsStr::from_bytes(&name)), &Node::file("").mode(0));
            }
            Entry::Opaque(path) => put(&mut tar, &path.join(".wh..wh..opq"), &Node::file("").mode(0)),
        }
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

fn put(tar: &mut Vec<u8>, path: &Path, node: &Node) {
    let mut records = Vec::new();
    let mut name = bytes(path).to_vec();
    let mut body = Vec::new();
    let kind = match &node.kind {
        Kind::File(content) if content.has_holes => {
            let parts = content.blocks.iter().map(|(at, block)| {
                let length = (content.size_bytes - at).min(block.len() as u64);
                body.extend_from_slice(&block[..usize::try_from(length).unwrap()]);
                format!("{at},{length}")
            });
            let map = parts.collect::<Vec<_>>().join(",");
            records.push(record("GNU.sparse.size", content.size_bytes.to_string().as_bytes()));
            records.push(record("GNU.sparse.numblocks", content.blocks.len().to_string().as_bytes()));
            records.push(record("GNU.sparse.map", map.as_bytes()));
            b'0'
        }
        Kind::File(content) => {
            body = content.bytes();
            b'0'
        }
        Kind::Symlink(target) => {
            records.push(record("linkpath", target.as_bytes()));
            b'2'
        }
        Kind::Char(..) => b'3',
        Kind::Block(..) => b'4',
        Kind::Directory => {
            name.push(b'/');
            b'5'
        }
        Kind::Fifo => b'6',
        Kind::Socket => panic!("no tar holds a socket"),
    };
    records.extend(attributes(&name, node));
    write(tar, kind, node, records, &body);
}

fn attributes(name: &[u8], node: &Node) -> Vec<Vec<u8>> {
    let mut records = vec![
        record("path", name),
        record("mtime", seconds(node.time).as_bytes()),
        record("uid", node.owner.0.to_string().as_bytes()),
        record("gid", node.owner.1.to_string().as_bytes()),
    ];
    records.extend(node.xattrs.iter().map(|(name, value)| record(&format!("SCHILY.xattr.{name}"), value)));
    records
}

/// A header for the records, and one for the entry, of which the records tell almost all.
fn write(tar: &mut Vec<u8>, kind: u8, node: &Node, records: Vec<Vec<u8>>, body: &[u8]) {
    for (kind, body) in [(b'x', &*records.concat()), (kind, body)] {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::new(kind));
        header.as_old_mut().name[..1].copy_from_slice(b"x");
        header.set_mode(node.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(body.len() as u64);
        if let Kind::Char(major, minor) | Kind::Block(major, minor) = node.kind {
            header.set_device_major(major).unwrap();
            header.set_device_minor(minor).unwrap();
        }
        header.set_cksum();
        tar.extend_from_slice(header.as_bytes());
        tar.extend_from_slice(body);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
}

fn record(keyword: &str, value: &[u8]) -> Vec<u8> {
    let rest = keyword.len() + value.len() + 3;
    let length = (rest..).find(|length| length.to_string().len() + rest == *length).unwrap();
    [format!("{length} {keyword}=").as_bytes(), value, b"\n"].concat()
}

/// As PAX has it: `-1.5` is half a second before the last second before 1970.
fn seconds((seconds, nanoseconds): (i64, u32)) -> String {
    match (seconds, nanoseconds) {
        (seconds, 0) => seconds.to_string(),
        (0.., nanoseconds) => format!("{seconds}.{nanoseconds:09}"),
        (seconds, nanoseconds) => format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanoseconds),
    }
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// What `docker load` takes of an image called `name`: the layers of the image in `archive`, and these on top of them.
pub fn image(archive: &[u8], name: &str, layers: &[Vec<u8>]) -> Vec<u8> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        files.insert(path, content);
    }
    let json = |name: &str| serde_json::from_slice::<Value>(&files[name]).unwrap();
    let manifest = json("manifest.json");
    let base = json(manifest[0]["Config"].as_str().unwrap());
    let below = manifest[0]["Layers"].as_array().unwrap().iter().map(|path| files[path.as_str().unwrap()].clone());
    let layers: Vec<Vec<u8>> = below.chain(layers.iter().cloned()).collect();
    let diff_ids: Vec<String> =
        layers.iter().map(|layer| format!("sha256:{}", hex::encode(Sha256::digest(layer)))).collect();
    let config = json!({
        "architecture": base["architecture"], "os": base["os"], "config": base["config"],
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let names: Vec<String> = (0..layers.len()).map(|number| format!("{number}.tar")).collect();
    let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": names}]);
    let mut out = tar::Builder::new(Vec::new());
    let mut add = |name: &str, content: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        out.append_data(&mut header, name, content).unwrap();
    };
    for (name, layer) in names.iter().zip(&layers) {
        add(name, layer);
    }
    add("config.json", config.to_string().as_bytes());
    add("manifest.json", manifest.to_string().as_bytes());
    out.into_inner().unwrap()
}
