//! `mkdir`, `touch`, `mkfifo`, `mknod`, `truncate` and `dd`.

use super::mode;
use crate::applets::Call;
use crate::clock;
use crate::options::{Accepts, missing_operand};
use crate::say;
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, mknodat, utimensat};
use std::fs::OpenOptions;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

pub fn mkdir(call: &Call) -> u8 {
    let accepts =
        Accepts { name: "mkdir", short: "pm:v", long: &[("parents", 'p'), ("mode", 'm'), ("verbose", 'v')], misuse: 1 };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    if options.operands.is_empty() {
        return missing_operand("mkdir");
    }
    let mode = match options.value('m') {
        None => None,
        Some(text) => match mode::apply(text, 0o777, true, mode::umask()) {
            Some(mode) => Some(mode),
            None => {
                say::complain("mkdir", format!("invalid mode '{text}'"));
                return 1;
            }
        },
    };
    let mut status = 0;
    for operand in &options.operands {
        let path = Path::new(operand);
        let made = if options.has('p') {
            if path.is_dir() { continue } else { std::fs::create_dir_all(path) }
        } else {
            std::fs::create_dir(path)
        };
        let made = made.and_then(|()| match mode {
            Some(mode) => std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)),
            None => Ok(()),
        });
        match made {
            Ok(()) if options.has('v') => say::line(format!("mkdir: created directory '{operand}'")),
            Ok(()) => {}
            Err(error) => {
                say::complain("mkdir", format!("cannot create directory '{operand}': {}", say::reason(&error)));
                status = 1;
            }
        }
    }
    status
}

pub fn touch(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "touch",
        short: "acd:fhmr:t:",
        long: &[("date", 'd'), ("no-create", 'c'), ("reference", 'r'), ("no-dereference", 'h')],
        misuse: 1,
    };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    if options.operands.is_empty() {
        say::complain("touch", "missing file operand");
        error_line!("Try 'touch --help' for more information.");
        return 1;
    }
    let stamp = |time: clock::Instant| Timespec { tv_sec: time.seconds, tv_nsec: i64::from(time.nanoseconds) };
    let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    let (mut accessed, mut modified) = (now, now);
    if let Some(text) = options.value('d').or(options.value('t')) {
        let parsed = if options.has('d') { clock::parse(text, false) } else { clock::parse_stamp(text) };
        let Some(time) = parsed else {
            say::complain("touch", format!("invalid date format '{text}'"));
            return 1;
        };
        (accessed, modified) = (stamp(time), stamp(time));
    } else if let Some(reference) = options.value('r') {
        match std::fs::metadata(reference) {
            Ok(found) => {
                accessed = Timespec { tv_sec: found.atime(), tv_nsec: found.atime_nsec() };
                modified = Timespec { tv_sec: found.mtime(), tv_nsec: found.mtime_nsec() };
            }
            Err(error) => {
                say::complain("touch", format!("failed to get attributes of '{reference}': {}", say::reason(&error)));
                return 1;
            }
        }
    }
    let omit = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
    if options.has('a') && !options.has('m') {
        modified = omit;
    } else if options.has('m') && !options.has('a') {
        accessed = omit;
    }
    let times = Timestamps { last_access: accessed, last_modification: modified };
    let mut status = 0;
    for operand in &options.operands {
        let path = Path::new(operand);
        if path.symlink_metadata().is_err() || (!options.has('h') && path.metadata().is_err()) {
            if options.has('c') {
                continue;
            }
            if let Err(error) = OpenOptions::new().create(true).append(true).open(path) {
                say::complain("touch", format!("cannot touch '{operand}': {}", say::reason(&error)));
                status = 1;
                continue;
            }
        }
        let flags = if options.has('h') { AtFlags::SYMLINK_NOFOLLOW } else { AtFlags::empty() };
        if let Err(error) = utimensat(CWD, path, &times, flags) {
            say::complain("touch", format!("cannot touch '{operand}': {}", say::reason(&error.into())));
            status = 1;
        }
    }
    status
}

