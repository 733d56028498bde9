//! Turns what a registry and the network say into the words of [`PullError`].

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};

use reqwest::StatusCode;
use serde::Deserialize;

use super::PullError;
use crate::image::{Digest, Reference};

/// What was asked for when an error came.
pub(super) struct Asked<'a> {
    pub(super) reference: &'a Reference,
    pub(super) url: String,
    pub(super) access: Access,
    pub(super) blob: Option<&'a Digest>,
}

impl Asked<'_> {
    /// The manifest that the reference names: what dockerd asks for when it first needs to say who it is.
    pub(super) fn manifest_url(&self) -> String {
        let base = self.url.split("/v2/").next().unwrap_or_default();
        let name = self.reference.digest().map(ToString::to_string);
        let name = name.unwrap_or_else(|| self.reference.tag().unwrap_or("latest").to_owned());
        format!("{base}/v2/{}/manifests/{name}", self.reference.path())
    }
}

/// How the registry was told who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Not at all.
    Anonymous,
    Password,
    /// With a token from the registry's token server, perhaps an anonymous one.
    Token,
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<OneError>,
}

#[derive(Deserialize)]
struct OneError {
    code: String,
    #[serde(default)]
    message: String,
}

/// The pull error for an answer with this status and body.
pub(super) fn refused(status: StatusCode, body: &[u8], asked: &Asked) -> PullError {
    if status == StatusCode::UNAUTHORIZED {
        return unauthorized(asked);
    }
    if status.is_client_error()
        && let Ok(Errors { errors }) = serde_json::from_slice(body)
    {
        return match errors.into_iter().next() {
            Some(error) => registry_error(error, asked),
            None => PullError::Registry { code: "unknown".to_owned(), message: "empty error list".to_owned() },
        };
    }
    match status {
        StatusCode::NOT_FOUND if asked.blob.is_some() => unknown_blob(asked),
        _ => PullError::HttpStatus { status: status.as_u16() },
    }
}

/// The error for a request that got no whole answer. `method` as Go writes it: `Get`.
pub(super) fn request_failed(error: &reqwest::Error, method: &'static str, url: &str) -> PullError {
    if chain_of(error).any(is_cut_off) {
        return PullError::UnexpectedEof;
    }
    let url = error.url().map_or_else(|| url.to_owned(), ToString::to_string);
    let reason = request_reason(error, &url, error.is_connect(), error.is_timeout());
    PullError::Transport { method, url, reason }
}

/// The pull error for a body that broke off.
pub(super) fn broken_stream(error: &io::Error, url: &str) -> PullError {
    if chain_of(error).any(is_cut_off) {
        return PullError::UnexpectedEof;
    }
    let chain: Vec<String> = chain_of(error).map(ToString::to_string).collect();
    let reason = match os_error(error) {
        Some(errno) => format!("read: {errno}"),
        None if chain.iter().any(|text| text.contains("timed out")) => "read: i/o timeout".to_owned(),
        None => chain.last().cloned().unwrap_or_default(),
    };
    PullError::Transport { method: "Get", url: url.to_owned(), reason }
}

