//! One static multi-call binary: the userland inside the lab's images and inside the lab itself.
//!
//! The applet is chosen by the basename of `argv[0]`, or by the first argument when that is no applet. `bash` and `sh`
//! are brush, a real bash as a library; the other applets print what GNU coreutils and util-linux print.

/// Prints a line on standard error, as `eprintln!` does, but in one piece.
macro_rules! error_line {
    ($($part:tt)*) => { $crate::say::error(format_args!($($part)*)) };
}

mod account;
mod applets;
mod clock;
mod files;
mod net;
mod options;
mod os;
mod packages;
mod say;
mod shell;
mod system;
mod text;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
    if args.is_empty() {
        return ExitCode::from(127);
    }
    let mut invoked_as = args.remove(0);
    let mut found = applets::find(applet_name(&invoked_as));
    if found.is_none() {
        match args.first().map(String::as_str) {
            None | Some("--list") => {
                for applet in applets::ALL {
                    say::line(applet.name);
                }
                return ExitCode::from(say::finish(0));
            }
            Some(_) => invoked_as = args.remove(0),
        }
        found = applets::find(applet_name(&invoked_as));
    }
    let Some(applet) = found else {
        error_line!("guest: {invoked_as}: applet not found; `guest --list` prints the applets");
        return ExitCode::from(127);
    };
    if applet.dies_of_broken_pipe {
        os::restore_sigpipe();
    }
    let call = applets::Call { name: applet.name, invoked_as: &invoked_as, args: &args };
    ExitCode::from(say::finish((applet.run)(&call)))
}

/// A login shell's name starts with a dash.
fn applet_name(invoked_as: &str) -> &str {
    applets::basename(invoked_as).trim_start_matches('-')
}
