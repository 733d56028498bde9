//! Archives of images, written and read by the harness itself: `docker load`'s input, `docker save`'s output, `docker export`'s.
//!
//! *Source*: moby's `image/spec/v1.2.md` (`manifest.json`, layer tars, the image's configuration).

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use layerlab_model::store::digest;
use layerlab_model::text::Text;
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

/// Layers that archives are made of: files, links, whiteouts, an opaque directory, nothing at all, a long name.
pub fn collection() -> io::Result<Vec<Vec<u8>>> {
    entries().iter().map(|entries| layer(entries)).collect()
}

/// What is in each layer of the [`collection`]: paths with their contents, as [`layer`] takes them.
pub fn entries() -> [Vec<(&'static str, &'static str)>; 5] {
    [
        vec![("d/", ""), ("d/a", "one"), ("d/b", "=d/a"), ("s", ">d/a")],
        vec![("d/", ""), ("d/.wh.a", ""), ("d/c", "two")],
        vec![("d/", ""), ("d/.wh..wh..opq", ""), ("d/new", "three")],
        vec![],
        vec![("e/", ""), (LONG, "four")],
    ]
}

/// A path that has no room in the header of a tar as it first was.
const LONG: &str = concat!(
    "e/",
    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
);

/// A layer tar of paths with their contents; `=` before a hard link's target, `>` before a symbolic link's.
pub fn layer(entries: &[(&str, &str)]) -> io::Result<Vec<u8>> {
    let mut builder = Builder::new(Vec::new());
    for (path, content) in entries {
        let mut header = Header::new_ustar();
        header.set_mtime(1_500_000_000);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        header.set_mode(if path.ends_with('/') { 0o755 } else { 0o4644 });
        let target = |kind| (kind, &content[1..]);
        let (kind, target) = match content.chars().next() {
            _ if path.ends_with('/') => (EntryType::Directory, ""),
            Some('=') => target(EntryType::Link),
            Some('>') => target(EntryType::Symlink),
            _ => (EntryType::Regular, ""),
        };
        header.set_entry_type(kind);
        match kind {
            EntryType::Link | EntryType::Symlink => builder.append_link(&mut header, path, target)?,
            _ => {
                header.set_size(content.len() as u64);
                builder.append_data(&mut header, path, content.as_bytes())?;
            }
        }
    }
    builder.into_inner()
}

/// These of the collection.
pub fn chosen<'a>(collection: &'a [Vec<u8>], numbers: &[usize]) -> Vec<&'a [u8]> {
    numbers.iter().map(|number| &collection[*number][..]).collect()
}

/// An archive of one image, as `docker save` writes it, and the image's ID and diff IDs.
pub fn image(layers: &[&[u8]], name: &str) -> io::Result<(Vec<u8>, String, Vec<String>)> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    image_of(layers, diff_ids, name)
}

/// An archive of an image that calls its only layer by a path in the place of a digest.
pub fn forged() -> io::Result<Vec<u8>> {
    let layer = layer(&[("a", "one")])?;
    Ok(image_of(&[&layer], vec![format!("sha256:../../{FORGED}")], "forged:latest")?.0)
}

/// The last name of that path.
const FORGED: &str = "forged";

fn image_of(layers: &[&[u8]], diff_ids: Vec<String>, name: &str) -> io::Result<(Vec<u8>, String, Vec<String>)> {
    let config = json!({
        "architecture": "amd64", "os": "linux", "created": "2020-01-01T00:00:00Z", "config": { "Cmd": ["true"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
        "history": diff_ids.iter().map(|_| json!({ "created": "2020-01-01T00:00:00Z" })).collect::<Vec<_>>(),
    });
    let config = config.to_string().into_bytes();
    let id = digest(&config);
    let paths: Vec<String> = (0..layers.len()).map(|number| format!("{number}/layer.tar")).collect();
    let manifest = json!([{ "Config": "config.json", "RepoTags": [name], "Layers": paths }]).to_string();
    let mut builder = Builder::new(Vec::new());
    let mut append = |path: &str, bytes: &[u8]| {
        let mut header = Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, bytes)
    };
    append("config.json", &config)?;
    for (number, (path, layer)) in paths.iter().zip(layers).enumerate() {
        // Every other one is sent compressed, which changes no name.
        append(path, &if number % 2 == 1 { compressed(layer)? } else { layer.to_vec() })?;
    }
    append("manifest.json", manifest.as_bytes())?;
    Ok((builder.into_inner()?, id, diff_ids))
}

fn compressed(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// The digests of the layers of the only image in a saved archive, the lowest first.
pub fn layers(archive: &[u8]) -> io::Result<Vec<String>> {
    let mut files: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut links: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for content in contents(archive)? {
        match content.target {
            Some(target) => links.push((content.path.0, target.0)),
            None => drop(files.insert(content.path.0, content.bytes)),
        }
    }
    let missing = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("the archive has no {what}"));
    let manifest = files.get(&b"manifest.json"[..]).ok_or_else(|| missing("manifest.json"))?;
    let manifest: Value = serde_json::from_slice(manifest)?;
    let paths = manifest[0]["Layers"].as_array().ok_or_else(|| missing("list of layers"))?;
    let read = |path: &Value| {
        let path = path.as_str().unwrap_or_default();
        // A layer that several images have is a symbolic link to another's (moby's `saveLayer`).
        let real = links.iter().find(|(link, _)| link == path.as_bytes()).map(|(_, target)| target.as_slice());
        let real = real.map_or(path.as_bytes(), |target| target.strip_prefix(b"../").unwrap_or(target));
        files.get(real).map(|bytes| digest(bytes)).ok_or_else(|| missing(path))
    };
    paths.iter().map(read).collect()
}

/// Something in a tar, as far as it must survive a journey.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Content {
    /// Its path, without a final `/`.
    pub path: Text,
    /// ustar's letter for the type.
    pub kind: u8,
    /// Mode, owner, group and time in seconds.
    pub attributes: (u32, u64, u64, u64),
    /// What a link leads to.
    pub target: Option<Text>,
    /// A file's content.
    pub bytes: Vec<u8>,
}

/// Everything in a tar, sorted.
pub fn contents(tar: &[u8]) -> io::Result<Vec<Content>> {
    let mut found = Vec::new();
    for entry in tar::Archive::new(tar).entries()? {
        let mut entry = entry?;
        let path = entry.path_bytes();
        let path = Text(path.strip_suffix(b"/").unwrap_or(&path).to_vec());
        let header = entry.header();
        let attributes = (header.mode()?, header.uid()?, header.gid()?, header.mtime()?);
        let kind = header.entry_type().as_byte();
        let target = entry.link_name_bytes().map(|target| Text(target.to_vec()));
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        found.push(Content { path, kind, attributes, target, bytes });
    }
    found.sort();
    Ok(found)
}
