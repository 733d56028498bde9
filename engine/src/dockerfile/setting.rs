//! Instructions that change an image's settings, and how.

use std::collections::BTreeMap;

use super::duration;
use super::parse::Command;
use super::words;
use crate::image::RunConfig;
use crate::image::config::{Empty, Healthcheck};

/// One change of settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    Cmd(Command),
    /// A command that says nothing clears it.
    Entrypoint(Command),
    Env(Vec<(String, String)>),
    Label(Vec<(String, String)>),
    Expose(Vec<String>),
    Volume(Vec<String>),
    User(String),
    WorkDir(String),
    StopSignal(String),
    Shell(Vec<String>),
    OnBuild(String),
    HealthCheck(Healthcheck),
}

/// What came of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The instruction as the image's history tells it.
    pub comment: String,
    /// What the one who builds should know.
    pub note: Option<String>,
}

impl Setting {
    /// Applies the change to `config`. `lookup` knows variables; `cmd_is_set`: a CMD of the same stage came before.
    pub fn apply(
        &self,
        config: &mut RunConfig,
        escape: char,
        lookup: &dyn Fn(&str) -> Option<String>,
        cmd_is_set: &mut bool,
    ) -> Result<Applied, String> {
        let expand = |word: &str| words::expand(word, escape, lookup);
        let mut note = None;
        let comment = match self {
            Setting::Cmd(command) => {
                let cmd = command.line(config);
                *cmd_is_set |= !command.is_empty();
                let comment = format!("CMD {}", quoted(&cmd));
                config.cmd = Some(cmd);
                comment
            }
            Setting::Entrypoint(command) => {
                let entrypoint = (!command.is_empty()).then(|| command.line(config));
                if !*cmd_is_set {
                    config.cmd = None;
                }
                let comment = format!("ENTRYPOINT {}", quoted(entrypoint.as_deref().unwrap_or_default()));
                config.entrypoint = entrypoint;
                comment
            }
            Setting::Env(pairs) => {
                let mut comment = "ENV".to_owned();
                for (name, value) in pairs {
                    let entry = format!("{}={}", expand(name)?, expand(value)?);
                    comment.push_str(&format!(" {entry}"));
                    set_variable(config.env.get_or_insert_default(), entry);
                }
                comment
            }
            Setting::Label(pairs) => {
                let mut comment = "LABEL".to_owned();
                for (name, value) in pairs {
                    let (name, value) = (expand(name)?, expand(value)?);
                    comment.push_str(&format!(" {name}={value}"));
                    config.labels.get_or_insert_default().insert(name, value);
                }
                comment
            }
            Setting::Expose(ports) => {
                let mut all = Vec::new();
                for port in ports {
                    all.extend(words::expand_to_words(port, escape, lookup)?);
                }
                for port in &all {
                    for port in exposed(port)? {
                        config.exposed_ports.insert(port, Empty {});
                    }
                }
                format!("EXPOSE {}", all.join(" "))
            }
            Setting::Volume(paths) => {
                let paths = paths.iter().map(|path| expand(path)).collect::<Result<Vec<_>, _>>()?;
                let comment = format!("VOLUME [{}]", paths.join(" "));
                let volumes = config.volumes.get_or_insert_with(BTreeMap::new);
                volumes.extend(paths.into_iter().map(|path| (path, Empty {})));
                comment
            }
            Setting::User(user) => {
                config.user = expand(user)?;
                format!("USER {}", config.user)
            }
            Setting::WorkDir(path) => {
                config.working_dir = working_directory(&config.working_dir, &expand(path)?)?;
                format!("WORKDIR {}", config.working_dir)
            }
            Setting::StopSignal(signal) => {
                let signal = expand(signal)?;
                if !is_signal(&signal) {
                    return Err(format!("Invalid signal: {signal}"));
                }
                config.stop_signal = signal;
                format!("STOPSIGNAL {}", config.stop_signal)
            }
            Setting::Shell(shell) => {
                config.shell = Some(shell.clone());
                format!("SHELL [{}]", shell.join(" "))
            }
            Setting::OnBuild(trigger) => {
                config.on_build.get_or_insert_default().push(trigger.clone());
                format!("ONBUILD {trigger}")
            }
            Setting::HealthCheck(check) => {
                let before = config.healthcheck.as_ref().map(|before| &before.test).filter(|test| !test.is_empty());
                if let Some(test) = before.filter(|test| test[0] != "NONE") {
                    note = Some(format!("Note: overriding previous HEALTHCHECK: [{}]", test.join(" ")));
                }
                // dockerd tells what was written, and keeps what was inherited where nothing is written.
                let inherited = config.healthcheck.take().unwrap_or_default();
                let or = |written: i64, inherited: i64| if written == 0 { inherited } else { written };
                config.healthcheck = Some(Healthcheck {
                    interval: or(check.interval, inherited.interval),
                    timeout: or(check.timeout, inherited.timeout),
                    start_period: or(check.start_period, inherited.start_period),
                    retries: or(check.retries, inherited.retries),
                    ..check.clone()
                });
                format!("HEALTHCHECK {}", shown(check))
            }
        };
        Ok(Applied { comment, note })
    }
}

