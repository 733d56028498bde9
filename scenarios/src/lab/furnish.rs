//! The little machine a page finds itself on: its directories, its /etc, its devices and its tools.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use nix::mount::MsFlags;

use super::libraries::{LibraryError, libraries_of};
use super::loop_device;
use super::machine::DATA_ROOT;
use super::root::{Node, RootPlan};
use super::sandbox::HOSTNAME;
use crate::target::Unavailable;

/// Where the lab keeps what is not part of the machine a page describes.
pub const LAB: &str = "/lab";
/// The image layout that the lab's registry serves, inside.
pub const IMAGES: &str = "/lab/images";
/// The package repository that the lab serves, inside.
pub const PACKAGES: &str = "/lab/packages";
/// Where the lab's registry listens, inside.
pub const REGISTRY_PORT: u16 = 5000;
/// Where a registry listens that asks who its clients are.
pub const GUARDED_PORT: u16 = 5001;
/// Docker Hub's index: in the lab, the lab itself.
pub const INDEX_HOST: &str = "index.docker.io";
/// The authorities that programs in the lab trust: the lab's own and no other.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
                      daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n\
                      www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n\
                      nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\ndaemon:x:1:\ntty:x:5:\nwww-data:x:33:\nnogroup:x:65534:\n";
const NSSWITCH: &str = "passwd: files\ngroup: files\nhosts: files dns\n";
/// What `rpm -qa` lists: the packages whose commands the lab has.
const INSTALLED: &str = "bash-5.2-1.x86_64\ncoreutils-9.1-1.x86_64\ncurl-7.88-1.x86_64\nmlocate-0.26-1.x86_64\n";
/// What a program that serves a file system talks to the kernel by.
const FUSE: &str = "/dev/fuse";
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// The tools of the lab's machine: one program that is whatever it is called as.
#[derive(Debug, Clone)]
pub struct Tools {
    pub program: PathBuf,
    pub names: Vec<String>,
}

/// A program of the host, shown in the lab with the libraries it needs.
#[derive(Debug, Clone)]
pub struct Program {
    pub host: PathBuf,
    pub lab: PathBuf,
}

/// What differs from lab to lab.
#[derive(Debug, Clone, Default)]
pub struct Furnishing {
    pub tools: Option<Tools>,
    pub programs: Vec<Program>,
    /// Directories of the host, shown at the same place.
    pub directories: Vec<PathBuf>,
    /// An image layout of the host, shown at [`IMAGES`].
    pub images: Option<PathBuf>,
    /// An authority that the machine trusts, in PEM.
    pub authority_pem: Option<String>,
    /// A package repository of the host, shown at [`PACKAGES`].
    pub packages: Option<PathBuf>,
    /// Shows the host's whole root, read-only, at /host.
    pub host_visible: bool,
    /// The storage driver that docker's settings ask for.
    pub driver: Option<&'static str>,
}

impl Furnishing {
    /// The plan of the machine. Fails when a program's libraries cannot be found.
    pub fn plan(&self) -> Result<RootPlan, LibraryError> {
        let mut plan = RootPlan::default();
        directories(&mut plan);
        settings(&mut plan, self.driver);
        kernel_file_systems(&mut plan);
        if let Some(kind) = self.driver.and_then(data_root_on) {
            plan.on_loop_device(kind, DATA_ROOT, 0o711);
        }
        if let Some(tools) = &self.tools {
            install_tools(&mut plan, tools);
        }
        let mut programs = self.programs.clone();
        if let Some(name) = self.driver.and_then(program_of) {
            programs.extend(on_path(name).map(|host| Program { host, lab: Path::new("/usr/bin").join(name) }));
            plan.share(FUSE, FUSE);
        }
        install_programs(&mut plan, &programs)?;
        for directory in &self.directories {
            plan.show(directory, directory);
        }
        if let Some(images) = &self.images {
            plan.show(images, IMAGES);
        }
        if let Some(pem) = &self.authority_pem {
            plan.file(AUTHORITIES, pem.clone(), 0o644);
        }
        if let Some(packages) = &self.packages {
            plan.show(packages, PACKAGES);
        }
        if self.host_visible {
            plan.show("/", "/host");
        }
        Ok(plan)
    }
}

/// The kind of file system that the data root has to lie on for this storage driver, where it matters.
pub fn data_root_on(driver: &str) -> Option<&'static str> {
    (driver == "btrfs").then_some("btrfs")
}

/// The program that a storage driver is, where it is one.
fn program_of(driver: &str) -> Option<&'static str> {
    (driver == "fuse-overlayfs").then_some("fuse-overlayfs")
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|place| place.join(name)).find(|path| path.is_file())
}

