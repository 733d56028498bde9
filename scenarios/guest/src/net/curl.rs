//! `curl` for plain http, with curl's messages and exit codes.

use crate::applets::Call;
use crate::options::{Accepts, Options};
use crate::say;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

/// A failure in curl's numbering.
struct Failure {
    code: u8,
    message: String,
}

fn failure(code: u8, message: impl Into<String>) -> Failure {
    Failure { code, message: message.into() }
}

struct Url {
    host: String,
    port: u16,
    path: String,
}

struct Answer {
    head: String,
    status: u16,
    location: Option<String>,
    body: Vec<u8>,
}

pub fn curl(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "curl",
        short: "46fsSko:OIiLX:d:H:m:vw:A:T:c:",
        long: &[
            ("fail", 'f'),
            ("silent", 's'),
            ("show-error", 'S'),
            ("output", 'o'),
            ("remote-name", 'O'),
            ("head", 'I'),
            ("include", 'i'),
            ("location", 'L'),
            ("request", 'X'),
            ("data", 'd'),
            ("header", 'H'),
            ("max-time", 'm'),
            ("connect-timeout", 'c'),
            ("verbose", 'v'),
            ("write-out", 'w'),
            ("user-agent", 'A'),
            ("ipv4", '4'),
            ("ipv6", '6'),
        ],
        misuse: 2,
    };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    if options.operands.is_empty() {
        say::complain("curl", "try 'curl --help' or 'curl --manual' for more information");
        return 2;
    }
    let mut status = 0;
    for url in &options.operands {
        if let Err(failed) = transfer(&options, url) {
            status = failed.code;
            if !options.has('s') || options.has('S') {
                say::complain("curl", format!("({}) {}", failed.code, failed.message));
            }
        }
    }
    status
}

fn parse(text: &str) -> Result<Url, Failure> {
    let rest = match text.split_once("://") {
        Some(("http", rest)) => rest,
        Some((scheme, _)) => {
            return Err(failure(1, format!("Protocol \"{scheme}\" not supported or disabled in libcurl")));
        }
        None => text,
    };
    let (authority, path) = match rest.find(['/', '?']) {
        Some(at) if rest[at..].starts_with('/') => (&rest[..at], rest[at..].to_owned()),
        Some(at) => (&rest[..at], format!("/{}", &rest[at..])),
        None => (rest, "/".to_owned()),
    };
    let authority = authority.rsplit('@').next().unwrap_or(authority);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let port = match port {
        None => 80,
        Some(port) => port.parse().map_err(|_| failure(3, "URL using bad/illegal format or missing URL"))?,
    };
    if host.is_empty() {
        return Err(failure(3, "URL using bad/illegal format or missing URL"));
    }
    let path = path.split('#').next().unwrap_or("/").to_owned();
    Ok(Url { host: host.trim_matches(['[', ']']).to_owned(), port, path })
}

fn addresses(url: &Url, options: &Options) -> Result<Vec<SocketAddr>, Failure> {
    let found: Vec<SocketAddr> = if url.host == "localhost" || url.host.ends_with(".localhost") {
        [IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)]
            .map(|ip| SocketAddr::new(ip, url.port))
            .to_vec()
    } else {
        let from_hosts = hosts_file(&url.host).map(|ip| vec![SocketAddr::new(ip, url.port)]);
        match from_hosts {
            Some(found) => found,
            None => (url.host.as_str(), url.port)
                .to_socket_addrs()
                .map_err(|_| failure(6, format!("Could not resolve host: {}", url.host)))?
                .collect(),
        }
    };
    let (only4, only6) = (options.has('4'), options.has('6'));
    Ok(found.into_iter().filter(|address| !(only4 && address.is_ipv6() || only6 && address.is_ipv4())).collect())
}

/// /etc/hosts is read here, since a static binary may lack the C library's name services.
pub(super) fn hosts_file(host: &str) -> Option<IpAddr> {
    std::fs::read_to_string("/etc/hosts").ok()?.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|name| name == host).then_some(address)
    })
}

fn seconds(options: &Options, letter: char) -> Option<Duration> {
    options.value(letter).and_then(|text| text.parse().ok()).and_then(|value| Duration::try_from_secs_f64(value).ok())
}

fn connect(url: &Url, options: &Options, started: Instant) -> Result<TcpStream, Failure> {
    let limit = seconds(options, 'c').or(seconds(options, 'm')).unwrap_or(Duration::from_secs(300));
    let mut timed_out = false;
    for address in addresses(url, options)? {
        match TcpStream::connect_timeout(&address, limit) {
            Ok(stream) => return Ok(stream),
            Err(error) => timed_out |= error.kind() == io::ErrorKind::TimedOut,
        }
    }
    let elapsed = started.elapsed().as_millis();
    if timed_out {
        return Err(failure(28, format!("Connection timed out after {elapsed} milliseconds")));
    }
    Err(failure(
        7,
        format!("Failed to connect to {} port {} after {elapsed} ms: Couldn't connect to server", url.host, url.port),
    ))
}

fn transfer(options: &Options, url: &str) -> Result<(), Failure> {
    let started = Instant::now();
    let mut url = parse(url)?;
    let mut heads = String::new();
    for _ in 0..50 {
        let answer = exchange(&url, options, started)?;
        heads.push_str(&answer.head);
        match &answer.location {
            Some(location) if options.has('L') && (300..400).contains(&answer.status) => {
                url = follow(&url, location)?;
            }
            _ => return deliver(options, &url, &heads, &answer, started),
        }
    }
    Err(failure(47, "Maximum (50) redirects followed"))
}

