//! `scp` to another host of the lab: a stand-in without ssh, whose files do go over a network to the other host's `scp-server`.
//!
//! *Why*: a document carries an image to another computer. *Holds*: a copy whose size or SHA-256 differs from the file's is an
//! error on both sides; messages and progress are those of OpenSSH 9.2. *Never*: a secret is asked for, or anything encrypted.
//! *Proved by* `scenarios/tests/guest.rs` and `scenarios/cases/lab/scp.md`.

mod meter;
pub mod server;
mod wire;

use super::curl;
use crate::applets::{Call, basename};
use crate::options::Accepts;
use crate::say;
use meter::Meter;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;
use wire::Head;

/// What an ssh that was cut off ends with.
const CONNECTION_LOST: u8 = 255;
const PATIENCE: Duration = Duration::from_secs(60);

pub fn scp(call: &Call) -> u8 {
    let accepts = Accepts { name: "scp", short: "346ABCOpqRrsTvc:D:F:i:J:l:o:P:S:X:", long: &[], misuse: 1 };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    if let Some(unknown) = accepts.short.chars().find(|letter| options.has(*letter) && !"pqP".contains(*letter)) {
        return misused(format!("-{unknown}: this stand-in has no such option, only -p, -P PORT and -q"));
    }
    let Some((target, sources)) = options.operands.split_last().filter(|(_, sources)| !sources.is_empty()) else {
        error_line!("usage: scp [-pq] [-P port] source ... [root@]host:path");
        return 1;
    };
    if let Some(remote) = sources.iter().find(|source| remote(source).is_some()) {
        return misused(format!("{remote}: this stand-in copies files of this host to another, and none back"));
    }
    let Some((login, path)) = remote(target) else {
        return misused(format!("{target}: this stand-in copies to other hosts only: write [root@]HOST:PATH"));
    };
    let (user, host) = login.split_once('@').unwrap_or(("root", login));
    if user != "root" {
        return misused(format!("{target}: this stand-in is root on the other host, and cannot be {user}"));
    }
    let Ok(port) = options.value('P').unwrap_or("22").parse() else {
        return misused(format!("bad port '{}'", options.value('P').unwrap_or_default()));
    };
    let mut link = match connect(host, port) {
        Ok(link) => link,
        Err(why) => {
            error_line!("ssh: {why}");
            return closed();
        }
    };
    let shows_progress = !options.has('q') && io::stdout().is_terminal();
    let mut status = 0;
    for source in sources {
        let sent = link.send(source, path, options.has('p'), shows_progress);
        match sent {
            Ok(()) => {}
            Err(Failure::Missing(why)) => {
                say::complain("scp", why);
                return CONNECTION_LOST;
            }
            Err(Failure::Lost) => return closed(),
            Err(Failure::Refused(why)) => {
                say::complain("scp", why);
                let shown = if path.is_empty() { "." } else { path };
                say::complain("scp", format!("failed to upload file {source} to {shown}"));
                status = 1;
            }
        }
    }
    status
}

fn misused(what: impl std::fmt::Display) -> u8 {
    say::complain("scp", what);
    1
}

fn closed() -> u8 {
    say::complain("scp", "Connection closed");
    CONNECTION_LOST
}

/// `[USER@]HOST` and path of an operand that names another host: one with a colon before any slash.
fn remote(operand: &str) -> Option<(&str, &str)> {
    let (login, path) = operand.split_once(':')?;
    (!login.is_empty() && !login.contains('/')).then_some((login, path))
}

fn connect(host: &str, port: u16) -> Result<Link, String> {
    let address = match curl::hosts_file(host) {
        Some(ip) => SocketAddr::new(ip, port),
        None => (host, port)
            .to_socket_addrs()
            .ok()
            .and_then(|mut found| found.next())
            .ok_or_else(|| format!("Could not resolve hostname {host}: Name or service not known"))?,
    };
    let failed = |error: io::Error| format!("connect to host {host} port {port}: {}", say::reason(&error));
    let stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
    Ok(Link { stream: BufReader::new(stream) })
}

/// Why a file is not there now.
enum Failure {
    /// It is not here; nothing after it is tried.
    Missing(String),
    /// The connection broke.
    Lost,
    /// One side refused this file.
    Refused(String),
}

impl From<io::Error> for Failure {
    fn from(_: io::Error) -> Failure {
        Failure::Lost
    }
}

/// The connection to a server.
struct Link {
    stream: BufReader<TcpStream>,
}

impl Link {
    fn send(&mut self, source: &str, path: &str, keeps: bool, shows_progress: bool) -> Result<(), Failure> {
        let local = |what: &str, error: io::Error| format!("{what} local \"{source}\": {}", say::reason(&error));
        let found = std::fs::metadata(source).map_err(|error| Failure::Missing(local("stat", error)))?;
        if !found.is_file() {
            return Err(Failure::Refused(format!("local \"{source}\" is not a regular file")));
        }
        let mut file = File::open(source).map_err(|error| Failure::Refused(local("open", error)))?;
        let (name, size) = (basename(source), found.len());
        let kept_mtime = keeps.then(|| (found.mtime(), found.mtime_nsec()));
        let head = Head { name: name.into(), path: path.into(), mode: found.mode() & 0o7777, size, kept_mtime };
        head.write(self.stream.get_mut())?;
        self.answer()?;
        let mut meter = shows_progress.then(|| Meter::start(name, size));
        let mut hash = Sha256::new();
        let mut block = vec![0; 128 * 1024];
        let mut left = size;
        while left > 0 {
            let most = block.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let count = file.read(&mut block[..most]).map_err(|error| Failure::Missing(local("read", error)))?;
            if count == 0 {
                return Err(Failure::Missing(format!("read local \"{source}\": it became shorter meanwhile")));
            }
            self.stream.get_mut().write_all(&block[..count])?;
            hash.update(&block[..count]);
            left -= count as u64;
            if let Some(meter) = &mut meter {
                meter.advance(count as u64);
            }
        }
        self.stream.get_mut().write_all(&hash.finalize())?;
        let outcome = self.answer();
        if let Some(meter) = meter {
            meter.stop();
        }
        outcome
    }

    /// Waits for a line of the server.
    fn answer(&mut self) -> Result<(), Failure> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        match line.trim_end().split_once(' ') {
            None if line.trim_end() == wire::GOOD => Ok(()),
            Some((wire::BAD, why)) => Err(Failure::Refused(why.to_owned())),
            _ if line.is_empty() => Err(Failure::Lost),
            _ => Err(Failure::Missing(format!(
                "the other host answers \"{}\": it runs no scp-server of layerlab",
                line.trim_end().escape_default()
            ))),
        }
    }
}
