//! What lies on the shared data root when nobody has the turn: nothing lost, nothing left over, no layer changed.
//!
//! Read by this file itself and by [`Books`], never by asking an engine.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::model::Model;
use super::shelf::files;
use super::table::Fault;
use crate::books::Books;

/// Directories in which commands stage what is not finished, and note what they are about to do.
const STAGING: [&str; 3] = ["tmp", "image/{driver}/layerdb/tmp", "image/{driver}/intents"];
/// Directories in which both engines remember, or only dockerd does, what they once had: nobody promises that this shrinks.
const MEMORIES: [(&str, &str); 6] = [
    ("image/{driver}/distribution", "which digests layers were pulled by stays known when they go"),
    ("buildkit", "dockerd's other builder: data bases of its own"),
    ("containerd", "dockerd's containerd: data bases of its own"),
    ("network", "dockerd's networks: a data base of its own"),
    ("plugins", "dockerd's plugins"),
    ("volumes/metadata.db", "dockerd's data base of volumes"),
];

/// One data root between two turns.
pub struct Disk {
    root: PathBuf,
    driver: String,
    pub books: Books,
}

impl Disk {
    pub fn read(root: &Path, driver: &str) -> Result<Disk, Fault> {
        let mut all = Books::read(root);
        let drivers: Vec<&str> = all.iter().map(|books| books.driver.as_str()).collect();
        if drivers != [driver] {
            return Err(Fault::new("the storage drivers in image/", driver, drivers.join(" ")));
        }
        Ok(Disk { root: root.to_owned(), driver: driver.to_owned(), books: all.remove(0) })
    }

    pub fn image_directory(&self) -> PathBuf {
        self.root.join("image").join(&self.driver)
    }

    /// The directory that holds a directory for each layer.
    pub fn layer_directory(&self) -> PathBuf {
        let below = match self.driver.as_str() {
            "vfs" => "vfs/dir",
            "btrfs" => "btrfs/subvolumes",
            driver => driver,
        };
        self.root.join(below)
    }

    /// All that is there and should not be, or should be and is not.
    pub fn faults(&self, model: &Model, owes: bool) -> Vec<Fault> {
        let mut faults: Vec<Fault> =
            self.books.faults.iter().map(|fault| Fault::new("a record", "can be read", fault)).collect();
        let bare = |id: &String| id.trim_start_matches("sha256:").to_owned();
        let image = self.image_directory();
        let images: BTreeSet<String> = model.images.keys().map(bare).collect();
        let content = names(&image.join("imagedb/content/sha256"));
        faults.extend(compared("images in imagedb/content", &images, &content));
        let metadata = names(&image.join("imagedb/metadata/sha256"));
        faults.extend(compared("images in imagedb/metadata", &(&metadata & &images), &metadata));

        let chains = self.books.images.iter().flat_map(|image| image.chain.clone());
        let parents = self.books.containers.iter().filter_map(|container| container.parent.clone());
        let parents = parents.flat_map(|top| self.with_all_below(top));
        let reached: BTreeSet<String> = chains.chain(parents).collect();
        faults.extend(compared("layers in layerdb", &reached, &self.books.layers.keys().cloned().collect()));

        let mounts = names(&image.join("layerdb/mounts"));
        faults.extend(compared("containers in layerdb/mounts", &names(&self.root.join("containers")), &mounts));
        let known: BTreeSet<String> = self.books.containers.iter().map(|container| container.name.clone()).collect();
        faults.extend(compared("containers", &model.containers.keys().cloned().collect(), &known));

        faults.extend(self.layer_directories());
        faults.extend(self.marks(model));
        faults.extend(self.volumes(model));
        // What a dockerd that was killed had in `tmp` goes when one begins again (moby 20.10, daemon.go, `prepareTempDir`).
        let judged = STAGING.iter().filter(|place| !owes || **place != "tmp");
        faults.extend(judged.filter_map(|place| {
            let place = place.replace("{driver}", &self.driver);
            compared(&format!("files in {place}"), &BTreeSet::new(), &names(&self.root.join(&place)))
        }));
        faults.extend(self.mounts());
        faults
    }

    /// A layer and those it lies on.
    fn with_all_below(&self, top: String) -> Vec<String> {
        let below = |chain_id: &String| self.books.layers.get(chain_id).and_then(|layer| layer.parent.clone());
        std::iter::successors(Some(top), below).collect()
    }

