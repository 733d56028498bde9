//! The 512-byte tar header block and its PAX companion, as Go's `archive/tar` writes them.
//!
//! Docker's layers are written by that package, so a diff ID depends on each of its habits: when a PAX record is
//! needed at all, what stands in the main header then, how the PAX header's own name is made.
//!
//! Source: POSIX `pax` ("ustar Interchange Format", "pax Header Block"); layers recorded from Docker 20.10.

use std::collections::BTreeMap;
use std::ops::Range;

pub const BLOCK_BYTES: usize = 512;

/// The fields of a header block.
pub mod field {
    use super::Range;

    pub const NAME: Range<usize> = 0..100;
    pub const MODE: Range<usize> = 100..108;
    pub const UID: Range<usize> = 108..116;
    pub const GID: Range<usize> = 116..124;
    pub const SIZE: Range<usize> = 124..136;
    pub const MTIME: Range<usize> = 136..148;
    pub const CHECKSUM: Range<usize> = 148..156;
    pub const TYPE: usize = 156;
    pub const LINK_NAME: Range<usize> = 157..257;
    pub const MAGIC: Range<usize> = 257..265;
    pub const USER_NAME: Range<usize> = 265..297;
    pub const GROUP_NAME: Range<usize> = 297..329;
    pub const DEVICE_MAJOR: Range<usize> = 329..337;
    pub const DEVICE_MINOR: Range<usize> = 337..345;
    pub const PREFIX: Range<usize> = 345..500;
}

const USTAR_MAGIC: &[u8; 8] = b"ustar\x0000";

/// One entry's header before it is encoded. Numbers are not limited; what does not fit its field goes to PAX.
#[derive(Debug, Clone, Default)]
pub struct Header {
    /// The path without a leading slash; directories end in `/`.
    pub name: Vec<u8>,
    /// The tar type: `b'0'` file, `b'1'` hard link, `b'2'` symlink, `b'3'` char, `b'4'` block, `b'5'` directory, `b'6'` fifo.
    pub kind: u8,
    /// Permission bits and, as Docker has it, the file type bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub user_name: String,
    pub group_name: String,
    pub size_bytes: u64,
    /// Seconds since 1970.
    pub mtime_seconds: i64,
    pub link_name: Vec<u8>,
    pub device_major: u32,
    pub device_minor: u32,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// A number that has no PAX keyword and does not fit its field.
#[derive(Debug, thiserror::Error)]
#[error("{what} {value} does not fit a tar header")]
pub struct TooLarge {
    what: &'static str,
    value: u32,
}

impl Header {
    /// The blocks that stand before the entry's contents: the header, and the PAX header where one is needed.
    pub fn encode(&self) -> Result<Vec<u8>, TooLarge> {
        for (what, value) in [("device major", self.device_major), ("device minor", self.device_minor)] {
            if !fits_octal(&field::DEVICE_MAJOR, i64::from(value)) {
                return Err(TooLarge { what, value });
            }
        }
        let records = self.pax_records();
        if records.is_empty() {
            return Ok(self.ustar_block().to_vec());
        }
        let mut blocks = pax_blocks(&self.name, &records);
        blocks.extend_from_slice(&self.main_block(&ascii(&self.name), &[]));
        Ok(blocks)
    }

    /// What only PAX can say, sorted by keyword. A long path that ustar can split is listed only beside another record.
    fn pax_records(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut records = BTreeMap::new();
        let texts: [(&str, &[u8], Range<usize>); 4] = [
            ("path", &self.name, field::NAME),
            ("linkpath", &self.link_name, field::LINK_NAME),
            ("uname", self.user_name.as_bytes(), field::USER_NAME),
            ("gname", self.group_name.as_bytes(), field::GROUP_NAME),
        ];
        for (keyword, text, field) in texts {
            if text.len() > field.len() || !text.is_ascii() {
                records.insert(keyword.into(), text.to_vec());
            }
        }
        let numbers = [
            ("uid", i64::from(self.uid), field::UID),
            ("gid", i64::from(self.gid), field::GID),
            ("size", self.size_bytes.cast_signed(), field::SIZE),
            ("mtime", self.mtime_seconds, field::MTIME),
        ];
        for (keyword, number, field) in numbers {
            if !fits_octal(&field, number) {
                records.insert(keyword.into(), number.to_string().into_bytes());
            }
        }
        for (name, value) in &self.xattrs {
            records.insert([b"SCHILY.xattr.", name.as_slice()].concat(), value.clone());
        }
        if records.len() == 1 && records.contains_key(b"path".as_slice()) && split_path(&self.name).is_some() {
            records.clear();
        }
        records
    }

