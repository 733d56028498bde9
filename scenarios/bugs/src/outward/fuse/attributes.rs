//! Who and what a file is, and who may do what with it: each done below, and told to the bug.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use fuser::{FileHandle, INodeNo, TimeOrNow};
use layerlab_model::acl::Acl;
use layerlab_model::errno::Errno;
use layerlab_model::operation::{Before, List, Operation, Target};
use layerlab_model::text::Text;
use rustix::fs::{self, AtFlags, CWD, FileType, Gid, Mode, Timestamps, Uid, XattrFlags};

use super::caller::Caller;
use super::facts::{XATTR_BYTES_MAX, facts, time_of, timespec, xattr};
use super::nodes::Node;
use super::state::{Handle, Raw, State, act, name, raw};

impl State {
    /// chmod(2)
    pub fn set_mode(&mut self, caller: &Caller, node: &Node, mode: u32) -> Result<(), Errno> {
        let file = Arc::clone(&node.file);
        let operation = node.path.clone().map(|path| Operation::Chmod { target: Target::Path(path), mode });
        self.ask(caller, operation, act(move || fs::chmod(name(&file), Mode::from_raw_mode(mode)))).map(drop)
    }

    /// chown(2)
    pub fn set_owner(&mut self, caller: &Caller, node: &Node, uid: Option<u32>, gid: Option<u32>) -> Result<(), Errno> {
        let file = Arc::clone(&node.file);
        // What is to stay has the number -1 (chown(2)).
        let (raw_uid, raw_gid) = (uid.unwrap_or(u32::MAX), gid.unwrap_or(u32::MAX));
        let operation = node.path.clone().map(|path| {
            let target = Target::Path(path);
            Operation::Chown { target, uid: raw_uid, gid: raw_gid }
        });
        let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
        let set = act(move || fs::chownat(&file, "", uid, gid, AtFlags::EMPTY_PATH));
        self.ask(caller, operation, set).map(drop)
    }

    /// truncate(2), ftruncate(2)
    pub fn set_size(
        &mut self,
        caller: &Caller,
        node: &Node,
        size: u64,
        handle: Option<FileHandle>,
    ) -> Result<(), Errno> {
        let length = u32::try_from(size).ok();
        if let Some(Handle { file, slot, .. }) = handle.and_then(|handle| self.handles.get(&handle.0)) {
            let file = Arc::clone(file);
            let operation = slot.zip(length);
            let operation = operation.map(|(slot, length)| Operation::Truncate { target: Target::Slot(slot), length });
            return self.ask(caller, operation, act(move || fs::ftruncate(&file, size))).map(drop);
        }
        let file = Arc::clone(&node.file);
        let operation = node.path.clone().zip(length);
        let operation = operation.map(|(path, length)| Operation::Truncate { target: Target::Path(path), length });
        let set = act(move || {
            let set = nix::unistd::truncate(&*name(&file), size as i64);
            set.map_err(|errno| Raw::from_raw_os_error(errno as i32))
        });
        self.ask(caller, operation, set).map(drop)
    }

    /// utimensat(2)
    pub fn set_times(
        &mut self,
        caller: &Caller,
        node: &Node,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
    ) -> Result<(), Errno> {
        let file = Arc::clone(&node.file);
        let operation = node.path.clone().and_then(|path| match mtime? {
            TimeOrNow::Now => Some(Operation::Touch { target: Target::Path(path) }),
            TimeOrNow::SpecificTime(moment) if node.kind == FileType::Symlink => {
                Some(Operation::SetLinkTime { path, time: time_of(moment) })
            }
            TimeOrNow::SpecificTime(moment) => {
                Some(Operation::SetTime { target: Target::Path(path), time: time_of(moment) })
            }
        });
        let times = Timestamps { last_access: timespec(atime), last_modification: timespec(mtime) };
        let set = act(move || fs::utimensat(CWD, name(&file), &times, AtFlags::empty()));
        self.ask(caller, operation, set).map(drop)
    }

