//! One word to a driver program, and what it says.
//!
//! *Holds*: an answer comes within the limit, or the program is ended; what it leaves running may keep its output open, since that is a file in memory and
//! no pipe that somebody would read to its end.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::ops::Deref;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use layerlab_model::text::Text;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

/// Where a driver keeps what it has.
const DATA_ROOT: &str = "LAYERLAB_DATA_ROOT";

/// Which of several drivers a program is to be.
pub const KIND: &str = "LAYERLAB_KIND";

/// The exit status that means "I have no such thing".
const NO_SUCH_THING: i32 = 77;

/// How long an answer may take, unless somebody says otherwise.
pub const LIMIT: Duration = Duration::from_secs(300);

/// How often a refused unmount is asked for again, and after how long.
const UNMOUNTS: u32 = 20;
const BETWEEN_UNMOUNTS: Duration = Duration::from_millis(50);

/// What went wrong with a driver program.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It is not there, or cannot be executed.
    #[error("cannot start the driver {}: {source}", program.display())]
    Start {
        /// Its path.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It says that it could not.
    #[error("{}: {words}: {status}: {complaint}", program.display())]
    Refused {
        /// Its path.
        program: PathBuf,
        /// What it was asked.
        words: String,
        /// How it ended.
        status: String,
        /// The end of its standard error.
        complaint: String,
    },
    /// It had not ended in time, and was ended; nothing is asked of it any more.
    #[error("{}: {words}: no answer within {} s (--limit SECONDS gives a driver program more time){complaint}", program.display(), limit.as_secs())]
    Silent {
        /// Its path.
        program: PathBuf,
        /// What it was asked.
        words: String,
        /// How long it had.
        limit: Duration,
        /// The end of its standard error, after a colon; nothing where there is none.
        complaint: String,
    },
    /// It did not answer before.
    #[error("{words}: it is asked nothing any more: {silence}")]
    GivenUp {
        /// What it would have been asked.
        words: String,
        /// What was said of that.
        silence: String,
    },
    /// What it printed is no answer.
    #[error("{}: {word}: {what}", program.display())]
    Answered {
        /// Its path.
        program: PathBuf,
        /// What it was asked.
        word: String,
        /// What is wrong with it.
        what: String,
    },
}

impl ProgramError {
    /// Whether it is that no answer came, so that to try once more would take as long.
    pub fn is_silence(&self) -> bool {
        matches!(self, ProgramError::Silent { .. } | ProgramError::GivenUp { .. })
    }
}

/// What a program says.
pub enum Said {
    /// It is done, and this was printed.
    Done(Vec<u8>),
    /// The driver cannot do that at all, for this reason.
    NoSuchThing(String),
}

/// Calls of one program about one data root.
pub struct Call {
    /// Its absolute path.
    pub program: PathBuf,
    /// Which of its kinds it is to be.
    pub kind: Option<&'static str>,
    /// Where it keeps what it has; its working directory, too, since the caller's may be in a merged tree.
    pub data_root: PathBuf,
    /// How long an answer may take.
    pub limit: Duration,
    /// What was said when it gave no answer once, about whatever data root.
    pub silence: Arc<OnceLock<String>>,
    /// Whether anything was asked about this one.
    pub is_begun: Cell<bool>,
}

/// A data root: when nothing is asked about it any more the program hears so, and ends what it keeps running for it.
pub struct DataRoot(pub Call);

impl Deref for DataRoot {
    type Target = Call;

    fn deref(&self) -> &Call {
        &self.0
    }
}

impl Drop for DataRoot {
    /// A program that keeps nothing running has no such word (status 77). One that hung may have begun something all the same.
    fn drop(&mut self) {
        if self.is_begun.get()
            && let Err(error) = self.answer(&["quit"], None)
        {
            eprintln!("layerlab-laws: what a driver program began may still run: {error}");
        }
    }
}

/// A file in memory for what a program prints.
fn paper() -> io::Result<File> {
    Ok(memfd_create(c"driver", MemfdFlags::CLOEXEC)?.into())
}

/// What is on it by now. Whoever writes on it still keeps the place where it writes.
fn read(paper: &File) -> io::Result<Vec<u8>> {
    let mut text = vec![0; paper.metadata()?.len().try_into().map_err(io::Error::other)?];
    paper.read_exact_at(&mut text, 0)?;
    Ok(text)
}

/// Waits for its end; none where it did not come within `limit`.
fn ended(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let end = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let begun = Instant::now();
    loop {
        let Some(left) = limit.checked_sub(begun.elapsed()) else { return Ok(None) };
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        match poll(&mut [PollFd::new(&end, PollFlags::IN)], Some(&left)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return child.wait().map(Some),
            Err(errno) => return Err(errno.into()),
        }
    }
}

impl Call {
    /// Says `words` to it, with `input` to read, unless it gave no answer before.
    pub fn ask(&self, words: &[&str], input: Option<File>) -> Result<Said, ProgramError> {
        match self.silence.get() {
            Some(silence) => Err(ProgramError::GivenUp { words: words.join(" "), silence: silence.clone() }),
            None => self.answer(words, input),
        }
    }

