//! `httpd` and `httpd-foreground`: a static file server, and the same as an image's first process.
//!
//! `httpd-foreground` serves `$HTTPD_PREFIX/htdocs` on port 80, keeps its process id in `logs/httpd.pid`, logs requests
//! on standard output and the rest on standard error, and ends with status 0 on SIGWINCH, SIGTERM and SIGINT.

use super::respond::{self, Served};
use crate::applets::Call;
use crate::clock::Instant;
use crate::options::Accepts;
use crate::os;
use crate::say;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

const SERVER: &str = "Apache/2.4 (layerlab guest)";

static STOP: AtomicI32 = AtomicI32::new(0);

extern "C" fn stop(signal: i32) {
    STOP.store(signal, Ordering::SeqCst);
}

struct Site {
    root: PathBuf,
    pid_file: Option<PathBuf>,
    log: bool,
}

pub fn httpd(call: &Call) -> u8 {
    let accepts = Accepts { name: "httpd", short: "fp:h:D:k:v", long: &[], misuse: 1 };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    if options.has('v') {
        say::line("Server version: layerlab guest httpd, a static file server");
        return 0;
    }
    if options.value('D') == Some("FOREGROUND") {
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
    serve(port, Site { root, pid_file: None, log: true })
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
    serve(port, Site { root: prefix.join("htdocs"), pid_file: Some(prefix.join("logs/httpd.pid")), log: true })
}

/// The last `Listen` of a configuration file, when it has one.
fn listen_port(configuration: &Path) -> Option<u16> {
    std::fs::read_to_string(configuration).ok()?.lines().rev().find_map(|line| {
        let value = line.trim().strip_prefix("Listen ")?.trim();
        value.rsplit(':').next()?.parse().ok()
    })
}

fn bind(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)).or_else(|error| {
        if error.kind() == io::ErrorKind::AddrInUse {
            return Err(error);
        }
        TcpListener::bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port))
    })
}

fn notice(module: &str, message: &str) {
    let time = Instant::now().format("%a %b %d %H:%M:%S.%N %Y", false);
    let micros = time.find('.').map_or(time.clone(), |at| format!("{}{}", &time[..at + 7], &time[at + 10..]));
    let pid = std::process::id();
    eprintln!("[{micros}] [{module}] [pid {pid}:tid {pid}] {message}");
}

fn serve(port: u16, site: Site) -> u8 {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGWINCH, libc::SIGUSR1] {
        os::on_signal(signal, stop);
    }
    let listener = match bind(port) {
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
    if let Some(path) = &site.pid_file
        && let Err(error) = std::fs::write(path, format!("{}\n", std::process::id()))
    {
        eprintln!("AH00099: could not create {}: {}", path.display(), say::reason(&error));
        return 1;
    }
    notice("mpm_event:notice", &format!("AH00489: {SERVER} configured -- resuming normal operations"));
    notice("core:notice", "AH00094: Command line: 'httpd -D FOREGROUND'");
    let site = Arc::new(site);
    let status = accept_until_stopped(&listener, &site);
    if let Some(path) = &site.pid_file {
        let _ = std::fs::remove_file(path);
    }
    status
}

fn accept_until_stopped(listener: &TcpListener, site: &Arc<Site>) -> u8 {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    if let Err(error) = listener.set_nonblocking(true) {
        say::complain("httpd", say::reason(&error));
        return 1;
    }
    let tick = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
    loop {
        match STOP.load(Ordering::SeqCst) {
            0 => {}
            libc::SIGWINCH => {
                notice("mpm_event:notice", "AH00492: caught SIGWINCH, shutting down gracefully");
                return drain(site);
            }
            _ => {
                notice("mpm_event:notice", "AH00491: caught SIGTERM, shutting down");
                return 0;
            }
        }
        let mut ready = [PollFd::new(listener, PollFlags::IN)];
        let _ = poll(&mut ready, Some(&tick));
        while let Ok((stream, peer)) = listener.accept() {
            let site = Arc::clone(site);
            let _ = std::thread::Builder::new().spawn(move || attend(&stream, peer, &site));
        }
    }
}

/// Lets the requests that are being answered finish, for a moment.
fn drain(site: &Arc<Site>) -> u8 {
    for _ in 0..10 {
        if Arc::strong_count(site) == 1 {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    0
}

fn attend(stream: &TcpStream, peer: SocketAddr, site: &Site) {
    let client = match peer.ip() {
        IpAddr::V6(address) => address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4),
        address => address,
    };
    let log = |served: &Served| {
        if site.log {
            let time = Instant::now().format("%d/%b/%Y:%H:%M:%S %z", false);
            let bytes = if served.body_bytes == 0 { "-".to_owned() } else { served.body_bytes.to_string() };
            use io::Write as _;
            let mut out = io::stdout().lock();
            let _ = writeln!(out, "{client} - - [{time}] \"{}\" {} {bytes}", served.request_line, served.status);
            let _ = out.flush();
        }
    };
    if stream.set_nonblocking(false).is_ok() {
        let _ = respond::connection(stream, &site.root, SERVER, &log);
    }
}
