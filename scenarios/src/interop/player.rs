//! The two who take turns: a dockerd that is started for each turn and ended after it, and our engine, which needs no daemon.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::lab::machine::command;
use crate::lab::sandbox::Inside;
use crate::target::{Installation, TargetError, docker, layerlab};

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Layerlab,
    Docker,
}

impl Who {
    pub fn name(self) -> &'static str {
        match self {
            Who::Layerlab => "layerlab",
            Who::Docker => "dockerd",
        }
    }

    pub fn other(self) -> Who {
        match self {
            Who::Layerlab => Who::Docker,
            Who::Docker => Who::Layerlab,
        }
    }

    fn client(self) -> &'static str {
        match self {
            Who::Layerlab => layerlab::ENGINE,
            Who::Docker => docker::CLIENT,
        }
    }
}

/// What a command came to.
pub struct Said {
    /// What it exited with; 128 and the signal's number if one ended it.
    pub code: i32,
    pub output: Vec<u8>,
    pub errors: String,
}

impl Said {
    /// The standard output without blanks at its ends.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).trim().to_owned()
    }
}

/// Both engines in the lab, of which one has the turn.
pub struct Players {
    inside: Inside,
    docker: Box<dyn Installation>,
    layerlab: Box<dyn Installation>,
}

impl Players {
    pub fn new(inside: Inside, docker: Box<dyn Installation>, layerlab: Box<dyn Installation>) -> Players {
        Players { inside, docker, layerlab }
    }

    /// Gives the turn to `who`; nobody may have it.
    pub fn begin(&mut self, who: Who) -> Result<(), TargetError> {
        self.installation(who).install()?;
        match who {
            Who::Docker => self.docker.start(&self.inside),
            Who::Layerlab => self.layerlab.start(&self.inside),
        }
    }

    /// Takes the turn from `who`.
    pub fn end(&mut self, who: Who) -> Result<(), TargetError> {
        self.installation(who).stop()
    }

    fn installation(&mut self, who: Who) -> &mut dyn Installation {
        match who {
            Who::Docker => self.docker.as_mut(),
            Who::Layerlab => self.layerlab.as_mut(),
        }
    }
}

fn client(who: Who, words: &[&str], directory: &Path) -> Command {
    let mut client = command(who.client());
    client.args(words).current_dir(directory).env("DOCKER_BUILDKIT", "0");
    client
}

/// Begins a command of `who`, in a directory of the lab, that nobody listens to.
pub fn begin(who: Who, words: &[&str], directory: &Path) -> std::io::Result<Child> {
    client(who, words, directory).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

/// Runs a command of `who`, in a directory of the lab.
pub fn ask(who: Who, words: &[&str], directory: &Path, input: &[u8]) -> std::io::Result<Said> {
    let mut client = client(who, words, directory);
    client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = client.spawn()?;
    let mut stdin = child.stdin.take();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            // One that ended without reading everything says so by its exit code.
            let _broken_pipe = stdin.as_mut().map(|stdin| stdin.write_all(input));
        });
        child.wait_with_output()
    })?;
    let signalled = || 128 + std::os::unix::process::ExitStatusExt::signal(&output.status).unwrap_or_default();
    Ok(Said {
        code: output.status.code().unwrap_or_else(signalled),
        errors: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        output: output.stdout,
    })
}