    fn layer_directories(&self) -> Vec<Fault> {
        let layers = self.books.layers.values().map(|layer| layer.cache_id.clone());
        let of_containers = self.books.containers.iter();
        let of_containers =
            of_containers.flat_map(|container| [Some(container.mount_id.clone()), container.init_id.clone()]);
        let wanted: BTreeSet<String> = layers.chain(of_containers.flatten()).collect();
        let mut there = names(&self.layer_directory());
        if self.driver != "overlay2" {
            return compared("directories of layers", &wanted, &there).into_iter().collect();
        }
        there.remove("l");
        let links = self.layer_directory().join("l");
        let read = |id: &String| fs::read_to_string(self.layer_directory().join(id).join("link")).unwrap_or_default();
        let wanted_links = wanted.iter().map(|id| format!("{} -> ../{id}/diff", read(id))).collect();
        let shown = |name: &String| {
            let target = fs::read_link(links.join(name)).unwrap_or_default();
            format!("{name} -> {}", target.display())
        };
        let there_links = names(&links).iter().map(shown).collect();
        let faults =
            [compared("directories of layers", &wanted, &there), compared("links in l", &wanted_links, &there_links)];
        faults.into_iter().flatten().collect()
    }

    /// The extended attributes of files that were given them in a container: they lie in its own layer.
    fn marks(&self, model: &Model) -> Vec<Fault> {
        let below = match self.driver.as_str() {
            "overlay2" => "diff",
            "overlay" => "upper",
            _ => "",
        };
        let mut faults = Vec::new();
        for container in &self.books.containers {
            let tree = self.layer_directory().join(&container.mount_id).join(below);
            let Some(known) = model.containers.get(&container.name) else { continue };
            let before = model.images.get(&known.image).map(|image| &image.files);
            for (path, mark) in known.files.marked() {
                if before.is_some_and(|before| before.get(path) == known.files.get(path)) {
                    continue;
                }
                let (name, value) = mark.attribute();
                let place = tree.join(path.trim_start_matches('/'));
                let found = crate::listing::xattrs(&place).map(|all| all.get(OsStr::new(name)).cloned());
                if !matches!(&found, Ok(Some(found)) if found == value) {
                    faults.push(Fault::new(
                        format!("{name} of {path} in the container {}", container.name),
                        hex::encode(value),
                        format!("{found:?}"),
                    ));
                }
            }
        }
        faults
    }

    fn volumes(&self, model: &Model) -> Vec<Fault> {
        let directory = self.root.join("volumes");
        let there = names(&directory).into_iter().filter(|name| directory.join(name).is_dir()).collect();
        let mut faults: Vec<Fault> =
            compared("volumes", &model.volumes.keys().cloned().collect(), &there).into_iter().collect();
        for (name, files) in &model.volumes {
            let data = directory.join(name).join("_data");
            let shown = |file: &String| {
                format!("{file} {}", fs::read_to_string(data.join(file)).unwrap_or_else(|error| error.to_string()))
            };
            let wanted = files.iter().map(|(file, content)| format!("{file} {content}")).collect();
            faults.extend(compared(
                &format!("files in volume {name}"),
                &wanted,
                &names(&data).iter().map(shown).collect(),
            ));
        }
        faults
    }

    /// Nothing is mounted below the data root while nobody has the turn.
    fn mounts(&self) -> Option<Fault> {
        let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = text.lines().filter_map(|line| line.split(' ').nth(4)).map(Path::new);
        let below = points.filter(|point| *point != self.root && point.starts_with(&self.root));
        let below = below.map(|point| point.display().to_string()).collect();
        compared("mounts below the data root", &BTreeSet::new(), &below)
    }

    /// Every file below the data root but what nobody promises to forget. Directories that hold none are made when they are
    /// first needed, and stay.
    pub fn paths(&self) -> BTreeSet<String> {
        let is_file = |path: &PathBuf| !self.root.join(path).symlink_metadata().is_ok_and(|meta| meta.is_dir());
        self.all_paths().into_iter().filter(is_file).map(|path| path.display().to_string()).collect()
    }

    /// The same with the directories.
    pub fn all_paths(&self) -> BTreeSet<PathBuf> {
        let entries = walkdir::WalkDir::new(&self.root).into_iter().flatten();
        let below = entries.filter_map(|entry| Some(self.below(entry.path())?.to_owned()));
        below.filter(|path| !self.is_memory(path)).collect()
    }

