//! Fetches a file over HTTP and holds it against the size and checksum that an index gave.

use super::stanza::Stanza;
use crate::say;
use sha2::{Digest as _, Sha256};
use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// The body of `url`, or what went wrong in one sentence.
pub fn get(url: &str) -> Result<Vec<u8>, String> {
    let rest = url.strip_prefix("http://").ok_or_else(|| format!("{url}: only http:// is known here"))?;
    let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let authority = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let resolve = || format!("Could not resolve '{host}'");
    let address = authority.to_socket_addrs().map_err(|_| resolve())?.next().ok_or_else(resolve)?;
    let connect = |error: io::Error| format!("Could not connect to {authority}: {}", say::reason(&error));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).map_err(connect)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(connect)?;
    let broken = |error: io::Error| format!("Connection to {authority} broke: {}", say::reason(&error));
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: layerlab\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(broken)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(broken)?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").ok_or("the server's answer has no header")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        let line = head.lines().next().unwrap_or_default();
        return Err(line.split_once(' ').map_or(line, |(_, rest)| rest).to_owned());
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok()).flatten()
    });
    let body = answer.split_off(end + 4);
    match length {
        Some(length) if length != body.len() => {
            Err(format!("Undetermined Error: {} of {length} bytes came", body.len()))
        }
        _ => Ok(body),
    }
}

/// The archive of `package`, below `base`, verified.
pub fn archive(base: &str, package: &Stanza) -> Result<Vec<u8>, String> {
    let bytes = get(&format!("{}/{}", base.trim_end_matches('/'), package.get("Filename")))?;
    verify(&bytes, package.get("Size"), package.get("SHA256"))?;
    Ok(bytes)
}

/// Holds bytes against what an index says of them.
pub fn verify(bytes: &[u8], size: &str, sha256: &str) -> Result<(), String> {
    if size.parse() != Ok(bytes.len()) {
        return Err(format!("Size mismatch: {} bytes came, the index says {size}", bytes.len()));
    }
    let found: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if found != sha256 {
        return Err(format!("Hash Sum mismatch: SHA256 is {found}, the index says {sha256}"));
    }
    Ok(())
}
