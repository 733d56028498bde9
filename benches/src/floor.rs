//! What no tool can leave out when layers come or go: bytes read once, their digests, files written; in this process, on all cores.
//!
//! *Why*: how far a figure can fall is a question for a measurement, in the same run and on the same file system. *Holds*: what is known
//! beforehand (names, sizes, where a file lies in a tar) is arranged and not timed; nothing is kept of it but the files themselves. *Never*:
//! code of the engine's.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::panic::resume_unwind;
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow, bail, ensure};
use ring::digest::{Context as Digesting, SHA256};
use rustix::fs::{CWD, FileType, Mode};
use tar::EntryType;

use crate::image;

/// A part of the work that may be done beside others.
pub type Job<'a> = Box<dyn FnOnce() -> anyhow::Result<()> + Send + 'a>;

/// So much is read, hashed and written at once.
const BLOCK_BYTES: usize = 1 << 20;
/// So many files are one job.
const FILES_IN_JOB: usize = 64;
/// Of every directory of the image.
const DIRECTORY_MODE: u32 = 0o755;
/// A tar's.
const TAR_BLOCK_BYTES: usize = 512;

/// Does all of them, the first first, by as many threads as there are cores.
pub fn on_all_cores(jobs: Vec<Job<'_>>) -> anyhow::Result<()> {
    let cores = thread::available_parallelism()?.get();
    let queue = Mutex::new(jobs.into_iter());
    let next = || queue.lock().map_err(|_| anyhow!("a thread panicked")).map(|mut queue| queue.next());
    let work = || -> anyhow::Result<()> {
        while let Some(job) = next()? {
            job()?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// Lets what lies on the file system of `place` survive a power cut.
pub fn durable(place: &Path) -> anyhow::Result<()> {
    Ok(rustix::fs::syncfs(File::open(place)?)?)
}

/// Reads a file, and finds that it has this digest.
pub fn digested<'a>(path: &'a Path, wanted: &'a str) -> Job<'a> {
    Box::new(move || passed(&File::open(path)?, wanted, |_, _| Ok(())))
}

/// Reads a file, finds that it has this digest, and writes it into `to` at `at`.
pub fn copied<'a>(path: &'a Path, wanted: &'a str, to: &'a File, at: u64) -> Job<'a> {
    Box::new(move || passed(&File::open(path)?, wanted, |offset, bytes| Ok(to.write_all_at(bytes, at + offset)?)))
}

/// Reads a file, makes its digest, and gives each block on.
fn passed(file: &File, wanted: &str, mut on: impl FnMut(u64, &[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let (mut digest, mut buffer, mut at) = (Digesting::new(&SHA256), vec![0; BLOCK_BYTES], 0);
    loop {
        let count = file.read_at(&mut buffer, at)?;
        if count == 0 {
            break;
        }
        digest.update(&buffer[..count]);
        on(at, &buffer[..count])?;
        at += count as u64;
    }
    let found = format!("sha256:{}", hex::encode(digest.finish()));
    ensure!(found == wanted, "what was read has the digest {found} and not {wanted}");
    Ok(())
}

/// What is to be made, known name by name.
pub struct Tree {
    source: Source,
    entries: Vec<Entry>,
}

/// Where the bytes of files are.
enum Source {
    Tar(File),
    Directory(PathBuf),
}

struct Entry {
    path: PathBuf,
    mode: u32,
    modified: SystemTime,
    content: Content,
}

enum Content {
    Directory,
    Link(PathBuf),
    /// What hides a name from below, as the kernel's overlay has it.
    Whiteout,
    /// `at` is its first byte's place in a tar.
    File {
        at: u64,
        bytes: u64,
    },
}

impl Tree {
    /// What lies in a tar of directories, files and symbolic links.
    pub fn of_tar(path: &Path) -> anyhow::Result<Tree> {
        let mut tar = tar::Archive::new(File::open(path)?);
        let (mut entries, mut directories) = (Vec::new(), BTreeSet::new());
        for entry in tar.entries_with_seek()? {
            let entry = entry?;
            let path = clean(&entry.path()?);
            let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(entry.header().mtime()?);
            // A layer need not name the directories that it takes from below.
            let is_directory = entry.header().entry_type() == EntryType::Directory;
            let above = path.ancestors().skip(usize::from(!is_directory)).filter(|above| !above.as_os_str().is_empty());
            let mut above: Vec<&Path> = above.collect();
            above.reverse();
            for directory in above {
                if directories.insert(directory.to_owned()) {
                    let path = directory.to_owned();
                    entries.push(Entry { path, mode: DIRECTORY_MODE, modified, content: Content::Directory });
                }
            }
            if is_directory {
                continue;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let (path, content) = match entry.header().entry_type() {
                EntryType::Symlink => {
                    (path, Content::Link(entry.link_name()?.context("a link without a target")?.into_owned()))
                }
                EntryType::Regular => match name.strip_prefix(".wh.") {
                    Some(hidden) => (path.with_file_name(hidden), Content::Whiteout),
                    None => (path, Content::File { at: entry.raw_file_position(), bytes: entry.size() }),
                },
                other => bail!("{} is {other:?}", path.display()),
            };
            entries.push(Entry { path, mode: entry.header().mode()?, modified, content });
        }
        Ok(Tree { source: Source::Tar(File::open(path)?), entries })
    }

    /// What lies in a directory.
    pub fn of_directory(root: &Path) -> anyhow::Result<Tree> {
        let mut tree = Tree { source: Source::Directory(root.to_owned()), entries: Vec::new() };
        tree.add(root, Path::new(""))?;
        Ok(tree)
    }

    fn add(&mut self, root: &Path, below: &Path) -> anyhow::Result<()> {
        for entry in fs::read_dir(root.join(below))? {
            let entry = entry?;
            let (path, facts) = (below.join(entry.file_name()), entry.metadata()?);
            let content = match facts.file_type() {
                kind if kind.is_dir() => Content::Directory,
                kind if kind.is_symlink() => Content::Link(fs::read_link(entry.path())?),
                kind if kind.is_file() => Content::File { at: 0, bytes: facts.size() },
                other => bail!("{} is {other:?}", entry.path().display()),
            };
            let is_directory = facts.is_dir();
            let mode = facts.permissions().mode() & 0o7777;
            self.entries.push(Entry { path: path.clone(), mode, modified: facts.modified()?, content });
            if is_directory {
                self.add(root, &path)?;
            }
        }
        Ok(())
    }

    /// How many names it has.
    pub fn count(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Makes its directories in `to`; what makes the rest, each file by opening, writing, setting its time and closing it.
    pub fn begun<'a>(&'a self, to: &'a Path) -> anyhow::Result<Vec<Job<'a>>> {
        let (directories, others): (Vec<&Entry>, Vec<&Entry>) =
            self.entries.iter().partition(|entry| matches!(entry.content, Content::Directory));
        for entry in directories {
            rustix::fs::mkdir(to.join(&entry.path), Mode::from_raw_mode(entry.mode))?;
        }
        let jobs = others.chunks(FILES_IN_JOB).map(<[&Entry]>::to_vec).map(|part| -> Job<'a> {
            Box::new(move || {
                let mut buffer = Vec::new();
                part.iter().try_for_each(|entry| {
                    self.make(entry, to, &mut buffer).with_context(|| format!("cannot make {}", entry.path.display()))
                })
            })
        });
        Ok(jobs.collect())
    }

    fn make(&self, entry: &Entry, to: &Path, buffer: &mut Vec<u8>) -> anyhow::Result<()> {
        match &entry.content {
            Content::Directory => {}
            Content::Link(target) => rustix::fs::symlink(target, to.join(&entry.path))?,
            Content::Whiteout => {
                rustix::fs::mknodat(CWD, to.join(&entry.path), FileType::CharacterDevice, Mode::empty(), 0)?;
            }
            Content::File { at, bytes } => {
                let file = created(entry, to)?;
                let own = match &self.source {
                    Source::Tar(_) => None,
                    Source::Directory(root) => Some(File::open(root.join(&entry.path))?),
                };
                let from = match (&own, &self.source) {
                    (Some(own), _) | (None, Source::Tar(own)) => own,
                    (None, Source::Directory(_)) => bail!("no source"),
                };
                let (mut at, end) = (*at, at + bytes);
                while at < end {
                    buffer.resize(BLOCK_BYTES.min((end - at) as usize), 0);
                    from.read_exact_at(buffer, at)?;
                    (&file).write_all(buffer)?;
                    at += buffer.len() as u64;
                }
                file.set_modified(entry.modified)?;
            }
        }
        Ok(())
    }

    /// That `place` has every name of it and no other.
    pub fn is_made(&self, place: &Path) -> anyhow::Result<()> {
        let found = names(place)?;
        ensure!(found == self.count(), "{} has {found} names and not {}", place.display(), self.count());
        Ok(())
    }
}

/// Without what names the directory that it is in.
fn clean(path: &Path) -> PathBuf {
    path.components().filter(|part| matches!(part, Component::Normal(_))).collect()
}

fn created(entry: &Entry, to: &Path) -> io::Result<File> {
    fs::OpenOptions::new().write(true).create_new(true).mode(entry.mode).open(to.join(&entry.path))
}

/// Layers that are unpacked, each into a directory of its own.
pub struct Layers {
    /// The largest first: whoever comes last should not have it.
    layers: Vec<Layer>,
    place: PathBuf,
}

struct Layer {
    number: usize,
    tar: PathBuf,
    diff_id: String,
    tree: Tree,
    to: PathBuf,
}

impl Layers {
    /// Those of these tars, which have these digests, in directories below `place`.
    pub fn of(tars: Vec<(PathBuf, String)>, place: &Path) -> anyhow::Result<Layers> {
        let layer = |(number, (tar, diff_id)): (usize, (PathBuf, String))| -> anyhow::Result<(u64, Layer)> {
            let (bytes, tree, to) = (tar.metadata()?.len(), Tree::of_tar(&tar)?, place.join(number.to_string()));
            Ok((bytes, Layer { number, tar, diff_id, tree, to }))
        };
        let mut layers = tars.into_iter().enumerate().map(layer).collect::<Result<Vec<_>, _>>()?;
        layers.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        Ok(Layers { layers: layers.into_iter().map(|(_, layer)| layer).collect(), place: place.to_owned() })
    }

    /// Nothing is unpacked any more.
    pub fn emptied(&self) -> anyhow::Result<()> {
        if self.place.exists() {
            fs::remove_dir_all(&self.place)?;
        }
        self.layers.iter().try_for_each(|layer| Ok(fs::create_dir_all(&layer.to)?))
    }

    /// Reads the tars, makes their digests and their files, durably.
    pub fn unpacked(&self) -> anyhow::Result<()> {
        let mut jobs: Vec<Job<'_>> = self.layers.iter().map(|layer| digested(&layer.tar, &layer.diff_id)).collect();
        for layer in &self.layers {
            jobs.extend(layer.tree.begun(&layer.to)?);
        }
        on_all_cores(jobs)?;
        durable(&self.place)
    }

    /// The same where `inflated` gives a tar by its layer's number; the files are made of the tars as they lie there.
    pub fn inflated(&self, inflated: impl Fn(usize) -> anyhow::Result<Vec<u8>> + Sync) -> anyhow::Result<()> {
        let inflated = &inflated;
        let inflate = |layer: &'_ Layer| {
            let found = image::digest(&inflated(layer.number)?);
            ensure!(found == layer.diff_id, "the layer is another one");
            Ok(())
        };
        let mut jobs: Vec<Job<'_>> = Vec::new();
        for layer in &self.layers {
            jobs.push(Box::new(move || inflate(layer)));
        }
        for layer in &self.layers {
            jobs.extend(layer.tree.begun(&layer.to)?);
        }
        on_all_cores(jobs)?;
        durable(&self.place)
    }

    /// That everything is there.
    pub fn are_unpacked(&self) -> anyhow::Result<()> {
        self.layers.iter().try_for_each(|layer| layer.tree.is_made(&layer.to))
    }
}

/// How many names there are below a directory.
fn names(directory: &Path) -> io::Result<u64> {
    let mut count = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        count += 1;
        if entry.file_type()?.is_dir() {
            count += names(&entry.path())?;
        }
    }
    Ok(count)
}

/// A tar of a directory whose headers are known: only files are to be read, and all is to be written.
pub struct Tar {
    root: PathBuf,
    members: Vec<Member>,
    bytes: u64,
    pub digest: String,
}

struct Member {
    path: PathBuf,
    /// Of its header.
    at: u64,
    header: [u8; TAR_BLOCK_BYTES],
    bytes: u64,
}

impl Tar {
    /// That of `root`; it is written into `to` once, to know how it is.
    pub fn of_directory(root: &Path, to: &Path) -> anyhow::Result<Tar> {
        let mut tar = tar::Builder::new(io::BufWriter::new(File::create(to)?));
        tar.follow_symlinks(false);
        tar.append_dir_all("", root)?;
        tar.into_inner()?.flush()?;
        let mut members = Vec::new();
        for entry in tar::Archive::new(File::open(to)?).entries_with_seek()? {
            let entry = entry?;
            let bytes = if entry.header().entry_type() == EntryType::Regular { entry.size() } else { 0 };
            let (at, path) = (entry.raw_header_position(), entry.path()?.into_owned());
            members.push(Member { path, at, header: *entry.header().as_bytes(), bytes });
        }
        let digest = image::digest(&fs::read(to)?);
        Ok(Tar { root: root.to_owned(), members, bytes: to.metadata()?.len(), digest })
    }

    /// Reads the files, and writes the tar into `to`.
    pub fn write(&self, to: &File) -> anyhow::Result<()> {
        to.set_len(self.bytes)?;
        let jobs = self.members.chunks(FILES_IN_JOB).map(|part| -> Job<'_> { Box::new(move || self.part(part, to)) });
        on_all_cores(jobs.collect())
    }

    fn part(&self, members: &[Member], to: &File) -> anyhow::Result<()> {
        let mut buffer = Vec::new();
        for member in members {
            buffer.extend_from_slice(&member.header);
            if member.bytes > 0 {
                let from = buffer.len();
                buffer.resize(from + (member.bytes as usize).next_multiple_of(TAR_BLOCK_BYTES), 0);
                let file = File::open(self.root.join(&member.path))?;
                file.read_exact_at(&mut buffer[from..from + member.bytes as usize], 0)?;
            }
        }
        Ok(to.write_all_at(&buffer, members.first().map_or(0, |member| member.at))?)
    }
}
