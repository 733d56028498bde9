//! Archives of images, written and read by the harness itself: `docker load`'s input, `docker save`'s output, `docker export`'s.
//!
//! *Source*: moby's `image/spec/v1.2.md` (`manifest.json`, layer tars, the image's configuration).

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::num::NonZeroU64;

use bzip2::write::BzEncoder;
use flate2::Compression;
use flate2::write::GzEncoder;
use layerlab_model::store::digest;
use layerlab_model::text::Text;
use lzma_rust2::{XzOptions, XzWriter};
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

/// Archives that nobody may take, and why: of an image that calls its only layer by a path in the place of a digest, and of one whose only layer asks
/// for more memory than there is before it can be read.
pub fn forged() -> io::Result<[(&'static str, Vec<u8>); 2]> {
    let layer = layer(&[("a", "one")])?;
    let by_path = image_of(&[&layer], vec![format!("sha256:../../{FORGED}")], "forged:latest")?.0;
    let greedy = noise()?;
    let (config, _) = configuration(&[digest(&greedy)]);
    let greedy = archive(&config, &[asking_for(TOO_MUCH, &greedy)?], "forged:latest")?;
    Ok([("it calls a layer by a path", by_path), ("its layer asks for 4 GiB of memory", greedy)])
}

/// The last name of that path.
const FORGED: &str = "forged";

fn image_of(layers: &[&[u8]], diff_ids: Vec<String>, name: &str) -> io::Result<(Vec<u8>, String, Vec<String>)> {
    let (config, id) = configuration(&diff_ids);
    let sent = layers.iter().enumerate().map(|(number, layer)| sent(number, layer)).collect::<io::Result<Vec<_>>>()?;
    Ok((archive(&config, &sent, name)?, id, diff_ids))
}

/// The configuration of an image of these layers, and the image's ID.
fn configuration(diff_ids: &[String]) -> (Vec<u8>, String) {
    let config = json!({
        "architecture": "amd64", "os": "linux", "created": "2020-01-01T00:00:00Z", "config": { "Cmd": ["true"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
        "history": diff_ids.iter().map(|_| json!({ "created": "2020-01-01T00:00:00Z" })).collect::<Vec<_>>(),
    });
    let config = config.to_string().into_bytes();
    let id = digest(&config);
    (config, id)
}

/// An archive of an image with this configuration and these layers, as they are sent.
fn archive(config: &[u8], layers: &[Vec<u8>], name: &str) -> io::Result<Vec<u8>> {
    let paths: Vec<String> = (0..layers.len()).map(|number| format!("{number}/layer.tar")).collect();
    let manifest = json!([{ "Config": "config.json", "RepoTags": [name], "Layers": paths }]).to_string();
    let mut builder = Builder::new(Vec::new());
    let mut append = |path: &str, bytes: &[u8]| {
        let mut header = Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, bytes)
    };
    append("config.json", config)?;
    for (path, layer) in paths.iter().zip(layers) {
        append(path, layer)?;
    }
    append("manifest.json", manifest.as_bytes())?;
    builder.into_inner()
}

/// A layer as it is sent: in each form that dockerd takes for an archive, one after another, which changes no name.
fn sent(number: usize, layer: &[u8]) -> io::Result<Vec<u8>> {
    match number % 4 {
        0 => Ok(layer.to_vec()),
        1 => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(layer)?;
            encoder.finish()
        }
        2 => Ok([xz(&layer[..layer.len() / 2])?, vec![0; 8], xz(&layer[layer.len() / 2..])?].concat()),
        _ => {
            let mut encoder = BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(layer)?;
            encoder.finish()
        }
    }
}

/// An xz stream of several blocks.
fn xz(bytes: &[u8]) -> io::Result<Vec<u8>> {
    const BLOCK_BYTES: u64 = 600;
    let mut options = XzOptions::with_preset(0);
    options.set_block_size(NonZeroU64::new(BLOCK_BYTES));
    let mut writer = XzWriter::new(Vec::new(), options)?;
    writer.write_all(bytes)?;
    writer.finish()
}

/// What asks for a dictionary of 4 GiB ("The .xz File Format" 1.1.0, "LZMA2").
const TOO_MUCH: u8 = 40;

/// Two xz streams, of which the last block asks for a dictionary of this size, and needs none such.
fn asking_for(dictionary: u8, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = sent(2, bytes)?;
    // All blocks begin alike: with the header's size, and the filter LZMA2 with the size of its dictionary in one byte.
    const STREAM_HEADER_BYTES: usize = 12;
    let begin: [u8; 4] = stream[STREAM_HEADER_BYTES..][..4].try_into().unwrap_or_default();
    let last = (STREAM_HEADER_BYTES..stream.len() - 4).rev().find(|at| stream[*at..].starts_with(&begin));
    let last = last.unwrap_or(STREAM_HEADER_BYTES);
    let size = (usize::from(begin[0]) + 1) * 4;
    let header = &mut stream[last..last + size];
    let filter = header.windows(2).position(|pair| pair == [0x21, 1]);
    let filter = filter.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the stream has no LZMA2"))?;
    header[filter + 2] = dictionary;
    let mut check = flate2::Crc::new();
    check.update(&header[..size - 4]);
    header[size - 4..].copy_from_slice(&check.sum().to_le_bytes());
    Ok(stream)
}

/// A layer of a file that no compression makes shorter, and one that any does.
fn noise() -> io::Result<Vec<u8>> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let noise: Vec<u8> = (0..3000).map(|_| next()).collect();
    let mut builder = Builder::new(Vec::new());
    for (path, content) in [("noise", noise), ("silence", vec![b'a'; 3000])] {
        let mut header = Header::new_ustar();
        header.set_mtime(1_500_000_000);
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, &content[..])?;
    }
    builder.into_inner()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// That it is refused is for what it asks for, then.
    #[test]
    fn a_layer_that_asks_for_another_dictionary_is_sound() {
        const MEBIBYTES_16: u8 = 24;
        let layer = noise().unwrap();
        let sent = [MEBIBYTES_16, TOO_MUCH].map(|dictionary| asking_for(dictionary, &layer).unwrap());
        let mut read = Vec::new();
        lzma_rust2::XzReader::new(&sent[0][..], true).read_to_end(&mut read).unwrap();
        assert!(read == layer);
        let differs = |at: &usize| sent[0][*at] != sent[1][*at];
        let differing: Vec<usize> = (0..sent[0].len()).filter(differs).collect();
        assert!(
            sent[0].len() == sent[1].len() && differing.len() <= 5 && differing[0] > sent[0].len() / 2,
            "{differing:?}"
        );
    }
}
