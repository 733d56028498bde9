//! A store of one image of three layers and a container on it, made by the engine's own command.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use layerlab_engine::driver::refusal;
use layerlab_engine::image::Digest;
use layerlab_properties::backing::{Backing, Place};
use layerlab_properties::enter::own_mounts;
use layerlab_scenarios::image::{Descriptor, Layout, Tagged};
use layerlab_scenarios::registry::{Registry, RegistryHandle, RegistryOptions};
use layerlab_scenarios::skip::skip;
use serde_json::Value;

/// Where a driver can be, here.
pub struct Ground {
    pub driver: &'static str,
    place: Option<Place>,
}

impl Ground {
    /// Nothing when this host cannot have the driver, which is said and counted.
    pub fn of(driver: &'static str) -> Option<Ground> {
        if driver == "btrfs" {
            return Ground::on("btrfs", "btrfs");
        }
        match refusal(driver, &std::env::temp_dir()) {
            Some(why) => {
                skip(driver, &format!("checks with {driver}: {why}"));
                None
            }
            None => Some(Ground { driver, place: None }),
        }
    }

    /// A file system of this kind of its own; the thread gets mounts of its own, which end with it.
    pub fn on(kind: &'static str, driver: &'static str) -> Option<Ground> {
        let place = match own_mounts() {
            Ok(()) => Backing::Loop(kind).make().map_err(|error| (kind, error.to_string())),
            Err(error) => Err(("root", format!("{error:#}"))),
        };
        match place {
            Ok(place) => Some(Ground { driver, place: Some(place) }),
            Err((wanting, why)) => {
                skip(wanting, &format!("checks with {driver} on {kind}: {why}"));
                None
            }
        }
    }

    /// The file system of its own, where it has one.
    pub fn place(&self) -> &Place {
        self.place.as_ref().unwrap()
    }
}

/// A data root, and the command that works on it.
pub struct House {
    pub driver: &'static str,
    place: tempfile::TempDir,
    /// It, and its address: nobody else gets that meanwhile.
    registry: Option<(RegistryHandle, TcpListener)>,
}

impl House {
    /// A data root on which nothing was done yet.
    pub fn empty(ground: &Ground) -> House {
        let place = match &ground.place {
            Some(place) => tempfile::tempdir_in(place.path()),
            None => tempfile::tempdir(),
        };
        House { driver: ground.driver, place: place.unwrap(), registry: None }
    }

    /// One with the image `top`, whose three layers are a base with all kinds of files and two with changes, and the container `cc`
    /// in which a file was written.
    pub fn new(ground: &Ground) -> House {
        let house = House::empty(ground);
        house.make_images();
        house.make_container();
        house
    }

    /// The same, but the image came from a registry, from which it can come again.
    pub fn pulled(ground: &Ground) -> House {
        let mut house = House::empty(ground);
        let store = house.place.path().join("none");
        Layout::create(&store).unwrap().write_index(&[], None).unwrap();
        let pushed = Some(house.place.path().join("registry"));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.try_clone().unwrap();
        let registry =
            Registry::serve(listener, store, RegistryOptions { pushed, ..RegistryOptions::default() }).unwrap();
        house.make_images();
        let name = format!("{}/top", registry.addr());
        house.done(&["tag", "top", &name]);
        house.done(&["push", "-q", &name]);
        house.done(&["rmi", "-f", "top", &name]);
        house.done(&["pull", "-q", &name]);
        house.done(&["tag", &name, "top"]);
        house.make_container();
        house.registry = Some((registry, address));
        house
    }

    /// Whoever calls the registry now gets no answer, until one answers on what is given back.
    pub fn silence_registry(&mut self) -> TcpListener {
        let (registry, address) = self.registry.take().unwrap();
        drop(registry);
        address
    }

    /// A registry of `top` as it was pushed to the first.
    pub fn registry_again(&self, listener: TcpListener, manifest_digest: &str) -> RegistryHandle {
        let pushed = Layout::at(self.place.path().join("registry"));
        let blob = pushed.blob_path(manifest_digest).unwrap();
        let descriptor = Descriptor {
            media_type: "application/vnd.docker.distribution.manifest.v2+json".to_owned(),
            digest: manifest_digest.to_owned(),
            size_bytes: fs::metadata(blob).unwrap().len(),
        };
        let tagged = Tagged { name: "top".to_owned(), tag: "latest".to_owned(), descriptor };
        pushed.write_index(&[tagged], None).unwrap();
        Registry::serve(listener, pushed.path().to_owned(), RegistryOptions::default()).unwrap()
    }

