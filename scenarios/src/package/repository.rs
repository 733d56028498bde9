//! The repository as a directory: what lies under which URL, with the indexes that apt and yum read first.
//!
//! ```text
//! DISTRIBUTION/dists/SUITE/Release                                  sizes and checksums of the indexes
//! DISTRIBUTION/dists/SUITE/COMPONENT/binary-amd64/Packages{,.gz}    a stanza for each package
//! DISTRIBUTION/pool/COMPONENT/NAME_VERSION_amd64.deb
//! yum/packages.index                                                a stanza for each package (the lab's own form)
//! yum/packages/NAME-VERSION.x86_64.tar.gz
//! ```

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::description::Edition;
use super::{Package, PackageError, deb};
use crate::image::entry::{Content, EntryKind};
use crate::image::layer::{Guest, write_layer};

/// Debian's archive areas that a package may stand in.
pub(super) const COMPONENTS: [&str; 2] = ["main", "universe"];
/// The distributions whose images have a sources.list; all have the same packages.
const SUITES: [(&str, &str); 3] = [("ubuntu", "xenial"), ("debian", "buster"), ("debian", "bullseye")];

/// Assembles every description of `descriptions` into the repository at `to`, which is replaced in one step.
pub fn assemble(descriptions: &Path, guest: &Path, to: &Path) -> Result<(), PackageError> {
    let parent = to.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|error| PackageError::io("create", parent, error))?;
    let lock_path = to.with_extension("lock");
    let lock = File::create(&lock_path).map_err(|error| PackageError::io("create", &lock_path, error))?;
    lock.lock().map_err(|error| PackageError::io("lock", &lock_path, error))?;
    let paths = descriptions_in(descriptions)?;
    let inputs = inputs(&paths, guest)?;
    if fs::read_to_string(to.join("inputs")).is_ok_and(|found| found == inputs) {
        return Ok(());
    }
    let draft = tempfile::tempdir_in(parent).map_err(|error| PackageError::io("make a directory in", parent, error))?;
    let mut repository = Repository { root: draft.path().to_owned(), deb: Default::default(), yum: String::new() };
    for path in &paths {
        repository.add(&Package::read(path)?, guest)?;
    }
    repository.write_indexes()?;
    repository.write("inputs", inputs.as_bytes())?;
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(draft.path(), readable).map_err(|error| PackageError::io("open up", draft.path(), error))?;
    if to.exists() {
        fs::remove_dir_all(to).map_err(|error| PackageError::io("remove", to, error))?;
    }
    fs::rename(draft.keep(), to).map_err(|error| PackageError::io("put in place", to, error))
}

