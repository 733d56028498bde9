//! `mount` (the listing, and mounting with `-t`, `-o`, `--bind`), `umount` and `sync`.

use crate::applets::Call;
use crate::options::{Accepts, missing_operand};
use crate::say;
use rustix::mount::{MountFlags, UnmountFlags, mount_bind, mount_remount, unmount};

/// One line of /proc/self/mounts, unescaped.
pub struct Mount {
    pub source: String,
    pub target: String,
    pub kind: String,
    pub options: String,
}

/// The mounts of this namespace, in the kernel's order.
pub fn read() -> Vec<Mount> {
    std::fs::read_to_string("/proc/self/mounts")
        .unwrap_or_default()
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').map(unescape);
            Some(Mount {
                source: fields.next()?,
                target: fields.next()?,
                kind: fields.next()?,
                options: fields.next()?,
            })
        })
        .collect()
}

/// The kernel writes blanks, tabs, newlines and backslashes as three octal digits.
fn unescape(field: &str) -> String {
    let mut result = Vec::new();
    let bytes = field.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let octal = (bytes[at] == b'\\')
            .then(|| field.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok()))
            .flatten();
        result.push(octal.unwrap_or(bytes[at]));
        at += if octal.is_some() { 4 } else { 1 };
    }
    String::from_utf8_lossy(&result).into_owned()
}

pub fn mount(call: &Call) -> u8 {
    let accepts =
        Accepts { name: "mount", short: "t:o:Bv", long: &[("types", 't'), ("options", 'o'), ("bind", 'B')], misuse: 1 };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let kind = options.value('t');
    match options.operands.as_slice() {
        [] => {
            for mount in
                read().iter().filter(|mount| kind.is_none_or(|kind| kind.split(',').any(|kind| kind == mount.kind)))
            {
                say::line(format!("{} on {} type {} ({})", mount.source, mount.target, mount.kind, mount.options));
            }
            0
        }
        [target] if options.value('o').is_some_and(|list| list.split(',').any(|word| word == "remount")) => {
            let (flags, data) = flags(options.values('o'));
            finish(target, mount_remount(target.as_str(), flags, data.as_str()))
        }
        [source, target] => {
            let (flags, data) = flags(options.values('o'));
            let bind = options.has('B') || options.values('o').any(|list| list.split(',').any(|word| word == "bind"));
            if bind {
                return finish(target, mount_bind(source.as_str(), target.as_str()));
            }
            let Some(kind) = kind else {
                say::complain("mount", format!("{target}: the file system type must be given with -t"));
                return 1;
            };
            let data = std::ffi::CString::new(data).ok();
            finish(target, rustix::mount::mount(source.as_str(), target.as_str(), kind, flags, data.as_deref()))
        }
        [only] => {
            say::complain("mount", format!("{only}: can't find in /etc/fstab."));
            1
        }
        _ => {
            say::complain("mount", "bad usage");
            1
        }
    }
}

fn flags<'a>(lists: impl Iterator<Item = &'a str>) -> (MountFlags, String) {
    let (mut flags, mut data) = (MountFlags::empty(), Vec::new());
    for word in lists.flat_map(|list| list.split(',')) {
        match word {
            "ro" => flags |= MountFlags::RDONLY,
            "nosuid" => flags |= MountFlags::NOSUID,
            "nodev" => flags |= MountFlags::NODEV,
            "noexec" => flags |= MountFlags::NOEXEC,
            "noatime" => flags |= MountFlags::NOATIME,
            "relatime" => flags |= MountFlags::RELATIME,
            "rw" | "bind" | "remount" | "defaults" | "" => {}
            other => data.push(other),
        }
    }
    (flags, data.join(","))
}

fn finish(target: &str, result: rustix::io::Result<()>) -> u8 {
    match result {
        Ok(()) => 0,
        Err(rustix::io::Errno::PERM) => {
            say::complain("mount", format!("{target}: permission denied."));
            32
        }
        Err(rustix::io::Errno::NOENT) => {
            say::complain("mount", format!("{target}: mount point does not exist."));
            32
        }
        Err(error) => {
            say::complain("mount", format!("{target}: {}.", say::reason(&error.into())));
            32
        }
    }
}

pub fn umount(call: &Call) -> u8 {
    let accepts = Accepts { name: "umount", short: "fl", long: &[("lazy", 'l'), ("force", 'f')], misuse: 1 };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    if options.operands.is_empty() {
        return missing_operand("umount");
    }
    let mut status = 0;
    for target in &options.operands {
        let flags = if options.has('l') { UnmountFlags::DETACH } else { UnmountFlags::empty() };
        if let Err(error) = unmount(target.as_str(), flags) {
            let message = match error {
                rustix::io::Errno::INVAL => "not mounted.".to_owned(),
                rustix::io::Errno::BUSY => "target is busy.".to_owned(),
                rustix::io::Errno::NOENT => "no mount point specified.".to_owned(),
                other => format!("{}.", say::reason(&other.into())),
            };
            say::complain("umount", format!("{target}: {message}"));
            status = 32;
        }
    }
    status
}

pub fn sync(_call: &Call) -> u8 {
    rustix::fs::sync();
    0
}
