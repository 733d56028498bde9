//! One blob on its way into a registry: it may be there, be mounted from a neighbour, or be sent, going on after a break.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::StreamExt;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use reqwest::{Body, Method, Response, StatusCode, Url};
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;

use super::conversation::Conversation;
use super::push::{Blob, PushError};
use super::{KnownBlob, LayerToPush, PullError, PushEvent, PushProgress, PushSource, Retries};
use crate::image::digest::DigestWriter;
use crate::image::manifest::media_type;
use crate::image::{Digest, Reference};

/// How many of a layer's known blobs are looked for, and how many are asked to be mounted.
const ATTEMPTS_MAX: usize = 4;
/// Progress is told so often.
const TELL_PAUSE: Duration = Duration::from_millis(100);
const OCTETS: &str = "application/octet-stream";

/// What all uploads of a push share.
pub(super) struct Upload<'a> {
    pub(super) conversation: &'a Conversation<'a>,
    pub(super) reference: &'a Reference,
    pub(super) retries: Retries,
    pub(super) source: &'a dyn PushSource,
    pub(super) progress: &'a dyn PushProgress,
    pub(super) given_up: &'a CancellationToken,
}

/// What came of asking for a mount.
enum Begun {
    Mounted,
    /// The registry waits for the bytes there.
    At(String),
}

