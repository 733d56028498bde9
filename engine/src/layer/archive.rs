//! Reads a layer tar entry by entry, trusting nothing in it but the bytes.
//!
//! Understood: v7, ustar, GNU long names, PAX records for path, linkpath, size, uid, gid, mtime and `SCHILY.xattr.*`.
//! PAX values may hold any byte (a file capability may contain a newline). Global PAX headers are skipped, as Docker
//! does. Of sparse files all four forms are understood: an entry says where in the file the bytes belong that follow it.
//!
//! Sources: POSIX `pax`; GNU tar manual, "Basic Tar Format"; the limits and corner cases are those of Go's
//! `archive/tar`, which Docker reads layers with.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::ops::Range;

use super::header::{BLOCK_BYTES, checksums, field, padding_bytes};
use super::tar_split::Recorder;
use crate::sys::reason::reason;

mod fields;
mod sparse;

use fields::{decimal, numeric, pax_records, pax_time, short_name, take_text, text, xattrs};
pub use sparse::Extent;
use sparse::{Map, Sparse};

/// The largest extended header that is taken into memory, as in Docker's tar-split.
const EXTENDED_HEADER_LIMIT_BYTES: u64 = 1 << 20;
/// The kernel's `PATH_MAX`, in which the byte that ends a path counts: no name or link of that length can be made.
const NAME_LIMIT_BYTES: usize = 4096;
const STREAM_BUFFER_BYTES: usize = 64 << 10;

/// What an entry makes in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    HardLink,
    Symlink,
    CharDevice { major: u32, minor: u32 },
    BlockDevice { major: u32, minor: u32 },
    Directory,
    Fifo,
}

/// A point in time: seconds since 1970 (negative before) and 0 to 999 999 999 nanoseconds after that second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    pub seconds: i64,
    pub nanoseconds: u32,
}

/// One entry's header with its extensions applied; names are bytes as they stand in the tar.
#[derive(Debug, Clone)]
pub struct Entry {
    pub name: Vec<u8>,
    pub kind: Kind,
    /// The target of a hard link or symlink; empty otherwise.
    pub link_name: Vec<u8>,
    /// Permission, setuid, setgid and sticky bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// The length of the file; 0 for all but files.
    pub size_bytes: u64,
    /// Of a sparse file, where the contents belong that the tar has of it, one after another; all else are holes.
    pub extents: Option<Vec<Extent>>,
    pub mtime: Time,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// A stream that is not a whole, well-formed tar. Offsets are bytes from the start of the stream.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("cannot read the layer tar at byte {offset}: {}", reason(.source))]
    Read { offset: u64, source: io::Error },
    #[error("the layer tar ends at byte {offset}, in the middle of {inside}: fetch the layer again")]
    Truncated { offset: u64, inside: String },
    #[error("the layer tar is malformed at byte {offset}: {what}: the layer was damaged or is not a tar")]
    Malformed { offset: u64, what: String },
    #[error("the layer tar holds {name:?} as {what}, which is not supported: rebuild the image without it")]
    Unsupported { name: String, what: String },
    #[error("cannot note how the layer tar was made: {}", reason(.0))]
    Record(#[source] io::Error),
}

/// A layer tar being read. After [`Archive::next_entry`], reading from the archive gives that entry's contents.
pub struct Archive<'w, R> {
    stream: BufReader<R>,
    offset: u64,
    body_left: u64,
    padding: u64,
    /// Whether what comes next is a file's contents, and not an extended header or padding.
    in_contents: bool,
    record: Option<Recorder<'w>>,
}

#[derive(Default)]
struct Extensions {
    pax: BTreeMap<Vec<u8>, Vec<u8>>,
    long_name: Option<Vec<u8>>,
    long_link_name: Option<Vec<u8>>,
}

impl<R: Read + Seek> Archive<'_, R> {
    /// Where in the stream the contents of the present entry begin, if none have been read.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Goes to the end of the present entry without reading it. To be called on an archive that is not recorded.
    pub fn pass_over(&mut self) -> Result<(), ArchiveError> {
        let length = std::mem::take(&mut self.body_left) + std::mem::take(&mut self.padding);
        let distance = i64::try_from(length)
            .map_err(|_| ArchiveError::Malformed { offset: self.offset, what: "a size beyond all bounds".into() })?;
        self.stream.seek_relative(distance).map_err(|source| ArchiveError::Read { offset: self.offset, source })?;
        self.offset += length;
        Ok(())
    }
}

