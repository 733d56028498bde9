//! `tar` (create, list, extract; `-z` for gzip), `gzip`, `gunzip` and `zcat`.

use super::open;
use crate::account::Names;
use crate::applets::Call;
use crate::clock::Instant;
use crate::files::mode;
use crate::options::Accepts;
use crate::say;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, lchown};
use std::path::{Component, Path, PathBuf};
use tar::{Builder, EntryType, Header};

pub fn tar(call: &Call) -> u8 {
    // The first word may come without its dash: `tar xzf a.tgz`.
    let mut args = call.args.to_vec();
    if let Some(first) = args.first_mut()
        && !first.starts_with('-')
    {
        first.insert(0, '-');
    }
    let accepts = Accepts {
        name: "tar",
        short: "cf:txzvC:pPhkmOT:",
        long: &[
            ("create", 'c'),
            ("list", 't'),
            ("extract", 'x'),
            ("get", 'x'),
            ("file", 'f'),
            ("gzip", 'z'),
            ("verbose", 'v'),
            ("directory", 'C'),
            ("to-stdout", 'O'),
            ("numeric-owner", 'N'),
            ("same-permissions", 'p'),
        ],
        misuse: 64,
    };
    let options = match accepts.read(&args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let archive = options.value('f').unwrap_or("-").to_owned();
    let archive = match std::env::current_dir() {
        Ok(here) if archive != "-" => here.join(&archive).display().to_string(),
        _ => archive,
    };
    let (zipped, verbose) = (options.has('z'), options.has('v'));
    let enter = |directory: Option<&str>| match directory {
        Some(directory) => std::env::set_current_dir(directory).map_err(|error| {
            io::Error::new(error.kind(), format!("{directory}: Cannot open: {}", say::reason(&error)))
        }),
        None => Ok(()),
    };
    let result = if options.has('c') {
        if options.operands.is_empty() {
            say::complain("tar", "Cowardly refusing to create an empty archive");
            return 2;
        }
        create(&archive, zipped, verbose, &options.operands, || enter(options.value('C')))
    } else if options.has('t') || options.has('x') {
        let reader = match open(&archive) {
            Ok(reader) => reader,
            Err(error) => {
                let shown = options.value('f').unwrap_or("-");
                say::complain("tar", format!("{shown}: Cannot open: {}", say::reason(&error)));
                error_line!("tar: Error is not recoverable: exiting now");
                return 2;
            }
        };
        let mut reading = Reading {
            extract: options.has('x'),
            verbose,
            to_stdout: options.has('O'),
            wanted: options.operands.clone(),
            directories: Vec::new(),
            failed: false,
        };
        enter(options.value('C')).and_then(|()| reading.run(unzipped(reader)?)).map(|()| reading.failed)
    } else {
        say::complain("tar", "You must specify one of the '-Acdtrux', '--delete' or '--test-label' options");
        return 2;
    };
    match result {
        Ok(false) => 0,
        Ok(true) => {
            say::complain("tar", "Exiting with failure status due to previous errors");
            2
        }
        Err(error) => {
            say::complain("tar", say::reason(&error));
            error_line!("tar: Error is not recoverable: exiting now");
            2
        }
    }
}

/// gzip is recognised by its magic, as GNU tar does when reading files.
fn unzipped(reader: Box<dyn Read>) -> io::Result<Box<dyn Read>> {
    let mut reader = BufReader::new(reader);
    let zipped = io::BufRead::fill_buf(&mut reader)?.starts_with(&[0x1f, 0x8b]);
    Ok(if zipped { Box::new(MultiGzDecoder::new(reader)) } else { Box::new(reader) })
}

fn create(
    archive: &str,
    zipped: bool,
    verbose: bool,
    operands: &[String],
    enter: impl Fn() -> io::Result<()>,
) -> io::Result<bool> {
    let out: Box<dyn Write> = if archive == "-" { Box::new(io::stdout()) } else { Box::new(File::create(archive)?) };
    enter()?;
    let mut writing = Writing { links: HashMap::new(), verbose, to_stdout: archive == "-", failed: false };
    if zipped {
        let mut builder = Builder::new(GzEncoder::new(out, Compression::default()));
        operands.iter().try_for_each(|operand| writing.add(&mut builder, Path::new(operand)))?;
        builder.into_inner()?.finish()?.flush()?;
    } else {
        let mut builder = Builder::new(out);
        operands.iter().try_for_each(|operand| writing.add(&mut builder, Path::new(operand)))?;
        builder.into_inner()?.flush()?;
    }
    Ok(writing.failed)
}

struct Writing {
    links: HashMap<(u64, u64), PathBuf>,
    verbose: bool,
    to_stdout: bool,
    failed: bool,
}

impl Writing {
    fn add<W: Write>(&mut self, builder: &mut Builder<W>, path: &Path) -> io::Result<()> {
        let found = match path.symlink_metadata() {
            Ok(found) => found,
            Err(error) => {
                say::complain("tar", format!("{}: Cannot stat: {}", path.display(), say::reason(&error)));
                self.failed = true;
                return Ok(());
            }
        };
        let mut name: PathBuf =
            path.components().filter(|part| !matches!(part, Component::RootDir | Component::ParentDir)).collect();
        if name.as_os_str().is_empty() {
            name = PathBuf::from(".");
        }
        if self.verbose {
            let shown = format!("{}{}", name.display(), if found.is_dir() { "/" } else { "" });
            if self.to_stdout { error_line!("{shown}") } else { say::line(shown) }
        }
        let mut header = Header::new_gnu();
        header.set_metadata(&found);
        header.set_mode(found.mode() & 0o7777);
        let (users, groups) = (Names::users(), Names::groups());
        if let Some(user) = users.name(found.uid()) {
            header.set_username(user)?;
        }
        if let Some(group) = groups.name(found.gid()) {
            header.set_groupname(group)?;
        }
        let kind = found.file_type();
        let identity = (found.dev(), found.ino());
        if kind.is_file() && found.nlink() > 1 {
            if let Some(first) = self.links.get(&identity) {
                header.set_entry_type(EntryType::Link);
                header.set_size(0);
                return builder.append_link(&mut header, &name, first);
            }
            self.links.insert(identity, name.clone());
        }
        if kind.is_dir() {
            header.set_size(0);
            builder.append_data(&mut header, name.join(""), io::empty())?;
            let mut children: Vec<PathBuf> =
                std::fs::read_dir(path)?.filter_map(Result::ok).map(|entry| entry.path()).collect();
            children.sort();
            return children.iter().try_for_each(|child| self.add(builder, child));
        }
        if kind.is_symlink() {
            header.set_size(0);
            return builder.append_link(&mut header, &name, std::fs::read_link(path)?);
        }
        if kind.is_file() {
            return match File::open(path) {
                Ok(file) => builder.append_data(&mut header, &name, file.take(found.size())),
                Err(error) => {
                    say::complain("tar", format!("{}: Cannot open: {}", path.display(), say::reason(&error)));
                    self.failed = true;
                    Ok(())
                }
            };
        }
        if kind.is_socket() {
            say::complain("tar", format!("{}: socket ignored", path.display()));
            return Ok(());
        }
        header.set_size(0);
        if kind.is_block_device() || kind.is_char_device() {
            header.set_device_major(rustix::fs::major(found.rdev()))?;
            header.set_device_minor(rustix::fs::minor(found.rdev()))?;
        }
        builder.append_data(&mut header, &name, io::empty())
    }
}

struct Reading {
    extract: bool,
    verbose: bool,
    to_stdout: bool,
    wanted: Vec<String>,
    directories: Vec<(PathBuf, u32, i64)>,
    failed: bool,
}

impl Reading {
    fn run(&mut self, reader: Box<dyn Read>) -> io::Result<()> {
        let mut archive = tar::Archive::new(reader);
        let mut any = false;
        for entry in archive.entries()? {
            let mut entry = entry.map_err(|_| io::Error::other("This does not look like a tar archive"))?;
            any = true;
            let path = entry.path()?.into_owned();
            if !self.wants(&path) {
                continue;
            }
            if self.verbose || !self.extract {
                let long = self.verbose && !self.extract;
                say::line(if long { self.describe(&entry, &path) } else { path.display().to_string() });
            }
            if self.extract && self.to_stdout {
                let mut contents = Vec::new();
                entry.read_to_end(&mut contents)?;
                say::bytes(&contents);
            } else if self.extract
                && let Err(error) = self.extract(&mut entry, &path)
            {
                say::complain("tar", format!("{}: Cannot open: {}", path.display(), say::reason(&error)));
                self.failed = true;
            }
        }
        if !any && self.extract && !self.wanted.is_empty() {
            self.failed = true;
        }
        for (path, bits, modified) in std::mem::take(&mut self.directories).into_iter().rev() {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(bits))?;
            set_modified(&path, modified)?;
        }
        Ok(())
    }

    fn wants(&self, path: &Path) -> bool {
        self.wanted.is_empty()
            || self
                .wanted
                .iter()
                .any(|wanted| path.starts_with(wanted.trim_end_matches('/')) || path == Path::new(wanted))
    }

    fn describe<R: Read>(&self, entry: &tar::Entry<'_, R>, path: &Path) -> String {
        let header = entry.header();
        let letter = match header.entry_type() {
            EntryType::Directory => 'd',
            EntryType::Symlink => 'l',
            EntryType::Link => 'h',
            EntryType::Char => 'c',
            EntryType::Block => 'b',
            EntryType::Fifo => 'p',
            _ => '-',
        };
        let bits = header.mode().unwrap_or(0);
        let permissions = mode::permissions(bits);
        let owner = |name: Option<&str>, id: u64| match name {
            Some(name) if !name.is_empty() => name.to_owned(),
            _ => id.to_string(),
        };
        let owners = format!(
            "{}/{}",
            owner(header.username().ok().flatten(), header.uid().unwrap_or(0)),
            owner(header.groupname().ok().flatten(), header.gid().unwrap_or(0))
        );
        let size = header.size().unwrap_or(0).to_string();
        let width = 19usize.saturating_sub(owners.len() + 1).max(size.len());
        let seconds = i64::try_from(header.mtime().unwrap_or(0)).unwrap_or(0);
        let time = Instant { seconds, nanoseconds: 0 }.format("%Y-%m-%d %H:%M", false);
        let link = match entry.link_name() {
            Ok(Some(target)) if letter == 'h' => format!(" link to {}", target.display()),
            Ok(Some(target)) => format!(" -> {}", target.display()),
            _ => String::new(),
        };
        format!("{letter}{permissions} {owners} {size:>width$} {time} {}{link}", path.display())
    }

    fn extract<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>, path: &Path) -> io::Result<()> {
        if path.components().any(|part| matches!(part, Component::ParentDir)) {
            return Err(io::Error::other("Member name contains '..'"));
        }
        let target: PathBuf = path.components().filter(|part| !matches!(part, Component::RootDir)).collect();
        if target.as_os_str().is_empty() {
            return Ok(());
        }
        if let Some(parent) = target.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            refuse_links(parent)?;
            std::fs::create_dir_all(parent)?;
        }
        let header = entry.header().clone();
        let bits = header.mode()? & 0o7777;
        let modified = i64::try_from(header.mtime()?).unwrap_or(0);
        let kind = header.entry_type();
        if kind != EntryType::Directory && target.symlink_metadata().is_ok() {
            std::fs::remove_file(&target)?;
        }
        match kind {
            EntryType::Directory => {
                if !target.is_dir() {
                    std::fs::create_dir(&target)?;
                }
                self.directories.push((target.clone(), bits, modified));
            }
            EntryType::Symlink => {
                let link = entry.link_name()?.ok_or_else(|| io::Error::other("link without a target"))?;
                std::os::unix::fs::symlink(link, &target)?;
            }
            EntryType::Link => {
                let link = entry.link_name()?.ok_or_else(|| io::Error::other("link without a target"))?;
                let source: PathBuf = link.components().filter(|part| matches!(part, Component::Normal(_))).collect();
                refuse_links(source.parent().unwrap_or(Path::new("")))?;
                return std::fs::hard_link(source, &target);
            }
            EntryType::Fifo => mknodat(CWD, &target, FileType::Fifo, Mode::from_raw_mode(bits), 0)?,
            EntryType::Char | EntryType::Block => {
                let device =
                    rustix::fs::makedev(header.device_major()?.unwrap_or(0), header.device_minor()?.unwrap_or(0));
                let node = if kind == EntryType::Char { FileType::CharacterDevice } else { FileType::BlockDevice };
                mknodat(CWD, &target, node, Mode::from_raw_mode(bits), device)?;
            }
            _ => {
                let mut file = File::create(&target)?;
                io::copy(entry, &mut file)?;
            }
        }
        if rustix::process::geteuid().is_root() {
            let id = |value: u64| u32::try_from(value).ok();
            lchown(&target, id(header.uid()?), id(header.gid()?))?;
        }
        if kind != EntryType::Symlink && kind != EntryType::Directory {
            std::fs::set_permissions(&target, std::fs::Permissions::from_mode(bits))?;
        }
        set_modified(&target, modified)
    }
}

