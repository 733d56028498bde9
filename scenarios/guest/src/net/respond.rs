//! HTTP/1.1 for static files: requests in, files or errors out, never a path outside the document root.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What a request came to, for the access log.
pub struct Served {
    pub request_line: String,
    pub status: u16,
    pub body_bytes: u64,
}

struct Request {
    line: String,
    method: String,
    target: String,
    keep_alive: bool,
}

/// Serves one connection until it closes; `log` hears of every answer.
pub fn connection(stream: &TcpStream, root: &Path, server: &str, log: &dyn Fn(&Served)) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(stream);
    loop {
        let (served, keep_alive) = match read_request(&mut reader) {
            Ok(None) => return Ok(()),
            Ok(Some(request)) => {
                let mut served = Served { request_line: request.line.clone(), status: 0, body_bytes: 0 };
                (served.status, served.body_bytes) = answer(stream, root, server, &request)?;
                (served, request.keep_alive)
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let bytes = refuse(stream, server, 400, true, false)?;
                (Served { request_line: error.to_string(), status: 400, body_bytes: bytes }, false)
            }
            Err(error) => return Err(error),
        };
        log(&served);
        if !keep_alive {
            return Ok(());
        }
    }
}

fn read_request(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Request>> {
    const MOST: u64 = 16 * 1024;
    let mut limited = reader.take(MOST);
    let mut line = Vec::new();
    if limited.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    let line = String::from_utf8_lossy(&line).trim_end().to_owned();
    let bad = || io::Error::new(io::ErrorKind::InvalidData, line.clone());
    let words: Vec<&str> = line.split(' ').collect();
    let [method, target, version] = words.as_slice() else { return Err(bad()) };
    if !version.starts_with("HTTP/1.") || !(target.starts_with('/') || target.starts_with("http://")) {
        return Err(bad());
    }
    let (mut keep_alive, mut length) = (*version == "HTTP/1.1", 0u64);
    loop {
        let mut header = Vec::new();
        if limited.read_until(b'\n', &mut header)? == 0 {
            return Err(bad());
        }
        let header = String::from_utf8_lossy(&header).trim_end().to_owned();
        if header.is_empty() {
            break;
        }
        let Some((name, value)) = header.split_once(':') else { return Err(bad()) };
        match name.to_ascii_lowercase().as_str() {
            "connection" => keep_alive = !value.trim().eq_ignore_ascii_case("close") && keep_alive,
            "content-length" => length = value.trim().parse().map_err(|_| bad())?,
            _ => {}
        }
    }
    let request =
        Request { method: (*method).to_owned(), target: (*target).to_owned(), keep_alive, line: line.clone() };
    io::copy(&mut reader.take(length), &mut io::sink())?;
    Ok(Some(request))
}

fn answer(stream: &TcpStream, root: &Path, server: &str, request: &Request) -> io::Result<(u16, u64)> {
    let body = request.method != "HEAD";
    let keep = request.keep_alive;
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return refuse(stream, server, 405, true, keep).map(|bytes| (405, bytes));
    }
    match locate(root, &request.target) {
        Ok(Found::File(path)) => match File::open(&path) {
            Ok(file) => send(stream, server, &path, &file, body, keep).map(|bytes| (200, bytes)),
            Err(_) => refuse(stream, server, 403, body, keep).map(|bytes| (403, bytes)),
        },
        Ok(Found::Moved(to)) => redirect(stream, server, &to, keep).map(|bytes| (301, bytes)),
        Err(status) => refuse(stream, server, status, body, keep).map(|bytes| (status, bytes)),
    }
}

enum Found {
    File(PathBuf),
    Moved(String),
}

/// The file of a request target; the status of the refusal otherwise.
fn locate(root: &Path, target: &str) -> Result<Found, u16> {
    let path = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => target,
    };
    let path = path.split(['?', '#']).next().unwrap_or("/");
    let decoded = decode(path).ok_or(400u16)?;
    let mut relative = PathBuf::new();
    for part in decoded.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            if !relative.pop() {
                return Err(400);
            }
        } else {
            relative.push(part);
        }
    }
    let root = root.canonicalize().map_err(|_| 404u16)?;
    let status = |error: io::Error| -> u16 { if error.kind() == io::ErrorKind::PermissionDenied { 403 } else { 404 } };
    let resolved = root.join(&relative).canonicalize().map_err(status)?;
    if !resolved.starts_with(&root) {
        return Err(403);
    }
    let found = resolved.metadata().map_err(status)?;
    if found.is_dir() {
        if !decoded.ends_with('/') {
            return Ok(Found::Moved(format!("{path}/")));
        }
        let index = resolved.join("index.html");
        return if index.is_file() { Ok(Found::File(index)) } else { Err(403) };
    }
    if found.is_file() && !decoded.ends_with('/') { Ok(Found::File(resolved)) } else { Err(404) }
}