    /// By which digest `top` was pulled.
    pub fn manifest_digest(&self) -> String {
        let names = fs::read_to_string(self.image().join("repositories.json")).unwrap();
        names.split('@').nth(1).unwrap().split('"').next().unwrap().to_owned()
    }

    fn make_images(&self) {
        self.fed(&["import", "-", "base"], &base());
        self.fed(&["build", "-q", "-t", "top", "-"], &context());
    }

    fn make_container(&self) {
        self.done(&["create", "--name", "cc", "top", "true"]);
        self.fed(&["cp", "-", "cc:/etc"], &archive(|tar| file(tar, "written", b"by hand", 0o644)));
    }

    /// The archive of `top`, and what was written in `cc`; nothing of one that is gone.
    pub fn contents_or_nothing(&self) -> [Option<Digest>; 2] {
        [&["save", "top"][..], &["cp", "cc:/etc/written", "-"]].map(|arguments| {
            let output = self.run(arguments, b"");
            output.status.success().then(|| Digest::of(&output.stdout))
        })
    }

    /// Nobody answers any more where the image came from.
    pub fn end_registry(&mut self) {
        self.registry = None;
    }

    pub fn data(&self) -> PathBuf {
        self.place.path().join("data")
    }

    pub fn image(&self) -> PathBuf {
        self.data().join("image").join(self.driver)
    }

