//! A registry on loopback with one image, which can break or lie in one way.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use flate2::Compression;
use flate2::write::GzEncoder;
use layerlab_engine::image::Digest;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use crate::transfer::incompressible::tar_of;

/// The layer that a fault befalls.
const BROKEN: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    None,
    Basic,
    Token,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Nothing,
    WrongBytes,
    Short,
    Long,
    BreaksOffOnce,
    BreaksOffOnceWithoutRange,
    BreaksOffAlways,
    BreaksOffAtTheEnd,
    MissingBlob,
    ServerError,
    LyingDiffId,
    WrongConfig,
    WrongManifest,
    Zstd,
    Uncompressed,
    ForeignLayer,
}

/// The one image, as bytes.
pub struct Image {
    pub tars: Vec<Vec<u8>>,
    pub blobs: Vec<Vec<u8>>,
    pub config: Vec<u8>,
    pub manifest: Vec<u8>,
    pub index: Vec<u8>,
}

pub struct FakeRegistry {
    pub image: Arc<Image>,
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Server {
    image: Arc<Image>,
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    auth: Auth,
    fault: Fault,
}

impl FakeRegistry {
    pub fn start(auth: Auth, fault: Fault) -> FakeRegistry {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (image, requests) = (Arc::new(Image::with(fault)), Arc::default());
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let server =
            Arc::new(Server { image: Arc::clone(&image), address, requests: Arc::clone(&requests), auth, fault });
        let thread = std::thread::spawn(move || {
            for connection in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let server = Arc::clone(&server);
                std::thread::spawn(move || server.answer(connection.unwrap()));
            }
        });
        FakeRegistry { image, address, requests, stopping, thread: Some(thread) }
    }

    pub fn host(&self) -> String {
        self.address.to_string()
    }

    pub fn name(&self, path: &str) -> String {
        format!("{}/{path}", self.address)
    }

    pub fn broken_blob(&self) -> Digest {
        Digest::of(&self.image.blobs[BROKEN])
    }

    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub fn forget_requests(&self) {
        self.requests.lock().unwrap().clear();
    }

    pub fn requests_for_broken_blob(&self) -> usize {
        let blob = self.broken_blob();
        self.requests().iter().filter(|request| request.contains(blob.hex())).count()
    }
}

impl Drop for FakeRegistry {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Image {
    fn with(fault: Fault) -> Image {
        let tars: Vec<Vec<u8>> = (0..5).map(|index| tar_of(index, 40_000 << index)).collect();
        let mut blobs: Vec<Vec<u8>> = tars.iter().map(|tar| gzip(tar)).collect();
        match fault {
            Fault::Uncompressed => blobs[0] = tars[0].clone(),
            Fault::Zstd => blobs[BROKEN] = compress_to_vec(&tars[BROKEN][..], CompressionLevel::Fastest),
            _ => {}
        }
        let mut diff_ids: Vec<String> = tars.iter().map(|tar| Digest::of(tar).to_string()).collect();
        if fault == Fault::LyingDiffId {
            diff_ids[BROKEN] = Digest::of(b"something else").to_string();
        }
        let config = serde_json::json!({
            "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}
        });
        let config = config.to_string().into_bytes();
        let descriptor = |kind: &str, bytes: &[u8]| {
            serde_json::json!({
                "mediaType": format!("application/vnd.oci.image.{kind}"),
                "digest": Digest::of(bytes).to_string(), "size": bytes.len()
            })
        };
        let layers: Vec<_> = blobs.iter().map(|blob| descriptor("layer.v1.tar+gzip", blob)).collect();
        let mut layers = layers;
        if fault == Fault::ForeignLayer {
            layers[BROKEN]["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip".into();
        }
        let manifest = serde_json::json!({
            "schemaVersion": 2, "config": descriptor("config.v1+json", &config), "layers": layers
        });
        let manifest = manifest.to_string().into_bytes();
        let mut entry = descriptor("manifest.v1+json", &manifest);
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        entry["platform"] = serde_json::json!({"os": "linux", "architecture": architecture});
        let index = serde_json::json!({"schemaVersion": 2, "manifests": [entry]}).to_string().into_bytes();
        Image { tars, blobs, config, manifest, index }
    }
}

impl Server {
    fn answer(&self, stream: TcpStream) {
        let mut lines = BufReader::new(&stream).lines();
        let Some(Ok(request)) = lines.next() else { return };
        let headers: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        let header = |name: &str| {
            let found = headers.iter().find_map(|line| line.to_lowercase().starts_with(name).then(|| line.clone()));
            found.and_then(|line| line.split_once(": ").map(|(_, value)| value.to_owned())).unwrap_or_default()
        };
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let earlier = {
            let mut requests = self.requests.lock().unwrap();
            requests.push(request);
            requests.iter().filter(|request| request.contains(&path)).count() - 1
        };
        let response = self.response(&path, &header("authorization"), &header("range"), earlier);
        // The client hangs up on what it does not want to hear.
        let _ = (&stream).write_all(&response);
    }