/// An archive must not write through a symbolic link it brought along.
fn refuse_links(path: &Path) -> io::Result<()> {
    let mut current = PathBuf::new();
    for part in path.components() {
        current.push(part);
        if current.symlink_metadata().is_ok_and(|found| found.file_type().is_symlink()) {
            return Err(io::Error::other(format!("{} is a symbolic link", current.display())));
        }
    }
    Ok(())
}

fn set_modified(path: &Path, seconds: i64) -> io::Result<()> {
    use rustix::fs::{AtFlags, Timespec, Timestamps, utimensat};
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

pub fn gzip(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "gzip",
        short: "cdfkn123456789",
        long: &[("decompress", 'd'), ("stdout", 'c'), ("keep", 'k')],
        misuse: 1,
    };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let decompress = options.has('d') || call.name != "gzip";
    let to_stdout = options.has('c') || call.name == "zcat" || options.operands.is_empty();
    let standard = ["-".to_owned()];
    let operands = if options.operands.is_empty() { &standard[..] } else { &options.operands[..] };
    let mut status = 0;
    for operand in operands {
        let done = if to_stdout {
            convert(operand, decompress).map(|contents| say::bytes(&contents))
        } else {
            beside(operand, decompress, options.has('k'))
        };
        if let Err(error) = done {
            say::complain(call.name, format!("{operand}: {}", say::reason(&error)));
            status = 1;
        }
    }
    status
}

fn convert(path: &str, decompress: bool) -> io::Result<Vec<u8>> {
    let mut reader = open(path)?;
    let mut contents = Vec::new();
    if decompress {
        MultiGzDecoder::new(reader).read_to_end(&mut contents)?;
        return Ok(contents);
    }
    reader.read_to_end(&mut contents)?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&contents)?;
    encoder.finish()
}

fn beside(path: &str, decompress: bool, keep: bool) -> io::Result<()> {
    let target = match (decompress, path.strip_suffix(".gz")) {
        (false, _) => format!("{path}.gz"),
        (true, Some(stem)) => stem.to_owned(),
        (true, None) => return Err(io::Error::other("unknown suffix -- ignored")),
    };
    let found = std::fs::metadata(path)?;
    std::fs::write(&target, convert(path, decompress)?)?;
    crate::files::copy::preserve(Path::new(&target), &found)?;
    if keep { Ok(()) } else { std::fs::remove_file(path) }
}
