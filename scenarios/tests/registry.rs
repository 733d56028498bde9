//! The registry speaks distribution-spec's pull side to a client that knows nothing but sockets, and every fault does what it says.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test by panicking, as the test does")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use layerlab_scenarios::image::{Assembled, Userland, assemble};
use layerlab_scenarios::registry::{
    At, Authentication, Credentials, Fault, Misbehaviour, Registry, RegistryHandle, RegistryOptions,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A store of two small images, and a registry over it.
struct Scene {
    directory: tempfile::TempDir,
    images: Vec<Assembled>,
    registry: RegistryHandle,
}

struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
    /// Why the body ended, if not by its length.
    broken: Option<ErrorKind>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn error_code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap().to_owned()
    }

    fn digest(&self) -> String {
        format!("sha256:{}", hex::encode(Sha256::digest(&self.body)))
    }

    /// The value of `Content-Length`.
    fn announced(&self) -> usize {
        self.headers["content-length"].parse().unwrap()
    }
}

impl Scene {
    fn new(options: RegistryOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let texts = directory.path().join("texts");
        fs::create_dir(&texts).unwrap();
        fs::write(texts.join("hello.toml"), description("hello", "'latest', '1.0', '1.1'", "docker", false)).unwrap();
        fs::write(texts.join("deep.toml"), description("team/deep", "'latest'", "oci", true)).unwrap();
        let binary = directory.path().join("guest");
        let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0".to_vec();
        let mut state: u32 = 1;
        elf.extend((0..400_000).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        }));
        fs::write(&binary, elf).unwrap();
        let store = directory.path().join("store");
        let images = assemble(&texts, &Userland { binary, applets: vec!["sh".into()] }, &store).unwrap();
        let registry = serve(store, options);
        Self { directory, images, registry }
    }

    fn with_fault(at: At, misbehaviour: Misbehaviour) -> Self {
        Self::new(RegistryOptions { faults: vec![Fault { at, misbehaviour, times: None }], ..Default::default() })
    }

    fn hello(&self) -> &Assembled {
        self.images.iter().find(|image| image.name == "hello").unwrap()
    }

    fn deep(&self) -> &Assembled {
        self.images.iter().find(|image| image.name == "team/deep").unwrap()
    }

    fn layer_path(&self) -> String {
        format!("/v2/hello/blobs/{}", self.hello().layers[0].digest)
    }

    fn layer(&self) -> Vec<u8> {
        let hex = self.hello().layers[0].digest.replace("sha256:", "");
        fs::read(self.directory.path().join("store/blobs/sha256").join(hex)).unwrap()
    }

    fn get(&self, path: &str) -> Answer {
        ask(self.registry.addr(), "GET", path, &[])
    }

    fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        ask(self.registry.addr(), "GET", path, headers)
    }
}

fn serve(store: PathBuf, options: RegistryOptions) -> RegistryHandle {
    Registry::serve(TcpListener::bind("127.0.0.1:0").unwrap(), store, options).unwrap()
}

fn description(name: &str, tags: &str, media_types: &str, index: bool) -> String {
    format!(
        "name = '{name}'\ntags = [{tags}]\nmedia_types = '{media_types}'\nindex = {index}\n\
         created = '2020-01-02T03:04:05Z'\n[config]\nCmd = ['/bin/sh']\n[[history]]\ncreated_by = 'ADD'\n\
         layer = [{{ dir = 'bin' }}, {{ file = 'bin/guest', guest = true }}, {{ applets = 'bin', to = 'guest' }}]\n"
    )
}

/// One request on a connection of its own; a silent server is given up on after half a second.
fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{request}\r\n").as_bytes()).unwrap();
    let (mut bytes, mut piece, mut broken) = (Vec::new(), vec![0; 65536], None);
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
            Err(e) => {
                broken = Some(e.kind());
                break;
            }
        }
    }
    let split = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer has a head") + 4;
    let head = String::from_utf8(bytes[..split].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers =
        lines.filter_map(|line| line.split_once(": ")).map(|(k, v)| (k.to_lowercase(), v.to_owned())).collect();
    Answer { status, headers, body: bytes.split_off(split), broken }
}

