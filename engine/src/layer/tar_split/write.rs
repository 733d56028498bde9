//! Writes `tar-split.json.gz` while a layer tar is read.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crc_fast::Digest as Crc;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::{FILE, Line, Payload, SEGMENT, checksum};
use crate::image::go_json;
use crate::layer::whiteout::{self, Meaning};

/// A segment is written when it has grown so long, lest bytes that trail a tar fill the memory.
const SEGMENT_LIMIT_BYTES: usize = 1 << 20;

/// Takes down a tar, piece by piece in the tar's order.
pub(in crate::layer) struct Recorder<'w> {
    out: GzEncoder<Box<dyn Write + 'w>>,
    segment: Vec<u8>,
    position: u64,
    /// The file whose contents are being read.
    file: Option<(Line, Crc)>,
}

impl<'w> Recorder<'w> {
    pub(in crate::layer) fn new(out: impl Write + 'w) -> Recorder<'w> {
        let out: Box<dyn Write + 'w> = Box::new(out);
        // Most of it are zeros and what the last header said: more effort halves the speed and saves a fifth.
        Recorder { out: GzEncoder::new(out, Compression::fast()), segment: Vec::new(), position: 0, file: None }
    }

    /// Bytes that are no file's contents.
    pub(in crate::layer) fn segment(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.segment.extend_from_slice(bytes);
        if self.segment.len() >= SEGMENT_LIMIT_BYTES { self.flush_segment() } else { Ok(()) }
    }

    /// An entry, whose header was the last of the segment so far.
    pub(in crate::layer) fn entry(&mut self, name: &[u8], size_bytes: u64) -> io::Result<()> {
        self.flush_segment()?;
        let (name, name_raw) = match std::str::from_utf8(name) {
            Ok(text) => (text.to_owned(), Vec::new()),
            Err(_) => (String::new(), name.to_vec()),
        };
        let mut line = Line { kind: FILE, name, name_raw, size_bytes, payload: None, position: 0 };
        if size_bytes > 0 && is_kept(line.name()) {
            self.file = Some((line, checksum()));
            return Ok(());
        }
        line.size_bytes = 0;
        self.write(line)
    }

    /// Contents of the entry.
    pub(in crate::layer) fn contents(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.file {
            Some((_, crc)) => crc.update(bytes),
            None => self.segment(bytes)?,
        }
        Ok(())
    }

    /// The contents of the entry are complete.
    pub(in crate::layer) fn end_of_contents(&mut self) -> io::Result<()> {
        let Some((mut line, crc)) = self.file.take() else { return Ok(()) };
        line.payload = Some(Payload(crc.finalize().to_be_bytes().to_vec()));
        self.write(line)
    }

    /// The tar has been read to its end.
    pub(in crate::layer) fn finish(mut self) -> io::Result<()> {
        self.flush_segment()?;
        self.out.finish()?.flush()
    }

    fn flush_segment(&mut self) -> io::Result<()> {
        if self.segment.is_empty() {
            return Ok(());
        }
        let payload = Some(Payload(std::mem::take(&mut self.segment)));
        let line =
            Line { kind: SEGMENT, name: String::new(), name_raw: Vec::new(), size_bytes: 0, payload, position: 0 };
        self.write(line)
    }

    fn write(&mut self, mut line: Line) -> io::Result<()> {
        line.position = self.position;
        self.position += 1;
        let mut text = go_json::to_vec(&line)?;
        text.push(b'\n');
        self.out.write_all(&text)
    }
}

/// Whether an entry of this name becomes a file of the layer, and not a whiteout or nothing.
fn is_kept(name: &[u8]) -> bool {
    let path = Path::new(OsStr::from_bytes(name));
    path.components().all(|part| whiteout::meaning(part.as_os_str()) == Meaning::Content)
}
