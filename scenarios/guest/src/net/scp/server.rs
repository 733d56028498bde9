//! `scp-server --listen ADDRESS:PORT`: takes the files that other hosts of the lab send with `scp`.
//!
//! Paths are looked up as root's session would: a relative one below root's home, a directory gets the file under its own name.

use super::wire::{self, Head};
use crate::applets::Call;
use crate::options::Accepts;
use crate::say;
use rustix::fs::{Timespec, Timestamps, futimens};
use sha2::{Digest as _, Sha256};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

const HOME: &str = "/root";
const PATIENCE: Duration = Duration::from_secs(60);

pub fn scp_server(call: &Call) -> u8 {
    let accepts = Accepts { name: "scp-server", short: "l:", long: &[("listen", 'l')], misuse: 2 };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    if let Some(operand) = options.operands.first() {
        say::complain("scp-server", format!("extra operand '{operand}'"));
        return 2;
    }
    let address = options.value('l').unwrap_or("0.0.0.0:22");
    let listener = match TcpListener::bind(address) {
        Ok(listener) => listener,
        Err(error) => {
            say::complain("scp-server", format!("cannot listen on {address}: {}", say::reason(&error)));
            return 1;
        }
    };
    for stream in listener.incoming() {
        let attended = stream.and_then(|stream| {
            std::thread::Builder::new().spawn(move || {
                if let Err(error) = attend(stream) {
                    say::complain("scp-server", say::reason(&error));
                }
            })
        });
        if let Err(error) = attended {
            say::complain("scp-server", say::reason(&error));
        }
    }
    0
}

fn attend(stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut stream = BufReader::new(stream);
    while let Some(head) = Head::read(&mut stream)? {
        let path = destination(&head);
        let file = match open(&path, &head) {
            Ok(file) => file,
            Err(why) => {
                answer(stream.get_mut(), Err(format!("dest open \"{}\": {why}", path.display())))?;
                continue;
            }
        };
        answer(stream.get_mut(), Ok(()))?;
        let received = receive(&mut stream, &file, &head)?;
        answer(stream.get_mut(), received.map_err(|why| format!("write remote \"{}\": {why}", path.display())))?;
    }
    Ok(())
}

/// An answer is one line, whatever stands in a name.
fn answer(mut stream: &TcpStream, outcome: Result<(), String>) -> io::Result<()> {
    match outcome {
        Ok(()) => writeln!(stream, "{}", wire::GOOD),
        Err(why) => writeln!(stream, "{} {}", wire::BAD, why.replace('\n', "?")),
    }
}

fn destination(head: &Head) -> PathBuf {
    let path = Path::new(HOME).join(&head.path);
    if path.is_dir() { path.join(&head.name) } else { path }
}

fn open(path: &Path, head: &Head) -> Result<File, String> {
    // What ends in a slash is a directory, and that there is none.
    if head.path.ends_with('/') && path == Path::new(HOME).join(&head.path) {
        return Err("No such file or directory".into());
    }
    let mut options = OpenOptions::new();
    let opened = options.write(true).create(true).truncate(true).mode(head.mode & 0o777).open(path);
    opened.map_err(|error| say::reason(&error))
}

/// Takes the bytes and compares their digest. The outer error is that of the connection; what goes wrong with the file is told
/// when all bytes have come, for the client listens only then.
fn receive(stream: &mut impl Read, mut file: &File, head: &Head) -> io::Result<Result<(), String>> {
    let mut hash = Sha256::new();
    let mut block = vec![0; 128 * 1024];
    let (mut left, mut written) = (head.size, Ok(()));
    while left > 0 {
        let most = block.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = stream.read(&mut block[..most])?;
        if count == 0 {
            let cut_off = format!("{left} of {} bytes of {} are missing", head.size, head.name);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, cut_off));
        }
        hash.update(&block[..count]);
        if written.is_ok() {
            written = file.write_all(&block[..count]);
        }
        left -= count as u64;
    }
    let mut digest = [0; 32];
    stream.read_exact(&mut digest)?;
    if hash.finalize().as_slice() != digest {
        return Ok(Err("other bytes came than were sent: their SHA-256 differs".into()));
    }
    let kept = written.and_then(|()| keep(file, head));
    Ok(kept.map_err(|error| say::reason(&error)))
}

/// Gives the copy the exact mode and the time of the file, where the client wants it.
fn keep(file: &File, head: &Head) -> io::Result<()> {
    let Some((seconds, nanos)) = head.kept_mtime else { return Ok(()) };
    file.set_permissions(Permissions::from_mode(head.mode))?;
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos };
    Ok(futimens(file, &Timestamps { last_access: time, last_modification: time })?)
}
