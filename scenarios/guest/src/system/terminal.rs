//! `tty`, `stty` and `clear`.

use crate::applets::Call;
use crate::say;
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, OutputModes, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};

pub fn tty(call: &Call) -> u8 {
    let silent = call.args.iter().any(|arg| arg == "-s");
    match rustix::termios::ttyname(std::io::stdin(), Vec::new()) {
        Ok(name) => {
            if !silent {
                say::line(name.to_string_lossy());
            }
            0
        }
        Err(_) => {
            if !silent {
                say::line("not a tty");
            }
            1
        }
    }
}

pub fn clear(_call: &Call) -> u8 {
    say::text("\x1b[H\x1b[2J\x1b[3J");
    0
}

pub fn stty(call: &Call) -> u8 {
    let stdin = std::io::stdin();
    let (mut settings, mut size) = match (tcgetattr(&stdin), tcgetwinsize(&stdin)) {
        (Ok(settings), Ok(size)) => (settings, size),
        _ => {
            say::complain("stty", "'standard input': Inappropriate ioctl for device");
            return 1;
        }
    };
    let mut args = call.args.iter();
    if call.args.is_empty() || call.args[0] == "-a" {
        show(&settings, (size.ws_row, size.ws_col), !call.args.is_empty());
        return 0;
    }
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "size" => say::line(format!("{} {}", size.ws_row, size.ws_col)),
            "sane" => {
                settings.input_modes |= InputModes::ICRNL | InputModes::IXON | InputModes::BRKINT;
                settings.output_modes |= OutputModes::OPOST | OutputModes::ONLCR;
                settings.local_modes |= LocalModes::ICANON
                    | LocalModes::ECHO
                    | LocalModes::ECHOE
                    | LocalModes::ECHOK
                    | LocalModes::ISIG
                    | LocalModes::IEXTEN;
            }
            "raw" => settings.make_raw(),
            "rows" | "cols" | "columns" => {
                let Some(number) = args.next().and_then(|text| text.parse().ok()) else {
                    say::complain("stty", format!("missing argument to '{arg}'"));
                    return 1;
                };
                if arg == "rows" { size.ws_row = number } else { size.ws_col = number }
            }
            other => {
                let (name, on) = other.strip_prefix('-').map_or((other, true), |name| (name, false));
                match (local(name), name) {
                    (Some(mode), _) => settings.local_modes.set(mode, on),
                    (None, "icrnl") => settings.input_modes.set(InputModes::ICRNL, on),
                    (None, "ixon") => settings.input_modes.set(InputModes::IXON, on),
                    (None, "opost") => settings.output_modes.set(OutputModes::OPOST, on),
                    (None, "onlcr") => settings.output_modes.set(OutputModes::ONLCR, on),
                    _ => {
                        say::complain("stty", format!("invalid argument '{other}'"));
                        return 1;
                    }
                }
            }
        }
    }
    match tcsetattr(&stdin, OptionalActions::Now, &settings).and_then(|()| tcsetwinsize(&stdin, size)) {
        Ok(()) => 0,
        Err(error) => {
            say::complain("stty", format!("'standard input': {}", say::reason(&error.into())));
            1
        }
    }
}

const LOCAL: [(&str, LocalModes); 8] = [
    ("isig", LocalModes::ISIG),
    ("icanon", LocalModes::ICANON),
    ("iexten", LocalModes::IEXTEN),
    ("echo", LocalModes::ECHO),
    ("echoe", LocalModes::ECHOE),
    ("echok", LocalModes::ECHOK),
    ("noflsh", LocalModes::NOFLSH),
    ("tostop", LocalModes::TOSTOP),
];

fn local(name: &str) -> Option<LocalModes> {
    LOCAL.iter().find(|(known, _)| *known == name).map(|(_, mode)| *mode)
}

fn show(settings: &Termios, (rows, columns): (u16, u16), all: bool) {
    let speed = settings.output_speed();
    if !all {
        say::line(format!("speed {speed} baud; line = 0;"));
        return;
    }
    say::line(format!("speed {speed} baud; rows {rows}; columns {columns}; line = 0;"));
    let flag = |name: &str, on: bool| format!("{}{name}", if on { "" } else { "-" });
    let input = [("icrnl", InputModes::ICRNL), ("ixon", InputModes::IXON)];
    say::line(input.map(|(name, mode)| flag(name, settings.input_modes.contains(mode))).join(" "));
    let output = [("opost", OutputModes::OPOST), ("onlcr", OutputModes::ONLCR)];
    say::line(output.map(|(name, mode)| flag(name, settings.output_modes.contains(mode))).join(" "));
    say::line(LOCAL.map(|(name, mode)| flag(name, settings.local_modes.contains(mode))).join(" "));
}
