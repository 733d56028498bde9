//! Several threads at once on one file: some write a byte of their own, one may change the mode, others read all of it
//! meanwhile.
//!
//! *Why*: the first write to a file of a lower layer copies it up, and whoever reads at that moment must see the file as it was or
//! as it is, never a half of it. *Holds*: threads share root directory and user with the one that starts them (`CLONE_FS`;
//! credentials(7)). *Proved by*: the fault in `tests/planted.rs` that empties the file for a moment.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use layerlab_model::operation::{Answer, race_offset};
use layerlab_model::text::Text;
use rustix::fs::{self, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::tree;

/// How many read.
const READERS: usize = 2;

/// What a reader found that never should be.
type Half = Option<String>;

/// How the file at a path is given a letter, if there is a place for it.
pub type Write = dyn Fn(&Text, Option<u64>, u8) -> Result<(), Errno> + Sync;

struct Race<'a> {
    write: &'a Write,
    path: &'a Text,
    before: Vec<u8>,
    letters: &'a [u8],
    has_begun: AtomicBool,
    changing: AtomicUsize,
}

/// How it should be: one system call that writes.
pub fn write(path: &Text, offset: Option<u64>, letter: u8) -> Result<(), Errno> {
    let file = open(path, OFlags::RDWR)?;
    match offset {
        Some(offset) => rustix::io::pwrite(&file, &[letter], offset).map(|_| ()),
        None => Ok(()),
    }
}

/// Lets them run; whoever is refused says why.
pub fn run(path: &Text, letters: &Text, mode: Option<u32>, write: &Write) -> Result<Answer, Errno> {
    let before = match whole(path) {
        Ok(Some(before)) => before,
        // Why a writer would be refused comes first.
        other => return Err(open(path, OFlags::RDWR).err().or(other.err()).unwrap_or(Errno::INVAL)),
    };
    let changing = AtomicUsize::new(letters.0.len() + usize::from(mode.is_some()));
    let race = Race { write, path, before, letters: letters.as_bytes(), has_begun: AtomicBool::new(false), changing };
    let race = &race;
    let found = thread::scope(|scope| {
        let mut all = Vec::new();
        for writer in 0..race.letters.len() {
            all.push(start(scope, move || race.changes(|| race.write(writer)).map(|()| None)));
        }
        if let Some(mode) = mode {
            let chmod = move || fs::chmod(&path.0[..], Mode::from_raw_mode(mode));
            all.push(start(scope, move || race.changes(chmod).map(|()| None)));
        }
        for _ in 0..READERS {
            all.push(start(scope, || race.read()));
        }
        race.has_begun.store(true, Ordering::Release);
        let joined = all.into_iter().map(|thread| thread?.join().unwrap_or(Err(Errno::IO)));
        joined.collect::<Vec<Result<Half, Errno>>>()
    });
    // Those who change come first: their refusal is the answer.
    for found in found {
        if let Some(half) = found? {
            return Ok(Answer::Wrong(half));
        }
    }
    Ok(race.lost()?.map_or(Answer::Done, Answer::Wrong))
}

type Thread<'scope> = Result<thread::ScopedJoinHandle<'scope, Result<Half, Errno>>, Errno>;

fn start<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    body: impl FnOnce() -> Result<Half, Errno> + Send + 'scope,
) -> Thread<'scope> {
    thread::Builder::new().spawn_scoped(scope, body).map_err(|_| Errno::AGAIN)
}

impl Race<'_> {
    fn wait(&self) {
        while !self.has_begun.load(Ordering::Acquire) {
            thread::yield_now();
        }
    }

    fn changes(&self, change: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
        self.wait();
        let changed = change();
        self.changing.fetch_sub(1, Ordering::AcqRel);
        changed
    }

    fn offset(&self, writer: usize) -> Option<usize> {
        race_offset(writer, self.letters.len(), self.before.len())
    }

    fn write(&self, writer: usize) -> Result<(), Errno> {
        (self.write)(self.path, self.offset(writer).map(|offset| offset as u64), self.letters[writer])
    }

    /// Reads until nobody changes anything any more, and once afterwards.
    fn read(&self) -> Result<Half, Errno> {
        self.wait();
        loop {
            let is_last = self.changing.load(Ordering::Acquire) == 0;
            let seen = match whole(self.path) {
                Ok(Some(seen)) => seen,
                Ok(None) => return Ok(Some("a reader found something else than a file".to_owned())),
                Err(errno) => return Ok(Some(format!("a reader could not read: {errno}"))),
            };
            if let Some(half) = self.half(&seen) {
                return Ok(Some(half));
            }
            if is_last {
                return Ok(None);
            }
        }
    }

    /// What of `seen` is neither old nor new.
    fn half(&self, seen: &[u8]) -> Half {
        if seen.len() != self.before.len() {
            return Some(format!("a reader saw {} bytes of a file that had {}", seen.len(), self.before.len()));
        }
        let is_new = |at: usize| {
            (0..self.letters.len()).any(|writer| self.offset(writer) == Some(at) && self.letters[writer] == seen[at])
        };
        let wrong = (0..seen.len()).find(|at| seen[*at] != self.before[*at] && !is_new(*at));
        wrong.map(|at| format!("a reader saw {} at {at}, which is neither old nor new", Text(vec![seen[at]])))
    }

    /// What is not there when all is over.
    fn lost(&self) -> Result<Half, Errno> {
        let seen = whole(self.path)?.unwrap_or_default();
        let is_lost =
            |writer: &usize| self.offset(*writer).is_some_and(|at| seen.get(at) != Some(&self.letters[*writer]));
        let lost = (0..self.letters.len()).find(is_lost);
        Ok(lost.map(|writer| format!("what writer {writer} wrote is not there afterwards")))
    }
}

fn open(path: &Text, access: OFlags) -> Result<std::os::fd::OwnedFd, Errno> {
    fs::open(&path.0[..], access | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())
}

/// All of a file; nothing of what is none.
fn whole(path: &Text) -> Result<Option<Vec<u8>>, Errno> {
    let file = open(path, OFlags::RDONLY)?;
    let stat = fs::fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    tree::content(&file, stat.st_size as usize).map(Some)
}
