//! The processes of a container, read from `/proc` and shown as `ps -ef` shows them.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use nix::unistd::{SysconfVar, sysconf};

use super::error::failed;
use super::{Engine, EngineError, processes};
use crate::sys::owners;

/// Titles and rows of a table of processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessTable {
    pub titles: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// The columns of `ps -ef`, by the names that `ps -o` has for them, and their titles.
const FULL: [(&str, &str); 8] = [
    ("user", "UID"),
    ("pid", "PID"),
    ("ppid", "PPID"),
    ("c", "C"),
    ("stime", "STIME"),
    ("tty", "TTY"),
    ("time", "TIME"),
    ("args", "CMD"),
];

/// What `ps -o` may ask for, and the title that it gives.
const COLUMNS: [(&str, &str); 13] = [
    ("pid", "PID"),
    ("ppid", "PPID"),
    ("user", "USER"),
    ("uid", "UID"),
    ("c", "C"),
    ("stime", "STIME"),
    ("tty", "TT"),
    ("tname", "TTY"),
    ("time", "TIME"),
    ("args", "COMMAND"),
    ("cmd", "CMD"),
    ("command", "COMMAND"),
    ("comm", "COMMAND"),
];

/// One process, as `/proc` tells of it.
struct Process {
    pid: i32,
    ppid: i32,
    uid: u32,
    tty: i32,
    cpu_ticks: u64,
    start_ticks: u64,
    name: String,
    arguments: String,
}

/// What the numbers of processes are measured by.
struct Machine {
    ticks_per_second: u64,
    uptime_seconds: u64,
    now: Timestamp,
}

impl Engine {
    /// The processes of a running container, numbered as the engine sees them. `options` are those of `ps`: none, `-ef`, or
    /// `-o` with a list.
    pub fn top(&self, id: &str, options: &[String]) -> Result<ProcessTable, EngineError> {
        let container = self.container(id)?;
        if !container.config.state.running {
            return Err(EngineError::NotRunning(container.id));
        }
        let columns = columns(options)?;
        let uptime = fs::read_to_string("/proc/uptime").map_err(failed("open", Path::new("/proc/uptime")))?;
        let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|ticks| u64::try_from(ticks).ok());
        let machine = Machine {
            ticks_per_second: ticks.unwrap_or(100).max(1),
            uptime_seconds: uptime.split(['.', ' ']).next().and_then(|text| text.parse().ok()).unwrap_or(0),
            now: self.clock.now(),
        };
        // One that ends meanwhile is gone from the list, too.
        let mut processes: Vec<Process> =
            processes::directories(&container)?.iter().filter_map(|process| Process::read(process)).collect();
        processes.sort_by_key(|process| process.pid);
        Ok(ProcessTable {
            titles: columns.iter().map(|(_, title)| (*title).to_owned()).collect(),
            rows: processes
                .iter()
                .map(|process| columns.iter().map(|(column, _)| process.field(column, &machine)).collect())
                .collect(),
        })
    }
}

/// The columns that the options of `ps` ask for.
fn columns(options: &[String]) -> Result<Vec<(&'static str, &'static str)>, EngineError> {
    let words: Vec<&str> = options.iter().map(String::as_str).collect();
    let list = match words[..] {
        [] | ["-ef" | "-fe"] | ["-e", "-f"] => return Ok(FULL.to_vec()),
        ["-o" | "-eo", list] => list,
        [word] if word.starts_with("-o") => &word[2..],
        _ => {
            return Err(EngineError::Top(format!(
                "ps {}: this engine reads /proc by itself and knows -ef and -o with a list",
                words.join(" ")
            )));
        }
    };
    let known = |name: &str| COLUMNS.into_iter().find(|(column, _)| *column == name);
    let columns: Result<Vec<_>, EngineError> = list
        .split(',')
        .map(|name| {
            let names = || COLUMNS.map(|(column, _)| column).join(", ");
            known(name).ok_or_else(|| EngineError::Top(format!("ps -o {name}: not known; there are {}", names())))
        })
        .collect();
    let columns = columns?;
    // dockerd finds the container's processes by this column.
    if !columns.iter().any(|(column, _)| *column == "pid") {
        return Err(EngineError::Top("Couldn't find PID field in ps output".to_owned()));
    }
    Ok(columns)
}

