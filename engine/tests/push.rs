//! Pushes to the lab's own registry, an honest one and one that fails for a while; and searches of its index.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod transfer;

use std::net::TcpListener;
use std::time::Duration;

use layerlab_engine::cli::progress::PullLines;
use layerlab_engine::image::Reference;
use layerlab_engine::registry::{PushError, Pushed, RegistrySettings, Retries, SearchError, push, search, tags};
use layerlab_scenarios::image::Layout;
use layerlab_scenarios::registry::{
    At, Authentication, Credentials, Fault, Listed, Misbehaviour, Registry, RegistryHandle, RegistryOptions,
};

use transfer::shelf::Shelf;

/// A registry without images, to which images can be pushed.
struct Scene {
    registry: RegistryHandle,
    place: tempfile::TempDir,
}

impl Scene {
    fn new(options: RegistryOptions) -> Scene {
        let place = tempfile::tempdir().unwrap();
        let store = place.path().join("store");
        Layout::create(&store).unwrap().write_index(&[], None).unwrap();
        let options = RegistryOptions { pushed: Some(place.path().join("pushed")), ..options };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Scene { registry: Registry::serve(listener, store, options).unwrap(), place }
    }

    fn failing(at: At, status: u16, times: usize) -> Scene {
        let fault = Fault { at, misbehaviour: Misbehaviour::Status(status), times: Some(times) };
        Scene::new(RegistryOptions { faults: vec![fault], ..RegistryOptions::default() })
    }

    fn reference(&self, path: &str) -> Reference {
        Reference::parse(&format!("{}/{path}", self.registry.addr())).unwrap().with_default_tag()
    }

    fn push(&self, shelf: &Shelf, path: &str, settings: &RegistrySettings) -> (Result<Pushed, PushError>, String) {
        let mut text = Vec::new();
        let lines = PullLines::plain(&mut text);
        let result = push(&self.reference(path), &shelf.image, settings, shelf, &lines);
        drop(lines);
        (result, String::from_utf8(text).unwrap())
    }

    fn count(&self, method: &str, part: &str) -> usize {
        let fits = |path: &str| path.contains(part);
        self.registry.requests().iter().filter(|served| served.method == method && fits(&served.path)).count()
    }
}

fn settings() -> RegistrySettings {
    RegistrySettings { retries: Retries { pause: Duration::ZERO, ..Retries::default() }, ..Default::default() }
}

/// Checklist: CN-03~
#[test]
fn layers_are_told_from_the_top_down_and_six_are_not_sent_at_once() {
    let (scene, shelf) = (Scene::new(RegistryOptions::default()), Shelf::new(6));
    let (pushed, text) = scene.push(&shelf, "a/b", &settings());
    pushed.unwrap();
    let short: Vec<&str> = shelf.image.layers.iter().rev().map(|layer| layer.diff_id.short()).collect();
    let lines: Vec<&str> = text.lines().collect();
    for (line, layer) in lines.iter().zip(&short) {
        assert_eq!(*line, format!("{layer}: Preparing"));
    }
    assert_eq!(lines[6], format!("{}: Waiting", short[5]));
    assert_eq!(lines.iter().filter(|line| line.ends_with(": Pushed")).count(), 6);
    assert_eq!(tags(&scene.reference("a/b"), &settings()).unwrap(), ["latest"]);
}

/// Checklist: RG-01~
#[test]
fn a_layer_that_the_repository_has_or_can_take_from_another_is_not_sent() {
    let (scene, shelf) = (Scene::new(RegistryOptions::default()), Shelf::new(2));
    scene.push(&shelf, "a/b", &settings()).0.unwrap();
    let sent = scene.count("PATCH", "uploads");
    let (_, text) = scene.push(&shelf, "a/b:again", &settings());
    assert_eq!(text.matches("Layer already exists").count(), 2, "{text}");
    let (_, text) = scene.push(&shelf, "c/d", &settings());
    assert_eq!(text.matches("Mounted from a/b").count(), 2, "{text}");
    assert_eq!(scene.count("PATCH", "uploads"), sent, "nothing was sent again");
}

#[test]
fn a_blob_that_is_gone_from_where_it_was_known_to_be_is_forgotten_and_sent() {
    let (scene, shelf) = (Scene::new(RegistryOptions::default()), Shelf::new(1));
    scene.push(&shelf, "a/b", &settings()).0.unwrap();
    let fresh = Scene::new(RegistryOptions::default());
    // The same books, as if the registry had been emptied.
    let layer = &shelf.image.layers[0];
    shelf.move_books(&scene.registry.addr().to_string(), &fresh.registry.addr().to_string());
    let (pushed, text) = fresh.push(&shelf, "c/d", &settings());
    pushed.unwrap();
    assert!(text.contains(": Pushed"), "{text}");
    let known = layerlab_engine::registry::PushSource::known_blobs(&shelf, &layer.diff_id);
    assert!(known.iter().all(|blob| blob.repository.ends_with("c/d")), "{known:?}");
}

