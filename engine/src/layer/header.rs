//! The header blocks of a tar entry, bit for bit as Go's `archive/tar` writes them for Docker.
//!
//! USTAR as long as everything fits; else a PAX header before it. Source: Go 1.19 `archive/tar/writer.go`, recorded
//! layers. Blocks are 512 bytes; numbers are octal ASCII with leading zeros and a final NUL.

use std::collections::BTreeMap;
use std::io::{self, Write};

/// Length of a tar block in bytes.
pub(super) const BLOCK_BYTES: usize = 512;

/// What one entry says of a file.
#[derive(Debug, Clone, Default)]
pub(super) struct Header {
    /// Without a leading slash; a directory's ends in one.
    pub(super) name: Vec<u8>,
    /// Target of a link.
    pub(super) link: Vec<u8>,
    /// `0` file, `1` hard link, `2` symlink, `3` and `4` devices, `5` directory, `6` fifo.
    pub(super) kind: u8,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) user: String,
    pub(super) group: String,
    pub(super) size_bytes: u64,
    /// Seconds since 1970.
    pub(super) mtime: i64,
    pub(super) device: (u32, u32),
    /// Further PAX records, such as extended attributes.
    pub(super) records: BTreeMap<String, Vec<u8>>,
}

impl Header {
    /// Writes the entry's header blocks.
    pub(super) fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let records = self.pax_records();
        let split = if self.name.len() > NAME_BYTES { split_name(&self.name) } else { None };
        if records.is_empty() {
            let (prefix, name) = split.unwrap_or((&[], &self.name));
            let mut block = self.block(name);
            put_text(&mut block[345..500], prefix);
            return out.write_all(&sealed(block));
        }
        let mut body = Vec::new();
        for (key, value) in &records {
            body.extend(pax_record(key, value));
        }
        let header =
            Header { name: pax_name(&self.name), kind: b'x', size_bytes: body.len() as u64, ..Header::default() };
        let mut block = header.block(&header.name);
        // A PAX header says nothing of owners and devices: these fields stay empty and not zero.
        block[329..345].fill(0);
        out.write_all(&sealed(block))?;
        out.write_all(&body)?;
        out.write_all(&vec![0; padding(body.len() as u64)])?;
        out.write_all(&sealed(self.block(&ascii(&self.name))))
    }

    /// The records without which the entry would not come back as it is.
    fn pax_records(&self) -> BTreeMap<String, Vec<u8>> {
        let mut records = self.records.clone();
        let mut need = |key: &str, value: Vec<u8>, needed: bool| {
            if needed {
                records.insert(key.to_owned(), value);
            }
        };
        need("linkpath", self.link.clone(), self.link.len() > NAME_BYTES || !self.link.is_ascii());
        need("uname", self.user.clone().into_bytes(), self.user.len() > 32 || !self.user.is_ascii());
        need("gname", self.group.clone().into_bytes(), self.group.len() > 32 || !self.group.is_ascii());
        need("uid", self.uid.to_string().into_bytes(), u64::from(self.uid) > OCTAL_7);
        need("gid", self.gid.to_string().into_bytes(), u64::from(self.gid) > OCTAL_7);
        need("size", self.size_bytes.to_string().into_bytes(), self.size_bytes > OCTAL_11);
        need(
            "mtime",
            self.mtime.to_string().into_bytes(),
            u64::try_from(self.mtime).map_or(true, |time| time > OCTAL_11),
        );
        // A prefix field exists in USTAR only: where there is a PAX header for another reason, a long name goes there too.
        let is_long = self.name.len() > NAME_BYTES;
        let fits_ustar = self.name.is_ascii() && (!is_long || split_name(&self.name).is_some());
        if !fits_ustar || (is_long && !records.is_empty()) {
            records.insert("path".to_owned(), self.name.clone());
        }
        records
    }

    fn block(&self, name: &[u8]) -> [u8; BLOCK_BYTES] {
        let mut block = [0; BLOCK_BYTES];
        put_text(&mut block[..100], name);
        put_octal(&mut block[100..108], u64::from(self.mode));
        put_octal(&mut block[108..116], u64::from(self.uid));
        put_octal(&mut block[116..124], u64::from(self.gid));
        put_octal(&mut block[124..136], self.size_bytes);
        put_octal(&mut block[136..148], u64::try_from(self.mtime).unwrap_or(0));
        block[156] = self.kind;
        put_text(&mut block[157..257], &ascii(&self.link));
        block[257..265].copy_from_slice(b"ustar\x0000");
        put_text(&mut block[265..297], &ascii(self.user.as_bytes()));
        put_text(&mut block[297..329], &ascii(self.group.as_bytes()));
        put_octal(&mut block[329..337], u64::from(self.device.0));
        put_octal(&mut block[337..345], u64::from(self.device.1));
        block
    }
}

const NAME_BYTES: usize = 100;
const PREFIX_BYTES: usize = 155;
const OCTAL_7: u64 = 0o7_777_777;
const OCTAL_11: u64 = 0o77_777_777_777;

/// Bytes from the end of a content of this length to the next block.
pub(super) fn padding(length_bytes: u64) -> usize {
    (BLOCK_BYTES - (length_bytes % BLOCK_BYTES as u64) as usize) % BLOCK_BYTES
}

/// A long name in two, at the last slash that leaves both halves short enough.
fn split_name(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if !name.is_ascii() {
        return None;
    }
    let length =
        if name.len() > PREFIX_BYTES + 1 { PREFIX_BYTES + 1 } else { name.len() - usize::from(name.ends_with(b"/")) };
    let slash = name[..length].iter().rposition(|byte| *byte == b'/').filter(|slash| *slash > 0)?;
    let (prefix, rest) = (&name[..slash], &name[slash + 1..]);
    (!rest.is_empty() && rest.len() <= NAME_BYTES && prefix.len() <= PREFIX_BYTES).then_some((prefix, rest))
}