#[test]
fn the_base_says_which_protocol_it_speaks() {
    let scene = Scene::new(RegistryOptions::default());
    for path in ["/v2/", "/v2"] {
        let answer = scene.get(path);
        assert_eq!((answer.status, answer.json()), (200, json!({})));
        assert_eq!(answer.headers["docker-distribution-api-version"], "registry/2.0");
    }
}

/// Checklist: RG-03
#[test]
fn a_manifest_comes_by_tag_and_by_digest_under_either_name() {
    let scene = Scene::new(RegistryOptions::default());
    let digest = scene.hello().digest.clone();
    for name in ["hello", "library/hello"] {
        for reference in ["latest", "1.0", &digest] {
            let answer = scene.get(&format!("/v2/{name}/manifests/{reference}?ns=docker.io"));
            assert_eq!((answer.status, answer.digest()), (200, digest.clone()), "{name} {reference}");
            assert_eq!(answer.headers["content-type"], DOCKER_MANIFEST);
            assert_eq!(answer.headers["docker-content-digest"], digest);
            assert_eq!(answer.json()["config"]["digest"], scene.hello().image_id);
        }
    }
}

/// Checklist: RG-03
#[test]
fn head_tells_everything_but_the_body() {
    let scene = Scene::new(RegistryOptions::default());
    for path in ["/v2/hello/manifests/latest".to_owned(), scene.layer_path()] {
        let (get, head) = (scene.get(&path), ask(scene.registry.addr(), "HEAD", &path, &[]));
        assert_eq!((head.status, head.body.len(), head.announced()), (200, 0, get.body.len()));
        assert_eq!(head.headers["docker-content-digest"], get.digest());
    }
}

#[test]
fn an_index_is_for_clients_that_take_one() {
    let scene = Scene::new(RegistryOptions::default());
    let (index, manifest) = (scene.deep().digest.clone(), scene.deep().manifest_digest.clone());
    let ask = |accept: &str| scene.get_with("/v2/team/deep/manifests/latest", &[("Accept", accept)]);
    for (accept, digest, media_type) in [
        (OCI_INDEX, &index, OCI_INDEX),
        ("*/*", &index, OCI_INDEX),
        ("application/json, application/*;q=0.5", &index, OCI_INDEX),
        (OCI_MANIFEST, &manifest, OCI_MANIFEST),
    ] {
        let answer = ask(accept);
        assert_eq!((answer.status, &answer.digest()), (200, digest), "{accept}");
        assert_eq!(answer.headers["content-type"], media_type);
    }
    let answer = ask(DOCKER_MANIFEST);
    assert_eq!((answer.status, answer.error_code().as_str()), (404, "MANIFEST_UNKNOWN"));
    assert_eq!(scene.get(&format!("/v2/team/deep/manifests/{manifest}")).digest(), manifest);
}

/// Checklist: RG-03
#[test]
fn a_blob_comes_whole_and_in_ranges() {
    let scene = Scene::new(RegistryOptions::default());
    let (path, blob) = (scene.layer_path(), scene.layer());
    let size = blob.len();
    assert!(size > 3 * 65536, "more than one piece: {size}");
    let whole = scene.get(&path);
    assert_eq!((whole.status, whole.announced(), whole.digest()), (200, size, scene.hello().layers[0].digest.clone()));
    for (range, from, to) in [
        ("bytes=0-9", 0, 10),
        ("bytes=100000-", 100_000, size),
        ("bytes=-7", size - 7, size),
        ("bytes=5-99999999", 5, size),
    ] {
        let part = scene.get_with(&path, &[("Range", range)]);
        assert_eq!((part.status, part.announced()), (206, to - from), "{range}");
        assert!(part.body == blob[from..to], "{range}");
        assert_eq!(part.headers["content-range"], format!("bytes {from}-{}/{size}", to - 1));
    }
    let beyond = scene.get_with(&path, &[("Range", &format!("bytes={size}-"))]);
    assert_eq!((beyond.status, beyond.headers["content-range"].as_str()), (416, format!("bytes */{size}").as_str()));
    assert_eq!(scene.get_with(&path, &[("Range", "lines=1-2")]).status, 200);
}

