//! Real podman as a page's `docker`: the host's program, shown in the lab with all it starts, and settings of its own.
//!
//! podman has no daemon and works on the files and the network of whoever calls it, so it runs on the lab's machine itself
//! and needs no annexe. It stores below /var/lib/containers, reads /etc/containers, and finds what it starts in /lab/podman.

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{FindError, Installation, Target, TargetError, Unavailable, Wanted};
use crate::lab::furnish::{Program, REGISTRY_PORT};
use crate::lab::machine::command;
use crate::lab::sandbox::Inside;

const HOME: &str = "/lab/podman";
const CLIENT: &str = "/usr/local/bin/docker";
const SETTINGS: &str = "/etc/containers";
const DATA_ROOT: &str = "/var/lib/containers";
/// Directories beside PATH in which distributions put what podman starts.
const MORE_PLACES: [&str; 5] =
    ["/usr/sbin", "/sbin", "/usr/libexec/podman", "/usr/lib/podman", "/usr/local/libexec/podman"];
const CNI_PLACES: [&str; 4] = ["/usr/lib/cni", "/usr/libexec/cni", "/opt/cni/bin", "/usr/local/lib/cni"];
/// The CNI plug-ins that podman's default network is made of.
const CNI_PLUGINS: [&str; 5] = ["bridge", "portmap", "firewall", "tuning", "host-local"];
/// Where iptables keeps the matches and targets it loads at run time.
const XTABLES_PLACES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/xtables",
    "/usr/lib/aarch64-linux-gnu/xtables",
    "/usr/lib64/xtables",
    "/usr/lib/xtables",
];
const RUNTIMES: [&str; 2] = ["crun", "runc"];

pub struct Podman;

impl Target for Podman {
    fn name(&self) -> &'static str {
        "podman"
    }

    fn find(&self, wanted: Wanted) -> Result<Box<dyn Installation>, FindError> {
        let unavailable =
            |lacks: &str, remedy: &str| Unavailable { lacks: lacks.to_owned(), remedy: remedy.to_owned() };
        if wanted.rootless {
            let why =
                unavailable("a podman of the lab's own needs root", "start the lab as root and without --rootless");
            return Err(FindError::Unavailable(why));
        }
        // podman has one overlay driver, much like Docker's overlay2; steps that look at the files of the older one are Docker's.
        let driver = match wanted.driver {
            "overlay2" | "overlay" => "overlay",
            "vfs" => "vfs",
            other => {
                let lacks = format!("podman has no equal of Docker's storage driver {other}");
                return Err(FindError::Unavailable(unavailable(&lacks, "run the page on docker or layerlab")));
            }
        };
        let path = env::var_os("PATH").unwrap_or_default();
        let places: Vec<PathBuf> = env::split_paths(&path).chain(MORE_PLACES.map(PathBuf::from)).collect();
        let found = find_in(&places, &CNI_PLACES.map(PathBuf::from), driver);
        found.map(|found| Box::new(found) as Box<dyn Installation>).map_err(FindError::Unavailable)
    }
}

/// What makes podman's networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Network {
    Cni,
    Netavark,
}

struct InstalledPodman {
    programs: Vec<Program>,
    runtime: &'static str,
    network: Network,
    driver: &'static str,
}

fn find_in(places: &[PathBuf], cni: &[PathBuf], driver: &'static str) -> Result<InstalledPodman, Unavailable> {
    let find = |places: &[PathBuf], name: &str| {
        let found = places.iter().map(|place| place.join(name)).find(|path| path.is_file())?;
        // What is a link on the host (iptables, by way of /etc/alternatives) is the program itself in the lab.
        Some(Program { host: fs::canonicalize(found).ok()?, lab: Path::new(HOME).join(name) })
    };
    let mut programs = Vec::new();
    let mut missing = Vec::new();
    let mut need = |found: Option<Program>, name: &str| match found {
        Some(program) => programs.push(program),
        None => missing.push(name.to_owned()),
    };
    for name in ["podman", "conmon", "iptables", "ip6tables"] {
        need(find(places, name), name);
    }
    let runtime = RUNTIMES.into_iter().find(|name| find(places, name).is_some()).unwrap_or("runc");
    need(find(places, runtime), runtime);
    let network = if find(places, "netavark").is_some() { Network::Netavark } else { Network::Cni };
    match network {
        Network::Netavark => need(find(places, "netavark"), "netavark"),
        Network::Cni => CNI_PLUGINS.iter().for_each(|name| need(find(cni, name), &format!("CNI plug-in {name}"))),
    }
    if missing.is_empty() {
        return Ok(InstalledPodman { programs, runtime, network, driver });
    }
    Err(Unavailable {
        lacks: format!("this host has no {}", missing.join(", no ")),
        remedy: "install podman (Debian and Ubuntu: apt-get install --no-install-recommends podman \
                 containernetworking-plugins runc iptables)"
            .into(),
    })
}

impl Installation for InstalledPodman {
    fn programs(&self) -> Vec<Program> {
        self.programs.clone()
    }