    /// setxattr(2)
    pub fn set_xattr(
        &mut self,
        caller: &Caller,
        number: INodeNo,
        attribute: &OsStr,
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<(), Errno> {
        let node = self.node(number)?;
        let operation = node.path.clone().and_then(|path| setting(&node, path, attribute, value, flags));
        let (file, attribute, value) = (Arc::clone(&node.file), attribute.to_owned(), value.to_vec());
        let set = act(move || fs::setxattr(name(&file), &attribute, &value, flags));
        self.ask(caller, operation, set).map(drop)
    }

    /// getxattr(2)
    pub fn get_xattr(&self, caller: &Caller, number: INodeNo, attribute: &OsStr) -> Result<Vec<u8>, Errno> {
        let node = self.node(number)?;
        let real = caller.act(|| xattr(&name(&node.file), attribute.as_bytes())).map_err(raw)?;
        let Some(path) = &node.path else { return real.map_err(raw) };
        let facts = facts(&node.file, &node.stat().map_err(raw)?, false);
        let attribute = Text::from(attribute.as_bytes());
        let shown = self.shown(path, facts.clone())?;
        match (facts.xattrs.get(&attribute), shown.xattrs.get(&attribute)) {
            (before, after) if before == after => real.map_err(raw),
            (_, after) => after.cloned().ok_or(Errno::NODATA),
        }
    }

    /// listxattr(2)
    pub fn list_xattrs(&self, caller: &Caller, number: INodeNo) -> Result<Vec<u8>, Errno> {
        let node = self.node(number)?;
        let mut names = vec![0; XATTR_BYTES_MAX];
        let list = || fs::listxattr(name(&node.file), &mut names[..]);
        let length = caller.act(list).map_err(raw)?.map_err(raw)?;
        names.truncate(length);
        let Some(path) = &node.path else { return Ok(names) };
        let facts = facts(&node.file, &node.stat().map_err(raw)?, false);
        let shown = self.shown(path, facts.clone())?;
        let is_hidden = |name: &Text| facts.xattrs.contains_key(name) && !shown.xattrs.contains_key(name);
        let mut kept = Vec::new();
        for name in names.split_inclusive(|byte| *byte == 0) {
            if !is_hidden(&Text::from(name.strip_suffix(b"\0").unwrap_or(name))) {
                kept.extend_from_slice(name);
            }
        }
        for name in shown.xattrs.keys().filter(|name| !facts.xattrs.contains_key(name)) {
            kept.extend_from_slice(name.as_bytes());
            kept.push(0);
        }
        Ok(kept)
    }

    /// removexattr(2)
    pub fn remove_xattr(&mut self, caller: &Caller, number: INodeNo, attribute: &OsStr) -> Result<(), Errno> {
        let node = self.node(number)?;
        let told = node.path.clone().filter(|_| node.kind != FileType::Symlink);
        let operation = told.map(|path| {
            let name = Text::from(attribute.as_bytes());
            Operation::RemoveXattr { target: Target::Path(path), name }
        });
        let (file, attribute) = (Arc::clone(&node.file), attribute.to_owned());
        self.ask(caller, operation, act(move || fs::removexattr(name(&file), &attribute))).map(drop)
    }
}

/// Whether a user may do something with a file.
pub fn may(caller: &Caller, node: &Node, access: fs::Access) -> Result<(), Errno> {
    let asked = || fs::accessat(CWD, name(&node.file), access, AtFlags::empty());
    caller.act(asked).map_err(raw)?.map_err(raw)
}

/// An attribute that is set, in the words of the laws.
fn setting(node: &Node, path: Text, attribute: &OsStr, value: &[u8], flags: XattrFlags) -> Option<Operation> {
    let (name, value) = (Text::from(attribute.as_bytes()), Text::from(value));
    let before = match flags {
        _ if flags == XattrFlags::CREATE => Before::Absent,
        _ if flags == XattrFlags::REPLACE => Before::Present,
        _ => Before::Any,
    };
    if node.kind == FileType::Symlink {
        return Some(Operation::SetLinkXattr { path, name, value, before });
    }
    let target = Target::Path(path);
    let list = [List::Access, List::Default].into_iter().find(|list| list.xattr().as_bytes() == name.as_bytes());
    match list.zip(Acl::of_bytes(value.as_bytes()).ok()) {
        Some((list, acl)) => Some(Operation::SetAcl { target, list, acl }),
        None => Some(Operation::SetXattr { target, name, value, before }),
    }
}
