//! Looks for the sizes of dictionaries in an xz stream on its way to the decoder, which would make them however large they are.
//!
//! Every block names its own size, so the frame of the stream (headers, LZMA2's chunks, index) is followed, and nothing unpacked.
//! Source: "The .xz File Format" 1.1.0, and `linux-xz`'s description of LZMA2 chunks. What is not well formed is the decoder's to
//! refuse.

use std::io::{self, Read};

/// The largest dictionary that is made; `xz -9` asks for half of it.
const DICTIONARY_BYTES_MAX: u64 = 128 << 20;
const LZMA2: u64 = 0x21;
const HEADER_BYTES: usize = 12;
const INDEX_CHECK_AND_FOOTER_BYTES: u64 = 4 + 12;
/// Bytes of a block's check, by the kind that the stream's header names.
const CHECK_BYTES: [u64; 16] = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64];

/// A stream that fails before a header with too large a dictionary has been handed on.
pub(super) struct Guarded<R> {
    inner: R,
    frame: Frame,
}

impl<R: Read> Guarded<R> {
    pub(super) fn new(inner: R) -> Guarded<R> {
        let frame = Frame {
            place: Place::StreamHeader,
            held: Vec::new(),
            wanted: HEADER_BYTES,
            skip: 0,
            at: 0,
            check_bytes: 0,
        };
        Guarded { inner, frame }
    }
}

impl<R: Read> Read for Guarded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.frame.follow(&buffer[..count])?;
        Ok(count)
    }
}

/// What the bytes that are held mean once there are as many as wanted.
#[derive(Clone, Copy)]
enum Place {
    StreamHeader,
    BlockSize,
    BlockHeader,
    Chunk,
    StoredChunk,
    PackedChunk {
        has_properties: bool,
    },
    IndexCount {
        value: u64,
        shift: u32,
    },
    IndexNumbers {
        left: u64,
    },
    BetweenStreams,
    /// Not well formed: the decoder stops here.
    Lost,
}

struct Frame {
    place: Place,
    held: Vec<u8>,
    wanted: usize,
    skip: u64,
    /// Bytes from the beginning.
    at: u64,
    check_bytes: u64,
}

impl Frame {
    fn follow(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() && !matches!(self.place, Place::Lost) {
            let passed = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
            self.skip -= passed as u64;
            bytes = &bytes[passed..];
            let taken = (self.wanted - self.held.len()).min(bytes.len());
            self.held.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            self.at += (passed + taken) as u64;
            if self.held.len() == self.wanted {
                let held = std::mem::take(&mut self.held);
                (self.place, self.wanted) = self.next(&held)?;
            }
        }
        Ok(())
    }

    /// What comes after `held`, and how many bytes of it are to be looked at.
    fn next(&mut self, held: &[u8]) -> io::Result<(Place, usize)> {
        let size_at = |index: usize| u64::from(u16::from_be_bytes([held[index], held[index + 1]])) + 1;
        let padding = |at: u64| at.next_multiple_of(4) - at;
        Ok(match self.place {
            Place::StreamHeader => {
                self.check_bytes = CHECK_BYTES[usize::from(held[7] & 15)];
                (Place::BlockSize, 1)
            }
            Place::BlockSize if held[0] == 0 => (Place::IndexCount { value: 0, shift: 0 }, 1),
            Place::BlockSize => (Place::BlockHeader, usize::from(held[0]) * 4 + 3),
            Place::BlockHeader => {
                refuse_large_dictionaries(held)?;
                (Place::Chunk, 1)
            }
            Place::Chunk => match held[0] {
                0 => {
                    self.skip = padding(self.at) + self.check_bytes;
                    (Place::BlockSize, 1)
                }
                1 | 2 => (Place::StoredChunk, 2),
                3..0x80 => (Place::Lost, 1),
                control => (Place::PackedChunk { has_properties: control >= 0xc0 }, 4),
            },
            Place::StoredChunk => {
                self.skip = size_at(0);
                (Place::Chunk, 1)
            }
            Place::PackedChunk { has_properties } => {
                self.skip = size_at(2) + u64::from(has_properties);
                (Place::Chunk, 1)
            }
            Place::IndexCount { value, shift } => {
                let value = value | u64::from(held[0] & 0x7f) << shift;
                match held[0] & 0x80 != 0 {
                    true if shift < 49 => (Place::IndexCount { value, shift: shift + 7 }, 1),
                    true => (Place::Lost, 1),
                    false => self.numbers(value * 2),
                }
            }
            // Each number ends with a byte whose highest bit is not set.
            Place::IndexNumbers { left } => self.numbers(left - u64::from(held[0] & 0x80 == 0)),
            Place::BetweenStreams if held[0] == 0 => (Place::BetweenStreams, 1),
            Place::BetweenStreams => {
                self.held.push(held[0]);
                (Place::StreamHeader, HEADER_BYTES)
            }
            Place::Lost => (Place::Lost, 1),
        })
    }

