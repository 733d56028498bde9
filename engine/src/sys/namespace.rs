//! Namespaces: starting a process in new ones, joining those of another, becoming root of a user namespace of one's own.

use std::fs;
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;

use super::reason::reason;
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{Gid, Pid, Uid, User};

/// Which side of a fork this is.
pub enum Forked {
    /// The process that forked; `child` is the new one's ID as seen from here.
    Parent { child: Pid },
    /// The new process.
    Child,
}

/// Forks into the new namespaces that `flags` name. To be called while the process has one thread.
pub fn fork_into(flags: CloneFlags) -> io::Result<Forked> {
    let flags = libc::c_long::from(flags.bits()) | libc::c_long::from(libc::SIGCHLD);
    // SAFETY: without CLONE_VM and with a null stack, clone(2) is fork(2): the child runs on a copy of this stack. The
    // caller has one thread, so that no lock of the allocator is left held in the child.
    match unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        child => Ok(Forked::Parent { child: Pid::from_raw(child as i32) }),
    }
}

/// Moves the calling thread into the namespaces of process `pid` that `flags` name, all at once.
pub fn join(pid: Pid, flags: CloneFlags) -> io::Result<()> {
    let process = super::process::Process::open(pid)?;
    Ok(setns(process.as_fd(), flags)?)
}

/// Gives the calling thread a mount namespace of its own: what it mounts from now on nobody else sees, and it goes with the
/// thread and those that it starts.
pub fn mount_unseen() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    super::mount::make_private(std::path::Path::new("/"))
}

/// The network namespace of process `pid`, held open: a process born into another PID namespace knows it by no number.
pub fn network_of(pid: Pid) -> io::Result<fs::File> {
    fs::File::open(format!("/proc/{pid}/ns/net"))
}

/// Moves the calling thread into a network namespace that was opened before.
pub fn enter_network(network: &fs::File) -> io::Result<()> {
    Ok(setns(network, CloneFlags::CLONE_NEWNET)?)
}

/// Whether this process lives in a user namespace other than the host's first one.
pub fn is_user_namespace() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().collect::<Vec<_>>() != ["0", "0", "4294967295"]
}

/// Whether this process may change the network it is in: it holds the right to, and in the user namespace that the network
/// namespace belongs to.
pub fn owns_network() -> bool {
    let same = || -> io::Result<bool> {
        let network = fs::File::open("/proc/self/ns/net")?;
        // SAFETY: NS_GET_USERNS takes no argument and gives back a new file descriptor, or -1 (ioctl_nsfs(2)).
        let owner = unsafe { libc::ioctl(network.as_raw_fd(), NS_GET_USERNS) };
        if owner < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else's.
        let owner = unsafe { OwnedFd::from_raw_fd(owner) };
        let (owner, own) = (rustix::fs::fstat(&owner)?, rustix::fs::stat("/proc/self/ns/user")?);
        Ok((owner.st_dev, owner.st_ino) == (own.st_dev, own.st_ino))
    };
    super::capability::may_change_network() && same().unwrap_or(false)
}

/// `_IO(0xb7, 1)` (linux/nsfs.h).
const NS_GET_USERNS: libc::Ioctl = 0xb701;

/// Whether user ID `id` means anything here.
pub fn is_mapped(id: u32) -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.lines().any(|line| {
        let mut numbers = line.split_whitespace().map(|number| number.parse::<u64>().unwrap_or(0));
        let (first, _, count) = (numbers.next().unwrap_or(0), numbers.next(), numbers.next().unwrap_or(0));
        (first..first + count).contains(&u64::from(id))
    })
}

/// Why an ordinary user could not become root of a namespace of their own.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// The kernel or its administrator forbids unprivileged user namespaces.
    #[error(
        "cannot make a user namespace ({0}): run as root, or allow it: sysctl user.max_user_namespaces, \
         kernel.unprivileged_userns_clone=1 (Debian), kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu)"
    )]
    Refused(io::Error),
    /// newuidmap or newgidmap is there but did not do it.
    #[error("{program} refused the range of /etc/subuid and /etc/subgid: {text}")]
    Mapping { program: &'static str, text: String },
    /// The maps could not be written.
    #[error("cannot write the ID map of the new user namespace: {}", reason(.0))]
    Map(io::Error),
}

/// Puts this process into a user and a mount namespace of its own, as root there: with the subordinate IDs that the
/// host grants through newuidmap and newgidmap, else with its own ID alone. To be called with one thread.
pub fn become_root() -> Result<(), NamespaceError> {
    let (uid, gid) = (Uid::effective(), Gid::effective());
    let ranges = subordinate_ranges(uid);
    let (mut ready_in, ready_out) = io::pipe().map_err(NamespaceError::Refused)?;
    let (result_in, mut result_out) = io::pipe().map_err(NamespaceError::Refused)?;
    let me = Pid::this();
    let mapper = match ranges {
        None => None,
        Some(ranges) => match fork_into(CloneFlags::empty()).map_err(NamespaceError::Refused)? {
            Forked::Parent { child } => Some(child),
            Forked::Child => {
                drop(ready_out);
                // End of input means that the parent has its new namespace (or is gone, and the maps will fail).
                let _ = ready_in.read(&mut [0]);
                let text = map_ranges(me, uid, gid, &ranges).err().map(|error| error.to_string()).unwrap_or_default();
                let _ = result_out.write_all(text.as_bytes());
                super::process::exit_now(0);
            }
        },
    };
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)
        .map_err(|errno| NamespaceError::Refused(errno.into()))?;
    drop((ready_in, ready_out, result_out));
    match mapper {
        Some(child) => {
            let mut text = String::new();
            let read = { result_in }.read_to_string(&mut text);
            let _ = nix::sys::wait::waitpid(child, None);
            read.map_err(NamespaceError::Map)?;
            if text.is_empty() { Ok(()) } else { Err(NamespaceError::Mapping { program: "newuidmap", text }) }
        }
        None => map_single(uid, gid).map_err(NamespaceError::Map),
    }
}