/// `dir/PaxHeaders.0/file`, the name that Go gives the PAX header of `dir/file`.
fn pax_name(name: &[u8]) -> Vec<u8> {
    let trimmed = name.strip_suffix(b"/").unwrap_or(name);
    // Go splits at the last slash as it stands: a directory's own name is part of the path and the file is nothing.
    let (directory, file): (&[u8], &[u8]) = match name.iter().rposition(|byte| *byte == b'/') {
        Some(slash) if slash + 1 == name.len() => (trimmed, b""),
        Some(slash) => (&name[..slash], &name[slash + 1..]),
        None => (b"", name),
    };
    let parts = [directory, b"PaxHeaders.0", file].into_iter().filter(|part| !part.is_empty());
    let mut joined = ascii(&parts.collect::<Vec<_>>().join(&b'/'));
    joined.truncate(NAME_BYTES);
    while joined.ends_with(b"/") {
        joined.pop();
    }
    joined
}

/// `<length> <key>=<value>\n`, the length counting its own digits.
fn pax_record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = 3 + key.len() + value.len();
    let mut length = rest + rest.to_string().len();
    length = rest + length.to_string().len();
    let mut record = format!("{length} {key}=").into_bytes();
    record.extend(value);
    record.push(b'\n');
    record
}

/// What is left of a text when all that is not ASCII is dropped.
fn ascii(text: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(text) {
        Ok(text) => text.chars().filter(char::is_ascii).map(|character| character as u8).collect(),
        Err(_) => text.iter().copied().filter(u8::is_ascii).collect(),
    }
}

fn put_text(field: &mut [u8], text: &[u8]) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text[..length]);
    if text.len() > field.len() && field.ends_with(b"/") {
        // Readers take a regular file whose cut-off name ends in a slash for a directory.
        let end = field.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
        field[end] = 0;
    }
}

/// A number in octal; one that does not fit is zero, for its PAX record says what it is.
fn put_octal(field: &mut [u8], number: u64) {
    let digits = field.len() - 1;
    let text = format!("{number:0digits$o}");
    let text = if text.len() > digits { "0".repeat(digits) } else { text };
    field[..digits].copy_from_slice(text.as_bytes());
    field[digits] = 0;
}

/// The block with its checksum: six digits, a NUL and a blank.
fn sealed(mut block: [u8; BLOCK_BYTES]) -> [u8; BLOCK_BYTES] {
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    put_octal(&mut block[148..155], sum);
    block[155] = b' ';
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(header: &Header) -> Vec<u8> {
        let mut bytes = Vec::new();
        header.write_to(&mut bytes).unwrap();
        bytes
    }

    fn read_back(header: &Header) -> (Vec<u8>, Vec<u8>, u64, u64) {
        let mut bytes = written(header);
        bytes.extend([0; 2 * BLOCK_BYTES]);
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        let link = entry.link_name_bytes().map(|link| link.into_owned()).unwrap_or_default();
        (entry.path_bytes().into_owned(), link, entry.header().uid().unwrap(), entry.header().mtime().unwrap())
    }

    /// The header of `usr/local/apache2/` in a layer that dockerd 20.10 committed.
    #[test]
    fn a_header_is_the_one_that_dockerd_wrote() {
        let header = Header {
            name: b"usr/local/apache2/".to_vec(),
            kind: b'5',
            mode: 0o40755,
            uid: 33,
            gid: 33,
            user: "www-data".to_owned(),
            group: "www-data".to_owned(),
            mtime: 0o15300171227,
            ..Header::default()
        };
        let block = written(&header);
        assert_eq!(block.len(), BLOCK_BYTES);
        assert_eq!(&block[100..157], b"0040755\x000000041\x000000041\x0000000000000\x0015300171227\x00015616\x00 5");
        assert_eq!(&block[329..345], b"0000000\x000000000\x00");
    }

    #[test]
    fn long_and_foreign_names_come_back_whole() {
        let long = format!("{}/{}", "d".repeat(120), "f".repeat(90));
        for name in [
            long.as_bytes(),
            "ü/é".as_bytes(),
            "x".repeat(255).as_bytes(),
            b"\xff\xfe",
            &[b"a/".repeat(200), b"b".to_vec()].concat(),
        ] {
            let header =
                Header { name: name.to_vec(), link: name.to_vec(), kind: b'1', uid: 3_000_000, ..Header::default() };
            let (path, link, uid, _) = read_back(&header);
            assert_eq!((path.as_slice(), link.as_slice(), uid), (name, name, 3_000_000));
        }
    }

    #[test]
    fn a_name_that_fits_the_prefix_needs_no_pax_header() {
        let name = format!("{}/{}", "d".repeat(120), "f".repeat(90)).into_bytes();
        assert_eq!(written(&Header { name, kind: b'0', ..Header::default() }).len(), BLOCK_BYTES);
    }

    #[test]
    fn a_pax_record_counts_its_own_length() {
        assert_eq!(pax_record("path", b"a"), b"9 path=a\n");
        assert_eq!(pax_record("path", b"ab"), b"11 path=ab\n");
        for length in 0..200 {
            let record = pax_record("k", &vec![b'v'; length]);
            let said: usize = std::str::from_utf8(&record).unwrap().split(' ').next().unwrap().parse().unwrap();
            assert_eq!(said, record.len());
        }
    }
}