/// What this host lacks for a lab with this storage driver.
pub fn lacks(driver: &str, rootless: bool) -> Option<Unavailable> {
    let lacking = data_root_on(driver).and_then(|kind| loop_device::lacks(kind, rootless));
    let lacking = lacking.or_else(|| {
        let name = program_of(driver)?;
        let remedy = |what: &str| format!("{what}, or use another --driver");
        if on_path(name).is_none() {
            return Some((format!("this host has no {name}"), remedy(&format!("install {name}"))));
        }
        match File::options().read(true).write(true).open(FUSE) {
            Ok(_) => None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Some((format!("this host has no {FUSE}"), remedy("load it with `modprobe fuse`")))
            }
            Err(error) => Some((
                format!("{FUSE} cannot be opened: {error}"),
                remedy(&format!("let this user read and write it (`chmod 666 {FUSE}`)")),
            )),
        }
    });
    lacking.map(|(lacks, remedy)| Unavailable { lacks, remedy })
}

fn directories(plan: &mut RootPlan) {
    for path in ["/usr/bin", "/usr/lib", "/usr/lib64", "/usr/local/bin", "/usr/share", "/var/lib", "/var/log", "/run"] {
        plan.directory(path, 0o755);
    }
    plan.symlink("/usr/sbin", "bin");
    for name in ["bin", "sbin", "lib", "lib64"] {
        plan.symlink(Path::new("/").join(name), Path::new("usr").join(name));
    }
    plan.symlink("/var/run", "/run").symlink("/var/lock", "/run/lock");
    plan.directory("/run/lock", 0o1777).directory("/tmp", 0o1777).directory("/var/tmp", 0o1777);
    plan.directory("/root", 0o700).directory("/home", 0o755).directory("/mnt", 0o755).directory(LAB, 0o755);
}

fn settings(plan: &mut RootPlan, driver: Option<&str>) {
    let hosts = format!("127.0.0.1\tlocalhost\n127.0.1.1\t{HOSTNAME}\n127.0.0.1\t{INDEX_HOST}\n");
    let driver = driver.map(|driver| format!(",\"storage-driver\":\"{driver}\"")).unwrap_or_default();
    let daemon = format!(
        "{{\"registry-mirrors\":[\"http://127.0.0.1:{REGISTRY_PORT}\"],\"insecure-registries\":[\"127.0.0.0/8\"],\
         \"max-download-attempts\":2{driver}}}\n"
    );
    let files = [
        ("/etc/passwd", PASSWD.to_owned()),
        ("/etc/group", GROUP.to_owned()),
        ("/etc/nsswitch.conf", NSSWITCH.to_owned()),
        ("/etc/hosts", hosts),
        ("/etc/hostname", format!("{HOSTNAME}\n")),
        ("/etc/resolv.conf", "nameserver 127.0.0.1\n".to_owned()),
        ("/etc/docker/daemon.json", daemon),
        ("/var/lib/rpm/packages", INSTALLED.to_owned()),
    ];
    for (path, content) in files {
        plan.file(path, content, 0o644);
    }
    plan.symlink("/etc/mtab", "/proc/self/mounts");
}

fn kernel_file_systems(plan: &mut RootPlan) {
    let inert = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    plan.mount("proc", "/proc", inert, "");
    plan.push(Node::Mount {
        path: "/sys".into(),
        kind: "sysfs".into(),
        flags: inert | MsFlags::MS_RDONLY,
        options: String::new(),
        or_graft: Some("/sys".into()),
    });
    plan.mount("tmpfs", "/dev", MsFlags::MS_NOSUID, "mode=755");
    for device in DEVICES {
        let path = Path::new("/dev").join(device);
        plan.share(&path, &path);
    }
    let terminals = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    plan.mount("devpts", "/dev/pts", terminals, "newinstance,ptmxmode=0666,mode=0620");
    plan.mount("tmpfs", "/dev/shm", MsFlags::MS_NOSUID | MsFlags::MS_NODEV, "mode=1777");
    plan.symlink("/dev/ptmx", "pts/ptmx").symlink("/dev/fd", "/proc/self/fd");
    for (number, name) in ["stdin", "stdout", "stderr"].iter().enumerate() {
        plan.symlink(Path::new("/dev").join(name), format!("/proc/self/fd/{number}"));
    }
}

fn install_tools(plan: &mut RootPlan, tools: &Tools) {
    let program = Path::new(LAB).join("guest");
    plan.show(&tools.program, &program);
    for name in &tools.names {
        plan.symlink(Path::new("/usr/bin").join(name), &program);
    }
}

/// Each library is shown once, though several programs may need it.
fn install_programs(plan: &mut RootPlan, programs: &[Program]) -> Result<(), LibraryError> {
    let mut libraries = BTreeSet::new();
    for program in programs {
        plan.show(&program.host, &program.lab);
        libraries.extend(libraries_of(&program.host)?);
    }
    for library in libraries {
        plan.show(&library, &library);
    }
    Ok(())
}
