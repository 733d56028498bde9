//! A registry over TLS: an authority made for the occasion, and a listener that speaks with a certificate of it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A certificate that could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    #[error("cannot use the certificate that was made: {0}")]
    Use(#[from] rustls::Error),
}

/// The certificate of one name, and the authority that vouches for it. Nobody keeps the authority's key.
#[derive(Debug, Clone)]
pub struct Certificate {
    authority_pem: String,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Certificate {
    /// For a server of this name, or address.
    pub fn make(name: &str) -> Result<Certificate, CertificateError> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "layerlab: the authority of one lab");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec![name.to_owned()])?.signed_by(&key, &authority)?;
        Ok(Certificate {
            authority_pem: authority.pem(),
            certificate: certificate.der().to_vec(),
            key: key.serialize_der(),
        })
    }

    /// What clients are to trust.
    pub fn authority_pem(&self) -> &str {
        &self.authority_pem
    }
}

/// Shakes hands with clients.
pub(super) struct Acceptor(TlsAcceptor);

impl Acceptor {
    pub(super) fn new(certificate: &Certificate) -> Result<Acceptor, CertificateError> {
        let chain = vec![CertificateDer::from(certificate.certificate.clone())];
        let key = PrivateKeyDer::Pkcs8(certificate.key.clone().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(Acceptor(TlsAcceptor::from(Arc::new(config.with_no_client_auth().with_single_cert(chain, key)?))))
    }
}

/// Connections that have shaken hands; others are dropped.
pub(super) struct TlsListener {
    listener: TcpListener,
    acceptor: Acceptor,
}

impl TlsListener {
    pub(super) fn new(listener: TcpListener, acceptor: Acceptor) -> TlsListener {
        TlsListener { listener, acceptor }
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = axum::serve::Listener::accept(&mut self.listener).await;
            if let Ok(stream) = self.acceptor.0.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
