//! What of the machine is still there when nobody has the turn: processes, network interfaces, control groups, loop devices.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::disk::compared;
use super::table::Fault;

/// How long what ends after its engine may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The bridge that dockerd leaves on every machine.
const DOCKERS_BRIDGE: &str = "docker0";

/// What there was when nobody had had a turn.
#[derive(Debug, Default)]
pub struct Before {
    found: [BTreeSet<String>; 4],
}

impl Before {
    pub fn look() -> Before {
        Before { found: all() }
    }

    /// What has come since and is still there.
    pub fn left_over(&self) -> Vec<Fault> {
        let begun = Instant::now();
        loop {
            let new: Vec<BTreeSet<String>> =
                all().iter().zip(&self.found).map(|(now, before)| now.difference(before).cloned().collect()).collect();
            if new.iter().all(BTreeSet::is_empty) || begun.elapsed() > PATIENCE {
                let names = ["processes", "network interfaces", "control groups of containers", "loop devices"];
                let faults = names.iter().zip(&new).filter_map(|(what, new)| compared(what, &BTreeSet::new(), new));
                return faults.collect();
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// Whoever was killed leaves the control groups of its containers, which are there now, for good: runc has written down where they are only when
    /// the container is made, and so cannot remove one that it was killed over (runc 1.1, delete.go: "if there was an aborted start").
    pub fn forgives_control_groups(&mut self) {
        self.found[2].extend(control_groups());
    }

    /// The numbers of the processes that have come since.
    pub fn new_processes(&self) -> Vec<i32> {
        let now = processes();
        let new = now.difference(&self.found[0]);
        new.filter_map(|process| process.split(' ').next()?.parse().ok()).collect()
    }
}

fn all() -> [BTreeSet<String>; 4] {
    [processes(), interfaces(), control_groups(), loop_devices()]
}

/// `PID NAME` of each that has not ended.
fn processes() -> BTreeSet<String> {
    let living = |pid: String| {
        // proc_pid_stat(5): `PID (NAME) STATE …`
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        (!rest.starts_with(" Z")).then(|| format!("{pid} {name}"))
    };
    names("/proc").into_iter().filter(|name| name.parse::<u32>().is_ok()).filter_map(living).collect()
}

fn interfaces() -> BTreeSet<String> {
    let table = fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let all = table.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()));
    all.filter(|name| name != DOCKERS_BRIDGE).collect()
}

/// Those that are called after a container; the ones above them stay.
fn control_groups() -> BTreeSet<String> {
    let is_id = |name: &str| name.len() >= 64 && name.split(['-', '.']).any(|part| part.len() == 64);
    let entries = walkdir::WalkDir::new("/sys/fs/cgroup").into_iter().flatten();
    let groups = entries.filter(|entry| entry.file_type().is_dir() && is_id(&entry.file_name().to_string_lossy()));
    groups.map(|entry| entry.path().display().to_string()).collect()
}

/// Those on a file below the data root: others are other labs'.
fn loop_devices() -> BTreeSet<String> {
    let backing =
        |name: &String| fs::read_to_string(format!("/sys/block/{name}/loop/backing_file")).unwrap_or_default();
    names("/sys/block").into_iter().filter(|name| backing(name).starts_with(crate::lab::machine::DATA_ROOT)).collect()
}

fn names(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(Path::new(directory)).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_has_come_is_noticed_until_it_has_ended() {
        let before = Before::look();
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = child.id().cast_signed();
        assert!(before.new_processes().contains(&pid));
        child.kill().unwrap();
        // A dead one that nobody asked after is none.
        while before.new_processes().contains(&pid) {
            sleep(Duration::from_millis(1));
        }
        child.wait().unwrap();
    }
}
