//! Layer tars taken to pieces and put together again, for bugs in how they are written or read.

use std::collections::BTreeMap;
use std::io::{self, Read};

use layerlab_engine::driver::{Driver, DriverError};
use layerlab_engine::layer::{Owners, Packed, UnpackError, Unpacked};

/// The begin of the key that an extended attribute has in a PAX header.
pub const XATTR: &str = "SCHILY.xattr.";

/// One entry: its header, what a PAX header before it says, and its content.
pub struct Entry {
    /// The header; where [`Entry::pax`] says another name, size, time or owner, that counts.
    pub header: tar::Header,
    /// The records of the PAX header.
    pub pax: BTreeMap<String, Vec<u8>>,
    /// The content.
    pub content: Vec<u8>,
}

impl Entry {
    /// The path, wherever it is told.
    pub fn path(&self) -> Vec<u8> {
        self.pax.get("path").cloned().unwrap_or_else(|| self.header.path_bytes().into_owned())
    }

    /// The last name of the path.
    pub fn name(&self) -> Vec<u8> {
        let path = self.path();
        path.split(|byte| *byte == b'/').rfind(|name| !name.is_empty()).unwrap_or_default().to_vec()
    }

    /// Where it links to, wherever that is told.
    pub fn link(&self) -> Vec<u8> {
        let told = self.header.link_name_bytes().map(std::borrow::Cow::into_owned).unwrap_or_default();
        self.pax.get("linkpath").cloned().unwrap_or(told)
    }

    /// Makes it a hard link to `target`.
    pub fn become_link_to(&mut self, target: &[u8]) {
        self.pax.insert("linkpath".to_owned(), target.to_vec());
        self.content.clear();
        self.change(|header| {
            header.set_entry_type(tar::EntryType::Link);
            header.set_size(0);
            // What is too long stands in the PAX header alone.
            let _ = header.set_link_name_literal(target);
        });
    }

    /// Whether it is a whiteout, or an opaque mark.
    pub fn is_whiteout(&self) -> bool {
        self.name().starts_with(b".wh.")
    }

    /// Changes the header, and its checksum.
    pub fn change(&mut self, change: impl FnOnce(&mut tar::Header)) {
        change(&mut self.header);
        self.header.set_cksum();
    }
}

/// The entries of a tar.
pub fn entries(bytes: &[u8]) -> io::Result<Vec<Entry>> {
    let mut archive = tar::Archive::new(bytes);
    let (mut found, mut pax) = (Vec::new(), BTreeMap::new());
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        if entry.header().entry_type().is_pax_local_extensions() {
            pax = records(&content);
            continue;
        }
        found.push(Entry { header: entry.header().clone(), pax: std::mem::take(&mut pax), content });
    }
    Ok(found)
}

/// The records of a PAX header: a length, which counts itself, a space, a key, `=`, a value, a line's end (pax(1)). A value may have any bytes.
fn records(mut text: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let position = |text: &[u8], byte: u8| text.iter().position(|other| *other == byte);
    while let Some(space) = position(text, b' ') {
        let length = String::from_utf8_lossy(&text[..space]).parse::<usize>().unwrap_or(0);
        let Some(record) = text.get(space + 1..length.saturating_sub(1)) else { break };
        if let Some(equals) = position(record, b'=') {
            found.insert(String::from_utf8_lossy(&record[..equals]).into_owned(), record[equals + 1..].to_vec());
        }
        text = &text[length..];
    }
    found
}

/// A tar of these entries.
pub fn written(entries: &[Entry]) -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        if !entry.pax.is_empty() {
            builder.append_pax_extensions(entry.pax.iter().map(|(key, value)| (key.as_str(), &value[..])))?;
        }
        builder.append(&entry.header, &entry.content[..])?;
    }
    builder.into_inner()
}

/// [`Driver::pack`], with other entries than it gives.
pub fn packed_otherwise(
    driver: &dyn Driver,
    id: &str,
    parent: Option<&str>,
    out: &mut dyn io::Write,
    change: impl FnOnce(&mut Vec<Entry>),
) -> Result<Packed, DriverError> {
    let mut bytes = Vec::new();
    let packed = driver.pack(id, parent, &mut bytes)?;
    let failed = |source| DriverError::Io { operation: "rewrite the tar of", path: id.into(), source };
    let mut all = entries(&bytes).map_err(failed)?;
    change(&mut all);
    let bytes = written(&all).map_err(failed)?;
    out.write_all(&bytes).map_err(failed)?;
    let (tar_size_bytes, entries) = (bytes.len() as u64, all.len() as u64);
    Ok(Packed { diff_id: layerlab_engine::image::Digest::of(&bytes), tar_size_bytes, entries, ..packed })
}

/// [`Driver::unpack`], of other entries than there are.
pub fn unpacked_otherwise(
    driver: &dyn Driver,
    tar: &mut dyn io::Read,
    content: &std::path::Path,
    owners: Owners,
    record: &mut dyn io::Write,
    change: impl FnOnce(&mut Vec<Entry>),
) -> Result<Unpacked, UnpackError> {
    let failed = |source| UnpackError::Io { operation: "rewrite", path: content.into(), source };
    let mut bytes = Vec::new();
    tar.read_to_end(&mut bytes).map_err(failed)?;
    let mut all = entries(&bytes).map_err(failed)?;
    change(&mut all);
    let other = written(&all).map_err(failed)?;
    // What is noted of it is right.
    let aside = tempfile::tempdir().map_err(failed)?;
    driver.unpack(&mut &bytes[..], aside.path(), owners, record)?;
    driver.unpack(&mut &other[..], content, owners, &mut io::sink())
}
