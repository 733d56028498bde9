//! The tree below a mount: the files of it that the kernel knows or has open, what a bug makes of them, and how requests reach both.
//!
//! *Holds*: what is done goes through the bug wherever the bug has words for it; what it has none for (a file whose name is gone, more open files
//! than it can count, times that are not the same) is done all the same, past it.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileHandle, INodeNo, Request, TimeOrNow};
use layerlab_model::acl::Acl;
use layerlab_model::errno::Errno;
use layerlab_model::inode::Time;
use layerlab_model::operation::{Access, Answer, Before, Flags, List, Operation, Slot, Target};
use layerlab_model::text::Text;
use layerlab_properties::perform::Hands;
use layerlab_properties::tree::{Attributes, Facts, Marks, Tree, When};
use rustix::fs::{
    self, AtFlags, CWD, FileType, Gid, Mode, OFlags, RawDir, SeekFrom, Stat, Timespec, Timestamps, UTIME_NOW,
    UTIME_OMIT, Uid, XattrFlags,
};

use super::bench::{Act, Bench, Done};
use super::caller::Caller;
use super::nodes::{Node, Nodes};
use crate::bug::{SPARE, in_tree};

/// Longest list of names of extended attributes, and longest value, that the kernel gives.
pub const XATTR_BYTES_MAX: usize = 64 << 10;
/// Room for some names of a directory.
const LIST_BYTES: usize = 8 << 10;

/// What a system call says.
pub type Raw = rustix::io::Errno;

/// Everything that is known while it is served.
pub struct State {
    hands: Box<dyn Hands>,
    bench: Bench,
    /// What the kernel knows.
    pub nodes: Nodes,
    /// What is open.
    pub handles: HashMap<u64, Handle>,
    last_handle: u64,
    /// A bug knows so many open files; what is done with further ones goes round it.
    slots: VecDeque<Slot>,
    /// A `/proc`.
    pub processes: OwnedFd,
}

/// An open file or directory.
pub struct Handle {
    /// It.
    pub file: Arc<OwnedFd>,
    /// What a bug calls it.
    pub slot: Option<Slot>,
    /// The names in a directory, as they were when reading began.
    pub list: Vec<Listed>,
}

/// A name in a directory.
#[derive(Clone)]
pub struct Listed {
    /// It.
    pub name: Vec<u8>,
    /// With which number.
    pub inode: u64,
    /// As what.
    pub kind: FileType,
}

/// In the words of the laws.
pub fn raw(errno: Raw) -> Errno {
    Errno(errno.raw_os_error())
}

/// What is done, and answers nothing.
pub fn act(mut body: impl FnMut() -> Result<(), Raw> + Send + 'static) -> Option<Act> {
    Some(Box::new(move || body().map(Done::from)))
}

/// What is done, and answers something.
pub fn answer(mut body: impl FnMut() -> Result<Answer, Raw> + Send + 'static) -> Option<Act> {
    Some(Box::new(move || body().map(Done::Answer)))
}

impl State {
    /// Of the tree `root`.
    pub fn new(root: OwnedFd, processes: OwnedFd, hands: Box<dyn Hands>, bench: Bench) -> State {
        State {
            hands,
            bench,
            nodes: Nodes::of(root),
            handles: HashMap::new(),
            last_handle: 0,
            slots: (0..SPARE).collect(),
            processes,
        }
    }

    /// Who asks.
    pub fn caller(&self, request: &Request) -> Caller {
        Caller::of(request, 0, &self.processes)
    }

    /// Has it done through the bug; where the operation cannot be told of, since a file has no path or no slot, past it.
    pub fn ask(&mut self, caller: &Caller, operation: Option<Operation>, act: Option<Act>) -> Result<Answer, Errno> {
        match (operation, act) {
            (Some(operation), act) => self.bench.ask(&mut *self.hands, caller, operation, act),
            (None, Some(mut act)) => match caller.act(act.as_mut()).map_err(raw)?.map_err(raw)? {
                Done::Answer(answer) => Ok(answer),
                Done::Opened(_) => Ok(Answer::Done),
            },
            (None, None) => Ok(Answer::Done),
        }
    }

    /// The file with this number.
    pub fn node(&self, number: INodeNo) -> Result<Node, Errno> {
        self.nodes.get(number.0).cloned().map_err(raw)
    }

