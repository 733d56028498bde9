//! How a pull fails, in Docker's words where Docker has them.

use std::io;
use std::path::PathBuf;

use super::SinkError;
use crate::image::Digest;
use crate::image::config::ConfigError;
use crate::image::manifest::{ManifestError, PlatformError};
use crate::sys::reason::reason;

/// Why an image could not be pulled. Nothing of it is registered.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    #[error("'{name}' is a reserved name")]
    Reserved { name: String },
    #[error("invalid mirror {url:?}: expected http://HOST[:PORT] or https://HOST[:PORT]")]
    Mirror { url: String },
    #[error("cannot read credentials from {path}: {reason}", path = path.display())]
    Credentials { path: PathBuf, reason: String },
    #[error("cannot start the network thread: {}", reason(.0))]
    Reactor(#[from] io::Error),

    #[error("cannot use {path}: {reason}", path = path.display())]
    Certificates { path: PathBuf, reason: String },

    /// The network, before there was an HTTP answer. `method` as Go writes it: `Get`.
    #[error("{method} \"{url}\": {reason}")]
    Transport { method: &'static str, url: String, reason: String },
    /// The connection ended before the content did.
    #[error("unexpected EOF")]
    UnexpectedEof,
    #[error("received unexpected HTTP status: {}", status_text(*.status))]
    HttpStatus { status: u16 },
    /// The registry's own complaint: `toomanyrequests: …`.
    #[error("{code}: {message}")]
    Registry { code: String, message: String },

    #[error("manifest for {reference} not found: manifest unknown: {message}")]
    ManifestUnknown { reference: String, message: String },
    #[error("repository {name} not found: name unknown: {message}")]
    RepositoryUnknown { name: String, message: String },
    #[error(
        "pull access denied for {name}, repository does not exist or may require 'docker login': denied: {message}"
    )]
    Denied { name: String, message: String },
    #[error("Head \"{url}\": no basic auth credentials")]
    NoCredentials { url: String },
    /// A token server that does not know who logs in.
    #[error("Get \"{url}\": {reason}")]
    Refused { url: String, reason: String },
    /// The registry wants a password, and nobody is logged in.
    #[error("no basic auth credentials")]
    MissingCredentials,
    /// A token server's refusal.
    #[error("Head \"{url}\": unauthorized: {message}")]
    Unauthorized { url: String, message: String },
    /// A password would go over the wire for all to read.
    #[error(
        "{registry} speaks HTTPS, but wants its token fetched from {realm} without encryption: refused; have the registry's \
         owner name an https realm, or list the registry in insecure-registries"
    )]
    PlainRealm { registry: String, realm: String },
    /// An answer that would fill the memory.
    #[error("{url} answers with more than the {max_bytes} bytes that are read into memory")]
    AnswerTooLarge { url: String, max_bytes: usize },
    #[error("unknown blob")]
    UnknownBlob { digest: Digest },

    #[error("manifest verification failed for digest {digest}")]
    ManifestVerification { digest: String },
    #[error("image config verification failed for digest {digest}")]
    ConfigVerification { digest: Digest },
    #[error("filesystem layer verification failed for digest {digest}")]
    LayerVerification { digest: Digest },
    #[error(
        "filesystem layer verification failed for digest {digest}: the manifest promises {promised_bytes} bytes, \
         the registry sent {sent_bytes}"
    )]
    LayerSize { digest: Digest, promised_bytes: u64, sent_bytes: u64 },
    #[error("layers from manifest don't match image configuration: {layers} layers, {diff_ids} diff IDs")]
    LayerCount { layers: usize, diff_ids: usize },
    #[error(
        "layers from manifest don't match image configuration: layer {digest} unpacks to {found}, \
         the configuration promises {promised}"
    )]
    DiffId { digest: Digest, promised: Digest, found: Digest },

    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("image config {digest} has {size_bytes} bytes: more than the {max_bytes} that are read into memory")]
    ConfigTooLarge { digest: Digest, size_bytes: u64, max_bytes: u64 },
    #[error(transparent)]
    Platform(#[from] PlatformError),
    #[error("operating system is not supported")]
    UnsupportedSystem,
    #[error("image operating system {os:?} cannot be used on this platform")]
    OperatingSystem { os: String },
    #[error(
        "layer {digest} is compressed with {format}, which is not supported: push the image with gzip or zstd layers"
    )]
    Compression { digest: Digest, format: &'static str },
    #[error("layer {digest} cannot be decompressed: {}", reason(.source))]
    Decompress { digest: Digest, source: io::Error },
    /// The sink could not take the layer.
    #[error("failed to register layer: {source}")]
    Sink { digest: Digest, source: SinkError },
    /// The image has more layers than can be stacked here.
    #[error("failed to register layer: max depth exceeded")]
    MaxDepth,
    /// Another layer failed first.
    #[error("the pull was given up")]
    GivenUp,
}

impl PullError {
    /// Whether the same request may well succeed a little later.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            PullError::Transport { .. } | PullError::UnexpectedEof => true,
            PullError::HttpStatus { status } => *status >= 500,
            _ => false,
        }
    }

    /// Whether another registry might do better: not when the fault is on this side.
    pub(super) fn is_remote(&self) -> bool {
        !matches!(
            self,
            PullError::Sink { .. }
                | PullError::MaxDepth
                | PullError::Credentials { .. }
                | PullError::Certificates { .. }
                | PullError::Mirror { .. }
                | PullError::Platform(_)
                | PullError::Reactor(_)
        )
    }

    /// Whether the registry answered, but with something broken: worth telling even when another is unreachable.
    pub(super) fn is_broken_content(&self) -> bool {
        matches!(
            self,
            PullError::ManifestVerification { .. }
                | PullError::ConfigVerification { .. }
                | PullError::LayerVerification { .. }
                | PullError::LayerSize { .. }
                | PullError::LayerCount { .. }
                | PullError::DiffId { .. }
                | PullError::UnknownBlob { .. }
                | PullError::UnexpectedEof
                | PullError::Manifest(_)
                | PullError::Config(_)
                | PullError::Compression { .. }
                | PullError::Decompress { .. }
        )
    }
}

fn status_text(status: u16) -> String {
    let reason = match status {
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        416 => "Requested Range Not Satisfiable",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => return status.to_string(),
    };
    format!("{status} {reason}")
}
