//! A content digest: `sha256:` and 64 lower-case hex digits, the name of everything that is addressed by its bytes.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest in the form of the OCI image-spec (`descriptor.md`, "Digests").
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    hex: String,
}

/// Text that is not `sha256:` followed by 64 lower-case hex digits.
#[derive(Debug, thiserror::Error)]
#[error("invalid digest {0:?}: expected sha256: and 64 lower-case hex digits")]
pub struct DigestError(String);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest { hex: hex::encode(Sha256::digest(bytes)) }
    }

    /// A digest from its 64 hex digits alone, as Docker names files and directories.
    pub fn from_hex(hex: &str) -> Result<Digest, DigestError> {
        let well_formed = hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !well_formed {
            return Err(DigestError(hex.to_owned()));
        }
        Ok(Digest { hex: hex.to_owned() })
    }

    /// The 64 hex digits without the algorithm.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// The first 12 hex digits, the short form that people read.
    pub fn short(&self) -> &str {
        &self.hex[..12]
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Digest, DigestError> {
        let hex = text.strip_prefix("sha256:").ok_or_else(|| DigestError(text.to_owned()))?;
        Digest::from_hex(hex).map_err(|_| DigestError(text.to_owned()))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A reader that hashes and counts what flows through it.
pub struct DigestReader<R> {
    inner: R,
    hasher: Sha256,
    length_bytes: u64,
}

impl<R: Read> DigestReader<R> {
    /// Wraps `inner`; nothing has been read yet.
    pub fn new(inner: R) -> DigestReader<R> {
        DigestReader { inner, hasher: Sha256::new(), length_bytes: 0 }
    }

    /// The digest and the length in bytes of all that has been read.
    pub fn finish(self) -> (Digest, u64) {
        (Digest { hex: hex::encode(self.hasher.finalize()) }, self.length_bytes)
    }
}

impl<R: Read> Read for DigestReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.length_bytes += count as u64;
        Ok(count)
    }
}

/// A writer that hashes and counts what flows through it.
pub struct DigestWriter<W> {
    inner: W,
    hasher: Sha256,
    length_bytes: u64,
}

impl<W: Write> DigestWriter<W> {
    /// Wraps `inner`; nothing has been written yet.
    pub fn new(inner: W) -> DigestWriter<W> {
        DigestWriter { inner, hasher: Sha256::new(), length_bytes: 0 }
    }

    /// What was wrapped, and the digest and the length in bytes of all that has been written.
    pub fn finish(self) -> (W, Digest, u64) {
        (self.inner, Digest { hex: hex::encode(self.hasher.finalize()) }, self.length_bytes)
    }
}

impl<W: Write> Write for DigestWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.length_bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_nothing_is_the_published_one() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").to_string(), empty);
    }

    #[test]
    fn upper_case_short_and_foreign_digests_are_refused() {
        for text in ["sha256:ABC", "sha512:00", "", &format!("sha256:{}", "A".repeat(64))] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_reader_names_what_flowed_through_it() {
        let mut reader = DigestReader::new(&b"layer"[..]);
        io::copy(&mut reader, &mut io::sink()).unwrap();
        assert_eq!(reader.finish(), (Digest::of(b"layer"), 5));
        let mut writer = DigestWriter::new(Vec::new());
        writer.write_all(b"layer").unwrap();
        assert_eq!(writer.finish(), (b"layer".to_vec(), Digest::of(b"layer"), 5));
    }
}