    fn directories(&self) -> Vec<PathBuf> {
        XTABLES_PLACES.map(PathBuf::from).into_iter().filter(|path| path.is_dir()).collect()
    }

    fn data_root(&self) -> &'static str {
        DATA_ROOT
    }

    fn cgroup(&self) -> bool {
        true
    }

    fn install(&mut self) -> Result<(), TargetError> {
        for (name, content) in self.settings() {
            let path = Path::new(SETTINGS).join(name);
            let made = fs::create_dir_all(SETTINGS).and_then(|()| fs::write(&path, content));
            made.map_err(|source| TargetError::Make { path, source })?;
        }
        fs::create_dir_all(DATA_ROOT).map_err(|source| TargetError::Make { path: DATA_ROOT.into(), source })?;
        if Path::new(CLIENT).symlink_metadata().is_ok() {
            return Ok(());
        }
        // As Debian's podman-docker has it, without its notice; the network's plug-ins look for iptables in PATH.
        let script = format!("#!/bin/sh\nPATH={HOME}:$PATH exec {HOME}/podman \"$@\"\n");
        let made = fs::write(CLIENT, script).and_then(|()| fs::set_permissions(CLIENT, Permissions::from_mode(0o755)));
        made.map_err(|source| TargetError::Make { path: CLIENT.into(), source })
    }

    /// There is no daemon; podman is asked about itself, which makes its storage and shows whether it works here.
    fn start(&mut self, _inside: &Inside) -> Result<(), TargetError> {
        let program = format!("{CLIENT} info");
        let output = command(CLIENT).arg("info").output();
        let output = output.map_err(|source| TargetError::Run { program: program.clone(), source })?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(TargetError::Failed { program, status: output.status.to_string(), said })
    }

    /// podman logs to whoever calls it only.
    fn engine_log(&self) -> String {
        String::new()
    }
}

impl InstalledPodman {
    /// The files of /etc/containers (containers.conf(5), containers-storage.conf(5), containers-registries.conf(5),
    /// containers-policy.json(5)). A name without a registry is docker.io's, and the lab's registry is its mirror.
    fn settings(&self) -> [(&'static str, String); 4] {
        let (runtime, driver) = (self.runtime, self.driver);
        let network = match self.network {
            Network::Cni => format!("network_backend = \"cni\"\ncni_plugin_dirs = [\"{HOME}\"]"),
            Network::Netavark => "network_backend = \"netavark\"".to_owned(),
        };
        let containers = format!(
            "[containers]\n\
             log_driver = \"k8s-file\"\n\n\
             [network]\n\
             {network}\n\n\
             [engine]\n\
             cgroup_manager = \"cgroupfs\"\n\
             events_logger = \"file\"\n\
             conmon_path = [\"{HOME}/conmon\"]\n\
             helper_binaries_dir = [\"{HOME}\"]\n\
             runtime = \"{runtime}\"\n\n\
             [engine.runtimes]\n\
             {runtime} = [\"{HOME}/{runtime}\"]\n"
        );
        let storage = format!(
            "[storage]\n\
             driver = \"{driver}\"\n\
             graphroot = \"{DATA_ROOT}/storage\"\n\
             runroot = \"/run/containers/storage\"\n"
        );
        let mirror = format!("127.0.0.1:{REGISTRY_PORT}");
        let registries = format!(
            "unqualified-search-registries = [\"docker.io\"]\n\
             short-name-mode = \"permissive\"\n\n\
             [[registry]]\n\
             location = \"docker.io\"\n\n\
             [[registry.mirror]]\n\
             location = \"{mirror}\"\n\
             insecure = true\n\n\
             [[registry]]\n\
             location = \"{mirror}\"\n\
             insecure = true\n"
        );
        let policy = "{\"default\":[{\"type\":\"insecureAcceptAnything\"}]}\n".to_owned();
        [
            ("containers.conf", containers),
            ("storage.conf", storage),
            ("registries.conf", registries),
            ("policy.json", policy),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_missing_program_and_plug_in_is_named_with_the_packages_that_have_them() {
        let empty = tempfile::tempdir().unwrap();
        let places = [empty.path().to_owned()];
        let unavailable = find_in(&places, &places, "overlay").err().unwrap();
        for name in ["podman", "conmon", "iptables", "runc", "CNI plug-in bridge", "CNI plug-in portmap"] {
            assert!(unavailable.lacks.contains(&format!("no {name}")), "{unavailable}");
        }
        assert!(unavailable.remedy.contains("containernetworking-plugins"), "{unavailable}");
    }

    #[test]
    fn what_podman_cannot_do_is_told_with_the_way_out() {
        let why = |rootless, driver| match Podman.find(Wanted { rootless, driver }) {
            Err(FindError::Unavailable(why)) => why.to_string(),
            _ => panic!("podman was found"),
        };
        assert!(why(true, "overlay2").contains("needs root"));
        assert!(why(false, "btrfs").contains("no equal of Docker's storage driver btrfs"));
    }
}
