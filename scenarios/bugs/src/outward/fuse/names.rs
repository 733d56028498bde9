//! What makes, moves and removes names: each done below, and told to the bug.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use fuser::{FileAttr, INodeNo};
use layerlab_model::errno::Errno;
use layerlab_model::inode::Node as Special;
use layerlab_model::operation::{Answer, Operation, Replace};
use layerlab_model::text::Text;
use rustix::fs::{self, AtFlags, CWD, FileType, Mode, RenameFlags};

use super::caller::Caller;
use super::state::{Raw, State, act, answer, name};

/// A name in a directory.
pub type Place<'a> = (INodeNo, &'a OsStr);

impl State {
    /// readlink(2)
    pub fn read_link(&mut self, caller: &Caller, number: INodeNo) -> Result<Answer, Errno> {
        let node = self.node(number)?;
        let file = Arc::clone(&node.file);
        let operation = node.path.clone().map(|path| Operation::ReadLink { path });
        let read = answer(move || Ok(Answer::Bytes(fs::readlinkat(&file, "", Vec::new())?.into_bytes())));
        self.ask(caller, operation, read)
    }

    /// mknod(2): `mode` says of which kind, too.
    pub fn make_node(&mut self, caller: &Caller, at: Place, mode: u32, device: u32) -> Result<FileAttr, Errno> {
        let kind = FileType::from_raw_mode(mode);
        let mode = mode & 0o7777;
        let device = u64::from(device);
        let (major, minor) = (fs::major(device), fs::minor(device));
        let operation = |path| {
            let node = match kind {
                FileType::RegularFile => return Some(Operation::MknodFile { path, mode }),
                FileType::Fifo => Special::Fifo,
                FileType::Socket => Special::Socket,
                FileType::CharacterDevice => Special::Character { major, minor },
                FileType::BlockDevice => Special::Block { major, minor },
                _ => return None,
            };
            Some(Operation::Mknod { path, node, mode })
        };
        let make = move |directory: &OwnedFd, name: &OsStr| {
            fs::mknodat(directory, name, kind, Mode::from_raw_mode(mode), device)
        };
        self.made(caller, at, operation, make)
    }

    /// mkdir(2)
    pub fn make_directory(&mut self, caller: &Caller, at: Place, mode: u32) -> Result<FileAttr, Errno> {
        let mode = mode & 0o7777;
        let make = move |directory: &OwnedFd, name: &OsStr| fs::mkdirat(directory, name, Mode::from_raw_mode(mode));
        self.made(caller, at, |path| Some(Operation::Mkdir { path, mode }), make)
    }

    /// symlink(2)
    pub fn make_symlink(&mut self, caller: &Caller, at: Place, content: &Path) -> Result<FileAttr, Errno> {
        let (text, content) = (Text::from(content.as_os_str().as_bytes()), content.to_owned());
        let make = move |directory: &OwnedFd, name: &OsStr| fs::symlinkat(&content, directory, name);
        self.made(caller, at, |path| Some(Operation::Symlink { content: text, path }), make)
    }

    /// link(2)
    pub fn make_link(&mut self, caller: &Caller, number: INodeNo, at: Place) -> Result<FileAttr, Errno> {
        let node = self.node(number)?;
        let (file, from) = (node.file, node.path);
        let make = move |directory: &OwnedFd, new: &OsStr| {
            fs::linkat(CWD, name(&file), directory, new, AtFlags::SYMLINK_FOLLOW)
        };
        self.made(caller, at, |to| from.map(|from| Operation::Link { from, to }), make)
    }

    /// Makes something at `place`.
    fn made(
        &mut self,
        caller: &Caller,
        (parent, name): Place,
        operation: impl FnOnce(Text) -> Option<Operation>,
        make: impl Fn(&OwnedFd, &OsStr) -> Result<(), Raw> + Send + 'static,
    ) -> Result<FileAttr, Errno> {
        let parent = self.node(parent)?;
        let operation = parent.join(name.as_bytes()).and_then(operation);
        let (directory, new) = (Arc::clone(&parent.file), name.to_owned());
        self.ask(caller, operation, act(move || make(&directory, &new)))?;
        self.entry(&Caller::ROOT, &parent, name)
    }

    /// unlink(2)
    pub fn unlink(&mut self, caller: &Caller, at: Place) -> Result<(), Errno> {
        self.removed(caller, at, |path| Operation::Unlink { path }, AtFlags::empty())
    }

    /// rmdir(2)
    pub fn remove_directory(&mut self, caller: &Caller, at: Place) -> Result<(), Errno> {
        self.removed(caller, at, |path| Operation::Rmdir { path }, AtFlags::REMOVEDIR)
    }

    fn removed(
        &mut self,
        caller: &Caller,
        (parent, name): Place,
        operation: impl FnOnce(Text) -> Operation,
        flags: AtFlags,
    ) -> Result<(), Errno> {
        let parent = self.node(parent)?;
        let path = parent.join(name.as_bytes());
        let (directory, name) = (Arc::clone(&parent.file), name.to_owned());
        let remove = act(move || fs::unlinkat(&directory, &name, flags));
        self.ask(caller, path.clone().map(operation), remove)?;
        path.iter().for_each(|path| self.nodes.gone(path));
        Ok(())
    }

    /// renameat2(2)
    pub fn rename(&mut self, caller: &Caller, from: Place, to: Place, flags: RenameFlags) -> Result<(), Errno> {
        let ((parent, name), (new_parent, new_name)) = (from, to);
        let (one, other) = (self.node(parent)?, self.node(new_parent)?);
        let paths = one.join(name.as_bytes()).zip(other.join(new_name.as_bytes()));
        let replace = match flags {
            _ if flags == RenameFlags::NOREPLACE => Some(Replace::No),
            _ if flags == RenameFlags::EXCHANGE => Some(Replace::Exchange),
            _ if flags.is_empty() => Some(Replace::Yes),
            _ => None,
        };
        let operation = paths.clone().zip(replace);
        let operation = operation.map(|((from, to), replace)| Operation::Rename { from, to, replace });
        let rename = {
            let (from, to) = (Arc::clone(&one.file), other.file);
            let (name, new_name) = (name.to_owned(), new_name.to_owned());
            act(move || fs::renameat_with(&from, &name, &to, &new_name, flags))
        };
        self.ask(caller, operation, rename)?;
        let is_gone = || fs::statat(&one.file, name, AtFlags::SYMLINK_NOFOLLOW).is_err();
        match paths {
            Some((from, to)) if flags == RenameFlags::EXCHANGE => self.nodes.exchanged(&from, &to),
            // Of two names of one file both stay.
            Some((from, to)) if is_gone() => self.nodes.moved(&from, &to),
            _ => {}
        }
        Ok(())
    }
}
