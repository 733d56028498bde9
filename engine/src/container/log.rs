//! A container's log in Docker's `json-file` format: one JSON object per line of output.
//!
//! On disk: `containers/<id>/<id>-json.log`, lines `{"log":"text\n","stream":"stdout","time":"RFC 3339"}`; a line that
//! is longer than 16 KiB is cut, and its pieces but the last carry no newline.

use std::fs::{self, File};
use std::io::{self, BufRead, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::config::Time;
use serde::{Deserialize, Serialize};

use crate::image::go_json;
use crate::world::Clock;

/// The longest piece of a line in one record, as dockerd cuts it.
const PIECE_MAX_BYTES: usize = 16 * 1024;

/// Where a piece of output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    Stdout,
    Stderr,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// The text, with its newline if it had one. Bytes that are no UTF-8 are replaced, as dockerd does.
    #[serde(rename = "log")]
    pub text: String,
    /// Its source.
    pub stream: Stream,
    /// When it was written.
    pub time: Time,
}

/// Appends to a log; one writer per stream.
pub struct LogWriter {
    file: File,
    stream: Stream,
    pending: Vec<u8>,
}

impl LogWriter {
    /// Opens the log at `path` for appending, making it with mode 0640 when it is new.
    pub fn open(path: &Path, stream: Stream) -> io::Result<LogWriter> {
        let mut file = fs::OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)?;
        let mut last = [b'\n'];
        if file.metadata()?.len() > 0 {
            file.seek(io::SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        if last != [b'\n'] {
            // A record that a crash cut off must not take the next one along.
            file.write_all(b"\n")?;
        }
        Ok(LogWriter { file, stream, pending: Vec::new() })
    }

    /// Takes output as it comes and writes the lines that are complete.
    pub fn write(&mut self, bytes: &[u8], clock: &dyn Clock) -> io::Result<()> {
        self.pending.extend_from_slice(bytes);
        loop {
            let line = self.pending.iter().position(|byte| *byte == b'\n').map(|end| end + 1);
            let Some(length) = line.or((self.pending.len() >= PIECE_MAX_BYTES).then_some(PIECE_MAX_BYTES)) else {
                return Ok(());
            };
            let piece: Vec<u8> = self.pending.drain(..length.min(PIECE_MAX_BYTES)).collect();
            self.record(&piece, clock)?;
        }
    }

    /// Writes what is left of a last line without an end.
    pub fn finish(&mut self, clock: &dyn Clock) -> io::Result<()> {
        let rest = std::mem::take(&mut self.pending);
        if rest.is_empty() { Ok(()) } else { self.record(&rest, clock) }
    }

    fn record(&mut self, piece: &[u8], clock: &dyn Clock) -> io::Result<()> {
        let text = String::from_utf8_lossy(piece).into_owned();
        let mut line = go_json::to_vec(&LogLine { text, stream: self.stream, time: clock.now().into() })?;
        line.push(b'\n');
        // One call, so that records of two streams never mix within a line.
        self.file.write_all(&line)
    }
}

/// Reads a log piece by piece, as it grows.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    read_bytes: u64,
}

impl LogReader {
    /// A reader at the beginning of the log at `path`; one that was never written is empty.
    pub fn new(path: impl Into<PathBuf>) -> LogReader {
        LogReader { path: path.into(), read_bytes: 0 }
    }

    /// The records that were written since the last call. One that a crash cut off is passed over, the one that is being
    /// written comes with the next call.
    pub fn read(&mut self) -> io::Result<Vec<LogLine>> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        file.seek(io::SeekFrom::Start(self.read_bytes))?;
        let mut file = io::BufReader::new(file);
        let (mut records, mut line) = (Vec::new(), Vec::new());
        while file.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
            self.read_bytes += line.len() as u64;
            match serde_json::from_slice(&line) {
                Ok(record) => records.push(record),
                Err(error) => tracing::warn!(path = %self.path.display(), %error, "a line of the log is damaged"),
            }
            line.clear();
        }
        Ok(records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::random::SystemClock;

    fn read(path: &Path) -> io::Result<Vec<LogLine>> {
        LogReader::new(path).read()
    }

    #[test]
    fn lines_are_kept_whole_however_they_arrive() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x-json.log");
        let mut log = LogWriter::open(&path, Stream::Stderr).unwrap();
        for part in ["one\ntw", "o\n", "rest"] {
            log.write(part.as_bytes(), &SystemClock).unwrap();
        }
        log.finish(&SystemClock).unwrap();
        let lines = read(&path).unwrap();
        assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["one\n", "two\n", "rest"]);
        assert!(lines.iter().all(|line| line.stream == Stream::Stderr));
    }

    #[test]
    fn an_endless_line_is_cut_as_dockerd_cuts_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x-json.log");
        let mut log = LogWriter::open(&path, Stream::Stdout).unwrap();
        log.write(&vec![b'x'; PIECE_MAX_BYTES + 5], &SystemClock).unwrap();
        log.finish(&SystemClock).unwrap();
        assert_eq!(read(&path).unwrap().iter().map(|line| line.text.len()).collect::<Vec<_>>(), [PIECE_MAX_BYTES, 5]);
    }

    /// Checklist: CR-03~
    #[test]
    fn a_record_that_a_crash_cut_off_harms_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x-json.log");
        LogWriter::open(&path, Stream::Stdout).unwrap().write(b"one\n", &SystemClock).unwrap();
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"log\":\"tw").unwrap();
        LogWriter::open(&path, Stream::Stdout).unwrap().write(b"three\n", &SystemClock).unwrap();
        let texts: Vec<String> = read(&path).unwrap().into_iter().map(|line| line.text).collect();
        assert_eq!(texts, ["one\n", "three\n"]);
    }

    #[test]
    fn a_reader_goes_on_where_it_stopped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x-json.log");
        let mut reader = LogReader::new(&path);
        let mut texts = || reader.read().unwrap().into_iter().map(|line| line.text).collect::<Vec<_>>();
        assert!(texts().is_empty());
        let mut log = LogWriter::open(&path, Stream::Stdout).unwrap();
        log.write(b"one\n", &SystemClock).unwrap();
        assert_eq!(texts(), ["one\n"]);
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        let (half, rest) = (r#"{"log":"two\n","stream":"std"#, "out\",\"time\":\"2026-11-21T01:25:53Z\"}\n");
        file.write_all(half.as_bytes()).unwrap();
        assert!(texts().is_empty());
        file.write_all(rest.as_bytes()).unwrap();
        assert_eq!(texts(), ["two\n"]);
    }
}
