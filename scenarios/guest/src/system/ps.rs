//! `ps`, read from /proc.

use crate::account::Names;
use crate::applets::Call;
use crate::clock::Instant;
use crate::os;
use crate::say;
use std::os::unix::fs::MetadataExt as _;

struct Process {
    pid: i32,
    parent: i32,
    uid: u32,
    state: char,
    session: i32,
    group: i32,
    foreground: i32,
    terminal: u64,
    ticks: u64,
    started: u64,
    virtual_bytes: u64,
    resident_kib: u64,
    nice: i64,
    threads: u64,
    name: String,
    command: String,
}

/// One column: heading, value, and whether it is aligned to the right.
type Column = (&'static str, fn(&Process, &Names, &Machine) -> String, bool);

struct Machine {
    boot: i64,
    ticks: u64,
    memory_kib: u64,
}

impl Machine {
    fn read() -> Machine {
        let number = |path: &str, key: &str| {
            std::fs::read_to_string(path).ok().and_then(|text| {
                text.lines()
                    .find_map(|line| line.strip_prefix(key))
                    .and_then(|rest| rest.split_whitespace().next().and_then(|word| word.parse::<i64>().ok()))
            })
        };
        Machine {
            boot: number("/proc/stat", "btime").unwrap_or(0),
            ticks: os::clock_ticks(),
            memory_kib: number("/proc/meminfo", "MemTotal:")
                .and_then(|kib| u64::try_from(kib).ok())
                .unwrap_or(1)
                .max(1),
        }
    }

    fn age(&self, process: &Process) -> i64 {
        Instant::now().seconds - self.start(process)
    }

    fn start(&self, process: &Process) -> i64 {
        self.boot + i64::try_from(process.started / self.ticks).unwrap_or(0)
    }

    fn cpu(&self, process: &Process) -> u64 {
        let age = u64::try_from(self.age(process)).unwrap_or(0).max(1);
        process.ticks * 1000 / self.ticks / age
    }
}

fn read() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let mut all: Vec<Process> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok()))
        .filter_map(one)
        .collect();
    all.sort_by_key(|process| process.pid);
    all
}

fn one(pid: i32) -> Option<Process> {
    let directory = format!("/proc/{pid}");
    let uid = std::fs::metadata(&directory).ok()?.uid();
    let stat = std::fs::read_to_string(format!("{directory}/stat")).ok()?;
    let (open, close) = (stat.find('(')?, stat.rfind(')')?);
    let fields: Vec<&str> = stat[close + 1..].split_whitespace().collect();
    let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    let signed = |at: usize| fields.get(at).and_then(|field| field.parse::<i64>().ok()).unwrap_or(0);
    let small = |at: usize| i32::try_from(signed(at)).unwrap_or(0);
    let name = stat[open + 1..close].to_owned();
    let line = std::fs::read(format!("{directory}/cmdline")).unwrap_or_default();
    let mut words: Vec<String> =
        line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    while words.last().is_some_and(String::is_empty) {
        words.pop();
    }
    let state = fields.first()?.chars().next()?;
    // One that has ended and nobody has waited for.
    let ended = if state == 'Z' { " <defunct>" } else { "" };
    let command = if words.is_empty() { format!("[{name}]{ended}") } else { words.join(" ") };
    Some(Process {
        pid,
        uid,
        state,
        parent: small(1),
        group: small(2),
        session: small(3),
        terminal: number(4),
        foreground: small(5),
        ticks: number(11) + number(12),
        nice: signed(16),
        threads: number(17),
        started: number(19),
        virtual_bytes: number(20),
        resident_kib: number(21) * 4,
        name: format!("{name}{ended}"),
        command,
    })
}

fn terminal(process: &Process) -> String {
    let (major, minor) = (process.terminal >> 8 & 0xfff, process.terminal & 0xff | process.terminal >> 12 & 0xfff00);
    match (process.terminal, major) {
        (0, _) => "?".to_owned(),
        (_, 136..=143) => format!("pts/{}", minor + (major - 136) * 256),
        (_, 4) if minor < 64 => format!("tty{minor}"),
        (_, 4) => format!("ttyS{}", minor - 64),
        _ => "console".to_owned(),
    }
}