/// Checklist: RG-03
#[test]
fn what_is_not_there_is_said_in_the_words_of_the_specification() {
    let scene = Scene::new(RegistryOptions::default());
    let zeros = format!("sha256:{}", "0".repeat(64));
    let foreign = &scene.deep().image_id;
    for (path, status, code) in [
        ("/v2/hello/manifests/nosuch".to_owned(), 404, "MANIFEST_UNKNOWN"),
        (format!("/v2/hello/manifests/{zeros}"), 404, "MANIFEST_UNKNOWN"),
        (format!("/v2/hello/blobs/{zeros}"), 404, "BLOB_UNKNOWN"),
        (format!("/v2/hello/blobs/{foreign}"), 404, "BLOB_UNKNOWN"),
        ("/v2/hello/blobs/sha256:../../index.json".to_owned(), 404, "BLOB_UNKNOWN"),
        ("/v2/nosuch/manifests/latest".to_owned(), 404, "NAME_UNKNOWN"),
        ("/v2/nosuch/tags/list".to_owned(), 404, "NAME_UNKNOWN"),
        ("/v2/hello/nonsense".to_owned(), 404, "UNSUPPORTED"),
        ("/token".to_owned(), 404, "UNSUPPORTED"),
    ] {
        let answer = scene.get(&path);
        assert_eq!((answer.status, answer.error_code().as_str()), (status, code), "{path}");
    }
    let push = ask(scene.registry.addr(), "POST", "/v2/hello/blobs/uploads/", &[]);
    assert_eq!((push.status, push.error_code().as_str()), (405, "UNSUPPORTED"));
}

/// Checklist: RG-04~
#[test]
fn tags_and_names_are_listed_whole_or_in_pages() {
    let scene = Scene::new(RegistryOptions::default());
    assert_eq!(scene.get("/v2/_catalog").json(), json!({"repositories": ["hello", "team/deep"]}));
    let tags = scene.get("/v2/library/hello/tags/list").json();
    assert_eq!(tags, json!({"name": "library/hello", "tags": ["1.0", "1.1", "latest"]}));
    let first = scene.get("/v2/hello/tags/list?n=2");
    assert_eq!(first.json()["tags"], json!(["1.0", "1.1"]));
    assert_eq!(first.headers["link"], "</v2/hello/tags/list?n=2&last=1.1>; rel=\"next\"");
    let second = scene.get("/v2/hello/tags/list?n=2&last=1.1");
    assert_eq!((second.json()["tags"].clone(), second.headers.get("link")), (json!(["latest"]), None));
}

#[test]
fn a_password_is_asked_for_and_checked() {
    let credentials = Credentials { user: "ann".into(), password: "secret".into() };
    let authentication = Authentication::Basic(credentials);
    let scene = Scene::new(RegistryOptions { authentication, ..Default::default() });
    let refused = scene.get("/v2/");
    assert_eq!((refused.status, refused.error_code().as_str()), (401, "UNAUTHORIZED"));
    assert!(refused.headers["www-authenticate"].starts_with("Basic realm="));
    let wrong = [("Authorization", "Basic YW5uOndyb25n")];
    assert_eq!(scene.get_with("/v2/hello/manifests/latest", &wrong).status, 401);
    let right = [("Authorization", "Basic YW5uOnNlY3JldA==")];
    assert_eq!(scene.get_with("/v2/hello/manifests/latest", &right).status, 200);
    assert_eq!(scene.get_with("/v2/hello/manifests/nosuch", &wrong).status, 401, "nothing is told to strangers");
}