impl Upload<'_> {
    /// What a token must be good for.
    pub(super) fn scopes(&self, from: Option<&str>) -> Vec<String> {
        let mut scopes = vec![format!("repository:{}:pull,push", self.reference.path())];
        scopes.extend(from.map(|path| format!("repository:{path}:pull")));
        scopes
    }

    /// Has the layer in the repository, as cheaply as possible.
    pub(super) fn layer(&self, layer: &LayerToPush) -> Result<Blob, PushError> {
        let id = layer.diff_id.short();
        let known = self.source.known_blobs(&layer.diff_id);
        if let Some((blob, is_news)) = self.existing(&known)? {
            if is_news {
                self.remember(layer, &blob.digest)?;
            }
            self.progress.event(id, PushEvent::AlreadyExists);
            return Ok(blob);
        }
        let mut begun = None;
        for candidate in self.mountable(&known) {
            let path = candidate.repository.split_once('/').map_or("", |(_, path)| path);
            match self.begin(Some((&candidate.digest, path)))? {
                Begun::Mounted => {
                    let (blob, _) = self
                        .head(&candidate.digest)?
                        .ok_or(PullError::UnknownBlob { digest: candidate.digest.clone() })?;
                    self.remember(layer, &blob.digest)?;
                    self.progress.event(id, PushEvent::MountedFrom(path.to_owned()));
                    return Ok(blob);
                }
                Begun::At(location) => {
                    self.source.forget(&layer.diff_id, candidate).map_err(PushError::Books)?;
                    begun = Some(location);
                }
            }
        }
        let packed = self.compress(layer)?;
        self.send(&packed, id, begun)?;
        self.remember(layer, &packed.digest)?;
        self.progress.event(id, PushEvent::Pushed);
        Ok(Blob { media_type: media_type::DOCKER_LAYER, size_bytes: packed.size_bytes, digest: packed.digest })
    }

    /// Has the configuration in the repository.
    pub(super) fn config(&self, bytes: &[u8]) -> Result<Blob, PushError> {
        let digest = Digest::of(bytes);
        if self.head(&digest)?.is_none() {
            self.retrying(None, || {
                let Begun::At(location) = self.begin(None)? else { return Ok(()) };
                let put = |request: reqwest::RequestBuilder| request.header(CONTENT_TYPE, OCTETS).body(bytes.to_vec());
                let url = with_digest(&location, &digest)?;
                let response = self.conversation.send(Method::PUT, &url, &self.scopes(None), put)?;
                self.expect(response, StatusCode::CREATED).map(drop)
            })?;
        }
        Ok(Blob { media_type: media_type::DOCKER_CONFIG, size_bytes: bytes.len() as u64, digest })
    }

    /// The first known blob that the repository has, and whether it was not known to be in this repository.
    fn existing(&self, known: &[KnownBlob]) -> Result<Option<(Blob, bool)>, PushError> {
        let here = self.reference.canonical_name();
        let mut asked: Vec<&Digest> = Vec::new();
        // Best first: what was pushed or pulled here, then what was learnt last.
        let (of_here, elsewhere): (Vec<_>, Vec<_>) = known.iter().rev().partition(|blob| blob.repository == here);
        for candidate in of_here.into_iter().chain(elsewhere) {
            if asked.contains(&&candidate.digest) || asked.len() == ATTEMPTS_MAX {
                continue;
            }
            asked.push(&candidate.digest);
            if let Some((blob, _)) = self.head(&candidate.digest)? {
                let is_news = !known.iter().any(|other| other.digest == blob.digest && other.repository == here);
                return Ok(Some((blob, is_news)));
            }
        }
        Ok(None)
    }

    /// Blobs in other repositories of the same registry, what was learnt last first.
    fn mountable<'k>(&self, known: &'k [KnownBlob]) -> impl Iterator<Item = &'k KnownBlob> {
        let (here, domain) = (self.reference.canonical_name(), format!("{}/", self.reference.domain()));
        let fits = move |blob: &&KnownBlob| blob.repository != here && blob.repository.starts_with(&domain);
        known.iter().rev().filter(fits).take(ATTEMPTS_MAX)
    }

    fn head(&self, digest: &Digest) -> Result<Option<(Blob, StatusCode)>, PullError> {
        let url = self.conversation.url(&format!("/v2/{}/blobs/{digest}", self.reference.path()));
        let response = self.conversation.send(Method::HEAD, &url, &self.scopes(None), |request| request)?;
        let status = response.status();
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !status.is_success() {
            return Err(self.conversation.refusal(response));
        }
        let size = response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let Some(size_bytes) = size else { return Ok(None) };
        Ok(Some((Blob { media_type: media_type::DOCKER_LAYER, size_bytes, digest: digest.clone() }, status)))
    }

    /// Begins an upload, or has a blob mounted from the repository `from`.
    fn begin(&self, from: Option<(&Digest, &str)>) -> Result<Begun, PullError> {
        let mut url = self.conversation.url(&format!("/v2/{}/blobs/uploads/", self.reference.path()));
        if let Some((digest, path)) = from {
            url = format!("{url}?from={}&mount={}", escaped(path), escaped(&digest.to_string()));
        }
        let scopes = self.scopes(from.map(|(_, path)| path));
        let response =
            self.conversation.send(Method::POST, &url, &scopes, |request| request.header(CONTENT_LENGTH, 0))?;
        match response.status() {
            StatusCode::CREATED if from.is_some() => Ok(Begun::Mounted),
            // Whoever may not read the neighbour may still write here.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if from.is_some() => self.begin(None),
            _ => {
                let response = self.expect(response, StatusCode::ACCEPTED)?;
                Ok(Begun::At(location_of(&response)?))
            }
        }
    }

    /// Sends a compressed layer; after a break the registry is asked how much it has.
    fn send(&self, packed: &Packed, id: &str, begun: Option<String>) -> Result<(), PushError> {
        let mut place = begun;
        self.retrying(Some(id), || {
            let (location, has_bytes) = match place.take() {
                Some(location) => match self.received(&location)? {
                    Some((location, has_bytes)) if has_bytes <= packed.size_bytes => (location, has_bytes),
                    _ => (self.begin_afresh()?, 0),
                },
                None => (self.begin_afresh()?, 0),
            };
            place = Some(location.clone());
            let location = if has_bytes < packed.size_bytes || packed.size_bytes == 0 {
                self.patch(packed, id, &location, has_bytes)?
            } else {
                location
            };
            let url = with_digest(&location, &packed.digest)?;
            let put = |request: reqwest::RequestBuilder| request.header(CONTENT_LENGTH, 0);
            let response = self.conversation.send(Method::PUT, &url, &self.scopes(None), put)?;
            self.expect(response, StatusCode::CREATED).map(drop)
        })
        .map_err(PushError::from)
    }

    fn begin_afresh(&self) -> Result<String, PullError> {
        match self.begin(None)? {
            Begun::At(location) => Ok(location),
            Begun::Mounted => Err(PullError::HttpStatus { status: StatusCode::CREATED.as_u16() }),
        }
    }

    /// Where an upload goes on and how many bytes the registry has of it; `None` when it knows nothing of it any more.
    fn received(&self, location: &str) -> Result<Option<(String, u64)>, PullError> {
        let response = self.conversation.send(Method::GET, location, &self.scopes(None), |request| request)?;
        if response.status() != StatusCode::NO_CONTENT {
            return Ok(None);
        }
        let range = response.headers().get(RANGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        // An upload without a byte says `0-0`, and so does one with a single byte: that one is sent again.
        let last = range.trim_start_matches("bytes=").split_once('-').and_then(|(_, last)| last.parse::<u64>().ok());
        let has_bytes = last.filter(|last| *last > 0).map_or(0, |last| last + 1);
        Ok(if has_bytes == 0 { None } else { Some((location_of(&response)?, has_bytes)) })
    }

    fn patch(&self, packed: &Packed, id: &str, location: &str, from: u64) -> Result<String, PullError> {
        let total_bytes = packed.size_bytes;
        let sent = Arc::new(AtomicU64::new(from));
        let watcher = Watcher { upload: self, id, sent: &sent, total_bytes };
        watcher.tell();
        let file = packed.file.try_clone().and_then(|mut file| file.seek(SeekFrom::Start(from)).map(|_| file));
        let file = file.map_err(PullError::Reactor)?;
        let counter = Arc::clone(&sent);
        let stream = ReaderStream::with_capacity(Blocking(file), 64 << 10).inspect(move |piece| {
            if let Ok(piece) = piece {
                counter.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
        });
        let body = Mutex::new(Some(Body::wrap_stream(stream)));
        let prepare = |request: reqwest::RequestBuilder| {
            let body = body.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
            request
                .header(CONTENT_TYPE, OCTETS)
                .header(CONTENT_LENGTH, total_bytes - from)
                .header(CONTENT_RANGE, format!("{from}-{}", total_bytes.saturating_sub(1)))
                .body(body)
        };
        let response = std::thread::scope(|scope| {
            let (sending, is_sent) = mpsc::channel::<()>();
            let watcher = &watcher;
            scope.spawn(move || {
                while is_sent.recv_timeout(TELL_PAUSE) == Err(mpsc::RecvTimeoutError::Timeout) {
                    watcher.tell();
                }
            });
            let response = self.conversation.send(Method::PATCH, location, &self.scopes(None), prepare);
            drop(sending);
            response
        })?;
        let response = self.expect(response, StatusCode::ACCEPTED)?;
        watcher.tell();
        location_of(&response)
    }

    /// Tries again what may succeed a little later.
    fn retrying(&self, id: Option<&str>, mut attempt: impl FnMut() -> Result<(), PullError>) -> Result<(), PullError> {
        for number in 1.. {
            match attempt() {
                Err(error) if error.is_transient() && number < self.retries.attempts_max => {
                    tracing::warn!(number, %error, "upload broke off");
                    self.pause(id, self.retries.pause * number)?;
                }
                outcome => return outcome,
            }
        }
        Ok(())
    }

    fn pause(&self, id: Option<&str>, mut left: Duration) -> Result<(), PullError> {
        while !left.is_zero() {
            if let Some(id) = id {
                self.progress.event(id, PushEvent::Retrying { seconds: left.as_secs_f64().ceil() as u64 });
            }
            let step = left.min(Duration::from_secs(1));
            let sleep = self.given_up.run_until_cancelled(async { tokio::time::sleep(step).await });
            self.conversation.reactor.wait(sleep).ok_or(PullError::GivenUp)?;
            left -= step;
        }
        Ok(())
    }

    fn expect(&self, response: Response, status: StatusCode) -> Result<Response, PullError> {
        if response.status() == status { Ok(response) } else { Err(self.conversation.refusal(response)) }
    }

    fn remember(&self, layer: &LayerToPush, digest: &Digest) -> Result<(), PushError> {
        let blob = KnownBlob { digest: digest.clone(), repository: self.reference.canonical_name() };
        self.source.remember(&layer.diff_id, &blob).map_err(PushError::Books)
    }

    /// Packs the layer into a file, and makes sure that it is the layer.
    fn compress(&self, layer: &LayerToPush) -> Result<Packed, PushError> {
        let file = tempfile::tempfile_in(self.source.scratch()).map_err(PushError::Scratch)?;
        let compressed = DigestWriter::new(BufWriter::new(file));
        let mut tar = DigestWriter::new(GzEncoder::new(compressed, Compression::default()));
        let source = |source| PushError::Source { layer: layer.diff_id.clone(), source };
        self.source.write_tar(layer, &mut tar).map_err(source)?;
        let (encoder, found, _) = tar.finish();
        if found != layer.diff_id {
            return Err(PushError::DiffId { layer: layer.diff_id.clone(), found });
        }
        let (file, digest, size_bytes) = encoder.finish().map_err(PushError::Scratch)?.finish();
        let file = file.into_inner().map_err(|error| PushError::Scratch(error.into_error()))?;
        Ok(Packed { file, digest, size_bytes })
    }
}

/// A compressed layer in a file that has no name.
struct Packed {
    file: File,
    digest: Digest,
    size_bytes: u64,
}

/// Tells how much has been sent.
struct Watcher<'a> {
    upload: &'a Upload<'a>,
    id: &'a str,
    sent: &'a AtomicU64,
    total_bytes: u64,
}

