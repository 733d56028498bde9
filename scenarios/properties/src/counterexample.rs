//! A case that broke a law, kept: as JSON that is run first next time, as a script that shows it without this code, and as a page
//! (`page.rs`).

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use layerlab_model::inode::Node;
use layerlab_model::operation::{Access, Allocate, Before, Flags, Operation, Replace, Step, Target, User};
use layerlab_model::process::OTHER_ID;
use layerlab_model::text::Text;
use layerlab_scenarios::lab::prepare::cache;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::backing::{Backing, LOOP_TYPES};
use crate::machine::Host;
use crate::overlayfs::FIXED_FOR_USERS;
use crate::subjects::Subject;
use crate::subjects::program::KIND;

/// What is kept of a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counterexample {
    /// The law that it breaks; none when the case could not go on.
    pub law: Option<String>,
    /// The subject.
    pub subject: String,
    /// What its layers lay on.
    pub backing: String,
    /// Whether root was not the first user namespace's.
    #[serde(default)]
    pub rootless: bool,
    /// The kernel it was found on.
    pub kernel: String,
    /// What it was drawn from.
    pub seed: u64,
    /// How to show it.
    pub steps: Vec<Step>,
    /// What was not as it should be.
    pub findings: Vec<String>,
}

/// Where those of a subject are kept: `layerlab/laws/SUBJECT` in the target directory.
pub fn directory(subject: &str) -> PathBuf {
    // A driver program is called by its path.
    cache().join("laws").join(subject.trim_start_matches(['.', '/']).replace('/', "-"))
}

/// How a script stacks layers without this code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ByHand {
    /// It has a plain directory.
    Directory,
    /// By the kernel's own overlayfs with these options; `datadir+` as the last of them says that the content of each layer is in a data-only layer.
    Overlay(String),
    /// By asking this program, as `scenarios/bugs/README.md` has it.
    Program {
        /// Its absolute path.
        path: PathBuf,
        /// Which of its kinds it is told to be.
        kind: Option<String>,
    },
}

impl ByHand {
    /// How `subject` is done, as far as anything else does it.
    pub fn of(subject: &dyn Subject) -> ByHand {
        let program = subject
            .program()
            .map(|(path, kind)| ByHand::Program { path: path.to_owned(), kind: kind.map(str::to_owned) });
        program.or_else(|| subject.mount_options().map(ByHand::Overlay)).unwrap_or(ByHand::Directory)
    }
}

/// What is kept of a subject, sorted by file name. A file that is none of ours is passed over.
pub fn kept<T: DeserializeOwned>(subject: &str) -> io::Result<Vec<(PathBuf, T)>> {
    kept_in(&directory(subject))
}

/// What is kept in a directory, likewise.
pub(crate) fn kept_in<T: DeserializeOwned>(directory: &Path) -> io::Result<Vec<(PathBuf, T)>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path)?;
        Ok(serde_json::from_str(&text).ok().map(|counterexample| (path, counterexample)))
    };
    paths.into_iter().map(read).filter_map(Result::transpose).collect()
}

/// Where a counterexample was written.
#[derive(Debug)]
pub struct Kept {
    /// What is run first next time.
    pub json: PathBuf,
    /// What shows it without this code.
    pub script: PathBuf,
    /// What shows it on any engine.
    pub page: PathBuf,
}

impl Counterexample {
    /// Whether it was found on such a file system, with as many privileges.
    pub fn is_of(&self, backing: &Backing, host: &Host) -> bool {
        self.backing == backing.to_string() && self.rootless != host.promises().first_namespace
    }

