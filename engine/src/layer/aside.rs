//! Hashes aside what is read: in a thread of its own, for a single stream whose reader has work enough for one core.

use std::io::{self, BufWriter, Read, Write};
use std::thread::{self, JoinHandle};

use super::blocks::{BlockWriter, blocks};
use crate::image::{Digest, DigestReader};

/// So much is handed over at a time: to wake a thread costs more than to hash a little.
const PART_BYTES: usize = 1 << 20;

/// A reader that names what flows through it ([`DigestReader`] does so on the reader's own core).
pub struct AsideReader<R> {
    inner: R,
    parts: BufWriter<BlockWriter>,
    hashing: JoinHandle<io::Result<Digest>>,
}

impl<R: Read> AsideReader<R> {
    /// Wraps `inner`; nothing has been read yet.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn new(inner: R) -> io::Result<AsideReader<R>> {
        let (reader, writer) = blocks();
        let hashing = thread::Builder::new().spawn(move || {
            let mut reader = DigestReader::new(reader);
            io::copy(&mut reader, &mut io::sink())?;
            Ok(reader.finish().0)
        })?;
        Ok(AsideReader { inner, parts: BufWriter::with_capacity(PART_BYTES, writer), hashing })
    }

    /// The digest of all that has been read.
    pub fn finish(self) -> io::Result<Digest> {
        let AsideReader { parts, hashing, .. } = self;
        drop(parts.into_inner()?);
        hashing.join().unwrap_or_else(|_| Err(io::Error::other("the thread that hashes panicked")))
    }
}

impl<R: Read> Read for AsideReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.parts.write_all(&buffer[..count])?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_read_is_named() {
        // More parts than may wait, and no whole number of them.
        let bytes: Vec<u8> = (0..7 * PART_BYTES + 5).map(|index| (index % 251) as u8).collect();
        let mut reader = AsideReader::new(bytes.as_slice()).unwrap();
        io::copy(&mut reader, &mut io::sink()).unwrap();
        assert_eq!(reader.finish().unwrap(), Digest::of(&bytes));
    }
}
