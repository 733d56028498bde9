//! `docker cp`: copies files between a container and this host.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread;

use clap::{CommandFactory, Parser};
use rustix::fs::FileType;

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::copy_paths::{
    absolute, asserts_directory, check_output, destination as destination_at, means_content, place, source as source_at,
};
use crate::cli::messages::{Failure, SUCCESS, system_reason};
use crate::cli::session::Session;
use crate::container::{ContainerFiles, Engine, EngineError};
use crate::layer::{Bundle, BundleOptions, Contents, OverlayXattr, Owners, UnpackOptions, unpack};
use crate::sys::root::Root;

pub static VERB: Verb = Verb {
    names: &["cp", "container cp"],
    synopsis: "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\tdocker cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    about: "Copy files/folders between a container and the local filesystem",
    arguments: Count::Exactly(2),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

const STREAM: &str = "-";

#[derive(Parser)]
struct Options {
    /// Archive mode (copy all uid/gid information)
    #[arg(short, long)]
    archive: bool,
    /// Always follow symbol link in SRC_PATH
    #[arg(short = 'L', long)]
    follow_link: bool,
    source: Option<String>,
    destination: Option<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let source = options.source.clone().unwrap_or_default();
    let destination = options.destination.clone().unwrap_or_default();
    if source.is_empty() {
        return Err(Failure::new("source can not be empty"));
    }
    if destination.is_empty() {
        return Err(Failure::new("destination can not be empty"));
    }
    match (in_container(&source), in_container(&destination)) {
        (Some(_), Some(_)) => Err(Failure::new("copying between containers is not supported")),
        (None, None) => Err(Failure::new("must specify at least one container source")),
        (Some((container, path)), None) => copy_out(session, container, path, &destination, &options),
        (None, Some((container, path))) if source == STREAM => stream_in(&session.engine()?, container, path, &options),
        (None, Some((container, path))) => copy_in(&session.engine()?, container, path, &source, &options),
    }?;
    Ok(SUCCESS)
}

/// `container:path`; a path with a slash or a dot before the colon is this host's.
fn in_container(text: &str) -> Option<(&str, &str)> {
    let (container, path) = text.split_once(':')?;
    (!container.is_empty() && !container.starts_with(['/', '.'])).then_some((container, path))
}

fn missing(container: &str, path: impl std::fmt::Display) -> Failure {
    Failure::new(format!("Error: No such container:path: {container}:{path}"))
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(error.to_string())
}

fn copy_out(
    session: &Session,
    container: &str,
    path: &str,
    destination: &str,
    options: &Options,
) -> Result<(), Failure> {
    let follow = options.follow_link;
    let shown = absolute(destination)?;
    if destination != STREAM {
        check_output(&shown)?;
    }
    if path.is_empty() {
        return Err(Failure::new("Error response from daemon: bad parameter: pathcannot be empty"));
    }
    let files = session.engine()?.files(container, false).map_err(|error| match error {
        EngineError::NoSuchContainer(_) => missing(container, path),
        other => Failure::from(other),
    })?;
    let source = Path::new(path);
    let named = files.named(path)?;
    let kind = if follow || asserts_directory(path) { named.and(files.kind(source, true)) } else { named };
    let kind = kind.ok_or_else(|| missing(container, path))?;
    let base = source.file_name().map_or_else(PathBuf::new, PathBuf::from);
    if destination == STREAM {
        return files.read(source, &base, follow, io::stdout().lock()).map_err(failed);
    }
    let (target, found) = destination_at(shown);
    let (directory, name) = place(&target, found, kind, &base, means_content(path))?;
    std::fs::metadata(&directory)
        .map_err(|error| Failure::new(format!("stat {}: {}", directory.display(), system_reason(&error))))?;
    // Docker's client gives everything to the caller, with and without --archive.
    let unpacking =
        UnpackOptions { contents: Contents::Copies, overlay: OverlayXattr::None, owners: Owners::CallerOnly };
    carry(
        |writer| files.read(source, &name, follow, writer).map_err(failed),
        |reader| unpack(reader, &directory, &unpacking).map(drop).map_err(|error| failed(error.below(&directory))),
    )
}

/// A path in a container that something is copied to: a link at its end is followed once, as Docker's client does.
fn target_in(
    files: Option<&ContainerFiles>,
    container: &str,
    path: &str,
) -> Result<(String, Option<FileType>), Failure> {
    let Some(files) = files.filter(|_| !path.is_empty()) else { return Ok((path.to_owned(), None)) };
    let look = |path: &str| files.named(path).ok().flatten();
    let (mut target, mut found) = (path.to_owned(), look(path));
    if found == Some(FileType::Symlink)
        && let Some(link) = files.link_target(Path::new(path))
    {
        target = link.display().to_string();
        found = look(&target);
    }
    match found {
        Some(FileType::CharacterDevice | FileType::BlockDevice) => Err(Failure::new(format!(
            "destination \"{container}:{path}\" must be a directory or a regular file: got a device"
        ))),
        found => Ok((target, found)),
    }
}

/// The files of a container to write to; nothing when there is no such container, which is told last.
fn to_write(engine: &Engine, container: &str) -> Result<Option<ContainerFiles>, Failure> {
    match engine.files(container, true) {
        Err(EngineError::NoSuchContainer(_)) => Ok(None),
        files => Ok(Some(files?)),
    }
}

/// Takes an archive from the standard input. One that comes through a pipe is first written to disk: whoever writes it may need
/// the container's files too, and would wait for this command as this for it.
fn stream_in(engine: &Engine, container: &str, path: &str, options: &Options) -> Result<(), Failure> {
    let refused = || Failure::new(format!("destination \"{container}:{path}\" must be a directory"));
    let mut input = File::from(io::stdin().as_fd().try_clone_to_owned().map_err(failed)?);
    if !input.metadata().map_err(failed)?.is_file() {
        let files = match engine.files(container, false) {
            Err(EngineError::NoSuchContainer(_)) => return Err(refused()),
            files => files?,
        };
        if target_in(Some(&files), container, path)?.1 != Some(FileType::Directory) {
            return Err(refused());
        }
        drop(files);
        input = spooled(input, engine)?;
    }
    let files = to_write(engine, container)?.ok_or_else(refused)?;
    match target_in(Some(&files), container, path)? {
        (target, Some(FileType::Directory)) => {
            Ok(files.write(Path::new(&target), input, files.owners(options.archive, false)?)?)
        }
        _ => Err(refused()),
    }
}

/// What comes through a pipe, as a nameless file.
fn spooled(mut input: File, engine: &Engine) -> Result<File, Failure> {
    let mut file = tempfile::tempfile_in(engine.settings().data_root.join("tmp")).map_err(failed)?;
    io::copy(&mut input, &mut file).and_then(|_| file.rewind()).map_err(failed)?;
    Ok(file)
}

fn copy_in(engine: &Engine, container: &str, path: &str, source: &str, options: &Options) -> Result<(), Failure> {
    let files = to_write(engine, container)?;
    let (target, found) = target_in(files.as_ref(), container, path)?;
    let from = source_at(source, options.follow_link)?;
    let (directory, name) = place(&target, found, from.kind, &from.base, from.only_content)?;
    let shown = if directory.as_os_str().is_empty() { Path::new("/") } else { &directory };
    let files = files.ok_or_else(|| missing(container, shown.display()))?;
    if files.kind(&directory, true).is_none() {
        return Err(missing(container, shown.display()));
    }
    let owners = files.owners(options.archive, true)?;
    let (parent, last) = match from.path.parent().zip(from.path.file_name()) {
        Some((parent, last)) => (parent.to_owned(), PathBuf::from(last)),
        None => (PathBuf::from("/"), PathBuf::new()),
    };
    let tree = Root::open(&parent).map_err(failed)?;
    carry(
        |writer| {
            let mut bundle = Bundle::new(writer, BundleOptions { owner: None, leaves_out: &|_| false });
            bundle.add(&tree, &last, &name).and_then(|()| bundle.finish()).map(drop).map_err(failed)
        },
        |reader| Ok(files.write(&directory, reader, owners)?),
    )
}

/// Lets one side write a tar while the other reads it.
fn carry(
    write: impl FnOnce(&mut dyn Write) -> Result<(), Failure> + Send,
    read: impl FnOnce(&mut dyn Read) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (mut reader, mut writer) = io::pipe().map_err(failed)?;
    thread::scope(|scope| {
        let writing = scope.spawn(move || write(&mut writer));
        let done = read(&mut reader);
        drop(reader);
        let written = writing.join().map_err(|_| Failure::new("the thread that reads the files panicked"))?;
        // When reading failed, that broke the pipe.
        done.and(written)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_after_a_name_means_a_container() {
        assert_eq!(in_container("web:/etc"), Some(("web", "/etc")));
        assert_eq!(in_container("./a:b"), None);
        assert_eq!(in_container("/a:b"), None);
        assert_eq!(in_container("file"), None);
    }
}
