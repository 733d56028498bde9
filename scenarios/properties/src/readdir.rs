//! Reads a directory as those do who have little room and come back to where they were (`getdents64(2)`, `telldir(3)`,
//! `seekdir(3)`).
//!
//! *Holds*: what is read the second time is held against what was read the first time; which of both is wrong is not said.

use std::collections::BTreeSet;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use layerlab_model::operation::Answer;
use layerlab_model::text::Text;
use rustix::fs::{self, Mode, OFlags, RawDir, SeekFrom};
use rustix::io::Errno;

/// What the shortest and the longest name take (`struct linux_dirent64`).
const ENTRY_BYTES: std::ops::RangeInclusive<usize> = 24..=280;
/// They are padded to this.
const STEP_BYTES: usize = 8;

/// A directory that is being read.
pub trait Entries {
    /// The next name, and the position behind it.
    fn next(&mut self) -> Result<Option<(Text, u64)>, Errno>;

    /// Goes on from a position.
    fn seek(&mut self, position: u64) -> Result<(), Errno>;
}

/// One that is open; the kernel has room for one name at a time.
pub struct Opened(OwnedFd);

impl Opened {
    /// Opens it.
    pub fn open(path: &Text) -> Result<Opened, Errno> {
        fs::open(&path.0[..], OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map(Opened)
    }
}

impl Entries for Opened {
    fn next(&mut self) -> Result<Option<(Text, u64)>, Errno> {
        let mut buffer = [MaybeUninit::uninit(); *ENTRY_BYTES.end()];
        for room in ENTRY_BYTES.step_by(STEP_BYTES) {
            match RawDir::new(&self.0, &mut buffer[..room]).next() {
                Some(Err(Errno::INVAL)) => {}
                Some(entry) => {
                    let entry = entry?;
                    return Ok(Some((Text::from(entry.file_name().to_bytes()), entry.next_entry_cookie())));
                }
                None => return Ok(None),
            }
        }
        Err(Errno::INVAL)
    }

    fn seek(&mut self, position: u64) -> Result<(), Errno> {
        fs::seek(&self.0, SeekFrom::Start(position)).map(|_| ())
    }
}

/// Every name but `.` and `..`, sorted; or what was other when it was read again from the middle.
pub fn list(directory: &mut impl Entries) -> Result<Answer, Errno> {
    let first = rest(directory)?;
    let half = first.len() / 2;
    if let Some((_, middle)) = half.checked_sub(1).and_then(|last| first.get(last)) {
        directory.seek(*middle)?;
        let names = |entries: &[(Text, u64)]| entries.iter().map(|(name, _)| name.clone()).collect::<BTreeSet<Text>>();
        let (before, again) = (names(&first[half..]), rest(directory)?);
        if before != names(&again) || again.len() != first.len() - half {
            let again: Vec<&Text> = again.iter().map(|(name, _)| name).collect();
            return Ok(Answer::Wrong(format!(
                "behind the middle {before:?} were read, and {again:?} when it was read again"
            )));
        }
    }
    let mut names: Vec<Text> = first.into_iter().map(|(name, _)| name).collect();
    names.retain(|name| name.as_bytes() != b"." && name.as_bytes() != b"..");
    names.sort();
    Ok(Answer::Names(names))
}

fn rest(directory: &mut impl Entries) -> Result<Vec<(Text, u64)>, Errno> {
    let mut entries = Vec::new();
    while let Some(entry) = directory.next()? {
        entries.push(entry);
    }
    Ok(entries)
}
