//! Packs an overlay2 upper directory, or a list of changes, into the layer tar that Docker 20.10 makes of it, byte for byte.
//!
//! Depth first in name order, no entry for the root, directories end in `/`, times are whole seconds, modes carry the
//! file type bits. A whiteout device becomes `.wh.NAME` with mode 0600; since overlayfs hard-links its whiteouts, the
//! second and later ones keep a link name although they are files, as Docker writes them. An opaque directory is
//! followed by `.wh..wh..opq`; in a list of changes a device is a device. Of xattrs only `security.capability` travels. Sockets are left out.
//!
//! *Proved by*: `engine/tests/layer/recorded_layers.rs`, which rebuilds recorded uppers and compares headers and diff IDs.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::changes::{Change, ChangeKind};
use super::entry::{self, OwnerNames};
use super::header::{BLOCK_BYTES, Header, TooLarge, padding_bytes};
use super::root::{self, Root};
use super::whiteout::{self, OverlayXattr};
use crate::image::Digest;
use crate::sys::reason::reason;

/// How to pack.
#[derive(Clone, Copy)]
pub struct PackOptions<'a> {
    /// Where the upper's opaque marks are: as it was mounted.
    pub overlay: OverlayXattr,
    /// The user's name for a uid, from the host's passwd as Docker takes it; `None` where it has none.
    pub user_name: &'a dyn Fn(u32) -> Option<String>,
    /// The group's name for a gid.
    pub group_name: &'a dyn Fn(u32) -> Option<String>,
}

/// What was packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The digest of the tar as written.
    pub diff_id: Digest,
    /// Docker's layer size: the lengths of files (hard links once) and of symlink targets.
    pub size_bytes: u64,
    /// The length of the tar as written.
    pub tar_size_bytes: u64,
    /// Entries in the tar, whiteouts included; 0 means that nothing changed.
    pub entries: u64,
}

/// An upper that cannot be packed. Paths are relative to it.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    #[error("cannot {operation} {} of the layer: {}", path.display(), reason(.source))]
    Io { operation: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot write the layer tar: {}", reason(.0))]
    Write(#[source] io::Error),
    #[error("{} changed its size while it was packed: stop or pause the container and try again", path.display())]
    Changing { path: PathBuf },
    #[error("{} cannot be packed: {source}", path.display())]
    Header { path: PathBuf, source: TooLarge },
}

/// How much is written at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Writes the tar of the overlay2 upper directory `upper` to `out`, hashing on the way.
pub fn pack(upper: &Path, options: &PackOptions<'_>, out: impl Write) -> Result<Packed, PackError> {
    let mut packer = Packer::new(options, options.overlay, out, Sha256::new());
    packer.tree(upper)?;
    packer.finish()
}

/// Writes the tar that [`pack`] writes, for whoever asks for no digest.
pub fn pack_unnamed(tree: &Path, options: &PackOptions<'_>, out: impl Write) -> Result<(), PackError> {
    let mut packer = Packer::new(options, options.overlay, out, Unnamed);
    packer.tree(tree)?;
    packer.end()
}

/// Writes the tar of the `changes` that were found to lead to the whole tree `tree`, as Docker does for drivers that have
/// no upper directory: in the order of the paths' bytes, each removed name as `.wh.NAME` with mode 0 and no owner names.
///
/// Docker gives whiteouts the time of packing, so that each commit makes another layer. Here they have the time of the
/// directory that the name is gone from, which the removal set: the same tree packs to the same bytes.
pub fn pack_changes(
    tree: &Path,
    changes: &[Change],
    options: &PackOptions<'_>,
    out: impl Write,
) -> Result<Packed, PackError> {
    let root = Root::open(tree).map_err(|errno| io_error("open", tree, errno))?;
    let mut packer = Packer::new(options, OverlayXattr::None, out, Sha256::new());
    let mut sorted: Vec<&Change> = changes.iter().collect();
    sorted.sort_by(|a, b| a.path.as_os_str().as_bytes().cmp(b.path.as_os_str().as_bytes()));
    for change in sorted {
        let path = change.path.strip_prefix("/").unwrap_or(&change.path);
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
        let directory = root.open_directory(parent).map_err(|errno| io_error("open", parent, errno))?;
        match change.kind {
            ChangeKind::Deleted => {
                let stat = fs::fstat(&directory).map_err(|errno| io_error("look at", parent, errno))?;
                packer.write_header(&removal_header(path, stat.st_mtime), path)?;
            }
            ChangeKind::Added | ChangeKind::Modified => {
                packer.entry(directory.as_fd(), name, path)?;
            }
        }
    }
    packer.finish()
}

struct Packer<'a, W, D> {
    options: &'a PackOptions<'a>,
    /// How deletions are marked where an entry is read; not at all, in a tree that is no layer's.
    marks: OverlayXattr,
    out: Hashed<W, D>,
    /// The name under which an inode with several names went first.
    first_names: HashMap<(u64, u64), Vec<u8>>,
    names: OwnerNames,
    size_bytes: u64,
    entries: u64,
}

