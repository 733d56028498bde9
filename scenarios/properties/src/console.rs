//! Steps as they are typed: what a shell in a container is told to do the same, and what must come of it by the model.
//!
//! *Holds*: what is said does what the step does, in a container as root or as user 1000, with the tools of the lab's images; the
//! root of the case is the directory [`ROOT`]. What a shell cannot say, or what comes out otherwise on another machine, is
//! refused with the reason. *Never*: something like the step.

use std::collections::BTreeMap;

use layerlab_model::changes::{self, Flat, Leaf, Names};
use layerlab_model::errno::Errno;
use layerlab_model::inode::{Body, Node, Stamp};
use layerlab_model::operation::{Access, Answer, Operation, Replace, Step, Target, User};
use layerlab_model::process::Machine;
use layerlab_model::promises::{Promises, Protected};
use layerlab_model::text::Text;
use layerlab_model::union::{Seen, Union};

/// Where the tree of a case lies in a container.
pub const ROOT: &str = "/case";
/// The file mode mask of whoever enters a container.
const MASK: u32 = 0o022;
/// Longer paths make lines that nobody reads.
const PATH_BYTES_MAX: usize = 60;

/// One line of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A command in the container, and what it prints; none when it is refused.
    Exec {
        /// Who types it.
        user: User,
        /// The command.
        command: String,
        /// Its output.
        prints: Option<Vec<String>>,
    },
    /// The container is stopped and started.
    Remount,
    /// The container becomes an image, and a new container begins on it.
    Commit,
}

/// A case as it is typed.
#[derive(Debug)]
pub struct Said {
    /// Its lines.
    pub lines: Vec<Line>,
    /// The tree at the end.
    pub tree: Flat,
    /// The tree when the last container began.
    pub below: Flat,
    /// How many names each of its files has.
    pub links: BTreeMap<Names, u32>,
}

/// The machines that a page can come to: all must do the same.
struct Machines(Vec<Machine>);

impl Machines {
    fn new(has_layers: bool) -> Machines {
        // The root of the case is a directory like any other.
        let usual = Promises {
            layers: has_layers,
            root_is_inherited: true,
            refused_xattrs_copy_up: has_layers,
            refused_renames_prepare: has_layers,
            ..Promises::COMMON
        };
        let ordinary = Promises {
            first_namespace: false,
            copies_can_be_linked: !has_layers,
            inode_numbers_survive_a_remount: !has_layers,
            ..usual
        };
        let protected = Protected { symlinks: true, hardlinks: true, regular: 2, fifos: 2 };
        let all = [usual, ordinary, Promises { protected, ..usual }];
        Machines(all.into_iter().map(Machine::new).collect())
    }

    fn union(&self) -> &Union {
        self.0[0].union()
    }

    fn step(&mut self, step: &Step) -> Result<Result<Answer, Errno>, String> {
        if self.0.iter().any(|machine| machine.promises_nothing_of(step)) {
            return Err(format!("nothing is promised everywhere of `{}`", step.operation.word()));
        }
        let mut results: Vec<_> = self.0.iter_mut().map(|machine| machine.step(step)).collect();
        let first = results.remove(0);
        match results.iter().all(|other| *other == first) {
            true => Ok(first),
            false => Err(format!("what comes of `{}` depends on the machine", step.operation.word())),
        }
    }

    /// The tree, which is the same for all.
    fn tree(&self) -> Result<Flat, String> {
        let trees: Vec<Flat> = self.0.iter().map(|machine| changes::flat(machine.union())).collect();
        match trees.iter().all(|tree| changes::are_same(tree, &trees[0])) {
            true => Ok(trees[0].clone()),
            false => Err("what is left depends on the machine".to_owned()),
        }
    }
}

