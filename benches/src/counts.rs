//! What processes cost beside time: bytes read and written, system calls, calls that wait for the disk, memory. Counted by the kernel, not guessed.
//!
//! *Source*: proc_pid_io(5), getrusage(2), perf_event_open(2) by way of `perf stat`. *Holds*: what a daemon and the processes that it starts
//! do meanwhile is counted with the client's. What leaves the command's family (a container's monitor, conmon, a shim) is in the system
//! calls and not in the bytes; bytes that come from a socket by recv(2), as our downloads do, are in no figure of bytes.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::task::succeed;

/// What a task did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// By read(2) and its like, whether or not a disk was asked.
    pub read_bytes: u64,
    /// By write(2) and its like.
    pub written_bytes: u64,
    /// The greatest resident set of the greatest process.
    pub peak_bytes: u64,
    /// None: `perf` is not here or may not count.
    pub syscalls: Option<u64>,
    /// fsync, fdatasync, sync, syncfs, sync_file_range and msync.
    pub syncs: Option<u64>,
}

const ALL_CALLS: &str = "raw_syscalls:sys_enter";
const SYNCS: [&str; 6] = ["fsync", "fdatasync", "sync", "syncfs", "sync_file_range", "msync"];

/// Runs `commands` one after the other, and counts what they and `daemons` read, write and occupy; what they wrote to their output.
pub fn bytes(commands: Vec<Command>, daemons: &[u32]) -> anyhow::Result<(String, Counts)> {
    let daemons = with_descendants(daemons);
    for daemon in &daemons {
        // One that has ended meanwhile has nothing to be forgotten.
        let _ = fs::write(format!("/proc/{daemon}/clear_refs"), "5");
    }
    let before: Vec<(u32, Io)> =
        daemons.iter().filter_map(|daemon| Some((*daemon, io(&daemon.to_string())?))).collect();
    let mut said = String::new();
    let mut counts = Counts::default();
    for command in commands {
        let file = tempfile::NamedTempFile::new()?;
        let mut words = vec![file.path().as_os_str().to_owned(), command.get_program().to_owned()];
        words.extend(command.get_args().map(OsStr::to_owned));
        said += &succeed(like(&command, &std::env::current_exe()?, [HELPER.into()].into_iter().chain(words)))?;
        let of_one: Counts = serde_json::from_str(&fs::read_to_string(file.path())?).context("nothing was counted")?;
        counts.read_bytes += of_one.read_bytes;
        counts.written_bytes += of_one.written_bytes;
        counts.peak_bytes = counts.peak_bytes.max(of_one.peak_bytes);
    }
    for (daemon, before) in before {
        if let Some(now) = io(&daemon.to_string()) {
            counts.read_bytes += now.read_bytes.saturating_sub(before.read_bytes);
            counts.written_bytes += now.written_bytes.saturating_sub(before.written_bytes);
        }
        counts.peak_bytes = counts.peak_bytes.max(peak(daemon).unwrap_or_default());
    }
    Ok((said, counts))
}

/// The word by which this program counts another one's doings: `FILE PROGRAM [ARGUMENT…]`. A process takes over the peak of the one that
/// it comes of, so that it has to be a small one.
pub const HELPER: &str = "counted";

/// Runs a command, and writes into the file what it and those that it waited for did; its status.
pub fn helper(words: &[OsString]) -> anyhow::Result<ExitStatus> {
    let [file, program, arguments @ ..] = words else { bail!("{HELPER} FILE PROGRAM [ARGUMENT…]") };
    let before = own_io()?;
    let child = Command::new(program).args(arguments).spawn();
    let child = child.with_context(|| format!("cannot run {}", program.display()))?;
    let (status, peak_bytes) = wait(child)?;
    let after = own_io()?;
    // Whoever waits takes over what the child did. The first look itself was a read, too.
    let read_bytes = after.read_bytes - before.read_bytes - before.text_bytes;
    let written_bytes = after.written_bytes - before.written_bytes;
    let counts = Counts { read_bytes, written_bytes, peak_bytes, ..Counts::default() };
    fs::write(file, serde_json::to_string(&counts)?)?;
    Ok(status)
}

/// `program` with these words, and all else as `command` has it.
fn like(command: &Command, program: &Path, words: impl IntoIterator<Item = OsString>) -> Command {
    let mut other = Command::new(program);
    other.args(words);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        other.current_dir(directory);
    }
    other
}

/// What /proc/PID/io says.
struct Io {
    read_bytes: u64,
    written_bytes: u64,
    /// The length of what it said.
    text_bytes: u64,
}

/// Of this process and those children that it has waited for.
fn own_io() -> anyhow::Result<Io> {
    io("self").context("/proc/self/io tells nothing: the kernel was built without CONFIG_TASK_IO_ACCOUNTING")
}

