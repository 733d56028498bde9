//! The law: the same change makes the same layer with every storage driver: one diff ID, by the commands that people type.
//!
//! Checklist: DF-13~

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use layerlab_engine::driver::{KNOWN, refusal};
use layerlab_properties::backing::Backing;
use layerlab_properties::enter::own_mounts;
use layerlab_scenarios::skip::skip;
use tar::EntryType;

/// A tar in which all is of one time.
struct Tar(tar::Builder<Vec<u8>>);

impl Tar {
    fn add(mut self, kind: EntryType, name: &str, mode: u32, contents: &str) -> Tar {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        match kind {
            EntryType::Link | EntryType::Symlink => self.0.append_link(&mut header, name, contents).unwrap(),
            _ => {
                header.set_size(contents.len() as u64);
                self.0.append_data(&mut header, name, contents.as_bytes()).unwrap();
            }
        }
        self
    }

    fn end(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

fn tar() -> Tar {
    Tar(tar::Builder::new(Vec::new()))
}

fn image() -> Vec<u8> {
    let base =
        tar().add(EntryType::Directory, "etc/", 0o755, "").add(EntryType::Regular, "etc/passwd", 0o644, "root\n");
    base.add(EntryType::Regular, "etc/stays", 0o600, "stays\n").add(EntryType::Directory, "opt/", 0o755, "").end()
}

/// A file of the image changed, and new ones of each kind. Nothing is removed: what a whiteout's time is, drivers differ in.
fn change() -> Vec<u8> {
    let changed = tar()
        .add(EntryType::Directory, "etc/", 0o755, "")
        .add(EntryType::Regular, "etc/passwd", 0o640, "root\nuser\n")
        .add(EntryType::Directory, "new/", 0o2750, "")
        .add(EntryType::Regular, "new/file", 0o4755, "new\n")
        .add(EntryType::Link, "new/link", 0o4755, "new/file");
    let changed = changed.add(EntryType::Symlink, "new/symlink", 0o777, "../etc");
    changed.add(EntryType::Directory, "opt/", 0o700, "").end()
}

/// The diff IDs of an image that was committed with the driver in a data root below `place`.
fn layers(driver: &str, place: &Path) -> String {
    let place = tempfile::tempdir_in(place).unwrap();
    let done = |words: &[&str], input: &[u8]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_layerlab"));
        command.arg("--data-root").arg(place.path().join("data")).arg("--exec-root").arg(place.path().join("exec"));
        command.args(["--storage-driver", driver, "--squash-owners"]).args(words);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{driver}: {words:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    done(&["import", "-", "base"], &image());
    done(&["create", "--name", "cc", "base", "true"], b"");
    done(&["cp", "-", "cc:/"], &change());
    done(&["commit", "cc", "changed"], b"");
    done(&["inspect", "--format", "{{json .RootFS.Layers}}", "changed"], b"")
}

#[test]
fn the_same_change_has_the_same_diff_id_with_every_driver() {
    let expected = layers("vfs", &std::env::temp_dir());
    assert_eq!(expected.matches("sha256:").count(), 2, "{expected}");
    for driver in KNOWN.iter().filter(|known| known.is_built_in()).map(|known| known.name) {
        let own = match driver {
            "btrfs" => match own_mounts()
                .map_err(|error| format!("{error:#}"))
                .and_then(|()| Backing::Loop("btrfs").make().map_err(|error| error.to_string()))
            {
                Ok(place) => Some(place),
                Err(why) => {
                    skip("btrfs", &format!("a layer made with btrfs: {why}"));
                    continue;
                }
            },
            _ => None,
        };
        let place = own.as_ref().map_or_else(std::env::temp_dir, |place| place.path().to_owned());
        match refusal(driver, &place) {
            Some(why) => {
                let wanting = if driver == "fuse-overlayfs" { driver } else { "overlay" };
                skip(wanting, &format!("a layer made with {driver}: {why}"));
            }
            None => assert_eq!(layers(driver, &place), expected, "{driver}"),
        }
    }
}
