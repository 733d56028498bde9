//! `docker cp`: copies files between a container and this host.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;

use clap::{CommandFactory, Parser};
use rustix::fs::FileType;

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{Failure, SUCCESS};
use crate::cli::session::Session;
use crate::container::{ContainerFiles, EngineError};
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
    let source = options.source.unwrap_or_default();
    let destination = options.destination.unwrap_or_default();
    match (in_container(&source), in_container(&destination)) {
        (Some(_), Some(_)) => Err(Failure::new("copying between containers is not supported")),
        (None, None) => Err(Failure::new("must specify at least one container source")),
        (Some((container, path)), None) => {
            let files = open(session, container, path, false)?;
            copy_out(&files, container, path, &destination, options.follow_link, options.archive)
        }
        (None, Some((container, path))) => {
            let files = open(session, container, path, true)?;
            copy_in(&files, container, path, &source, options.follow_link, options.archive)
        }
    }?;
    Ok(SUCCESS)
}

/// `container:path`; a path with a slash or a dot before the colon is this host's.
fn in_container(text: &str) -> Option<(&str, &str)> {
    let (container, path) = text.split_once(':')?;
    (!container.is_empty() && !container.starts_with(['/', '.'])).then_some((container, path))
}

fn open(session: &Session, container: &str, path: &str, to_write: bool) -> Result<ContainerFiles, Failure> {
    session.engine()?.files(container, to_write).map_err(|error| match error {
        EngineError::NoSuchContainer(_) => missing(container, path),
        other => Failure::from(other),
    })
}

fn missing(container: &str, path: impl std::fmt::Display) -> Failure {
    Failure::new(format!("Error: No such container:path: {container}:{path}"))
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(error.to_string())
}

/// `dir/.` means what is in the directory, and a slash at the end that it must be one.
struct Wanted {
    path: PathBuf,
    only_content: bool,
    must_be_directory: bool,
}

fn wanted(text: &str) -> Wanted {
    let only_content = text == "." || text.ends_with("/.");
    Wanted { path: PathBuf::from(text), only_content, must_be_directory: text.ends_with('/') || only_content }
}

fn copy_out(
    files: &ContainerFiles,
    container: &str,
    path: &str,
    destination: &str,
    follow: bool,
    keeps_owners: bool,
) -> Result<(), Failure> {
    let source = wanted(path);
    let kind = files.kind(&source.path, follow || source.must_be_directory).ok_or_else(|| missing(container, path))?;
    let base = source.path.file_name().map_or_else(PathBuf::new, PathBuf::from);
    if destination == STREAM {
        return files.read(&source.path, &base, follow, io::stdout().lock()).map_err(failed);
    }
    let (directory, name) = place(Path::new(destination), destination, kind, &base, source.only_content, |path| {
        fs::metadata(path).ok().map(|meta| FileType::from_raw_mode(std::os::unix::fs::MetadataExt::mode(&meta)))
    })?;
    if name.as_os_str().is_empty() && !directory.exists() {
        fs::create_dir(&directory).map_err(failed)?;
    }
    let shown: PathBuf = std::path::absolute(&directory).unwrap_or_else(|_| directory.clone()).components().collect();
    if !directory.exists() {
        return Err(Failure::new(format!(
            "invalid output path: directory {:?} does not exist",
            shown.display().to_string()
        )));
    }
    let owners = if keeps_owners { Owners::AsRecorded } else { Owners::CallerOnly };
    carry(
        |writer| files.read(&source.path, &name, follow, writer).map_err(failed),
        |reader| {
            let options = UnpackOptions { contents: Contents::Copies, overlay: OverlayXattr::User, owners };
            unpack(reader, &directory, &options).map(drop).map_err(|error| failed(error.below(&shown)))
        },
    )
}

