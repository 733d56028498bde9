//! Layer tars taken to pieces and put together again, for bugs in how they are written or read.

use std::collections::BTreeMap;
use std::io::{self, Read};

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

    /// The path below the root of the layer, without what a directory's may end with.
    pub fn path_below(&self) -> String {
        String::from_utf8_lossy(&self.path()).trim_start_matches("./").trim_matches('/').to_owned()
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
        let Some(rest) = text.get(length..) else { break };
        text = rest;
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

/// The tar with its entries changed; where nothing was, or nobody can read it, as it is.
pub fn changed(bytes: Vec<u8>, change: impl FnOnce(&mut Vec<Entry>)) -> io::Result<Vec<u8>> {
    let Ok(mut all) = entries(&bytes) else { return Ok(bytes) };
    let before = written(&all)?;
    change(&mut all);
    let after = written(&all)?;
    Ok(if after == before { bytes } else { after })
}