/// Of a process and those children that it has waited for. None: it has ended, or is not ours to look at.
fn io(process: &str) -> Option<Io> {
    let text = fs::read_to_string(Path::new("/proc").join(process).join("io")).ok()?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    Some(Io { read_bytes: field("rchar:")?, written_bytes: field("wchar:")?, text_bytes: text.len() as u64 })
}

/// Its greatest resident set since it was told to forget it.
fn peak(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? << 10)
}

/// Waits: its status, and the greatest resident set of it and of those it has waited for.
fn wait(child: Child) -> io::Result<(ExitStatus, u64)> {
    let mut status = 0;
    // SAFETY: rusage is plain data, for which zero bytes are a valid value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers outlive the call; the child is ours and nobody else waits for it.
    let waited = unsafe { libc::wait4(child.id().cast_signed(), &raw mut status, 0, &raw mut usage) };
    if waited < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((ExitStatus::from_raw(status), usage.ru_maxrss.unsigned_abs() << 10))
}

/// The daemons and everything that they have started.
fn with_descendants(daemons: &[u32]) -> BTreeSet<u32> {
    let mut found: BTreeSet<u32> = daemons.iter().copied().collect();
    let mut todo = daemons.to_vec();
    while let Some(pid) = todo.pop() {
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for task in tasks.flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            let new = children.split_whitespace().filter_map(|pid| pid.parse().ok());
            todo.extend(new.filter(|pid| found.insert(*pid)));
        }
    }
    found
}

/// Runs `commands` one after the other, and counts their system calls and those of `daemons`: all of them, and those that wait for a disk.
/// None: no `perf` that may count is here.
pub fn syscalls(commands: Vec<Command>, daemons: &[u32]) -> anyhow::Result<(String, Option<(u64, u64)>)> {
    let mut said = String::new();
    let mut total = Some((0, 0));
    let directory = tempfile::tempdir()?;
    let (of_daemons, of_command) = (directory.path().join("daemons"), directory.path().join("command"));
    let listeners = with_descendants(daemons);
    let mut listening = match listeners.is_empty() {
        true => None,
        false => {
            let pids: Vec<String> = listeners.iter().map(u32::to_string).collect();
            Command::new("perf")
                .args(perf_words(&of_daemons))
                .args(["-p", &pids.join(",")])
                .stdin(Stdio::null())
                .spawn()
                .ok()
        }
    };
    if listening.is_some() {
        // It says nowhere that it has begun to count.
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    for command in commands {
        let words = perf_words(&of_command).into_iter().chain(["--".into(), command.get_program().to_owned()]);
        let mut counted = like(&command, Path::new("perf"), words.chain(command.get_args().map(OsStr::to_owned)));
        match counted.stdin(Stdio::null()).output() {
            Ok(output) if output.status.success() => said += &String::from_utf8_lossy(&output.stdout),
            // Without perf the work is done all the same, since it has to be for what comes next.
            Ok(output) if of_command.exists() => {
                bail!("{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim())
            }
            _ => {
                said += &succeed(command)?;
                total = None;
                continue;
            }
        }
        total = add(total, read(&of_command));
        fs::remove_file(&of_command)?;
    }
    if let Some(mut perf) = listening.take() {
        kill(Pid::from_raw(perf.id().cast_signed()), Signal::SIGINT)?;
        perf.wait()?;
        total = add(total, read(&of_daemons));
    }
    Ok((said, total))
}

fn perf_words(out: &Path) -> Vec<OsString> {
    let mut words: Vec<OsString> = ["stat", "-x,", "-o"].map(OsString::from).to_vec();
    words.push(out.into());
    let events = [ALL_CALLS.to_owned()].into_iter().chain(SYNCS.map(|name| format!("syscalls:sys_enter_{name}")));
    words.extend(events.flat_map(|event| ["-e".into(), event.into()]));
    words
}

fn add(total: Option<(u64, u64)>, more: Option<(u64, u64)>) -> Option<(u64, u64)> {
    total.zip(more).map(|((calls, syncs), (more_calls, more_syncs))| (calls + more_calls, syncs + more_syncs))
}

/// Of lines like `29,,raw_syscalls:sys_enter,…` (perf-stat(1), CSV FORMAT).
fn read(path: &Path) -> Option<(u64, u64)> {
    let text = fs::read_to_string(path).ok()?;
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>()).filter(|fields| fields.len() > 2);
    let calls = lines.find(|fields| fields[2] == ALL_CALLS)?[0].parse().ok()?;
    let syncs: Option<Vec<u64>> = lines.map(|fields| fields[0].parse().ok()).collect();
    Some((calls, syncs?.iter().sum()))
}