fn follow(from: &Url, location: &str) -> Result<Url, Failure> {
    if location.contains("://") {
        return parse(location);
    }
    let path = if location.starts_with('/') {
        location.to_owned()
    } else {
        format!("{}/{location}", from.path.rsplit_once('/').map_or("", |(directory, _)| directory))
    };
    Ok(Url { host: from.host.clone(), port: from.port, path })
}

fn exchange(url: &Url, options: &Options, started: Instant) -> Result<Answer, Failure> {
    let mut stream = connect(url, options, started)?;
    let total = seconds(options, 'm');
    let remaining = || total.map(|total| total.saturating_sub(started.elapsed()).max(Duration::from_millis(1)));
    let data: Vec<&str> = options.values('d').collect();
    let default = if options.has('I') {
        "HEAD"
    } else if data.is_empty() {
        "GET"
    } else {
        "POST"
    };
    let method = options.value('X').unwrap_or(default);
    let host = if url.host.contains(':') { format!("[{}]", url.host) } else { url.host.clone() };
    let host = if url.port == 80 { host } else { format!("{host}:{}", url.port) };
    let agent = options.value('A').unwrap_or("curl/7.88.1");
    let mut request = format!(
        "{method} {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nAccept: */*\r\nConnection: close\r\n",
        url.path
    );
    for header in options.values('H') {
        request.push_str(&format!("{header}\r\n"));
    }
    let body = data.join("&");
    if !data.is_empty() {
        request.push_str(&format!(
            "Content-Length: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n",
            body.len()
        ));
    }
    request.push_str(&format!("\r\n{body}"));
    if options.has('v') {
        request.lines().take_while(|line| !line.is_empty()).for_each(|line| error_line!("> {line}"));
    }
    let fail = |error: io::Error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => failure(
            28,
            format!("Operation timed out after {} milliseconds with 0 bytes received", started.elapsed().as_millis()),
        ),
        io::ErrorKind::UnexpectedEof => failure(52, "Empty reply from server"),
        io::ErrorKind::ConnectionReset => failure(56, "Recv failure: Connection reset by peer"),
        _ => failure(56, format!("Recv failure: {}", say::reason(&error))),
    };
    stream.set_read_timeout(remaining()).map_err(fail)?;
    stream.write_all(request.as_bytes()).map_err(fail)?;
    read_answer(&mut BufReader::new(stream), method == "HEAD").map_err(fail)
}

fn read_answer(reader: &mut BufReader<TcpStream>, headless: bool) -> io::Result<Answer> {
    let mut head = String::new();
    loop {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        head.push_str(&line);
        if line.trim_end().is_empty() {
            break;
        }
    }
    let status = head.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    let header = |name: &str| {
        head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let mut body = Vec::new();
    if !headless && status != 204 && status != 304 {
        if header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            chunks(reader, &mut body)?;
        } else if let Some(length) = header("content-length").and_then(|value| value.parse().ok()) {
            reader.take(length).read_to_end(&mut body)?;
        } else {
            reader.read_to_end(&mut body)?;
        }
    }
    let location = header("location");
    Ok(Answer { head, status, location, body })
}

fn chunks(reader: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let length = u64::from_str_radix(line.trim().split(';').next().unwrap_or_default(), 16)
            .map_err(|_| io::Error::other("bad chunk"))?;
        if length == 0 {
            return Ok(());
        }
        reader.take(length).read_to_end(body)?;
        let mut end = [0u8; 2];
        reader.read_exact(&mut end)?;
    }
}

fn deliver(options: &Options, url: &Url, heads: &str, answer: &Answer, started: Instant) -> Result<(), Failure> {
    if options.has('v') {
        heads.lines().for_each(|line| error_line!("< {line}"));
    }
    if options.has('f') && answer.status >= 400 {
        return Err(failure(22, format!("The requested URL returned error: {}", answer.status)));
    }
    let mut contents = Vec::new();
    if options.has('I') || options.has('i') {
        contents.extend_from_slice(heads.as_bytes());
    }
    contents.extend_from_slice(&answer.body);
    let target = match (options.value('o'), options.has('O')) {
        (Some("-"), _) => None,
        (Some(path), _) => Some(path.to_owned()),
        (None, true) => {
            let name = url.path.split('?').next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
            if name.is_empty() {
                return Err(failure(23, "Remote file name has no length!"));
            }
            Some(name.to_owned())
        }
        (None, false) => None,
    };
    if target.is_some() && !options.has('s') {
        progress(contents.len(), started.elapsed());
    }
    match target {
        None => say::bytes(&contents),
        Some(path) => std::fs::write(&path, &contents)
            .map_err(|error| failure(23, format!("Failure writing output to destination: {}", say::reason(&error))))?,
    }
    if let Some(format) = options.value('w') {
        let text = format
            .replace("%{http_code}", &format!("{:03}", answer.status))
            .replace("%{response_code}", &format!("{:03}", answer.status))
            .replace("%{size_download}", &answer.body.len().to_string());
        say::text(crate::text::print::escapes(&text).0);
    }
    Ok(())
}

fn progress(bytes: usize, elapsed: Duration) {
    let rate = (bytes as f64 / elapsed.as_secs_f64().max(0.001)) as u64;
    error_line!("  % Total    % Received % Xferd  Average Speed   Time    Time     Time  Current");
    error_line!("                                 Dload  Upload   Total   Spent    Left  Speed");
    error_line!("100 {bytes:>5}  100 {bytes:>5}    0     0 {rate:>6}      0 --:--:-- --:--:-- --:--:-- {rate:>5}");
}
