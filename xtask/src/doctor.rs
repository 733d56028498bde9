//! `cargo xtask doctor`: what this machine can run, what not, and how to get it. It tries rather than guesses.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::kernels::qemu;
use crate::{Verb, call};

pub const VERB: Verb =
    Verb { name: "doctor", summary: "say what this machine can run, what not, and how to get it", run };

/// A file system and Debian's package that makes it.
const FILE_SYSTEMS: [(&str, &str); 3] = [("ext4", "e2fsprogs"), ("xfs", "xfsprogs"), ("btrfs", "btrfs-progs")];

/// A program, what it is for here, and Debian's package.
const PROGRAMS: [(&str, &str, &str); 21] = [
    ("dockerd", "replay --on docker, laws of its storage drivers", "docker.io"),
    ("iptables", "replay --on docker", "iptables"),
    ("podman", "replay --on podman", "podman conmon runc containernetworking-plugins"),
    ("skopeo", "tests with other tools", "skopeo"),
    ("containers-storage", "laws of podman's storage", "containers-storage"),
    ("umoci", "findings, laws of its images", "umoci"),
    ("ctr", "findings, laws of containerd's snapshots", "containerd"),
    ("setfacl", "findings", "acl"),
    ("setfattr", "findings", "attr"),
    ("crun", "bench", "crun"),
    ("perf", "system calls that bench counts", "linux-perf"),
    ("docker-registry", "tests with a real registry", "docker-registry"),
    ("newuidmap", "several users in an ordinary user's lab", "uidmap"),
    ("chromium", "tests of the HTML of a replay", "chromium"),
    ("fuse-overlayfs", "the storage driver of that name", "fuse-overlayfs"),
    ("mkfs.erofs", "images as lower layers", "erofs-utils"),
    ("mksquashfs", "images as lower layers", "squashfs-tools"),
    ("python3", "scripts of counterexamples", "python3-minimal"),
    ("mount", "file systems for the laws", "mount"),
    ("modprobe", "kernels", "kmod"),
    ("setpriv", "kernels", "util-linux"),
];

/// A feature of overlayfs, the subject of the laws that tries it, and how to get it.
const OVERLAY_FEATURES: [(&str, &str, &str); 9] = [
    ("redirect_dir", "overlay-redirect", "root, and a kernel of 4.10 or newer"),
    ("metacopy", "overlay-metacopy", "root, and a kernel of 4.19 or newer"),
    ("index", "overlay-index", "root, and a kernel of 4.13 or newer"),
    ("xino", "overlay-xino", "a kernel of 4.17 or newer"),
    ("userxattr", "overlay-userxattr", "root, and a kernel of 5.11 or newer (6.6 where layers lie on tmpfs)"),
    ("nfs_export", "overlay-nfs-export", "root, and a kernel of 4.16 or newer"),
    ("volatile", "overlay-volatile", "a kernel of 5.10 or newer"),
    ("data-only layers (datadir+)", "overlay-data-only", "root, and a kernel of 6.7 or newer"),
    ("lowerdir+", "overlay", "a kernel of 6.7 or newer"),
];

/// What was asked, and what is wanting, if something is.
struct Finding {
    what: String,
    wanting: Option<String>,
}

fn run(arguments: &[String]) -> anyhow::Result<u8> {
    anyhow::ensure!(arguments.is_empty(), "doctor takes no arguments");
    let is_root = fs::metadata("/proc/self").context("/proc is not mounted")?.uid() == 0;
    let mut findings = vec![privileges(is_root), user_namespaces(), overlays(is_root), subordinate_ids(is_root)];
    findings.extend(FILE_SYSTEMS.iter().map(|(kind, package)| file_system(kind, package, is_root)));
    findings.extend(overlay_features()?);
    findings.push(kernel_log());
    findings.extend(PROGRAMS.iter().map(|(program, purpose, package)| {
        let wanting = (!is_on_path(program)).then(|| format!("apt-get install {package}"));
        Finding { what: format!("{program}: {purpose}"), wanting }
    }));
    findings.push(machines());
    println!("kernel {}", fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim());
    for Finding { what, wanting } in &findings {
        match wanting {
            None => println!("  yes  {what}"),
            Some(wanting) => println!("  no   {what}\n         {wanting}"),
        }
    }
    let wanting = findings.iter().filter(|finding| finding.wanting.is_some()).count();
    println!("{} of {} can be had here", findings.len() - wanting, findings.len());
    Ok(0)
}

fn privileges(is_root: bool) -> Finding {
    Finding {
        what: "root: replay --on docker and podman, laws on ext4, xfs and btrfs".to_owned(),
        wanting: (!is_root).then(|| "start it as root".to_owned()),
    }
}

fn kernel_log() -> Finding {
    Finding {
        what: "the kernel's log: what it complains of while laws are held".to_owned(),
        wanting: fs::File::open("/dev/kmsg").err().map(|_| "root, or sysctl -w kernel.dmesg_restrict=0".to_owned()),
    }
}

