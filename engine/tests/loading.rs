//! A load relies on the layers that it found here, whatever others remove meanwhile.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use layerlab_engine::container::config::HostConfig;
use layerlab_engine::container::{CommitSpec, CreateSpec, Engine, ImportSpec, LoadProgress, Loaded, Settings};
use layerlab_engine::image::{Reference, RunConfig};
use layerlab_engine::registry::RegistrySettings;

/// Removes an image as soon as a layer is being loaded.
struct Remover<'a> {
    engine: &'a Engine,
    is_done: AtomicBool,
}

impl LoadProgress for Remover<'_> {
    fn loading(&self, _: &str, _: u64, _: u64) {
        if !self.is_done.swap(true, Ordering::Relaxed) {
            self.engine.remove_image("base", false).unwrap();
        }
    }

    fn loaded(&self, _: Loaded) {}
}

fn named(name: &str) -> Option<Reference> {
    Some(Reference::parse(name).unwrap().with_default_tag())
}

/// Checklist: N-18~
#[test]
fn an_image_is_loaded_whole_though_the_one_below_is_removed_meanwhile() {
    let place = tempfile::tempdir().unwrap();
    let engine = Engine::open(Settings {
        data_root: place.path().join("data"),
        exec_root: place.path().join("exec"),
        storage_driver: Some("vfs".to_owned()),
        registry: RegistrySettings::default(),
        squash_owners: false,
        program: PathBuf::from(env!("CARGO_BIN_EXE_layerlab")),
    });
    let engine = engine.unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_size(1);
    header.set_mode(0o644);
    header.set_uid(rustix::process::geteuid().as_raw().into());
    header.set_gid(rustix::process::getegid().as_raw().into());
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, "file", &b"x"[..]).unwrap();
    let spec = ImportSpec { reference: named("base"), ..ImportSpec::default() };
    engine.import(&archive.into_inner().unwrap()[..], &spec).unwrap();
    let run = RunConfig { cmd: Some(vec!["true".to_owned()]), ..RunConfig::default() };
    let spec = CreateSpec { image: "base".to_owned(), name: None, run, host: HostConfig::default() };
    let container = engine.create(spec).unwrap().0.id;
    // What a program in the container would write: vfs keeps a whole tree for each layer.
    let data = place.path().join("data");
    let mount_id = fs::read_to_string(data.join("image/vfs/layerdb/mounts").join(&container).join("mount-id")).unwrap();
    fs::write(data.join("vfs/dir").join(mount_id).join("more"), "y").unwrap();
    engine.commit(&container, &CommitSpec { reference: named("upper"), ..CommitSpec::default() }).unwrap();
    engine.remove_container(&container, false, false).unwrap();
    let mut saved = fs::File::create(place.path().join("upper.tar")).unwrap();
    engine.save_images(&["upper".to_owned()], &mut saved).unwrap();
    engine.remove_image("upper", false).unwrap();

    let remover = Remover { engine: &engine, is_done: AtomicBool::new(false) };
    engine.load_images(fs::File::open(place.path().join("upper.tar")).unwrap(), &remover).unwrap();
    assert!(remover.is_done.into_inner());
    let layers = || fs::read_dir(data.join("image/vfs/layerdb/sha256")).unwrap().count();
    assert_eq!(layers(), 2);
    engine.remove_image("upper", false).unwrap();
    assert_eq!(layers(), 0);
    assert_eq!(fs::read_dir(data.join("tmp")).unwrap().count(), 0);
}
