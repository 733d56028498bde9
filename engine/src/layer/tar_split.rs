//! What a layer's tar has beside its files, so that the very bytes of the tar come back: `tar-split.json.gz`.
//!
//! A diff ID is the digest of a tar, and no tar can be made again from its files alone: headers, padding, order and what
//! trails are its maker's. dockerd therefore keeps all bytes that are no file's contents beside each layer, and so do we.
//!
//! ```text
//! gzip of one JSON object per line, in the order of the tar (source: vbatts/tar-split as dockerd 20.10 writes it)
//! {"type":2,"payload":"<base64>","position":0}                            a segment: bytes to be repeated
//! {"type":1,"name":"etc/passwd","size":7,"payload":"<crc>","position":1}  a file: its contents stand in the layer
//! ```
//!
//! `name_raw` (base64) stands for a name that is not UTF-8; `size` is left out when it is 0; the checksum is the file's
//! CRC-64/ISO in eight bytes, big-endian, and `null` without contents.
//!
//! *Why*: without it a layer can be run, but neither saved nor pushed.
//!
//! *Holds*: what [`assemble`] writes is what was recorded, or an error; each file's checksum is compared.
//!
//! *Never*: a name in a record leads out of the layer's directory; a tar is whole in memory.
//!
//! *Proved by*: `engine/tests/layer/tar_splits.rs` (round trips, dockerd's recorded samples, hostile records).
//!
//! Two entries differ from dockerd's, and dockerd reads them all the same: contents of whiteouts are kept as segments, since
//! no layer has them as files; and a global PAX header has no entry of its own, for two of them would be a duplicate name.

use std::io;
use std::path::PathBuf;

use crate::sys::reason::reason;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::{CrcAlgorithm, Digest as Crc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

mod read;
mod write;

pub use read::{assemble, tar_size_bytes};
pub(super) use write::Recorder;

/// How the file is called in a layer's record.
pub const FILE_NAME: &str = "tar-split.json.gz";

const FILE: u8 = 1;
const SEGMENT: u8 = 2;

/// A layer tar that cannot be put together again.
#[derive(Debug, thiserror::Error)]
pub enum TarSplitError {
    #[error("cannot read {FILE_NAME}: {}", reason(.0))]
    Read(#[source] io::Error),
    #[error("{FILE_NAME} is damaged at entry {position}: {reason}: fetch the image again")]
    Damaged { position: u64, reason: String },
    #[error("duplicates of file paths not supported: {FILE_NAME} names {name:?} twice")]
    Duplicate { name: String },
    #[error("open {}: {}", path.display(), reason(.source))]
    Open { path: PathBuf, source: io::Error },
    #[error("file integrity checksum failed for {name:?}")]
    Checksum { name: String },
    #[error("cannot write the layer tar: {}", reason(.0))]
    Write(#[source] io::Error),
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: u8,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "bytes")]
    name_raw: Vec<u8>,
    #[serde(default, skip_serializing_if = "is_zero", rename = "size")]
    size_bytes: u64,
    #[serde(default)]
    payload: Option<Payload>,
    #[serde(default)]
    position: u64,
}

impl Line {
    fn name(&self) -> &[u8] {
        if self.name.is_empty() { &self.name_raw } else { self.name.as_bytes() }
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Bytes that stand in JSON as base64.
#[derive(Debug)]
struct Payload(Vec<u8>);

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        bytes::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Payload, D::Error> {
        bytes::deserialize(deserializer).map(Payload)
    }
}

mod bytes {
    use super::*;

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map_err(serde::de::Error::custom)
    }
}

/// The checksum of a file's contents, of which nothing has been read yet.
fn checksum() -> Crc {
    Crc::new(CrcAlgorithm::Crc64GoIso)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_go_calls_iso() {
        let mut crc = checksum();
        crc.update(b"123456789");
        assert_eq!(crc.finalize(), 0xb909_56c7_75a4_1001);
    }

    #[test]
    fn a_line_is_what_dockerd_writes() {
        let line = |text: &str| serde_json::from_str::<Line>(text).unwrap();
        for text in [
            r#"{"type":1,"name":"docker-entrypoint.sh","size":156,"payload":"+9F3Ph1jGdw=","position":1}"#,
            r#"{"type":1,"name":"etc/","payload":null,"position":3}"#,
            r#"{"type":1,"name_raw":"/w==","payload":null,"position":5}"#,
            r#"{"type":2,"payload":"","position":0}"#,
        ] {
            assert_eq!(crate::image::go_json::to_vec(&line(text)).unwrap(), text.as_bytes());
        }
    }
}