impl Watcher<'_> {
    fn tell(&self) {
        let done_bytes = self.sent.load(Ordering::Relaxed);
        self.upload.progress.event(self.id, PushEvent::Pushing { done_bytes, total_bytes: self.total_bytes });
    }
}

/// A file as the event loop reads it: local, so that no read takes long.
struct Blocking(File);

impl tokio::io::AsyncRead for Blocking {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        let read = io::Read::read(&mut self.0, buffer.initialize_unfilled());
        std::task::Poll::Ready(read.map(|count| buffer.advance(count)))
    }
}

/// The `Location` of an answer, which may be relative to what was asked.
fn location_of(response: &Response) -> Result<String, PullError> {
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let url = location.and_then(|location| response.url().join(location).ok());
    url.map(String::from).ok_or_else(|| PullError::Registry {
        code: "unexpected answer".to_owned(),
        message: format!("{} says not where the upload goes on", response.url()),
    })
}

/// The location with `digest=…` behind what its query says already.
fn with_digest(location: &str, digest: &Digest) -> Result<String, PullError> {
    let unusable = |error: &dyn std::fmt::Display| PullError::Registry {
        code: "unexpected answer".to_owned(),
        message: format!("the upload goes on at {location:?}: {error}"),
    };
    let mut url = Url::parse(location).map_err(|error| unusable(&error))?;
    url.query_pairs_mut().append_pair("digest", &digest.to_string());
    Ok(url.into())
}

fn escaped(text: &str) -> String {
    text.replace(':', "%3A").replace('/', "%2F")
}
