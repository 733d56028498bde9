//! `bash` and `sh`: brush as the interpreter, with our own command line, prompt, signals and GNU bash's messages.

mod builtins;
mod input;
mod messages;
mod session;
mod signals;

use crate::account;
use crate::applets::{Call, basename};
use crate::say;
use brush_builtins::ShellBuilderExt as _;
use brush_core::extensions::ShellExtensionsImpl;
use brush_core::openfiles::OpenFile;
use brush_core::{ProfileLoadBehavior, RcLoadBehavior, ShellVariable};
use input::Input;
use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

type Extensions = ShellExtensionsImpl<messages::BashMessages>;
type Shell = brush_core::Shell<Extensions>;

/// The shell's command line.
#[derive(Default)]
struct Invocation {
    command: Option<String>,
    script: Option<String>,
    arguments: Vec<String>,
    zero: Option<String>,
    interactive: bool,
    login: bool,
    from_stdin: bool,
    posix: bool,
    no_profile: bool,
    no_rc: bool,
    rc_file: Option<PathBuf>,
    set_on: Vec<String>,
    set_off: Vec<String>,
    shopt_on: Vec<String>,
}

/// The applets `bash` and `sh`.
pub fn run(call: &Call) -> u8 {
    let mut invocation = match parse(call) {
        Ok(invocation) => invocation,
        Err(status) => return status,
    };
    invocation.posix |= call.name == "sh";
    invocation.login |= call.invoked_as.starts_with('-');
    if invocation.command.is_none() && invocation.script.is_none() {
        invocation.from_stdin = true;
        invocation.interactive |= std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    }
    messages::remember(call.invoked_as, invocation.interactive);
    signals::start(invocation.interactive);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime {
        Ok(runtime) => {
            let status = runtime.block_on(start(call, invocation));
            runtime.shutdown_background();
            status
        }
        Err(error) => {
            say::complain(basename(call.invoked_as), say::reason(&error));
            1
        }
    }
}

async fn start(call: &Call<'_>, invocation: Invocation) -> u8 {
    let input = match open_input(call, &invocation) {
        Ok(input) => input,
        Err(status) => return status,
    };
    let mut shell = match build(call, &invocation).await {
        Ok(shell) => shell,
        Err(error) => {
            say::complain(basename(call.invoked_as), error);
            return 1;
        }
    };
    if invocation.interactive || invocation.login {
        let profile = if invocation.no_profile { ProfileLoadBehavior::Skip } else { ProfileLoadBehavior::LoadDefault };
        let rc = match invocation.rc_file {
            _ if invocation.no_rc || call.name == "sh" => RcLoadBehavior::Skip,
            Some(file) => RcLoadBehavior::LoadCustom(file),
            None => RcLoadBehavior::LoadDefault,
        };
        if let Err(error) = shell.load_config(&profile, &rc).await {
            let _ = shell.display_error(&mut std::io::stderr(), &error);
        }
    }
    let (interactive, login) = (invocation.interactive, invocation.login);
    session::Session { shell, input, interactive, login, lines_read: 0 }.run().await
}

fn open_input(call: &Call, invocation: &Invocation) -> Result<Input, u8> {
    if let Some(command) = &invocation.command {
        return Ok(Input::text(command.as_bytes().to_vec()));
    }
    let Some(script) = &invocation.script else {
        return Ok(if invocation.interactive { Input::terminal() } else { Input::stdin() });
    };
    let read = match std::fs::metadata(script) {
        Ok(found) if found.is_dir() => {
            error_line!("{}: {script}: Is a directory", call.invoked_as);
            return Err(126);
        }
        Ok(_) => std::fs::read(script),
        Err(error) => Err(error),
    };
    match read {
        Ok(text) => Ok(Input::text(text)),
        Err(error) => {
            error_line!("{}: {script}: {}", call.invoked_as, say::reason(&error));
            Err(if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 })
        }
    }
}

