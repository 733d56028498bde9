//! The tree below a mount: the files of it that the kernel knows or has open, what a bug makes of them, and how what is done reaches both.
//!
//! *Holds*: what is done goes through the bug wherever the bug has words for it; what it has none for (a file whose name is gone, more open files
//! than it can count, times that are not the same) is done all the same, past it.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, PoisonError};

use fuser::{FileAttr, FileHandle, INodeNo};
use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Slot};
use layerlab_model::text::Text;
use layerlab_properties::perform::Hands;
use layerlab_properties::tree::{Facts, Tree};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, RawDir, SeekFrom};

use super::bench::{Act, Bench, Done};
use super::caller::Caller;
use super::facts::{self, attributes, facts};
use super::nodes::{Node, Nodes, ROOT};
use crate::bug::{SPARE, in_tree};

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
        let mut tree = Tree::from([(path.clone(), facts)]);
        if !path.0.is_empty() {
            let root = self.node(INodeNo(ROOT))?;
            tree.insert(Text::default(), facts::facts(&root.file, &root.stat().map_err(raw)?, false));
        }
        self.hands.look(tree).remove(&path).ok_or(Errno::NOENT)
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

/// The name of a descriptor in the working directory.
pub fn name(file: &OwnedFd) -> String {
    file.as_raw_fd().to_string()
}
