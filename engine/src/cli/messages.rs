//! Docker's sentences that belong to the command line, and what the command ends with when it fails.

use std::io::{self, IsTerminal, Write};

use crate::container::EngineError;
pub use crate::sys::reason::reason as system_reason;

/// The name people type; its messages are compared byte for byte, so it is never the name of our own file.
pub const PROGRAM: &str = "docker";

/// Exit code of a command that ended as it should.
pub const SUCCESS: u8 = 0;
/// Exit code of most failures.
pub const FAILED: u8 = 1;
/// Exit code of a template that cannot be read.
pub const BAD_TEMPLATE: u8 = 64;
/// Exit code of an unknown flag, and of `run` when the engine refuses.
pub const REFUSED: u8 = 125;
/// Exit code of a program that is there but cannot run.
pub const NOT_EXECUTABLE: u8 = 126;
/// Exit code of a command whose reader has gone away: 128 and SIGPIPE.
pub const READER_GONE: u8 = 141;

/// Why a command did not end well: what remains to be said, and its exit code.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// For the standard error; empty when all has been said.
    pub text: String,
    pub exit_code: u8,
}

impl Failure {
    /// A failure with the usual exit code.
    pub fn new(text: impl Into<String>) -> Failure {
        Failure { text: text.into(), exit_code: FAILED }
    }

    /// A failure with an exit code of its own.
    pub fn with_code(text: impl Into<String>, exit_code: u8) -> Failure {
        Failure { text: text.into(), exit_code }
    }

    /// A failure about which all has been said.
    pub fn said(exit_code: u8) -> Failure {
        Failure { text: String::new(), exit_code }
    }

    /// `Error: No such container: x`, when that is the reason; the engine's own words otherwise.
    pub fn about_container(error: &EngineError, name: &str) -> Failure {
        match error {
            EngineError::NoSuchContainer(_) => Failure::missing("container", name),
            other => Failure::from(other),
        }
    }

    /// `Error: No such image: x`, when that is the reason; the engine's own words otherwise.
    pub fn about_image(error: &EngineError, name: &str) -> Failure {
        match error {
            EngineError::NoSuchImage(_) => Failure::missing("image", name),
            // Docker's client finds nothing at the address that this makes.
            EngineError::Reference(_) if name.is_empty() => Failure::missing("image", name),
            other => Failure::from(other),
        }
    }

    /// `Error: No such volume: x`, when that is the reason; the engine's own words otherwise.
    pub fn about_volume(error: &EngineError, name: &str) -> Failure {
        match error {
            EngineError::NoSuchVolume(_) => Failure::missing("volume", name),
            other => Failure::from(other),
        }
    }

    /// `Error: No such object: x`.
    pub fn missing(kind: &str, name: &str) -> Failure {
        Failure::new(format!("Error: No such {kind}: {name}"))
    }
}

