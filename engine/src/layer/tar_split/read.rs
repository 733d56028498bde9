//! Puts a layer tar together again, from `tar-split.json.gz` and the layer's own files.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::{FILE, Line, SEGMENT, TarSplitError, checksum};
use crate::layer::root::Root;

/// Longer lines than any that is written: a segment has a mebibyte and three extended headers of one each.
const LINE_LIMIT_BYTES: u64 = 16 << 20;
const COPY_BUFFER_BYTES: usize = 256 << 10;

/// The length of the tar that `record` is of.
pub fn tar_size_bytes(record: impl Read) -> Result<u64, TarSplitError> {
    let mut size_bytes = 0u64;
    for_each_line(record, |line| {
        let length = match line.kind {
            SEGMENT => line.payload.as_ref().map_or(0, |payload| payload.0.len() as u64),
            _ => line.size_bytes,
        };
        size_bytes = size_bytes.checked_add(length).ok_or_else(|| damaged(&line, "sizes beyond all bounds"))?;
        Ok(())
    })?;
    Ok(size_bytes)
}

/// Writes the tar that `record` was made of, with the contents of its files read below `files`.
pub fn assemble(record: impl Read, files: &Path, out: &mut dyn Write) -> Result<(), TarSplitError> {
    let root = Root::open(files).map_err(|errno| open_error(files, errno.into()))?;
    let mut buffer = vec![0; COPY_BUFFER_BYTES];
    for_each_line(record, |line| match (line.kind, &line.payload) {
        (SEGMENT, Some(payload)) => out.write_all(&payload.0).map_err(TarSplitError::Write),
        (FILE, Some(payload)) if line.size_bytes > 0 => {
            let mut file = open(&root, files, &line)?;
            let crc = copy(&mut file, &line, &mut buffer, out)?;
            match payload.0 == crc.to_be_bytes() {
                true => Ok(()),
                false => Err(mismatch(&line)),
            }
        }
        (FILE, None) if line.size_bytes > 0 => Err(damaged(&line, "a file without a checksum")),
        _ => Ok(()),
    })
}

fn for_each_line(
    record: impl Read,
    mut act: impl FnMut(Line) -> Result<(), TarSplitError>,
) -> Result<(), TarSplitError> {
    let mut lines = BufReader::new(MultiGzDecoder::new(BufReader::new(record)));
    let mut names = HashSet::new();
    let mut text = Vec::new();
    for position in 0.. {
        text.clear();
        let length = (&mut lines).take(LINE_LIMIT_BYTES).read_until(b'\n', &mut text).map_err(TarSplitError::Read)?;
        if length == 0 {
            break;
        }
        if length as u64 == LINE_LIMIT_BYTES {
            return Err(TarSplitError::Damaged { position, reason: "an endless line".to_owned() });
        }
        let line: Line = serde_json::from_slice(&text)
            .map_err(|error| TarSplitError::Damaged { position, reason: crate::image::go_json::reason(&error) })?;
        if line.kind == FILE && !names.insert(cleaned(line.name())) {
            return Err(TarSplitError::Duplicate { name: shown(&line) });
        }
        act(line)?;
    }
    Ok(())
}

/// A name as Go's `filepath.Clean` has it, without a look at the disk.
fn cleaned(name: &[u8]) -> PathBuf {
    let mut path = PathBuf::new();
    for part in Path::new(OsStr::from_bytes(name)).components() {
        match part {
            Component::ParentDir if path.file_name().is_some() => drop(path.pop()),
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    path
}

fn open(root: &Root, files: &Path, line: &Line) -> Result<File, TarSplitError> {
    let name = Path::new(OsStr::from_bytes(line.name()));
    let shown = || files.join(name.strip_prefix("/").unwrap_or(name));
    let file = root.open_file(name).map_err(|errno| open_error(&shown(), errno.into()))?;
    let file = File::from(file);
    let metadata = file.metadata().map_err(|source| open_error(&shown(), source))?;
    match metadata.is_file() {
        true => Ok(file),
        false => Err(mismatch(line)),
    }
}

/// Copies the file and gives its checksum; one that is longer or shorter than it was is another file.
fn copy(file: &mut File, line: &Line, buffer: &mut [u8], out: &mut dyn Write) -> Result<u64, TarSplitError> {
    let mut crc = checksum();
    let mut left = line.size_bytes;
    loop {
        let count = match file.read(buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(open_error(Path::new(OsStr::from_bytes(line.name())), source)),
        };
        if count == 0 {
            return if left == 0 { Ok(crc.finalize()) } else { Err(mismatch(line)) };
        }
        left = left.checked_sub(count as u64).ok_or_else(|| mismatch(line))?;
        crc.update(&buffer[..count]);
        out.write_all(&buffer[..count]).map_err(TarSplitError::Write)?;
    }
}

fn mismatch(line: &Line) -> TarSplitError {
    TarSplitError::Checksum { name: shown(line) }
}

fn damaged(line: &Line, reason: &str) -> TarSplitError {
    TarSplitError::Damaged { position: line.position, reason: reason.to_owned() }
}

fn shown(line: &Line) -> String {
    String::from_utf8_lossy(line.name()).into_owned()
}

fn open_error(path: &Path, source: io::Error) -> TarSplitError {
    TarSplitError::Open { path: path.to_owned(), source }
}