    /// Writes JSON, script and page into [`directory`].
    pub fn keep(&self, by_hand: &ByHand) -> io::Result<Kept> {
        let directory = directory(&self.subject);
        fs::create_dir_all(&directory)?;
        let backing = self.backing.replace('/', "-");
        let stem = format!("{}-{}-{backing}", self.law.as_deref().unwrap_or("cannot-go-on"), self.seed);
        let path = |extension: &str| directory.join(format!("{stem}.{extension}"));
        fs::write(path("json"), serde_json::to_string_pretty(self)?)?;
        fs::write(path("sh"), self.script(by_hand))?;
        fs::set_permissions(path("sh"), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        fs::write(path("md"), self.page(&self.claim()))?;
        Ok(Kept { json: path("json"), script: path("sh"), page: path("md") })
    }

    /// A shell script that does the steps on the kernel's own overlayfs (or in a plain directory, or with a driver program) and shows what comes of them.
    /// It needs root (what an ordinary user found needs none), python3 and util-linux. A layer is not packed by it: what is wrong with one shows
    /// in the page.
    pub fn script(&self, by_hand: &ByHand) -> String {
        let mut text = String::from("#!/bin/sh\n");
        let law = self.law.as_deref().unwrap_or("a case that cannot go on");
        let _ = writeln!(text, "# {law}: broken by {} on {}, kernel {}.", self.subject, self.backing, self.kernel);
        for line in self.findings.iter().flat_map(|finding| finding.lines()) {
            let _ = writeln!(text, "#   {line}");
        }
        // What a driver makes of layers beside what the kernel does is not in it.
        if self.subject.starts_with("layerlab-") && self.subject != "layerlab-overlay2" {
            let _ = writeln!(
                text,
                "# It does the steps without {}: what shows only with that driver does not show here.",
                self.subject
            );
        }
        text += &BEGINNING.replace("UNSHARE", self.unshare(by_hand)).replace("PLACE", &self.place());
        let (kind, options, program) = match by_hand {
            ByHand::Directory => ("directory", "", String::new()),
            ByHand::Overlay(options) => ("overlay", options.as_str(), String::new()),
            ByHand::Program { path, .. } => ("program", "", path.display().to_string()),
        };
        let options = if self.rootless { of_users(options) } else { options.to_owned() };
        let _ = writeln!(text, "kind={kind} options='{options}' program='{}'", program.replace('\'', r"'\''"));
        if let ByHand::Program { kind: Some(kind), .. } = by_hand {
            let _ = writeln!(text, "export {KIND}={kind}");
        }
        // Docker's overlay2 gives each layer a root of its own.
        let is_own = self.subject == "layerlab-overlay2";
        let _ = writeln!(text, "root_is_inherited={}", if is_own { "no" } else { "yes" });
        text += FUNCTIONS;
        let mut parts = self.steps.split_inclusive(|step| is_end_of_mount(&step.operation)).peekable();
        while let Some(part) = parts.next() {
            text += "enter\nsteps <<'END'\n";
            let (steps, end) = match part.split_last() {
                Some((last, steps)) if is_end_of_mount(&last.operation) => (steps, Some(&last.operation)),
                _ => (part, None),
            };
            for step in steps {
                let user = if step.user == User::Other { OTHER_ID } else { 0 };
                let _ = writeln!(text, "do({user}, {:?}, lambda: {})", step.operation.word(), python(&step.operation));
            }
            text += "END\n";
            match end {
                Some(Operation::Commit) => text += "leave\ncommit\n",
                Some(_) => text += "leave\n",
                None => {}
            }
            if parts.peek().is_none() && end.is_some() {
                text += "enter\n";
            }
        }
        text + "show\nleave\n"
    }
}

impl Counterexample {
    /// What makes the namespaces that it was found in.
    fn unshare(&self, by_hand: &ByHand) -> &'static str {
        let is_others = |step: &Step| step.user == User::Other;
        match (self.rootless, self.steps.iter().any(is_others)) {
            // What a driver program began ends with the script, however that ends.
            (false, _) if matches!(by_hand, ByHand::Program { .. }) => "--mount --pid --fork --kill-child --mount-proc",
            (false, _) => "--mount",
            (true, false) => "--user --map-root-user --mount",
            (true, true) => "--user --map-root-user --map-auto --mount",
        }
    }

