//! Pulling images from registries and pushing them there over the OCI distribution protocol; searching and logging in.
//!
//! *Why*: a registry is a stranger. Whatever it sends, late, short, wrong or too much, must end in a clear error and
//! leave nothing behind.
//! *Holds*: manifests, configurations and layers are verified against the digests that name them, and every layer also
//! against its size and diff ID, before the first layer is registered. No layer is ever whole in memory.
//! No other answer is read into memory without a limit (`body`).
//! *Never*: sends credentials to anyone but the registry they are kept for and the token server that it names, nor to a token
//! server without encryption when the registry has it; follows a layer's foreign URLs; pushes a layer whose bytes are not
//! those of its diff ID.
//! *Proved by*: `engine/tests/pull`, `engine/tests/push.rs`, `engine/tests/endless.rs`, and with a real registry
//! `engine/tests/real_registry/main.rs`.

mod authorities;
mod blob;
mod body;
mod certificates;
mod conversation;
mod credentials;
mod endpoint;
mod error;
mod layers;
mod login;
mod pull;
mod push;
mod reactor;
mod remote;
mod search;
mod tags;
mod upload;
mod wire;
mod zstd;

use std::error::Error;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::image::{Digest, ImageConfig, Reference};

pub use credentials::CredentialsFile;
pub use error::PullError;
pub use login::{LoginError, login, server_key};
pub use pull::pull;
pub use push::{PushError, Pushed, push};
pub use search::{Found, SearchError, search};
pub use tags::tags;

/// What a sink may fail with.
pub type SinkError = Box<dyn Error + Send + Sync>;

/// Which registries to ask, and how.
#[derive(Clone, Debug, Default)]
pub struct RegistrySettings {
    /// Base URLs that are asked before Docker Hub for its images (`registry-mirrors` of daemon.json).
    pub mirrors: Vec<String>,
    /// `host`, `host:port` or CIDR blocks whose certificates are not checked and which may speak plain HTTP
    /// (`insecure-registries`). Loopback addresses that are not listed here are spoken to in plain HTTP.
    pub insecure: Vec<String>,
    /// The docker client's `config.json`, for the credentials in its `auths`.
    pub credentials: Option<PathBuf>,
    /// Docker's `certs.d`: in its directory `HOST` lie, as `*.crt`, the authorities to trust for that host.
    pub certificates: Option<PathBuf>,
    /// What is done about downloads that break off.
    pub retries: Retries,
}

/// How often a blob is asked for, and the pause between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// How often at most (`max-download-attempts` of daemon.json).
    pub attempts_max: u32,
    /// The pause before the second attempt; the n-th is n times as long.
    pub pause: Duration,
}

impl Default for Retries {
    /// dockerd's: five attempts, five seconds.
    fn default() -> Retries {
        Retries { attempts_max: 5, pause: Duration::from_secs(5) }
    }
}

/// One layer of an image that is being pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerToPull {
    /// 0 is the base.
    pub index: usize,
    pub chain_id: Digest,
    /// The chain ID of the layer below; `None` for the base.
    pub parent: Option<Digest>,
    pub diff_id: Digest,
    /// The digest of the blob as the registry has it, usually compressed.
    pub blob: Digest,
    /// The size of that blob.
    pub compressed_size_bytes: u64,
}

/// Where pulled layers go: the store.
pub trait PullSink: Sync {
    /// Whether the image is there already, so that nothing needs to be pulled.
    fn has_image(&self, image_id: &Digest) -> bool;

    /// Whether the layer is registered already. Asked from the base up, and of no layer above one that is not.
    fn has_layer(&self, chain_id: &Digest) -> bool;

    /// How many layers an image may have.
    fn layers_max(&self) -> usize;

    /// Unpacks one uncompressed layer tar into a staging place, side by side with other layers and before the one
    /// below may be there. Nothing may become visible. What is not read of `tar` is read and verified by the caller.
    fn unpack(&self, layer: &LayerToPull, tar: &mut dyn Read) -> Result<(), SinkError>;