#[test]
fn a_token_opens_the_repository_it_was_asked_for_and_no_other() {
    let credentials = Some(Credentials { user: "ann".into(), password: "secret".into() });
    let authentication = Authentication::Bearer { service: "lab".into(), credentials };
    let scene = Scene::new(RegistryOptions { authentication, ..Default::default() });
    let refused = scene.get("/v2/library/hello/manifests/latest");
    assert_eq!(
        (refused.status, refused.headers["www-authenticate"].as_str()),
        (
            401,
            format!(
                "Bearer realm=\"http://{}/token\",service=\"lab\",scope=\"repository:library/hello:pull\"",
                scene.registry.addr()
            )
            .as_str()
        )
    );
    let page = "/token?service=lab&scope=repository%3Alibrary%2Fhello%3Apull";
    assert_eq!(scene.get(page).status, 401, "a password is needed");
    let granted = scene.get_with(page, &[("Authorization", "Basic YW5uOnNlY3JldA==")]).json();
    assert_eq!(granted["token"], granted["access_token"]);
    let bearer = format!("Bearer {}", granted["token"].as_str().unwrap());
    let headers = [("Authorization", bearer.as_str())];
    assert_eq!(scene.get_with("/v2/", &headers).status, 200);
    assert_eq!(scene.get_with("/v2/library/hello/manifests/latest", &headers).status, 200);
    assert_eq!(scene.get_with("/v2/team/deep/manifests/latest", &headers).status, 401);
    assert_eq!(scene.get_with("/v2/", &[("Authorization", "Bearer invented")]).status, 401);
}

#[test]
fn tokens_may_be_for_everybody() {
    let authentication = Authentication::Bearer { service: "lab".into(), credentials: None };
    let scene = Scene::new(RegistryOptions { authentication, ..Default::default() });
    let granted = scene.get("/token?service=lab&scope=repository:hello:pull,push").json();
    let bearer = format!("Bearer {}", granted["token"].as_str().unwrap());
    assert_eq!(scene.get_with(&scene.layer_path(), &[("Authorization", &bearer)]).status, 200);
    assert_eq!(scene.get(&scene.layer_path()).status, 401);
}

#[test]
fn wrong_content_differs_in_one_byte_and_claims_the_same_digest() {
    let scene = Scene::with_fault(At::Blobs, Misbehaviour::WrongContent);
    let (answer, truth) = (scene.get(&scene.layer_path()), scene.layer());
    assert_eq!((answer.status, answer.body.len(), answer.broken), (200, truth.len(), None));
    assert_eq!(answer.headers["docker-content-digest"], scene.hello().layers[0].digest);
    assert_eq!(answer.body.iter().zip(&truth).filter(|(a, b)| a != b).count(), 1);
    assert_eq!(scene.get("/v2/hello/manifests/latest").digest(), scene.hello().digest, "manifests are true");
}

#[test]
fn a_manifest_may_be_wrong_only_when_asked_for_by_digest() {
    let scene = Scene::with_fault(At::ManifestsByDigest, Misbehaviour::WrongContent);
    let digest = &scene.hello().digest;
    assert_eq!(scene.get("/v2/hello/manifests/latest").digest(), *digest);
    let answer = scene.get(&format!("/v2/hello/manifests/{digest}"));
    assert_eq!(&answer.headers["docker-content-digest"], digest);
    assert_ne!(answer.digest(), *digest);
}

#[test]
fn a_truncated_blob_announces_all_and_ends_early() {
    let scene = Scene::with_fault(At::Blobs, Misbehaviour::Truncated { after_bytes: 100_000 });
    let answer = scene.get(&scene.layer_path());
    assert_eq!((answer.status, answer.announced()), (200, scene.layer().len()));
    assert!(answer.body == scene.layer()[..100_000]);
    assert_ne!(answer.broken, Some(ErrorKind::WouldBlock), "the connection is closed, not left open");
}

#[test]
fn a_hanging_blob_stops_and_the_registry_can_still_be_ended() {
    let scene = Scene::with_fault(At::Blobs, Misbehaviour::Hanging { after_bytes: 1000 });
    let answer = scene.get(&scene.layer_path());
    assert_eq!((answer.body.len(), answer.announced()), (1000, scene.layer().len()));
    assert_eq!(answer.broken, Some(ErrorKind::WouldBlock), "the connection stays open");
    let mut hanging = TcpStream::connect(scene.registry.addr()).unwrap();
    write!(hanging, "GET {} HTTP/1.1\r\nHost: x\r\n\r\n", scene.layer_path()).unwrap();
    let mut first = [0; 1];
    hanging.read_exact(&mut first).unwrap();
    let address = scene.registry.addr();
    let started = Instant::now();
    drop(scene);
    assert!(started.elapsed() < Duration::from_secs(2));
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}