impl From<&EngineError> for Failure {
    fn from(error: &EngineError) -> Failure {
        Failure::new(format!("Error response from daemon: {error}"))
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Failure {
        Failure::from(&error)
    }
}

/// What `run` and `create` say when their own words are wrong, or the engine refuses to make the container.
pub fn run_refused(verb: &str, reason: &str) -> Failure {
    Failure::with_code(format!("{PROGRAM}: {}\nSee '{PROGRAM} {verb} --help'.", sentence(reason)), REFUSED)
}

/// What `run` says when the container is made but does not start. `awaited`: somebody waited for its end, which
/// Docker's client then gives up with a line of its log.
pub fn start_failed(error: &EngineError, awaited: bool, now: jiff::Timestamp) -> Failure {
    let mut text = format!("{PROGRAM}: Error response from daemon: {}", sentence(&error.to_string()));
    if awaited {
        let now = now.strftime("%Y-%m-%dT%H:%M:%SZ");
        text.push_str(&format!("\ntime=\"{now}\" level=error msg=\"error waiting for container: context canceled\""));
    }
    Failure::with_code(text, u8::try_from(error.exit_code()).unwrap_or(REFUSED))
}

/// `reason` with one full stop at its end.
fn sentence(reason: &str) -> String {
    format!("{}.", reason.strip_suffix('.').unwrap_or(reason))
}

/// `docker: 'x' is not a docker command.`
pub fn unknown_verb(word: &str) -> Failure {
    Failure::new(format!("{PROGRAM}: '{word}' is not a docker command.\nSee '{PROGRAM} --help'"))
}

/// Opens a file that is to be read as an archive.
pub fn open_archive(path: &str) -> Result<std::fs::File, Failure> {
    let opened = std::fs::File::open(path).and_then(|file| Ok((file.metadata()?.is_dir(), file)));
    match opened {
        Ok((true, _)) => Err(Failure::new(format!("read {path}: is a directory"))),
        Ok((false, file)) => Ok(file),
        Err(error) => Err(Failure::new(format!("open {path}: {}", system_reason(&error)))),
    }
}

/// A container with a terminal that is to be typed into needs a terminal on this side too.
pub fn check_terminal(is_interactive: bool, has_terminal: bool) -> Result<(), Failure> {
    if is_interactive && has_terminal && !io::stdin().is_terminal() {
        return Err(Failure::new("the input device is not a TTY"));
    }
    Ok(())
}

/// Writes to the standard output. A reader that has gone away ends the command without a word, as a signal would.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::said(READER_GONE),
        _ => Failure::new(format!("write /dev/stdout: {}", system_reason(&error))),
    })
}

/// [`print`] with a newline.
pub fn print_line(text: impl std::fmt::Display) -> Result<(), Failure> {
    print(&format!("{text}\n"))
}

/// Carries `action` out for every name, printing the name of each that went well; what failed is said at the end.
pub fn for_each_name(names: &[String], action: impl Fn(&str) -> Result<(), Failure>) -> Result<u8, Failure> {
    let mut failures = Vec::new();
    for name in names {
        match action(name) {
            Ok(()) => print_line(name)?,
            Err(failure) => failures.push(failure.text),
        }
    }
    all_said(failures)
}

/// Success when there is nothing to say; otherwise one failure that says it all.
pub fn all_said(failures: Vec<String>) -> Result<u8, Failure> {
    if failures.is_empty() { Ok(SUCCESS) } else { Err(Failure::new(failures.join("\n"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MISSING: &str = "failed to create shim task: OCI runtime create failed: runc create failed: unable to start \
                           container process: exec: \"nosuchcmd\": executable file not found in $PATH: unknown";

    #[test]
    fn a_program_that_is_not_there_is_told_as_docker_tells_it() {
        let error = EngineError::Start { exit_code: 127, text: MISSING.to_owned() };
        let now = "2026-11-21T01:51:07.5Z".parse().unwrap();
        let text = format!(
            "docker: Error response from daemon: {MISSING}.\ntime=\"2026-11-21T01:51:07Z\" level=error \
             msg=\"error waiting for container: context canceled\""
        );
        assert_eq!(start_failed(&error, true, now), Failure::with_code(text, 127));
        let text = format!("docker: Error response from daemon: {MISSING}.");
        assert_eq!(start_failed(&error, false, now), Failure::with_code(text, 127));
    }

    #[test]
    fn what_is_missing_is_named_by_its_kind() {
        let error = EngineError::NoSuchContainer("x".to_owned());
        assert_eq!(Failure::about_container(&error, "x").text, "Error: No such container: x");
        assert_eq!(Failure::from(&error).text, "Error response from daemon: No such container: x");
        let error = EngineError::NoSuchImage("x:latest".to_owned());
        assert_eq!(Failure::about_image(&error, "x").text, "Error: No such image: x");
    }

    #[test]
    fn a_refused_run_points_to_its_help() {
        let failure = run_refused("run", "Invalid containerPort: 99999");
        assert_eq!(failure.text, "docker: Invalid containerPort: 99999.\nSee 'docker run --help'.");
        assert_eq!(failure.exit_code, 125);
        assert_eq!(run_refused("run", "reuse that name.").text, "docker: reuse that name.\nSee 'docker run --help'.");
    }
}
