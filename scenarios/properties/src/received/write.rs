//! Layer tars as others write them.

use std::io;

use layerlab_model::inode::Node;
use layerlab_model::received::{Entry, Kind};
use tar::{Builder, EntryType, Header};

/// How a tar is written, where packers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Form {
    /// Long names, and what else has no room, by GNU's own entries and numbers in base 256 in place of PAX headers (where times and
    /// attributes do not need one).
    pub gnu: bool,
    /// Zeros behind the two blocks that end it, in blocks of 512 bytes.
    pub padding: u16,
}

/// The most that a header's octal digits hold.
const OCTAL_MAX: u64 = 0o7_777_777;

/// The tar of these entries.
pub fn tar(entries: &[Entry], form: Form) -> io::Result<Vec<u8>> {
    let mut builder = Builder::new(Vec::new());
    for entry in entries {
        append(&mut builder, entry, form)?;
    }
    let mut bytes = builder.into_inner()?;
    bytes.extend(std::iter::repeat_n(0, 512 * usize::from(form.padding)));
    Ok(bytes)
}

fn append(builder: &mut Builder<Vec<u8>>, entry: &Entry, form: Form) -> io::Result<()> {
    let meta = &entry.meta;
    let mut header = if form.gnu { Header::new_gnu() } else { Header::new_ustar() };
    let mut pax: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, value) in &meta.xattrs {
        pax.push((format!("SCHILY.xattr.{name}"), value.clone()));
    }
    if meta.mtime.nanoseconds != 0 || meta.mtime.seconds < 0 {
        pax.push(("mtime".to_owned(), seconds(meta.mtime.seconds, meta.mtime.nanoseconds).into_bytes()));
    }
    header.set_mtime(u64::try_from(meta.mtime.seconds).unwrap_or(0));
    header.set_mode(meta.mode);
    for (key, id) in [("uid", u64::from(meta.uid)), ("gid", u64::from(meta.gid))] {
        if id > OCTAL_MAX && !form.gnu {
            pax.push((key.to_owned(), id.to_string().into_bytes()));
        }
    }
    let fitting = |id: u32| if form.gnu { u64::from(id) } else { u64::from(id).min(OCTAL_MAX) };
    header.set_uid(fitting(meta.uid));
    header.set_gid(fitting(meta.gid));
    let (kind, content, target) = match &entry.kind {
        Kind::File(content) => (EntryType::Regular, &content[..], None),
        Kind::Directory => (EntryType::Directory, &[][..], None),
        Kind::Symlink(target) => (EntryType::Symlink, &[][..], Some(target)),
        Kind::Link(target) => (EntryType::Link, &[][..], Some(target)),
        Kind::Node(Node::Character { .. }) => (EntryType::Char, &[][..], None),
        Kind::Node(Node::Block { .. }) => (EntryType::Block, &[][..], None),
        Kind::Node(_) => (EntryType::Fifo, &[][..], None),
    };
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    if let Kind::Node(Node::Character { major, minor } | Node::Block { major, minor }) = &entry.kind {
        header.set_device_major(*major)?;
        header.set_device_minor(*minor)?;
    }
    for (key, value, field, gnu) in
        [("path", Some(&entry.name), 100, EntryType::GNULongName), ("linkpath", target, 100, EntryType::GNULongLink)]
    {
        let Some(value) = value else { continue };
        let fits = value.0.len() <= field;
        if !fits && form.gnu {
            let mut long = Header::new_gnu();
            long.set_entry_type(gnu);
            long.set_size(value.0.len() as u64 + 1);
            long.set_cksum();
            builder.append(&long, &[&value.0[..], b"\0"].concat()[..])?;
        } else if !fits {
            pax.push((key.to_owned(), value.0.clone()));
        }
        let short = &value.0[..value.0.len().min(field)];
        let place = if key == "path" { &mut header.as_old_mut().name } else { &mut header.as_old_mut().linkname };
        place[..short.len()].copy_from_slice(short);
    }
    header.set_cksum();
    builder.append_pax_extensions(pax.iter().map(|(key, value)| (key.as_str(), &value[..])))?;
    builder.append(&header, content)
}

/// Seconds as a decimal fraction, which counts away from 0 before 1970.
fn seconds(seconds: i64, nanoseconds: u32) -> String {
    match (seconds < 0, nanoseconds) {
        (_, 0) => seconds.to_string(),
        (false, part) => format!("{seconds}.{part:09}"),
        (true, part) => format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - part),
    }
}
