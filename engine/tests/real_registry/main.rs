//! Push and pull with a real registry, Debian's `docker-registry`, over HTTP and HTTPS, with passwords and with tokens;
//! and with skopeo, podman and dockerd on the other side of it.
//!
//! `LAYERLAB_REQUIRE=docker-registry,skopeo,podman,docker` makes a skip for want of one of these a failure.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod others;
mod proxy;
mod server;
mod token;
#[path = "../transfer/mod.rs"]
mod transfer;

use std::time::Duration;

use layerlab_engine::cli::progress::PullLines;
use layerlab_engine::image::{Digest, Reference};
use layerlab_engine::registry::{
    ImageToPush, LoginError, PushError, Pushed, RegistrySettings, Retries, login, pull, push, tags,
};

use proxy::Proxy;
use server::{Guard, RealRegistry};
use transfer::shelf::Shelf;
use transfer::store::Store;

fn settings() -> RegistrySettings {
    RegistrySettings { retries: Retries { pause: Duration::ZERO, ..Retries::default() }, ..Default::default() }
}

fn reference(name: &str) -> Reference {
    Reference::parse(name).unwrap().with_default_tag()
}

/// Pushes the shelf's image; what was told comes too.
fn push_from(shelf: &Shelf, name: &str, settings: &RegistrySettings) -> (Result<Pushed, PushError>, String) {
    let mut text = Vec::new();
    let lines = PullLines::plain(&mut text);
    let result = push(&reference(name), &shelf.image, settings, shelf, &lines);
    drop(lines);
    (result, String::from_utf8(text).unwrap())
}

/// Pulls the image, which must be the shelf's; returns the digest of its manifest.
fn pull_back(shelf: &Shelf, name: &str, settings: &RegistrySettings) -> Digest {
    let (config, manifest_digest) = pull_layers_back(shelf, name, settings);
    assert_eq!(config, shelf.image.config);
    manifest_digest
}

/// Pulls an image whose layers must be the shelf's; returns its configuration and the digest of its manifest.
fn pull_layers_back(shelf: &Shelf, name: &str, settings: &RegistrySettings) -> (Vec<u8>, Digest) {
    let store = Store::default();
    let pulled = pull(&reference(name), None, settings, &store, &PullLines::plain(Vec::new())).unwrap();
    for (layer, ours) in pulled.layers.iter().zip(&shelf.image.layers) {
        assert_eq!(layer.diff_id, ours.diff_id);
        assert_eq!(store.content(&layer.chain_id), shelf.tar(&ours.diff_id));
    }
    assert_eq!(pulled.layers.len(), shelf.image.layers.len());
    (pulled.config.unwrap().raw().to_vec(), pulled.manifest_digest)
}

fn lines_with(text: &str, status: &str) -> usize {
    text.lines().filter(|line| line.ends_with(&format!(": {status}"))).count()
}

/// Push, push again, push to a neighbour, push without the layers at hand, pull.
fn round_trip(guard: Guard) {
    let Some(registry) = RealRegistry::start(guard) else { return };
    let settings = registry.settings(settings());
    let shelf = Shelf::new(3);
    let (name, neighbour) = (registry.name("team/first:v1"), registry.name("team/second:v1"));
    let (pushed, text) = push_from(&shelf, &name, &settings);
    let pushed = pushed.unwrap();
    assert_eq!((lines_with(&text, "Preparing"), lines_with(&text, "Pushed")), (3, 3), "{text}");
    assert_eq!(pull_back(&shelf, &name, &settings), pushed.manifest_digest);

    let (again, text) = push_from(&shelf, &name, &settings);
    assert_eq!(again.unwrap(), pushed);
    assert_eq!(lines_with(&text, "Layer already exists"), 3, "{text}");

    shelf.lose_tars();
    let (mounted, text) = push_from(&shelf, &neighbour, &settings);
    assert_eq!(mounted.unwrap(), pushed);
    assert_eq!(lines_with(&text, "Mounted from team/first"), 3, "{text}");
    assert_eq!(tags(&reference(&neighbour), &settings).unwrap(), ["v1"]);
    shelf.find_tars();
    assert_eq!(pull_back(&shelf, &neighbour, &settings), pushed.manifest_digest);
    let pinned = format!("{}@{}", registry.name("team/second"), pushed.manifest_digest);
    assert_eq!(pull_back(&shelf, &pinned, &settings), pushed.manifest_digest);
}

/// Checklist: RG-01~, N-09~
#[test]
fn an_image_goes_there_and_back_over_http() {
    round_trip(Guard::Nobody);
}

