//! `id`, `whoami`, `hostname`, `uname`, `date` and `env`.

use crate::account::Names;
use crate::applets::Call;
use crate::clock::{self, Instant};
use crate::options::Accepts;
use crate::say;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

pub fn id(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "id",
        short: "gGnru",
        long: &[("user", 'u'), ("group", 'g'), ("groups", 'G'), ("name", 'n'), ("real", 'r')],
        misuse: 1,
    };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let (users, groups) = (Names::users(), Names::groups());
    let real = options.has('r');
    let uid = if real { rustix::process::getuid() } else { rustix::process::geteuid() }.as_raw();
    let gid = if real { rustix::process::getgid() } else { rustix::process::getegid() }.as_raw();
    let mut all = vec![gid];
    all.extend(rustix::process::getgroups().unwrap_or_default().iter().map(|group| group.as_raw()));
    let mut seen = std::collections::HashSet::new();
    all.retain(|group| seen.insert(*group));
    let show = |names: &Names, id: u32| if options.has('n') { names.show(id) } else { id.to_string() };
    match options.last_of("ugG") {
        Some('u') => say::line(show(&users, uid)),
        Some('g') => say::line(show(&groups, gid)),
        Some(_) => say::line(all.iter().map(|group| show(&groups, *group)).collect::<Vec<_>>().join(" ")),
        None => {
            let named = |names: &Names, id: u32| match names.name(id) {
                Some(name) => format!("{id}({name})"),
                None => id.to_string(),
            };
            let listed: Vec<String> = all.iter().map(|group| named(&groups, *group)).collect();
            say::line(format!("uid={} gid={} groups={}", named(&users, uid), named(&groups, gid), listed.join(",")));
        }
    }
    0
}

pub fn whoami(_call: &Call) -> u8 {
    let uid = rustix::process::geteuid().as_raw();
    match Names::users().name(uid) {
        Some(name) => {
            say::line(name);
            0
        }
        None => {
            say::complain("whoami", format!("cannot find name for user ID {uid}"));
            1
        }
    }
}

pub fn hostname(call: &Call) -> u8 {
    let uname = rustix::system::uname();
    let name = uname.nodename().to_string_lossy();
    match call.args.first().map(String::as_str) {
        None | Some("-f") => say::line(name),
        Some("-s") => say::line(name.split('.').next().unwrap_or_default()),
        Some("-i" | "-I") => match crate::net::own_address() {
            Some(address) => say::line(address),
            None => say::line("127.0.0.1"),
        },
        Some(new) => {
            if let Err(error) = rustix::system::sethostname(new.as_bytes()) {
                say::complain(
                    "hostname",
                    format!("you must be root to change the host name: {}", say::reason(&error.into())),
                );
                return 1;
            }
        }
    }
    0
}

pub fn uname(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "uname",
        short: "asnrvmpio",
        long: &[("all", 'a'), ("kernel-name", 's'), ("nodename", 'n'), ("kernel-release", 'r'), ("machine", 'm')],
        misuse: 1,
    };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let found = rustix::system::uname();
    let fields = [
        ('s', found.sysname().to_string_lossy()),
        ('n', found.nodename().to_string_lossy()),
        ('r', found.release().to_string_lossy()),
        ('v', found.version().to_string_lossy()),
        ('m', found.machine().to_string_lossy()),
        ('o', "GNU/Linux".into()),
    ];
    let none = !"asnrvmpio".chars().any(|letter| options.has(letter));
    let shown: Vec<String> = fields
        .iter()
        .filter(|(letter, _)| options.has('a') || options.has(*letter) || (none && *letter == 's'))
        .map(|(_, value)| value.to_string())
        .collect();
    say::line(shown.join(" "));
    0
}

pub fn date(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "date",
        short: "d:I::r:Rs:u",
        long: &[("date", 'd'), ("utc", 'u'), ("reference", 'r'), ("iso-8601", 'I'), ("rfc-email", 'R')],
        misuse: 1,
    };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let utc = options.has('u');
    let time = match (options.value('d'), options.value('r')) {
        (Some(text), _) => match clock::parse(text, utc) {
            Some(time) => time,
            None => {
                say::complain("date", format!("invalid date '{text}'"));
                return 1;
            }
        },
        (None, Some(path)) => match std::fs::metadata(path).and_then(|found| found.modified()) {
            Ok(time) => Instant::from_system(time),
            Err(error) => {
                say::complain("date", format!("{path}: {}", say::reason(&error)));
                return 1;
            }
        },
        (None, None) => Instant::now(),
    };
    let format = match (options.operands.first(), options.has('I'), options.has('R')) {
        (Some(operand), ..) => match operand.strip_prefix('+') {
            Some(format) => format.to_owned(),
            None => {
                say::complain("date", format!("invalid date '{operand}'"));
                return 1;
            }
        },
        (None, true, _) => match options.value('I') {
            Some("seconds" | "s") => "%Y-%m-%dT%H:%M:%S%:z".to_owned(),
            Some("ns") => "%Y-%m-%dT%H:%M:%S,%N%:z".to_owned(),
            _ => "%Y-%m-%d".to_owned(),
        },
        (None, false, true) => "%a, %d %b %Y %H:%M:%S %z".to_owned(),
        (None, false, false) => "%a %b %e %H:%M:%S %Z %Y".to_owned(),
    };
    let text = time.format(&format, utc);
    say::line(if utc { text.replace("GMT", "UTC") } else { text });
    0
}

pub fn env(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "env",
        short: "+iu:C:0",
        long: &[("ignore-environment", 'i'), ("unset", 'u'), ("chdir", 'C'), ("null", '0')],
        misuse: 125,
    };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let mut variables: Vec<(String, String)> = if options.has('i') {
        Vec::new()
    } else {
        std::env::vars_os().map(|(k, v)| (k.to_string_lossy().into_owned(), v.to_string_lossy().into_owned())).collect()
    };
    variables.retain(|(name, _)| !options.values('u').any(|unset| unset == name));
    let mut rest = options.operands.as_slice();
    while let Some((name, value)) = rest.first().and_then(|word| word.split_once('=')) {
        variables.retain(|(known, _)| known != name);
        variables.push((name.to_owned(), value.to_owned()));
        rest = &rest[1..];
    }
    let Some((program, args)) = rest.split_first() else {
        for (name, value) in variables {
            say::text(format!("{name}={value}{}", if options.has('0') { '\0' } else { '\n' }));
        }
        return 0;
    };
    let mut command = Command::new(program);
    command.args(args).env_clear().envs(variables);
    if let Some(directory) = options.value('C') {
        command.current_dir(directory);
    }
    cannot_run("env", program, &command.exec())
}

/// Reports a failed exec and gives the shell's status for it.
pub fn cannot_run(name: &str, program: &str, error: &std::io::Error) -> u8 {
    say::complain(name, format!("'{program}': {}", say::reason(error)));
    if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 }
}