fn flags(process: &Process) -> String {
    let mut text = process.state.to_string();
    text.push_str(match process.nice {
        ..0 => "<",
        0 => "",
        _ => "N",
    });
    if process.session == process.pid {
        text.push('s');
    }
    if process.threads > 1 {
        text.push('l');
    }
    if process.terminal != 0 && process.foreground == process.group {
        text.push('+');
    }
    text
}

fn cpu_time(process: &Process, machine: &Machine) -> u64 {
    process.ticks / machine.ticks
}

fn clock(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn started(process: &Process, machine: &Machine) -> String {
    let format = if machine.age(process) < 86_400 { "%H:%M" } else { "%b%d" };
    Instant { seconds: machine.start(process), nanoseconds: 0 }.format(format, false)
}

fn column(name: &str) -> Option<Column> {
    Some(match name {
        "pid" => ("PID", |p, _, _| p.pid.to_string(), true),
        "ppid" => ("PPID", |p, _, _| p.parent.to_string(), true),
        "pgid" | "pgrp" => ("PGID", |p, _, _| p.group.to_string(), true),
        "sid" | "sess" => ("SID", |p, _, _| p.session.to_string(), true),
        "user" | "euser" => ("USER", |p, users, _| users.show(p.uid), false),
        "uid" => ("UID", |p, _, _| p.uid.to_string(), true),
        "tty" | "tt" => ("TT", |p, _, _| terminal(p), false),
        "stat" => ("STAT", |p, _, _| flags(p), false),
        "s" | "state" => ("S", |p, _, _| p.state.to_string(), false),
        "time" => ("TIME", |p, _, m| clock(cpu_time(p, m)), true),
        "etime" => ("ELAPSED", |p, _, m| elapsed(m.age(p)), true),
        "comm" | "ucmd" => ("COMMAND", |p, _, _| p.name.clone(), false),
        "cmd" => ("CMD", |p, _, _| p.command.clone(), false),
        "args" | "command" => ("COMMAND", |p, _, _| p.command.clone(), false),
        "rss" => ("RSS", |p, _, _| p.resident_kib.to_string(), true),
        "vsz" => ("VSZ", |p, _, _| (p.virtual_bytes / 1024).to_string(), true),
        "ni" => ("NI", |p, _, _| p.nice.to_string(), true),
        "nlwp" => ("NLWP", |p, _, _| p.threads.to_string(), true),
        "pcpu" | "%cpu" => ("%CPU", |p, _, m| tenths(m.cpu(p)), true),
        "pmem" | "%mem" => ("%MEM", |p, _, m| tenths(p.resident_kib * 1000 / m.memory_kib), true),
        _ => return None,
    })
}

fn tenths(value: u64) -> String {
    format!("{}.{}", value / 10, value % 10)
}

fn elapsed(seconds: i64) -> String {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    match seconds {
        0..3600 => format!("{:02}:{:02}", seconds / 60, seconds % 60),
        3600..86_400 => clock(seconds),
        _ => format!("{}-{}", seconds / 86_400, clock(seconds % 86_400)),
    }
}

pub fn ps(call: &Call) -> u8 {
    let (mut all, mut full, mut bsd, mut columns, mut wanted) = (false, false, false, Vec::new(), Vec::new());
    let mut args = call.args.iter();
    while let Some(arg) = args.next() {
        if !arg.starts_with('-') {
            bsd |= arg.contains('u');
            all |= arg.contains('x') || arg.contains('a');
            continue;
        }
        for (at, letter) in arg.char_indices().skip(1) {
            let mut value = || match &arg[at + 1..] {
                "" => args.next().cloned().unwrap_or_default(),
                rest => rest.to_owned(),
            };
            match letter {
                'e' | 'A' | 'a' => all = true,
                'f' | 'F' => full = true,
                'o' => {
                    for name in value().split(',') {
                        let (name, title) = name.split_once('=').unwrap_or((name, "\0"));
                        match column(name) {
                            Some(found) => columns.push((found, title.to_owned())),
                            None => {
                                say::complain("error", format!("unknown user-defined format specifier \"{name}\""));
                                return 1;
                            }
                        }
                    }
                    break;
                }
                'p' => {
                    wanted.extend(value().split(',').filter_map(|pid| pid.parse::<i32>().ok()));
                    break;
                }
                'u' => bsd = true,
                'x' | 'w' => {}
                other => {
                    say::complain("error", format!("unsupported option '{other}'"));
                    return 1;
                }
            }
        }
    }
    let mine = one(i32::try_from(std::process::id()).unwrap_or(0));
    let chosen: Vec<Process> = read()
        .into_iter()
        .filter(|process| match (&wanted[..], all, &mine) {
            ([], true, _) => true,
            ([], false, Some(mine)) => process.uid == mine.uid && process.terminal == mine.terminal,
            ([], false, None) => true,
            (pids, ..) => pids.contains(&process.pid),
        })
        .collect();
    let (users, machine) = (Names::users(), Machine::read());
    if !columns.is_empty() {
        custom(&columns, &chosen, &users, &machine);
    } else if bsd {
        say::line("USER         PID %CPU %MEM    VSZ   RSS TTY      STAT START   TIME COMMAND");
        for p in &chosen {
            let seconds = cpu_time(p, &machine);
            say::line(format!(
                "{:<8} {:>7} {:>4} {:>4} {:>6} {:>5} {:<8} {:<4} {:>5} {:>6} {}",
                users.show(p.uid),
                p.pid,
                tenths(machine.cpu(p)),
                tenths(p.resident_kib * 1000 / machine.memory_kib),
                p.virtual_bytes / 1024,
                p.resident_kib,
                terminal(p),
                flags(p),
                started(p, &machine),
                format!("{}:{:02}", seconds / 60, seconds % 60),
                p.command
            ));
        }
    } else if full {
        say::line("UID          PID    PPID  C STIME TTY          TIME CMD");
        for p in &chosen {
            say::line(format!(
                "{:<8} {:>7} {:>7} {:>2} {:<5} {:<8} {} {}",
                users.show(p.uid),
                p.pid,
                p.parent,
                machine.cpu(p) / 10,
                started(p, &machine),
                terminal(p),
                clock(cpu_time(p, &machine)),
                p.command
            ));
        }
    } else {
        say::line("    PID TTY          TIME CMD");
        for p in &chosen {
            say::line(format!("{:>7} {:<8} {} {}", p.pid, terminal(p), clock(cpu_time(p, &machine)), p.name));
        }
    }
    u8::from(chosen.is_empty())
}

fn custom(columns: &[(Column, String)], chosen: &[Process], users: &Names, machine: &Machine) {
    let titles: Vec<&str> =
        columns.iter().map(|((heading, ..), title)| if title == "\0" { heading } else { title.as_str() }).collect();
    let rows: Vec<Vec<String>> = chosen
        .iter()
        .map(|process| columns.iter().map(|((_, value, _), _)| value(process, users, machine)).collect())
        .collect();
    let width = |at: usize| {
        let least = if columns[at].0.2 { 5 } else { 8 };
        rows.iter().map(|row| row[at].len()).max().unwrap_or(0).max(titles[at].len()).max(if titles[at].is_empty() {
            0
        } else {
            least
        })
    };
    let print = |cells: Vec<&str>| {
        let mut line = String::new();
        for (at, cell) in cells.iter().enumerate() {
            let (width, last) = (width(at), at + 1 == cells.len());
            match (columns[at].0.2, last) {
                (true, _) => line.push_str(&format!("{cell:>width$}")),
                (false, true) => line.push_str(cell),
                (false, false) => line.push_str(&format!("{cell:<width$}")),
            }
            line.push_str(if last { "" } else { " " });
        }
        say::line(line);
    };
    if titles.iter().any(|title| !title.is_empty()) {
        print(titles.clone());
    }
    for row in &rows {
        print(row.iter().map(String::as_str).collect());
    }
}