/// How `steps` are typed where the storage driver keeps layers, or copies whole trees; or why they cannot be.
pub fn said(steps: &[Step], has_layers: bool) -> Result<Said, String> {
    let mut machines = Machines::new(has_layers);
    let mut lines = Vec::new();
    let mut below = Flat::new();
    let mut at = 0;
    while let Some(step) = steps.get(at) {
        let has_nodes = has_nodes(machines.union());
        let expected = machines.step(step)?;
        at += 1;
        match &step.operation {
            Operation::Remount => lines.push(Line::Remount),
            Operation::Commit => {
                what_a_tar_loses(&machines.tree()?).map_or(Ok(()), Err)?;
                if !has_layers && has_old_links(machines.union(), &below) {
                    return Err("a comparison of two trees does not see which names are one file".to_owned());
                }
                below = machines.tree()?;
                lines.push(Line::Commit);
            }
            Operation::Open { slot, path, flags, mode } => {
                let is_plain = !(flags.directory
                    || flags.no_follow
                    || flags.no_access_time
                    || flags.path_only
                    || flags.sync
                    || flags.data_sync
                    || flags.direct);
                if has_nodes || !is_plain || flags.access == Access::Neither || flags.exclusive && expected.is_err() {
                    return Err("a shell opens files in its own way".to_owned());
                }
                let command = match (flags.access, flags.create) {
                    (_, true) if mode & !0o666 != 0 => {
                        return Err(format!("a shell makes no file of mode {mode:04o}"));
                    }
                    (Access::Read, true) => return Err("a shell makes no file only to read it".to_owned()),
                    (_, true) if flags.truncate => masked(0o666, *mode, &format!(": > {}", quoted(path)?)),
                    (_, true) => masked(0o666, *mode, &format!(": >> {}", quoted(path)?)),
                    (Access::Read, false) => format!("sh -c ': < {}'", quoted(path)?),
                    (_, false) if expected.is_err() => {
                        return Err("a shell opens no file to write to it without making it".to_owned());
                    }
                    (_, false) if flags.truncate => format!("sh -c ': > {}'", quoted(path)?),
                    (_, false) => format!("sh -c ': >> {}'", quoted(path)?),
                };
                lines.push(exec(step.user, command, &expected));
                // What is written at once is written by the name.
                while let Some(Step { user, operation: Operation::Write { slot: into, offset, fill } }) = steps.get(at)
                    && (user, into) == (&step.user, slot)
                {
                    if expected.is_err() || flags.append || !flags.access.writes() {
                        return Err("a file is written to that is not open, or at its end".to_owned());
                    }
                    let written = machines.step(&steps[at])?;
                    at += 1;
                    let letters = match fill.length {
                        0 => "true".to_owned(),
                        1..=20 => format!("printf {}", String::from(fill.letter).repeat(fill.length as usize)),
                        length => format!("printf %{length}s {letter} | tr \" \" {letter}", letter = fill.letter),
                    };
                    let place = match offset {
                        0 => String::new(),
                        offset => format!(" bs={offset} seek=1"),
                    };
                    let into = format!("dd of={} conv=notrunc status=none{place}", quoted(path)?);
                    lines.push(exec(*user, format!("sh -c '{letters} | {into}'"), &written.map(|_| Answer::Done)));
                }
            }
            Operation::Close { .. } if expected.is_ok() => {}
            operation => {
                let opens = matches!(operation, Operation::Truncate { .. });
                if opens && has_nodes {
                    return Err("a shell opens files in its own way".to_owned());
                }
                lines.push(exec(step.user, command(operation, &expected)?, &expected));
            }
        }
    }
    let tree = machines.tree()?;
    let links = |leaf: &Leaf| machines.union().inode(leaf.file).links;
    let links = tree.iter().map(|(names, leaf)| (names.clone(), links(leaf))).collect();
    Ok(Said { lines, tree, below, links })
}

fn exec(user: User, command: String, expected: &Result<Answer, Errno>) -> Line {
    let prints = match expected {
        Ok(Answer::Bytes(bytes)) => Some(vec![Text(bytes.clone()).to_string()]),
        Ok(Answer::Names(names)) => Some(names.iter().map(ToString::to_string).collect()),
        Ok(_) => Some(Vec::new()),
        Err(_) => None,
    };
    Line::Exec { user, command, prints }
}