    /// Tells the kernel of `name` in the directory `parent`.
    pub fn entry(&mut self, caller: &Caller, parent: &Node, name: &OsStr) -> Result<FileAttr, Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || fs::openat(&parent.file, name, flags, Mode::empty());
        let file = caller.act(open).map_err(raw)?.map_err(raw)?;
        let stat = fs::statat(&file, "", AtFlags::EMPTY_PATH).map_err(raw)?;
        let number = self.nodes.tell(parent.join(name.as_bytes()), file, &stat);
        let attributes = self.node(INodeNo(number)).and_then(|node| self.attributes(&node));
        if attributes.is_err() {
            self.nodes.forget(number, 1);
        }
        // The kernel takes the number for its own; which one programs see it asks later.
        Ok(FileAttr { ino: INodeNo(number), ..attributes? })
    }

    /// What programs see of a file.
    pub fn attributes(&self, node: &Node) -> Result<FileAttr, Errno> {
        let stat = node.stat().map_err(raw)?;
        match node.path.as_ref() {
            Some(path) => self.shown(path, facts(&node.file, &stat, false)).map(|facts| attributes(&stat, &facts)),
            None => Ok(attributes(&stat, &facts(&node.file, &stat, false))),
        }
    }

    /// What a bug makes of what is at `path`.
    pub fn shown(&self, path: &Text, facts: Facts) -> Result<Facts, Errno> {
        let path = in_tree(path);
        let mut tree = self.hands.look(Tree::from([(path.clone(), facts)]));
        tree.remove(&path).ok_or(Errno::NOENT)
    }

    /// Opens something and gives it a number.
    pub fn open(
        &mut self,
        caller: &Caller,
        operation: impl FnOnce(Slot) -> Option<Operation>,
        mut open: impl FnMut() -> Result<OwnedFd, Raw> + Send + 'static,
    ) -> Result<FileHandle, Errno> {
        let slot = self.slots.pop_front();
        let asked = slot.and_then(operation);
        let opened = match (slot, asked) {
            (Some(slot), Some(operation)) => {
                let act: Act = Box::new(move || open().map(Done::Opened));
                let done = self.ask(caller, Some(operation), Some(act));
                done.and_then(|_| self.bench.open_in(slot).ok_or(Errno::IO))
            }
            _ => caller.act(open).map_err(raw).and_then(|opened| opened.map_err(raw)),
        };
        match opened {
            Ok(file) => {
                self.last_handle += 1;
                let handle = Handle { file: Arc::new(file), slot, list: Vec::new() };
                self.handles.insert(self.last_handle, handle);
                Ok(FileHandle(self.last_handle))
            }
            Err(errno) => {
                self.slots.extend(slot);
                Err(errno)
            }
        }
    }

    /// What is open under this number.
    pub fn handle(&self, number: FileHandle) -> Result<&Handle, Errno> {
        self.handles.get(&number.0).ok_or(Errno::BADF)
    }

    /// Closes it.
    pub fn close(&mut self, caller: &Caller, number: FileHandle) -> Result<(), Errno> {
        let Some(Handle { slot: Some(slot), .. }) = self.handles.remove(&number.0) else { return Ok(()) };
        let closed = self.ask(caller, Some(Operation::Close { slot }), None);
        self.slots.push_back(slot);
        // One that was opened past the bug is not there.
        closed.map(drop).or_else(|errno| if errno == Errno::BADF { Ok(()) } else { Err(errno) })
    }

    /// Reads all of a directory.
    pub fn list(&mut self, caller: &Caller, node: &Node, number: FileHandle) -> Result<Vec<Listed>, Errno> {
        let file = Arc::clone(&self.handle(number)?.file);
        let found: Arc<Mutex<Vec<Listed>>> = Arc::default();
        let keep = Arc::clone(&found);
        let read = answer(move || {
            let mut listed = Vec::new();
            let mut room = [MaybeUninit::uninit(); LIST_BYTES];
            fs::seek(&file, SeekFrom::Start(0))?;
            let mut entries = RawDir::new(&file, &mut room);
            while let Some(entry) = entries.next() {
                let entry = entry?;
                let name = entry.file_name().to_bytes().to_vec();
                listed.push(Listed { name, inode: entry.ino(), kind: entry.file_type() });
            }
            let mut names: Vec<Text> = listed.iter().map(|entry| Text::from(&entry.name[..])).collect();
            names.retain(|name| !matches!(name.as_bytes(), b"." | b".."));
            names.sort();
            *keep.lock().unwrap_or_else(PoisonError::into_inner) = listed;
            Ok(Answer::Names(names))
        });
        let operation = node.path.clone().map(|path| Operation::List { path });
        let names = match self.ask(caller, operation, read)? {
            Answer::Names(names) => names,
            _ => return Err(Errno::IO),
        };
        let found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
        let is_dot = |name: &[u8]| matches!(name, b"." | b"..");
        let mut list = found;
        list.retain(|entry| is_dot(&entry.name) || names.contains(&Text::from(&entry.name[..])));
        // What only the bug sees has no number that would lead anywhere.
        let added = names.iter().filter(|name| list.iter().all(|entry| entry.name != name.as_bytes()));
        let added: Vec<Listed> =
            added.map(|name| Listed { name: name.0.clone(), inode: u64::MAX, kind: FileType::RegularFile }).collect();
        list.extend(added);
        Ok(list.into_iter().filter_map(|entry| self.listed(node, entry)).collect())
    }

    /// A name as the bug shows it, if it does.
    fn listed(&self, directory: &Node, entry: Listed) -> Option<Listed> {
        if matches!(&entry.name[..], b"." | b"..") {
            return Some(entry);
        }
        let Some(path) = directory.join(&entry.name) else { return Some(entry) };
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(file) = fs::openat(&directory.file, &entry.name[..], flags, Mode::empty()) else { return Some(entry) };
        let stat = fs::statat(&file, "", AtFlags::EMPTY_PATH).ok()?;
        let shown = self.shown(&path, facts(&file, &stat, false)).ok()?;
        let inode = if shown.is_listed_with_its_inode { entry.inode } else { entry.inode ^ (1 << 40) };
        let kind = if shown.is_listed_as_what_it_is { entry.kind } else { FileType::Unknown };
        Some(Listed { inode, kind, ..entry })
    }
}