fn decode(path: &str) -> Option<String> {
    let bytes = path.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            decoded.push(u8::from_str_radix(path.get(at + 1..at + 3)?, 16).ok()?);
            at += 3;
        } else {
            decoded.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(decoded).ok().filter(|text| !text.contains('\0'))
}

fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|ending| ending.to_str()).unwrap_or_default() {
        "html" | "htm" => "text/html",
        "css" => "text/css",
        "js" => "text/javascript",
        "json" => "application/json",
        "txt" | "md" | "conf" | "log" => "text/plain",
        "xml" => "application/xml",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "ico" => "image/x-icon",
        "gz" | "tgz" => "application/x-gzip",
        _ => "application/octet-stream",
    }
}

/// A time as HTTP writes it.
fn http_date(time: SystemTime) -> String {
    crate::clock::Instant::from_system(time).format("%a, %d %b %Y %H:%M:%S GMT", true)
}

fn send(mut stream: &TcpStream, server: &str, path: &Path, file: &File, body: bool, keep: bool) -> io::Result<u64> {
    let found = file.metadata()?;
    let modified = found.modified().unwrap_or(UNIX_EPOCH);
    let micros = modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    let head = format!(
        "HTTP/1.1 200 OK\r\nDate: {}\r\nServer: {server}\r\nLast-Modified: {}\r\nETag: \"{:x}-{micros:x}\"\r\n\
         Accept-Ranges: bytes\r\nContent-Length: {}\r\n{}Content-Type: {}\r\n\r\n",
        http_date(SystemTime::now()),
        http_date(modified),
        found.size(),
        found.size(),
        connection_header(keep),
        content_type(path)
    );
    stream.write_all(head.as_bytes())?;
    if body { io::copy(&mut file.take(found.size()), &mut stream) } else { Ok(0) }
}

fn connection_header(keep: bool) -> &'static str {
    if keep { "" } else { "Connection: close\r\n" }
}

fn redirect(mut stream: &TcpStream, server: &str, to: &str, keep: bool) -> io::Result<u64> {
    write!(
        stream,
        "HTTP/1.1 301 Moved Permanently\r\nDate: {}\r\nServer: {server}\r\nLocation: {to}\r\nContent-Length: 0\r\n{}\r\n",
        http_date(SystemTime::now()),
        connection_header(keep)
    )?;
    Ok(0)
}

fn refuse(mut stream: &TcpStream, server: &str, status: u16, body: bool, keep: bool) -> io::Result<u64> {
    let (title, text) = match status {
        400 => ("Bad Request", "Your browser sent a request that this server could not understand."),
        403 => ("Forbidden", "You don't have permission to access this resource."),
        405 => ("Method Not Allowed", "The requested method is not allowed for this URL."),
        _ => ("Not Found", "The requested URL was not found on this server."),
    };
    let page = format!(
        "<!DOCTYPE HTML PUBLIC \"-//IETF//DTD HTML 2.0//EN\">\n<html><head>\n<title>{status} {title}</title>\n\
         </head><body>\n<h1>{title}</h1>\n<p>{text}</p>\n</body></html>\n"
    );
    let allow = if status == 405 { "Allow: GET,HEAD\r\n" } else { "" };
    write!(
        stream,
        "HTTP/1.1 {status} {title}\r\nDate: {}\r\nServer: {server}\r\n{allow}Content-Length: {}\r\n{}\
         Content-Type: text/html; charset=iso-8859-1\r\n\r\n",
        http_date(SystemTime::now()),
        page.len(),
        connection_header(keep)
    )?;
    if body {
        stream.write_all(page.as_bytes())?;
        return Ok(page.len() as u64);
    }
    Ok(0)
}