    /// A note as a killed command leaves it.
    pub fn noted(&self, lines: &str) -> PathBuf {
        let place = self.image().join("intents");
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("note"), lines).unwrap();
        place.join("note")
    }

    fn bare_command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_layerlab"));
        command.arg("--data-root").arg(self.data()).arg("--exec-root").arg(self.place.path().join("exec"));
        command
    }

    pub fn command(&self) -> Command {
        let mut command = self.bare_command();
        command.args(["--storage-driver", self.driver, "--squash-owners"]);
        command
    }

    /// Leaves it to the command which driver that is.
    pub fn run_with_any_driver(&self, arguments: &[&str]) -> Output {
        self.bare_command().args(arguments).output().unwrap()
    }

    pub fn run(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = self.command();
        command.args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // One that refuses does not read to the end.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }

    pub fn fed(&self, arguments: &[&str], input: &[u8]) -> String {
        let output = self.run(arguments, input);
        assert!(output.status.success(), "{} {arguments:?}: {}", self.driver, text(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub fn done(&self, arguments: &[&str]) -> String {
        self.fed(arguments, b"")
    }

    /// What a check finds, one object each.
    pub fn findings(&self, images: &[&str]) -> Vec<Value> {
        let output = self.run(&[&["check", "--format", "json"], images].concat(), b"");
        let found: Vec<Value> =
            String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let expected = i32::from(!found.is_empty());
        assert_eq!(output.status.code(), Some(expected), "{}: {}", self.driver, text(&output));
        found
    }

    /// Records of the layers, the base first.
    pub fn records(&self) -> Vec<PathBuf> {
        let chains = self.image().join("layerdb/sha256");
        let all: Vec<PathBuf> = fs::read_dir(&chains).unwrap().map(|entry| entry.unwrap().path()).collect();
        let parent = |path: &Path| fs::read_to_string(path.join("parent")).ok();
        let mut records = vec![all.iter().find(|path| parent(path).is_none()).unwrap().clone()];
        loop {
            let last = format!("sha256:{}", name(records.last().unwrap()));
            match all.iter().find(|path| parent(path).as_ref() == Some(&last)) {
                Some(next) => records.push(next.clone()),
                None => return records,
            }
        }
    }

    pub fn home(&self) -> PathBuf {
        let home = self.data().join(self.driver);
        match self.driver {
            "vfs" => home.join("dir"),
            "btrfs" => home.join("subvolumes"),
            _ => home,
        }
    }

    /// The driver's directories of the layers, the base first.
    pub fn directories(&self) -> Vec<PathBuf> {
        let cache_id = |record: &PathBuf| fs::read_to_string(record.join("cache-id")).unwrap();
        self.records().iter().map(|record| self.home().join(cache_id(record))).collect()
    }

    /// Where the files of the layer at `directory` are.
    pub fn files(&self, directory: &Path) -> PathBuf {
        match self.driver {
            "overlay2" | "fuse-overlayfs" => directory.join("diff"),
            "overlay" => directory.join("root"),
            _ => directory.to_owned(),
        }
    }

    /// Where `imagedb` has the configuration of `top`.
    pub fn config(&self) -> PathBuf {
        let names = fs::read_to_string(self.image().join("repositories.json")).unwrap();
        let names: Value = serde_json::from_str(&names).unwrap();
        let id =
            names["Repositories"]["top"]["top:latest"].as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
        self.image().join("imagedb/content/sha256").join(id)
    }

    /// The record of the container `cc`, and that of its mount.
    pub fn container(&self) -> (PathBuf, PathBuf) {
        let record = only(&self.data().join("containers"));
        let mount = self.image().join("layerdb/mounts").join(name(&record));
        (record, mount)
    }

    /// The container's own directory of the driver, and that of its mount points.
    pub fn container_directories(&self) -> (PathBuf, PathBuf) {
        let mount_id = fs::read_to_string(self.container().1.join("mount-id")).unwrap();
        (self.home().join(&mount_id), self.home().join(format!("{mount_id}-init")))
    }
}

pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn only(directory: &Path) -> PathBuf {
    let mut entries = fs::read_dir(directory).unwrap();
    let first = entries.next().unwrap().unwrap().path();
    assert!(entries.next().is_none(), "{} has several", directory.display());
    first
}

pub fn archive(fill: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    fill(&mut tar);
    tar.into_inner().unwrap()
}

pub fn header(kind: tar::EntryType, size_bytes: usize, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(size_bytes as u64);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header
}

pub fn file(tar: &mut tar::Builder<Vec<u8>>, name: &str, content: &[u8], mode: u32) {
    tar.append_data(&mut header(tar::EntryType::Regular, content.len(), mode), name, content).unwrap();
}

pub fn link(tar: &mut tar::Builder<Vec<u8>>, name: &str, target: &str, kind: tar::EntryType) {
    tar.append_link(&mut header(kind, 0, 0o777), name, target).unwrap();
}

/// An access control list by which the user 0 gets `permissions`; its owner and group may write.
pub fn granting(permissions: u16) -> Vec<u8> {
    let entries =
        [(1_u16, 6_u16, u32::MAX), (2, permissions, 0), (4, 4, u32::MAX), (16, 6, u32::MAX), (32, 4, u32::MAX)];
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        list.extend([&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat());
    }
    list
}

/// A base with a file, an empty one, an executable that is setuid, links of both kinds, a directory without an entry of its own, a
/// time to the nanosecond, an xattr, an access control list, and a directory in which nothing from below shows.
pub fn base() -> Vec<u8> {
    archive(|tar| {
        tar.append_data(&mut header(tar::EntryType::Directory, 0, 0o755), "etc/", &b""[..]).unwrap();
        file(tar, "etc/passwd", b"root:x:0:0::/:/bin/sh\n", 0o644);
        file(tar, "etc/empty", b"", 0o600);
        file(tar, "bin/su", &[b'x'; 5000], 0o4755);
        let records = [("mtime", &b"1234567890.123456789"[..]), ("SCHILY.xattr.user.origin", b"here")];
        tar.append_pax_extensions(records).unwrap();
        file(tar, "etc/group", b"root:x:0:\n", 0o644);
        let mut again = header(tar::EntryType::Link, 0, 0o644);
        tar.append_pax_extensions(records).unwrap();
        tar.append_link(&mut again, "etc/group-", "etc/group").unwrap();
        tar.append_pax_extensions([("SCHILY.xattr.system.posix_acl_access", &granting(6)[..])]).unwrap();
        file(tar, "etc/shared", b"shared\n", 0o664);
        tar.append_data(&mut header(tar::EntryType::Directory, 0, 0o755), "opt/", &b""[..]).unwrap();
        file(tar, "opt/.wh..wh..opq", b"", 0o644);
        link(tar, "etc/mtab", "/proc/mounts", tar::EntryType::Symlink);
        link(tar, "sbin", "bin", tar::EntryType::Symlink);
    })
}

/// A build of two steps on `base`: a new file and a changed one.
pub fn context() -> Vec<u8> {
    archive(|tar| {
        file(tar, "Dockerfile", b"FROM base\nCOPY README /usr/share/doc/README\nCOPY passwd /etc/passwd\n", 0o644);
        file(tar, "README", b"read me\n", 0o644);
        file(tar, "passwd", b"root:x:0:0::/:/bin/bash\n", 0o640);
    })
}