    /// Everything below the data root but what nobody promises to forget, each with a line that tells what it is.
    pub fn everything(&self) -> Result<BTreeMap<PathBuf, String>, Fault> {
        let mut all = files(&self.root).map_err(Fault::io("the data root"))?;
        all.retain(|path, _| !self.is_memory(path));
        Ok(all)
    }

    /// What of this path is below the data root.
    pub fn below<'p>(&self, path: &'p Path) -> Option<&'p Path> {
        path.strip_prefix(&self.root).ok()
    }

    fn is_memory(&self, path: &Path) -> bool {
        MEMORIES.iter().any(|(place, _)| path.starts_with(place.replace("{driver}", &self.driver)))
    }

    /// A container's own ID, and those of what it is mounted on.
    pub fn ids_of(&self, name: &str) -> Vec<String> {
        let container = self.books.containers.iter().find(|container| container.name == name);
        let ids = |container: &crate::books::Container| {
            let own = [container.id.clone(), container.mount_id.clone()];
            own.into_iter().chain(container.init_id.clone()).collect()
        };
        container.map(ids).unwrap_or_default()
    }
}

/// The names in a directory; none if it is not there.
pub fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// What is lost and what is left over, if anything is.
pub fn compared(what: &str, wanted: &BTreeSet<String>, there: &BTreeSet<String>) -> Option<Fault> {
    let only = |these: &BTreeSet<String>, those: &BTreeSet<String>| {
        these.difference(those).cloned().collect::<Vec<_>>().join("\n")
    };
    (wanted != there)
        .then(|| Fault::new(format!("{what}, as far as they differ"), only(wanted, there), only(there, wanted)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A data root with one image of one layer; its books, the layer's cache ID being `cache`.
    fn root() -> (tempfile::TempDir, Model) {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let id = "1".repeat(64);
        write(&format!("image/vfs/imagedb/content/sha256/{id}"), r#"{"rootfs":{"diff_ids":["sha256:aa"]}}"#);
        write("image/vfs/layerdb/sha256/aa/diff", "sha256:aa");
        write("image/vfs/layerdb/sha256/aa/cache-id", "cache");
        write("vfs/dir/cache/file", "content");
        let mut model = Model::default();
        model.add_image(&format!("sha256:{id}"), Default::default(), None);
        (root, model)
    }

    fn told(root: &Path, model: &Model) -> Vec<String> {
        let faults = Disk::read(root, "vfs").unwrap().faults(model, false);
        faults.into_iter().map(|fault| format!("{}: {}|{}", fault.what, fault.expected, fault.observed)).collect()
    }

    #[test]
    fn a_sound_data_root_has_no_fault() {
        let (root, model) = root();
        assert_eq!(told(root.path(), &model), Vec::<String>::new());
        assert!(Disk::read(root.path(), "overlay2").is_err());
    }

    #[test]
    fn what_is_left_over_and_what_is_lost_is_named() {
        let (root, model) = root();
        fs::create_dir_all(root.path().join("vfs/dir/orphan")).unwrap();
        fs::create_dir_all(root.path().join("image/vfs/layerdb/sha256/bb")).unwrap();
        fs::create_dir_all(root.path().join("tmp/half")).unwrap();
        fs::remove_dir_all(root.path().join("vfs/dir/cache")).unwrap();
        let lines = told(root.path(), &model);
        let wanted = [
            "layers in layerdb, as far as they differ: |bb",
            "directories of layers, as far as they differ: \ncache|orphan",
            "files in tmp, as far as they differ: |half",
        ];
        assert_eq!(lines, wanted);
    }

    #[test]
    fn a_changed_file_of_a_layer_is_named() {
        let (root, _) = root();
        let shelf = || Disk::read(root.path(), "vfs").unwrap().shelf().unwrap();
        let before = shelf();
        assert_eq!(before.changes(&shelf()), []);
        fs::write(root.path().join("vfs/dir/cache/file"), "CONTENT").unwrap();
        let faults = before.changes(&shelf());
        assert_eq!(faults.len(), 1);
        assert!(faults[0].what.contains("directory of layer aa in cache") && faults[0].observed.starts_with("file "));
    }
}
