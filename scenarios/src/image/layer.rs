//! A layer as bytes: entries become a tar and the tar a gzip stream, the same bytes on every machine, in one pass.
//!
//! *Holds:* compressor, level and the size of the pieces it is fed are pinned, because each of them shapes the output.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use flate2::{Compression, GzBuilder, write::GzEncoder};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use super::entry::{Content, Entry, EntryKind};

/// Fast rather than small: the blobs travel over loopback.
const GZIP_LEVEL: u32 = 1;
const PIECE_BYTES: usize = 64 * 1024;
/// `OS = unknown` in the gzip header (RFC 1952, 2.3.1).
const GZIP_OS_UNKNOWN: u8 = 255;

/// What one written layer is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenLayer {
    /// Digest of the tar.
    pub diff_id: String,
    /// Digest of the gzip stream.
    pub digest: String,
    pub size_bytes: u64,
}

/// The guest binary, open, with the size its headers announce.
pub struct Guest<'a> {
    pub path: &'a Path,
    pub size_bytes: u64,
}

/// Writes the layer as gzip-compressed tar to `out`.
///
/// # Errors
/// Any error of reading the guest or writing to `out`; a guest that changed its size while it was read.
pub fn write_layer(entries: &[Entry], guest: &Guest, out: File) -> io::Result<WrittenLayer> {
    let mut archive = Builder::new(Hashing::new(gzip(out)));
    for entry in entries {
        append(&mut archive, entry, guest)?;
    }
    let tar = archive.into_inner()?;
    let diff_id = tar.digest();
    let gzip = tar.inner.finish()?;
    let (digest, size_bytes) = (gzip.digest(), gzip.size_bytes);
    gzip.inner.into_inner()?;
    Ok(WrittenLayer { diff_id, digest, size_bytes })
}

/// The pinned gzip stream around `out`.
pub fn gzip<W: Write>(out: W) -> Pieces<Hashing<BufWriter<W>>> {
    let out = Hashing::new(BufWriter::new(out));
    let encoder = GzBuilder::new().mtime(0).operating_system(GZIP_OS_UNKNOWN).write(out, Compression::new(GZIP_LEVEL));
    Pieces { encoder, pending: Vec::with_capacity(PIECE_BYTES) }
}

fn append<W: Write>(archive: &mut Builder<W>, entry: &Entry, guest: &Guest) -> io::Result<()> {
    let (mut header, pax) = header(entry, guest)?;
    header.set_cksum();
    archive.append_pax_extensions(pax.iter().map(|(key, value)| (*key, value.as_bytes())))?;
    match &entry.kind {
        EntryKind::File(Content::Text(text)) => archive.append(&header, text.as_bytes()),
        EntryKind::File(Content::Guest) => {
            archive.append(&header, Exactly { inner: File::open(guest.path)?, left: guest.size_bytes })
        }
        _ => archive.append(&header, io::empty()),
    }
}

/// The ustar header, and PAX records for what does not fit into one (POSIX.1-2024, pax, "Extended Header").
fn header(entry: &Entry, guest: &Guest) -> io::Result<(Header, Vec<(&'static str, String)>)> {
    let mut header = Header::new_ustar();
    let mut pax = Vec::new();
    header.set_mode(entry.mode);
    header.set_uid(entry.uid);
    header.set_gid(entry.gid);
    header.set_username(name_of_id(entry.uid))?;
    header.set_groupname(name_of_id(entry.gid))?;
    header.set_device_major(0)?;
    header.set_device_minor(0)?;
    header.set_mtime(u64::try_from(entry.mtime.as_second()).map_err(io::Error::other)?);
    if entry.mtime.subsec_nanosecond() != 0 {
        pax.push(("mtime", format!("{}.{:09}", entry.mtime.as_second(), entry.mtime.subsec_nanosecond())));
    }
    let (kind, size_bytes, path, link) = match &entry.kind {
        EntryKind::Directory => (EntryType::Directory, 0, format!("{}/", entry.path), None),
        EntryKind::File(Content::Text(text)) => (EntryType::Regular, text.len() as u64, entry.path.clone(), None),
        EntryKind::File(Content::Guest) => (EntryType::Regular, guest.size_bytes, entry.path.clone(), None),
        EntryKind::Symlink(to) => (EntryType::Symlink, 0, entry.path.clone(), Some(to)),
        EntryKind::HardLink(to) => (EntryType::Link, 0, entry.path.clone(), Some(to)),
    };
    header.set_entry_type(kind);
    header.set_size(size_bytes);
    if header.set_path(&path).is_err() {
        header.set_path(first_bytes(&path))?;
        pax.push(("path", path));
    }
    if let Some(to) = link
        && header.set_link_name_literal(to).is_err()
    {
        header.set_link_name_literal(first_bytes(to))?;
        pax.push(("linkpath", to.clone()));
    }
    Ok((header, pax))
}

/// Only root has the same name on every system; no name makes tar go by the number.
fn name_of_id(id: u64) -> &'static str {
    if id == 0 { "root" } else { "" }
}

/// What readers without PAX see of a name that is too long: as much as the ustar field holds.
fn first_bytes(name: &str) -> &str {
    let end = (0..=99.min(name.len())).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
    name[..end].trim_end_matches('/')
}

/// Passes bytes on while hashing and counting them.
pub struct Hashing<W> {
    pub inner: W,
    hash: Sha256,
    pub size_bytes: u64,
}

impl<W> Hashing<W> {
    pub fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new(), size_bytes: 0 }
    }

    /// Digest of everything that passed so far: `sha256:` and 64 hex digits.
    pub fn digest(&self) -> String {
        format!("sha256:{}", hex::encode(self.hash.clone().finalize()))
    }
}

/// The digest of `bytes`: `sha256:` and 64 hex digits.
pub fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.size_bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Feeds the compressor pieces of one fixed size, whatever the sizes it is written with: deflate's output depends on them.
pub struct Pieces<W: Write> {
    encoder: GzEncoder<W>,
    pending: Vec<u8>,
}

impl<W: Write> Pieces<W> {
    /// Ends the gzip stream and gives back what it was written to.
    pub fn finish(mut self) -> io::Result<W> {
        self.encoder.write_all(&self.pending)?;
        self.encoder.finish()
    }
}

impl<W: Write> Write for Pieces<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE_BYTES - self.pending.len());
        self.pending.extend_from_slice(&bytes[..taken]);
        if self.pending.len() == PIECE_BYTES {
            self.encoder.write_all(&self.pending)?;
            self.pending.clear();
        }
        Ok(taken)
    }

    /// Only [`Pieces::finish`] empties the last, shorter piece.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Yields exactly the announced number of bytes, or an error: a tar with a wrong size is unreadable from there on.
struct Exactly<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        match self.left.checked_sub(read as u64) {
            Some(left) if read > 0 || left == 0 => self.left = left,
            _ => {
                return Err(io::Error::other(
                    "the guest binary changed while it was packed: build it, then assemble again",
                ));
            }
        }
        Ok(read)
    }
}
