//! A registry whose answers never end, or claim to be huge, is given up before they fill the memory.
//!
//! Checklist: SE-06~

#![allow(clippy::unwrap_used)]

mod transfer;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use layerlab_engine::cli::progress::PullLines;
use layerlab_engine::image::Reference;
use layerlab_engine::registry::{RegistrySettings, Retries, pull, search, tags};

use transfer::store::Store;

/// An honest registry's client would read so much of an endless answer, if it had no limit.
const ENDLESS_BYTES: usize = 256 << 20;
/// What may be under way, in the sockets' buffers, when the client hangs up.
const SENT_BYTES_MAX: usize = 32 << 20;

struct Registry {
    host: String,
    sent_bytes: Arc<AtomicUsize>,
}

/// How one path is answered: status line and headers, then endlessly.
type Answer = fn(path: &str, host: &str) -> String;

impl Registry {
    fn start(answer: Answer) -> Registry {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let sent_bytes = Arc::new(AtomicUsize::new(0));
        let (counted, named) = (Arc::clone(&sent_bytes), host.clone());
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let (counted, named) = (Arc::clone(&counted), named.clone());
                std::thread::spawn(move || serve(&connection, answer, &named, &counted));
            }
        });
        Registry { host, sent_bytes }
    }

    fn reference(&self) -> Reference {
        Reference::parse(&format!("{}/x/y:latest", self.host)).unwrap()
    }

    fn pull_error(&self) -> String {
        let mut text = Vec::new();
        let lines = PullLines::plain(&mut text);
        let pulled = pull(&self.reference(), None, &settings(), &Store::default(), &lines);
        self.given_up_early();
        pulled.unwrap_err().to_string()
    }

    fn given_up_early(&self) {
        let sent_bytes = self.sent_bytes.load(Ordering::Relaxed);
        assert!(sent_bytes < SENT_BYTES_MAX, "{sent_bytes} bytes were taken");
    }
}

fn settings() -> RegistrySettings {
    RegistrySettings { retries: Retries { pause: Duration::ZERO, ..Retries::default() }, ..Default::default() }
}

fn serve(mut connection: &TcpStream, answer: Answer, host: &str, sent_bytes: &AtomicUsize) {
    let mut lines = BufReader::new(connection).lines();
    let Some(Ok(request)) = lines.next() else { return };
    lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
    let path = request.split(' ').nth(1).unwrap_or_default();
    let head = answer(path, host);
    if connection.write_all(head.as_bytes()).is_err() || head.contains("Content-Length: 2\r\n") {
        return;
    }
    let blanks = [b' '; 64 << 10];
    while sent_bytes.load(Ordering::Relaxed) < ENDLESS_BYTES && connection.write_all(&blanks).is_ok() {
        sent_bytes.fetch_add(blanks.len(), Ordering::Relaxed);
    }
}

const FINE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
const ENDLESS: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{";

fn endless_after_the_greeting(path: &str, _: &str) -> String {
    if path == "/v2/" { FINE.to_owned() } else { ENDLESS.to_owned() }
}

#[test]
fn an_endless_manifest_is_refused() {
    let registry = Registry::start(endless_after_the_greeting);
    let url = format!("http://{}/v2/x/y/manifests/latest", registry.host);
    let expected = format!("{url} answers with more than the 4194304 bytes that are read into memory");
    assert_eq!(registry.pull_error(), expected);
}

#[test]
fn a_manifest_that_claims_to_be_huge_is_not_read_at_all() {
    let registry = Registry::start(|path, _| match path {
        "/v2/" => FINE.to_owned(),
        _ => "HTTP/1.1 200 OK\r\nContent-Length: 4194305\r\nConnection: close\r\n\r\n".to_owned(),
    });
    assert!(registry.pull_error().contains("more than the 4194304 bytes"));
}

#[test]
fn endless_lists_of_tags_and_endless_results_of_a_search_are_refused() {
    let registry = Registry::start(endless_after_the_greeting);
    let error = tags(&registry.reference(), &settings()).unwrap_err().to_string();
    assert!(error.contains("/v2/x/y/tags/list answers with more than the 4194304 bytes"), "{error}");
    registry.given_up_early();
    let registry = Registry::start(|path, _| if path == "/v1/_ping" { FINE.into() } else { ENDLESS.into() });
    let error = search(&format!("{}/x", registry.host), 25, &settings()).unwrap_err().to_string();
    assert!(error.contains("answers with more than the 4194304 bytes"), "{error}");
    registry.given_up_early();
}

#[test]
fn an_endless_error_is_told_by_its_status() {
    let registry = Registry::start(|path, _| match path {
        "/v2/" => FINE.to_owned(),
        _ => "HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\n\r\n{".to_owned(),
    });
    assert_eq!(registry.pull_error(), "received unexpected HTTP status: 429 Too Many Requests");
    tags(&registry.reference(), &settings()).unwrap_err();
    registry.given_up_early();
}

#[test]
fn an_endless_token_is_refused() {
    let registry = Registry::start(|path, host| match path {
        "/v2/" => format!(
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"http://{host}/token\"\r\n\
             Content-Length: 2\r\nConnection: close\r\n\r\n{{}}"
        ),
        _ => ENDLESS.to_owned(),
    });
    let error = registry.pull_error();
    assert!(error.contains("/token") && error.contains("more than the 1048576 bytes"), "{error}");
}
