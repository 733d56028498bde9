//! A driver on an empty data root, with small layers to stack.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use layerlab_engine::driver::{self, Driver};
use layerlab_engine::layer::{Kinship, OverlayXattr, Owners, PackOptions, changes_and_links, pack_changes};
use layerlab_engine::sys::owners::{group_name, user_name};

/// Opens a driver on a data root.
pub type Open = dyn Fn(&Path) -> Box<dyn Driver> + Send + Sync;

/// The driver and where it lies.
pub struct Scene {
    /// What it is called.
    pub name: &'static str,
    /// Its data root.
    pub root: tempfile::TempDir,
    /// It.
    pub driver: Box<dyn Driver>,
    open: Arc<Open>,
}

/// A tree: what is at each path, without times.
pub type Tree = BTreeMap<PathBuf, String>;

impl Scene {
    /// The driver `name` of this engine on a data root below `place`.
    pub fn begin(name: &'static str, place: &Path) -> Scene {
        Scene::with(name, place, Arc::new(move |root| driver::open(Some(name), root).unwrap()))
    }

    /// What `open` opens and is called `name`, on a data root below `place`.
    pub fn with(name: &'static str, place: &Path, open: Arc<Open>) -> Scene {
        let root = tempfile::tempdir_in(place).unwrap();
        let driver = open(root.path());
        Scene { name, root, driver, open }
    }

    /// Another data root of the same driver.
    pub fn elsewhere(&self) -> Scene {
        Scene::with(self.name, self.root.path().parent().unwrap(), Arc::clone(&self.open))
    }

