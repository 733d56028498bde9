//! Pulls from a small registry of this file's own, an honest one and one that breaks or lies in each of its ways.

#![allow(clippy::unwrap_used)]

mod registry;
#[path = "../transfer/mod.rs"]
mod transfer;

use std::net::TcpListener;
use std::time::Duration;

use layerlab_engine::cli::progress::PullLines;
use layerlab_engine::image::manifest::Platform;
use layerlab_engine::image::{Digest, Reference};
use layerlab_engine::registry::{PullError, Pulled, RegistrySettings, Retries, pull};

use registry::{Auth, FakeRegistry, Fault};
use transfer::store::Store;

fn settings() -> RegistrySettings {
    RegistrySettings { retries: Retries { pause: Duration::ZERO, ..Retries::default() }, ..Default::default() }
}

fn pull_into(store: &Store, name: &str, settings: &RegistrySettings) -> (Result<Pulled, PullError>, String) {
    let mut text = Vec::new();
    let lines = PullLines::plain(&mut text);
    let result = pull(&Reference::parse(name).unwrap(), None, settings, store, &lines);
    drop(lines);
    (result, String::from_utf8(text).unwrap())
}

/// Pulls `httpd` from a registry with this fault; nothing may remain of the failed pull.
fn failure_with(fault: Fault) -> (String, FakeRegistry) {
    let registry = FakeRegistry::start(Auth::None, fault);
    let store = Store::default();
    let (result, _) = pull_into(&store, &registry.name("library/httpd"), &settings());
    assert_eq!(store.registered(), Vec::<Digest>::new(), "nothing may be registered");
    assert_eq!(store.staged(), Vec::<Digest>::new(), "everything staged must be discarded");
    (result.expect_err("the pull must fail").to_string(), registry)
}

#[test]
fn an_image_arrives_whole_with_its_bytes_as_they_were() {
    let registry = FakeRegistry::start(Auth::None, Fault::Nothing);
    let store = Store::default();
    let (result, _) = pull_into(&store, &registry.name("library/httpd"), &settings());
    let pulled = result.unwrap();
    let image = &registry.image;
    assert_eq!(pulled.manifest_digest, Digest::of(&image.manifest));
    assert_eq!(pulled.manifest_raw, image.manifest);
    assert_eq!(pulled.config.unwrap().raw(), image.config);
    assert_eq!(pulled.image_id, Digest::of(&image.config));
    let diff_ids: Vec<Digest> = pulled.layers.iter().map(|layer| layer.diff_id.clone()).collect();
    assert_eq!(diff_ids, image.tars.iter().map(|tar| Digest::of(tar)).collect::<Vec<_>>());
    let chain_ids: Vec<Digest> = pulled.layers.iter().map(|layer| layer.chain_id.clone()).collect();
    assert_eq!(store.registered(), chain_ids, "from the base up");
    for (layer, tar) in pulled.layers.iter().zip(&image.tars) {
        assert_eq!(store.content(&layer.chain_id), *tar);
    }
}

#[test]
fn the_lines_are_those_of_docker() {
    let registry = FakeRegistry::start(Auth::None, Fault::Nothing);
    let (_, text) = pull_into(&Store::default(), &registry.name("library/httpd"), &settings());
    let short: Vec<String> = registry.image.blobs.iter().map(|blob| Digest::of(blob).short().to_owned()).collect();
    let all = |status: &str| -> Vec<String> { short.iter().map(|layer| format!("{layer}: {status}")).collect() };
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "latest: Pulling from library/httpd");
    assert_eq!(lines[1..6], all("Pulling fs layer"));
    assert_eq!(lines[6..8], all("Waiting")[3..]);
    assert_eq!(lines[18..], all("Pull complete"));
    for layer in &short {
        let verifying = lines.iter().position(|line| *line == format!("{layer}: Verifying Checksum")).unwrap();
        let complete = lines.iter().position(|line| *line == format!("{layer}: Download complete")).unwrap();
        assert!(verifying < complete, "{text}");
    }
}

#[test]
fn a_second_pull_finds_the_image_and_asks_for_no_blob() {
    let registry = FakeRegistry::start(Auth::None, Fault::Nothing);
    let store = Store::default();
    let name = registry.name("library/httpd");
    let first = pull_into(&store, &name, &settings()).0.unwrap();
    store.add_image(first.image_id);
    registry.forget_requests();
    let (second, text) = pull_into(&store, &name, &settings());
    assert!(second.unwrap().config.is_none());
    assert_eq!(text, "latest: Pulling from library/httpd\n");
    assert!(registry.requests().iter().all(|request| !request.contains("/blobs/")), "{:?}", registry.requests());
}