/// First IDs and lengths of the subordinate ranges of a user: (uid, gid).
type Ranges = ((u32, u32), (u32, u32));

/// The ranges of `/etc/subuid` and `/etc/subgid`, when the programs that may use them are installed.
fn subordinate_ranges(uid: Uid) -> Option<Ranges> {
    let user = User::from_uid(uid).ok().flatten().map(|user| user.name);
    let range = |file: &str| range_in(&fs::read_to_string(file).ok()?, user.as_deref(), uid);
    let installed = |name: &str| {
        ["/usr/bin", "/bin", "/usr/local/bin"].iter().any(|dir| fs::exists(format!("{dir}/{name}")).unwrap_or(false))
    };
    (installed("newuidmap") && installed("newgidmap")).then_some(())?;
    Some((range("/etc/subuid")?, range("/etc/subgid")?))
}

/// The first range that `text`, a file as subuid(5) describes it, gives to a user; a line that makes no sense gives none.
fn range_in(text: &str, user: Option<&str>, uid: Uid) -> Option<(u32, u32)> {
    text.lines().find_map(|line| {
        let [owner, first, count] = line.split(':').collect::<Vec<_>>()[..] else { return None };
        let (first, count): (u32, u32) = (first.trim().parse().ok()?, count.trim().parse().ok()?);
        let is_mine = Some(owner) == user || owner == uid.to_string();
        // The last ID, 2³² - 1, is nobody's (user_namespaces(7)).
        let makes_sense = first > 0 && count > 0 && first.checked_add(count).is_some();
        (is_mine && makes_sense).then_some((first, count))
    })
}

fn map_ranges(process: Pid, uid: Uid, gid: Gid, ranges: &Ranges) -> io::Result<()> {
    for (program, own, (first, count)) in [("newuidmap", uid.as_raw(), ranges.0), ("newgidmap", gid.as_raw(), ranges.1)]
    {
        let numbers = [process.as_raw() as u32, 0, own, 1, 1, first, count];
        let output = Command::new(program).args(numbers.map(|number| number.to_string())).output()?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
    }
    Ok(())
}

fn map_single(uid: Uid, gid: Gid) -> io::Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))
}

nix::ioctl_write_ptr_bad!(set_interface_flags, libc::SIOCSIFFLAGS, libc::ifreq);
nix::ioctl_write_ptr_bad!(set_interface_address, libc::SIOCSIFADDR, libc::ifreq);

/// Switches the loopback interface of this network namespace on, with `address` as a second address when given.
pub fn loopback_up(address: Option<Ipv4Addr>) -> io::Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    let mut request = interface("lo");
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: `request` is a whole ifreq that outlives the call, and the kernel only reads it.
    unsafe { set_interface_flags(socket.as_raw_fd(), &request) }?;
    if let Some(address) = address {
        let mut request = interface("lo:1");
        let internet = libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: 0,
            sin_addr: libc::in_addr { s_addr: u32::from(address).to_be() },
            sin_zero: [0; 8],
        };
        // SAFETY: sockaddr and sockaddr_in have the same size and the kernel reads the address by its family.
        request.ifr_ifru.ifru_addr = unsafe { std::mem::transmute::<libc::sockaddr_in, libc::sockaddr>(internet) };
        // SAFETY: as above.
        unsafe { set_interface_address(socket.as_raw_fd(), &request) }?;
    }
    Ok(())
}

fn interface(name: &str) -> libc::ifreq {
    // SAFETY: ifreq is plain data for which all zeros is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (slot, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *slot = byte as libc::c_char;
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_mapped_where_anybody_is() {
        assert!(!is_mapped(u32::MAX));
        assert!(is_mapped(Uid::effective().as_raw()));
    }

    /// Checklist: US-02
    #[test]
    fn ranges_of_ids_that_make_no_sense_are_passed_over() {
        let range = |text: &str| range_in(text, Some("ann"), Uid::from_raw(1000));
        assert_eq!(range("bob:1:2\nann:100000:65536\nann:5:6\n"), Some((100_000, 65_536)));
        assert_eq!(range("1000:100000:65536"), Some((100_000, 65_536)));
        let nonsense =
            ["", "ann", "ann:", "ann::", "ann:x:1", "ann:1:x", "ann:-1:5", "ann:9:0", "ann:0:9", "ann:1:2:3", ":1:2"];
        for nonsense in nonsense.into_iter().chain(["ann:4294967295:2"]) {
            assert_eq!(range(nonsense), None, "{nonsense}");
            assert_eq!(range(&format!("{nonsense}\nann:7:8")), Some((7, 8)), "{nonsense}");
        }
    }
}