fn copy_in(
    files: &ContainerFiles,
    container: &str,
    path: &str,
    source: &str,
    follow: bool,
    keeps_owners: bool,
) -> Result<(), Failure> {
    let target = Path::new(path);
    if source == STREAM {
        return match files.kind(target, true) {
            Some(FileType::Directory) => files.write(target, io::stdin().lock()).map_err(Failure::from),
            _ => Err(Failure::new(format!("destination \"{container}:{path}\" must be a directory"))),
        };
    }
    let from = wanted(source);
    let looked = if follow || from.must_be_directory { fs::metadata(source) } else { fs::symlink_metadata(source) };
    let shown = std::path::absolute(source).unwrap_or_else(|_| from.path.clone());
    let meta = looked.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::new(format!("lstat {}: no such file or directory", shown.display())),
        _ => Failure::new(format!("lstat {}: {error}", shown.display())),
    })?;
    let kind = FileType::from_raw_mode(std::os::unix::fs::MetadataExt::mode(&meta));
    let real = fs::canonicalize(source).unwrap_or_else(|_| shown.clone());
    let base = shown.file_name().map_or_else(PathBuf::new, PathBuf::from);
    let (directory, name) = place(target, path, kind, &base, from.only_content, |path| files.kind(path, true))?;
    if files.kind(&directory, true) != Some(FileType::Directory) {
        if name.as_os_str().is_empty() {
            make_directory(files, container, &directory)?;
        } else {
            return Err(missing(container, directory.display()));
        }
    }
    // A file that is no link is what it leads to; a link stays one unless it is to be followed.
    let opened = if kind == FileType::Symlink { shown } else { real };
    let (parent, last) = match opened.parent().zip(opened.file_name()) {
        Some((parent, last)) => (parent.to_owned(), PathBuf::from(last)),
        None => (PathBuf::from("/"), PathBuf::new()),
    };
    let tree = Root::open(&parent).map_err(failed)?;
    let owner = (!keeps_owners).then_some((0, 0));
    carry(
        |writer| {
            let mut bundle = Bundle::new(writer, BundleOptions { owner, leaves_out: &|_| false });
            bundle.add(&tree, &last, &name).and_then(|()| bundle.finish()).map(drop).map_err(failed)
        },
        |reader| files.write(&directory, reader).map_err(Failure::from),
    )
}

/// Makes one directory in a container whose parent is there.
fn make_directory(files: &ContainerFiles, container: &str, path: &Path) -> Result<(), Failure> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    if files.kind(parent, true) != Some(FileType::Directory) {
        return Err(missing(container, parent.display()));
    }
    let scratch = tempfile::tempdir().map_err(failed)?;
    let name = path.file_name().unwrap_or_default();
    fs::create_dir(scratch.path().join(name)).map_err(failed)?;
    let tree = Root::open(scratch.path()).map_err(failed)?;
    let mut bundle = Bundle::new(Vec::new(), BundleOptions { owner: Some((0, 0)), leaves_out: &|_| false });
    bundle.add(&tree, Path::new(name), Path::new(name)).map_err(failed)?;
    files.write(parent, bundle.finish().map_err(failed)?.as_slice()).map_err(Failure::from)
}

/// The directory that is written to, and the name that what is copied gets there; an empty name means its content only.
fn place(
    target: &Path,
    text: &str,
    kind: FileType,
    base: &Path,
    only_content: bool,
    look: impl Fn(&Path) -> Option<FileType>,
) -> Result<(PathBuf, PathBuf), Failure> {
    let is_directory = kind == FileType::Directory;
    let must_be_directory = text.ends_with('/') || text == "." || text.ends_with("/.");
    match look(target) {
        Some(FileType::Directory) => {
            let name = if only_content { PathBuf::new() } else { base.to_owned() };
            Ok((target.to_owned(), name))
        }
        Some(_) if is_directory => Err(Failure::new("cannot copy directory")),
        Some(_) if must_be_directory => Err(Failure::new("not a directory")),
        None if is_directory => Ok((target.to_owned(), PathBuf::new())),
        None if must_be_directory => Err(Failure::new("no such directory")),
        _ => {
            let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let name = target.file_name().map_or_else(|| base.to_owned(), PathBuf::from);
            Ok((parent.to_owned(), name))
        }
    }
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

    #[test]
    fn where_a_copy_goes_follows_dockers_rules() {
        let look = |path: &Path| match path.to_str() {
            Some("/dir") => Some(FileType::Directory),
            Some("/file") => Some(FileType::RegularFile),
            _ => None,
        };
        let to = |text: &str, kind, only| place(Path::new(text), text, kind, Path::new("x"), only, look);
        let at = |directory: &str, name: &str| (PathBuf::from(directory), PathBuf::from(name));
        assert_eq!(to("/dir", FileType::RegularFile, false).unwrap(), at("/dir", "x"));
        assert_eq!(to("/dir", FileType::Directory, true).unwrap(), at("/dir", ""));
        assert_eq!(to("/file", FileType::RegularFile, false).unwrap(), at("/", "file"));
        assert_eq!(to("/new", FileType::Directory, false).unwrap(), at("/new", ""));
        assert_eq!(to("/file", FileType::Directory, false).unwrap_err().text, "cannot copy directory");
        assert_eq!(to("/new/", FileType::RegularFile, false).unwrap_err().text, "no such directory");
    }
}
