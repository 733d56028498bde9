//! A build's context: the files that COPY and ADD may see.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::ignore::Ignore;
use crate::container::Staging;
use crate::layer::{
    Bundle, BundleError, BundleOptions, Contents, OverlayXattr, Owners, UnpackError, UnpackOptions, decompressed,
    unpack,
};
use crate::sys::reason::reason;
use crate::sys::root::{Root, read_regular};

/// What lists the files that are left out.
const IGNORE_FILE: &str = ".dockerignore";
/// `.dockerfile.` and 20 digits, between two ends of lines.
const IGNORED_NAME_BYTES: u64 = 34;
const BLOCK_BYTES: u64 = 512;

/// A context that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    #[error("error checking context: '{operation} {}: {}'", path.display(), reason(.source))]
    Io { operation: &'static str, path: PathBuf, source: io::Error },
    #[error("error checking context: no permission to read from '{}'", .0.display())]
    Forbidden(PathBuf),
    #[error("{0}")]
    Ignore(String),
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error("the context cannot be read: {}", reason(.0))]
    Archive(io::Error),
    #[error("the context is no tar that can be unpacked: {0}")]
    Unpack(#[from] UnpackError),
}

/// Files below a directory, without those that a `.dockerignore` leaves out.
pub struct Context {
    tree: Root,
    ignore: Ignore,
    /// The bytes that Docker's client would send.
    sent_bytes: u64,
    /// Where an archive was unpacked.
    _place: Option<Staging>,
}

impl Context {
    /// The files below `directory`. `dockerfile` is its Dockerfile, which is sent even if it is left out.
    pub fn directory(directory: &Path, dockerfile: Option<&Path>) -> Result<Context, ContextError> {
        // It may be a link to somewhere else on this host: the directory is the caller's.
        let ignore = read_file(&directory.join(IGNORE_FILE));
        Context::of(directory, ignore, dockerfile)
    }

    /// The files below `directory`, and what its `.dockerignore` says.
    fn of(directory: &Path, ignore: io::Result<Vec<u8>>, dockerfile: Option<&Path>) -> Result<Context, ContextError> {
        let failed = |path: PathBuf| move |source| ContextError::Io { operation: "open", path, source };
        let tree = Root::open(directory).map_err(failed(directory.to_owned()))?;
        let ignore = match ignore {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            ignore => ignore.map_err(failed(directory.join(IGNORE_FILE)))?,
        };
        let ignore = Ignore::read(&String::from_utf8_lossy(&ignore)).map_err(ContextError::Ignore)?;
        let is_sent_anyhow = |path: &Path| path == Path::new(IGNORE_FILE) || Some(path) == dockerfile;
        let leaves_out = |path: &Path| ignore.covers(path) && !is_sent_anyhow(path);
        let mut bundle =
            Bundle::new(Counted::default(), BundleOptions { owner: Some((0, 0)), leaves_out: &leaves_out });
        bundle.add(&tree, Path::new(""), Path::new("")).map_err(|error| match error {
            BundleError::Io { path, source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                ContextError::Forbidden(directory.join(path))
            }
            other => other.into(),
        })?;
        let sent_bytes = bundle.finish()?.bytes;
        Ok(Context { tree, ignore, sent_bytes, _place: None })
    }

    /// The context when a Dockerfile of so many bytes comes from elsewhere. Docker's client puts it into the tar under a name
    /// of its own, which it adds to the `.dockerignore`, and leaves off what ends a tar.
    pub fn with_dockerfile_beside(mut self, dockerfile_bytes: usize) -> Context {
        let whole = |bytes: u64| BLOCK_BYTES + bytes.next_multiple_of(BLOCK_BYTES);
        let dockerfile_bytes = dockerfile_bytes as u64;
        self.sent_bytes -= 2 * BLOCK_BYTES;
        self.sent_bytes += match self.tree.read(Path::new(IGNORE_FILE)) {
            Ok(text) => {
                let ignore_bytes = text.len() as u64;
                whole(ignore_bytes + IGNORED_NAME_BYTES) - whole(ignore_bytes) + BLOCK_BYTES + dockerfile_bytes
            }
            Err(_) => whole(dockerfile_bytes) + BLOCK_BYTES + IGNORE_FILE.len() as u64 + IGNORED_NAME_BYTES,
        };
        self
    }

    /// The files of a tar, which may be compressed; they are unpacked in `place`.
    pub fn archive(stream: impl Read, place: Staging) -> Result<Context, ContextError> {
        let directory = place.directory();
        let mut counted = CountedReader { stream, bytes: 0 };
        let tar = decompressed(&mut counted).map_err(ContextError::Archive)?;
        // Copies are root's, whoever owned what was sent.
        let (contents, overlay) = (Contents::Files, OverlayXattr::None);
        unpack(tar, directory, &UnpackOptions { contents, overlay, owners: Owners::CallerOnly })?;
        let sent_bytes = counted.bytes;
        // A stranger may have packed it: no link leads out of it.
        let ignore = Root::open(directory).and_then(|tree| tree.read(Path::new(IGNORE_FILE)));
        let context = Context::of(directory, ignore, None)?;
        Ok(Context { sent_bytes, _place: Some(place), ..context })
    }