impl<'w, R: Read> Archive<'w, R> {
    pub fn new(stream: R) -> Archive<'w, R> {
        let stream = BufReader::with_capacity(STREAM_BUFFER_BYTES, stream);
        Archive { stream, offset: 0, body_left: 0, padding: 0, in_contents: false, record: None }
    }

    /// An archive that notes in `record` all that its files do not hold; [`Archive::finish_record`] completes it.
    pub fn recorded(stream: R, record: impl Write + 'w) -> Archive<'w, R> {
        Archive { record: Some(Recorder::new(record)), ..Archive::new(stream) }
    }

    /// Completes the record, once there is no next entry.
    pub fn finish_record(self) -> Result<(), ArchiveError> {
        self.record.map_or(Ok(()), Recorder::finish).map_err(ArchiveError::Record)
    }

    /// The next entry, or `None` once the stream has been read to its very end, trailing bytes included.
    ///
    /// Like Go's reader it takes a stream that ends between two entries for complete; a diff ID tells them apart.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, ArchiveError> {
        self.skip_contents()?;
        let mut extensions = Extensions::default();
        let mut extended = false;
        loop {
            let start = self.offset;
            let Some(block) = self.header_block()? else {
                return if extended { Err(self.truncated("an extended header")) } else { Ok(None) };
            };
            match block[field::TYPE] {
                b'x' => extensions.pax = self.pax_header(&block, start)?,
                b'L' => extensions.long_name = Some(self.long_text(&block, start)?),
                b'K' => extensions.long_link_name = Some(self.long_text(&block, start)?),
                b'g' => drop(self.extended_body(&block, start)?),
                _ => return self.entry(&block, extensions, start).map(Some),
            }
            extended = block[field::TYPE] != b'g';
        }
    }

    fn entry(&mut self, block: &[u8; BLOCK_BYTES], extensions: Extensions, start: u64) -> Result<Entry, ArchiveError> {
        let malformed = |what: String| ArchiveError::Malformed { offset: start, what };
        let Extensions { mut pax, long_name, long_link_name } = extensions;
        let name = long_name.or(take_text(&mut pax, "path")).unwrap_or_else(|| short_name(block));
        let mut sparse = sparse::of(block, &mut pax).map_err(|what| malformed(format!("{what} {:?}", lossy(&name))))?;
        let name = sparse.as_mut().and_then(|sparse| sparse.name.take()).unwrap_or(name);
        let link_name = long_link_name
            .or(take_text(&mut pax, "linkpath"))
            .unwrap_or_else(|| text(&block[field::LINK_NAME]).to_vec());
        for (what, name) in [("name", &name), ("link name", &link_name)] {
            if name.len() >= NAME_LIMIT_BYTES {
                let what = format!("a {what} of {} bytes, where {} are possible", name.len(), NAME_LIMIT_BYTES - 1);
                return Err(malformed(what));
            }
        }
        let shown = || lossy(&name);
        if name.contains(&0) || link_name.contains(&0) {
            return Err(malformed(format!("a NUL byte in the name {:?}", shown())));
        }
        let kind = kind(block, &name).map_err(|what| match what {
            KindError::Unsupported(what) => ArchiveError::Unsupported { name: shown(), what },
            KindError::Number(what) => malformed(what),
        })?;
        let mut number = |keyword: &str, range: Range<usize>| match take_text(&mut pax, keyword) {
            Some(value) => decimal(&value).ok_or_else(|| malformed(format!("PAX {keyword} of {:?}", shown()))),
            None => numeric(&block[range]).ok_or_else(|| malformed(format!("{keyword} of {:?}", shown()))),
        };
        let size = number("size", field::SIZE)?;
        let (uid, gid) = (number("uid", field::UID)?, number("gid", field::GID)?);
        let mode = numeric(&block[field::MODE]).ok_or_else(|| malformed(format!("mode of {:?}", shown())))?;
        let mtime = match take_text(&mut pax, "mtime") {
            Some(value) => pax_time(&value),
            None => numeric(&block[field::MTIME]).map(|seconds| Time { seconds, nanoseconds: 0 }),
        };
        let size_bytes = u64::try_from(size).map_err(|_| malformed(format!("negative size of {:?}", shown())))?;
        let size_bytes = if kind == Kind::File { size_bytes } else { 0 };
        let id = |value: i64, what: &str| {
            let id = u32::try_from(value).ok().filter(|&id| id != u32::MAX);
            id.ok_or_else(|| malformed(format!("{what} {value} of {:?}", shown())))
        };
        let mut entry = Entry {
            kind,
            link_name,
            extents: None,
            mode: (mode & 0o7777) as u32,
            uid: id(uid, "uid")?,
            gid: id(gid, "gid")?,
            size_bytes,
            mtime: mtime.ok_or_else(|| malformed(format!("mtime of {:?}", shown())))?,
            xattrs: xattrs(pax),
            name,
        };
        (self.body_left, self.padding) = (size_bytes, padding_bytes(size_bytes));
        // No file with holes tells which of them its tar had: all that the tar holds of it is noted as it is.
        self.in_contents = sparse.is_none();
        if let Some(record) = &mut self.record {
            let size_bytes = if sparse.is_none() { size_bytes } else { 0 };
            record.entry(&entry.name, size_bytes).map_err(ArchiveError::Record)?;
        }
        if let Some(sparse) = sparse.filter(|_| kind == Kind::File) {
            entry.size_bytes = sparse.size_bytes;
            entry.extents = Some(self.extents(sparse, &entry.name, start)?);
        }
        Ok(entry)
    }

    /// Where the contents of a sparse file belong, read to where they begin.
    fn extents(&mut self, sparse: Sparse, name: &[u8], start: u64) -> Result<Vec<Extent>, ArchiveError> {
        let malformed =
            |what: String| ArchiveError::Malformed { offset: start, what: format!("{what} {:?}", lossy(name)) };
        let extents = match sparse.map {
            Map::Whole(extents) => extents,
            Map::Blocks(mut extents) => loop {
                let block = self.block()?.ok_or_else(|| self.truncated("the map of a sparse file"))?;
                if !sparse::further(&block, &mut extents).map_err(malformed)? {
                    break extents;
                }
            },
            Map::Lines => {
                let mut lines = Vec::new();
                loop {
                    let mut block = [0; BLOCK_BYTES];
                    let mut filled = 0;
                    while filled < BLOCK_BYTES {
                        match self.read_body(&mut block[filled..])? {
                            0 => return Err(malformed("no end of the map of the sparse file".into())),
                            count => filled += count,
                        }
                    }
                    lines.extend_from_slice(&block);
                    if let Some(extents) = sparse::in_lines(&lines).map_err(malformed)? {
                        break extents;
                    }
                    if lines.len() > sparse::LINES_LIMIT_BYTES {
                        return Err(malformed("an endless map of the sparse file".into()));
                    }
                }
            }
        };
        match sparse::is_possible(&extents, sparse.size_bytes, self.body_left) {
            true => Ok(extents),
            false => Err(malformed("a map that does not fit the sparse file".into())),
        }
    }

    /// The next header block, checked; `None` at the end of the archive, with the stream read to its end.
    fn header_block(&mut self) -> Result<Option<[u8; BLOCK_BYTES]>, ArchiveError> {
        let start = self.offset;
        let Some(block) = self.block()? else { return Ok(None) };
        if block == [0; BLOCK_BYTES] {
            match self.block()? {
                None => {}
                Some(second) if second == [0; BLOCK_BYTES] => self.drain()?,
                Some(_) => {
                    let what = "a lone block of zeros before more entries".into();
                    return Err(ArchiveError::Malformed { offset: start, what });
                }
            }
            return Ok(None);
        }
        let (unsigned, signed) = checksums(&block);
        match numeric(&block[field::CHECKSUM]) {
            Some(sum) if sum == unsigned || sum == signed => Ok(Some(block)),
            _ => Err(ArchiveError::Malformed { offset: start, what: "the header checksum does not match".into() }),
        }
    }

    /// The next 512 bytes; `None` when the stream ends just here.
    fn block(&mut self) -> Result<Option<[u8; BLOCK_BYTES]>, ArchiveError> {
        let mut block = [0; BLOCK_BYTES];
        let mut filled = 0;
        while filled < BLOCK_BYTES {
            match self.read_stream(&mut block[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(self.truncated("a header")),
                count => filled += count,
            }
        }
        Ok(Some(block))
    }

    fn pax_header(
        &mut self,
        block: &[u8; BLOCK_BYTES],
        start: u64,
    ) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, ArchiveError> {
        let body = self.extended_body(block, start)?;
        pax_records(&body).ok_or(ArchiveError::Malformed { offset: start, what: "a broken PAX record".into() })
    }

    fn long_text(&mut self, block: &[u8; BLOCK_BYTES], start: u64) -> Result<Vec<u8>, ArchiveError> {
        let body = self.extended_body(block, start)?;
        Ok(text(&body).to_vec())
    }

    fn extended_body(&mut self, block: &[u8; BLOCK_BYTES], start: u64) -> Result<Vec<u8>, ArchiveError> {
        let size = numeric(&block[field::SIZE]).and_then(|size| u64::try_from(size).ok());
        let Some(size) = size.filter(|size| *size <= EXTENDED_HEADER_LIMIT_BYTES) else {
            let what = format!("an extended header larger than {EXTENDED_HEADER_LIMIT_BYTES} bytes");
            return Err(ArchiveError::Malformed { offset: start, what });
        };
        (self.body_left, self.padding) = (size, padding_bytes(size));
        let mut body = vec![0; size as usize];
        let mut filled = 0;
        while filled < body.len() {
            match self.read_body(&mut body[filled..])? {
                0 => return Err(self.truncated("an extended header")),
                count => filled += count,
            }
        }
        self.skip_contents()?;
        Ok(body)
    }

    /// Reads contents of the present entry into `buffer`; 0 at their end. A stream that ends before is an error.
    pub fn read_body(&mut self, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
        let wanted = buffer.len().min(usize::try_from(self.body_left).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let count = self.read_stream(&mut buffer[..wanted])?;
        if count == 0 {
            return Err(self.truncated("an entry's contents"));
        }
        self.body_left -= count as u64;
        Ok(count)
    }

    /// Hands what comes next of the present entry's contents to `take`, where it lies in memory: `limit_bytes` of it at most, and how many bytes it
    /// was; 0 at their end. A stream that ends before is an error.
    pub fn hand_body<E: From<ArchiveError>>(
        &mut self,
        limit_bytes: u64,
        take: impl FnOnce(&[u8]) -> Result<(), E>,
    ) -> Result<u64, E> {
        let wanted = usize::try_from(limit_bytes.min(self.body_left)).unwrap_or(usize::MAX);
        if wanted == 0 {
            return Ok(0);
        }
        let offset = self.offset;
        let ahead = self.stream.fill_buf().map_err(|source| ArchiveError::Read { offset, source })?;
        let part = &ahead[..wanted.min(ahead.len())];
        let count = part.len();
        if count == 0 {
            return Err(self.truncated("an entry's contents").into());
        }
        take(part)?;
        if let Some(record) = &mut self.record {
            let noted = if self.in_contents { record.contents(part) } else { record.segment(part) };
            noted.map_err(ArchiveError::Record)?;
        }
        self.stream.consume(count);
        self.offset += count as u64;
        self.body_left -= count as u64;
        Ok(count as u64)
    }

    fn skip_contents(&mut self) -> Result<(), ArchiveError> {
        let mut scratch = [0; 8192];
        while self.read_body(&mut scratch)? > 0 {}
        if std::mem::take(&mut self.in_contents)
            && let Some(record) = &mut self.record
        {
            record.end_of_contents().map_err(ArchiveError::Record)?;
        }
        self.body_left = std::mem::take(&mut self.padding);
        while self.read_body(&mut scratch)? > 0 {}
        Ok(())
    }

    fn drain(&mut self) -> Result<(), ArchiveError> {
        let mut scratch = [0; 8192];
        while self.read_stream(&mut scratch)? > 0 {}
        Ok(())
    }

    fn read_stream(&mut self, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
        loop {
            match self.stream.read(buffer) {
                Ok(count) => {
                    self.offset += count as u64;
                    if let Some(record) = &mut self.record {
                        let bytes = &buffer[..count];
                        let noted = if self.in_contents { record.contents(bytes) } else { record.segment(bytes) };
                        noted.map_err(ArchiveError::Record)?;
                    }
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(ArchiveError::Read { offset: self.offset, source }),
            }
        }
    }

    fn truncated(&self, inside: &str) -> ArchiveError {
        ArchiveError::Truncated { offset: self.offset, inside: inside.to_owned() }
    }
}

enum KindError {
    Unsupported(String),
    Number(String),
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

fn kind(block: &[u8; BLOCK_BYTES], name: &[u8]) -> Result<Kind, KindError> {
    let device = || {
        let number = |range: Range<usize>, what: &str| {
            let number = numeric(&block[range]).and_then(|number| u32::try_from(number).ok());
            number.ok_or_else(|| KindError::Number(format!("{what} of {:?}", String::from_utf8_lossy(name))))
        };
        Ok((number(field::DEVICE_MAJOR, "device major")?, number(field::DEVICE_MINOR, "device minor")?))
    };
    match block[field::TYPE] {
        0 if name.ends_with(b"/") => Ok(Kind::Directory),
        0 | b'0' | b'7' | b'S' => Ok(Kind::File),
        b'1' => Ok(Kind::HardLink),
        b'2' => Ok(Kind::Symlink),
        b'3' => device().map(|(major, minor)| Kind::CharDevice { major, minor }),
        b'4' => device().map(|(major, minor)| Kind::BlockDevice { major, minor }),
        b'5' => Ok(Kind::Directory),
        b'6' => Ok(Kind::Fifo),
        other => Err(KindError::Unsupported(format!("an entry of type {:?}", char::from(other)))),
    }
}

/// Whether these are the first bytes of a tar: a header block whose checksum is right.
pub fn is_header(bytes: &[u8]) -> bool {
    let Ok(block) = <&[u8; BLOCK_BYTES]>::try_from(bytes) else { return false };
    let (unsigned, signed) = checksums(block);
    *block != [0; BLOCK_BYTES] && numeric(&block[field::CHECKSUM]).is_some_and(|sum| sum == unsigned || sum == signed)
}