/// What is known of a file, as the trees of the laws have it.
pub fn facts(file: &OwnedFd, stat: &Stat, with_content: bool) -> Facts {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => '-',
        FileType::Directory => 'd',
        FileType::Symlink => 'l',
        FileType::Fifo => 'p',
        FileType::Socket => 's',
        FileType::CharacterDevice => 'c',
        FileType::BlockDevice => 'b',
        FileType::Unknown => '?',
    };
    Facts {
        kind,
        mode: stat.st_mode & 0o7777,
        owner: (stat.st_uid, stat.st_gid),
        mtime: When::Time(Time { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32 }),
        content: if with_content { content(file, stat).unwrap_or_default() } else { Vec::new() },
        device: (fs::major(stat.st_rdev), fs::minor(stat.st_rdev)),
        links: if kind == 'd' { 0 } else { stat.st_nlink },
        identity: (stat.st_dev, stat.st_ino),
        xattrs: xattrs(file).unwrap_or_default(),
        marks: Marks::default(),
        private: Attributes::new(),
        is_listed_as_what_it_is: true,
        is_listed_with_its_inode: true,
    }
}

/// The name of a descriptor in the working directory.
pub fn name(file: &OwnedFd) -> String {
    file.as_raw_fd().to_string()
}

fn content(file: &OwnedFd, stat: &Stat) -> Result<Vec<u8>, Raw> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => Ok(fs::readlinkat(file, "", Vec::new())?.into_bytes()),
        _ => {
            let file = fs::open(name(file), OFlags::RDONLY | OFlags::NOATIME | OFlags::CLOEXEC, Mode::empty())?;
            let mut bytes = vec![0; stat.st_size as usize];
            let count = rustix::io::pread(&file, &mut bytes[..], 0)?;
            bytes.truncate(count);
            Ok(bytes)
        }
    }
}

fn xattrs(file: &OwnedFd) -> Result<Attributes, Raw> {
    let path = name(file);
    let mut names = vec![0; XATTR_BYTES_MAX];
    let length = fs::listxattr(&*path, &mut names[..])?;
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.map(|name| Ok((Text::from(name), xattr(&path, name)?))).collect()
}

/// The value of an attribute.
pub fn xattr(path: &str, name: &[u8]) -> Result<Vec<u8>, Raw> {
    let mut value = vec![0; XATTR_BYTES_MAX];
    let length = fs::getxattr(path, name, &mut value[..])?;
    value.truncate(length);
    Ok(value)
}

