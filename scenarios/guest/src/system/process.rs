//! `true`, `false`, `sleep`, `kill`, `xargs`, `which` and `timeout`.

use super::identity::cannot_run;
use crate::applets::Call;
use crate::clock::parse_duration;
use crate::options::{Accepts, missing_operand};
use crate::os;
use crate::say;
use rustix::fs::{Access, access};
use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

pub fn yes(_call: &Call) -> u8 {
    0
}

pub fn no(_call: &Call) -> u8 {
    1
}

pub fn sleep(call: &Call) -> u8 {
    if call.args.is_empty() {
        return missing_operand("sleep");
    }
    let mut total = Duration::ZERO;
    for text in call.args {
        match parse_duration(text) {
            Some(duration) => total += duration,
            None => {
                say::complain("sleep", format!("invalid time interval '{text}'"));
                error_line!("Try 'sleep --help' for more information.");
                return 1;
            }
        }
    }
    std::thread::sleep(total);
    0
}

pub fn kill(call: &Call) -> u8 {
    let mut signal = libc::SIGTERM;
    let mut rest = call.args;
    match rest.first().map(String::as_str) {
        Some("-l") => {
            match rest.get(1) {
                None => say::line(os::SIGNALS[1..].join(" ")),
                Some(name) => match os::signal_number(name) {
                    Some(number) if name.parse::<i32>().is_ok() => {
                        say::line(usize::try_from(number).ok().and_then(|at| os::SIGNALS.get(at)).unwrap_or(&"?"));
                    }
                    Some(number) => say::line(number),
                    None => return 1,
                },
            }
            return 0;
        }
        Some(first) if first.len() > 1 && first.starts_with('-') => {
            let name = if first == "-s" { rest.get(1).map(String::as_str).unwrap_or_default() } else { &first[1..] };
            match os::signal_number(name) {
                Some(number) => signal = number,
                None => {
                    say::complain("kill", format!("{name}: invalid signal specification"));
                    return 1;
                }
            }
            rest = &rest[if first == "-s" { 2.min(rest.len()) } else { 1 }..];
        }
        _ => {}
    }
    if rest.is_empty() {
        return missing_operand("kill");
    }
    let mut status = 0;
    for target in rest {
        match target.parse() {
            Err(_) => {
                say::complain("kill", format!("{target}: arguments must be process or job IDs"));
                status = 1;
            }
            Ok(pid) => {
                if let Err(error) = os::kill(pid, signal) {
                    say::complain("kill", format!("({pid}) - {}", say::reason(&error)));
                    status = 1;
                }
            }
        }
    }
    status
}

pub fn xargs(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "xargs",
        short: "+0a:d:I:n:L:P:rt",
        long: &[("null", '0'), ("max-args", 'n'), ("no-run-if-empty", 'r'), ("replace", 'I'), ("delimiter", 'd')],
        misuse: 1,
    };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let mut input = Vec::new();
    if let Err(error) = std::io::stdin().read_to_end(&mut input) {
        say::complain("xargs", say::reason(&error));
        return 1;
    }
    let text = String::from_utf8_lossy(&input).into_owned();
    let delimiter = match (options.has('0'), options.value('d')) {
        (true, _) => Some('\0'),
        (false, Some(text)) => crate::text::print::escapes(text).0.chars().next(),
        (false, None) => options.has('I').then_some('\n'),
    };
    let words: Vec<String> = match delimiter {
        Some(delimiter) => {
            text.split(delimiter).map(str::trim_start).filter(|word| !word.is_empty()).map(str::to_owned).collect()
        }
        None => match words(&text) {
            Ok(words) => words,
            Err(quote) => {
                say::complain(
                    "xargs",
                    format!(
                        "unmatched {quote} quote; by default quotes are special to xargs unless you use the -0 option"
                    ),
                );
                return 1;
            }
        },
    };
    let mut command: Vec<String> = options.operands.clone();
    if command.is_empty() {
        command.push("echo".to_owned());
    }
    let size = options.value('n').or(options.value('L')).and_then(|text| text.parse().ok()).unwrap_or(1000usize).max(1);
    let calls: Vec<Vec<String>> = match options.value('I') {
        Some(mark) => words.iter().map(|word| command.iter().map(|part| part.replace(mark, word)).collect()).collect(),
        None if words.is_empty() && !options.has('r') => vec![command],
        None => words.chunks(size).map(|chunk| command.iter().chain(chunk).cloned().collect()).collect(),
    };
    let mut status = 0;
    for call in calls {
        if options.has('t') {
            error_line!("{}", call.join(" "));
        }
        match Command::new(&call[0]).args(&call[1..]).status() {
            Ok(done) if done.success() => {}
            Ok(done) if done.code() == Some(255) => {
                say::complain("xargs", format!("{}: exited with status 255; aborting", call[0]));
                return 124;
            }
            Ok(_) => status = 123,
            Err(error) => {
                say::complain("xargs", format!("{}: {}", call[0], say::reason(&error)));
                return if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 };
            }
        }
    }
    status
}