    /// A context without files: only a Dockerfile of so many bytes was sent.
    pub fn nothing(dockerfile_bytes: u64, place: Staging) -> Result<Context, ContextError> {
        let context = Context::directory(place.directory(), None)?;
        let sent_bytes = context.sent_bytes + BLOCK_BYTES + dockerfile_bytes.next_multiple_of(BLOCK_BYTES);
        Ok(Context { sent_bytes, _place: Some(place), ..context })
    }

    /// The bytes that Docker's client would send to its daemon.
    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    /// The text of a file, links followed inside the context; nothing when it is not there.
    pub fn read(&self, path: &Path) -> Result<Option<String>, ContextError> {
        match self.tree.read(path) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ContextError::Io { operation: "open", path: path.to_owned(), source }),
        }
    }

    /// The tree the files lie in.
    pub(super) fn tree(&self) -> &Root {
        &self.tree
    }

    /// Whether a path is no part of the context.
    pub(super) fn leaves_out(&self, path: &Path) -> bool {
        self.ignore.covers(path)
    }
}

/// The whole content of a regular file of this host, links followed.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    read_regular(rustix::fs::open(path, flags, Mode::empty())?.into())
}

/// Counts what is written to it.
#[derive(Default)]
struct Counted {
    bytes: u64,
}

impl io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct CountedReader<R> {
    stream: R,
    bytes: u64,
}

impl<R: Read> Read for CountedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.bytes += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn tar_of(fill: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        fill(&mut builder);
        builder.into_inner().unwrap()
    }

    fn file(builder: &mut tar::Builder<Vec<u8>>, name: &str, text: &str) {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, text.as_bytes()).unwrap();
    }

    fn special(builder: &mut tar::Builder<Vec<u8>>, name: &str, kind: tar::EntryType, target: &str) {
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        header.set_mode(0o644);
        header.set_entry_type(kind);
        builder.append_link(&mut header, name, target).unwrap();
    }

    fn archived(tar: &[u8]) -> (tempfile::TempDir, Result<Context, ContextError>) {
        let data_root = tempfile::tempdir().unwrap();
        fs::create_dir(data_root.path().join("tmp")).unwrap();
        let place = Staging::for_build(data_root.path()).unwrap();
        (data_root, Context::archive(tar, place))
    }

    #[test]
    fn a_context_is_as_large_as_its_tar_and_leaves_out_what_it_is_told() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("Dockerfile"), "FROM x\n").unwrap();
        let context = Context::directory(place.path(), Some(Path::new("Dockerfile"))).unwrap();
        assert_eq!(context.sent_bytes(), 2048);
        assert_eq!(context.with_dockerfile_beside(5).sent_bytes(), 1024 + 1583, "as Docker's client 20.10 counts");
        fs::write(place.path().join(IGNORE_FILE), "*\n").unwrap();
        fs::write(place.path().join("big"), vec![0; 10_000]).unwrap();
        let context = Context::directory(place.path(), Some(Path::new("Dockerfile"))).unwrap();
        assert_eq!(context.sent_bytes(), 3072);
        let beside = Context::directory(place.path(), None).unwrap().with_dockerfile_beside(5);
        assert_eq!(beside.sent_bytes(), 1024 + 512 + 5);
        assert!(context.leaves_out(Path::new("Dockerfile")) && context.leaves_out(Path::new("big")));
        assert_eq!(context.read(Path::new("Dockerfile")).unwrap().unwrap(), "FROM x\n");
    }

    #[test]
    fn a_tar_is_a_context_too() {
        let (_data_root, context) = archived(&tar_of(|tar| file(tar, "f", "1\n")));
        let context = context.unwrap();
        assert_eq!((context.sent_bytes(), context.read(Path::new("f")).unwrap().unwrap()), (2048, "1\n".to_owned()));
    }

    #[test]
    fn the_last_file_of_a_name_counts_and_a_whiteouts_name_is_a_name() {
        let (_data_root, context) = archived(&tar_of(|tar| {
            file(tar, "Dockerfile", "FROM old");
            file(tar, ".wh.Dockerfile", "w");
            file(tar, "Dockerfile", "FROM new");
        }));
        let context = context.unwrap();
        assert_eq!(context.read(Path::new("Dockerfile")).unwrap().unwrap(), "FROM new");
        assert_eq!(context.read(Path::new(".wh.Dockerfile")).unwrap().unwrap(), "w");
    }

    #[test]
    fn no_link_of_an_archive_leads_out_of_it_and_no_fifo_makes_a_build_wait() {
        let outside = tempfile::NamedTempFile::new().unwrap();
        fs::write(outside.path(), "*").unwrap();
        let target = outside.path().to_str().unwrap();
        let (_data_root, context) = archived(&tar_of(|tar| {
            special(tar, IGNORE_FILE, tar::EntryType::Symlink, target);
            special(tar, "Dockerfile", tar::EntryType::Symlink, target);
            special(tar, "fifo", tar::EntryType::Fifo, "unused");
        }));
        let context = context.unwrap();
        assert!(!context.leaves_out(Path::new("fifo")));
        assert!(context.read(Path::new("Dockerfile")).unwrap().is_none());
        assert!(context.read(Path::new("fifo")).unwrap_err().to_string().contains("not a regular file"));
        let (_data_root, refused) = archived(&tar_of(|tar| special(tar, IGNORE_FILE, tar::EntryType::Fifo, "unused")));
        assert!(refused.err().unwrap().to_string().contains("not a regular file"));
    }
}