    /// Says `words` to it and waits for what it says.
    fn answer(&self, words: &[&str], input: Option<File>) -> Result<Said, ProgramError> {
        let failed = |source| ProgramError::Start { program: self.program.clone(), source };
        let [printed, complained] = [paper().map_err(failed)?, paper().map_err(failed)?];
        let mut command = Command::new(&self.program);
        command.args(words).env(DATA_ROOT, &self.data_root).current_dir(&self.data_root);
        command.envs(self.kind.map(|kind| (KIND, kind)));
        command.stdin(input.map_or_else(Stdio::null, Stdio::from));
        command.stdout(printed.try_clone().map_err(failed)?).stderr(complained.try_clone().map_err(failed)?);
        self.is_begun.set(true);
        // What a script waits for is ended with it.
        let mut child = command.process_group(0).spawn().map_err(failed)?;
        let status = ended(&mut child, self.limit).map_err(failed)?;
        if status.is_none() {
            kill_process_group(Pid::from_child(&child), Signal::KILL).map_err(|errno| failed(errno.into()))?;
            child.wait().map_err(failed)?;
        }
        let complaint = String::from_utf8_lossy(&read(&complained).map_err(failed)?).trim_end().to_owned();
        let (program, words) = (self.program.clone(), words.join(" "));
        match status.map(|status| (status.code(), status)) {
            Some((Some(0), _)) => Ok(Said::Done(read(&printed).map_err(failed)?)),
            Some((Some(NO_SUCH_THING), _)) => Ok(Said::NoSuchThing(complaint)),
            Some((_, status)) => Err(ProgramError::Refused { program, words, status: status.to_string(), complaint }),
            None => {
                let complaint = if complaint.is_empty() { complaint } else { format!(": {complaint}") };
                let silent = ProgramError::Silent { program, words, limit: self.limit, complaint };
                // The first of several threads has its say.
                let _said = self.silence.set(silent.to_string());
                Err(silent)
            }
        }
    }

    /// Says what every driver can.
    pub fn done(&self, words: &[&str]) -> Result<Vec<u8>, ProgramError> {
        match self.ask(words, None)? {
            Said::Done(printed) => Ok(printed),
            Said::NoSuchThing(why) => Err(self.answered(words[0], format!("it says that it has no such thing: {why}"))),
        }
    }

    /// The directory at which it mounts a layer.
    pub fn mounted(&self, id: &str) -> Result<PathBuf, ProgramError> {
        let mut printed = self.done(&["mount", id])?;
        if printed.pop() != Some(b'\n') {
            return Err(self.answered("mount", "a line with a directory is to be printed"));
        }
        Ok(self.data_root.join(OsString::from_vec(printed)))
    }

    /// Has a layer unmounted. A process that another thread begins holds open, until it executes its program, what any thread had open, in this mount, too: what is
    /// refused is asked for again.
    pub fn unmounted(&self, id: &str) -> Result<(), ProgramError> {
        for _ in 0..UNMOUNTS {
            match self.done(&["umount", id]) {
                Err(ProgramError::Refused { .. }) => thread::sleep(BETWEEN_UNMOUNTS),
                said => return said.map(drop),
            }
        }
        self.done(&["umount", id]).map(drop)
    }

    /// Makes a layer of a tar; whether it has such a thing.
    pub fn apply(&self, id: &str, parent: Option<&str>, tar: &[u8]) -> Result<bool, ProgramError> {
        let written = tempfile::tempfile().and_then(|mut input| {
            input.write_all(tar)?;
            input.rewind()?;
            Ok(input)
        });
        let input =
            written.map_err(|error| self.answered("apply", format!("the tar cannot be handed over: {error}")))?;
        let words: Vec<&str> = ["apply", id].into_iter().chain(parent).collect();
        Ok(matches!(self.ask(&words, Some(input))?, Said::Done(_)))
    }

    /// Asks which layers there are: these, in any order.
    pub fn listed(&self, ids: &[&str]) -> Result<(), ProgramError> {
        let printed = self.done(&["list"])?;
        let mut found: Vec<String> = String::from_utf8_lossy(&printed).lines().map(str::to_owned).collect();
        found.sort();
        match found == ids {
            true => Ok(()),
            false => Err(self.answered("list", format!("it says {found:?}, there are {ids:?}"))),
        }
    }

    /// What a layer changes.
    pub fn changes(&self, id: &str, parent: &str) -> Result<Vec<(char, Text)>, ProgramError> {
        let printed = self.done(&["changes", id, parent])?;
        let lines = printed.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines
            .map(|line| match line {
                [letter @ (b'A' | b'C' | b'D'), b' ', path @ ..] if path.starts_with(b"/") => {
                    Ok((char::from(*letter), Text::from(unescaped(path).as_slice())))
                }
                other => Err(self.answered("changes", format!("{:?} is no change", OsStr::from_bytes(other)))),
            })
            .collect()
    }

    /// An answer that is none.
    pub fn answered(&self, word: &str, what: impl Display) -> ProgramError {
        ProgramError::Answered { program: self.program.clone(), word: word.to_owned(), what: what.to_string() }
    }

    /// The data root.
    pub fn place(&self) -> &Path {
        &self.data_root
    }
}

/// A path from one line: `\\` is a backslash, `\n` a newline.
fn unescaped(line: &[u8]) -> Vec<u8> {
    let mut path = Vec::new();
    let mut bytes = line.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => path.extend(bytes.next().map(|escaped| if escaped == b'n' { b'\n' } else { escaped })),
            byte => path.push(byte),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_a_line_is_any_path() {
        assert_eq!(unescaped(br"/a\nb\\n"), b"/a\nb\\n");
        assert_eq!(unescaped(b"/\xff"), b"/\xff");
    }
}