#[test]
fn an_image_goes_there_and_back_over_https_with_an_authority_of_its_own() {
    round_trip(Guard::Tls);
}

#[test]
fn an_image_goes_there_and_back_with_a_password() {
    round_trip(Guard::Password);
}

#[test]
fn an_image_goes_there_and_back_with_tokens() {
    round_trip(Guard::Token);
}

#[test]
fn a_certificate_of_a_stranger_is_refused_unless_the_registry_is_insecure() {
    let Some(registry) = RealRegistry::start(Guard::Tls) else { return };
    let (shelf, name) = (Shelf::new(1), registry.name("a/b"));
    let trusting = registry.settings(settings());
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir(place.path().join(registry.host())).unwrap();
    let wary = RegistrySettings { certificates: Some(place.path().to_owned()), ..trusting.clone() };
    let message = push_from(&shelf, &name, &wary).0.unwrap_err().to_string();
    assert!(message.ends_with("x509: certificate signed by unknown authority"), "{message}");
    let insecure = RegistrySettings { insecure: vec![registry.host()], ..settings() };
    let pushed = push_from(&shelf, &name, &insecure).0.unwrap();
    assert_eq!(pull_back(&shelf, &name, &trusting), pushed.manifest_digest);
}

#[test]
fn without_a_password_or_with_a_wrong_one_nothing_is_pushed() {
    let Some(registry) = RealRegistry::start(Guard::Password) else { return };
    let (shelf, name) = (Shelf::new(1), registry.name("a/b"));
    assert_eq!(push_from(&shelf, &name, &settings()).0.unwrap_err().to_string(), "no basic auth credentials");
    let wrong = registry.settings_as("jane", "wrong", settings());
    let message = push_from(&shelf, &name, &wrong).0.unwrap_err().to_string();
    assert_eq!(message, "unauthorized: authentication required");
    login(&registry.host(), "jane", "secret", &settings()).unwrap();
    let refused = login(&registry.host(), "jane", "wrong", &settings()).unwrap_err();
    assert!(matches!(&refused, LoginError::Refused { status, .. } if status == "401 Unauthorized"), "{refused}");
}

/// Checklist: CR-08~, RG-07~
#[test]
fn an_upload_that_breaks_off_goes_on_where_it_was() {
    let Some(registry) = RealRegistry::start(Guard::Nobody) else { return };
    let shelf = Shelf::with_layers_of(1, 3 << 20);
    let proxy = Proxy::cutting_uploads_once(registry.address(), 1 << 20);
    let name = format!("{}/a/b:v1", proxy.address());
    let (pushed, text) = push_from(&shelf, &name, &settings());
    let pushed = pushed.unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(proxy.has_cut());
    assert!(
        proxy.uploaded_bytes() < (3 << 20) + (3 << 19),
        "the registry kept what it had: {}",
        proxy.uploaded_bytes()
    );
    assert_eq!(pull_back(&shelf, &registry.name("a/b:v1"), &settings()), pushed.manifest_digest);
}

/// Checklist: CR-08~, RG-07~
#[test]
fn a_download_that_breaks_off_goes_on_where_it_was() {
    let Some(registry) = RealRegistry::start(Guard::Nobody) else { return };
    let shelf = Shelf::with_layers_of(1, 3 << 20);
    let pushed = push_from(&shelf, &registry.name("a/b:v1"), &settings()).0.unwrap();
    let proxy = Proxy::cutting_downloads_once(registry.address(), 1 << 20);
    let name = format!("{}/a/b:v1", proxy.address());
    assert_eq!(pull_back(&shelf, &name, &settings()), pushed.manifest_digest);
    assert!(proxy.has_cut());
    assert!(proxy.downloaded_bytes() < (3 << 20) + (3 << 19), "{}", proxy.downloaded_bytes());
}

/// Checklist: RG-02~
#[test]
fn a_layer_that_is_not_the_one_the_image_names_is_never_pushed() {
    let Some(registry) = RealRegistry::start(Guard::Nobody) else { return };
    let shelf = Shelf::new(1);
    let image = ImageToPush { config: shelf.image.config.clone(), layers: shelf.image.layers.clone() };
    shelf.spoil_tars();
    let error = push(&reference(&registry.name("a/b")), &image, &settings(), &shelf, &PullLines::plain(Vec::new()));
    let message = error.unwrap_err().to_string();
    assert!(message.contains("so it is not the layer that the image names"), "{message}");
    assert!(tags(&reference(&registry.name("a/b")), &settings()).is_err(), "no tag names half an image");
}
