//! One word to a driver program, and what it says.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use layerlab_model::text::Text;

/// Where a driver keeps what it has.
const DATA_ROOT: &str = "LAYERLAB_DATA_ROOT";

/// Which of several drivers a program is to be.
pub const KIND: &str = "LAYERLAB_KIND";

/// The exit status that means "I have no such thing".
const NO_SUCH_THING: i32 = 77;

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
}

impl Call {
    /// Says `words` to it, with `input` to read.
    pub fn ask(&self, words: &[&str], input: Option<File>) -> Result<Said, ProgramError> {
        let mut command = Command::new(&self.program);
        command.args(words).env(DATA_ROOT, &self.data_root).current_dir(&self.data_root);
        command.envs(self.kind.map(|kind| (KIND, kind)));
        let output = command.stdin(input.map_or_else(Stdio::null, Stdio::from)).output();
        let output = output.map_err(|source| ProgramError::Start { program: self.program.clone(), source })?;
        let complaint = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
        match output.status.code() {
            Some(0) => Ok(Said::Done(output.stdout)),
            Some(NO_SUCH_THING) => Ok(Said::NoSuchThing(complaint)),
            _ => {
                let (program, words, status) = (self.program.clone(), words.join(" "), output.status.to_string());
                Err(ProgramError::Refused { program, words, status, complaint })
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
