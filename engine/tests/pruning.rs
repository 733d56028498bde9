//! Prune takes what is there when it comes to it: what others remove or name meanwhile, or what will not go, does not stop it.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::path::PathBuf;

use layerlab_engine::container::config::HostConfig;
use layerlab_engine::container::{CreateSpec, Engine, ImportSpec, Settings};
use layerlab_engine::image::{Digest, Reference, RunConfig};
use layerlab_engine::registry::RegistrySettings;

/// An engine that needs no mounts, on a data root of its own.
struct House {
    place: tempfile::TempDir,
    engine: Engine,
}

impl House {
    fn new() -> House {
        let place = tempfile::tempdir().unwrap();
        let engine = Engine::open(Settings {
            data_root: place.path().join("data"),
            exec_root: place.path().join("exec"),
            storage_driver: Some("vfs".to_owned()),
            registry: RegistrySettings::default(),
            squash_owners: false,
            program: PathBuf::from(env!("CARGO_BIN_EXE_layerlab")),
        });
        House { engine: engine.unwrap(), place }
    }

    fn import(&self, content: &str, name: Option<&str>) -> Digest {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_uid(rustix::process::geteuid().as_raw().into());
        header.set_gid(rustix::process::getegid().as_raw().into());
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_data(&mut header, "file", content.as_bytes()).unwrap();
        let reference = name.map(|name| Reference::parse(name).unwrap().with_default_tag());
        let spec = ImportSpec { reference, ..ImportSpec::default() };
        self.engine.import(&builder.into_inner().unwrap()[..], &spec).unwrap()
    }

    fn create(&self, image: &str) -> String {
        let run = RunConfig { cmd: Some(vec!["true".to_owned()]), ..RunConfig::default() };
        let spec = CreateSpec { image: image.to_owned(), name: None, run, host: HostConfig::default() };
        self.engine.create(spec).unwrap().0.id
    }

    fn container_ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.engine.containers().unwrap().into_iter().map(|found| found.id).collect();
        ids.sort();
        ids
    }
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

#[test]
fn a_container_that_vanishes_meanwhile_does_not_stop_the_prune() {
    let house = House::new();
    house.import("x", Some("image"));
    let ids: Vec<String> = (0..3).map(|_| house.create("image")).collect();
    let pruned = house.engine.prune_containers(&|container| {
        if container.id == ids[1] {
            house.engine.remove_container(&ids[1], false, false).unwrap();
        }
        true
    });
    let pruned = pruned.unwrap();
    assert!(pruned.failure.is_none(), "{:?}", pruned.failure);
    assert_eq!(sorted(pruned.removed), sorted(vec![ids[0].clone(), ids[2].clone()]));
    assert_eq!(house.container_ids(), Vec::<String>::new());
}

#[test]
fn what_will_not_go_is_told_beside_what_went() {
    let house = House::new();
    house.import("x", Some("image"));
    let ids: Vec<String> = (0..3).map(|_| house.create("image")).collect();
    let data = house.place.path().join("data");
    let mount_id = fs::read_to_string(data.join("image/vfs/layerdb/mounts").join(&ids[1]).join("mount-id")).unwrap();
    let layer = data.join("vfs/dir").join(mount_id);
    fs::remove_dir_all(&layer).unwrap();
    fs::write(&layer, "no directory").unwrap();
    let pruned = house.engine.prune_containers(&|_| true).unwrap();
    let failure = pruned.failure.unwrap().to_string();
    assert!(failure.contains(layer.to_str().unwrap()), "{failure}");
    assert_eq!(sorted(pruned.removed), sorted(vec![ids[0].clone(), ids[2].clone()]));
}

/// Checklist: GC-05
#[test]
fn an_image_that_gets_a_name_meanwhile_keeps_it() {
    let house = House::new();
    let (named, nameless) = (house.import("1", None), house.import("2", None));
    let name = Reference::parse("new:tag").unwrap();
    let pruned = house.engine.prune_images(false, &|image, _| {
        if image.id == named {
            house.engine.tag(&named.to_string(), &name).unwrap();
        }
        true
    });
    assert!(pruned.unwrap().failure.is_none());
    let left = house.engine.images().unwrap();
    assert_eq!(left.iter().map(|image| &image.id).collect::<Vec<_>>(), [&named]);
    assert_eq!(left[0].tags, ["new:tag"]);
    assert_ne!(left[0].id, nameless);
}
