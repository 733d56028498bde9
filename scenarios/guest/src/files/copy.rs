//! `cp`, `mv` and `ln`.

use super::remove;
use crate::applets::{Call, basename};
use crate::options::{Accepts, Options, missing_operand};
use crate::say;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use std::collections::HashMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};

/// What `cp` was told, and what it has seen for hard links.
struct Copy {
    recursive: bool,
    preserve: bool,
    follow: bool,
    force: bool,
    keep: bool,
    verbose: bool,
    as_hard_link: bool,
    as_symlink: bool,
    links: HashMap<(u64, u64), PathBuf>,
    failed: bool,
}

pub fn cp(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "cp",
        short: "adfiLlHnPpRrsTt:uvx",
        long: &[
            ("archive", 'a'),
            ("force", 'f'),
            ("no-clobber", 'n'),
            ("no-dereference", 'P'),
            ("dereference", 'L'),
            ("preserve", 'p'),
            ("recursive", 'R'),
            ("link", 'l'),
            ("symbolic-link", 's'),
            ("target-directory", 't'),
            ("no-target-directory", 'T'),
            ("verbose", 'v'),
        ],
        misuse: 1,
    };
    let args: Vec<String> = call
        .args
        .iter()
        .map(|arg| if arg.starts_with("--preserve=") { "-p".to_owned() } else { arg.clone() })
        .filter(|arg| !arg.starts_with("--reflink") && !arg.starts_with("--sparse"))
        .collect();
    let options = match accepts.read(&args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let recursive = "arR".chars().any(|letter| options.has(letter));
    let mut copy = Copy {
        recursive,
        preserve: options.has('a') || options.has('p'),
        follow: options.has('L') || !(recursive || options.has('P') || options.has('d')),
        force: options.has('f'),
        keep: options.has('n'),
        verbose: options.has('v'),
        as_hard_link: options.has('l'),
        as_symlink: options.has('s'),
        links: HashMap::new(),
        failed: false,
    };
    let status = each_target("cp", &options, |from, to| copy.copy(Path::new(from), to, true));
    status.max(u8::from(copy.failed))
}

/// Pairs sources with their targets and calls `act` for each.
fn each_target(name: &str, options: &Options, mut act: impl FnMut(&str, &Path)) -> u8 {
    let mut operands = options.operands.clone();
    let target = match options.value('t') {
        Some(target) => target.to_owned(),
        None => {
            if operands.is_empty() {
                say::complain(name, "missing file operand");
                error_line!("Try '{name} --help' for more information.");
                return 1;
            }
            if operands.len() == 1 {
                say::complain(name, format!("missing destination file operand after '{}'", operands[0]));
                error_line!("Try '{name} --help' for more information.");
                return 1;
            }
            operands.pop().unwrap_or_default()
        }
    };
    let into = Path::new(&target).is_dir() && !options.has('T');
    if !into && (operands.len() > 1 || options.value('t').is_some() || target.ends_with('/')) {
        let reason = if Path::new(&target).exists() { "Not a directory" } else { "No such file or directory" };
        match operands.as_slice() {
            [only] if options.value('t').is_none() && Path::new(only).is_dir() => {
                act(only, Path::new(&target));
                return 0;
            }
            [_] if options.value('t').is_none() => {
                say::complain(name, format!("cannot create regular file '{target}': Not a directory"));
            }
            _ => say::complain(name, format!("target '{target}': {reason}")),
        }
        return 1;
    }
    for operand in &operands {
        let to = if into { Path::new(&target).join(basename(operand)) } else { PathBuf::from(&target) };
        act(operand, &to);
    }
    0
}

impl Copy {
    fn fail(&mut self, message: String) {
        say::complain("cp", message);
        self.failed = true;
    }

