//! The last steps of a process inside a container: who it is, where it stands, what it may do, and the program itself.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid};
use rustix::thread::CapabilitySet;

use crate::sys::reason::reason;
use crate::sys::root::Root;
use crate::sys::{capability, namespace, process};

/// The largest number of a user or group (the kernel's own limit is higher; this is libcontainer's).
const ID_MAX: u32 = i32::MAX.unsigned_abs();

/// What is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Name or path, and arguments.
    pub command: Vec<String>,
    /// `NAME=value` each; `HOME` is added when it is missing.
    pub environment: Vec<String>,
    /// An absolute path inside the container; empty for `/`.
    pub directory: String,
    /// `user`, `uid`, `user:group` or `uid:gid`; empty for root.
    pub user: String,
}

/// Why a program could not be started, in the words of Docker and runc.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// No such program, or not one that can be run.
    #[error("exec: \"{name}\": {reason}")]
    Exec { name: String, reason: String, exit_code: i32 },
    /// A user or group that the container's files do not know.
    #[error("unable to find {kind} {name}: no matching entries in {file} file")]
    Unknown { kind: &'static str, name: String, file: &'static str },
    /// A number that no user or group may have.
    #[error("uids and gids must be in range 0-{ID_MAX}")]
    Range,
    /// A user without a number in this user namespace.
    #[error("user {uid} is not mapped here: install uidmap and get a range in /etc/subuid and /etc/subgid")]
    Unmapped { uid: u32 },
    /// The working directory is not there or is none.
    #[error("chdir to cwd (\"{path}\") set in config.json failed: {}", reason(source))]
    Directory { path: String, source: io::Error },
    /// Another step failed.
    #[error("{step}: {}", reason(source))]
    Step { step: &'static str, source: io::Error },
}

impl ProgramError {
    /// The exit code that `docker run` gives: 127 not found, 126 not executable, 125 else (chroot(1), env(1)).
    pub fn exit_code(&self) -> i32 {
        match self {
            ProgramError::Exec { exit_code, .. } => *exit_code,
            ProgramError::Directory { .. } => 126,
            _ => 125,
        }
    }
}

fn step(step: &'static str) -> impl FnOnce(io::Error) -> ProgramError {
    move |source| ProgramError::Step { step, source }
}

/// Turns this process, already in the container's namespaces and root directory, into the program.
pub fn become_program(program: &Program) -> ProgramError {
    match prepare(program) {
        Err(error) => error,
        Ok((path, arguments, environment)) => {
            let error = process::exec(&path, &arguments, &environment);
            let (reason, exit_code) = match error.raw_os_error() {
                Some(libc::ENOENT) => ("no such file or directory", 127),
                Some(libc::EACCES) => ("permission denied", 126),
                Some(libc::ENOEXEC) => ("exec format error", 126),
                _ => return ProgramError::Step { step: "exec", source: error },
            };
            ProgramError::Exec { name: program.command[0].clone(), reason: reason.to_owned(), exit_code }
        }
    }
}

type Exec = (CString, Vec<CString>, Vec<CString>);

fn prepare(program: &Program) -> Result<Exec, ProgramError> {
    let identity = Identity::find(&program.user)?;
    let mut environment = program.environment.clone();
    if !environment.iter().any(|entry| entry.starts_with("HOME=")) {
        environment.push(format!("HOME={}", identity.home));
    }
    let directory = if program.directory.is_empty() { "/" } else { &program.directory };
    std::env::set_current_dir(directory)
        .map_err(|source| ProgramError::Directory { path: directory.to_owned(), source })?;
    capability::bound_to(capability::CONTAINER_DEFAULT).map_err(step("drop capabilities"))?;
    let is_bound = process::dies_with_parent();
    identity.assume()?;
    if is_bound {
        // The kernel forgets with the old credentials whom this process must not outlive.
        process::die_with_parent(None).map_err(step("die with the parent"))?;
    }
    let path = find(&program.command[0], &environment)?;
    process::reset_signals().map_err(step("reset signals"))?;
    process::keep_files_from_children().map_err(step("close files"))?;
    let text =
        |text: &String| CString::new(text.as_bytes()).map_err(|_| step("exec")(io::ErrorKind::InvalidInput.into()));
    let arguments = program.command.iter().map(text).collect::<Result<_, _>>()?;
    let environment = environment.iter().map(text).collect::<Result<_, _>>()?;
    let path =
        CString::new(path.as_os_str().as_bytes()).map_err(|_| step("exec")(io::ErrorKind::InvalidInput.into()))?;
    Ok((path, arguments, environment))
}