    fn response(&self, path: &str, authorization: &str, range: &str, earlier: usize) -> Vec<u8> {
        if path.starts_with("/token") {
            let token = if path.contains("private") { "nothing" } else { "everything" };
            return respond("200 OK", "", format!(r#"{{"token":"{token}"}}"#).as_bytes());
        }
        let (wanted, challenge) = match self.auth {
            Auth::None => (authorization, String::new()),
            Auth::Basic => ("Basic amFuZTpzZWNyZXQ=", "Basic realm=\"fake\"".to_owned()),
            Auth::Token => {
                ("Bearer everything", format!("Bearer realm=\"http://{}/token\",service=\"fake\"", self.address))
            }
        };
        if authorization != wanted {
            return respond("401 Unauthorized", &format!("WWW-Authenticate: {challenge}\r\n"), b"{}");
        }
        match path.rsplit_once('/') {
            _ if path == "/v2/" => respond("200 OK", "", b"{}"),
            Some((rest, name)) if rest.ends_with("/manifests") => self.manifest(rest, name),
            Some((rest, name)) if rest.ends_with("/blobs") => self.blob(name, range, earlier),
            _ => respond("404 Not Found", "", b"no such page"),
        }
    }

    fn manifest(&self, rest: &str, name: &str) -> Vec<u8> {
        let image = &self.image;
        let by_digest = name == Digest::of(&image.manifest).to_string();
        match name {
            _ if by_digest && self.fault == Fault::WrongManifest => {
                respond("200 OK", "", &[&image.manifest[..], b"\n"].concat())
            }
            "latest" if rest.contains("multi") => respond("200 OK", "", &image.index),
            _ if name == "latest" || by_digest => respond("200 OK", "", &image.manifest),
            _ => {
                let body = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{}}]}"#;
                respond("404 Not Found", "", body)
            }
        }
    }

    fn blob(&self, name: &str, range: &str, earlier: usize) -> Vec<u8> {
        let named = |bytes: &&Vec<u8>| Digest::of(bytes).to_string() == name;
        if named(&&self.image.config) {
            let flaw: &[u8] = if self.fault == Fault::WrongConfig { b" " } else { b"" };
            let kept = &self.image.config[flaw.len()..];
            return respond("200 OK", "", &[kept, flaw].concat());
        }
        let Some(blob) = self.image.blobs.iter().find(named) else { return unknown_blob() };
        if !named(&&self.image.blobs[BROKEN]) {
            return respond("200 OK", "", blob);
        }
        let half = blob.len() / 2;
        let broken_off = |from: usize| {
            let whole = respond("200 OK", "", &blob[from..]);
            whole[..whole.len() - half / 2].to_vec()
        };
        match self.fault {
            Fault::WrongBytes => {
                let mut bytes = blob.clone();
                bytes[half] ^= 1;
                respond("200 OK", "", &bytes)
            }
            Fault::Short => respond("200 OK", "", &blob[..half]),
            Fault::Long => respond("200 OK", "", &[&blob[..], b"more"].concat()),
            Fault::MissingBlob => unknown_blob(),
            Fault::ServerError => respond("500 Internal Server Error", "", b"oh"),
            Fault::BreaksOffAlways => broken_off(0),
            Fault::BreaksOffAtTheEnd if earlier > 0 => respond("416 Range Not Satisfiable", "", b""),
            Fault::BreaksOffAtTheEnd => {
                // Without the chunk that says that it was the last (RFC 9112, 7.1).
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
                [format!("{head}{:x}\r\n", blob.len()).as_bytes(), blob, b"\r\n"].concat()
            }
            Fault::BreaksOffOnce | Fault::BreaksOffOnceWithoutRange if earlier == 0 => broken_off(0),
            Fault::BreaksOffOnce => {
                let from: usize = range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap();
                assert!(from > 0, "the client goes on where it was");
                let header = format!("Content-Range: bytes {from}-{}/{}\r\n", blob.len() - 1, blob.len());
                respond("206 Partial Content", &header, &blob[from..])
            }
            _ => respond("200 OK", "", blob),
        }
    }
}

fn unknown_blob() -> Vec<u8> {
    respond("404 Not Found", "", br#"{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry"}]}"#)
}

fn respond(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