    /// The line that mounts what the layers lay on; memory, where nobody else can have it.
    fn place(&self) -> String {
        if self.rootless && self.backing != "tmpfs" {
            return format!("mount --bind \"$place\" \"$place\" # it was on {}: let TMPDIR be there", self.backing);
        }
        match LOOP_TYPES.iter().find(|kind| **kind == self.backing) {
            Some(kind) => format!(
                "truncate -s 512M \"$place.img\"; mkfs.{kind} -q \"$place.img\"; mount -o loop \"$place.img\" \"$place\"; \
                 rm \"$place.img\"; chmod 755 \"$place\""
            ),
            None => "mount -t tmpfs -o mode=755 none \"$place\"".to_owned(),
        }
    }
}

fn is_end_of_mount(operation: &Operation) -> bool {
    matches!(operation, Operation::Remount | Operation::Commit)
}

/// The options of a mount in a user namespace.
fn of_users(options: &str) -> String {
    let is_free = |option: &&str| !FIXED_FOR_USERS.contains(&option.split('=').next().unwrap_or(option));
    std::iter::once("userxattr").chain(options.split(',').filter(is_free)).collect::<Vec<_>>().join(",")
}

const BEGINNING: &str = r#"# Needs python3, util-linux, and (but for what was found without) root; everything it makes is gone afterwards.
set -eu
[ "${1:-}" = inside ] || exec unshare UNSHARE -- "$0" inside
place=$(mktemp -d)
trap 'cd /; umount -R "$place" || :; rm -rf "$place" "$place.img"' EXIT
trap 'exit 130' INT TERM HUP
PLACE
layer=0
mkdir "$place/none" "$place/foreign" "$place/0" "$place/work" "$place/merged"
mount -t tmpfs -o mode=755 none "$place/foreign"
mkdir "$place/foreign/none"
"#;

const FUNCTIONS: &str = r#"if [ $kind = program ]; then
    export LAYERLAB_DATA_ROOT="$place/store"; mkdir "$LAYERLAB_DATA_ROOT"
    quit() { "$program" quit 2> "$place/said" || [ $? = 77 ] || { echo "what the program began may still run:"; cat "$place/said"; } >&2; }
    trap 'cd /; quit; umount -R "$place" || umount -R -l "$place" || :; rm -rf "$place" "$place.img"' EXIT
    "$program" create layer-0
