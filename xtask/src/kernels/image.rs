//! What a machine starts with: an archive that becomes its first file system (initramfs), and disks.
//!
//! *Holds*: modules are named by `modprobe`, with what they depend on, in the order in which they are loaded; disks are made by the host's
//! `mkfs`, new for each machine.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Cursor, Read, Seek};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use cpio::NewcBuilder;
use cpio::newc::ModeFileType;

use super::apt::{said, system};

/// What a machine needs, where the kernel has it as a module: disks, overlays, and file systems. btrfs asks for a sum by a name that not every `modprobe` follows.
const MODULES: [&str; 8] = ["virtio_pci", "virtio_blk", "overlay", "fuse", "ext4", "xfs", "crypto-crc32c", "btrfs"];
/// Sparse; what `mkfs.xfs` wants at least is 300 MiB.
const DISK_BYTES: u64 = 512 << 20;

/// The directory below `lib/modules` of the directory `base`, whose name is the kernel's release.
pub fn release(base: &Path) -> anyhow::Result<String> {
    let modules = base.join("lib/modules");
    let entries = fs::read_dir(&modules).with_context(|| format!("cannot read {}", modules.display()))?;
    let mut names: Vec<_> = entries.collect::<Result<Vec<_>, _>>()?.iter().map(fs::DirEntry::file_name).collect();
    names.retain(|name| modules.join(name).join("kernel").is_dir());
    match &names[..] {
        [name] => Ok(name.to_string_lossy().into_owned()),
        _ => bail!("{} should have one kernel's modules, and has those of {}", modules.display(), names.len()),
    }
}

/// Writes the index in which `modprobe` looks: packages come without.
pub fn index(base: &Path) -> anyhow::Result<()> {
    said(system("depmod").arg("-b").arg(base).arg(release(base)?)).map(drop).context("apt-get install kmod")
}

/// The files of all modules that a machine needs, in the order in which they are loaded.
pub fn modules(base: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let release = release(base)?;
    let mut known = HashSet::new();
    let mut files = Vec::new();
    for name in MODULES {
        let mut modprobe = system("modprobe");
        // The host's settings are about the host.
        modprobe.args(["-C", "/dev/null", "-S", &release, "-d"]).arg(base).args(["--show-depends", name]);
        let output = modprobe.output().context("cannot run modprobe: apt-get install kmod")?;
        // One that this kernel does not have is missed by whoever needs it.
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        files.extend(inserted(&said).filter(|path| known.insert(path.clone())));
    }
    Ok(files)
}

/// The files in what `modprobe --show-depends` says.
fn inserted(said: &str) -> impl Iterator<Item = PathBuf> {
    let lines = said.lines().filter_map(|line| line.strip_prefix("insmod "));
    lines.filter_map(|line| line.split_whitespace().next()).map(PathBuf::from)
}

trait Content: Read + Seek {}
impl<T: Read + Seek> Content for T {}

/// Writes the archive `to`: the programs of ours, the modules, and the orders; the name in the machine of each module.
pub fn archive(to: &Path, programs: &[(&str, &Path)], modules: &[PathBuf], orders: &str) -> anyhow::Result<()> {
    let mut entries: Vec<(NewcBuilder, Box<dyn Content>)> = Vec::new();
    let mut file = |name: &str, path: &Path, mode| -> anyhow::Result<()> {
        let open = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let builder = NewcBuilder::new(name).mode(mode).set_mode_file_type(ModeFileType::Regular);
        entries.push((builder, Box::new(open)));
        Ok(())
    };
    for (name, path) in programs {
        file(name, path, 0o755)?;
    }
    for path in modules {
        file(&name_of_module(path), path, 0o644)?;
    }
    let builder = NewcBuilder::new("orders.json").mode(0o644).set_mode_file_type(ModeFileType::Regular);
    entries.push((builder, Box::new(Cursor::new(orders.to_owned()))));
    let written = File::create(to).map(BufWriter::new).and_then(|output| cpio::write_cpio(entries.into_iter(), output));
    let written = written.and_then(|mut output| io::Write::flush(&mut output));
    written.with_context(|| format!("cannot write {}", to.display()))
}

/// The archive has no directories: a kernel makes none for a name in one, so that names lie side by side.
pub fn name_of_module(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Makes a disk of this file system.
pub fn disk(kind: &str, to: &Path) -> anyhow::Result<()> {
    File::create(to)?.set_len(DISK_BYTES)?;
    let force = if kind == "ext4" { "-F" } else { "-f" };
    let made = said(system(format!("mkfs.{kind}")).args(["-q", force]).arg(to));
    made.map(drop).with_context(|| format!("{kind} (Debian: e2fsprogs, xfsprogs, btrfs-progs)"))
}

/// A kernel's directory may have its modules below `usr`, or where user-mode Linux looks for them.
pub fn show_modules(base: &Path) -> anyhow::Result<()> {
    if base.join("lib/modules").is_dir() {
        return Ok(());
    }
    let places = ["usr/lib/uml/modules", "usr/lib/modules"];
    let place = places.iter().find(|place| base.join(place).is_dir());
    let place = place.with_context(|| format!("there are no modules in {}", base.display()))?;
    fs::create_dir_all(base.join("lib"))?;
    std::os::unix::fs::symlink(Path::new("..").join(place), base.join("lib/modules"))?;
    ensure!(base.join("lib/modules").is_dir(), "cannot see the modules of {}", base.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_modprobe_would_load_is_heard_and_what_is_built_in_is_not() {
        let said = "builtin virtio_pci\ninsmod /k/libcrc32c.ko.xz \ninsmod /k/xfs.ko.xz option=1\n";
        let files: Vec<PathBuf> = inserted(said).collect();
        assert_eq!(files, [Path::new("/k/libcrc32c.ko.xz"), Path::new("/k/xfs.ko.xz")]);
    }

    #[test]
    fn an_archive_has_what_was_put_into_it() {
        let place = tempfile::tempdir().expect("a directory");
        let (program, archived) = (place.path().join("program"), place.path().join("archive"));
        fs::write(&program, "what it does").expect("a file");
        archive(&archived, &[("init", &program)], &[], "{}").expect("an archive");
        let mut reader = cpio::NewcReader::new(File::open(&archived).expect("the archive")).expect("an entry");
        assert_eq!((reader.entry().name(), reader.entry().mode()), ("init", 0o100_755));
        let mut content = String::new();
        reader.read_to_string(&mut content).expect("content");
        assert_eq!(content, "what it does");
        let reader = cpio::NewcReader::new(reader.finish().expect("the end of it")).expect("an entry");
        assert_eq!(reader.entry().name(), "orders.json");
    }
}