    fn numbers(&mut self, left: u64) -> (Place, usize) {
        if left > 0 {
            return (Place::IndexNumbers { left }, 1);
        }
        self.skip = self.at.next_multiple_of(4) - self.at + INDEX_CHECK_AND_FOOTER_BYTES;
        (Place::BetweenStreams, 1)
    }
}

/// Looks through the filters of a block's header, of which the first byte, its size, is missing.
fn refuse_large_dictionaries(header: &[u8]) -> io::Result<()> {
    let Some((flags, mut rest)) = header.split_first() else { return Ok(()) };
    for flag in [0x40, 0x80] {
        if flags & flag != 0 {
            number(&mut rest);
        }
    }
    for _ in 0..=flags & 3 {
        let (Some(filter), Some(size)) = (number(&mut rest), number(&mut rest)) else { return Ok(()) };
        let Some((properties, after)) = usize::try_from(size).ok().and_then(|size| rest.split_at_checked(size)) else {
            return Ok(());
        };
        rest = after;
        let Some(bits) = properties.first().filter(|bits| filter == LZMA2 && **bits <= 40) else { continue };
        let bytes = if *bits == 40 { u64::from(u32::MAX) } else { (2 | u64::from(bits & 1)) << (bits / 2 + 11) };
        if bytes > DICTIONARY_BYTES_MAX {
            let (mebibytes, most) = (bytes >> 20, DICTIONARY_BYTES_MAX >> 20);
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!(
                    "the xz stream asks for a dictionary of {mebibytes} MiB, more than the {most} MiB that are allowed: \
                     compress it again with xz -9 or less"
                ),
            ));
        }
    }
    Ok(())
}

/// A number of seven bits a byte, the lowest first.
fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use lzma_rust2::XzReader;

    /// What [`plain`] gives through `xz -0 --block-size=100`: stored and packed chunks in three blocks.
    const BLOCKS: &str = "fd377a585a000004e6d6b446020021010c0000008f98419ce0006300205d002d1c42e213954f97670eb471ebb8179f4d0973\
        8bf13fbd506e211bec9049360000c11d355bf3a200be020021010c0000008f98419ce0006300065d0030ee9e000000000000\
        3384f46fe6fe8e45020021010c0000008f98419ce0002e000f5d0030ee066c309f31d78bff1215e6000000007f1412c2bcaf\
        678900033c6422642b2fd61784d3b1c467fb020000000004595a";

    fn plain() -> Vec<u8> {
        format!("Zq7!kP0x_mV3bR9~tLw2;cJ5{}layer layer layer layer", "a".repeat(200)).into_bytes()
    }

    fn stream() -> Vec<u8> {
        hex::decode(BLOCKS).unwrap()
    }

    /// Reads in pieces of `step` bytes.
    fn read(bytes: &[u8], step: usize) -> io::Result<Vec<u8>> {
        let pieces = io::BufReader::with_capacity(step, bytes);
        let mut plain = Vec::new();
        XzReader::new(Guarded::new(pieces), true).read_to_end(&mut plain)?;
        Ok(plain)
    }

    /// Where block headers begin: those of `stream` are all alike in their first bytes.
    fn headers(stream: &[u8]) -> Vec<usize> {
        let like = &stream[HEADER_BYTES..HEADER_BYTES + 4];
        (HEADER_BYTES..stream.len()).step_by(4).filter(|start| stream[*start..].starts_with(like)).collect()
    }

    /// Has the header of the block at `start` claim 4 GiB, as `xz --lzma2=dict=4GiB` writes it.
    fn claim_too_much(stream: &mut [u8], start: usize) {
        let size = (usize::from(stream[start]) + 1) * 4;
        let place = stream[start..].windows(2).position(|pair| pair == [LZMA2 as u8, 1]).unwrap();
        stream[start + place + 2] = 40;
        let mut check = flate2::Crc::new();
        check.update(&stream[start..start + size - 4]);
        stream[start + size - 4..start + size].copy_from_slice(&check.sum().to_le_bytes());
    }

    #[test]
    fn streams_of_several_blocks_one_after_another_pass() {
        let twice = [&stream()[..], &[0; 8], &stream()].concat();
        for step in [1, 7, 4096] {
            assert_eq!(read(&stream(), step).unwrap(), plain());
            assert_eq!(read(&twice, step).unwrap(), [plain(), plain()].concat());
        }
    }

    #[test]
    fn a_dictionary_beyond_bounds_is_refused_in_any_block_of_any_stream() {
        let sound = stream();
        let headers = headers(&sound);
        assert_eq!(headers.len(), 3);
        for start in headers {
            let mut broken = sound.clone();
            claim_too_much(&mut broken, start);
            for bytes in [broken.clone(), [&sound[..], &broken].concat()] {
                let error = read(&bytes, 7).unwrap_err().to_string();
                assert!(error.contains("a dictionary of 4095 MiB, more than the 128 MiB"), "{error}");
            }
        }
    }
}
