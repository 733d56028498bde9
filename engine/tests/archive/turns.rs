//! One data root, used by this engine and by a real dockerd in turns: each goes on with what the other left.
//!
//! Checklist: ID-03~, CR-01, N-09~, N-15~, N-24~

use std::fs;
use std::path::Path;
use std::process::Command;

use super::docker::{Docker, docker_is_here};
use super::{file, ran, text};

/// x86-64 code: makes the file `/made`, writes `hi` into it and to the standard output, and ends.
const CODE: [u8; 75] = [
    0xb8, 0x02, 0x00, 0x00, 0x00, 0x48, 0x8d, 0x3d, 0x36, 0x00, 0x00, 0x00, 0xbe, 0x41, 0x00, 0x00, 0x00, 0xba, 0xa4,
    0x01, 0x00, 0x00, 0x0f, 0x05, 0x89, 0xc7, 0xb8, 0x01, 0x00, 0x00, 0x00, 0x48, 0x8d, 0x35, 0x22, 0x00, 0x00, 0x00,
    0xba, 0x03, 0x00, 0x00, 0x00, 0x0f, 0x05, 0xb8, 0x01, 0x00, 0x00, 0x00, 0xbf, 0x01, 0x00, 0x00, 0x00, 0x0f, 0x05,
    0xb8, 0x3c, 0x00, 0x00, 0x00, 0x31, 0xff, 0x0f, 0x05, b'/', b'm', b'a', b'd', b'e', 0x00, b'h', b'i', b'\n',
];

/// A program that needs nothing around it: an ELF header, one segment, and the code.
fn program() -> Vec<u8> {
    const HEADERS: u64 = 0x78;
    let size = (HEADERS + CODE.len() as u64).to_le_bytes();
    let words = |numbers: &[u64]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    elf.extend(words(&[0x40_0000 + HEADERS, 64, 0]));
    elf.extend(b"\0\0\0\0\x40\0\x38\0\x01\0\0\0\0\0\0\0");
    elf.extend(b"\x01\0\0\0\x05\0\0\0");
    elf.extend(words(&[0, 0x40_0000, 0x40_0000]));
    elf.extend([size, size].concat());
    elf.extend(words(&[0x1000]));
    elf.extend(CODE);
    elf
}

/// An image's files: the program, a file with two names, a symbolic link, and another owner.
pub fn tree() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |kind, name: &str, link: &str, contents: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_uid(12);
        header.set_gid(34);
        header.set_mtime(1_700_000_000);
        header.set_size(contents.len() as u64);
        if link.is_empty() {
            builder.append_data(&mut header, name, contents).unwrap();
        } else {
            builder.append_link(&mut header, name, link).unwrap();
        }
    };
    add(tar::EntryType::Regular, "prog", "", &program());
    add(tar::EntryType::Directory, "etc/", "", b"");
    add(tar::EntryType::Regular, "etc/one", "", b"one\n");
    add(tar::EntryType::Link, "etc/two", "etc/one", b"");
    add(tar::EntryType::Symlink, "etc/three", "one", b"");
    builder.into_inner().unwrap()
}

/// Whoever has the turn.
pub trait Engine {
    fn words(&self, words: &[&str]) -> Command;

    fn says(&self, words: &[&str]) -> String {
        text(ran(self.words(words).output().unwrap()))
    }
}

pub struct Ours<'a>(pub &'a Path, pub &'a str);

impl Engine for Ours<'_> {
    fn words(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_layerlab"));
        command.arg("--data-root").arg(self.0).arg("--exec-root").arg(self.0.with_extension("exec"));
        command.arg("--storage-driver").arg(self.1).args(words);
        command
    }
}

impl Engine for Docker {
    fn words(&self, words: &[&str]) -> Command {
        self.command(words)
    }
}

/// What both must see alike: images with their layers, containers with what they changed, volumes.
fn seen(engine: &dyn Engine) -> Vec<String> {
    let lines = |words: &[&str]| {
        let mut lines: Vec<String> = engine.says(words).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let mut seen = lines(&["images", "--all", "--no-trunc", "--format", "{{.ID}} {{.Repository}}:{{.Tag}} {{.Size}}"]);
    for id in lines(&["images", "--all", "--quiet", "--no-trunc"]) {
        seen.push(engine.says(&[
            "inspect",
            "--format",
            "{{.Parent}} {{.Size}} {{json .RootFS}} {{json .GraphDriver}}",
            &id,
        ]));
        seen.extend(
            engine
                .says(&["history", "--no-trunc", "--format", "{{.ID}} {{.CreatedBy}} {{.Size}}", &id])
                .lines()
                .map(str::to_owned),
        );
    }
    seen.extend(lines(&[
        "ps",
        "--all",
        "--no-trunc",
        "--format",
        "{{.ID}} {{.Names}} {{.Image}} {{.State}} {{.LocalVolumes}}",
    ]));
    for name in lines(&["ps", "--all", "--format", "{{.Names}}"]) {
        seen.extend(lines(&["diff", &name]));
        seen.push(engine.says(&["inspect", "--format", "{{json .GraphDriver}} {{.State.ExitCode}}", &name]));
        // dockerd lists them in any order.
        seen.extend(lines(&["inspect", "--format", "{{range .Mounts}}{{json .}}{{println}}{{end}}", &name]));
    }
    seen.extend(lines(&["volume", "ls", "--format", "{{.Name}} {{.Mountpoint}}"]));
    seen
}

/// Both have seen the same; else what only one has seen is told.
fn agree(mine: &[String], before: &[String], when: &str) {
    let only = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| !those.contains(line)).cloned().collect()
    };
    let (new, gone) = (only(mine, before), only(before, mine));
    assert!(new.is_empty() && gone.is_empty(), "{when}: sees\n{}\nfor\n{}", new.join("\n"), gone.join("\n"));
}

