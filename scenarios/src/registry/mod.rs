//! A registry that serves an image store over the OCI distribution protocol from a thread of its own, and misbehaves on request.
//!
//! *Why:* pages pull by name, and a lab has no network; a client is judged by what it does when a registry lies.
//!
//! *Holds:* distribution-spec's pull side for `httpd` and `library/httpd` alike, and its push side where it was given a
//! place for what is pushed; blobs are streamed from disk; every request is written down in the order of its answer.
//!
//! *Never:* a change to the store, a task that outlives its [`RegistryHandle`].
//!
//! *Proved by:* `scenarios/tests/registry.rs`.

mod answer;
mod auth;
mod body;
mod catalogue;
mod fault;
mod search;
mod tls;
mod uploads;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use axum::Router;
use tokio::sync::oneshot;

use crate::image::ImageError;

pub use auth::{Authentication, Credentials};
pub use fault::{At, Fault, Misbehaviour};
pub use search::Listed;
pub use tls::{Certificate, CertificateError};

/// The embedded registry; [`Registry::serve`] starts one.
pub struct Registry;

/// How a registry is to behave; the default serves everything to everybody, truthfully.
#[derive(Debug, Clone, Default)]
pub struct RegistryOptions {
    pub authentication: Authentication,
    /// For each request the first that fits it and is not used up.
    pub faults: Vec<Fault>,
    /// A directory for what is pushed, which is made if need be; without one, nothing can be pushed.
    pub pushed: Option<PathBuf>,
    /// What is found by searching.
    pub index: Vec<Listed>,
    /// Speak TLS with this certificate.
    pub certificate: Option<Certificate>,
}

/// One answered request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// `GET`, `HEAD`, …
    pub method: String,
    pub path: String,
    /// Without the `?`; empty where there was none.
    pub query: String,
    pub status: u16,
    /// The `Authorization` header as it came.
    pub authorization: Option<String>,
    /// The `Range` header as it came.
    pub range: Option<String>,
    pub user_agent: Option<String>,
    /// What was done wrong on purpose.
    pub fault: Option<Misbehaviour>,
}

/// Why a registry could not be started.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("cannot serve the image store: {0}")]
    Store(#[from] ImageError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("cannot {operation} for the registry: {source}")]
    Start { operation: &'static str, source: io::Error },
}

/// A running registry: it ends, with all its connections, when this is dropped.
#[derive(Debug)]
pub struct RegistryHandle {
    address: SocketAddr,
    log: Log,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

type Log = Arc<Mutex<Vec<Served>>>;

impl Registry {
    /// Serves the OCI image layout at `layout` on `listener`, which may belong to another network namespace.
    ///
    /// The store's index is read once: what is assembled later needs another registry.
    ///
    /// # Errors
    /// The layout cannot be read, or the runtime or its thread cannot be had.
    pub fn serve(
        listener: TcpListener,
        layout: PathBuf,
        mut options: RegistryOptions,
    ) -> Result<RegistryHandle, RegistryError> {
        let catalogue = catalogue::Catalogue::read(&layout, options.pushed.as_deref())?;
        let start = |operation| move |source| RegistryError::Start { operation, source };
        let address = listener.local_addr().map_err(start("ask for the address"))?;
        listener.set_nonblocking(true).map_err(start("prepare the listener"))?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(start("make a runtime"))?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(start("use the listener"))?
        };
        let secure = options.certificate.take();
        let log = Log::default();
        let state = Arc::new(answer::Registry::new(catalogue, options, log.clone()));
        let router = Router::new().fallback(answer::answer).with_state(state);
        let secure = secure.map(|certificate| tls::Acceptor::new(&certificate)).transpose()?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("registry".into())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        _ = serve(listener, secure, router) => {}
                        _ = stopped => {}
                    }
                });
                // Connections that hang on purpose end here, with the runtime's tasks.
                drop(runtime);
            })
            .map_err(start("start a thread"))?;
        Ok(RegistryHandle { address, log, stop: Some(stop), thread: Some(thread) })
    }
}

async fn serve(listener: tokio::net::TcpListener, secure: Option<tls::Acceptor>, router: Router) -> io::Result<()> {
    match secure {
        Some(acceptor) => axum::serve(tls::TlsListener::new(listener, acceptor), router).await,
        None => axum::serve(listener, router).await,
    }
}

impl RegistryHandle {
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Every request answered so far.
    pub fn requests(&self) -> Vec<Served> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for RegistryHandle {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // An error says that the thread has ended already.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("the registry's thread at {} panicked", self.address);
        }
    }
}