/// Blank-separated words with quotes and backslashes.
fn words(text: &str) -> Result<Vec<String>, &'static str> {
    let (mut words, mut word, mut started) = (Vec::new(), String::new(), false);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' | '"' => {
                started = true;
                loop {
                    match chars.next() {
                        Some(inner) if inner == c => break,
                        Some('\n') | None => return Err(if c == '"' { "double" } else { "single" }),
                        Some(inner) => word.push(inner),
                    }
                }
            }
            '\\' => {
                started = true;
                word.extend(chars.next());
            }
            c if c.is_whitespace() => {
                if std::mem::take(&mut started) {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => {
                started = true;
                word.push(c);
            }
        }
    }
    if started {
        words.push(word);
    }
    Ok(words)
}

pub fn which(call: &Call) -> u8 {
    let all = call.args.iter().any(|arg| arg == "-a");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut status = 0;
    for name in call.args.iter().filter(|arg| !arg.starts_with('-')) {
        let candidates: Vec<String> = if name.contains('/') {
            vec![name.clone()]
        } else {
            path.split(':').map(|directory| format!("{directory}/{name}")).collect()
        };
        let mut found = candidates
            .iter()
            .filter(|candidate| Path::new(candidate).is_file() && access(candidate.as_str(), Access::EXEC_OK).is_ok())
            .peekable();
        if found.peek().is_none() {
            status = 1;
        }
        found.take(if all { usize::MAX } else { 1 }).for_each(say::line);
    }
    status
}

pub fn timeout(call: &Call) -> u8 {
    let accepts =
        Accepts { name: "timeout", short: "+s:k:v", long: &[("signal", 's'), ("kill-after", 'k')], misuse: 125 };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let [limit, program, args @ ..] = options.operands.as_slice() else { return missing_operand("timeout").max(125) };
    let Some(limit) = parse_duration(limit) else {
        say::complain("timeout", format!("invalid time interval '{limit}'"));
        return 125;
    };
    let signal = options.value('s').and_then(os::signal_number).unwrap_or(libc::SIGTERM);
    let mut child = match Command::new(program).args(args).spawn() {
        Ok(child) => child,
        Err(error) => return cannot_run("timeout", program, &error),
    };
    let pid = i32::try_from(child.id()).unwrap_or(i32::MAX);
    let start = Instant::now();
    let mut timed_out = false;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => {
                use std::os::unix::process::ExitStatusExt as _;
                let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
                return if timed_out { 124 } else { u8::try_from(code).unwrap_or(u8::MAX) };
            }
            Ok(None) => {}
            Err(_) => return 125,
        }
        if start.elapsed() >= limit && !timed_out {
            timed_out = true;
            let _ = os::kill(pid, signal);
        }
        if let Some(extra) = options.value('k').and_then(parse_duration)
            && timed_out
            && start.elapsed() >= limit + extra
        {
            let _ = os::kill(pid, libc::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
