//! What a registry can be told to do wrong, and when.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// One wrong, done to the requests it fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub at: At,
    pub misbehaviour: Misbehaviour,
    /// How many requests it is done to; `None`: all. After that the registry behaves.
    pub times: Option<usize>,
}

/// Which requests a fault fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    Everything,
    /// `/v2/`, the first thing most clients ask for.
    Base,
    /// Manifests by tag and by digest.
    Manifests,
    /// Manifests asked for by digest only.
    ManifestsByDigest,
    Blobs,
    /// The blob with this digest.
    Blob(String),
    /// `/token`.
    Token,
    /// Everything that belongs to uploads of blobs.
    Uploads,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misbehaviour {
    /// Other bytes of the same length under the same headers: one bit in the middle is turned.
    WrongContent,
    /// `Content-Length` of the whole, but the connection is closed after so many bytes of the body.
    Truncated { after_bytes: u64 },
    /// The connection stays open and silent after so many bytes of the body.
    Hanging { after_bytes: u64 },
    /// This status and an error body instead of the answer: 404, 500, 503, …
    Status(u16),
    /// 429, with `Retry-After` in seconds where given.
    TooManyRequests { retry_after: Option<Duration> },
    /// 307 to `<base>/<digest>` for a blob, `<base><path>` for anything else. `base` is a path such as `/elsewhere`, under
    /// which this registry serves blobs without authentication, or `http://host:port/elsewhere`.
    Redirect { base: String },
}

/// Faults with their use counted.
#[derive(Debug)]
pub struct Faults(Vec<(Fault, AtomicUsize)>);

/// What a request asks for, as far as faults tell requests apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'a> {
    Base,
    Manifest { by_digest: bool },
    Blob { digest: &'a str },
    Token,
    Upload,
    Other,
}

impl Faults {
    pub fn new(faults: Vec<Fault>) -> Self {
        Self(faults.into_iter().map(|fault| (fault, AtomicUsize::new(0))).collect())
    }

    /// The first fault that fits and is not used up; taking it uses it once.
    pub fn take(&self, wanted: Wanted) -> Option<Misbehaviour> {
        let fits = |(fault, used): &&(Fault, AtomicUsize)| {
            fault.at.fits(wanted) && fault.times.is_none_or(|times| used.fetch_add(1, Ordering::SeqCst) < times)
        };
        self.0.iter().find(fits).map(|(fault, _)| fault.misbehaviour.clone())
    }
}

impl At {
    fn fits(&self, wanted: Wanted) -> bool {
        match self {
            Self::Everything => true,
            Self::Base => wanted == Wanted::Base,
            Self::Manifests => matches!(wanted, Wanted::Manifest { .. }),
            Self::ManifestsByDigest => wanted == (Wanted::Manifest { by_digest: true }),
            Self::Blobs => matches!(wanted, Wanted::Blob { .. }),
            Self::Blob(digest) => matches!(wanted, Wanted::Blob { digest: asked } if asked == digest),
            Self::Token => wanted == Wanted::Token,
            Self::Uploads => wanted == Wanted::Upload,
        }
    }
}