fn descriptions_in(directory: &Path) -> Result<Vec<PathBuf>, PackageError> {
    let list = |error| PackageError::io("list", directory, error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(list)? {
        let path = entry.map_err(list)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// A digest over everything that shapes the repository.
fn inputs(paths: &[PathBuf], guest: &Path) -> Result<String, PackageError> {
    let mut hash = Sha256::new();
    for source in [include_str!("repository.rs"), include_str!("deb.rs"), include_str!("description.rs")] {
        hash.update(Sha256::digest(source));
    }
    for path in paths.iter().map(PathBuf::as_path).chain([guest]) {
        let bytes = fs::read(path).map_err(|error| PackageError::io("read", path, error))?;
        hash.update(Sha256::digest(bytes));
    }
    Ok(hex::encode(hash.finalize()))
}

struct Repository {
    root: PathBuf,
    /// The stanzas of each component.
    deb: [String; COMPONENTS.len()],
    yum: String,
}

impl Repository {
    fn add(&mut self, package: &Package, guest: &Path) -> Result<(), PackageError> {
        let data_path = self.root.join("data");
        let write = |error| PackageError::io("write", &data_path, error);
        let size_bytes = fs::metadata(guest).map_err(|error| PackageError::io("read", guest, error))?.len();
        let out = File::create(&data_path).map_err(write)?;
        write_layer(&package.files, &Guest { path: guest, size_bytes }, out).map_err(write)?;
        let data = fs::read(&data_path).map_err(write)?;
        fs::remove_file(&data_path).map_err(write)?;
        let installed: u64 = package
            .files
            .iter()
            .map(|entry| match &entry.kind {
                EntryKind::File(Content::Text(text)) => text.len() as u64,
                EntryKind::File(Content::Guest) => size_bytes,
                _ => 0,
            })
            .sum();
        let mtime = package.files.first().and_then(|entry| u64::try_from(entry.mtime.as_second()).ok()).unwrap_or(0);
        if let Some(edition) = &package.deb {
            let control = control(edition, &package.summary, "amd64", installed);
            let bytes = deb::deb(&control, &data, mtime).map_err(write)?;
            // A colon is no character for a file name there, so the epoch is left out (Debian Policy, 5.6.12).
            let version = edition.version.split_once(':').map_or(edition.version.as_str(), |(_, rest)| rest);
            let file = format!("pool/{}/{}_{version}_amd64.deb", edition.component, edition.name);
            for distribution in ["ubuntu", "debian"] {
                self.write(&format!("{distribution}/{file}"), &bytes)?;
            }
            if let Some(at) = COMPONENTS.iter().position(|component| *component == edition.component) {
                self.deb[at].push_str(&listed(&control, &file, &bytes));
            }
        }
        if let Some(edition) = &package.yum {
            let file = format!("packages/{}-{}.x86_64.tar.gz", edition.name, edition.version);
            self.write(&format!("yum/{file}"), &data)?;
            self.yum.push_str(&listed(&control(edition, &package.summary, "x86_64", installed), &file, &data));
        }
        Ok(())
    }

    fn write_indexes(&self) -> Result<(), PackageError> {
        self.write("yum/packages.index", self.yum.as_bytes())?;
        for (distribution, suite) in SUITES {
            let mut sums = String::new();
            for (component, text) in COMPONENTS.iter().zip(&self.deb) {
                let place = format!("{distribution}/dists/{suite}");
                let packed =
                    deb::gzipped(text).map_err(|error| PackageError::io("compress", Path::new(&place), error))?;
                for (ending, bytes) in [("", text.as_bytes()), (".gz", packed.as_slice())] {
                    let name = format!("{component}/binary-amd64/Packages{ending}");
                    self.write(&format!("{place}/{name}"), bytes)?;
                    sums.push_str(&format!(" {} {} {name}\n", sha256(bytes), bytes.len()));
                }
            }
            let release = format!(
                "Origin: layerlab\nSuite: {suite}\nCodename: {suite}\nArchitectures: amd64\nComponents: {}\n\
                 Description: packages of the lab, not signed\nSHA256:\n{sums}",
                COMPONENTS.join(" ")
            );
            self.write(&format!("{distribution}/dists/{suite}/Release"), release.as_bytes())?;
        }
        Ok(())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), PackageError> {
        let path = self.root.join(name);
        let directory = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(directory).map_err(|error| PackageError::io("create", directory, error))?;
        File::create(&path)
            .and_then(|mut file| file.write_all(bytes))
            .map_err(|error| PackageError::io("write", &path, error))
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The control stanza (deb-control(5)).
fn control(edition: &Edition, summary: &str, architecture: &str, installed_bytes: u64) -> String {
    let depends = match edition.depends.is_empty() {
        true => String::new(),
        false => format!("Depends: {}\n", edition.depends.join(", ")),
    };
    format!(
        "Package: {}\nVersion: {}\nArchitecture: {architecture}\nMaintainer: layerlab\nInstalled-Size: {}\n{depends}\
         Section: {}\nPriority: optional\nDescription: {summary}\n",
        edition.name,
        edition.version,
        installed_bytes.div_ceil(1024),
        edition.component,
    )
}

/// The stanza of an index: the control stanza, and where the archive lies.
fn listed(control: &str, file: &str, bytes: &[u8]) -> String {
    format!("{control}Filename: {file}\nSize: {}\nSHA256: {}\n\n", bytes.len(), sha256(bytes))
}
