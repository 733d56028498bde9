//! Machines that QEMU plays: the host's own program, or one from packages in a directory of ours.
//!
//! *Why*: any kernel of a distribution starts there, without root. *Holds*: a machine is emulated (TCG) unless the processor's own help is there and is
//! of a kind that runs kernels as they are: one that opens `/dev/kvm` may still be given one that runs no other than its own (KVM_PVM).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::apt::{Apt, said};
use super::machine::{Parts, ends_with_us};

const PROGRAM: &str = "qemu-system-x86_64";
const PACKAGE: &str = "qemu-system-x86";
/// What to do where it cannot be had.
pub const REMEDY: &str = "apt-get install --no-install-recommends qemu-system-x86";
/// So that laws, layers in memory and what they are unpacked from have room.
const MEMORY: &str = "1024M";

/// A QEMU that answered.
#[derive(Clone)]
pub struct Qemu {
    program: PathBuf,
    /// Where it was unpacked; none of the host's own.
    root: Option<PathBuf>,
    /// What it calls itself.
    pub version: String,
}

/// The host's own, if it has one.
pub fn of_host() -> anyhow::Result<Qemu> {
    Qemu::asked(PathBuf::from(PROGRAM), None)
}

/// The host's own, or one from the host's suites that is unpacked into `directory/qemu` and nowhere else.
pub fn obtained(directory: &Path) -> anyhow::Result<Qemu> {
    if let Ok(qemu) = of_host() {
        return Ok(qemu);
    }
    let root = directory.join("qemu");
    let program = root.join("usr/bin").join(PROGRAM);
    if !program.exists() {
        let part = directory.join("qemu.part");
        let _ = fs::remove_dir_all(&part);
        Apt::of_host(&directory.join("apt/host"))?.unpack_with_what_is_lacking(PACKAGE, &part)?;
        fs::rename(&part, &root)?;
    }
    Qemu::asked(program, Some(root))
}

impl Qemu {
    fn asked(program: PathBuf, root: Option<PathBuf>) -> anyhow::Result<Qemu> {
        let mut qemu = Qemu { program, root, version: String::new() };
        let text = said(qemu.with_libraries(Command::new(&qemu.program)).arg("--version"))?;
        let version = text.lines().next().and_then(|line| line.split("version ").nth(1));
        version.context("it tells no version")?.clone_into(&mut qemu.version);
        Ok(qemu)
    }

    fn with_libraries(&self, mut command: Command) -> Command {
        if let Some(root) = &self.root {
            let libraries = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|below| root.join(below));
            let joined: Vec<String> = libraries.iter().map(|path| path.display().to_string()).collect();
            command.env("LD_LIBRARY_PATH", joined.join(":"));
        }
        command
    }

    /// What starts a machine of these parts, whose disks are `/dev/vda`, `/dev/vdb`, ….
    pub fn command(&self, parts: &Parts<'_>) -> Command {
        let mut command = self.with_libraries(ends_with_us(&self.program));
        for below in self.root.iter().flat_map(|root| ["qemu", "seabios"].map(|name| root.join("usr/share").join(name)))
        {
            command.arg("-L").arg(below);
        }
        command.args(["-machine", "pc", "-cpu", "max", "-m", MEMORY, "-smp", "1"]);
        command.args(if has_kvm() { &["-accel", "kvm", "-accel", "tcg"][..] } else { &["-accel", "tcg"] });
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        for (name, channel) in [("console", parts.console), ("events", parts.events)] {
            command.arg("-chardev").arg(format!("file,id={name},path={}", doubled(channel)));
            command.arg("-serial").arg(format!("chardev:{name}"));
        }
        for disk in parts.disks {
            command.arg("-drive").arg(format!("file={},format=raw,if=virtio,cache=unsafe", doubled(disk)));
        }
        command.arg("-kernel").arg(parts.kernel).arg("-initrd").arg(parts.archive);
        // No clock to compare with, nothing to protect, and a panic is an end.
        let words = "console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on no_timer_check tsc=reliable";
        command.args(["-append", words]);
        command
    }
}

/// A comma ends a value for QEMU unless there are two.
fn doubled(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// Whether machines run on the processor itself.
pub fn has_kvm() -> bool {
    let module = |name: &str| Path::new("/sys/module").join(name).exists();
    let opens = fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok();
    opens && (module("kvm_intel") || module("kvm_amd")) && !module("kvm_pvm")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disks_of_a_machine_come_in_their_order() {
        let qemu = Qemu { program: PathBuf::from("qemu"), root: None, version: String::new() };
        let disks = [PathBuf::from("/a,b"), PathBuf::from("/c")];
        let [kernel, archive, console, events] = ["/k", "/i", "/log", "/e,v"].map(Path::new);
        let parts = Parts { kernel, archive, disks: &disks, console, events, directory: Path::new("/") };
        let command = qemu.command(&parts);
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        let drives: Vec<_> = words.iter().filter(|word| word.starts_with("file=")).collect();
        assert!(drives[0].starts_with("file=/a,,b,") && drives[1].starts_with("file=/c,"), "{drives:?}");
        assert!(words.iter().any(|word| word == "file,id=events,path=/e,,v"), "{words:?}");
        let channels: Vec<_> = words.iter().filter(|word| word.starts_with("chardev:")).collect();
        assert_eq!(channels, ["chardev:console", "chardev:events"]);
    }
}
