//! Whom the lab's user and group IDs stand for on the host when the lab has a user namespace of its own.

use std::fs;
use std::io;
use std::process::Command;

/// A mapping that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    #[error("cannot write {path}: {source}")]
    Write { path: String, source: io::Error },
    #[error("cannot run {program}: {source}")]
    Run { program: &'static str, source: io::Error },
    #[error("{program} refused the ranges of /etc/subuid and /etc/subgid: {message}")]
    Refused { program: &'static str, message: String },
}

/// How many IDs a lab of one's own user namespace has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserMap {
    /// 0 to 65535: started by root, who may map anything.
    Whole,
    /// 0 is the caller, 1 and up are the caller's subordinate IDs: `(first, count)` for users and for groups.
    Subordinate { users: (u32, u32), groups: (u32, u32) },
    /// Only 0, which is the caller; `chown` to anybody else fails.
    Single,
}

/// Whether the caller is root, and of no user namespace but the first.
pub fn is_root_of_the_machine() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    nix::unistd::geteuid().is_root() && map.split_whitespace().eq(["0", "0", "4294967295"])
}

impl UserMap {
    /// The widest map this host grants the caller.
    pub fn best() -> UserMap {
        if nix::unistd::geteuid().is_root() {
            return UserMap::Whole;
        }
        let uid = nix::unistd::getuid().as_raw();
        let name = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten().map(|user| user.name);
        let range = |path, id| {
            let text = fs::read_to_string(path).unwrap_or_default();
            subordinate_range(&text, name.as_deref(), id)
        };
        let tools = on_path("newuidmap") && on_path("newgidmap");
        match (range("/etc/subuid", uid), range("/etc/subgid", uid)) {
            (Some(users), Some(groups)) if tools => UserMap::Subordinate { users, groups },
            _ => UserMap::Single,
        }
    }

    /// Whether setgroups(2) works inside.
    pub fn allows_groups(self) -> bool {
        self != UserMap::Single
    }

    /// Writes the maps of the waiting process `pid`, whose user namespace is new.
    pub fn write(self, pid: i32) -> Result<(), MapError> {
        let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
        match self {
            UserMap::Whole => {
                put(pid, "uid_map", "0 0 65536\n")?;
                put(pid, "gid_map", "0 0 65536\n")
            }
            UserMap::Single => {
                put(pid, "setgroups", "deny")?;
                put(pid, "uid_map", &format!("0 {uid} 1\n"))?;
                put(pid, "gid_map", &format!("0 {gid} 1\n"))
            }
            UserMap::Subordinate { users, groups } => {
                call("newuidmap", pid, uid.as_raw(), users)?;
                call("newgidmap", pid, gid.as_raw(), groups)
            }
        }
    }
}

fn put(pid: i32, file: &str, text: &str) -> Result<(), MapError> {
    let path = format!("/proc/{pid}/{file}");
    fs::write(&path, text).map_err(|source| MapError::Write { path, source })
}

fn call(program: &'static str, pid: i32, own: u32, (first, count): (u32, u32)) -> Result<(), MapError> {
    let numbers = [pid.to_string(), "0".into(), own.to_string(), "1".into()];
    let range = ["1".to_owned(), first.to_string(), count.min(65535).to_string()];
    let output =
        Command::new(program).args(numbers).args(range).output().map_err(|source| MapError::Run { program, source })?;
    if output.status.success() {
        return Ok(());
    }
    Err(MapError::Refused { program, message: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
}

/// The first range of `name` or `id` in a file of lines `owner:first:count` (subuid(5)); a range shorter than 65535
/// is of no use, because an image's `nobody` would be missing.
fn subordinate_range(text: &str, name: Option<&str>, id: u32) -> Option<(u32, u32)> {
    text.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        let (first, count) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        (count >= 65535 && (Some(owner) == name || owner == id.to_string())).then_some((first, count))
    })
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_found_by_name_or_by_number() {
        let text = "daemon:1:2\nann:100000:65536\n1007:300000:65536\n";
        assert_eq!(subordinate_range(text, Some("ann"), 1000), Some((100_000, 65536)));
        assert_eq!(subordinate_range(text, Some("bob"), 1007), Some((300_000, 65536)));
    }

    #[test]
    fn a_range_without_room_for_nobody_is_passed_over() {
        assert_eq!(subordinate_range("ann:100000:1000\n", Some("ann"), 1000), None);
        assert_eq!(subordinate_range("", Some("ann"), 1000), None);
    }
}
