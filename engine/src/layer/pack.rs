//! A layer directory as a tar, with the bytes that Docker 20.10 would write for it.
//!
//! Names in order, depth first; no entry for the root; directories end in a slash; whole seconds; whiteout devices become
//! `.wh.NAME`, opaque directories `.wh..wh..opq`; sockets are left out. Source: recorded layers and
//! `pkg/archive/archive.go` of Docker 20.10.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User};
use sha2::{Digest as _, Sha256};

use super::changes::read_xattr;
use super::header::{BLOCK_BYTES, Header, padding};
use super::{OPAQUE, OverlayXattr, PAX_XATTR, WHITEOUT};
use crate::image::Digest;

/// How a directory is read.
pub struct PackOptions {
    /// How its opaque directories are marked.
    pub overlay: OverlayXattr,
    /// The name of a user ID; nothing when it has none.
    pub user_name: fn(u32) -> Option<String>,
    /// The name of a group ID; nothing when it has none.
    pub group_name: fn(u32) -> Option<String>,
}

impl PackOptions {
    /// With the names that this host's user database gives, as dockerd does.
    pub fn of_this_host(overlay: OverlayXattr) -> PackOptions {
        PackOptions {
            overlay,
            user_name: |uid| User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name),
            group_name: |gid| Group::from_gid(Gid::from_raw(gid)).ok().flatten().map(|group| group.name),
        }
    }
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The digest of the tar.
    pub diff_id: Digest,
    /// The length of the tar in bytes.
    pub size_bytes: u64,
    /// How many entries it has.
    pub entries: u64,
}

/// A file that could not be packed.
#[derive(Debug, thiserror::Error)]
#[error("pack {}: {source}", .path.display())]
pub struct PackError {
    path: PathBuf,
    source: io::Error,
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> PackError {
    let path = path.to_owned();
    move |source| PackError { path, source }
}

/// Writes the tar of the layer directory `upper`.
pub fn pack(upper: &Path, options: &PackOptions, out: impl Write) -> Result<Packed, PackError> {
    let mut packer = Packer {
        options,
        out: HashingWriter { out, hasher: Sha256::new(), length_bytes: 0 },
        links: HashMap::new(),
        users: HashMap::new(),
        groups: HashMap::new(),
        entries: 0,
    };
    packer.add_children(upper, b"")?;
    packer.out.write_all(&[0; 2 * BLOCK_BYTES]).and_then(|()| packer.out.flush()).map_err(at(upper))?;
    let HashingWriter { hasher, length_bytes, .. } = packer.out;
    let hex = hex::encode(hasher.finalize());
    let diff_id = Digest::from_hex(&hex).map_err(|error| at(upper)(io::Error::other(error)))?;
    Ok(Packed { diff_id, size_bytes: length_bytes, entries: packer.entries })
}

struct Packer<'a, W: Write> {
    options: &'a PackOptions,
    out: HashingWriter<W>,
    /// The first name of every file that has several, by device and inode number.
    links: HashMap<(u64, u64), Vec<u8>>,
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
    entries: u64,
}

impl<W: Write> Packer<'_, W> {
    fn add_children(&mut self, directory: &Path, prefix: &[u8]) -> Result<(), PackError> {
        let listed = fs::read_dir(directory)
            .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<OsString>>>());
        let mut names = listed.map_err(at(directory))?;
        names.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
        for name in names {
            let path = directory.join(&name);
            let meta = path.symlink_metadata().map_err(at(&path))?;
            let shown = [prefix, name.as_bytes()].concat();
            self.add(&path, shown.clone(), &meta).map_err(at(&path))?;
            if meta.is_dir() {
                self.add_children(&path, &[&shown[..], b"/"].concat())?;
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &Path, name: Vec<u8>, meta: &Metadata) -> io::Result<()> {
        let kind = meta.file_type();
        if kind.is_socket() {
            return Ok(());
        }
        let mut header = self.header_of(name, meta);
        if kind.is_dir() {
            header.kind = b'5';
            header.name.push(b'/');
        } else if kind.is_symlink() {
            header.kind = b'2';
            header.link = fs::read_link(path)?.into_os_string().into_vec();
        } else if kind.is_fifo() {
            header.kind = b'6';
        } else if kind.is_char_device() || kind.is_block_device() {
            header.kind = if kind.is_char_device() { b'3' } else { b'4' };
            header.device = (nix::sys::stat::major(meta.rdev()) as u32, nix::sys::stat::minor(meta.rdev()) as u32);
        } else {
            header.kind = b'0';
            header.size_bytes = meta.len();
        }
        if !kind.is_dir() && meta.nlink() > 1 {
            match self.links.get(&(meta.dev(), meta.ino())) {
                Some(first) => {
                    header.kind = b'1';
                    header.size_bytes = 0;
                    header.link.clone_from(first);
                }
                None => drop(self.links.insert((meta.dev(), meta.ino()), header.name.clone())),
            }
        }
        if kind.is_char_device() && meta.rdev() == 0 {
            return self.write(&whiteout(header));
        }
        if let Some(value) = read_xattr(path, "security.capability")? {
            header.records.insert(format!("{PAX_XATTR}security.capability"), value);
        }
        self.write(&header)?;
        if header.kind == b'0' && header.size_bytes > 0 {
            self.copy(path, header.size_bytes)?;
        }
        if kind.is_dir() && read_xattr(path, self.options.overlay.opaque())?.as_deref() == Some(b"y") {
            self.write(&opaque(header))?;
        }
        Ok(())
    }

    fn header_of(&mut self, name: Vec<u8>, meta: &Metadata) -> Header {
        let (user_name, group_name) = (self.options.user_name, self.options.group_name);
        Header {
            name,
            mode: meta.mode(),
            uid: meta.uid(),
            gid: meta.gid(),
            user: self.users.entry(meta.uid()).or_insert_with_key(|uid| user_name(*uid).unwrap_or_default()).clone(),
            group: self.groups.entry(meta.gid()).or_insert_with_key(|gid| group_name(*gid).unwrap_or_default()).clone(),
            mtime: meta.mtime(),
            ..Header::default()
        }
    }

    fn write(&mut self, header: &Header) -> io::Result<()> {
        self.entries += 1;
        header.write_to(&mut self.out)
    }

    /// Copies the content of a file, which must have the length that its header says.
    fn copy(&mut self, path: &Path, size_bytes: u64) -> io::Result<()> {
        let file = File::options().read(true).custom_flags(libc::O_NOFOLLOW).open(path)?;
        let copied = io::copy(&mut file.take(size_bytes), &mut self.out)?;
        if copied != size_bytes {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was read"));
        }
        self.out.write_all(&vec![0; padding(size_bytes)])
    }
}

/// The entry that hides a name. A whiteout that overlayfs made as a hard link of another keeps the other's name as its
/// link target, as in Docker's layers.
fn whiteout(header: Header) -> Header {
    let slash = header.name.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let (directory, name) = header.name.split_at(slash);
    Header {
        name: [directory, WHITEOUT.as_bytes(), name].concat(),
        kind: b'0',
        mode: 0o600,
        size_bytes: 0,
        device: (0, 0),
        ..header
    }
}

/// The entry that hides everything below the directory of `header`.
fn opaque(header: Header) -> Header {
    Header {
        name: [&header.name[..], OPAQUE.as_bytes()].concat(),
        kind: b'0',
        mode: header.mode & 0o777,
        mtime: 0,
        records: Default::default(),
        ..header
    }
}

struct HashingWriter<W> {
    out: W,
    hasher: Sha256,
    length_bytes: u64,
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.length_bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
