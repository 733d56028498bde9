//! `nginx`: a static file server that reads one server's address and document root from nginx's own configuration.
//!
//! Of /etc/nginx/conf.d/default.conf it knows one `server` with `location /`, `listen PORT`, `server_name`, `root` and
//! `index index.html`; what is beyond these is refused by name, as nginx refuses what it does not know. SIGQUIT ends it gracefully, SIGTERM and SIGINT
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
use std::time::Duration;

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
        error_line!("nginx version: {SERVER}");
        return 0;
    }
    if let Some(operand) = options.operands.first() {
        error_line!("nginx: invalid option: \"{operand}\"");
        return 1;
    }
    let path = options.value('c').unwrap_or(CONFIGURATION);
    let server = std::fs::read_to_string(path)
        .map_err(|error| format!("open() \"{path}\" failed ({})", said(&error)))
        .and_then(|text| configured(&text, path));
    let server = match server {
        Ok(server) => server,
        Err(what) => {
            error_line!("nginx: [emerg] {what}");
            if options.has('t') {
                error_line!("nginx: configuration file {path} test failed");
            }
            return 1;
        }
    };
    if options.has('t') {
        error_line!("nginx: the configuration file {path} syntax is ok");
        error_line!("nginx: configuration file {path} test is successful");
        return 0;
    }
    match options.value('g').map(str::trim) {
        Some("daemon off;") => serve(server),
        Some("" | "daemon on;") | None => leave_to_background(path, server.port),
        Some(other) => {
            error_line!("nginx: [emerg] unexpected \"{other}\" in command line: only \"daemon off;\" is known here");
            1
        }
    }
}

fn said(error: &std::io::Error) -> String {
    format!("{}: {}", error.raw_os_error().unwrap_or(0), say::reason(error))
}

/// The server that the text configures.
fn configured(text: &str, path: &str) -> Result<Server, String> {
    let mut server = Server { port: 80, root: PathBuf::from("/etc/nginx/html") };
    let (mut depth, mut servers, mut ports) = (0usize, 0, Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default();
        let spaced = line.replace('{', " { ").replace('}', " } ").replace(';', " ; ");
        let mut words: Vec<&str> = Vec::new();
        for word in spaced.split_whitespace() {
            match (word, words.as_slice()) {
                ("{", ["server"]) if servers == 0 => {
                    (depth, servers) = (depth + 1, 1);
                    words.clear();
                }
                ("{", ["location", "/"]) if depth == 1 => {
                    depth += 1;
                    words.clear();
                }
                ("{", ["server" | "location", ..]) => {
                    let block = words.join(" ");
                    return Err(format!("\"{block}\" is more than one server with \"location /\" in {path}:{number}"));
                }
                ("}", []) if depth > 0 => depth -= 1,
                (";", ["listen", address] | ["listen", address, "default_server"]) => {
                    ports.push(port(address).map_err(|what| format!("{what} in {path}:{number}"))?);
                    words.clear();
                }
                (";", ["root", root]) => {
                    server.root = PathBuf::from(root);
                    words.clear();
                }
                (";", ["index", "index.html", ..] | ["server_name", ..]) => words.clear(),
                ("{" | "}" | ";", []) => return Err(format!("unexpected \"{word}\" in {path}:{number}")),
                (";", ["listen" | "root" | "index", ..]) => {
                    return Err(format!(
                        "parameters of \"{}\" that are not known here in {path}:{number}",
                        words.join(" ")
                    ));
                }
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
    if let Some(first) = ports.first() {
        server.port = *first;
    }
    match ports.iter().find(|port| **port != server.port) {
        Some(other) => Err(format!("ports {} and {other}: only one is known here in {path}", server.port)),
        None => Ok(server),
    }
}

/// The port of an address that is every address of the machine.
fn port(address: &str) -> Result<u16, String> {
    let (host, port) = address.rsplit_once(':').unwrap_or(("*", address));
    if !matches!(host, "*" | "0.0.0.0" | "[::]") {
        return Err(format!("host \"{host}\" of \"listen\": only all addresses of the machine are known here"));
    }
    port.parse().map_err(|_| format!("invalid port in \"{address}\" of the \"listen\" directive"))
}

/// Starts the server as a process of its own, away from the terminal, and waits until it serves. Its log goes nowhere.
fn leave_to_background(configuration: &str, port: u16) -> u8 {
    if let Err(error) = listen::bind(port) {
        error_line!("nginx: [emerg] bind() to 0.0.0.0:{port} failed ({})", said(&error));
        return 1;
    }
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
    let mut server = match started {
        Ok(server) => server,
        Err(error) => {
            error_line!("nginx: [emerg] fork() failed ({})", said(&error));
            return 1;
        }
    };
    let pid = format!("{}\n", server.id());
    loop {
        if std::fs::read_to_string(PID_FILE).is_ok_and(|written| written == pid) {
            return 0;
        }
        if let Ok(Some(status)) = server.try_wait() {
            error_line!("nginx: [emerg] the server ended at once ({status})");
            return 1;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn notice(message: &str) {
    let pid = std::process::id();
    error_line!("{} [notice] {pid}#{pid}: {message}", Instant::now().format("%Y/%m/%d %H:%M:%S", false));
}

fn serve(server: Server) -> u8 {
    listen::stop_at(&[libc::SIGQUIT, libc::SIGTERM, libc::SIGINT]);
    let listener = match listen::bind(server.port) {
        Ok(listener) => listener,
        Err(error) => {
            error_line!("nginx: [emerg] bind() to 0.0.0.0:{} failed ({})", server.port, said(&error));
            return 1;
        }
    };
    if let Err(error) = std::fs::write(PID_FILE, format!("{}\n", std::process::id())) {
        error_line!("nginx: [emerg] open() \"{PID_FILE}\" failed ({})", said(&error));
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
            error_line!("nginx: [emerg] listen() failed ({})", said(&error));
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