pub fn mkfifo(call: &Call) -> u8 {
    let accepts = Accepts { name: "mkfifo", short: "m:", long: &[("mode", 'm')], misuse: 1 };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    if options.operands.is_empty() {
        return missing_operand("mkfifo");
    }
    let bits = options.value('m').and_then(|text| mode::apply(text, 0o666, false, 0)).unwrap_or(0o666);
    let mut status = 0;
    for operand in &options.operands {
        if let Err(error) = mknodat(CWD, operand.as_str(), FileType::Fifo, Mode::from_raw_mode(bits), 0) {
            say::complain("mkfifo", format!("cannot create fifo '{operand}': {}", say::reason(&error.into())));
            status = 1;
        }
    }
    status
}

pub fn mknod(call: &Call) -> u8 {
    let accepts = Accepts { name: "mknod", short: "m:", long: &[("mode", 'm')], misuse: 1 };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let [name, kind, numbers @ ..] = options.operands.as_slice() else {
        return missing_operand("mknod");
    };
    let kind = match kind.as_str() {
        "p" => FileType::Fifo,
        "c" | "u" => FileType::CharacterDevice,
        "b" => FileType::BlockDevice,
        other => {
            say::complain("mknod", format!("invalid device type '{other}'"));
            return 1;
        }
    };
    let device = match (kind, numbers) {
        (FileType::Fifo, []) => 0,
        (FileType::CharacterDevice | FileType::BlockDevice, [major, minor]) => match (major.parse(), minor.parse()) {
            (Ok(major), Ok(minor)) => rustix::fs::makedev(major, minor),
            _ => {
                say::complain("mknod", format!("invalid device number '{major} {minor}'"));
                return 1;
            }
        },
        (FileType::Fifo, _) => {
            say::complain("mknod", "Fifos do not have major and minor device numbers.");
            return 1;
        }
        _ => {
            say::complain("mknod", "Special files require major and minor device numbers.");
            return 1;
        }
    };
    let bits = options.value('m').and_then(|text| mode::apply(text, 0o666, false, 0)).unwrap_or(0o666);
    match mknodat(CWD, name.as_str(), kind, Mode::from_raw_mode(bits), device) {
        Ok(()) => 0,
        Err(error) => {
            say::complain("mknod", format!("{name}: {}", say::reason(&error.into())));
            1
        }
    }
}

