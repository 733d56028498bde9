//! `stat`, `readlink`, `realpath`, `basename`, `dirname` and `pwd`.

use super::mode;
use crate::account::Names;
use crate::applets::Call;
use crate::clock::Instant;
use crate::options::{Accepts, missing_operand};
use crate::say;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

pub fn stat(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "stat",
        short: "Lfc:tp:",
        long: &[("dereference", 'L'), ("format", 'c'), ("printf", 'p'), ("file-system", 'f')],
        misuse: 1,
    };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    if options.operands.is_empty() {
        return missing_operand("stat");
    }
    let mut status = 0;
    for operand in &options.operands {
        let path = Path::new(operand);
        if options.has('f') {
            status |= file_system(operand, options.value('c'));
            continue;
        }
        let found = if options.has('L') { path.metadata() } else { path.symlink_metadata() };
        match found {
            Err(error) => {
                say::complain("stat", format!("cannot statx '{operand}': {}", say::reason(&error)));
                status = 1;
            }
            Ok(found) => match (options.value('c'), options.value('p')) {
                (Some(format), _) => say::line(expand(format, operand, &found)),
                (None, Some(format)) => say::text(crate::text::print::escapes(&expand(format, operand, &found)).0),
                (None, None) => default(operand, &found),
            },
        }
    }
    status
}

fn quoted(operand: &str, found: &Metadata) -> String {
    match std::fs::read_link(operand) {
        Ok(target) if found.file_type().is_symlink() => format!("'{operand}' -> '{}'", target.display()),
        _ => format!("'{operand}'"),
    }
}

fn time(seconds: i64, nanoseconds: i64) -> String {
    Instant { seconds, nanoseconds: u32::try_from(nanoseconds).unwrap_or(0) }.full()
}

fn birth(found: &Metadata) -> Option<Instant> {
    found.created().ok().map(Instant::from_system)
}

fn default(operand: &str, found: &Metadata) {
    let shown = quoted(operand, found).replace('\'', "");
    let (users, groups) = (Names::users(), Names::groups());
    say::line(format!("  File: {shown}"));
    say::line(format!(
        "  Size: {:<10}\tBlocks: {:<10} IO Block: {:<6} {}",
        found.size(),
        found.blocks(),
        found.blksize(),
        mode::type_name(found)
    ));
    let device = format!("{},{}", rustix::fs::major(found.dev()), rustix::fs::minor(found.dev()));
    let mut line = format!("Device: {device}\tInode: {:<11} Links: {}", found.ino(), found.nlink());
    if matches!(mode::type_letter(found.file_type()), 'b' | 'c') {
        line = format!(
            "Device: {device}\tInode: {:<11} Links: {:<5} Device type: {},{}",
            found.ino(),
            found.nlink(),
            rustix::fs::major(found.rdev()),
            rustix::fs::minor(found.rdev())
        );
    }
    say::line(line);
    say::line(format!(
        "Access: ({:04o}/{})  Uid: ({:>5}/{:>8})   Gid: ({:>5}/{:>8})",
        found.mode() & 0o7777,
        mode::show(found),
        found.uid(),
        users.name(found.uid()).unwrap_or("UNKNOWN"),
        found.gid(),
        groups.name(found.gid()).unwrap_or("UNKNOWN")
    ));
    say::line(format!("Access: {}", time(found.atime(), found.atime_nsec())));
    say::line(format!("Modify: {}", time(found.mtime(), found.mtime_nsec())));
    say::line(format!("Change: {}", time(found.ctime(), found.ctime_nsec())));
    say::line(format!(" Birth: {}", birth(found).map_or_else(|| "-".to_owned(), Instant::full)));
}

fn expand(format: &str, operand: &str, found: &Metadata) -> String {
    let mut text = String::new();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        let mut width = String::new();
        while let Some(digit) = chars.next_if(|c| c.is_ascii_digit() || *c == '-') {
            width.push(digit);
        }
        let Some(directive) = chars.next() else {
            text.push('%');
            break;
        };
        let value = field(directive, &mut chars, operand, found);
        let size: usize = width.trim_start_matches('-').parse().unwrap_or(0);
        if width.starts_with('-') {
            text.push_str(&format!("{value:<size$}"));
        } else if width.starts_with('0') {
            text.push_str(&format!("{value:0>size$}"));
        } else {
            text.push_str(&format!("{value:>size$}"));
        }
    }
    text
}