/// A turn: runs what there is, commits and builds on it, with everything that is made called after `who`.
fn turn(engine: &dyn Engine, who: &str, base: &str, place: &Path) {
    let (container, committed, built) = (format!("ran-by-{who}"), format!("committed:{who}"), format!("built:{who}"));
    let volume = format!("of-{who}:/etc");
    // Its place tells the layer of the commit from that of the build: of two alike dockerd saves one with the time of day.
    let nameless = format!("/nameless-{who}");
    let run =
        ["run", "--network", "none", "--name", &container, "--volume", &volume, "--volume", &nameless, base, "/prog"];
    assert_eq!(engine.says(&run), "hi");
    engine.says(&["commit", "--change", "CMD [\"/prog\"]", &container, &committed]);
    let context = place.join(format!("context-{who}"));
    fs::create_dir(&context).unwrap();
    let dockerfile = format!("FROM {committed}\nCOPY copied /etc/{who}\nRUN [\"/prog\"]\nLABEL who={who}\n");
    file(&context, "Dockerfile", dockerfile.as_bytes());
    file(&context, "copied", who.as_bytes());
    engine.says(&["build", "--network", "none", "--tag", &built, context.to_str().unwrap()]);
    let saved = engine.words(&["save", &built]).output().unwrap();
    file(place, &format!("{who}.tar"), &ran(saved));
    assert_eq!(engine.says(&["run", "--rm", "--network", "none", &built]), "hi");
}

/// What the other one saved is saved alike.
fn saves_alike(engine: &dyn Engine, who: &str, place: &Path) {
    let again = ran(engine.words(&["save", &format!("built:{who}")]).output().unwrap());
    assert!(again == fs::read(place.join(format!("{who}.tar"))).unwrap(), "other bytes of built:{who}");
}

fn turns(driver: &str) {
    if !docker_is_here() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("root");
    let tar = file(place.path(), "tree.tar", &tree());
    let ours = Ours(&root, driver);

    ours.says(&["import", tar.to_str().unwrap(), "base:1"]);
    turn(&ours, "us", "base:1", place.path());
    let left = seen(&ours);

    let docker = Docker::start(&root, driver);
    agree(&seen(&docker), &left, "dockerd after our turn");
    saves_alike(&docker, "us", place.path());
    turn(&docker, "docker", "built:us", place.path());
    docker.says(&["rm", "--volumes", "ran-by-us"]);
    docker.says(&["volume", "rm", "of-us"]);
    let left = seen(&docker);
    drop(docker);

    agree(&seen(&ours), &left, "we after dockerd's turn");
    saves_alike(&ours, "docker", place.path());
    turn(&ours, "again", "built:docker", place.path());
    ours.says(&["rm", "--volumes", "ran-by-docker"]);
    ours.says(&["volume", "rm", "of-docker"]);
    ours.says(&["rmi", "built:us"]);
    let left = seen(&ours);

    // The end: dockerd removes everything, and nothing is left of it.
    let docker = Docker::start(&root, driver);
    agree(&seen(&docker), &left, "dockerd after our second turn");
    saves_alike(&docker, "again", place.path());
    docker.says(&["rm", "--volumes", "ran-by-again"]);
    docker.says(&["volume", "rm", "of-again"]);
    // One that others are made of goes with the last of them.
    for _ in 0..docker.says(&["images", "--quiet"]).lines().count() {
        for id in docker.says(&["images", "--quiet"]).lines() {
            docker.command(&["rmi", "--force", id]).output().unwrap();
        }
    }
    assert_eq!(seen(&docker), Vec::<String>::new());
    drop(docker);
    assert_eq!(seen(&ours), Vec::<String>::new());
    let layers = if driver == "vfs" { root.join("vfs/dir") } else { root.join(driver) };
    for directory in [layers, root.join("image").join(driver).join("layerdb/sha256")] {
        let names = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name());
        // overlay2's directory of short names stays.
        let names: Vec<_> = names.filter(|name| name != "l").collect();
        assert!(names.is_empty(), "{} still holds {names:?}", directory.display());
    }
}

#[test]
fn dockerd_and_we_share_a_data_root_with_overlay2() {
    turns("overlay2");
}

#[test]
fn dockerd_and_we_share_a_data_root_with_the_legacy_driver() {
    turns("overlay");
}

#[test]
fn dockerd_and_we_share_a_data_root_with_vfs() {
    turns("vfs");
}