    fn copy(&mut self, from: &Path, to: &Path, operand: bool) {
        let found = if self.follow && (operand || self.recursive) { from.metadata() } else { from.symlink_metadata() };
        let found = match found {
            Ok(found) => found,
            Err(error) => return self.fail(format!("cannot stat '{}': {}", from.display(), say::reason(&error))),
        };
        if found.is_dir() {
            if !self.recursive {
                return self.fail(format!("-r not specified; omitting directory '{}'", from.display()));
            }
            return self.directory(from, to, &found);
        }
        if let Ok(there) = to.metadata()
            && (there.dev(), there.ino()) == (found.dev(), found.ino())
            && !found.file_type().is_symlink()
        {
            return self.fail(format!("'{}' and '{}' are the same file", from.display(), to.display()));
        }
        if self.keep && to.symlink_metadata().is_ok() {
            return;
        }
        match self.file(from, to, &found) {
            Ok(()) if self.verbose => say::line(format!("'{}' -> '{}'", from.display(), to.display())),
            Ok(()) => {}
            Err(error) => {
                let message = match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied if !to.exists() => {
                        format!("cannot create regular file '{}': {}", to.display(), say::reason(&error))
                    }
                    _ if from.metadata().is_ok() && std::fs::File::open(from).is_err() => {
                        format!("cannot open '{}' for reading: {}", from.display(), say::reason(&error))
                    }
                    _ => format!("cannot create regular file '{}': {}", to.display(), say::reason(&error)),
                };
                self.fail(message);
            }
        }
    }

    fn directory(&mut self, from: &Path, to: &Path, found: &Metadata) {
        let existed = to.is_dir();
        if !existed && let Err(error) = std::fs::create_dir(to) {
            return self.fail(format!("cannot create directory '{}': {}", to.display(), say::reason(&error)));
        }
        if let (Ok(source), Ok(target)) = (from.canonicalize(), to.canonicalize())
            && target.starts_with(&source)
            && target != source
            && !existed
        {
            let _ = std::fs::remove_dir(to);
            return self.fail(format!(
                "cannot copy a directory, '{}', into itself, '{}'",
                from.display(),
                to.display()
            ));
        }
        match std::fs::read_dir(from) {
            Err(error) => self.fail(format!("cannot access '{}': {}", from.display(), say::reason(&error))),
            Ok(entries) => {
                for entry in entries.filter_map(Result::ok) {
                    self.copy(&entry.path(), &to.join(entry.file_name()), false);
                }
            }
        }
        if self.preserve {
            if let Err(error) = preserve(to, found) {
                self.fail(format!("preserving attributes for '{}': {}", to.display(), say::reason(&error)));
            }
        } else if !existed {
            let mode = found.mode() & 0o777 & !super::mode::umask();
            let _ = std::fs::set_permissions(to, std::fs::Permissions::from_mode(mode));
        }
    }

    fn file(&mut self, from: &Path, to: &Path, found: &Metadata) -> io::Result<()> {
        if self.as_symlink {
            return symlink(from, to);
        }
        if self.as_hard_link {
            return std::fs::hard_link(from, to);
        }
        if self.preserve && found.nlink() > 1 {
            if let Some(first) = self.links.get(&(found.dev(), found.ino())) {
                let _ = std::fs::remove_file(to);
                return std::fs::hard_link(first, to);
            }
            self.links.insert((found.dev(), found.ino()), to.to_owned());
        }
        let kind = found.file_type();
        if kind.is_symlink() {
            let target = std::fs::read_link(from)?;
            if to.symlink_metadata().is_ok() {
                std::fs::remove_file(to)?;
            }
            symlink(target, to)?;
        } else if self.recursive && !kind.is_file() {
            special(to, found)?;
        } else {
            contents(from, to, found, self.force)?;
        }
        if self.preserve { preserve(to, found) } else { Ok(()) }
    }
}

fn contents(from: &Path, to: &Path, found: &Metadata, force: bool) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut reader = std::fs::File::open(from)?;
    let open =
        || std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(found.mode() & 0o777).open(to);
    let mut writer = match open() {
        Err(_) if force && to.symlink_metadata().is_ok() => {
            std::fs::remove_file(to)?;
            open()?
        }
        opened => opened?,
    };
    io::copy(&mut reader, &mut writer).map(|_| ())
}

fn special(to: &Path, found: &Metadata) -> io::Result<()> {
    use rustix::fs::{FileType, Mode, mknodat};
    let kind = found.file_type();
    let node = if kind.is_fifo() {
        FileType::Fifo
    } else if kind.is_block_device() {
        FileType::BlockDevice
    } else if kind.is_socket() {
        FileType::Socket
    } else {
        FileType::CharacterDevice
    };
    let _ = std::fs::remove_file(to);
    Ok(mknodat(CWD, to, node, Mode::from_raw_mode(found.mode() & 0o7777), found.rdev())?)
}