/// Looks `name` up as a shell would, along the PATH of the environment.
fn find(name: &str, environment: &[String]) -> Result<PathBuf, ProgramError> {
    let refused =
        |reason: &str, exit_code| ProgramError::Exec { name: name.to_owned(), reason: reason.to_owned(), exit_code };
    if name.contains('/') {
        return match Path::new(name).metadata() {
            Err(_) => Err(refused(&format!("stat {name}: no such file or directory"), 127)),
            Ok(meta) if meta.is_file() && meta.permissions().mode() & 0o111 != 0 => Ok(PathBuf::from(name)),
            Ok(_) => Err(refused("permission denied", 126)),
        };
    }
    let path = environment.iter().rev().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or_default();
    let mut forbidden = false;
    for directory in path.split(':') {
        let candidate = Path::new(if directory.is_empty() { "." } else { directory }).join(name);
        match candidate.metadata() {
            Ok(meta) if meta.is_file() && meta.permissions().mode() & 0o111 != 0 => return Ok(candidate),
            Ok(meta) if meta.is_file() => forbidden = true,
            _ => {}
        }
    }
    Err(if forbidden { refused("permission denied", 126) } else { refused("executable file not found in $PATH", 127) })
}

/// The user that a program runs as.
struct Identity {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
    home: String,
}

impl Identity {
    /// Looks `user` up in the container's own `/etc/passwd` and `/etc/group`; numbers need no entry.
    fn find(user: &str) -> Result<Identity, ProgramError> {
        let (user, group) = user.split_once(':').map_or((user, None), |(user, group)| (user, Some(group)));
        let user = if user.is_empty() { "0" } else { user };
        let passwd = table("/etc/passwd", "read /etc/passwd", user)?;
        let entry = passwd.iter().find(|fields| fields[0] == user || fields.get(2).is_some_and(|uid| uid == user));
        let number = |text: &str| text.parse::<u32>().ok();
        let field = |index: usize| entry.and_then(|fields| fields.get(index)).map(String::as_str);
        let uid = match field(2).and_then(number) {
            Some(uid) => uid,
            None => in_range(user)?.ok_or_else(|| unknown("user", user, "passwd"))?,
        };
        let group_table = table("/etc/group", "read /etc/group", group.unwrap_or("0"))?;
        let gid = match group {
            None => field(3).and_then(number).unwrap_or(0),
            Some(group) => {
                let found =
                    group_table.iter().find(|fields| fields[0] == group).and_then(|fields| number(fields.get(2)?));
                match found {
                    Some(gid) => gid,
                    None => in_range(group)?.ok_or_else(|| unknown("group", group, "group"))?,
                }
            }
        };
        let name = field(0).unwrap_or_default().to_owned();
        let member = |fields: &Vec<String>| {
            !name.is_empty() && fields.get(3).is_some_and(|members| members.split(',').any(|member| member == name))
        };
        let mut groups: Vec<u32> =
            group_table.iter().filter(|fields| member(fields)).filter_map(|fields| number(fields.get(2)?)).collect();
        groups.insert(0, gid);
        Ok(Identity { uid, gid, groups, home: field(5).filter(|home| !home.is_empty()).unwrap_or("/").to_owned() })
    }