fn field(
    directive: char,
    rest: &mut std::iter::Peekable<std::str::Chars<'_>>,
    operand: &str,
    found: &Metadata,
) -> String {
    match directive {
        'n' => operand.to_owned(),
        'N' => quoted(operand, found),
        's' => found.size().to_string(),
        'b' => found.blocks().to_string(),
        'B' => "512".to_owned(),
        'o' => found.blksize().to_string(),
        'i' => found.ino().to_string(),
        'h' => found.nlink().to_string(),
        'a' => format!("{:o}", found.mode() & 0o7777),
        'A' => mode::show(found),
        'f' => format!("{:x}", found.mode()),
        'F' => mode::type_name(found).to_owned(),
        'u' => found.uid().to_string(),
        'g' => found.gid().to_string(),
        'U' => Names::users().name(found.uid()).unwrap_or("UNKNOWN").to_owned(),
        'G' => Names::groups().name(found.gid()).unwrap_or("UNKNOWN").to_owned(),
        'd' => found.dev().to_string(),
        'D' => format!("{:x}", found.dev()),
        'H' | 'L' => {
            rest.next();
            let device = found.dev();
            if directive == 'H' { rustix::fs::major(device) } else { rustix::fs::minor(device) }.to_string()
        }
        't' => format!("{:x}", rustix::fs::major(found.rdev())),
        'T' => format!("{:x}", rustix::fs::minor(found.rdev())),
        'm' => mount_point(Path::new(operand)),
        'x' => time(found.atime(), found.atime_nsec()),
        'X' => found.atime().to_string(),
        'y' => time(found.mtime(), found.mtime_nsec()),
        'Y' => found.mtime().to_string(),
        'z' => time(found.ctime(), found.ctime_nsec()),
        'Z' => found.ctime().to_string(),
        'w' => birth(found).map_or_else(|| "-".to_owned(), Instant::full),
        'W' => birth(found).map_or(0, |time| time.seconds).to_string(),
        '%' => "%".to_owned(),
        other => format!("?{other}"),
    }
}

fn mount_point(path: &Path) -> String {
    let Ok(mut current) = path.canonicalize() else { return "?".to_owned() };
    let device = |path: &Path| path.symlink_metadata().map(|found| found.dev()).ok();
    while let Some(parent) = current.parent() {
        if device(parent) != device(&current) {
            break;
        }
        current = parent.to_owned();
    }
    current.display().to_string()
}

fn file_system(operand: &str, format: Option<&str>) -> u8 {
    match rustix::fs::statfs(operand) {
        Err(error) => {
            say::complain(
                "stat",
                format!("cannot read file system information for '{operand}': {}", say::reason(&error.into())),
            );
            1
        }
        Ok(found) => {
            let magic = u64::try_from(found.f_type).unwrap_or(0);
            let name = match magic {
                0xef53 => "ext2/ext3",
                0x0102_1994 => "tmpfs",
                0x794c_7630 => "overlayfs",
                0x9123_683e => "btrfs",
                0x5846_5342 => "xfs",
                0x9fa0 => "proc",
                0x6265_6572 => "sysfs",
                0x6573_5546 => "fuseblk",
                _ => "UNKNOWN",
            };
            match format {
                Some(format) => say::line(format.replace("%T", name).replace("%t", &format!("{magic:x}"))),
                None => say::line(format!(
                    "  File: \"{operand}\"\n    Type: {name}\nBlock size: {}\nBlocks: Total: {} Free: {} Available: {}",
                    found.f_bsize, found.f_blocks, found.f_bfree, found.f_bavail
                )),
            }
            0
        }
    }
}

