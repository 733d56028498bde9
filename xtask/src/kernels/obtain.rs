//! Where a kernel comes from: the distribution's packages, unpacked once and kept, or a user's own files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use super::apt::{Apt, Package};
use super::image;
use super::list::{self, Kernel, MachineKind};

/// What says that a directory is whole, and what was unpacked into it.
const PACKAGES: &str = "packages.json";

/// A kernel that can be started.
pub struct Obtained {
    /// What is started: a bzImage, or a program.
    pub image: PathBuf,
    /// Has `lib/modules/RELEASE`, with an index.
    pub base: PathBuf,
    /// None of a user's own.
    pub packages: Vec<Package>,
}

/// From `directory/NAME`, where it was unpacked before, or from the distribution.
pub fn from_packages(kernel: &Kernel, directory: &Path) -> anyhow::Result<Obtained> {
    let base = directory.join(&kernel.name);
    if !base.join(PACKAGES).exists() {
        unpack(kernel, directory, &base)?;
    }
    let packages = serde_json::from_str(&fs::read_to_string(base.join(PACKAGES))?).with_context(|| {
        format!("{} is not what this wrote: remove {}", base.join(PACKAGES).display(), base.display())
    })?;
    let image = match kernel.machine {
        MachineKind::Uml => base.join("usr/bin/linux.uml"),
        MachineKind::Qemu => vmlinuz(&base)?,
    };
    ensure!(image.exists(), "there is no {}", image.display());
    Ok(Obtained { image, base, packages })
}

fn unpack(kernel: &Kernel, directory: &Path, base: &Path) -> anyhow::Result<()> {
    let apt = Apt::of_suite(&directory.join("apt").join(&kernel.suite), &kernel.suite)?;
    let mut names = String::new();
    for pattern in &kernel.packages {
        names += &apt.names(pattern.split('*').next().unwrap_or(pattern))?;
    }
    let names: Vec<&str> = names.lines().collect();
    let Some(newest) = list::newest(&kernel.packages, &names) else {
        bail!("{} has no {} any more", kernel.suite, kernel.packages.join(" with "));
    };
    let packages = newest.iter().map(|name| apt.package(name)).collect::<Result<Vec<_>, _>>()?;
    // What was broken off is done again.
    let _ = fs::remove_dir_all(base);
    apt.unpack(&newest, base)?;
    image::show_modules(base)?;
    image::index(base)?;
    Ok(fs::write(base.join(PACKAGES), serde_json::to_string_pretty(&packages)?)?)
}

/// In `boot`, or beside the modules.
fn vmlinuz(base: &Path) -> anyhow::Result<PathBuf> {
    for directory in [base.join("boot"), base.join("lib/modules").join(image::release(base)?)] {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        let mut names = entries.collect::<Result<Vec<_>, _>>()?.into_iter().map(|entry| entry.file_name());
        if let Some(name) = names.find(|name| name.to_string_lossy().starts_with("vmlinuz")) {
            return Ok(directory.join(name));
        }
    }
    bail!("there is no vmlinuz in the packages of {}", base.display())
}

/// A user's own: an image, and the directory with its modules, which is called as the release is. It is copied into `directory`, since the index is
/// written anew.
pub fn of_user(image: &Path, modules: &Path, directory: &Path) -> anyhow::Result<Obtained> {
    ensure!(image.is_file(), "there is no kernel {}", image.display());
    let modules = modules.canonicalize().with_context(|| format!("there are no modules {}", modules.display()))?;
    let release = modules.file_name().with_context(|| format!("{} has no name", modules.display()))?;
    let base = directory.join("own");
    let _ = fs::remove_dir_all(&base);
    let below = base.join("lib/modules").join(release);
    fs::create_dir_all(&below)?;
    for entry in fs::read_dir(&modules)? {
        let entry = entry?;
        let (from, to) = (entry.path(), below.join(entry.file_name()));
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "kernel" {
            std::os::unix::fs::symlink(from, to)?;
        } else if ["modules.builtin", "modules.builtin.modinfo", "modules.order"].contains(&name.as_str()) {
            fs::copy(from, to)?;
        }
    }
    image::index(&base)?;
    Ok(Obtained { image: image.to_owned(), base, packages: Vec::new() })
}