/// Whether this says, in hyper's words, that the body ended before its length or its last chunk.
fn is_cut_off(error: &(dyn Error + 'static)) -> bool {
    let text = error.to_string();
    text.contains("end of file before message length") || text.contains("unexpected EOF during chunk")
}

fn registry_error(error: OneError, asked: &Asked) -> PullError {
    let code = error.code.to_lowercase().replace('_', " ");
    let message = if error.message.is_empty() { code.clone() } else { error.message };
    let reference = asked.reference;
    match code.as_str() {
        "manifest unknown" => PullError::ManifestUnknown { reference: reference.familiar(), message },
        "name unknown" => PullError::RepositoryUnknown { name: reference.familiar_name(), message },
        "denied" => PullError::Denied { name: reference.familiar_name(), message },
        "blob unknown" => unknown_blob(asked),
        _ => PullError::Registry { code, message },
    }
}

fn unknown_blob(asked: &Asked) -> PullError {
    match asked.blob {
        Some(digest) => PullError::UnknownBlob { digest: digest.clone() },
        None => PullError::HttpStatus { status: 404 },
    }
}

/// A 401: the words are those of dockerd for the same situation.
fn unauthorized(asked: &Asked) -> PullError {
    match asked.access {
        Access::Token => PullError::Denied {
            name: asked.reference.familiar_name(),
            message: "requested access to the resource is denied".to_owned(),
        },
        Access::Anonymous => PullError::NoCredentials { url: asked.manifest_url() },
        Access::Password => {
            PullError::Registry { code: "unauthorized".to_owned(), message: "authentication required".to_owned() }
        }
    }
}

fn request_reason(error: &(dyn Error + 'static), url: &str, connecting: bool, timed_out: bool) -> String {
    let chain: Vec<String> = chain_of(error).map(ToString::to_string).collect();
    let says = |text: &str| chain.iter().any(|link| link.contains(text));
    let (host, port) = host_and_port(url);
    if says("dns error") {
        return format!("dial tcp: lookup {host}{}", lookup_reason(says("not known")));
    }
    if says("InvalidContentType") {
        return "http: server gave HTTP response to HTTPS client".to_owned();
    }
    if says("UnknownIssuer") {
        return "x509: certificate signed by unknown authority".to_owned();
    }
    let errno = os_error(error);
    match (connecting, errno) {
        (true, Some(errno)) => format!("dial tcp {}: connect: {errno}", dialled(&host, port)),
        (true, None) if timed_out => format!("dial tcp {}: i/o timeout", dialled(&host, port)),
        (false, None) if timed_out => "net/http: timeout awaiting response headers".to_owned(),
        (false, Some(errno)) => format!("read: {errno}"),
        (false, None) if says("connection closed before message completed") => "EOF".to_owned(),
        _ => chain.last().cloned().unwrap_or_default(),
    }
}

fn chain_of<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    // An io::Error shows its inner error as itself, and that one's source as its own: look inside.
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner as &(dyn Error + 'static)),
        None => error.source(),
    })
}

/// The operating system's error in the chain, as Go words it: `connection refused`.
fn os_error(error: &(dyn Error + 'static)) -> Option<String> {
    let error =
        chain_of(error).filter_map(|link| link.downcast_ref::<io::Error>()).find_map(io::Error::raw_os_error)?;
    let text = io::Error::from_raw_os_error(error).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    Some(text.to_lowercase())
}

fn host_and_port(url: &str) -> (String, u16) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    let default_port = if scheme == "http" { 80 } else { 443 };
    match authority.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
        Some((host, Ok(port))) => (host.to_owned(), port),
        _ => (authority.to_owned(), default_port),
    }
}

fn dialled(host: &str, port: u16) -> String {
    match (host, port).to_socket_addrs().ok().and_then(|mut addresses| addresses.next()) {
        Some(address) => address.to_string(),
        None => format!("{host}:{port}"),
    }
}

/// Why a name could not be looked up: whether its server can be reached at all, as Go's resolver reports it.
fn lookup_reason(is_unknown: bool) -> String {
    let answer = if is_unknown { "no such host" } else { "server misbehaving" };
    let Some(server) = name_server() else { return format!(": {answer}") };
    let local: SocketAddr = if server.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    match UdpSocket::bind(local).and_then(|socket| socket.connect(server)) {
        Ok(()) => format!(" on {server}: {answer}"),
        Err(error) => {
            let reason = os_error(&error).unwrap_or_else(|| error.to_string());
            format!(" on {server}: dial udp {server}: connect: {reason}")
        }
    }
}

fn name_server() -> Option<SocketAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").ok()?;
    let address = text.lines().find_map(|line| line.strip_prefix("nameserver")?.trim().parse::<IpAddr>().ok())?;
    Some(SocketAddr::new(address, 53))
}