pub fn readlink(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "readlink",
        short: "femnqsvz",
        long: &[
            ("canonicalize", 'f'),
            ("canonicalize-existing", 'e'),
            ("canonicalize-missing", 'm'),
            ("no-newline", 'n'),
        ],
        misuse: 1,
    };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    if options.operands.is_empty() {
        return missing_operand("readlink");
    }
    let mut status = 0;
    for operand in &options.operands {
        let path = Path::new(operand);
        let result = match options.last_of("fem") {
            None => std::fs::read_link(path).ok(),
            Some(how) => canonical(path, how),
        };
        match result {
            Some(target) if options.has('n') => say::text(target.display()),
            Some(target) => say::line(target.display()),
            None => status = 1,
        }
    }
    status
}

pub fn realpath(call: &Call) -> u8 {
    let accepts = Accepts { name: "realpath", short: "emqsz", long: &[], misuse: 1 };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let mut status = 0;
    for operand in &options.operands {
        match canonical(Path::new(operand), options.last_of("em").unwrap_or('f')) {
            Some(path) => say::line(path.display()),
            None => {
                say::complain("realpath", format!("{operand}: No such file or directory"));
                status = 1;
            }
        }
    }
    status
}

/// Resolves links; with `f` the last component, with `m` any component may be missing.
fn canonical(path: &Path, how: char) -> Option<PathBuf> {
    if let Ok(resolved) = path.canonicalize() {
        return Some(resolved);
    }
    if how == 'e' {
        return None;
    }
    if let Ok(target) = std::fs::read_link(path) {
        return canonical(&path.parent().unwrap_or(Path::new(".")).join(target), how);
    }
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => std::env::current_dir().ok()?,
        Some(parent) if how == 'f' => parent.canonicalize().ok()?,
        Some(parent) => canonical(parent, how)?,
        None => return None,
    };
    match path.components().next_back()? {
        Component::Normal(name) => Some(parent.join(name)),
        Component::ParentDir => Some(parent.parent().unwrap_or(&parent).to_owned()),
        _ => Some(parent),
    }
}

pub fn basename(call: &Call) -> u8 {
    let accepts = Accepts { name: "basename", short: "+as:z", long: &[("suffix", 's'), ("multiple", 'a')], misuse: 1 };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let several = options.has('a') || options.has('s');
    let Some(first) = options.operands.first() else { return missing_operand("basename") };
    let suffix = options.value('s').or(if several { None } else { options.operands.get(1).map(String::as_str) });
    let names = if several { options.operands.clone() } else { vec![first.clone()] };
    for name in names {
        let base =
            if !name.is_empty() && name.chars().all(|c| c == '/') { "/" } else { crate::applets::basename(&name) };
        let shown = suffix.and_then(|suffix| base.strip_suffix(suffix)).filter(|rest| !rest.is_empty()).unwrap_or(base);
        say::line(shown);
    }
    0
}

pub fn dirname(call: &Call) -> u8 {
    if call.args.is_empty() {
        return missing_operand("dirname");
    }
    for operand in call.args {
        let trimmed = operand.trim_end_matches('/');
        let shown = match trimmed.rfind('/') {
            None if operand.starts_with('/') => "/",
            None => ".",
            Some(at) => match trimmed[..at].trim_end_matches('/') {
                "" => "/",
                parent => parent,
            },
        };
        say::line(shown);
    }
    0
}

pub fn pwd(call: &Call) -> u8 {
    let logical = std::env::var("PWD").ok().filter(|path| {
        !call.args.iter().any(|arg| arg == "-P")
            && Path::new(path).is_absolute()
            && matches!((Path::new(path).metadata(), Path::new(".").metadata()),
                (Ok(a), Ok(b)) if (a.dev(), a.ino()) == (b.dev(), b.ino()))
    });
    match logical.map_or_else(|| std::env::current_dir().map(|path| path.display().to_string()), Ok) {
        Ok(path) => {
            say::line(path);
            0
        }
        Err(error) => {
            say::complain("pwd", format!("cannot get current directory: {}", say::reason(&error)));
            1
        }
    }
}