#[test]
fn layers_that_exist_are_not_downloaded() {
    let registry = FakeRegistry::start(Auth::None, Fault::Nothing);
    let store = Store::default();
    let layers = pull_into(&store, &registry.name("library/httpd"), &settings()).0.unwrap().layers;
    let half_full = Store::default();
    half_full.add_layers(layers[..3].iter().map(|layer| layer.chain_id.clone()));
    registry.forget_requests();
    let (result, text) = pull_into(&half_full, &registry.name("library/httpd"), &settings());
    assert_eq!(result.unwrap().layers, layers);
    assert_eq!(text.matches("Already exists").count(), 3, "{text}");
    for layer in &layers[..3] {
        assert!(registry.requests().iter().all(|request| !request.contains(layer.blob.hex())));
    }
}

/// Checklist: CN-03~, CN-06
#[test]
fn three_layers_arrive_side_by_side_and_no_more() {
    let registry = FakeRegistry::start(Auth::None, Fault::Nothing);
    let store = Store::slow(Duration::from_millis(300));
    pull_into(&store, &registry.name("library/httpd"), &settings()).0.unwrap();
    assert_eq!(store.most_unpacking_at_once(), 3);
}

#[test]
fn a_digest_pins_the_image() {
    let registry = FakeRegistry::start(Auth::None, Fault::Nothing);
    let name = format!("{}@{}", registry.name("library/httpd"), Digest::of(&registry.image.manifest));
    let pulled = pull_into(&Store::default(), &name, &settings()).0.unwrap();
    assert_eq!(pulled.manifest_raw, registry.image.manifest);
}

/// Checklist: RG-09
#[test]
fn an_index_leads_to_the_image_for_this_machine() {
    let registry = FakeRegistry::start(Auth::None, Fault::Nothing);
    let pulled = pull_into(&Store::default(), &registry.name("library/multi"), &settings()).0.unwrap();
    assert_eq!(pulled.manifest_digest, Digest::of(&registry.image.index), "the digest is the index's");
    assert_eq!(pulled.manifest_raw, registry.image.manifest);
    assert_eq!(pulled.image_id, Digest::of(&registry.image.config));
}

/// Checklist: ID-07
#[test]
fn an_uncompressed_layer_is_taken_as_it_is() {
    let registry = FakeRegistry::start(Auth::None, Fault::Uncompressed);
    let store = Store::default();
    let pulled = pull_into(&store, &registry.name("library/httpd"), &settings()).0.unwrap();
    assert_eq!(store.content(&pulled.layers[0].chain_id), registry.image.tars[0]);
}

#[test]
fn a_token_is_fetched_where_the_registry_wants_one() {
    let registry = FakeRegistry::start(Auth::Token, Fault::Nothing);
    pull_into(&Store::default(), &registry.name("library/httpd"), &settings()).0.unwrap();
    let asked = registry.requests().into_iter().find(|request| request.contains("/token")).unwrap();
    assert!(asked.contains("scope=repository%3Alibrary%2Fhttpd%3Apull"), "{asked}");
    assert!(asked.contains("service=fake"), "{asked}");
}

#[test]
fn a_token_that_does_not_reach_so_far_is_access_denied() {
    let registry = FakeRegistry::start(Auth::Token, Fault::Nothing);
    let name = registry.name("private/x");
    let message = pull_into(&Store::default(), &name, &settings()).0.unwrap_err().to_string();
    let expected = format!(
        "pull access denied for {name}, repository does not exist or may require 'docker login': denied: \
         requested access to the resource is denied"
    );
    assert_eq!(message, expected);
}

