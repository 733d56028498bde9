//! What a lab needs before it starts, made outside and kept below the target directory: the tools and the images.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::furnish::Tools;
use super::index;
use crate::guest;
use crate::image::{self, ImageError, Userland};
use crate::package::{self, PackageError};
use crate::registry::Listed;

/// Names a guest built before, so that no cargo is needed.
pub const GUEST_VARIABLE: &str = "LAYERLAB_GUEST";
/// Names an image layout assembled before.
pub const IMAGES_VARIABLE: &str = "LAYERLAB_IMAGES";

/// What could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    #[error("cannot build the lab's tools: {message}")]
    Build { message: String },
    #[error("cannot ask {path} for its applets with --list: {source}")]
    List { path: PathBuf, source: io::Error },
    #[error("{path} names no applets ({said}); is it the guest?")]
    NoApplets { path: PathBuf, said: String },
    #[error("cannot assemble the images: {0}")]
    Images(#[from] ImageError),
    #[error("cannot assemble the packages: {0}")]
    Packages(#[from] PackageError),
}

/// Everything that is the same for all labs.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub tools: Tools,
    pub images: PathBuf,
    /// What `docker search` finds.
    pub index: Vec<Listed>,
    pub packages: PathBuf,
}

/// The checkout this program was built from.
pub fn workspace_root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// Names a directory of packages that are assembled already.
pub const PACKAGES_VARIABLE: &str = "LAYERLAB_PACKAGES";

/// Where things made for labs are kept: `layerlab` in the target directory that holds the running program.
pub fn cache() -> PathBuf {
    let program = env::current_exe().unwrap_or_default();
    program.ancestors().nth(2).unwrap_or(Path::new("target")).join("layerlab")
}

/// Where HTML pages of replays go when nothing else is said.
pub fn html_folder() -> PathBuf {
    cache().join("html")
}

/// Builds the guest and assembles the images, unless the environment names ready ones; both are quick when nothing
/// changed.
pub fn prepare() -> Result<Prepared, PrepareError> {
    let program = match env::var_os(GUEST_VARIABLE) {
        Some(path) => path.into(),
        None => build_guest()?,
    };
    let names = applets(&program)?;
    let images = match env::var_os(IMAGES_VARIABLE) {
        Some(path) => path.into(),
        None => assemble(&program, &names)?,
    };
    let index = index::read(&workspace_root().join("scenarios/images"))?;
    let packages = match env::var_os(PACKAGES_VARIABLE) {
        Some(path) => path.into(),
        None => {
            let packages = cache().join("packages");
            package::assemble(&workspace_root().join("scenarios/packages"), &program, &packages)?;
            packages
        }
    };
    Ok(Prepared { tools: Tools { program, names }, images, packages, index })
}

fn build_guest() -> Result<PathBuf, PrepareError> {
    guest::build(&workspace_root(), &mut |line: &str| eprintln!("{line}"))
        .map_err(|error| PrepareError::Build { message: error.to_string() })
}

fn assemble(program: &Path, names: &[String]) -> Result<PathBuf, PrepareError> {
    let store = cache().join("images");
    let userland = Userland { binary: program.to_owned(), applets: names.to_owned() };
    image::assemble(&workspace_root().join("scenarios/images"), &userland, &store)?;
    Ok(store)
}

fn applets(program: &Path) -> Result<Vec<String>, PrepareError> {
    let output = Command::new(program).arg("--list").output();
    let output = output.map_err(|source| PrepareError::List { path: program.to_owned(), source })?;
    let names: Vec<String> = String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect();
    if names.is_empty() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(PrepareError::NoApplets { path: program.to_owned(), said });
    }
    Ok(names)
}
