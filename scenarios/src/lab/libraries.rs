//! The shared libraries a host's program needs, so that it can be shown in the lab and run there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program whose needs could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    #[error("cannot read the program {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot ask the loader {loader} what {path} needs: {source}")]
    Ask { loader: PathBuf, path: PathBuf, source: io::Error },
    #[error("{path} does not run on this host: {message}")]
    Missing { path: PathBuf, message: String },
}

/// The loader of `program` and every library it loads, as absolute paths of the host; empty for a static program or a
/// script.
pub fn libraries_of(program: &Path) -> Result<Vec<PathBuf>, LibraryError> {
    let bytes = fs::read(program).map_err(|source| LibraryError::Read { path: program.to_owned(), source })?;
    let Some(loader) = loader_of(&bytes) else { return Ok(Vec::new()) };
    let output = Command::new(&loader)
        .arg("--list")
        .arg(program)
        .env_clear()
        .output()
        .map_err(|source| LibraryError::Ask { loader: loader.clone(), path: program.to_owned(), source })?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || text.contains("not found") {
        let message = format!("{text}{}", String::from_utf8_lossy(&output.stderr)).trim().to_owned();
        return Err(LibraryError::Missing { path: program.to_owned(), message });
    }
    let mut libraries = listed(&text);
    libraries.push(loader);
    libraries.sort();
    libraries.dedup();
    Ok(libraries)
}

/// The absolute paths in a loader's list: `libc.so.6 => /lib/libc.so.6 (0x…)` or `/lib64/ld.so (0x…)`.
fn listed(text: &str) -> Vec<PathBuf> {
    let paths = text.lines().filter_map(|line| {
        let found = line.rsplit_once("=> ").map_or(line, |(_, found)| found);
        let path = found.trim().split(" (").next()?;
        path.starts_with('/').then(|| PathBuf::from(path))
    });
    paths.collect()
}

const PT_INTERP: u32 = 3;

/// The path in the PT_INTERP segment of a 64-bit ELF file of this machine's byte order (elf(5)).
fn loader_of(elf: &[u8]) -> Option<PathBuf> {
    if !elf.starts_with(b"\x7fELF\x02") {
        return None;
    }
    let half = |at: usize| Some(u16::from_ne_bytes(elf.get(at..at + 2)?.try_into().ok()?) as usize);
    let word = |at: usize| Some(u32::from_ne_bytes(elf.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| Some(u64::from_ne_bytes(elf.get(at..at + 8)?.try_into().ok()?) as usize);
    let (table, size, count) = (long(32)?, half(54)?, half(56)?);
    let header = (0..count).map(|index| table + index * size).find(|at| word(*at) == Some(PT_INTERP))?;
    let (offset, length) = (long(header + 8)?, long(header + 32)?);
    let text = elf.get(offset..offset + length)?.split(|byte| *byte == 0).next()?;
    Some(PathBuf::from(String::from_utf8_lossy(text).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_of_a_running_program_is_found_and_belongs_to_its_libraries() {
        let program = std::env::current_exe().unwrap();
        let libraries = libraries_of(&program).unwrap();
        if let Some(loader) = loader_of(&fs::read(&program).unwrap()) {
            assert!(libraries.contains(&loader), "{libraries:?}");
        }
        assert!(libraries.iter().all(|path| path.is_absolute() && path.exists()), "{libraries:?}");
    }

    #[test]
    fn a_script_needs_no_library() {
        let script = tempfile::NamedTempFile::new().unwrap();
        fs::write(script.path(), "#!/bin/sh\n").unwrap();
        assert!(libraries_of(script.path()).unwrap().is_empty());
    }

    #[test]
    fn the_kernels_own_library_is_left_out() {
        let list = "\tlinux-vdso.so.1 (0x7ffe)\n\tlibc.so.6 => /lib/libc.so.6 (0x7f00)\n\t/lib64/ld.so (0x7f01)\n";
        assert_eq!(listed(list), [PathBuf::from("/lib/libc.so.6"), PathBuf::from("/lib64/ld.so")]);
    }
}
