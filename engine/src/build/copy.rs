//! Copying into the tree of a step: files and directories as they are, and with ADD what archives hold.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::thread;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};

use super::sources::{Origin, Source};
use crate::layer::{
    Bundle, BundleError, BundleOptions, Contents, OverlayXattr, Owners, PACKING_STACK_BYTES, UnpackOptions,
    decompressed, unpack,
};
use crate::sys::reason::reason;
use crate::sys::root::Root;

/// How sources are copied.
pub struct Copy<'a> {
    pub origin: &'a Origin<'a>,
    pub sources: &'a [Source],
    /// Absolute; a directory when it ends in a slash.
    pub destination: &'a str,
    /// The owner of the copies; their own without one.
    pub owner: Option<(u32, u32)>,
    /// Archives are unpacked.
    pub unpacks: bool,
    pub owners: Owners,
}

impl Copy<'_> {
    /// Copies all sources below `tree`. The error is a reason.
    pub fn carry_out(&self, tree: &Path) -> Result<(), String> {
        let failed = |error: String| format!("failed to copy files: {error}");
        let root = Root::open(tree).map_err(|error| failed(reason(&error)))?;
        self.sources.iter().try_for_each(|source| self.copy(source, &root).map_err(failed))
    }

    fn copy(&self, source: &Source, root: &Root) -> Result<(), String> {
        let resolved = root.resolve(Path::new(self.destination)).map_err(|error| reason(&error))?;
        let destination = resolved.as_path();
        let above = destination.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
        if above.into_iter().any(|above| matches!(root.kind(above), Ok(Some(kind)) if kind != FileType::Directory)) {
            return Err(format!("lstat /{}: not a directory", destination.display()));
        }
        let place = |path: &Path| {
            let made = self.make_directories(root, path);
            made.map_err(|error| {
                let what = if source.is_directory { "copy" } else { "create new" };
                format!("failed to {what} directory: mkdir /{}: {}", path.display(), reason(&error))
            })
        };
        if source.is_directory {
            return self
                .carry(&place(destination)?, |bundle| bundle.add(self.origin.tree(), &source.path, Path::new("")));
        }
        if self.unpacks
            && let Some(archive) = self.archive(source)?
        {
            return self.unpack(archive, &place(destination)?);
        }
        let is_directory = self.destination.ends_with('/')
            || root.open_at(destination, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).is_ok();
        let whole = match source.path.file_name() {
            Some(name) if is_directory => destination.join(name),
            _ => destination.to_owned(),
        };
        let (parent, name) = whole.parent().zip(whole.file_name()).ok_or("the destination is no file")?;
        let kind = self.origin.tree().open_at(&source.path, OFlags::PATH, Mode::empty());
        let kind = kind.and_then(|file| Ok(FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode)));
        let is_regular = kind.map_err(|error| reason(&error))? == FileType::RegularFile;
        self.carry(&place(parent)?, |bundle| {
            if is_regular {
                bundle.add_file(self.origin.tree(), &source.path, Path::new(name))
            } else {
                bundle.add(self.origin.tree(), &source.path, Path::new(name))
            }
        })
    }

    /// Takes what `fill` puts into a tar out again in `directory`.
    fn carry(
        &self,
        directory: &OwnedFd,
        fill: impl FnOnce(&mut Bundle<'_, io::PipeWriter>) -> Result<(), BundleError> + Send,
    ) -> Result<(), String> {
        let (mut reader, writer) = io::pipe().map_err(|error| reason(&error))?;
        let leaves_out = |path: &Path| self.origin.leaves_out(path);
        let options = BundleOptions { owner: self.owner, leaves_out: &leaves_out };
        thread::scope(|scope| {
            let thread = thread::Builder::new().stack_size(PACKING_STACK_BYTES);
            let packing = thread.spawn_scoped(scope, move || {
                let mut bundle = Bundle::new(writer, options);
                fill(&mut bundle)?;
                bundle.finish().map(drop)
            });
            let packing = packing.map_err(|error| reason(&error))?;
            let unpacked = self.take_out(&mut reader, directory);
            drop(reader);
            let packed = packing.join().map_err(|_| "the packing thread panicked".to_owned())?;
            // When unpacking failed, that broke the pipe.
            unpacked.and(packed.map_err(|error| error.to_string()))
        })
    }

    fn unpack(&self, archive: Box<dyn Read>, directory: &OwnedFd) -> Result<(), String> {
        self.take_out(archive, directory)
    }

    fn take_out(&self, tar: impl Read, directory: &OwnedFd) -> Result<(), String> {
        let place = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
        let options = UnpackOptions { contents: Contents::Files, overlay: OverlayXattr::None, owners: self.owners };
        unpack(tar, &place, &options).map(drop).map_err(|error| error.to_string())
    }

    /// A source as a tar, when it is one.
    fn archive(&self, source: &Source) -> Result<Option<Box<dyn Read>>, String> {
        let opened = self.origin.tree().open_at(&source.path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty());
        let mut file = File::from(opened.map_err(|error| reason(&error))?);
        // What cannot be decompressed is no archive to dockerd: it is copied as it is.
        let is_archive = decompressed(&file).is_ok_and(is_tar);
        file.rewind().map_err(|error| reason(&error))?;
        if is_archive { decompressed(file).map(Some).map_err(|error| reason(&error)) } else { Ok(None) }
    }

    /// Makes a directory and those above it as far as they are missing; new ones get the owner of the copies.
    fn make_directories(&self, root: &Root, path: &Path) -> io::Result<OwnedFd> {
        let (uid, gid) = self.owner.unwrap_or((0, 0));
        let mut walked = PathBuf::new();
        for part in path.components().filter(|part| matches!(part, Component::Normal(_))) {
            walked.push(part);
            if !root.exists(&walked) {
                let made = root.create_dir_all(&walked)?;
                if (uid, gid) != (0, 0) {
                    let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
                    rustix::fs::chownat(made.as_fd(), "", owner.0, owner.1, AtFlags::EMPTY_PATH)?;
                }
            }
        }
        root.open_at(&walked, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
    }
}

/// Whether the stream begins with the header of a tar.
fn is_tar(mut stream: impl Read) -> bool {
    let mut block = Vec::new();
    let read = (&mut stream).take(512).read_to_end(&mut block);
    read.is_ok() && crate::layer::archive::is_header(&block)
}

/// The numbers of `user[:group]`, looked up in the files of the tree, if there is one; a group that is not named is called like the user.
pub fn owner(text: &str, tree: Option<&Path>) -> Result<(u32, u32), String> {
    let failed = |reason: String| format!("unable to convert uid/gid chown string to host mapping: {reason}");
    let parts: Vec<&str> = text.split(':').collect();
    let (user, group) = match parts.as_slice() {
        [user] => (*user, *user),
        [user, group] => (*user, *group),
        _ => return Err(failed(format!("invalid chown string format: {text}"))),
    };
    let root = tree.map(Root::open).transpose().map_err(|error| failed(reason(&error)))?;
    let number = |name: &str, file: &str, what: &str| {
        if let Ok(number) = name.parse::<u32>() {
            return Ok(number);
        }
        let (id, kind) = if file == "passwd" { ("uid", "user") } else { ("gid", "group") };
        let table = match root.as_ref().map(|root| root.read(&Path::new("/etc").join(file))) {
            None => Vec::new(),
            Some(Ok(table)) => table,
            Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Some(Err(error)) => {
                return Err(failed(format!("can't find {id} for {what} {name}: read /etc/{file}: {}", reason(&error))));
            }
        };
        let table = String::from_utf8_lossy(&table).into_owned();
        let entry = table.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == name);
        let found = entry.and_then(|fields| fields.get(2)?.parse().ok());
        found.ok_or_else(|| failed(format!("can't find {id} for {what} {name}: no such {kind}: {name}")))
    };
    Ok((number(user, "passwd", "user")?, number(group, "group", "group")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_looked_up_in_regular_files_only() {
        let place = tempfile::tempdir().unwrap();
        let etc = place.path().join("etc");
        std::fs::create_dir(&etc).unwrap();
        std::fs::write(etc.join("group"), "staff:x:9:\n").unwrap();
        let found = |text: &str| owner(text, Some(place.path()));
        let failed = "unable to convert uid/gid chown string to host mapping: can't find uid for user joe: ";
        assert_eq!(found("joe").unwrap_err(), format!("{failed}no such user: joe"));
        nix::unistd::mkfifo(&etc.join("passwd"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(found("joe").unwrap_err(), format!("{failed}read /etc/passwd: not a regular file"));
        assert_eq!(found("7:staff").unwrap(), (7, 9));
        assert_eq!(owner("joe", None).unwrap_err(), format!("{failed}no such user: joe"));
    }
}