async fn build(call: &Call<'_>, invocation: &Invocation) -> Result<Shell, brush_core::Error> {
    let zero = invocation.zero.clone().or_else(|| invocation.script.clone());
    let mut builder = brush_core::Shell::builder_with_extensions::<Extensions>()
        .default_builtins(brush_builtins::BuiltinSet::BashMode)
        .builtins(builtins::overriding())
        .enable_options(invocation.set_on.clone())
        .disable_options(invocation.set_off.clone())
        .enable_shopt_options(invocation.shopt_on.clone());
    if invocation.interactive && std::env::var_os("HISTFILE").is_none() {
        builder = builder.var("HISTFILE", ShellVariable::new(format!("{}/.bash_history", home())));
    }
    if std::env::var("HOME").is_ok_and(|home| home.is_empty() || home == "/") || std::env::var_os("HOME").is_none() {
        let mut variable = ShellVariable::new(home());
        variable.export();
        builder = builder.var("HOME", variable);
    }
    if std::env::var_os("PATH").is_none() {
        builder =
            builder.var("PATH", ShellVariable::new("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
    }
    if invocation.interactive && std::env::var_os("PS1").is_none() {
        let prompt = if call.name == "sh" { r"\$ " } else { r"\u@\h:\w\$ " };
        builder = builder.var("PS1", ShellVariable::new(prompt));
    }
    builder
        .fds(unbuffered_stdin())
        .interactive(invocation.interactive)
        .login(invocation.login)
        .no_editing(true)
        .posix(invocation.posix)
        .profile(ProfileLoadBehavior::Skip)
        .rc(RcLoadBehavior::Skip)
        .read_commands_from_stdin(invocation.from_stdin)
        .command_string_mode(invocation.command.is_some())
        .shell_name(zero.unwrap_or_else(|| call.invoked_as.to_owned()))
        .shell_args(invocation.arguments.clone())
        .shell_version("5.2.15(1)-release".to_owned())
        .build()
        .await
}

/// Standard input without std's buffer: what `read` leaves belongs to the next command.
fn unbuffered_stdin() -> HashMap<i32, OpenFile> {
    let own = std::io::stdin().as_fd().try_clone_to_owned();
    own.map(|descriptor| HashMap::from([(0, OpenFile::from(std::fs::File::from(descriptor)))])).unwrap_or_default()
}

/// The user's home: $HOME if it says something, else the passwd entry, else /root or /.
fn home() -> String {
    let uid = rustix::process::geteuid().as_raw();
    std::env::var("HOME")
        .ok()
        .filter(|home| !home.is_empty() && home != "/")
        .or_else(|| account::home_of(uid))
        .unwrap_or_else(|| if uid == 0 { "/root".to_owned() } else { "/".to_owned() })
}

fn parse(call: &Call) -> Result<Invocation, u8> {
    let mut invocation = Invocation::default();
    let mut args = call.args.iter().cloned();
    let mut wants_command = false;
    let mut first_operand = None;
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--" | "-" => {
                first_operand = args.next();
                break;
            }
            "--login" => invocation.login = true,
            "--posix" => invocation.posix = true,
            "--norc" => invocation.no_rc = true,
            "--noprofile" => invocation.no_profile = true,
            "--noediting" => {}
            "--rcfile" | "--init-file" => invocation.rc_file = args.next().map(PathBuf::from),
            "--version" => {
                say::line("bash (brush, a bash-compatible shell written in Rust), language level 5.2");
                return Err(0);
            }
            "-o" | "+o" | "-O" => {
                let Some(value) = args.next() else { return Err(misused(call, &arg, "option requires an argument")) };
                match arg.as_str() {
                    "-o" => invocation.set_on.push(value),
                    "+o" => invocation.set_off.push(value),
                    _ => invocation.shopt_on.push(value),
                }
            }
            _ if arg.starts_with("--") => return Err(misused(call, &arg, "invalid option")),
            _ if arg.len() > 1 && arg.starts_with(['-', '+']) => {
                let on = arg.starts_with('-');
                for letter in arg[1..].chars() {
                    match (letter, on) {
                        ('c', true) => wants_command = true,
                        ('i', true) => invocation.interactive = true,
                        ('l', true) => invocation.login = true,
                        ('s', true) => invocation.from_stdin = true,
                        _ => match (set_option(letter), on) {
                            (Some(name), true) => invocation.set_on.push(name.to_owned()),
                            (Some(name), false) => invocation.set_off.push(name.to_owned()),
                            (None, _) => return Err(misused(call, &format!("-{letter}"), "invalid option")),
                        },
                    }
                }
            }
            _ => {
                first_operand = Some(arg);
                break;
            }
        }
    }
    if wants_command {
        let Some(command) = first_operand else { return Err(misused(call, "-c", "option requires an argument")) };
        invocation.command = Some(command);
        invocation.zero = args.next();
    } else if !invocation.from_stdin {
        invocation.script = first_operand;
    } else {
        invocation.arguments.extend(first_operand);
    }
    invocation.arguments.extend(args);
    Ok(invocation)
}

fn set_option(letter: char) -> Option<&'static str> {
    Some(match letter {
        'a' => "allexport",
        'b' => "notify",
        'e' => "errexit",
        'f' => "noglob",
        'h' => "hashall",
        'k' => "keyword",
        'm' => "monitor",
        'n' => "noexec",
        'u' => "nounset",
        'v' => "verbose",
        'x' => "xtrace",
        'B' => "braceexpand",
        'C' => "noclobber",
        'E' => "errtrace",
        'H' => "histexpand",
        'P' => "physical",
        'T' => "functrace",
        _ => return None,
    })
}

fn misused(call: &Call, option: &str, problem: &str) -> u8 {
    error_line!("{}: {option}: {problem}", call.invoked_as);
    2
}
