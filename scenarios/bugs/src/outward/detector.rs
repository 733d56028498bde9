//! Somebody else's suite: a program that is run once for each bug, and says whether it saw something. `scenarios/bugs/README.md` is what it is promised.
//!
//! *Holds*: it ends within its time, or is ended, and with it all that it began.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use layerlab_properties::alone::Alone;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Its exit codes.
const SAW_NOTHING: i32 = 0;
const CAUGHT: i32 = 1;
const CANNOT_RUN: i32 = 77;
/// How long somebody may take who asks for a mount.
const ASKING_LIMIT: Duration = Duration::from_secs(10);
/// What is told of what it said.
const LINES_SHOWN: usize = 12;

/// What it says of a bug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It saw nothing wrong.
    SawNothing,
    /// It saw that something is wrong.
    Caught,
    /// It cannot look, and why.
    CannotRun(String),
    /// It gave no answer, but this.
    NoAnswer(String),
}

/// The program.
pub struct Detector {
    /// Where it is.
    pub program: PathBuf,
    /// How long it may take for one bug.
    pub limit: Duration,
}

/// Who does what it asks for while it runs.
pub trait Attendant {
    /// Does it; what comes back is printed.
    fn attend(&mut self, word: &str) -> anyhow::Result<String>;
}

impl Detector {
    /// Runs it once. What it asks for comes through `asked`; what it says goes to the file `output`, and comes back with the verdict.
    pub fn run(
        &self,
        alone: &Alone,
        variables: &[(&str, OsString)],
        output: &Path,
        asked: &UnixListener,
        attendant: &mut dyn Attendant,
    ) -> anyhow::Result<(Verdict, String)> {
        let file = File::create(output)?;
        let mut command = Command::new(&self.program);
        command.envs(variables.iter().map(|(name, value)| (name, value))).current_dir("/");
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        alone.with_mounts_of_its_own(&mut command);
        let mut child = command.spawn().with_context(|| format!("cannot run {}", self.program.display()))?;
        let ended = self.attended(&mut child, asked, attendant);
        // Nothing that it began outlives it.
        alone.end_others().context("cannot end what a detector began")?;
        let status = ended?;
        let said = String::from_utf8_lossy(&fs::read(output)?).trim_end().to_owned();
        let last = said.lines().last().unwrap_or("it does not say why").to_owned();
        let verdict = match status {
            None => Verdict::NoAnswer(format!("it had not ended after {} s", self.limit.as_secs())),
            Some(status) => match (status.code(), status.signal()) {
                (Some(SAW_NOTHING), _) => Verdict::SawNothing,
                (Some(CAUGHT), _) => Verdict::Caught,
                (Some(CANNOT_RUN), _) => Verdict::CannotRun(last),
                (Some(code), _) => Verdict::NoAnswer(format!("it ended with status {code}: {last}")),
                (None, signal) => Verdict::NoAnswer(format!("it was ended by signal {}", signal.unwrap_or_default())),
            },
        };
        let shown: Vec<&str> = said.lines().rev().take(LINES_SHOWN).collect();
        Ok((verdict, shown.into_iter().rev().map(|line| format!("    {line}\n")).collect()))
    }

    /// Waits for its end, and does what it asks for; none where its time is over.
    fn attended(
        &self,
        child: &mut Child,
        asked: &UnixListener,
        attendant: &mut dyn Attendant,
    ) -> anyhow::Result<Option<ExitStatus>> {
        let began = Instant::now();
        let ended = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
        loop {
            let Some(left) = self.limit.checked_sub(began.elapsed()) else { return Ok(None) };
            let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            let mut events = [PollFd::new(&ended, PollFlags::IN), PollFd::new(asked, PollFlags::IN)];
            match poll(&mut events, Some(&left)) {
                Err(rustix::io::Errno::INTR) => continue,
                polled => polled?,
            };
            let [is_ended, is_asked] = events.map(|event| !event.revents().is_empty());
            if is_ended {
                return Ok(Some(child.wait()?));
            }
            if is_asked {
                let (stream, _) = asked.accept()?;
                // Whoever asks may be gone before the answer.
                let _ = answer(&stream, attendant);
            }
        }
    }
}

fn answer(mut stream: &UnixStream, attendant: &mut dyn Attendant) -> io::Result<()> {
    stream.set_read_timeout(Some(ASKING_LIMIT))?;
    stream.set_write_timeout(Some(ASKING_LIMIT))?;
    let mut word = String::new();
    BufReader::new(stream).read_line(&mut word)?;
    match attendant.attend(word.trim()) {
        Ok(text) => write!(stream, "done\n{text}"),
        Err(error) => write!(stream, "refused\n{error:#}"),
    }
}

/// Asks for `word` at `socket`; what comes back is to be printed.
pub fn ask(socket: &Path, word: &str) -> anyhow::Result<String> {
    let mut stream = UnixStream::connect(socket).with_context(|| format!("nobody answers at {}", socket.display()))?;
    writeln!(stream, "{word}")?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once('\n') {
        Some(("done", text)) => Ok(text.to_owned()),
        Some((_, why)) => bail!("{word}: {why}"),
        None => bail!("{word}: there was no answer"),
    }
}