/// What a tar passes on its way out, to be named.
trait Naming {
    fn pass(&mut self, bytes: &[u8]);
}

impl Naming for Sha256 {
    fn pass(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }
}

/// Nobody asks for the tar's name.
struct Unnamed;

impl Naming for Unnamed {
    fn pass(&mut self, _bytes: &[u8]) {}
}

/// Gathers what is small, and hashes and writes it at once.
struct Hashed<W, D> {
    out: W,
    hasher: D,
    buffer: Vec<u8>,
    /// How much of the buffer waits to be written.
    filled: usize,
    length_bytes: u64,
}

impl<W: Write, D: Naming> Hashed<W, D> {
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), PackError> {
        while !bytes.is_empty() {
            let room = self.room()?;
            let count = room.len().min(bytes.len());
            room[..count].copy_from_slice(&bytes[..count]);
            self.filled += count;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Where in the buffer more can be put; never empty.
    fn room(&mut self) -> Result<&mut [u8], PackError> {
        if self.filled == self.buffer.len() {
            self.pass_on()?;
        }
        Ok(&mut self.buffer[self.filled..])
    }

    fn pass_on(&mut self) -> Result<(), PackError> {
        let bytes = &self.buffer[..self.filled];
        self.hasher.pass(bytes);
        self.out.write_all(bytes).map_err(PackError::Write)?;
        self.length_bytes += bytes.len() as u64;
        self.filled = 0;
        Ok(())
    }
}

impl<W: Write> Packer<'_, W, Sha256> {
    fn finish(mut self) -> Result<Packed, PackError> {
        self.end()?;
        let Packer { out, size_bytes, entries, .. } = self;
        let diff_id = Digest::from_hex(&hex::encode(out.hasher.finalize())).expect("a SHA-256 sum has 64 hex digits");
        Ok(Packed { tar_size_bytes: out.length_bytes, diff_id, size_bytes, entries })
    }
}

impl<'a, W: Write, D: Naming> Packer<'a, W, D> {
    fn new(options: &'a PackOptions<'a>, marks: OverlayXattr, out: W, hasher: D) -> Self {
        Packer {
            options,
            marks,
            out: Hashed { out, hasher, buffer: vec![0; BUFFER_BYTES], filled: 0, length_bytes: 0 },
            first_names: HashMap::new(),
            names: OwnerNames::default(),
            size_bytes: 0,
            entries: 0,
        }
    }