impl Command {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        match self {
            Command::Exec(words) => words.is_empty(),
            Command::Shell(line) => line.is_empty(),
        }
    }

    /// The words that are run: as they are, or through the shell of `config`.
    pub fn line(&self, config: &RunConfig) -> Vec<String> {
        match self {
            Command::Exec(words) => words.clone(),
            Command::Shell(line) => {
                let line = (!line.is_empty()).then(|| line.clone());
                shell_of(config).into_iter().chain(line).collect()
            }
        }
    }
}

/// The shell that runs what is not a list.
pub fn shell_of(config: &RunConfig) -> Vec<String> {
    match &config.shell {
        Some(shell) if !shell.is_empty() => shell.clone(),
        _ => vec!["/bin/sh".to_owned(), "-c".to_owned()],
    }
}

/// Sets `NAME=value` where the name stands already, or else at the end.
pub fn set_variable(env: &mut Vec<String>, entry: String) {
    let name = entry.split('=').next().unwrap_or_default();
    match env.iter_mut().find(|other| other.split('=').next() == Some(name)) {
        Some(other) => *other = entry,
        None => env.push(entry),
    }
}

/// `wanted` below `before`, cleaned.
pub fn working_directory(before: &str, wanted: &str) -> Result<String, String> {
    if wanted.is_empty() {
        return Err("cannot normalize nothing".to_owned());
    }
    let whole = if wanted.starts_with('/') { wanted.to_owned() } else { format!("/{before}/{wanted}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            other => parts.push(other),
        }
    }
    Ok(format!("/{}", parts.join("/")))
}

/// A health check out of its command and the values of `--interval`, `--timeout`, `--start-period` and `--retries`.
pub(super) fn healthcheck(test: Option<Command>, flags: &[Option<String>; 4]) -> Result<Healthcheck, String> {
    let test = match test {
        None if flags.iter().any(Option::is_some) => {
            return Err("HEALTHCHECK NONE takes no arguments".to_owned());
        }
        None => return Ok(Healthcheck { test: vec!["NONE".to_owned()], ..Healthcheck::default() }),
        Some(Command::Exec(words)) => std::iter::once("CMD".to_owned()).chain(words).collect(),
        Some(Command::Shell(line)) if line.is_empty() => return Err("Missing command after HEALTHCHECK CMD".to_owned()),
        Some(Command::Shell(line)) => vec!["CMD-SHELL".to_owned(), line],
    };
    let time = |name: &str, text: &Option<String>| {
        let Some(text) = text else { return Ok(0) };
        match duration::parse(text)? {
            0 => Ok(0),
            short if short < 1_000_000 => Err(format!("Interval {name:?} cannot be less than 1ms")),
            fine => Ok(fine),
        }
    };
    let retries = match &flags[3] {
        None => 0,
        Some(text) => {
            let number: i64 =
                text.parse().map_err(|_| format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))?;
            if number < 1 {
                return Err(format!("--retries must be at least 1 (not {number})"));
            }
            number
        }
    };
    Ok(Healthcheck {
        test,
        interval: time("interval", &flags[0])?,
        timeout: time("timeout", &flags[1])?,
        start_period: time("start-period", &flags[2])?,
        retries,
        ..Healthcheck::default()
    })
}

/// A list as Go's `%q` shows it.
fn quoted(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    format!("[{}]", words.join(" "))
}

/// A health check as Go's `%q` shows one: the number of retries as a character.
fn shown(check: &Healthcheck) -> String {
    let times = [check.interval, check.timeout, check.start_period].map(|time| format!("{:?}", duration::show(time)));
    let retries = match u32::try_from(check.retries).ok().and_then(char::from_u32) {
        Some(character @ ('\t' | '\n' | '\r' | '\'' | '\\')) => format!("'{}'", character.escape_default()),
        Some('\u{7}') => r"'\a'".to_owned(),
        Some('\u{8}') => r"'\b'".to_owned(),
        Some('\u{b}') => r"'\v'".to_owned(),
        Some('\u{c}') => r"'\f'".to_owned(),
        Some(control) if control < ' ' => format!("'\\x{:02x}'", u32::from(control)),
        Some(character) => format!("'{character}'"),
        None => "'\u{fffd}'".to_owned(),
    };
    format!("&{{{} {} {retries}}}", quoted(&check.test), times.join(" "))
}

