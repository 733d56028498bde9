//! What is known of a file below, as the trees of the laws have it, and as FUSE tells it.

use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, INodeNo, TimeOrNow};
use layerlab_model::inode::Time;
use layerlab_model::text::Text;
use layerlab_properties::tree::{Attributes, Facts, Marks, When, letter};
use rustix::fs::{self, FileType, Mode, OFlags, Stat, Timespec, UTIME_NOW, UTIME_OMIT};

use super::state::{Raw, name};

/// Longest list of names of extended attributes, and longest value, that the kernel gives.
pub const XATTR_BYTES_MAX: usize = 64 << 10;

/// What is known of a file, as the trees of the laws have it.
pub fn facts(file: &OwnedFd, stat: &Stat, with_content: bool) -> Facts {
    let kind = letter(FileType::from_raw_mode(stat.st_mode));
    Facts {
        kind,
        mode: stat.st_mode & 0o7777,
        owner: (stat.st_uid, stat.st_gid),
        mtime: When::Time(Time { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32 }),
        content: if with_content { content(file, stat).unwrap_or_default() } else { Vec::new() },
        device: (fs::major(stat.st_rdev), fs::minor(stat.st_rdev)),
        links: if kind == 'd' { 0 } else { stat.st_nlink },
        identity: (stat.st_dev, stat.st_ino),
        xattrs: xattrs(file).unwrap_or_default(),
        marks: Marks::default(),
        private: Attributes::new(),
        is_listed_as_what_it_is: true,
        is_listed_with_its_inode: true,
    }
}

fn content(file: &OwnedFd, stat: &Stat) -> Result<Vec<u8>, Raw> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => Ok(fs::readlinkat(file, "", Vec::new())?.into_bytes()),
        _ => {
            let file = fs::open(name(file), OFlags::RDONLY | OFlags::NOATIME | OFlags::CLOEXEC, Mode::empty())?;
            let mut bytes = vec![0; stat.st_size as usize];
            let count = rustix::io::pread(&file, &mut bytes[..], 0)?;
            bytes.truncate(count);
            Ok(bytes)
        }
    }
}

fn xattrs(file: &OwnedFd) -> Result<Attributes, Raw> {
    let path = name(file);
    let mut names = vec![0; XATTR_BYTES_MAX];
    let length = fs::listxattr(&*path, &mut names[..])?;
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.map(|name| Ok((Text::from(name), xattr(&path, name)?))).collect()
}

/// The value of an attribute.
pub fn xattr(path: &str, name: &[u8]) -> Result<Vec<u8>, Raw> {
    let mut value = vec![0; XATTR_BYTES_MAX];
    let length = fs::getxattr(path, name, &mut value[..])?;
    value.truncate(length);
    Ok(value)
}

/// What stat(2) is to tell: what is there, with what is shown of it.
pub fn attributes(stat: &Stat, facts: &Facts) -> FileAttr {
    let mtime = match facts.mtime {
        When::Time(time) => moment(time.seconds, time.nanoseconds),
        When::Reading(_) | When::Whenever => moment(stat.st_mtime, stat.st_mtime_nsec as u32),
    };
    FileAttr {
        ino: INodeNo(facts.identity.1),
        size: stat.st_size as u64,
        blocks: stat.st_blocks as u64,
        atime: moment(stat.st_atime, stat.st_atime_nsec as u32),
        mtime,
        ctime: moment(stat.st_ctime, stat.st_ctime_nsec as u32),
        crtime: UNIX_EPOCH,
        kind: match facts.kind {
            'd' => fuser::FileType::Directory,
            'l' => fuser::FileType::Symlink,
            'p' => fuser::FileType::NamedPipe,
            's' => fuser::FileType::Socket,
            'c' => fuser::FileType::CharDevice,
            'b' => fuser::FileType::BlockDevice,
            _ => fuser::FileType::RegularFile,
        },
        perm: facts.mode as u16,
        nlink: if facts.kind == 'd' { stat.st_nlink } else { facts.links } as u32,
        uid: facts.owner.0,
        gid: facts.owner.1,
        // The kernel's form of it has 32 bits.
        rdev: fs::makedev(facts.device.0, facts.device.1) as u32,
        blksize: stat.st_blksize as u32,
        flags: 0,
    }
}

fn moment(seconds: i64, nanoseconds: u32) -> SystemTime {
    let whole = match u64::try_from(seconds) {
        Ok(after) => UNIX_EPOCH + Duration::from_secs(after),
        Err(_) => UNIX_EPOCH - Duration::from_secs(seconds.unsigned_abs()),
    };
    whole + Duration::from_nanos(u64::from(nanoseconds))
}

/// In the words of the laws.
pub fn time_of(moment: SystemTime) -> Time {
    match moment.duration_since(UNIX_EPOCH) {
        Ok(after) => Time { seconds: after.as_secs() as i64, nanoseconds: after.subsec_nanos() },
        // fuser counts the nanoseconds of a time before 1970 back, too (`system_time_from_time` of its `time.rs`).
        Err(before) => {
            let before = before.duration();
            Time { seconds: -(before.as_secs() as i64), nanoseconds: before.subsec_nanos() }
        }
    }
}

/// As utimensat(2) has it.
pub fn timespec(time: Option<TimeOrNow>) -> Timespec {
    match time {
        None => Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        Some(TimeOrNow::Now) => Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
        Some(TimeOrNow::SpecificTime(moment)) => {
            let Time { seconds, nanoseconds } = time_of(moment);
            Timespec { tv_sec: seconds, tv_nsec: i64::from(nanoseconds) }
        }
    }
}