/// Everything but what opens files.
fn command(operation: &Operation, expected: &Result<Answer, Errno>) -> Result<String, String> {
    let root = Text::from("/");
    let has_root = operation.clone().paths_mut().into_iter().any(|path| *path == root);
    let is_about_attributes = matches!(
        operation,
        Operation::Chmod { .. } | Operation::Chown { .. } | Operation::SetTime { .. } | Operation::List { .. }
    );
    if has_root && !is_about_attributes {
        return Err("the root of the case is a directory like any other in a container".to_owned());
    }
    let is_missing = *expected == Err(Errno::NOENT);
    Ok(match operation {
        Operation::Truncate { target: Target::Path(path), length } if !is_missing => {
            format!("truncate -s {length} {}", quoted(path)?)
        }
        Operation::Chmod { target: Target::Path(path), mode } => format!("chmod {mode:04o} {}", quoted(path)?),
        Operation::Chown { target: Target::Path(path), uid, gid } => {
            format!("chown -h {uid}:{gid} {}", quoted(path)?)
        }
        Operation::SetTime { target: Target::Path(path), time } if expected.is_ok() => {
            format!("touch -c -d @{}.{:09} {}", time.seconds, time.nanoseconds, quoted(path)?)
        }
        Operation::SetLinkTime { path, time } if expected.is_ok() => {
            format!("touch -h -c -d @{}.{:09} {}", time.seconds, time.nanoseconds, quoted(path)?)
        }
        Operation::Touch { target: Target::Path(path) } if expected.is_ok() => format!("touch -c {}", quoted(path)?),
        Operation::Mkdir { path, mode } if mode & !0o777 == 0 => {
            masked(0o777, *mode, &format!("mkdir {}", quoted(path)?))
        }
        Operation::Mknod { path, node: Node::Fifo, mode } if mode & !0o666 == 0 => {
            masked(0o666, *mode, &format!("mkfifo {}", quoted(path)?))
        }
        Operation::Symlink { content, path } => format!("ln -sT {} {}", content_of(content)?, quoted(path)?),
        Operation::Link { from, to } => format!("ln -T {} {}", quoted(from)?, quoted(to)?),
        Operation::Rename { replace: Replace::Exchange, .. } => return Err("no shell exchanges two names".to_owned()),
        Operation::Rename { .. } if *expected == Err(Errno::XDEV) => {
            return Err("a shell's mv copies what cannot be renamed".to_owned());
        }
        Operation::Rename { replace: Replace::No, .. } if expected.is_err() => {
            return Err("a shell's mv does not say that it replaced nothing".to_owned());
        }
        Operation::Rename { from, to, .. } => format!("mv -T {} {}", quoted(from)?, quoted(to)?),
        Operation::Unlink { path } => format!("rm {}", quoted(path)?),
        Operation::Rmdir { path } => format!("rmdir {}", quoted(path)?),
        Operation::ReadLink { path } => match expected {
            Ok(Answer::Bytes(content)) if content.starts_with(b"/") => {
                return Err("the target of a link lies elsewhere in a container".to_owned());
            }
            _ => format!("readlink {}", quoted(path)?),
        },
        Operation::List { path } if expected.is_ok() => format!("ls -A {}", quoted(path)?),
        operation => return Err(format!("no tool in the images does `{}` as the step does", operation.word())),
    })
}

/// `command`, which makes something of mode `all` but for the mask, with the mask that leaves `mode`.
fn masked(all: u32, mode: u32, command: &str) -> String {
    let is_redirection = command.starts_with(':');
    match all & !mode {
        mask if mask == all & MASK && is_redirection => format!("sh -c '{command}'"),
        mask if mask == all & MASK => command.to_owned(),
        mask => format!("sh -c 'umask {mask:03o}; {command}'"),
    }
}

/// A path below [`ROOT`].
fn quoted(path: &Text) -> Result<String, String> {
    if path.as_bytes() == b"/" {
        return Ok(ROOT.to_owned());
    }
    plain(path).map(|path| format!("{ROOT}{path}"))
}

/// What a symbolic link holds.
fn content_of(content: &Text) -> Result<String, String> {
    match content.as_bytes().starts_with(b"/") {
        true => quoted(content),
        false => plain(content),
    }
}

fn plain(text: &Text) -> Result<String, String> {
    let bytes = text.as_bytes();
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._".contains(byte);
    let mut names = bytes.split(|byte| *byte == b'/');
    if bytes.is_empty()
        || bytes.len() > PATH_BYTES_MAX
        || !bytes.iter().all(is_plain)
        || names.any(|name| name == b"..")
    {
        return Err(format!("'{text}' is not typed easily"));
    }
    Ok(text.to_string())
}

fn has_nodes(union: &Union) -> bool {
    union.walk().iter().any(|(_, seen)| match seen {
        Seen::Other(at) => matches!(union.inode(*at).body, Body::Node(_)),
        Seen::Directory(_) => false,
    })
}

/// What of a tree does not come back from a layer tar.
/// Whether a file that has several names had one of them in the tree `below`.
fn has_old_links(union: &Union, below: &Flat) -> bool {
    let is_old = |(names, seen): (Vec<Text>, Seen)| {
        let inode = union.inode(seen.top());
        !inode.is_directory() && inode.links > 1 && below.contains_key(&names)
    };
    union.walk().into_iter().any(is_old)
}

fn what_a_tar_loses(tree: &Flat) -> Option<String> {
    let is_whiteout = |name: &Text| name.as_bytes().starts_with(b".wh.");
    if tree.keys().flatten().any(is_whiteout) {
        return Some("a name that begins with .wh. is a whiteout in a layer".to_owned());
    }
    let is_early = |leaf: &Leaf| matches!(leaf.meta.mtime, Stamp::Set(time) if time.seconds < 0);
    tree.values().any(is_early).then(|| "Docker unpacks nothing that is older than 1970".to_owned())
}