/// Owner, mode and times of `found` onto `to`, in the order that keeps set-id bits.
pub fn preserve(to: &Path, found: &Metadata) -> io::Result<()> {
    let owned = lchown(to, Some(found.uid()), Some(found.gid()));
    if rustix::process::geteuid().is_root() {
        owned?;
    }
    if !found.file_type().is_symlink() {
        std::fs::set_permissions(to, std::fs::Permissions::from_mode(found.mode() & 0o7777))?;
    }
    let times = Timestamps {
        last_access: Timespec { tv_sec: found.atime(), tv_nsec: found.atime_nsec() },
        last_modification: Timespec { tv_sec: found.mtime(), tv_nsec: found.mtime_nsec() },
    };
    Ok(utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

pub fn mv(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "mv",
        short: "finTt:uv",
        long: &[("force", 'f'), ("no-clobber", 'n'), ("target-directory", 't'), ("verbose", 'v')],
        misuse: 1,
    };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let mut failed = false;
    let status = each_target("mv", &options, |from, to| {
        let (from, failed) = (Path::new(from), &mut failed);
        if options.has('n') && to.symlink_metadata().is_ok() {
            return;
        }
        if let Err(error) = from.symlink_metadata() {
            say::complain("mv", format!("cannot stat '{}': {}", from.display(), say::reason(&error)));
            *failed = true;
            return;
        }
        match std::fs::rename(from, to) {
            Ok(()) if options.has('v') => {
                say::line(format!("renamed '{}' -> '{}'", from.display(), to.display()));
            }
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => *failed |= !move_across(from, to),
            Err(error) => {
                let message = match error.kind() {
                    io::ErrorKind::InvalidInput => {
                        format!("cannot move '{}' to a subdirectory of itself, '{}'", from.display(), to.display())
                    }
                    _ => format!("cannot move '{}' to '{}': {}", from.display(), to.display(), say::reason(&error)),
                };
                say::complain("mv", message);
                *failed = true;
            }
        }
    });
    status.max(u8::from(failed))
}

/// Copies everything and then removes the source, when rename cannot cross (other devices, overlay directories).
fn move_across(from: &Path, to: &Path) -> bool {
    let mut copy = Copy {
        recursive: true,
        preserve: true,
        follow: false,
        force: true,
        keep: false,
        verbose: false,
        as_hard_link: false,
        as_symlink: false,
        links: HashMap::new(),
        failed: false,
    };
    copy.copy(from, to, true);
    !copy.failed && remove::tree("mv", from)
}

pub fn ln(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "ln",
        short: "sfnrvTt:P",
        long: &[("symbolic", 's'), ("force", 'f'), ("no-dereference", 'n'), ("verbose", 'v')],
        misuse: 1,
    };
    let mut options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    if options.operands.is_empty() {
        return missing_operand("ln");
    }
    if options.operands.len() == 1 {
        let here = basename(&options.operands[0]).to_owned();
        options.operands.push(here);
    }
    let target_is_link = options.has('n')
        && options
            .operands
            .last()
            .is_some_and(|last| Path::new(last).symlink_metadata().is_ok_and(|found| found.file_type().is_symlink()));
    let mut failed = false;
    let mut link = |from: &str, to: &Path| {
        if options.has('f') && to.symlink_metadata().is_ok() {
            let _ = std::fs::remove_file(to);
        }
        let kind = if options.has('s') { "symbolic" } else { "hard" };
        let linked = if options.has('s') { symlink(from, to) } else { std::fs::hard_link(from, to) };
        match linked {
            Ok(()) if options.has('v') => say::line(format!("'{}' -> '{from}'", to.display())),
            Ok(()) => {}
            Err(error) => {
                let message = if kind == "hard" && Path::new(from).symlink_metadata().is_err() {
                    format!("failed to access '{from}': {}", say::reason(&error))
                } else if kind == "hard" && Path::new(from).is_dir() {
                    format!("{from}: hard link not allowed for directory")
                } else {
                    format!("failed to create {kind} link '{}': {}", to.display(), say::reason(&error))
                };
                say::complain("ln", message);
                failed = true;
            }
        }
    };
    if target_is_link && options.operands.len() == 2 {
        link(&options.operands[0], Path::new(&options.operands[1]));
        return u8::from(failed);
    }
    let status = each_target("ln", &options, link);
    status.max(u8::from(failed))
}
