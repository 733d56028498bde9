//! podman loads what we save, and we load both forms of archive that podman writes: the same image on both sides.

use std::process::Command;

use layerlab_scenarios::skip::skip;

use super::{LAYERS, file, ours, ran, text, tree};

#[test]
fn podman_loads_what_we_save_and_we_load_what_it_saves() {
    if !Command::new("podman").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return skip("podman", "there is no podman");
    }
    if !rustix::process::geteuid().is_root() {
        return skip("root", "podman with a storage of its own needs root here");
    }
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name).display().to_string();
    let podman = |words: &[&str]| {
        let mut command = Command::new("podman");
        command.args(["--root", &path("root"), "--runroot", &path("run"), "--storage-driver", "vfs"]);
        command.args(["--events-backend", "none", "--tmpdir", &path("tmp")]);
        text(ran(command.args(words).output().unwrap()))
    };
    let root = place.path().join("ours");
    let tar = file(place.path(), "tree.tar", &tree("first"));
    ours(&root, &["import", "-c", "CMD [\"sh\"]", tar.to_str().unwrap(), "made:here"]);
    ours(&root, &["save", "-o", &path("saved.tar"), "made:here"]);
    let known = text(ours(&root, &["inspect", "--format", LAYERS, "made:here"]));
    let (id, layers) = known.split_once(' ').unwrap();

    podman(&["load", "--quiet", "--input", &path("saved.tar")]);
    let name = "localhost/made:here";
    let seen = podman(&["image", "inspect", "--format", "sha256:{{.Id}} {{json .RootFS.Layers}}", name]);
    assert_eq!(seen, known);

    for form in ["docker-archive", "oci-archive"] {
        podman(&["save", "--quiet", "--format", form, "--output", &path(form), name]);
        let fresh = place.path().join(format!("fresh-{form}"));
        let said = text(ours(&fresh, &["load", "-i", &path(form)]));
        assert_eq!(said, format!("Loaded image: {name}"));
        let loaded = text(ours(&fresh, &["inspect", "--format", LAYERS, name]));
        let (loaded_id, loaded_layers) = loaded.split_once(' ').unwrap();
        assert_eq!(loaded_layers, layers, "{form}");
        // An OCI configuration has fewer fields than Docker's, hence another digest.
        assert_eq!(loaded_id == id, form == "docker-archive", "{form}");
    }
}