    fn assume(&self) -> Result<(), ProgramError> {
        let groups: Vec<Gid> = self.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
        // A namespace with a single ID forbids setgroups; then there is nobody to shed either.
        match nix::unistd::setgroups(&groups) {
            Ok(()) | Err(nix::errno::Errno::EPERM) => {}
            Err(errno) => return Err(step("setgroups")(errno.into())),
        }
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        if !namespace::is_mapped(self.uid) {
            return Err(ProgramError::Unmapped { uid: self.uid });
        }
        nix::unistd::setresgid(gid, gid, gid).map_err(|errno| step("setgid")(errno.into()))?;
        nix::unistd::setresuid(uid, uid, uid).map_err(|errno| step("setuid")(errno.into()))?;
        let kept = if self.uid == 0 { capability::CONTAINER_DEFAULT } else { CapabilitySet::empty() };
        capability::set_to(kept).map_err(step("drop capabilities"))
    }
}

fn unknown(kind: &'static str, name: &str, file: &'static str) -> ProgramError {
    ProgramError::Unknown { kind, name: name.to_owned(), file }
}

/// The number that `text` is; nothing when it is a name.
fn in_range(text: &str) -> Result<Option<u32>, ProgramError> {
    let Ok(number) = text.parse::<i64>() else { return Ok(None) };
    let number = u32::try_from(number).ok().filter(|number| *number <= ID_MAX);
    number.map(Some).ok_or(ProgramError::Range)
}

/// The lines of a colon-separated file in which `wanted` is looked up; a missing file has none. One that cannot be read has
/// none either for a number, which needs no entry.
fn table(path: &str, reading: &'static str, wanted: &str) -> Result<Vec<Vec<String>>, ProgramError> {
    let text = match Root::open(Path::new("/")).and_then(|root| root.read(Path::new(path))) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound || wanted.parse::<u32>().is_ok() => Vec::new(),
        Err(error) => return Err(step(reading)(error)),
    };
    let lines = String::from_utf8_lossy(&text).into_owned();
    Ok(lines.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_along_the_programs_own_path() {
        let path = ["PATH=/nowhere:/bin".to_owned()];
        assert_eq!(find("sh", &path).unwrap(), Path::new("/bin/sh"));
        let missing = find("nosuchcmd", &path).unwrap_err();
        assert_eq!(missing.to_string(), "exec: \"nosuchcmd\": executable file not found in $PATH");
        assert_eq!(missing.exit_code(), 127);
        for not_a_program in ["/etc/passwd", "/etc"] {
            let refused = find(not_a_program, &path).unwrap_err();
            assert_eq!(refused.to_string(), format!("exec: {not_a_program:?}: permission denied"));
            assert_eq!(refused.exit_code(), 126);
        }
    }

    #[test]
    fn numbers_need_no_entry_and_names_do() {
        let identity = Identity::find("12345:54321").unwrap();
        assert_eq!((identity.uid, identity.gid, identity.home.as_str()), (12345, 54321, "/"));
        assert_eq!(identity.groups, [54321], "groups without members are nobody's");
        let unknown = Identity::find("nosuchuser").map(|_| ()).unwrap_err();
        assert_eq!(unknown.to_string(), "unable to find user nosuchuser: no matching entries in passwd file");
        for beyond in ["-1", "2147483648", "0:-1", "99999999999"] {
            let refused = Identity::find(beyond).map(|_| ()).unwrap_err();
            assert_eq!(refused.to_string(), "uids and gids must be in range 0-2147483647");
        }
    }

    #[test]
    fn a_table_that_nobody_can_read_to_its_end_is_refused_to_a_name_and_empty_for_a_number() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("passwd");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [path.to_str().unwrap(), "/dev/zero"] {
            let refused = table(path, "read it", "joe").unwrap_err();
            assert_eq!(refused.to_string(), "read it: not a regular file");
            assert!(table(path, "read it", "7").unwrap().is_empty());
        }
    }
}