fi
lowers() {
    i=$((layer - 1))
    while [ $i -ge 0 ]; do
        if [ -e "$place/foreign/$i" ]; then printf %s: "$place/foreign/$i"; else printf %s: "$place/$i"; fi
        i=$((i - 1))
    done
}
enter() {
    case $kind in
        directory) mount --bind "$place/0" "$place/merged"; return ;;
        program)
            at=$("$program" mount "layer-$layer")
            case $at in /*) ;; *) at=$LAYERLAB_DATA_ROOT/$at ;; esac
            rm -d "$place/merged"; ln -s "$at" "$place/merged"; return ;;
    esac
    lower=$(lowers); lower=${lower:-$place/none:}
    case $options in *xino=on*) lower=$lower$place/foreign/none ;; esac # without another file system below it would be ignored
    lower=${lower%:}
    case $options in *,datadir+) i=$((layer - 1)); while [ $i -ge 0 ]; do lower=$lower::$place/data-$i; i=$((i - 1)); done ;; esac
    mount -t overlay overlay -o "${options%,datadir+},lowerdir=$lower,upperdir=$place/$layer,workdir=$place/work" "$place/merged"
}
leave() {
    case $kind in
        program) "$program" umount "layer-$layer" ;;
        *) umount "$place/merged"; rm -rf "$place/work/work/incompat" ;;
    esac
}
commit() {
    case $kind in
        directory) return 0 ;;
        program) echo "-- the upper layer becomes a lower one"; "$program" create "layer-$((layer + 1))" "layer-$layer"; layer=$((layer + 1)); return 0 ;;
    esac
    case $options in *,datadir+) move_contents "$place/$layer" "$place/data-$layer" ;; esac
    case $options in *xino=on*) [ $((layer % 2)) = 1 ] || cp -a "$place/$layer" "$place/foreign/$layer" ;; esac # layers on two file systems
    echo "-- the upper layer becomes a lower one"; layer=$((layer + 1)); mkdir -m 755 "$place/$layer"
    [ $root_is_inherited = no ] || { chown --reference="$place/$((layer - 1))" "$place/$layer"; chmod --reference="$place/$((layer - 1))" "$place/$layer"; }
    rm -rf "$place/work"; mkdir "$place/work"
}
move_contents() { # of the files of a layer into a data-only layer (overlayfs, "Data-only lower layers")
    mkdir "$2"; python3 - "$@" <<'PYTHON'
import os, stat, sys
layer, data, mark, moved = os.fsencode(sys.argv[1]), os.fsencode(sys.argv[2]), "trusted.overlay.", set()
for directory, _, names in os.walk(layer):
    for path in (os.path.join(directory, name) for name in names):
        about = os.lstat(path)
        if not stat.S_ISREG(about.st_mode) or about.st_ino in moved or mark + "metacopy" in os.listxattr(path): continue
        moved.add(about.st_ino)
        name = b"%s.%d" % (os.path.basename(layer), len(moved))
        kept = {key: os.getxattr(path, key) for key in os.listxattr(path) if key == "security.capability"}
        with open(path, "rb") as old, open(os.path.join(data, name), "xb") as new: new.write(old.read())
        os.truncate(path, 0); os.truncate(path, about.st_size)
        for key, value in {mark + "metacopy": b"", mark + "redirect": b"/" + name, **kept}.items(): os.setxattr(path, key, value)
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
PYTHON
}
show() {
    for tree in merged $([ $kind = program ] || echo "$layer"); do
        echo "-- $tree"; (cd "$place/$tree"; find . -printf '%M %U:%G %s bytes %n names %P -> %l\n'; getfattr -R -h -d -m - . 2>/dev/null || :)
    done
}
steps() {
    { cat <<'PYTHON'
import ctypes, errno, fcntl, mmap, os, stat, sys, threading
libc, slots = ctypes.CDLL(None, use_errno=True), {}
def call(name, *arguments):
    result = getattr(libc, name)(*arguments)
    if result < 0: raise OSError(ctypes.get_errno(), name)
    return result
def do(user, word, step):
    os.setresgid(-1, user, -1); os.setresuid(-1, user, -1)
    try: print("ok    ", word, step() or "")
    except OSError as error: print(errno.errorcode[error.errno].replace("ENOTSUP", "EOPNOTSUPP").ljust(6), word)
    except KeyError: print("EBADF ", word)
    finally: os.setresuid(-1, 0, -1); os.setresgid(-1, 0, -1)
def opened(slot, path, flags, mode):
    slots.pop(slot, None)
    file = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY, mode)
    if flags & os.O_DIRECT and not flags & os.O_PATH: fcntl.fcntl(file, fcntl.F_SETFL, fcntl.fcntl(file, fcntl.F_GETFL) & ~os.O_DIRECT)
    if stat.S_ISREG(os.fstat(file).st_mode) or stat.S_ISDIR(os.fstat(file).st_mode): slots[slot] = file
def mapped(file, offset, data):
    flags = fcntl.fcntl(file, fcntl.F_GETFL)
    if flags & os.O_PATH: raise OSError(errno.EBADF, "a name only")
    if flags & os.O_ACCMODE != os.O_RDWR: raise OSError(errno.EACCES, "not for both")
    if offset + len(data) > os.fstat(file).st_size: raise OSError(errno.EINVAL, "beyond the end")
    with mmap.mmap(file, 0) as memory: memory[offset:offset + len(data)] = data
def whole(path):
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try: return os.read(file, 1 << 24) if stat.S_ISREG(os.fstat(file).st_mode) else None
    finally: os.close(file)
def race(path, letters, mode):
    try: old = whole(path)
    except OSError: old = None
    told, busy, begun = [], [], threading.Event()
    def change(body, *arguments):
        begun.wait()
        try: body(*arguments)
        except OSError as error: told.append(error)
        busy.pop()
    def write(offset, letter):
        file = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        if old is None: raise OSError(errno.EINVAL, "no file")
        if len(letters) <= len(old): os.pwrite(file, letter, offset)
        os.close(file)
    places = [number * len(old or b"") // len(letters) for number in range(len(letters))]
    changes = [(write, place, letters[number:number + 1]) for number, place in enumerate(places)]
    changes += [(os.chmod, path, mode)] if mode is not None and old is not None else []
    threads = [threading.Thread(target=change, args=all) for all in changes]
    busy.extend(threads)
    for thread in threads: thread.start()
    begun.set()
    is_last, seen, wrong = False, old, None
    while old is not None and not is_last and wrong is None:
        is_last, seen = not busy, whole(path)
        if len(seen) != len(old) or any(
            is_ != was and at not in places for at, (is_, was) in enumerate(zip(seen, old))): wrong = "neither old nor new"
    for thread in threads: thread.join()
    if told: raise told[0]
    return wrong
at = -100
os.chroot("MERGED"); os.chdir("/"); os.umask(0)
try: os.setgroups([])
except PermissionError: pass # an ordinary user keeps them
PYTHON
    cat; } | sed "s|\"MERGED\"|\"$place/merged\"|" | python3 -
}
"#;

fn bytes(text: &Text) -> String {
    let shown: String = text.as_bytes().iter().map(|byte| format!("\\x{byte:02x}")).collect();
    match text.as_bytes().iter().all(|byte| byte.is_ascii_graphic() && !b"'\\".contains(byte)) {
        true => format!("b'{text}'"),
        false => format!("b'{shown}'"),
    }
}

fn file(target: &Target) -> String {
    match target {
        Target::Path(path) => bytes(path),
        Target::Slot(slot) => format!("slots[{slot}]"),
    }
}

fn open_flags(flags: &Flags) -> String {
    let access = match flags.access {
        Access::Read => "os.O_RDONLY",
        Access::Write => "os.O_WRONLY",
        Access::ReadWrite => "os.O_RDWR",
        Access::Neither => "os.O_WRONLY | os.O_RDWR",
    };
    let rest = [
        (flags.create, "os.O_CREAT"),
        (flags.exclusive, "os.O_EXCL"),
        (flags.truncate, "os.O_TRUNC"),
        (flags.append, "os.O_APPEND"),
        (flags.directory, "os.O_DIRECTORY"),
        (flags.no_follow, "os.O_NOFOLLOW"),
        (flags.no_access_time, "os.O_NOATIME"),
        (flags.sync, "os.O_SYNC"),
        (flags.data_sync, "os.O_DSYNC"),
        (flags.direct, "os.O_DIRECT"),
        (flags.path_only, "os.O_PATH"),
    ];
    let rest = rest.iter().filter(|(is, _)| *is).map(|(_, name)| *name);
    std::iter::once(access).chain(rest).collect::<Vec<_>>().join(" | ")
}

fn xattr_flag(before: Before) -> &'static str {
    match before {
        Before::Any => "0",
        Before::Absent => "os.XATTR_CREATE",
        Before::Present => "os.XATTR_REPLACE",
    }
}

/// The operation as a Python expression.
fn python(operation: &Operation) -> String {
    match operation {
        Operation::Open { slot, path, flags, mode } => {
            format!("opened({slot}, {}, {}, 0o{mode:o})", bytes(path), open_flags(flags))
        }
        Operation::OpenUnnamed { slot, path, mode } => {
            format!("opened({slot}, {}, os.O_TMPFILE | os.O_RDWR, 0o{mode:o})", bytes(path))
        }
        Operation::Close { slot } => format!("os.close(slots.pop({slot}))"),
        Operation::Write { slot, offset, fill } => {
            format!("os.pwrite(slots[{slot}], b'{}' * {}, {offset})", fill.letter, fill.length)
        }
        Operation::Read { slot, offset, length } => format!("os.pread(slots[{slot}], {length}, {offset})"),
        Operation::MapWrite { slot, offset, fill } => {
            format!("mapped(slots[{slot}], {offset}, b'{}' * {})", fill.letter, fill.length)
        }
        Operation::CopyRange { from, from_offset, to, to_offset, length } => {
            format!("os.copy_file_range(slots[{from}], slots[{to}], {length}, {from_offset}, {to_offset})")
        }
        Operation::Allocate { slot, how, offset, length } => {
            let how = match how {
                Allocate::Extend => 0,
                Allocate::KeepSize => 1,
                Allocate::Punch => 3,
            };
            let offset = format!("ctypes.c_long({offset}), ctypes.c_long({length})");
            format!("call('fallocate', slots[{slot}], {how}, {offset})")
        }
        Operation::Truncate { target, length } => format!("os.truncate({}, {length})", file(target)),
        Operation::Chmod { target, mode } => format!("os.chmod({}, 0o{mode:o})", file(target)),
        Operation::Chown { target: Target::Path(path), uid, gid } => {
            format!("os.lchown({}, {uid}, {gid})", bytes(path))
        }
        Operation::Chown { target, uid, gid } => format!("os.chown({}, {uid}, {gid})", file(target)),
        Operation::SetTime { target, time } => {
            let time = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds);
            format!("os.utime({}, ns=({time}, {time}))", file(target))
        }
        Operation::SetLinkTime { path, time } => {
            let time = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds);
            format!("os.utime({}, ns=({time}, {time}), follow_symlinks=False)", bytes(path))
        }
        Operation::Touch { target } => format!("os.utime({})", file(target)),
        Operation::SetXattr { target, name, value, before } => {
            format!("os.setxattr({}, {}, {}, {})", file(target), bytes(name), bytes(value), xattr_flag(*before))
        }
        Operation::SetLinkXattr { path, name, value, before } => {
            let arguments = format!("{}, {}, {}, {}", bytes(path), bytes(name), bytes(value), xattr_flag(*before));
            format!("os.setxattr({arguments}, follow_symlinks=False)")
        }
        Operation::SetAcl { target, list, acl } => {
            let (name, value) = (Text::from(list.xattr()), Text(acl.bytes()));
            format!("os.setxattr({}, {}, {})", file(target), bytes(&name), bytes(&value))
        }
        Operation::RemoveXattr { target, name } => format!("os.removexattr({}, {})", file(target), bytes(name)),
        Operation::Mkdir { path, mode } => format!("os.mkdir({}, 0o{mode:o})", bytes(path)),
        Operation::Mknod { path, node, mode } => {
            let (kind, device) = match node {
                Node::Fifo => ("stat.S_IFIFO", (0, 0)),
                Node::Socket => ("stat.S_IFSOCK", (0, 0)),
                Node::Character { major, minor } => ("stat.S_IFCHR", (*major, *minor)),
                Node::Block { major, minor } => ("stat.S_IFBLK", (*major, *minor)),
            };
            format!("os.mknod({}, {kind} | 0o{mode:o}, os.makedev{device:?})", bytes(path))
        }
        Operation::MknodFile { path, mode } => format!("os.mknod({}, stat.S_IFREG | 0o{mode:o})", bytes(path)),
        Operation::Symlink { content, path } => format!("os.symlink({}, {})", bytes(content), bytes(path)),
        Operation::Link { from, to } => format!("os.link({}, {}, follow_symlinks=False)", bytes(from), bytes(to)),
        Operation::LinkSlot { slot, to } => {
            format!("call('linkat', slots[{slot}], b'', at, {}, 0x1000)", bytes(to))
        }
        Operation::Rename { from, to, replace } => {
            let flags = match replace {
                Replace::Yes => 0,
                Replace::No => 1,
                Replace::Exchange => 2,
            };
            format!("call('renameat2', at, {}, at, {}, {flags})", bytes(from), bytes(to))
        }
        Operation::Unlink { path } => format!("os.unlink({})", bytes(path)),
        Operation::Rmdir { path } => format!("os.rmdir({})", bytes(path)),
        Operation::ReadLink { path } => format!("os.readlink({})", bytes(path)),
        Operation::Race { path, letters, mode } => {
            let mode = mode.map_or("None".to_owned(), |mode| format!("0o{mode:o}"));
            format!("race({}, {}, {mode})", bytes(path), bytes(letters))
        }
        Operation::List { path } => format!("sorted(os.listdir({}))", bytes(path)),
        Operation::Remount | Operation::Commit => "None".to_owned(),
    }
}
