//! One repository at one registry: its manifests and blobs.

use std::io;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use reqwest::header::{ACCEPT, RANGE};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use tokio_util::bytes::Bytes;

use super::body::{ANSWER_BYTES_MAX, ERROR_BYTES_MAX, limited_body};
use super::conversation::Conversation;
use super::endpoint::Endpoint;
use super::reactor::Reactor;
use super::wire::{self, Asked};
use super::{PullError, RegistrySettings};
use crate::image::manifest::{Manifest, media_type};
use crate::image::{Digest, Reference};

pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(60);
pub(super) const USER_AGENT: &str = concat!("layerlab/", env!("CARGO_PKG_VERSION"));

const CONTENT_DIGEST: &str = "docker-content-digest";

/// A repository at an endpoint that has answered.
pub(super) struct Remote<'a> {
    pub(super) reactor: &'a Reactor,
    conversation: Conversation<'a>,
    reference: &'a Reference,
    scope: String,
}

/// The bytes of a blob from some offset on.
pub(super) struct BlobStream {
    pub(super) bytes: BoxStream<'static, Result<Bytes, io::Error>>,
    /// Where the bytes begin: at the offset that was asked for, or at 0 from a registry that cannot resume.
    pub(super) offset_bytes: u64,
    /// Whether the registry said how long the answer is, so that a short one is known to be cut off.
    pub(super) has_length: bool,
}

/// A blob that is about to be asked for.
pub(super) struct BlobRequest<'a> {
    request: RequestBuilder,
    asked: Asked<'a>,
    offset_bytes: u64,
}

impl<'a> Remote<'a> {
    /// Asks the endpoint whether it is a registry, and for a token where it wants one.
    pub(super) fn connect(
        reactor: &'a Reactor,
        endpoint: &Endpoint,
        reference: &'a Reference,
        settings: &RegistrySettings,
    ) -> Result<Remote<'a>, PullError> {
        let mut conversation = Conversation::new(reactor, endpoint, settings)?;
        conversation.hear()?;
        let scope = format!("repository:{}:pull", reference.path());
        let remote = Remote { reactor, conversation, reference, scope };
        let url = remote.conversation.url("/v2/");
        remote.authorized(&url).map(drop)?;
        Ok(remote)
    }

    /// The manifest that the reference names, or the one with this digest; verified against the digest.
    pub(super) fn manifest(&self, digest: Option<&Digest>) -> Result<Manifest, PullError> {
        let wanted = digest.or(self.reference.digest());
        let name = match wanted {
            Some(digest) => digest.to_string(),
            None => self.reference.tag().unwrap_or("latest").to_owned(),
        };
        let asked = self.asked("manifests", &name, None);
        let request = self.authorized(&asked.url)?.header(ACCEPT, media_type::ACCEPTED.join(", "));
        let (raw, promised) = self.reactor.wait(async {
            let response = request.send().await.map_err(|error| wire::request_failed(&error, "Get", &asked.url))?;
            if response.status() != StatusCode::OK {
                return Err(refusal(response, &asked).await);
            }
            let promised = response.headers().get(CONTENT_DIGEST).and_then(|digest| digest.to_str().ok());
            let promised: Option<Digest> = promised.and_then(|digest| digest.parse().ok());
            Ok((limited_body(response, ANSWER_BYTES_MAX).await?, promised))
        })?;
        let found = Digest::of(&raw);
        if let Some(digest) = wanted.into_iter().chain(&promised).find(|digest| **digest != found) {
            return Err(PullError::ManifestVerification { digest: digest.to_string() });
        }
        Ok(Manifest::parse(raw)?)
    }

    /// Prepares to ask for the bytes of a blob from `offset_bytes` on; [`BlobRequest::send`] does.
    pub(super) fn blob<'d>(&'d self, digest: &'d Digest, offset_bytes: u64) -> Result<BlobRequest<'d>, PullError> {
        let asked = self.asked("blobs", &digest.to_string(), Some(digest));
        let mut request = self.authorized(&asked.url)?;
        if offset_bytes > 0 {
            request = request.header(RANGE, format!("bytes={offset_bytes}-"));
        }
        Ok(BlobRequest { request, asked, offset_bytes })
    }

    /// Where a blob is fetched from.
    pub(super) fn blob_url(&self, digest: &Digest) -> String {
        self.asked("blobs", &digest.to_string(), None).url
    }

    fn asked<'d>(&'d self, kind: &str, name: &str, blob: Option<&'d Digest>) -> Asked<'d> {
        let url = self.conversation.url(&format!("/v2/{}/{kind}/{name}", self.reference.path()));
        Asked { reference: self.reference, url, access: self.conversation.access(), blob }
    }

    fn authorized(&self, url: &str) -> Result<RequestBuilder, PullError> {
        let named = || self.asked("manifests", "", None).manifest_url();
        self.conversation.request(Method::GET, url, std::slice::from_ref(&self.scope)).map_err(|error| match error {
            PullError::MissingCredentials => PullError::NoCredentials { url: named() },
            PullError::Registry { message, .. } => PullError::Unauthorized { url: named(), message },
            other => other,
        })
    }
}

impl BlobRequest<'_> {
    /// The blob's bytes, unverified.
    pub(super) async fn send(self) -> Result<BlobStream, PullError> {
        let sent = self.request.send().await;
        let response = sent.map_err(|error| wire::request_failed(&error, "Get", &self.asked.url))?;
        let offset_bytes = match response.status() {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT if self.offset_bytes > 0 => self.offset_bytes,
            _ => return Err(refusal(response, &self.asked).await),
        };
        let has_length = response.content_length().is_some();
        let bytes = response.bytes_stream().map_err(io::Error::other).boxed();
        Ok(BlobStream { bytes, offset_bytes, has_length })
    }
}

async fn refusal(response: Response, asked: &Asked<'_>) -> PullError {
    let status = response.status();
    // What is too long to be an error's text is none.
    let body = limited_body(response, ERROR_BYTES_MAX).await.unwrap_or_default();
    wire::refused(status, &body, asked)
}

/// The TLS stack is built without a default provider of cryptography. An error means that there is a provider already.
pub(super) fn prepare_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