#[test]
fn a_password_comes_from_the_docker_clients_file() {
    let registry = FakeRegistry::start(Auth::Basic, Fault::Nothing);
    let name = registry.name("library/httpd");
    let refused = pull_into(&Store::default(), &name, &settings()).0.unwrap_err().to_string();
    let url = format!("http://{}/v2/library/httpd/manifests/latest", registry.host());
    assert_eq!(refused, format!("Head \"{url}\": no basic auth credentials"));

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    let login = |auth: &str| {
        std::fs::write(&path, format!(r#"{{"auths":{{"{}":{{"auth":"{auth}"}}}}}}"#, registry.host())).unwrap();
        RegistrySettings { credentials: Some(path.clone()), ..settings() }
    };
    pull_into(&Store::default(), &name, &login("amFuZTpzZWNyZXQ=")).0.unwrap();
    let wrong = pull_into(&Store::default(), &name, &login("amFuZTp3cm9uZw==")).0.unwrap_err().to_string();
    assert_eq!(wrong, "unauthorized: authentication required");
}

#[test]
fn a_mirror_is_asked_for_the_images_of_docker_hub() {
    let registry = FakeRegistry::start(Auth::None, Fault::Nothing);
    let settings = RegistrySettings { mirrors: vec![format!("http://{}/", registry.host())], ..settings() };
    pull_into(&Store::default(), "httpd", &settings).0.unwrap();
    assert!(registry.requests().iter().any(|request| request.starts_with("GET /v2/library/httpd/manifests/latest")));
}

#[test]
fn an_unknown_tag_is_named() {
    let registry = FakeRegistry::start(Auth::None, Fault::Nothing);
    let name = format!("{}:nosuch", registry.name("library/httpd"));
    let message = pull_into(&Store::default(), &name, &settings()).0.unwrap_err().to_string();
    assert_eq!(message, format!("manifest for {name} not found: manifest unknown: manifest unknown"));
}

#[test]
fn an_unreachable_registry_is_named() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let message = pull_into(&Store::default(), &format!("{free}/x"), &settings()).0.unwrap_err().to_string();
    assert_eq!(message, format!("Get \"http://{free}/v2/\": dial tcp {free}: connect: connection refused"));
}

#[test]
fn scratch_cannot_be_pulled() {
    let message = pull_into(&Store::default(), "scratch", &settings()).0.unwrap_err().to_string();
    assert_eq!(message, "'scratch' is a reserved name");
}

/// Checklist: ID-04~, RG-08
#[test]
fn a_blob_with_wrong_bytes_fails_its_verification() {
    let (message, registry) = failure_with(Fault::WrongBytes);
    assert_eq!(message, format!("filesystem layer verification failed for digest {}", registry.broken_blob()));
    assert_eq!(registry.requests_for_broken_blob(), 1, "what is wrong stays wrong: no retry");
}

/// Checklist: ID-04~
#[test]
fn a_blob_that_is_shorter_than_promised_fails_its_verification() {
    let (message, registry) = failure_with(Fault::Short);
    assert_eq!(message, format!("filesystem layer verification failed for digest {}", registry.broken_blob()));
}

/// Checklist: ID-04~, SE-06~
#[test]
fn a_blob_that_is_longer_than_promised_is_cut_off() {
    let (message, registry) = failure_with(Fault::Long);
    let expected = format!("filesystem layer verification failed for digest {}: the manifest", registry.broken_blob());
    assert!(message.starts_with(&expected), "{message}");
}

#[test]
fn a_blob_that_always_breaks_off_is_tried_five_times() {
    let (message, registry) = failure_with(Fault::BreaksOffAlways);
    assert_eq!(message, "unexpected EOF");
    assert_eq!(registry.requests_for_broken_blob(), 5);
}

/// Checklist: CR-08~, RG-07~
#[test]
fn a_blob_that_breaks_off_once_is_resumed() {
    for fault in [Fault::BreaksOffOnce, Fault::BreaksOffOnceWithoutRange] {
        let registry = FakeRegistry::start(Auth::None, fault);
        let store = Store::default();
        let pulled = pull_into(&store, &registry.name("library/httpd"), &settings()).0.unwrap();
        assert_eq!(registry.requests_for_broken_blob(), 2, "{fault:?}");
        let broken = pulled.layers.iter().find(|layer| layer.blob == registry.broken_blob()).unwrap();
        assert_eq!(store.content(&broken.chain_id), registry.image.tars[broken.index]);
    }
}

/// Checklist: RG-07~
#[test]
fn a_blob_of_which_only_the_end_was_not_said_is_whole() {
    let registry = FakeRegistry::start(Auth::None, Fault::BreaksOffAtTheEnd);
    let store = Store::default();
    let pulled = pull_into(&store, &registry.name("library/httpd"), &settings()).0.unwrap();
    assert_eq!(registry.requests_for_broken_blob(), 1);
    let broken = pulled.layers.iter().find(|layer| layer.blob == registry.broken_blob()).unwrap();
    assert_eq!(store.content(&broken.chain_id), registry.image.tars[broken.index]);
}

#[test]
fn a_retry_is_announced() {
    let registry = FakeRegistry::start(Auth::None, Fault::BreaksOffOnce);
    let settings =
        RegistrySettings { retries: Retries { pause: Duration::from_millis(20), ..Retries::default() }, ..settings() };
    let (_, text) = pull_into(&Store::default(), &registry.name("library/httpd"), &settings);
    assert!(text.contains(&format!("{}: Retrying in 1 second\n", registry.broken_blob().short())), "{text}");
}

#[test]
fn a_missing_blob_is_unknown() {
    let (message, registry) = failure_with(Fault::MissingBlob);
    assert_eq!(message, "unknown blob");
    assert_eq!(registry.requests_for_broken_blob(), 1);
}

/// Checklist: RG-07~
#[test]
fn a_server_error_on_a_blob_is_retried_and_then_told() {
    let (message, registry) = failure_with(Fault::ServerError);
    assert_eq!(message, "received unexpected HTTP status: 500 Internal Server Error");
    assert_eq!(registry.requests_for_broken_blob(), 5);
}

/// Checklist: ID-07
#[test]
fn a_layer_that_is_not_what_the_configuration_says_is_refused() {
    let (message, registry) = failure_with(Fault::LyingDiffId);
    let expected = format!("layers from manifest don't match image configuration: layer {}", registry.broken_blob());
    assert!(message.starts_with(&expected), "{message}");
}

/// Checklist: ID-04~, RG-08
#[test]
fn a_configuration_with_wrong_bytes_fails_its_verification() {
    let (message, registry) = failure_with(Fault::WrongConfig);
    assert_eq!(message, format!("image config verification failed for digest {}", Digest::of(&registry.image.config)));
}

/// Checklist: RG-08
#[test]
fn a_manifest_that_is_not_the_pinned_one_fails_its_verification() {
    let registry = FakeRegistry::start(Auth::None, Fault::WrongManifest);
    let pin = Digest::of(&registry.image.manifest);
    let name = format!("{}@{pin}", registry.name("library/httpd"));
    let message = pull_into(&Store::default(), &name, &settings()).0.unwrap_err().to_string();
    assert_eq!(message, format!("manifest verification failed for digest {pin}"));
}

/// Checklist: DF-11, ID-07
#[test]
fn a_zstd_layer_is_unpacked() {
    let registry = FakeRegistry::start(Auth::None, Fault::Zstd);
    let store = Store::default();
    let pulled = pull_into(&store, &registry.name("library/httpd"), &settings()).0.unwrap();
    assert_eq!(store.content(&pulled.layers[2].chain_id), registry.image.tars[2]);
}

/// Checklist: RG-06~
#[test]
fn a_layer_of_a_foreign_kind_is_refused_by_name() {
    let (message, registry) = failure_with(Fault::ForeignLayer);
    let digest = registry.broken_blob();
    let kind = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    assert!(message.starts_with(&format!("layer {digest} has the media type \"{kind}\"")), "{message}");
}

/// Checklist: RG-09
#[test]
fn a_platform_that_the_index_lacks_is_named() {
    let registry = FakeRegistry::start(Auth::None, Fault::Nothing);
    let reference = Reference::parse(&registry.name("library/multi")).unwrap();
    let platform = Platform::parse("linux/xyz").unwrap();
    let lines = PullLines::plain(Vec::new());
    let error = pull(&reference, Some(&platform), &settings(), &Store::default(), &lines).unwrap_err().to_string();
    assert_eq!(error, "no matching manifest for linux/xyz in the manifest list entries");
}

/// Checklist: N-22~
#[test]
fn an_image_with_more_layers_than_can_be_stacked_is_not_downloaded() {
    let registry = FakeRegistry::start(Auth::None, Fault::Nothing);
    let name = registry.name("library/httpd");
    let error = pull_into(&Store::stacking(4), &name, &settings()).0.unwrap_err().to_string();
    assert_eq!(error, "failed to register layer: max depth exceeded");
    assert_eq!(registry.requests_for_broken_blob(), 0);
    pull_into(&Store::stacking(5), &name, &settings()).0.unwrap();
}

/// Checklist: CR-02, QU-04~, CN-06, N-13~
#[test]
fn a_store_that_cannot_take_a_layer_ends_the_pull() {
    let registry = FakeRegistry::start(Auth::None, Fault::Nothing);
    for store in [Store::failing_to_unpack(2), Store::failing_to_register(2)] {
        let (result, _) = pull_into(&store, &registry.name("library/httpd"), &settings());
        let message = result.unwrap_err().to_string();
        assert!(message.starts_with("failed to register layer: no space"), "{message}");
        assert_eq!((store.registered(), store.staged()), (vec![], vec![]));
    }
}

#[test]
fn a_broken_mirror_is_passed_over_for_the_next() {
    let broken = FakeRegistry::start(Auth::None, Fault::LyingDiffId);
    let good = FakeRegistry::start(Auth::None, Fault::Nothing);
    let mirrors = [&broken, &good].map(|registry| format!("http://{}", registry.host())).to_vec();
    let store = Store::default();
    let pulled = pull_into(&store, "httpd", &RegistrySettings { mirrors, ..settings() }).0.unwrap();
    assert_eq!(pulled.image_id, Digest::of(&good.image.config));
    assert_eq!((store.registered().len(), store.staged()), (5, vec![]));
}
