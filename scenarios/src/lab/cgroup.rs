//! Control groups of a lab in which a real dockerd runs: made before the lab starts, removed when it has ended.
//!
//! Control groups are the one thing the kernel does not take away with the namespaces. A janitor, a process outside the
//! lab, therefore waits until everything that holds its pipe is dead, and removes them; no signal sent to the lab or to
//! its outer process reaches it. Each is also named after the process that made it (`layerlab-lab.<pid>.<start time>`),
//! and every later lab removes those whose maker is dead and in which nothing runs any more.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, pipe2};

use super::root::RootPlan;
use super::sandbox::detach;

const PREFIX: &str = "layerlab-lab.";
const MOUNT_POINT: &str = "/sys/fs/cgroup";
const REMOVAL_PATIENCE: Duration = Duration::from_secs(10);

/// Control groups that could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    #[error("no control group file system is mounted on this host, and dockerd does not start without one")]
    None,
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot make the control group {path}: {source}")]
    Make { path: PathBuf, source: io::Error },
    #[error("cannot start the process that removes the lab's control groups: {source}")]
    Janitor { source: io::Error },
    #[error("cannot remove the control group {path}: {source}; remove it with rmdir once it is empty")]
    Remove { path: PathBuf, source: io::Error },
}

/// One mounted hierarchy of the host: version 1 with its controllers, or version 2 with none named.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    mount_point: PathBuf,
    controllers: Vec<String>,
    version2: bool,
}

/// The control groups of one lab, one in each hierarchy; once this is dropped or forgotten by every process that has it,
/// and every one of them has ended, they are removed.
#[derive(Debug)]
pub struct LabCgroup {
    name: String,
    hierarchies: Vec<Hierarchy>,
    janitor: Option<Janitor>,
}

/// The process that cleans up, and the pipe on whose end it waits.
#[derive(Debug)]
struct Janitor {
    process: Pid,
    held: OwnedFd,
}

impl LabCgroup {
    /// Sweeps what dead labs left and makes a control group named after the calling process in every hierarchy.
    pub fn make() -> Result<LabCgroup, CgroupError> {
        let hierarchies = hierarchies(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default());
        if hierarchies.is_empty() {
            return Err(CgroupError::None);
        }
        sweep(&hierarchies);
        let pid = std::process::id();
        let name = format!("{PREFIX}{pid}.{}", start_time(pid).unwrap_or_default());
        let mut cgroup = LabCgroup { name, hierarchies, janitor: None };
        cgroup.janitor = Some(cgroup.employ_janitor()?);
        for hierarchy in &cgroup.hierarchies {
            cgroup.make_in(hierarchy)?;
        }
        Ok(cgroup)
    }

    fn make_in(&self, hierarchy: &Hierarchy) -> Result<(), CgroupError> {
        let path = hierarchy.mount_point.join(&self.name);
        fs::create_dir(&path).map_err(|source| CgroupError::Make { path: path.clone(), source })?;
        if hierarchy.controllers.iter().any(|controller| controller == "cpuset") {
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let value = fs::read_to_string(hierarchy.mount_point.join(file)).unwrap_or_default();
                write(&path.join(file), value.trim())?;
            }
        }
        Ok(())
    }

    /// Moves the process `pid` into the groups.
    pub fn take_in(&self, pid: i32) -> Result<(), CgroupError> {
        for hierarchy in &self.hierarchies {
            write(&hierarchy.mount_point.join(&self.name).join("cgroup.procs"), &pid.to_string())?;
        }
        Ok(())
    }

    /// The file systems that show these groups, and no others, below /sys/fs/cgroup. To be raised in a control group
    /// namespace whose root they are.
    pub fn plan(&self) -> RootPlan {
        let mut plan = RootPlan::default();
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        if let [Hierarchy { version2: true, .. }] = self.hierarchies.as_slice() {
            plan.mount("cgroup2", MOUNT_POINT, flags, "");
            return plan;
        }
        plan.mount("tmpfs", MOUNT_POINT, flags, "mode=755");
        for hierarchy in &self.hierarchies {
            let name = hierarchy.mount_point.file_name().unwrap_or_default();
            plan.mount("cgroup", Path::new(MOUNT_POINT).join(name), flags, &hierarchy.controllers.join(","));
        }
        plan
    }

    /// Shows these groups, and no others, to the caller below /sys/fs/cgroup: one with mounts of its own, and in a control group namespace
    /// whose root they are. Where one is refused, what was there shows as before.
    pub fn cover(&self) -> Result<(), CgroupError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| CgroupError::Make { path, source }
        };
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let mounted = |kind: &str, at: &Path, options: &str| {
            mount(Some(kind), at, Some(kind), flags, Some(options)).map_err(io::Error::from).map_err(failed(at))
        };
        let root = Path::new(MOUNT_POINT);
        if let [Hierarchy { version2: true, .. }] = self.hierarchies.as_slice() {
            return mounted("cgroup2", root, "");
        }
        mounted("tmpfs", root, "mode=755")?;
        let covered = self.hierarchies.iter().try_for_each(|hierarchy| {
            let at = root.join(hierarchy.mount_point.file_name().unwrap_or_default());
            fs::create_dir(&at).map_err(failed(&at))?;
            mounted("cgroup", &at, &hierarchy.controllers.join(","))
        });
        if covered.is_err() {
            umount2(root, MntFlags::MNT_DETACH).map_err(io::Error::from).map_err(failed(root))?;
        }
        covered
    }

    fn employ_janitor(&self) -> Result<Janitor, CgroupError> {
        let failed = |errno: nix::Error| CgroupError::Janitor { source: errno.into() };
        let (end, held) = pipe2(OFlag::O_CLOEXEC).map_err(failed)?;
        // SAFETY: the child makes system calls, reads a pipe and ends without running anything of the parent's.
        match unsafe { fork() }.map_err(failed)? {
            ForkResult::Parent { child } => Ok(Janitor { process: child, held }),
            ForkResult::Child => {
                drop(held);
                detach();
                let _end_of_all_holders = File::from(end).read_to_end(&mut Vec::new());
                let removed = self.remove_patiently();
                // SAFETY: _exit(2) has no preconditions.
                unsafe { libc::_exit(i32::from(!removed)) }
            }
        }
    }

    /// A process that was killed is in its group for a moment longer.
    fn remove_patiently(&self) -> bool {
        let deadline = Instant::now() + REMOVAL_PATIENCE;
        while self.remove().is_err() {
            if Instant::now() > deadline {
                return false;
            }
            sleep(Duration::from_millis(5));
        }
        true
    }

    fn remove(&self) -> Result<(), CgroupError> {
        self.hierarchies.iter().try_for_each(|hierarchy| remove_tree(&hierarchy.mount_point.join(&self.name)))
    }
}