    fn ustar_block(&self) -> [u8; BLOCK_BYTES] {
        match split_path(&self.name) {
            Some((prefix, name)) => self.main_block(name, prefix),
            None => self.main_block(&self.name, &[]),
        }
    }

    fn main_block(&self, name: &[u8], prefix: &[u8]) -> [u8; BLOCK_BYTES] {
        let mut block = [0; BLOCK_BYTES];
        put_text(&mut block[field::NAME], name);
        put_octal(&mut block[field::MODE], i64::from(self.mode));
        put_octal(&mut block[field::UID], i64::from(self.uid));
        put_octal(&mut block[field::GID], i64::from(self.gid));
        put_octal(&mut block[field::SIZE], self.size_bytes.cast_signed());
        put_octal(&mut block[field::MTIME], self.mtime_seconds);
        block[field::TYPE] = self.kind;
        put_text(&mut block[field::LINK_NAME], &ascii(&self.link_name));
        put_text(&mut block[field::USER_NAME], &ascii(self.user_name.as_bytes()));
        put_text(&mut block[field::GROUP_NAME], &ascii(self.group_name.as_bytes()));
        put_octal(&mut block[field::DEVICE_MAJOR], i64::from(self.device_major));
        put_octal(&mut block[field::DEVICE_MINOR], i64::from(self.device_minor));
        put_text(&mut block[field::PREFIX], prefix);
        seal(&mut block);
        block
    }
}

/// The sum of a block's bytes with its checksum field taken as blanks: (unsigned, signed), old writers used the latter.
pub fn checksums(block: &[u8; BLOCK_BYTES]) -> (i64, i64) {
    let mut sums = (0, 0);
    for (position, &byte) in block.iter().enumerate() {
        let byte = if field::CHECKSUM.contains(&position) { b' ' } else { byte };
        sums.0 += i64::from(byte);
        sums.1 += i64::from(byte.cast_signed());
    }
    sums
}

/// The zero bytes that fill up the last block of `size_bytes` bytes of contents.
pub fn padding_bytes(size_bytes: u64) -> u64 {
    size_bytes.next_multiple_of(BLOCK_BYTES as u64) - size_bytes
}

fn pax_blocks(name: &[u8], records: &BTreeMap<Vec<u8>, Vec<u8>>) -> Vec<u8> {
    let mut body = Vec::new();
    for (keyword, value) in records {
        body.extend_from_slice(&pax_record(keyword, value));
    }
    let mut block = [0; BLOCK_BYTES];
    put_text(&mut block[field::NAME], &pax_name(name));
    for (field, value) in [(field::MODE, 0), (field::UID, 0), (field::GID, 0), (field::MTIME, 0)] {
        put_octal(&mut block[field], value);
    }
    put_octal(&mut block[field::SIZE], body.len() as i64);
    block[field::TYPE] = b'x';
    seal(&mut block);
    body.resize(body.len().next_multiple_of(BLOCK_BYTES), 0);
    [block.as_slice(), &body].concat()
}

/// `LENGTH KEYWORD=VALUE\n`, where the length counts itself.
fn pax_record(keyword: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = keyword.len() + value.len() + b" =\n".len();
    let mut length = rest + rest.to_string().len();
    length = rest + length.to_string().len();
    [length.to_string().as_bytes(), b" ", keyword, b"=", value, b"\n"].concat()
}

/// `DIRECTORY/PaxHeaders.0/FILE`, in ASCII and cut to the field; a directory's own name counts as the directory.
fn pax_name(name: &[u8]) -> Vec<u8> {
    let file_start = name.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    let (directory, file) = name.split_at(file_start);
    let mut joined = [directory, b"PaxHeaders.0".as_slice()].concat();
    if !file.is_empty() {
        joined.push(b'/');
        joined.extend_from_slice(file);
    }
    let mut text = ascii(&joined);
    text.truncate(field::NAME.len());
    let end = text.iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
    text.truncate(end);
    text
}

/// Splits a path of more than 100 ASCII bytes at a slash into ustar's prefix (155 bytes at most) and name.
fn split_path(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= field::NAME.len() || !path.is_ascii() {
        return None;
    }
    let searched = match path.len() {
        length if length > field::PREFIX.len() + 1 => field::PREFIX.len() + 1,
        length if path[length - 1] == b'/' => length - 1,
        length => length,
    };
    let slash = path[..searched].iter().rposition(|&byte| byte == b'/')?;
    let (prefix, name) = (&path[..slash], &path[slash + 1..]);
    let fits = !prefix.is_empty() && !name.is_empty() && name.len() <= field::NAME.len();
    fits.then_some((prefix, name))
}

fn ascii(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(|byte| byte.is_ascii() && *byte != 0).collect()
}

/// Writes a text, cut to the field; a slash that would then stand last is dropped, lest a file look like a directory.
fn put_text(field: &mut [u8], text: &[u8]) {
    let kept = text.len().min(field.len());
    field[..kept].copy_from_slice(&text[..kept]);
    if text.len() > kept && field[kept - 1] == b'/' {
        field[kept - 1] = 0;
    }
}

fn fits_octal(field: &Range<usize>, number: i64) -> bool {
    let bits = (field.len() - 1) * 3;
    number >= 0 && (bits >= 63 || number < 1 << bits)
}

/// Writes an octal number with leading zeros and a NUL; one that does not fit is written as 0 and stands in PAX.
fn put_octal(field: &mut [u8], number: i64) {
    let digits = field.len() - 1;
    let number = if fits_octal(&(0..field.len()), number) { number } else { 0 };
    field[..digits].copy_from_slice(format!("{number:0digits$o}").as_bytes());
    field[digits] = 0;
}

fn seal(block: &mut [u8; BLOCK_BYTES]) {
    block[field::MAGIC].copy_from_slice(USTAR_MAGIC);
    let (sum, _) = checksums(block);
    put_octal(&mut block[field::CHECKSUM][..7], sum);
    block[field::CHECKSUM.end - 1] = b' ';
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> Header {
        Header { name: name.into(), kind: b'0', mode: 0o100_644, ..Header::default() }
    }

    #[test]
    fn a_file_of_eight_gibibytes_has_its_size_in_a_pax_record() {
        let largest = Header { size_bytes: (8 << 30) - 1, ..file("f") }.encode().unwrap();
        assert_eq!(&largest[field::SIZE], b"77777777777\0");
        let larger = Header { size_bytes: 8 << 30, ..file("f") }.encode().unwrap();
        assert_eq!(&larger[BLOCK_BYTES..][..20], b"19 size=8589934592\n\0");
        assert_eq!(&larger[2 * BLOCK_BYTES..][field::SIZE], b"00000000000\0");
    }

    #[test]
    fn a_pax_record_counts_the_digits_of_its_own_length() {
        for length in 1..1200 {
            let record = pax_record(b"k", &vec![b'v'; length]);
            assert!(record.starts_with(format!("{} k=", record.len()).as_bytes()), "{length}");
        }
    }

    #[test]
    fn a_path_is_split_only_where_both_halves_fit() {
        let split = |path: &str| split_path(path.as_bytes()).map(|(prefix, name)| (prefix.len(), name.len()));
        assert_eq!(split(&"n".repeat(100)), None);
        assert_eq!(split(&"n".repeat(101)), None);
        assert_eq!(split(&format!("{}/{}", "p".repeat(155), "n".repeat(100))), Some((155, 100)));
        assert_eq!(split(&format!("{}/{}", "p".repeat(156), "n".repeat(100))), None);
        assert_eq!(split(&format!("p/{}", "n".repeat(101))), None);
        assert_eq!(split(&format!("p/{}/", "n".repeat(99))), Some((1, 100)));
    }

    /// Checklist: SP-03~, TR-02
    #[test]
    fn a_device_number_beyond_seven_octal_digits_is_refused() {
        assert!(Header { device_minor: 1 << 21, ..file("dev") }.encode().is_err());
    }
}