/// Checklist: RG-07~
#[test]
fn a_registry_that_fails_for_a_while_is_tried_again() {
    let (scene, shelf) = (Scene::failing(At::Uploads, 500, 2), Shelf::new(1));
    let slow = RegistrySettings {
        retries: Retries { pause: Duration::from_millis(10), ..Retries::default() },
        ..RegistrySettings::default()
    };
    let (pushed, text) = scene.push(&shelf, "a/b", &slow);
    pushed.unwrap();
    assert_eq!(text.matches("Retrying in 1 second").count(), 2, "{text}");
}

#[test]
fn a_registry_that_always_fails_is_given_up_on_and_nothing_stays_in_the_scratch_place() {
    let (scene, shelf) = (Scene::failing(At::Uploads, 503, usize::MAX), Shelf::new(1));
    let message = scene.push(&shelf, "a/b", &settings()).0.unwrap_err().to_string();
    assert_eq!(message, "received unexpected HTTP status: 503 Service Unavailable");
    let left = std::fs::read_dir(layerlab_engine::registry::PushSource::scratch(&shelf)).unwrap().count();
    assert_eq!((left, scene.count("PUT", "manifests")), (0, 0));
}

#[test]
fn tokens_are_for_both_repositories_of_a_mount() {
    let jane = Credentials { user: "jane".into(), password: "secret".into() };
    let authentication = Authentication::Bearer { service: "test".into(), credentials: Some(jane) };
    let scene = Scene::new(RegistryOptions { authentication, ..RegistryOptions::default() });
    let shelf = Shelf::new(1);
    let message = scene.push(&shelf, "a/b", &settings()).0.unwrap_err().to_string();
    assert_eq!(message, "unauthorized: authentication required");
    let path = scene.place.path().join("config.json");
    let host = scene.registry.addr();
    std::fs::write(&path, format!(r#"{{"auths":{{"{host}":{{"auth":"amFuZTpzZWNyZXQ="}}}}}}"#)).unwrap();
    let jane = RegistrySettings { credentials: Some(path), ..settings() };
    scene.push(&shelf, "a/b", &jane).0.unwrap();
    let (_, text) = scene.push(&shelf, "c/d", &jane);
    assert!(text.contains("Mounted from a/b"), "{text}");
    let asked =
        scene.registry.requests().into_iter().rfind(|served| served.path == "/token" && served.query.contains("a%2Fb"));
    assert!(asked.unwrap().query.contains("c%2Fd"));
}

#[test]
fn a_registry_that_is_not_there_is_named() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (shelf, reference) = (Shelf::new(1), Reference::parse(&format!("{free}/x:v1")).unwrap());
    let error = push(&reference, &shelf.image, &settings(), &shelf, &PullLines::plain(Vec::new())).unwrap_err();
    let expected = format!("Get \"http://{free}/v2/\": dial tcp {free}: connect: connection refused");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn an_index_is_searched() {
    let listed = |name: &str, stars, official| Listed {
        name: name.to_owned(),
        description: "about".to_owned(),
        stars,
        official,
        automated: !official,
    };
    let index = vec![listed("centos", 3, true), listed("x/centos", 9, false), listed("bash", 1, true)];
    let scene = Scene::new(RegistryOptions { index, ..RegistryOptions::default() });
    let insecure = RegistrySettings { insecure: vec!["127.0.0.0/8".to_owned()], ..settings() };
    for settings in [settings(), insecure] {
        let found = search(&format!("{}/centos", scene.registry.addr()), 25, &settings).unwrap();
        let shown: Vec<_> = found.iter().map(|found| (found.name.as_str(), found.star_count)).collect();
        assert_eq!(shown, [("x/centos", 9), ("centos", 3)]);
        assert!(found[0].is_automated && found[1].is_official);
    }
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = search(&format!("{free}/x"), 25, &settings()).unwrap_err();
    let refused = format!("dial tcp {free}: connect: connection refused");
    let expected = format!(
        "invalid registry endpoint \"http://{free}/v1/\". HTTPS attempt: Get \"https://{free}/v1/_ping\": {refused}. \
         HTTP attempt: Get \"http://{free}/v1/_ping\": {refused}"
    );
    assert_eq!(error.to_string(), expected);
    assert!(matches!(error, SearchError::NoAnswer { .. }));
}