impl Drop for LabCgroup {
    fn drop(&mut self) {
        let Some(Janitor { process, held }) = self.janitor.take() else { return };
        drop(held);
        let cleaned = matches!(waitpid(process, None), Ok(WaitStatus::Exited(_, 0)));
        if !cleaned && let Err(error) = self.remove() {
            eprintln!("layerlab-lab: {error}");
        }
    }
}

/// Inside: moves the caller out of the root group of a version 2 namespace and hands its controllers to children, since
/// a group with processes of its own may not have groups with controllers (cgroups(7), "no internal processes").
pub fn make_room_for_children() -> Result<(), CgroupError> {
    let root = Path::new(MOUNT_POINT);
    let Ok(controllers) = fs::read_to_string(root.join("cgroup.controllers")) else { return Ok(()) };
    let own = root.join("lab");
    fs::create_dir(&own).map_err(|source| CgroupError::Make { path: own.clone(), source })?;
    write(&own.join("cgroup.procs"), "0")?;
    for controller in controllers.split_whitespace() {
        write(&root.join("cgroup.subtree_control"), &format!("+{controller}"))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), CgroupError> {
    fs::write(path, text).map_err(|source| CgroupError::Write { path: path.to_owned(), source })
}

/// The hierarchies in a mountinfo file (proc_pid_mountinfo(5)): those of version 1, or else the one of version 2.
fn hierarchies(mountinfo: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = mountinfo.lines().filter_map(hierarchy).collect();
    found.sort_by(|a, b| a.mount_point.cmp(&b.mount_point));
    found.dedup_by(|a, b| a.controllers == b.controllers && a.version2 == b.version2);
    if found.iter().any(|hierarchy| !hierarchy.version2) {
        found.retain(|hierarchy| !hierarchy.version2);
    }
    found
}

fn hierarchy(line: &str) -> Option<Hierarchy> {
    const NO_CONTROLLERS: [&str; 6] = ["rw", "ro", "xattr", "clone_children", "noprefix", "cpuset_v2_mode"];
    let (front, back) = line.split_once(" - ")?;
    let mount_point = PathBuf::from(front.split(' ').nth(4)?);
    let mut back = back.split(' ');
    let (kind, options) = (back.next()?, back.nth(1)?);
    match kind {
        "cgroup2" => Some(Hierarchy { mount_point, controllers: Vec::new(), version2: true }),
        "cgroup" => {
            let named = options.split(',').filter(|name| !NO_CONTROLLERS.contains(name));
            let controllers = named.filter(|name| !name.starts_with("release_agent=")).map(str::to_owned).collect();
            Some(Hierarchy { mount_point, controllers, version2: false })
        }
        _ => None,
    }
}

fn sweep(hierarchies: &[Hierarchy]) {
    for hierarchy in hierarchies {
        let entries = fs::read_dir(&hierarchy.mount_point).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            if name.to_str().and_then(|name| name.strip_prefix(PREFIX)).is_some_and(maker_is_dead) {
                // One that is still populated belongs to a kept lab, and the kernel refuses.
                let _populated = remove_tree(&entry.path());
            }
        }
    }
}

fn maker_is_dead(maker: &str) -> bool {
    let Some((pid, start)) = maker.split_once('.') else { return false };
    pid.parse().is_ok_and(|pid| start_time(pid).is_none_or(|now| now != start))
}

/// When a process started, in clock ticks since boot (field 22 of proc_pid_stat(5)).
fn start_time(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(19).map(str::to_owned)
}

/// Removes a group and those below it, the deepest first.
fn remove_tree(path: &Path) -> Result<(), CgroupError> {
    let Ok(entries) = fs::read_dir(path) else { return Ok(()) };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(path).map_err(|source| CgroupError::Remove { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_wins_over_an_empty_version_2_beside_it() {
        let mountinfo = "30 25 0:26 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
                         31 25 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
                         32 25 0:28 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
        let found = hierarchies(mountinfo);
        let names: Vec<String> = found.iter().map(|hierarchy| hierarchy.controllers.join(",")).collect();
        assert_eq!(names, ["cpu,cpuacct", "name=systemd"]);
    }

    #[test]
    fn a_host_with_version_2_only_has_one_hierarchy() {
        let found = hierarchies("30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
        assert!(matches!(found.as_slice(), [Hierarchy { version2: true, .. }]), "{found:?}");
    }

    #[test]
    fn a_living_maker_is_recognised_by_its_start_time() {
        let pid = std::process::id();
        assert!(!maker_is_dead(&format!("{pid}.{}", start_time(pid).unwrap())));
        assert!(maker_is_dead(&format!("{pid}.1")));
    }
}