/// `80`, `53/udp`, `8000-8002`, and the container's side of `8080:80`, as `port/protocol` each.
fn exposed(spec: &str) -> Result<Vec<String>, String> {
    let (numbers, protocol) = spec.split_once('/').unwrap_or((spec, "tcp"));
    let numbers = numbers.rsplit(':').next().unwrap_or_default();
    let protocol = protocol.to_ascii_lowercase();
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    let number = |text: &str| text.parse::<u16>().map_err(|_| format!("Invalid containerPort: {numbers}"));
    let (first, last) = (number(first)?, number(last)?);
    if last < first {
        return Err(format!("Invalid containerPort: {numbers}"));
    }
    if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
        return Err(format!("Invalid proto: {protocol}"));
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

fn is_signal(signal: &str) -> bool {
    if let Ok(number) = signal.parse::<i32>() {
        return number > 0;
    }
    let name = signal.to_ascii_uppercase();
    let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
    name.parse::<nix::sys::signal::Signal>().is_ok() || name.starts_with("SIGRTM")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dockerfile::{Instruction, parse_one};

    fn changed(lines: &[&str]) -> (RunConfig, Vec<String>) {
        let mut config = RunConfig { env: Some(vec!["PATH=/bin".to_owned()]), ..RunConfig::default() };
        let mut cmd_is_set = false;
        let mut comments = Vec::new();
        for line in lines {
            let Instruction::Setting(setting) = parse_one(line).unwrap().instruction else { panic!("{line}") };
            let env = config.env.clone().unwrap_or_default();
            let lookup = move |name: &str| {
                env.iter().find_map(|entry| Some(entry.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
            };
            comments.push(setting.apply(&mut config, '\\', &lookup, &mut cmd_is_set).unwrap().comment);
        }
        (config, comments)
    }

    #[test]
    fn every_setting_is_changed_and_told_as_docker_tells_it() {
        let (config, comments) = changed(&[
            r#"ENV A=1 B="two words" PATH=/x:$PATH"#,
            "ENV C $A and more",
            "ENTRYPOINT run me",
            r#"CMD ["httpd", "-f"]"#,
            "EXPOSE 80 53/udp 1-2",
            r#"LABEL l1=x l2="y z""#,
            "WORKDIR /srv/./x",
            "WORKDIR ../www",
            "VOLUME /data",
            "ONBUILD RUN true",
            "HEALTHCHECK --interval=5s CMD true",
            r#"SHELL ["/bin/bash","-c"]"#,
            "CMD ls",
            "STOPSIGNAL SIGWINCH",
        ]);
        assert_eq!(config.env.unwrap(), ["PATH=/x:/bin", "A=1", "B=two words", "C=1 and more"]);
        assert_eq!(config.cmd.unwrap(), ["/bin/bash", "-c", "ls"]);
        assert_eq!(config.entrypoint.unwrap(), ["/bin/sh", "-c", "run me"]);
        assert_eq!(config.exposed_ports.into_keys().collect::<Vec<_>>(), ["1/tcp", "2/tcp", "53/udp", "80/tcp"]);
        assert_eq!((config.working_dir.as_str(), config.stop_signal.as_str()), ("/srv/www", "SIGWINCH"));
        assert_eq!(config.healthcheck.unwrap().interval, 5_000_000_000);
        assert_eq!(
            comments[1..],
            [
                "ENV C=1 and more",
                r#"ENTRYPOINT ["/bin/sh" "-c" "run me"]"#,
                r#"CMD ["httpd" "-f"]"#,
                "EXPOSE 1-2 53/udp 80",
                "LABEL l1=x l2=y z",
                "WORKDIR /srv/x",
                "WORKDIR /srv/www",
                "VOLUME [/data]",
                "ONBUILD RUN true",
                r#"HEALTHCHECK &{["CMD-SHELL" "true"] "5s" "0s" "0s" '\x00'}"#,
                "SHELL [/bin/bash -c]",
                r#"CMD ["/bin/bash" "-c" "ls"]"#,
                "STOPSIGNAL SIGWINCH",
            ]
        );
    }

    #[test]
    fn an_entrypoint_clears_a_command_that_was_inherited() {
        let mut config = RunConfig { cmd: Some(vec!["sh".to_owned()]), ..RunConfig::default() };
        let entrypoint = Setting::Entrypoint(Command::Exec(vec!["/e".to_owned()]));
        entrypoint.apply(&mut config, '\\', &|_| None, &mut false).unwrap();
        assert_eq!(config.cmd, None);
    }

    #[test]
    fn nonsense_is_refused_in_dockers_words() {
        for (line, reason) in [("EXPOSE abc", "Invalid containerPort: abc"), ("STOPSIGNAL foo", "Invalid signal: foo")]
        {
            let Instruction::Setting(setting) = parse_one(line).unwrap().instruction else { panic!("{line}") };
            let refused = setting.apply(&mut RunConfig::default(), '\\', &|_| None, &mut false);
            assert_eq!(refused.unwrap_err(), reason);
        }
    }
}