    fn tree(&mut self, root: &Path) -> Result<(), PackError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = fs::open(root, flags, Mode::empty()).map_err(|errno| io_error("open", root, errno))?;
        self.directory(opened.as_fd(), Path::new(""))
    }

    /// Writes what ends a tar.
    fn end(&mut self) -> Result<(), PackError> {
        self.out.write(&[0; 2 * BLOCK_BYTES])?;
        self.out.pass_on()?;
        self.out.out.flush().map_err(PackError::Write)
    }

    fn directory(&mut self, directory: BorrowedFd<'_>, path: &Path) -> Result<(), PackError> {
        for name in root::sorted_names(directory).map_err(|errno| io_error("list", path, errno))? {
            let path = path.join(&name);
            if let Some(inside) = self.entry(directory, &name, &path)? {
                self.directory(inside.as_fd(), &path)?;
            }
        }
        Ok(())
    }

    /// Writes the entry of one name; a directory is given back open, to go on inside. What is listed and not there is passed over, as
    /// Docker does: overlayfs lists a whiteout that hides nothing, and somebody may be removing it.
    fn entry(&mut self, directory: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<Option<OwnedFd>, PackError> {
        let error = |operation| move |errno| io_error(operation, path, errno);
        let Some(stat) = root::stat(directory, name).map_err(error("look at"))? else { return Ok(None) };
        let file = match root::file_type(&stat) {
            FileType::RegularFile => Some(open_file(directory, name).map_err(error("open"))?),
            _ => None,
        };
        let Some(mut header) = self.header(directory, name, file.as_ref(), path, &stat)? else { return Ok(None) };
        let first_sight = self.link_to_first_name(&mut header, path, &stat);
        match (root::file_type(&stat), file) {
            (FileType::Directory, _) => {
                let opened = root::open_real_directory(directory, name).map_err(error("open"))?;
                self.write_header(&header, path)?;
                if !self.marks.has_files() && self.marks.is_opaque(directory, name).map_err(error("read"))? {
                    self.write_header(&opaque_header(&header), path)?;
                }
                return Ok(Some(opened));
            }
            (FileType::CharacterDevice, _) if stat.st_rdev == 0 && !self.marks.has_files() => {
                turn_into_whiteout(&mut header, path);
                self.write_header(&header, path)?;
            }
            (FileType::RegularFile, Some(file)) if first_sight => {
                self.size_bytes += header.size_bytes;
                self.file(file, path, &header)?;
            }
            _ => {
                self.size_bytes += if first_sight { header.link_name.len() as u64 } else { 0 };
                self.write_header(&header, path)?;
            }
        }
        Ok(None)
    }

    /// The header before links and whiteouts; `None` for a socket, which no tar can hold.
    fn header(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &OsStr,
        file: Option<&File>,
        path: &Path,
        stat: &Stat,
    ) -> Result<Option<Header>, PackError> {
        let header = entry::header(directory, name, file, path, stat).map_err(|errno| io_error("read", path, errno))?;
        Ok(header.map(|mut header| {
            self.names.fill(&mut header, self.options.user_name, self.options.group_name);
            header
        }))
    }

    /// Makes the second and later names of an inode hard links to the first; true for a first or only name.
    fn link_to_first_name(&mut self, header: &mut Header, path: &Path, stat: &Stat) -> bool {
        if header.kind == b'5' || stat.st_nlink < 2 {
            return true;
        }
        match self.first_names.get(&(stat.st_dev, stat.st_ino)) {
            Some(first) => {
                header.kind = b'1';
                header.link_name.clone_from(first);
                header.size_bytes = 0;
                false
            }
            None => {
                let name = path.as_os_str().as_bytes().to_vec();
                self.first_names.insert((stat.st_dev, stat.st_ino), name);
                true
            }
        }
    }

    fn file(&mut self, mut file: File, path: &Path, header: &Header) -> Result<(), PackError> {
        self.write_header(header, path)?;
        let mut left = header.size_bytes;
        while left > 0 {
            let room = self.out.room()?;
            let wanted = room.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            match file.read(&mut room[..wanted]) {
                Ok(0) => return Err(PackError::Changing { path: path.to_owned() }),
                Ok(count) => {
                    self.out.filled += count;
                    left -= count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(PackError::Io { operation: "read", path: path.to_owned(), source }),
            }
        }
        self.out.write(&[0; BLOCK_BYTES][..padding_bytes(header.size_bytes) as usize])
    }

    fn write_header(&mut self, header: &Header, path: &Path) -> Result<(), PackError> {
        let blocks = header.encode().map_err(|source| PackError::Header { path: path.to_owned(), source })?;
        self.entries += 1;
        self.out.write(&blocks)
    }
}

/// A file, to read it; never through a symlink.
fn open_file(directory: BorrowedFd<'_>, name: &OsStr) -> Result<File, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    fs::openat(directory, name, flags, Mode::empty()).map(File::from)
}

/// `.wh.NAME`: an empty file with the device's owner and time. A link name, if any, stays.
fn turn_into_whiteout(header: &mut Header, path: &Path) {
    let name = path.file_name().unwrap_or_default().as_bytes();
    header.name.truncate(header.name.len() - name.len());
    header.name.extend_from_slice(&[whiteout::PREFIX.as_bytes(), name].concat());
    header.kind = b'0';
    header.mode = 0o600;
}

/// `.wh.NAME` of a name that is gone.
fn removal_header(path: &Path, mtime_seconds: i64) -> Header {
    let mut name = whiteout::PREFIX.as_bytes().to_vec();
    name.extend_from_slice(path.file_name().unwrap_or_default().as_bytes());
    let name = path.with_file_name(OsStr::from_bytes(&name)).into_os_string().into_encoded_bytes();
    Header { name, kind: b'0', mtime_seconds, ..Header::default() }
}

/// `.wh..wh..opq` with the directory's permissions and owner, at the beginning of time.
fn opaque_header(directory: &Header) -> Header {
    Header {
        name: [&directory.name, whiteout::OPAQUE.as_bytes()].concat(),
        kind: b'0',
        mode: directory.mode & 0o777,
        uid: directory.uid,
        gid: directory.gid,
        user_name: directory.user_name.clone(),
        group_name: directory.group_name.clone(),
        ..Header::default()
    }
}

fn io_error(operation: &'static str, path: &Path, errno: Errno) -> PackError {
    PackError::Io { operation, path: path.to_owned(), source: errno.into() }
}