#[test]
fn an_ordered_status_comes_as_often_as_ordered() {
    let times = Some(2);
    let faults = vec![
        Fault { at: At::Manifests, misbehaviour: Misbehaviour::Status(500), times },
        Fault {
            at: At::Manifests,
            misbehaviour: Misbehaviour::TooManyRequests { retry_after: Some(Duration::from_secs(3)) },
            times: Some(1),
        },
    ];
    let scene = Scene::new(RegistryOptions { faults, ..Default::default() });
    let answers: Vec<Answer> = (0..4).map(|_| scene.get("/v2/hello/manifests/latest")).collect();
    assert_eq!(answers.iter().map(|a| a.status).collect::<Vec<_>>(), [500, 500, 429, 200]);
    assert_eq!(
        (answers[2].headers["retry-after"].as_str(), answers[2].error_code().as_str()),
        ("3", "TOOMANYREQUESTS")
    );
    let served = scene.registry.requests();
    assert_eq!(served.iter().map(|s| s.status).collect::<Vec<_>>(), [500, 500, 429, 200]);
    assert_eq!((served[0].fault.clone(), served[3].fault.clone()), (Some(Misbehaviour::Status(500)), None));
}

#[test]
fn one_blob_may_be_missing() {
    let scene = Scene::new(RegistryOptions::default());
    let digest = scene.hello().layers[0].digest.clone();
    let faults = vec![Fault { at: At::Blob(digest), misbehaviour: Misbehaviour::Status(404), times: None }];
    let faulty = serve(scene.directory.path().join("store"), RegistryOptions { faults, ..Default::default() });
    let answer = ask(faulty.addr(), "GET", &scene.layer_path(), &[]);
    assert_eq!((answer.status, answer.error_code().as_str()), (404, "BLOB_UNKNOWN"));
    let config = format!("/v2/hello/blobs/{}", scene.hello().image_id);
    assert_eq!(ask(faulty.addr(), "GET", &config, &[]).status, 200);
}

/// Checklist: RG-07~
#[test]
fn blobs_may_be_elsewhere_here_or_on_another_host() {
    let scene = Scene::with_fault(At::Blobs, Misbehaviour::Redirect { base: "/elsewhere".into() });
    let answer = scene.get(&scene.layer_path());
    let digest = &scene.hello().layers[0].digest;
    assert_eq!((answer.status, answer.headers["location"].clone()), (307, format!("/elsewhere/{digest}")));
    assert_eq!(scene.get(&answer.headers["location"]).digest(), *digest);

    let base = format!("http://{}/store", scene.registry.addr());
    let faults =
        vec![Fault { at: At::Blobs, misbehaviour: Misbehaviour::Redirect { base: base.clone() }, times: None }];
    let other = serve(scene.directory.path().join("store"), RegistryOptions { faults, ..Default::default() });
    let away = ask(other.addr(), "GET", &scene.layer_path(), &[]);
    assert_eq!(away.headers["location"], format!("{base}/{digest}"));
    assert_eq!(scene.get(&format!("/store/{digest}")).digest(), *digest);
}

#[test]
fn every_request_is_written_down() {
    let scene = Scene::new(RegistryOptions::default());
    let headers = [("Authorization", "Basic eA=="), ("Range", "bytes=0-0"), ("User-Agent", "test/1")];
    scene.get_with(&format!("{}?ns=docker.io", scene.layer_path()), &headers);
    let served = scene.registry.requests();
    assert_eq!(served.len(), 1);
    let one = &served[0];
    assert_eq!(
        (one.method.as_str(), one.path.as_str(), one.query.as_str()),
        ("GET", &*scene.layer_path(), "ns=docker.io")
    );
    assert_eq!(one.status, 206);
    assert_eq!(one.authorization.as_deref(), Some("Basic eA=="));
    assert_eq!((one.range.as_deref(), one.user_agent.as_deref()), (Some("bytes=0-0"), Some("test/1")));
}

#[test]
fn a_store_that_is_none_is_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = Registry::serve(listener, directory.path().join("nosuch"), RegistryOptions::default()).unwrap_err();
    assert!(error.to_string().contains("nosuch/index.json"), "{error}");
}