    /// The kind of the file system below.
    pub fn backing(&self) -> &'static str {
        // statfs(2)
        match rustix::fs::statfs(self.root.path()).unwrap().f_type {
            0x0102_1994 => "tmpfs",
            0x5846_5342 => "xfs",
            0x9123_683e => "btrfs",
            _ => "another",
        }
    }

    /// The same data root, opened anew.
    pub fn again(&self) -> Box<dyn Driver> {
        (self.open)(self.root.path())
    }

    /// An image layer `id` on `parent` with these files.
    pub fn layer(&self, id: &str, parent: Option<&str>, files: &[(&str, &str)]) {
        self.layer_of(id, parent, |content| {
            for (path, text) in files {
                let path = content.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
        });
    }

    /// An image layer `id` on `parent` with what is put into a directory.
    pub fn layer_of(&self, id: &str, parent: Option<&str>, fill: impl FnOnce(&Path)) {
        let content = tempfile::tempdir_in(self.root.path()).unwrap();
        fs::set_permissions(content.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        fill(content.path());
        self.driver.adopt(id, parent, content.path()).unwrap();
    }

    /// A base with some of everything.
    pub fn base(&self) {
        self.layer(
            "base",
            None,
            &[("etc/passwd", "root\n"), ("etc/group", "root\n"), ("home/a/note", "mine"), ("lib/so", "elf")],
        );
    }

    /// A container's two layers on `parent`, `ID-init` and `id`.
    pub fn container(&self, id: &str, parent: &str) {
        let init = format!("{id}-init");
        self.driver.create(&init, Some(parent)).unwrap();
        self.driver.create(id, Some(&init)).unwrap();
    }

    /// Does something in the tree of layer `id`.
    pub fn edit(&self, id: &str, change: impl FnOnce(&Path)) {
        let view = self.driver.edit(id).unwrap();
        change(view.path());
    }

    /// The tree of layer `id`.
    pub fn tree(&self, id: &str) -> Tree {
        tree(self.driver.view(id).unwrap().path())
    }

    /// What layer `id` changes against `parent`, as people are told.
    pub fn changes(&self, id: &str, parent: &str) -> Vec<String> {
        self.driver.changes(id, parent).unwrap().iter().map(ToString::to_string).collect()
    }

    /// The layer tar of `id`.
    pub fn tar(&self, id: &str, parent: Option<&str>) -> Vec<u8> {
        let mut tar = Vec::new();
        let packed = self.driver.pack(id, parent, &mut tar).unwrap();
        assert_eq!(packed.tar_size_bytes, tar.len() as u64);
        assert_eq!(packed.diff_id, layerlab_engine::image::Digest::of(&tar));
        assert_eq!((packed.size_bytes, packed.entries), counted(&tar));
        // A mark that is a file is packed as it lies there.
        if matches!(self.driver.marks(), OverlayXattr::Trusted | OverlayXattr::User) {
            opaque_marks_are_their_directories(&tar);
        }
        tar
    }

    /// The layer tar of what the trees of `id` and `parent` differ in, whatever the driver keeps of it.
    pub fn walked(&self, id: &str, parent: &str) -> Vec<u8> {
        let (old, new) = (self.driver.view(parent).unwrap(), self.driver.view(id).unwrap());
        let found = changes_and_links(old.path(), new.path(), Kinship::Unknown).unwrap();
        let options = PackOptions { overlay: OverlayXattr::None, user_name: &user_name, group_name: &group_name };
        let mut tar = Vec::new();
        pack_changes(new.path(), &found, &options, &mut tar).unwrap();
        tar
    }

    /// Makes the layer `id` on `parent` of a tar.
    pub fn apply(&self, id: &str, parent: Option<&str>, tar: &[u8]) {
        let content = tempfile::tempdir_in(self.root.path()).unwrap();
        fs::set_permissions(content.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let owners = Owners::SquashUnmapped;
        self.driver.unpack(&mut &tar[..], content.path(), owners, &mut std::io::sink()).unwrap();
        self.driver.adopt(id, parent, content.path()).unwrap();
    }
}

/// Docker's size of a layer by its tar, the lengths of files and of the targets of symbolic links; and how many entries there are.
fn counted(tar: &[u8]) -> (u64, u64) {
    let (mut size_bytes, mut number) = (0, 0);
    for entry in tar::Archive::new(tar).entries().unwrap().map(Result::unwrap) {
        number += 1;
        size_bytes += match entry.header().entry_type() {
            tar::EntryType::Symlink => entry.link_name_bytes().unwrap().len() as u64,
            _ => entry.size(),
        };
    }
    (size_bytes, number)
}

/// The entry that says that a directory is opaque has that directory's owner and permissions, and no time (`ConvertWrite` of moby's `archive_linux.go`).
fn opaque_marks_are_their_directories(tar: &[u8]) {
    let told = |header: &tar::Header| {
        let names = [header.username_bytes(), header.groupname_bytes()].map(|name| name.map(<[u8]>::to_vec));
        (header.mode().unwrap() & 0o777, header.uid().unwrap(), header.gid().unwrap(), names)
    };
    let mut directory = None;
    for entry in tar::Archive::new(tar).entries().unwrap().map(Result::unwrap) {
        let header = entry.header();
        if entry.path_bytes().ends_with(b"/.wh..wh..opq") {
            assert_eq!(Some(told(header)), directory, "{}", entry.path().unwrap().display());
            assert_eq!((header.mtime().unwrap(), header.mode().unwrap() & !0o777), (0, 0));
        }
        directory = Some(told(header));
    }
}

/// Changes of each kind: a new file, a changed one, a removed one, a directory that is replaced, a link.
pub fn change_everything(root: &Path) {
    fs::write(root.join("etc/passwd"), "root\nother\n").unwrap();
    fs::remove_file(root.join("etc/group")).unwrap();
    fs::remove_dir_all(root.join("home/a")).unwrap();
    fs::create_dir(root.join("home/a")).unwrap();
    fs::write(root.join("home/a/other"), "new").unwrap();
    fs::create_dir(root.join("new")).unwrap();
    fs::write(root.join("new/file"), "12345").unwrap();
    fs::hard_link(root.join("new/file"), root.join("new/same")).unwrap();
    symlink("file", root.join("new/link")).unwrap();
}

/// What is below `root`. A file has the names that it has there: a driver may keep it under others, too.
pub fn tree(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut first_names: HashMap<(u64, u64), PathBuf> = HashMap::new();
    let mut pending = BTreeSet::from([root.to_owned()]);
    while let Some(path) = pending.pop_first() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let first = first_names.entry((meta.dev(), meta.ino())).or_insert_with(|| path.clone());
        let holds = match () {
            () if meta.is_dir() => {
                pending.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                "directory".to_owned()
            }
            () if *first != path => format!("the same as {}", first.strip_prefix(root).unwrap().display()),
            () if meta.is_symlink() => format!("-> {}", fs::read_link(&path).unwrap().display()),
            () if meta.is_file() => format!("file: {}", fs::read_to_string(&path).unwrap()),
            () => format!("device {}", meta.rdev()),
        };
        let said = format!("{:o} {}:{} {holds}", meta.mode(), meta.uid(), meta.gid());
        tree.insert(path.strip_prefix(root).unwrap().to_owned(), said);
    }
    tree
}