    /// Makes a staged layer visible. Called from the base up, after *all* layers of the image are verified.
    fn register(&self, layer: &LayerToPull) -> Result<(), SinkError>;

    /// The pull failed: drops what it made of this layer, staged (perhaps half) or registered. Called from the top down.
    fn discard(&self, layer: &LayerToPull);
}

/// What happens to a layer, in the order in which it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerEvent {
    AlreadyExists,
    PullingFsLayer,
    /// All download slots are taken.
    Waiting,
    /// Compressed bytes; they are unpacked as they come.
    Downloading {
        done_bytes: u64,
        total_bytes: u64,
    },
    /// The connection broke; the download goes on in `seconds`.
    Retrying {
        seconds: u64,
    },
    VerifyingChecksum,
    DownloadComplete,
    /// The unpacked layer is being registered; compressed bytes.
    Extracting {
        done_bytes: u64,
        total_bytes: u64,
    },
    PullComplete,
}

/// One layer of an image that is being pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerToPush {
    pub chain_id: Digest,
    pub diff_id: Digest,
    /// The size that progress is counted in: that of the layer's files.
    pub size_bytes: u64,
}

/// An image that is to be pushed.
#[derive(Clone, Debug)]
pub struct ImageToPush {
    pub config: Vec<u8>,
    /// From the base up.
    pub layers: Vec<LayerToPush>,
}

/// A blob that a layer is known to have been in some repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownBlob {
    pub digest: Digest,
    /// `docker.io/library/httpd`.
    pub repository: String,
}

/// Where pushed layers come from: the store.
pub trait PushSource: Sync {
    /// The blobs that the layer is known to have been, what was learnt last at the end.
    fn known_blobs(&self, diff_id: &Digest) -> Vec<KnownBlob>;

    /// Writes the layer's tar, whose digest is its diff ID.
    fn write_tar(&self, layer: &LayerToPush, out: &mut dyn Write) -> Result<(), SinkError>;

    /// The blob is in the repository now.
    fn remember(&self, diff_id: &Digest, blob: &KnownBlob) -> Result<(), SinkError>;

    /// The blob is not where it was known to be.
    fn forget(&self, diff_id: &Digest, blob: &KnownBlob) -> Result<(), SinkError>;

    /// Where compressed layers lie until they are sent.
    fn scratch(&self) -> &Path;
}

/// What happens to a layer that is pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushEvent {
    Preparing,
    /// All upload slots are taken.
    Waiting,
    /// Bytes of the compressed layer.
    Pushing {
        done_bytes: u64,
        total_bytes: u64,
    },
    /// The connection broke; the upload goes on in `seconds`.
    Retrying {
        seconds: u64,
    },
    Pushed,
    AlreadyExists,
    /// The registry took it from another of its repositories.
    MountedFrom(String),
}

/// Someone who is told how a push goes on, from several threads at once.
pub trait PushProgress: Sync {
    /// `layer_short` is the short form of the layer's diff ID.
    fn event(&self, layer_short: &str, event: PushEvent);
}

/// Someone who is told how a pull goes on, from several threads at once.
pub trait PullProgress: Sync {
    /// The manifest is there; pulled by tag, or by digest.
    fn pulling_from(&self, reference: &Reference);

    /// `layer_short` is the short form of the layer's blob digest.
    fn event(&self, layer_short: &str, event: LayerEvent);
}

/// An image that has been pulled: its layers are registered, its configuration and names are not yet.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The digest of what the reference leads to: of the index where there is one. Docker's `Digest:` line.
    pub manifest_digest: Digest,
    /// The bytes of the image's own manifest.
    pub manifest_raw: Vec<u8>,
    pub image_id: Digest,
    /// `None` when the sink had the image already.
    pub config: Option<ImageConfig>,
    /// All layers from the base up, also those that existed; empty when the sink had the image already.
    pub layers: Vec<LayerToPull>,
}