fn user_namespaces() -> Finding {
    let wanting = "sysctl -w user.max_user_namespaces=10000; on Debian and Ubuntu also \
                   kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0";
    Finding {
        what: "user namespaces: labs and laws of an ordinary user".to_owned(),
        wanting: (!succeeds(Command::new("unshare").args(["--user", "--map-root-user", "true"])))
            .then(|| wanting.to_owned()),
    }
}

/// Mounts one over a tmpfs, in namespaces of its own.
fn overlays(is_root: bool) -> Finding {
    let script = "mount -t tmpfs none /tmp && cd /tmp && mkdir l u w m && \
                  mount -t overlay overlay -o \"$1lowerdir=l,upperdir=u,workdir=w\" m && touch m/file && test -e u/file";
    let mut command = Command::new("unshare");
    command.arg("--mount");
    if !is_root {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["sh", "-c", script, "sh", if is_root { "" } else { "userxattr," }]);
    let wanting = if is_root { "modprobe overlay" } else { "a kernel with overlays in user namespaces, 5.11 or newer" };
    Finding {
        what: "overlay mounts: replay, laws".to_owned(),
        wanting: (!succeeds(&mut command)).then(|| wanting.to_owned()),
    }
}

/// The subjects of the laws try them, each with a mount; so they are built for it.
fn overlay_features() -> anyhow::Result<Vec<Finding>> {
    call::succeed(&mut call::cargo(&[
        "build",
        "--quiet",
        "--package",
        "layerlab-properties",
        "--bin",
        "layerlab-laws",
    ]))?;
    let output =
        Command::new(call::built("layerlab-laws")?).arg("--list").output().context("cannot run layerlab-laws")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let findings = OVERLAY_FEATURES.iter().map(|(feature, subject, remedy)| {
        let wanting = refusal_of(subject, &said).map(|why| format!("{why}; it takes {remedy}"));
        Finding { what: format!("{feature}: laws --subject {subject}"), wanting }
    });
    Ok(findings.collect())
}

/// Why `subject` cannot run, by what `layerlab-laws --list` says of it.
fn refusal_of(subject: &str, list: &str) -> Option<String> {
    let lines = list.lines().skip_while(|line| !line.starts_with("subjects"));
    let line = lines.filter_map(|line| line.trim_start().split_once(' ')).find(|(name, _)| *name == subject);
    match line.map(|(_, rest)| rest.trim()) {
        Some("can run") => None,
        Some(why) => Some(why.to_owned()),
        None => Some("nothing could be mounted to try it".to_owned()),
    }
}

fn subordinate_ids(is_root: bool) -> Finding {
    let user = Command::new("id").arg("-un").output().map(|output| output.stdout).unwrap_or_default();
    let user = String::from_utf8_lossy(&user).trim().to_owned();
    let has = |file| {
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines().any(|line| line.split(':').next() == Some(user.as_str()))
    };
    let has_both = is_root || has("/etc/subuid") && has("/etc/subgid");
    Finding {
        what: "subordinate IDs: images and laws with several users".to_owned(),
        wanting: (!has_both)
            .then(|| format!("as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}")),
    }
}

fn file_system(kind: &str, package: &str, is_root: bool) -> Finding {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let is_known = known.lines().any(|line| line.split_whitespace().last() == Some(kind));
    let is_loadable = is_root && succeeds(Command::new("modprobe").args(["--dry-run", kind]));
    let wanting = match () {
        () if !is_root => Some("mounting it needs root".to_owned()),
        () if !is_on_path(&format!("mkfs.{kind}")) => Some(format!("apt-get install {package}")),
        () if !is_known && !is_loadable => Some(format!("a kernel with {kind}")),
        () if !Path::new("/dev/loop-control").exists() => Some("modprobe loop".to_owned()),
        () => None,
    };
    Finding { what: format!("{kind}: laws --backing {kind}"), wanting }
}

/// A machine for other kernels: the host's QEMU, or packages that can be had.
fn machines() -> Finding {
    let what = |how: &str| format!("QEMU: kernels ({how})");
    match (qemu::of_host(), is_on_path("apt-get") && is_on_path("dpkg-deb")) {
        (Ok(qemu), _) => Finding { what: what(&qemu.version), wanting: None },
        (Err(_), true) => {
            Finding { what: what("from packages that are unpacked below the target directory"), wanting: None }
        }
        (Err(error), false) => {
            Finding { what: what("none"), wanting: Some(format!("{error:#}; install qemu-system-x86_64")) }
        }
    }
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Not everybody looks where root's programs are.
    let directories = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    directories.into_iter().any(|directory| directory.join(program).is_file())
}

fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    call::status(quiet).is_ok_and(|status| status == 0)
}

#[cfg(test)]
mod tests {
    use super::refusal_of;

    #[test]
    fn what_the_list_says_of_a_subject_is_heard() {
        let list =
            "laws:\n  overlay   no\nsubjects (--subject):\n  overlay      can run\n  overlay-x    the kernel drops x\n";
        assert_eq!(refusal_of("overlay", list), None);
        assert_eq!(refusal_of("overlay-x", list).as_deref(), Some("the kernel drops x"));
        assert_eq!(refusal_of("overlay-y", list).as_deref(), Some("nothing could be mounted to try it"));
    }
}
