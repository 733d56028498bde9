//! Where an archive goes: a file that appears when it is complete, or the standard output unless that is a terminal.

use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use super::messages::{Failure, READER_GONE, SUCCESS, system_reason};
use crate::container::EngineError;

/// Lets `write` write to the file `path`, or to the standard output when there is none. `purpose`: `save image`.
pub fn write_archive(
    path: &str,
    purpose: &str,
    write: impl FnOnce(&mut dyn Write) -> Result<(), EngineError>,
) -> Result<u8, Failure> {
    if !path.is_empty() {
        let checked = check(Path::new(path));
        checked.map_err(|reason| Failure::new(format!("failed to {purpose}: {reason}")))?;
        return write_file(Path::new(path), write).map(|()| SUCCESS);
    }
    if io::stdout().is_terminal() {
        return Err(Failure::new("cowardly refusing to save to a terminal. Use the -o flag or redirect"));
    }
    let mut output = Output { out: io::stdout().lock(), reader_gone: false };
    match write(&mut output) {
        Err(_) if output.reader_gone => Err(Failure::said(READER_GONE)),
        outcome => Ok(outcome.map(|()| SUCCESS)?),
    }
}

/// Docker's `ValidateOutputPath`.
fn check(path: &Path) -> Result<(), String> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    if let Some(missing) = directory.filter(|directory| !directory.exists()) {
        return Err(format!("invalid output path: directory {:?} does not exist", missing.display().to_string()));
    }
    let Ok(metadata) = path.metadata() else { return Ok(()) };
    let kind = metadata.file_type();
    match kind.is_block_device() || kind.is_char_device() {
        true => {
            let shown = path.display().to_string();
            Err(format!("invalid output path: {shown:?} must be a directory or a regular file: got a device"))
        }
        false => Ok(()),
    }
}

/// Writes beside and renames over: an archive that failed leaves what was there before.
fn write_file(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<(), EngineError>) -> Result<(), Failure> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = tempfile::Builder::new().prefix(".docker_temp_").tempfile_in(directory);
    let failed = |error: &io::Error| Failure::new(format!("open {}: {}", path.display(), system_reason(error)));
    let mut beside = beside.map_err(|error| failed(&error))?;
    write(beside.as_file_mut())?;
    beside.persist(path).map(drop).map_err(|error| failed(&error.error))
}

/// The standard output, and whether whoever reads it has gone away.
struct Output<W> {
    out: W,
    reader_gone: bool,
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes);
        self.reader_gone |= written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_that_fails_leaves_what_was_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.tar");
        std::fs::write(&path, "before").unwrap();
        let named = path.to_str().unwrap();
        let failed = write_archive(named, "save image", |out| {
            out.write_all(b"half").map_err(EngineError::Output)?;
            Err(EngineError::NoSuchReference)
        });
        assert_eq!(failed.unwrap_err().text, "Error response from daemon: reference does not exist");
        assert_eq!(std::fs::read(&path).unwrap(), b"before");
        write_archive(named, "save image", |out| out.write_all(b"whole").map_err(EngineError::Output)).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn places_that_can_hold_no_archive_are_named() {
        let refused = |path: &str| write_archive(path, "save image", |_| Ok(())).unwrap_err().text;
        assert_eq!(
            refused("/nosuchdir/x"),
            "failed to save image: invalid output path: directory \"/nosuchdir\" does not exist"
        );
        assert!(refused("/dev/null").ends_with("must be a directory or a regular file: got a device"));
    }
}