/// What stat(2) is to tell: what is there, with what is shown of it.
fn attributes(stat: &Stat, facts: &Facts) -> FileAttr {
    let mtime = match facts.mtime {
        When::Time(time) => moment(time.seconds, time.nanoseconds),
        When::Reading(_) | When::Whenever => moment(stat.st_mtime, stat.st_mtime_nsec as u32),
    };
    FileAttr {
        ino: INodeNo(facts.identity.1),
        size: stat.st_size as u64,
        blocks: stat.st_blocks as u64,
        atime: moment(stat.st_atime, stat.st_atime_nsec as u32),
        mtime,
        ctime: moment(stat.st_ctime, stat.st_ctime_nsec as u32),
        crtime: UNIX_EPOCH,
        kind: match facts.kind {
            'd' => fuser::FileType::Directory,
            'l' => fuser::FileType::Symlink,
            'p' => fuser::FileType::NamedPipe,
            's' => fuser::FileType::Socket,
            'c' => fuser::FileType::CharDevice,
            'b' => fuser::FileType::BlockDevice,
            _ => fuser::FileType::RegularFile,
        },
        perm: facts.mode as u16,
        nlink: if facts.kind == 'd' { stat.st_nlink } else { facts.links } as u32,
        uid: facts.owner.0,
        gid: facts.owner.1,
        // The kernel's form of it has 32 bits.
        rdev: fs::makedev(facts.device.0, facts.device.1) as u32,
        blksize: stat.st_blksize as u32,
        flags: 0,
    }
}

fn moment(seconds: i64, nanoseconds: u32) -> SystemTime {
    let whole = match u64::try_from(seconds) {
        Ok(after) => UNIX_EPOCH + Duration::from_secs(after),
        Err(_) => UNIX_EPOCH - Duration::from_secs(seconds.unsigned_abs()),
    };
    whole + Duration::from_nanos(u64::from(nanoseconds))
}

pub fn time_of(moment: SystemTime) -> Time {
    match moment.duration_since(UNIX_EPOCH) {
        Ok(after) => Time { seconds: after.as_secs() as i64, nanoseconds: after.subsec_nanos() },
        // fuser counts the nanoseconds of a time before 1970 back, too (`system_time_from_time` of its `time.rs`).
        Err(before) => {
            let before = before.duration();
            Time { seconds: -(before.as_secs() as i64), nanoseconds: before.subsec_nanos() }
        }
    }
}

fn timespec(time: Option<TimeOrNow>) -> Timespec {
    match time {
        None => Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        Some(TimeOrNow::Now) => Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
        Some(TimeOrNow::SpecificTime(moment)) => {
            let Time { seconds, nanoseconds } = time_of(moment);
            Timespec { tv_sec: seconds, tv_nsec: i64::from(nanoseconds) }
        }
    }
}

/// The flags that open(2) was given, in the words of the laws.
pub fn flags_of(flags: OFlags) -> Flags {
    let access = match flags & OFlags::RWMODE {
        read if read == OFlags::RDONLY => Access::Read,
        write if write == OFlags::WRONLY => Access::Write,
        both if both == OFlags::RDWR => Access::ReadWrite,
        _ => Access::Neither,
    };
    Flags {
        create: flags.contains(OFlags::CREATE),
        exclusive: flags.contains(OFlags::EXCL),
        truncate: flags.contains(OFlags::TRUNC),
        append: flags.contains(OFlags::APPEND),
        directory: flags.contains(OFlags::DIRECTORY),
        no_access_time: flags.contains(OFlags::NOATIME),
        sync: flags.contains(OFlags::SYNC),
        data_sync: flags.contains(OFlags::DSYNC) && !flags.contains(OFlags::SYNC),
        direct: flags.contains(OFlags::DIRECT),
        ..Flags::of(access)
    }
}

/// Opens a file below; what is read and written directly would have to be aligned in our memory, too.
pub fn open(open: impl FnOnce(OFlags) -> Result<OwnedFd, Raw>, flags: OFlags) -> Result<OwnedFd, Raw> {
    let file = open(flags | OFlags::CLOEXEC)?;
    if flags.contains(OFlags::DIRECT) {
        fs::fcntl_setfl(&file, flags.difference(OFlags::DIRECT))?;
    }
    Ok(file)
}

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

    /// fsync(2), fdatasync(2)
    pub fn synced(&self, handle: FileHandle, only_data: bool) -> Result<(), Errno> {
        let file = &self.handle(handle)?.file;
        if only_data { fs::fdatasync(file) } else { fs::fsync(file) }.map_err(raw)
    }
}

/// Whether a user may do something with a file.
pub fn may(caller: &Caller, node: &Node, access: fs::Access) -> Result<(), Errno> {
    let asked = || fs::accessat(CWD, name(&node.file), access, AtFlags::empty());
    caller.act(asked).map_err(raw)?.map_err(raw)
}

/// An attribute that is set, in the words of the laws.
pub fn set_xattr(node: &Node, path: Text, attribute: &OsStr, value: &[u8], flags: XattrFlags) -> Option<Operation> {
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
