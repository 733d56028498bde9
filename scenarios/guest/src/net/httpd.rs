//! `httpd` and `httpd-foreground`: a static file server, and the same as an image's first process.
//!
//! `httpd-foreground` (also `httpd -D FOREGROUND` and `httpd -X`) serves `$HTTPD_PREFIX/htdocs` on port 80, keeps its process id in `logs/httpd.pid`, logs requests
//! on standard output and the rest on standard error, and ends with status 0 on SIGWINCH, SIGTERM and SIGINT.

use super::listen::{self, Site};
use super::respond::Served;
use crate::applets::Call;
use crate::clock::Instant;
use crate::options::Accepts;
use crate::say;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SERVER: &str = "Apache/2.4 (layerlab guest)";

pub fn httpd(call: &Call) -> u8 {
    let accepts = Accepts { name: "httpd", short: "Xfp:h:D:k:v", long: &[], misuse: 1 };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    if options.has('v') {
        say::line("Server version: layerlab guest httpd, a static file server");
        return 0;
    }
    if options.value('D') == Some("FOREGROUND") || options.has('X') {
        return httpd_foreground(call);
    }
    let port = match options.value('p').unwrap_or("80").parse() {
        Ok(port) => port,
        Err(_) => {
            say::complain("httpd", format!("invalid port '{}'", options.value('p').unwrap_or_default()));
            return 1;
        }
    };
    if !options.has('f') {
        say::complain("httpd", "runs in the foreground only: give -f");
        return 1;
    }
    let root = PathBuf::from(options.value('h').unwrap_or("."));
    serve(port, root, None)
}

pub fn httpd_foreground(_call: &Call) -> u8 {
    let prefix = std::env::var("HTTPD_PREFIX").unwrap_or_else(|_| "/usr/local/apache2".to_owned());
    let prefix = Path::new(&prefix);
    let address = super::own_address().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    eprintln!(
        "AH00558: httpd: Could not reliably determine the server's fully qualified domain name, using {address}. Set \
         the 'ServerName' directive globally to suppress this message"
    );
    let port = listen_port(&prefix.join("conf/httpd.conf")).unwrap_or(80);
    serve(port, prefix.join("htdocs"), Some(&prefix.join("logs/httpd.pid")))
}

/// The last `Listen` of a configuration file, when it has one.
fn listen_port(configuration: &Path) -> Option<u16> {
    std::fs::read_to_string(configuration).ok()?.lines().rev().find_map(|line| {
        let value = line.trim().strip_prefix("Listen ")?.trim();
        value.rsplit(':').next()?.parse().ok()
    })
}

fn notice(module: &str, message: &str) {
    let time = Instant::now().format("%a %b %d %H:%M:%S.%N %Y", false);
    let micros = time.find('.').map_or(time.clone(), |at| format!("{}{}", &time[..at + 7], &time[at + 10..]));
    let pid = std::process::id();
    eprintln!("[{micros}] [{module}] [pid {pid}:tid {pid}] {message}");
}

fn serve(port: u16, root: PathBuf, pid_file: Option<&Path>) -> u8 {
    listen::stop_at(&[libc::SIGTERM, libc::SIGINT, libc::SIGWINCH, libc::SIGUSR1]);
    let listener = match listen::bind(port) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!(
                "({}){}: AH00072: make_sock: could not bind to address [::]:{port}",
                error.raw_os_error().unwrap_or(0),
                say::reason(&error)
            );
            eprintln!("no listening sockets available, shutting down\nAH00015: Unable to open logs");
            return 1;
        }
    };
    if let Some(path) = pid_file
        && let Err(error) = std::fs::write(path, format!("{}\n", std::process::id()))
    {
        eprintln!("AH00099: could not create {}: {}", path.display(), say::reason(&error));
        return 1;
    }
    notice("mpm_event:notice", &format!("AH00489: {SERVER} configured -- resuming normal operations"));
    notice("core:notice", "AH00094: Command line: 'httpd -D FOREGROUND'");
    let site = Arc::new(Site { root, server: SERVER, log_line });
    let status = match listen::until_stopped(&listener, &site) {
        Ok(libc::SIGWINCH) => {
            notice("mpm_event:notice", "AH00492: caught SIGWINCH, shutting down gracefully");
            listen::drain(&site);
            0
        }
        Ok(_) => {
            notice("mpm_event:notice", "AH00491: caught SIGTERM, shutting down");
            0
        }
        Err(error) => {
            say::complain("httpd", say::reason(&error));
            1
        }
    };
    if let Some(path) = pid_file {
        let _ = std::fs::remove_file(path);
    }
    status
}

fn log_line(client: IpAddr, time: &str, served: &Served) -> String {
    let bytes = if served.body_bytes == 0 { "-".to_owned() } else { served.body_bytes.to_string() };
    format!("{client} - - [{time}] \"{}\" {} {bytes}", served.request_line, served.status)
}
