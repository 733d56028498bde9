//! A server's socket: binds a port, answers each connection in a thread of its own, and ends at a signal.

use super::respond::{self, Served};
use crate::clock::Instant;
use crate::os;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

static STOP: AtomicI32 = AtomicI32::new(0);

extern "C" fn stop(signal: i32) {
    STOP.store(signal, Ordering::SeqCst);
}

/// What is served and what the server calls itself.
pub struct Site {
    pub root: PathBuf,
    pub server: &'static str,
    /// One line of the access log: the client, the time, and what was served.
    pub log_line: fn(IpAddr, &str, &Served) -> String,
}

/// Listens on both IP versions, or on IPv4 where the host has no other.
pub fn bind(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)).or_else(|error| {
        if error.kind() == io::ErrorKind::AddrInUse {
            return Err(error);
        }
        TcpListener::bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port))
    })
}

/// Lets these signals end [`until_stopped`] from now on.
pub fn stop_at(signals: &[i32]) {
    for signal in signals {
        os::on_signal(*signal, stop);
    }
}

/// Serves until one of the signals comes, and gives it.
pub fn until_stopped(listener: &TcpListener, site: &Arc<Site>) -> io::Result<i32> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    listener.set_nonblocking(true)?;
    let tick = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
    loop {
        let signal = STOP.load(Ordering::SeqCst);
        if signal != 0 {
            return Ok(signal);
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
pub fn drain(site: &Arc<Site>) {
    for _ in 0..10 {
        if Arc::strong_count(site) == 1 {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn attend(stream: &TcpStream, peer: SocketAddr, site: &Site) {
    let client = match peer.ip() {
        IpAddr::V6(address) => address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4),
        address => address,
    };
    let log = |served: &Served| {
        let time = Instant::now().format("%d/%b/%Y:%H:%M:%S %z", false);
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "{}", (site.log_line)(client, &time, served));
        let _ = out.flush();
    };
    if stream.set_nonblocking(false).is_ok() {
        let _ = respond::connection(stream, &site.root, site.server, &log);
    }
}
