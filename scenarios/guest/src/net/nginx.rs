//! `nginx`: a static file server that reads one server's address and document root from nginx's own configuration.
//!
//! Of /etc/nginx/conf.d/default.conf it knows `server`, `location`, `listen`, `server_name`, `root` and `index`; a directive
//! beyond these is refused by name, as nginx refuses one it does not know. SIGQUIT ends it gracefully, SIGTERM and SIGINT
//! at once; /run/nginx.pid holds its process id while it runs.

use super::listen::{self, Site};
use super::respond::Served;
use crate::applets::Call;
use crate::clock::Instant;
use crate::options::Accepts;
use crate::say;
use std::net::IpAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

const SERVER: &str = "nginx/1.21.5 (layerlab guest)";
const CONFIGURATION: &str = "/etc/nginx/conf.d/default.conf";
const PID_FILE: &str = "/run/nginx.pid";

struct Server {
    port: u16,
    root: PathBuf,
}

pub fn nginx(call: &Call) -> u8 {
    let accepts = Accepts { name: "nginx", short: "vtc:g:", long: &[], misuse: 1 };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    if options.has('v') {
        eprintln!("nginx version: {SERVER}");
        return 0;
    }
    let path = options.value('c').unwrap_or(CONFIGURATION);
    let server = std::fs::read_to_string(path)
        .map_err(|error| format!("open() \"{path}\" failed ({})", said(&error)))
        .and_then(|text| configured(&text, path));
    let server = match server {
        Ok(server) => server,
        Err(what) => {
            eprintln!("nginx: [emerg] {what}");
            if options.has('t') {
                eprintln!("nginx: configuration file {path} test failed");
            }
            return 1;
        }
    };
    if options.has('t') {
        eprintln!("nginx: the configuration file {path} syntax is ok");
        eprintln!("nginx: configuration file {path} test is successful");
        return 0;
    }
    match options.value('g').map(str::trim) {
        Some("daemon off;") => serve(server),
        Some("" | "daemon on;") | None => leave_to_background(path),
        Some(other) => {
            eprintln!("nginx: [emerg] unexpected \"{other}\" in command line: only \"daemon off;\" is known here");
            1
        }
    }
}

fn said(error: &std::io::Error) -> String {
    format!("{}: {}", error.raw_os_error().unwrap_or(0), say::reason(error))
}

/// The first server that the text configures.
fn configured(text: &str, path: &str) -> Result<Server, String> {
    let mut server = Server { port: 80, root: PathBuf::from("/etc/nginx/html") };
    let mut depth = 0usize;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default();
        let spaced = line.replace('{', " { ").replace('}', " } ").replace(';', " ; ");
        let mut words: Vec<&str> = Vec::new();
        for word in spaced.split_whitespace() {
            match (word, words.as_slice()) {
                ("{", ["server"] | ["location", _] | ["location", _, _]) => {
                    depth += 1;
                    words.clear();
                }
                ("}", []) if depth > 0 => depth -= 1,
                (";", ["listen", address, ..]) => {
                    let port = address.rsplit(':').next().unwrap_or_default();
                    let wrong =
                        || format!("invalid port in \"{address}\" of the \"listen\" directive in {path}:{number}");
                    server.port = port.parse().map_err(|_| wrong())?;
                    words.clear();
                }
                (";", ["root", root]) => {
                    server.root = PathBuf::from(root);
                    words.clear();
                }
                (";", ["index", "index.html", ..] | ["server_name", ..]) => words.clear(),
                ("{" | "}" | ";", []) => return Err(format!("unexpected \"{word}\" in {path}:{number}")),
                ("{" | "}" | ";", [directive, ..]) => {
                    return Err(format!("unknown directive \"{directive}\" in {path}:{number}"));
                }
                _ => words.push(word),
            }
        }
        if let Some(word) = words.first() {
            return Err(format!("directive \"{word}\" is not terminated by \";\" in {path}:{number}"));
        }
    }
    if depth > 0 {
        return Err(format!("unexpected end of file, expecting \"}}\" in {path}"));
    }
    Ok(server)
}

/// Starts the server as a process of its own, away from the terminal.
fn leave_to_background(configuration: &str) -> u8 {
    let started = std::env::current_exe().and_then(|program| {
        Command::new(program)
            .arg0("nginx")
            .args(["-c", configuration, "-g", "daemon off;"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
    });
    match started {
        Ok(_) => 0,
        Err(error) => {
            eprintln!("nginx: [emerg] fork() failed ({})", said(&error));
            1
        }
    }
}

fn notice(message: &str) {
    let pid = std::process::id();
    eprintln!("{} [notice] {pid}#{pid}: {message}", Instant::now().format("%Y/%m/%d %H:%M:%S", false));
}

fn serve(server: Server) -> u8 {
    listen::stop_at(&[libc::SIGQUIT, libc::SIGTERM, libc::SIGINT]);
    let listener = match listen::bind(server.port) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("nginx: [emerg] bind() to 0.0.0.0:{} failed ({})", server.port, said(&error));
            return 1;
        }
    };
    if let Err(error) = std::fs::write(PID_FILE, format!("{}\n", std::process::id())) {
        eprintln!("nginx: [emerg] open() \"{PID_FILE}\" failed ({})", said(&error));
        return 1;
    }
    notice(SERVER);
    notice(&format!("serving {} on port {}", server.root.display(), server.port));
    let site = Arc::new(Site { root: server.root, server: SERVER, log_line });
    let status = match listen::until_stopped(&listener, &site) {
        Ok(signal) => {
            let name = crate::os::SIGNALS[usize::try_from(signal).unwrap_or(0)];
            notice(&format!("signal {signal} (SIG{name}) received, exiting"));
            if signal == libc::SIGQUIT {
                listen::drain(&site);
            }
            0
        }
        Err(error) => {
            eprintln!("nginx: [emerg] listen() failed ({})", said(&error));
            1
        }
    };
    let _ = std::fs::remove_file(Path::new(PID_FILE));
    status
}

fn log_line(client: IpAddr, time: &str, served: &Served) -> String {
    format!(
        "{client} - - [{time}] \"{}\" {} {} \"-\" \"-\" \"-\"",
        served.request_line, served.status, served.body_bytes
    )
}