/// A size with GNU's suffixes: K and KiB are 1024, kB and KB 1000.
pub fn size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = if digits == 0 { 1 } else { text[..digits].parse().ok()? };
    let factor: u64 = match &text[digits..] {
        "" | "c" if digits > 0 => 1,
        "b" => 512,
        "K" | "k" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        "T" | "TiB" => 1 << 40,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

pub fn truncate(call: &Call) -> u8 {
    let accepts = Accepts { name: "truncate", short: "cs:r:", long: &[("size", 's'), ("no-create", 'c')], misuse: 1 };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let Some(wanted) = options.value('s') else {
        say::complain("truncate", "you must specify either '--size' or '--reference'");
        return 1;
    };
    let (sign, digits) = match wanted.chars().next() {
        Some(sign @ ('+' | '-' | '<' | '>')) => (Some(sign), &wanted[1..]),
        _ => (None, wanted),
    };
    let Some(amount) = size(digits) else {
        say::complain("truncate", format!("Invalid number: '{wanted}'"));
        return 1;
    };
    let mut status = 0;
    for operand in &options.operands {
        let open = OpenOptions::new().write(true).create(!options.has('c')).truncate(false).open(operand);
        let done = open.and_then(|file| {
            let current = file.metadata()?.len();
            file.set_len(match sign {
                None => amount,
                Some('+') => current + amount,
                Some('-') => current.saturating_sub(amount),
                Some('<') => current.min(amount),
                Some(_) => current.max(amount),
            })
        });
        if let Err(error) = done
            && !(options.has('c') && error.kind() == io::ErrorKind::NotFound)
        {
            say::complain("truncate", format!("cannot open '{operand}' for writing: {}", say::reason(&error)));
            status = 1;
        }
    }
    status
}

pub fn dd(call: &Call) -> u8 {
    match copy_blocks(call.args) {
        Ok(()) => 0,
        Err(message) => {
            say::complain("dd", message);
            1
        }
    }
}

fn copy_blocks(args: &[String]) -> Result<(), String> {
    let (mut from, mut to, mut block, mut count) = (None, None, 512u64, None);
    let (mut skip, mut seek, mut keep, mut quiet, mut sync) = (0, 0, false, false, false);
    for arg in args {
        let (key, value) = arg.split_once('=').ok_or_else(|| format!("unrecognized operand '{arg}'"))?;
        let number = || size(value).ok_or_else(|| format!("invalid number: '{value}'"));
        match key {
            "if" => from = Some(value),
            "of" => to = Some(value),
            "bs" | "ibs" | "obs" => block = number()?.max(1),
            "count" => count = Some(number()?),
            "skip" => skip = number()?,
            "seek" => seek = number()?,
            "conv" => {
                keep = value.contains("notrunc");
                sync = value.contains("sync");
            }
            "status" => quiet = value == "none",
            "iflag" | "oflag" => {}
            _ => return Err(format!("unrecognized operand '{arg}'")),
        }
    }
    let started = std::time::Instant::now();
    let mut reader: Box<dyn io::Read> = match from {
        None => Box::new(io::stdin()),
        Some(path) => {
            let mut file =
                std::fs::File::open(path).map_err(|e| format!("failed to open '{path}': {}", say::reason(&e)))?;
            if skip > 0 {
                file.seek(SeekFrom::Start(skip * block))
                    .map_err(|e| format!("{path}: cannot skip: {}", say::reason(&e)))?;
            }
            Box::new(file)
        }
    };
    let mut file = None;
    if let Some(path) = to {
        let opened = OpenOptions::new().write(true).create(true).truncate(!keep && seek == 0).open(path);
        let mut opened = opened.map_err(|e| format!("failed to open '{path}': {}", say::reason(&e)))?;
        if seek > 0 {
            opened
                .seek(SeekFrom::Start(seek * block))
                .map_err(|e| format!("{path}: cannot seek: {}", say::reason(&e)))?;
            if !keep {
                opened.set_len(seek * block).map_err(|e| format!("{path}: {}", say::reason(&e)))?;
            }
        }
        file = Some(opened);
    }
    let mut buffer = vec![0u8; usize::try_from(block).map_err(|_| "memory exhausted".to_owned())?];
    let (mut full, mut partial, mut bytes) = (0u64, 0u64, 0u64);
    while count.is_none_or(|count| full + partial < count) {
        let length = reader
            .read(&mut buffer)
            .map_err(|e| format!("error reading '{}': {}", from.unwrap_or("standard input"), say::reason(&e)))?;
        if length == 0 {
            break;
        }
        *if length == buffer.len() { &mut full } else { &mut partial } += 1;
        bytes += length as u64;
        match &mut file {
            Some(file) => file
                .write_all(&buffer[..length])
                .map_err(|e| format!("error writing '{}': {}", to.unwrap_or("standard output"), say::reason(&e)))?,
            None => say::bytes(&buffer[..length]),
        }
    }
    if let (Some(file), true) = (&file, sync) {
        file.sync_all().map_err(|e| say::reason(&e))?;
    }
    say::flush();
    if !quiet {
        error_line!("{full}+{partial} records in\n{full}+{partial} records out");
        error_line!("{}", transferred(bytes, started.elapsed().as_secs_f64()));
    }
    Ok(())
}

fn transferred(bytes: u64, seconds: f64) -> String {
    let noun = if bytes == 1 { "byte" } else { "bytes" };
    let mut text = format!("{bytes} {noun}");
    if bytes >= 1000 {
        text.push_str(&format!(" ({}", scaled(bytes, 1000.0, "B")));
        if bytes >= 1024 {
            text.push_str(&format!(", {}", scaled(bytes, 1024.0, "iB")));
        }
        text.push(')');
    }
    let rate = bytes as f64 / seconds.max(1e-9);
    format!("{text} copied, {seconds:.6} s, {}/s", scaled(rate as u64, 1000.0, "B"))
}

fn scaled(bytes: u64, base: f64, suffix: &str) -> String {
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= base && unit < 5 {
        value /= base;
        unit += 1;
    }
    let prefix = ["", if base > 1000.0 { "K" } else { "k" }, "M", "G", "T", "P"][unit];
    let suffix = if unit == 0 { "B" } else { suffix };
    if value < 10.0 && unit > 0 {
        format!("{value:.1} {prefix}{suffix}")
    } else {
        format!("{value:.0} {prefix}{suffix}")
    }
}