impl Process {
    /// Reads one directory of `/proc` (proc_pid_stat(5)); nothing when the process has gone.
    fn read(directory: &Path) -> Option<Process> {
        use std::os::unix::fs::MetadataExt;
        let pid = directory.file_name()?.to_str()?.parse().ok()?;
        let stat = fs::read_to_string(directory.join("stat")).ok()?;
        // The name stands in parentheses and may hold anything.
        let (name, fields) = stat.split_once('(')?.1.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        // `fields` begins with field 3 of the manual.
        let number = |field: usize| fields.get(field - 3)?.parse::<i64>().ok();
        let arguments = fs::read(directory.join("cmdline")).ok()?;
        let words: Vec<_> = arguments.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        let arguments = words.join(" ").trim_end().to_owned();
        Some(Process {
            pid,
            ppid: number(4)?.try_into().ok()?,
            uid: fs::metadata(directory).ok()?.uid(),
            tty: number(7)?.try_into().ok()?,
            cpu_ticks: (number(14)? + number(15)?).unsigned_abs(),
            start_ticks: number(22)?.unsigned_abs(),
            arguments: if arguments.is_empty() { format!("[{name}]") } else { arguments },
            name: name.to_owned(),
        })
    }

    fn field(&self, column: &str, machine: &Machine) -> String {
        let age_seconds = machine.uptime_seconds.saturating_sub(self.start_ticks / machine.ticks_per_second);
        let cpu_seconds = self.cpu_ticks / machine.ticks_per_second;
        match column {
            "pid" => self.pid.to_string(),
            "ppid" => self.ppid.to_string(),
            "uid" => self.uid.to_string(),
            "user" => user_name(self.uid),
            "c" => (self.cpu_ticks * 100 / machine.ticks_per_second / age_seconds.max(1)).min(99).to_string(),
            "stime" => start(machine.now, age_seconds),
            "tty" | "tname" => terminal(self.tty),
            "time" => {
                format!("{:02}:{:02}:{:02}", cpu_seconds / 3600, cpu_seconds / 60 % 60, cpu_seconds % 60)
            }
            "comm" => self.name.clone(),
            _ => self.arguments.clone(),
        }
    }
}

/// The user's name as `ps` writes it: eight characters at most, the last of a longer one `+`; else the number.
fn user_name(uid: u32) -> String {
    match owners::user_name(uid) {
        Some(name) if name.chars().count() > 8 => name.chars().take(7).chain(['+']).collect(),
        Some(name) => name,
        None => uid.to_string(),
    }
}

/// When a process started: the time of today, the day of this year, or the year.
fn start(now: Timestamp, age_seconds: u64) -> String {
    let zone = TimeZone::system();
    let started = Timestamp::from_second(now.as_second() - age_seconds.cast_signed()).unwrap_or(now);
    let (now, started) = (now.to_zoned(zone.clone()), started.to_zoned(zone));
    let form = match started {
        _ if started.date() == now.date() => "%H:%M",
        _ if started.year() == now.year() => "%b%d",
        _ => "%Y",
    };
    started.strftime(form).to_string()
}

/// The name of a terminal by its device number (proc_pid_stat(5), `tty_nr`); 136 to 143 are pseudo terminals.
fn terminal(number: i32) -> String {
    let (major, minor) = ((number >> 8) & 0xfff, (number & 0xff) | ((number >> 12) & 0xf_ff00));
    match major {
        136..=143 => format!("pts/{}", minor + (major - 136) * 256),
        4 if minor < 64 => format!("tty{minor}"),
        _ => "?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_and_columns_are_called_as_ps_calls_them() {
        assert_eq!((terminal(0), terminal(0x8803), terminal(0x0401)), ("?".into(), "pts/3".into(), "tty1".into()));
        assert_eq!(columns(&[]).unwrap().len(), 8);
        assert_eq!(columns(&["-o".into(), "pid,cmd".into()]).unwrap(), [("pid", "PID"), ("cmd", "CMD")]);
        assert!(columns(&["-o".into(), "cmd".into()]).unwrap_err().to_string().contains("PID field"));
        assert!(columns(&["aux".into()]).unwrap_err().to_string().contains("ps aux"));
    }

    #[test]
    fn this_process_is_read_with_its_arguments() {
        let read = Process::read(&Path::new("/proc").join(std::process::id().to_string())).unwrap();
        assert_eq!(read.pid.unsigned_abs(), std::process::id());
        assert!(!read.arguments.is_empty() && read.ppid > 0);
    }
}
