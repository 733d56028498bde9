//! Serves the lab's packages over HTTP at an address of the lab's machine that containers reach through their gateway.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Component, Path};
use std::thread;

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};

use super::furnish::PACKAGES;
use super::loopback;

/// The lab machine's address in its local network, where the packages are.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 56, 10);
/// Not 80: a server of a page that listens on every address of the machine must find that port free.
const PORT: u16 = 3142;

/// Gives `lo` the address and answers there for as long as the process lives.
pub fn serve() -> io::Result<()> {
    loopback::add_address(ADDRESS)?;
    let listener = TcpListener::bind(SocketAddr::from((ADDRESS, PORT)))?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("packages".into()).spawn(move || {
        runtime.block_on(async {
            let outcome = match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => axum::serve(listener, Router::new().fallback(file)).await,
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                eprintln!("layerlab-lab: packages are not served any more: {error}");
            }
        });
    })?;
    Ok(())
}

async fn file(uri: Uri) -> Response {
    let relative = Path::new(uri.path().trim_start_matches('/'));
    if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
        return StatusCode::NOT_FOUND.into_response();
    }
    match tokio::fs::read(Path::new(PACKAGES).join(relative)).await {
        Ok(bytes) => bytes.into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}
