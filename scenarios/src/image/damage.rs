//! Images that lie: an assembled store is changed so that one image is wrong in one place while all digests around it fit.
//!
//! A registry can only garble what it sends, which every client notices by the digest. These images arrive as announced.

use std::io::Write;

use serde_json::{Value, json};

use super::layer::gzip;
use super::layout::{Descriptor, Layout};
use super::{ImageError, json as documents};

/// What is wrong with the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// The layer's (0 is the lowest) gzip stream starts with a block of no known type; its digest in the manifest fits.
    BrokenGzip { layer: usize },
    /// The layer's tar is sound, but the CRC-32 at the end of its gzip stream is not; its digest in the manifest fits.
    BadGzipChecksum { layer: usize },
    /// The layer's gzip stream stops half way; its digest and size in the manifest fit.
    ShortGzip { layer: usize },
    /// The layer is a sound gzip stream of something that is no tar; digest and diff ID fit.
    NoTar { layer: usize },
    /// The config's diff ID of the layer is another one than the tar's.
    LyingDiffId { layer: usize },
    /// The config lists one diff ID less than the manifest has layers.
    MissingDiffId,
}

/// Makes `name:tag` of the store `layout` the damaged image, under the manifest digest that is returned.
///
/// The store no longer counts as up to date: `assemble` builds it anew.
///
/// # Errors
/// No such image or layer in the store, or the store cannot be read or written.
pub fn damage(layout: &Layout, name: &str, tag: &str, damage: Damage) -> Result<String, ImageError> {
    let mut tagged = layout.tagged()?;
    let missing = || ImageError::NoImage { reference: format!("{name}:{tag}"), path: layout.path().to_path_buf() };
    let target = tagged.iter_mut().find(|t| t.name == name && t.tag == tag).ok_or_else(missing)?;
    let (descriptor, mut manifest) = layout.manifest_of(&target.descriptor)?;
    let parts = layout.parts_of(&descriptor.digest, &manifest)?;
    let mut config = layout.read_json(&parts[0].digest)?;

    if let Some(DamagedLayer { at, blob, diff_id }) = damaged_layer(layout, &parts, damage)? {
        let blob = layout.add_bytes(&parts[at + 1].media_type, &blob)?;
        manifest["layers"][at] = to_json(&blob);
        if let Some(diff_id) = diff_id {
            config["rootfs"]["diff_ids"][at] = json!(diff_id);
        }
    }
    let diff_ids = &mut config["rootfs"]["diff_ids"];
    match damage {
        Damage::LyingDiffId { layer } if layer + 1 < parts.len() => {
            diff_ids[layer] = json!(format!("sha256:{}", "0123456789abcdef".repeat(4)));
        }
        Damage::MissingDiffId => drop(diff_ids.as_array_mut().and_then(Vec::pop)),
        Damage::LyingDiffId { .. } => return Err(missing()),
        _ => {}
    }
    let config = layout.add_json(&parts[0].media_type, &config)?;
    manifest["config"] = to_json(&config);
    target.descriptor = layout.add_json(&descriptor.media_type, &manifest)?;
    let digest = target.descriptor.digest.clone();
    layout.write_index(&tagged, None)?;
    Ok(digest)
}

struct DamagedLayer {
    at: usize,
    blob: Vec<u8>,
    /// Where it changes.
    diff_id: Option<String>,
}

fn damaged_layer(layout: &Layout, parts: &[Descriptor], damage: Damage) -> Result<Option<DamagedLayer>, ImageError> {
    let (Damage::BrokenGzip { layer }
    | Damage::BadGzipChecksum { layer }
    | Damage::ShortGzip { layer }
    | Damage::NoTar { layer }) = damage
    else {
        return Ok(None);
    };
    let no_layer =
        || ImageError::NoImage { reference: format!("with a layer {layer}"), path: layout.path().to_path_buf() };
    let part = parts.get(layer + 1).ok_or_else(no_layer)?;
    let path = layout.blob_path(&part.digest)?;
    let mut bytes = std::fs::read(&path).map_err(|e| ImageError::io("read", &path, e))?;
    let half = bytes.len() / 2;
    match damage {
        Damage::ShortGzip { .. } => bytes.truncate(half),
        // The last eight bytes are CRC-32 and size (RFC 1952, 2.3.1).
        Damage::BadGzipChecksum { .. } => {
            let at = bytes.len() - 8;
            bytes[at] ^= 1;
        }
        Damage::NoTar { .. } => {
            let text = b"this is a text, and no tar\n".repeat(64);
            let compressed = compress(&text).map_err(|e| ImageError::io("compress for", &path, e))?;
            let plain = layout.add_bytes("text/plain", &text)?;
            return Ok(Some(DamagedLayer { at: layer, blob: compressed, diff_id: Some(plain.digest) }));
        }
        // Block type 3 does not exist (RFC 1951, 3.2.3): no decoder can take the first block for a sound one.
        _ => bytes[10] |= 0b110,
    }
    Ok(Some(DamagedLayer { at: layer, blob: bytes, diff_id: None }))
}

fn compress(plain: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = gzip(Vec::new());
    stream.write_all(plain)?;
    Ok(stream.finish()?.inner.into_inner()?)
}

fn to_json(descriptor: &Descriptor) -> Value {
    documents::descriptor(&descriptor.media_type, &descriptor.digest, descriptor.size_bytes)
}
