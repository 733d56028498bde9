//! One repository at one registry: its manifests and blobs.

use std::time::Duration;

use futures_util::stream::BoxStream;
use oci_client::client::{BlobResponse, Certificate, CertificateEncoding, ClientConfig, ClientProtocol, SizedStream};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, RegistryOperation};
use tokio_util::bytes::Bytes;

use super::endpoint::{Endpoint, Transport};
use super::reactor::Reactor;
use super::wire::{self, Access, Asked};
use super::{PullError, RegistrySettings, certificates, credentials};
use crate::image::manifest::{Manifest, media_type};
use crate::image::{Digest, Reference};

pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(60);
pub(super) const USER_AGENT: &str = concat!("layerlab/", env!("CARGO_PKG_VERSION"));

/// A repository at an endpoint that has answered.
pub(super) struct Remote<'a> {
    pub(super) reactor: &'a Reactor,
    client: Client,
    reference: &'a Reference,
    base_url: String,
    at_endpoint: oci_client::Reference,
    auth: RegistryAuth,
    access: Access,
}

/// The bytes of a blob from some offset on.
pub(super) struct BlobStream {
    pub(super) bytes: BoxStream<'static, Result<Bytes, std::io::Error>>,
    /// Where the bytes begin: at the offset that was asked for, or at 0 from a registry that cannot resume.
    pub(super) offset_bytes: u64,
    /// Whether the registry said how long the answer is, so that a short one is known to be cut off.
    pub(super) has_length: bool,
}

impl<'a> Remote<'a> {
    /// Asks the endpoint whether it is a registry, and for a token where it wants one.
    pub(super) fn connect(
        reactor: &'a Reactor,
        endpoint: &Endpoint,
        reference: &'a Reference,
        settings: &RegistrySettings,
    ) -> Result<Remote<'a>, PullError> {
        prepare_tls();
        let auth = credentials::look_up(settings.credentials.as_deref(), &endpoint.credentials_key)?;
        let base_url = endpoint.base_url();
        let at_endpoint = at_endpoint(endpoint, reference);
        let access = if auth == RegistryAuth::Anonymous { Access::Anonymous } else { Access::Password };
        let asked = Asked { reference, url: format!("{base_url}/v2/"), access, blob: None };
        let authorities = certificates::authorities(&endpoint.host, settings)?;
        let connected = reactor.wait(async {
            let client = Client::try_from(client_config(endpoint.transport, authorities))?;
            let token = client.auth(&at_endpoint, &auth, RegistryOperation::Pull).await?;
            Ok((client, token))
        });
        let (client, token) = connected.map_err(|error: OciDistributionError| wire::translate(error, &asked))?;
        let access = if token.is_some() { Access::Token } else { access };
        Ok(Remote { reactor, client, reference, base_url, at_endpoint, auth, access })
    }

    /// The manifest that the reference names, or the one with this digest; verified against the digest.
    pub(super) fn manifest(&self, digest: Option<&Digest>) -> Result<Manifest, PullError> {
        let wanted = digest.or(self.reference.digest());
        let name = match wanted {
            Some(digest) => digest.to_string(),
            None => self.reference.tag().unwrap_or("latest").to_owned(),
        };
        let asked = self.asked("manifests", &name, None);
        let image = match wanted {
            Some(digest) => self.at_endpoint.clone_with_digest(digest.to_string()),
            None => self.at_endpoint.clone(),
        };
        let answer = self.client.pull_manifest_raw(&image, &self.auth, &media_type::ACCEPTED);
        let (raw, _) = self.reactor.wait(answer).map_err(|error| wire::translate(error, &asked))?;
        if let Some(wanted) = wanted
            && Digest::of(&raw) != *wanted
        {
            return Err(PullError::ManifestVerification { digest: wanted.to_string() });
        }
        Ok(Manifest::parse(raw.to_vec())?)
    }

    /// The bytes of a blob from `offset_bytes` on, unverified.
    pub(super) async fn blob(&self, digest: &Digest, offset_bytes: u64) -> Result<BlobStream, PullError> {
        let name = digest.to_string();
        let opened = if offset_bytes == 0 {
            self.client.pull_blob_stream(&self.at_endpoint, name.as_str()).await.map(BlobResponse::Full)
        } else {
            self.client.pull_blob_stream_partial(&self.at_endpoint, name.as_str(), offset_bytes, None).await
        };
        let asked = self.asked("blobs", &name, Some(digest));
        match opened.map_err(|error| wire::translate(error, &asked))? {
            BlobResponse::Full(stream) => Ok(BlobStream::new(stream, 0)),
            BlobResponse::Partial(stream) => Ok(BlobStream::new(stream, offset_bytes)),
        }
    }

    /// Where a blob is fetched from.
    pub(super) fn blob_url(&self, digest: &Digest) -> String {
        self.asked("blobs", &digest.to_string(), None).url
    }

    fn asked<'d>(&'d self, kind: &str, name: &str, blob: Option<&'d Digest>) -> Asked<'d> {
        let url = format!("{}/v2/{}/{kind}/{name}", self.base_url, self.reference.path());
        Asked { reference: self.reference, url, access: self.access, blob }
    }
}

impl BlobStream {
    fn new(stream: SizedStream, offset_bytes: u64) -> BlobStream {
        BlobStream { has_length: stream.content_length.is_some(), bytes: stream.stream, offset_bytes }
    }
}

fn at_endpoint(endpoint: &Endpoint, reference: &Reference) -> oci_client::Reference {
    let (host, path) = (endpoint.host.clone(), reference.path().to_owned());
    match reference.digest() {
        Some(digest) => oci_client::Reference::with_digest(host, path, digest.to_string()),
        None => oci_client::Reference::with_tag(host, path, reference.tag().unwrap_or("latest").to_owned()),
    }
}

fn client_config(transport: Transport, authorities: Vec<String>) -> ClientConfig {
    let pem = |text: String| Certificate { encoding: CertificateEncoding::Pem, data: text.into_bytes() };
    let mut config = ClientConfig {
        // Plain HTTP needs no certificates, and loading them takes a while.
        accept_invalid_certificates: transport != Transport::Https,
        read_timeout: Some(READ_TIMEOUT),
        connect_timeout: Some(CONNECT_TIMEOUT),
        user_agent: USER_AGENT,
        extra_root_certificates: authorities.into_iter().map(pem).collect(),
        ..ClientConfig::default()
    };
    if transport == Transport::Http {
        config.protocol = ClientProtocol::Http;
        // Local registries are not reached through the proxy of the environment; naming one turns that off.
        config.http_proxy = Some("http://127.0.0.1:9".to_owned());
        config.no_proxy = Some("*,0.0.0.0/0,::/0".to_owned());
    }
    config
}

/// The TLS stack is built without a default provider of cryptography. An error means that there is a provider already.
pub(super) fn prepare_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
