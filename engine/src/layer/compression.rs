//! Takes compression off a stream, by its first bytes: names and media types are often wrong.
//!
//! The forms are those that dockerd 20.10 takes for an archive: gzip, bzip2 and xz.

use std::io::{self, BufReader, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

use super::xz::Guarded;

const GZIP: &[u8] = &[0x1f, 0x8b, 0x08];
const BZIP2: &[u8] = b"BZh";
const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const LONGEST_MARK_BYTES: u64 = 6;
const BUFFER_BYTES: usize = 64 << 10;

/// Whether a stream with these first bytes is compressed in a form that is known, if only by its mark.
pub fn is_compressed(head: &[u8]) -> bool {
    [GZIP, BZIP2, XZ, ZSTD].iter().any(|mark| head.starts_with(mark))
}

/// `stream` without its compression, or as it is when it has none.
///
/// # Errors
/// What reading the first bytes fails with, and [`io::ErrorKind::Unsupported`] for zstd, which dockerd 20.10 does not
/// take either.
pub fn decompressed<'r>(mut stream: impl Read + 'r) -> io::Result<Box<dyn Read + 'r>> {
    let mut head = Vec::new();
    (&mut stream).take(LONGEST_MARK_BYTES).read_to_end(&mut head)?;
    let is = |mark: &[u8]| head.starts_with(mark);
    let (gzip, bzip2, xz, zstd) = (is(GZIP), is(BZIP2), is(XZ), is(ZSTD));
    let whole = BufReader::with_capacity(BUFFER_BYTES, io::Cursor::new(head).chain(stream));
    Ok(match () {
        () if gzip => Box::new(MultiGzDecoder::new(whole)),
        () if bzip2 => Box::new(MultiBzDecoder::new(whole)),
        () if xz => Box::new(XzReader::new(Guarded::new(whole), true)),
        () if zstd => {
            let advice = "zstd compression is not supported: decompress the archive first (zstd -d)";
            return Err(io::Error::new(io::ErrorKind::Unsupported, advice));
        }
        () => Box::new(whole),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn plain(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        decompressed(bytes)?.read_to_end(&mut text)?;
        Ok(text)
    }

    /// Checklist: TR-04
    #[test]
    fn gzip_bzip2_xz_and_nothing_are_known_by_their_first_bytes() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"layer").unwrap();
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip2.write_all(b"layer").unwrap();
        // `printf layer | xz`
        let xz = "fd377a585a000004e6d6b4460200210116000000742fe5a30100046c6179657200000000f8952cb6df42ed1e0001\
                  1d05b82d80af1fb6f37d010000000004595a";
        let xz = hex::decode(xz).unwrap();
        for bytes in [gzip.finish().unwrap(), bzip2.finish().unwrap(), xz, b"layer".to_vec()] {
            assert_eq!(plain(&bytes).unwrap(), b"layer");
        }
        assert_eq!(plain(b"").unwrap(), b"");
    }

    /// Checklist: DF-11
    #[test]
    fn a_compressed_stream_that_breaks_off_is_an_error() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"layer").unwrap();
        let bytes = gzip.finish().unwrap();
        assert!(plain(&bytes[..bytes.len() - 9]).is_err());
        assert_eq!(plain(ZSTD).unwrap_err().kind(), io::ErrorKind::Unsupported);
    }
}
