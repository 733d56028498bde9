//! Real dockerd as a page's engine: a daemon of its own inside the lab, made of the host's programs.
//!
//! The page sees the lab's machine and the client only. The daemon runs in the annexe, a mount namespace that has the
//! host's /usr (read-only) and shares /etc/docker, /run, /tmp and /var with the lab, so that its socket, its data root
//! and every container's `merged` mount are where the page looks for them.

use std::env;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{FindError, Installation, Target, TargetError, Unavailable, Wanted, install_as_docker};
use crate::lab::furnish::Program;
use crate::lab::machine::command;
use crate::lab::root::RootPlan;
use crate::lab::sandbox::{Annexe, Inside};

/// The client, in the lab.
pub const CLIENT: &str = "/lab/docker";
const LOG: &str = "/var/log/dockerd.log";
const DAEMON_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const ANSWER_SECONDS: u64 = 60;
/// What dockerd may take to end its containers and itself.
const END_SECONDS: u64 = 60;
/// What dockerd starts by name, beside the daemon itself.
const HELPERS: [&str; 5] = ["containerd", "containerd-shim-runc-v2", "runc", "docker-proxy", "iptables"];
/// Directories beside PATH in which distributions put those.
const MORE_PLACES: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/libexec/docker", "/usr/lib/docker"];
/// The host's directories with programs and libraries.
const HOST_DIRECTORIES: [&str; 9] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "nix", "gnu"];
/// What programs of the host look up in /etc.
const HOST_SETTINGS: [&str; 4] = ["/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d"];
const SHARED_WITH_LAB: [&str; 8] = ["/etc/docker", "/etc/ssl", "/var", "/run", "/tmp", "/proc", "/sys", "/dev"];

pub struct Docker;

impl Target for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn find(&self, wanted: Wanted) -> Result<Box<dyn Installation>, FindError> {
        if wanted.rootless {
            let lacks = "a dockerd of the lab's own needs root".to_owned();
            let remedy = "start the lab as root and without --rootless".to_owned();
            return Err(FindError::Unavailable(Unavailable { lacks, remedy }));
        }
        let path = env::var_os("PATH").unwrap_or_default();
        let places: Vec<PathBuf> = env::split_paths(&path).chain(MORE_PLACES.map(PathBuf::from)).collect();
        find_in(&places).map(|found| Box::new(found) as Box<dyn Installation>).map_err(FindError::Unavailable)
    }
}

fn find_in(places: &[PathBuf]) -> Result<InstalledDocker, Unavailable> {
    let all = |name: &str| -> Vec<PathBuf> {
        places.iter().map(|place| place.join(name)).filter(|path| path.is_file()).collect()
    };
    let mut missing: Vec<&str> = HELPERS.into_iter().filter(|name| all(name).is_empty()).collect();
    let daemon = all("dockerd").into_iter().next();
    let client = daemon.as_deref().and_then(|daemon| client_of(daemon, &all("docker")));
    if daemon.is_none() {
        missing.insert(0, "dockerd");
    }
    if client.is_none() && all("docker").is_empty() {
        missing.push("docker");
    }
    match (daemon, client) {
        (Some(daemon), Some(client)) if missing.is_empty() => Ok(InstalledDocker { daemon, client, running: None }),
        _ => Err(Unavailable {
            lacks: format!("this host has no {}", missing.join(", no ")),
            remedy: "install Docker (Debian and Ubuntu: apt-get install --no-install-recommends docker.io iptables)"
                .into(),
        }),
    }
}

/// The client that came with the daemon: the first of the same version, since a client's words change with its
/// version, or else the first.
fn client_of(daemon: &Path, clients: &[PathBuf]) -> Option<PathBuf> {
    let wanted = version_of(daemon);
    let twin = clients.iter().find(|client| wanted.is_some() && version_of(client) == wanted);
    twin.or_else(|| clients.first()).cloned()
}

/// `20.10.24+dfsg1` of "Docker version 20.10.24+dfsg1, build 297e128".
fn version_of(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_once("version ")?.1.split([',', '\n']).next().map(str::to_owned)
}

struct InstalledDocker {
    daemon: PathBuf,
    client: PathBuf,
    running: Option<Child>,
}

impl Installation for InstalledDocker {
    fn programs(&self) -> Vec<Program> {
        vec![Program { host: self.client.clone(), lab: CLIENT.into() }]
    }

    fn annexe(&self) -> Option<Annexe> {
        Some(Annexe { from_host: from_host(), from_lab: from_lab() })
    }

    fn cgroup(&self) -> bool {
        true
    }

    fn install(&mut self) -> Result<(), TargetError> {
        install_as_docker(Path::new(CLIENT))
    }

    fn start(&mut self, inside: &Inside) -> Result<(), TargetError> {
        let mut daemon = self.launch(inside)?;
        let answered = self.wait_for_answer(&mut daemon);
        self.running = Some(daemon);
        answered
    }

    /// As `systemctl stop docker` does.
    fn stop(&mut self) -> Result<(), TargetError> {
        let Some(mut daemon) = self.running.take() else { return Ok(()) };
        let program = self.daemon.display().to_string();
        let failed = |source: io::Error| TargetError::Run { program: program.clone(), source };
        kill(Pid::from_raw(daemon.id().cast_signed()), Signal::SIGTERM).map_err(|errno| failed(errno.into()))?;
        let deadline = Instant::now() + Duration::from_secs(END_SECONDS);
        while Instant::now() < deadline {
            if daemon.try_wait().map_err(failed)?.is_some() {
                return Ok(());
            }
            sleep(Duration::from_millis(20));
        }
        self.running = Some(daemon);
        Err(TargetError::Restless { program, seconds: END_SECONDS, log: self.engine_log() })
    }

    fn engine_log(&self) -> String {
        fs::read_to_string(LOG).unwrap_or_default()
    }
}

impl InstalledDocker {
    fn launch(&self, inside: &Inside) -> Result<Child, TargetError> {
        let make = |source| TargetError::Make { path: LOG.into(), source };
        let log = File::options().create(true).append(true).open(LOG).map_err(make)?;
        let errors = log.try_clone().map_err(make)?;
        let annexe = inside.annexe_fd();
        let mut daemon = command(&self.daemon);
        daemon.env("PATH", DAEMON_PATH).stdin(Stdio::null()).stdout(log).stderr(errors);
        // SAFETY: between fork and exec only system calls are made.
        unsafe {
            daemon.pre_exec(move || {
                libc::setsid();
                match annexe {
                    Some(annexe) if libc::setns(annexe, libc::CLONE_NEWNS) != 0 => Err(io::Error::last_os_error()),
                    _ => Ok(()),
                }
            });
        }
        daemon.spawn().map_err(|source| TargetError::Run { program: self.daemon.display().to_string(), source })
    }

    fn wait_for_answer(&self, daemon: &mut Child) -> Result<(), TargetError> {
        let deadline = Instant::now() + Duration::from_secs(ANSWER_SECONDS);
        let program = || self.daemon.display().to_string();
        while Instant::now() < deadline {
            if let Ok(Some(status)) = daemon.try_wait() {
                let (status, said) = (status.to_string(), self.engine_log());
                return Err(TargetError::Failed { program: program(), status, said });
            }
            let asked = command(CLIENT).arg("version").stdin(Stdio::null()).output();
            if asked.map_err(|source| TargetError::Run { program: CLIENT.into(), source })?.status.success() {
                return Ok(());
            }
            sleep(Duration::from_millis(100));
        }
        Err(TargetError::Silent { program: program(), seconds: ANSWER_SECONDS, log: self.engine_log() })
    }
}

fn from_host() -> RootPlan {
    let mut plan = RootPlan::default();
    for name in HOST_DIRECTORIES {
        let path = Path::new("/").join(name);
        match path.symlink_metadata() {
            Ok(meta) if meta.is_symlink() => {
                plan.symlink(&path, fs::read_link(&path).unwrap_or_default());
            }
            Ok(meta) if meta.is_dir() => {
                plan.show(&path, &path);
            }
            _ => {}
        }
    }
    for path in HOST_SETTINGS.iter().filter(|path| Path::new(path).exists()) {
        plan.show(*path, *path);
    }
    plan
}

fn from_lab() -> RootPlan {
    let mut plan = RootPlan::default();
    for path in SHARED_WITH_LAB {
        plan.share(path, path);
    }
    for name in ["passwd", "group", "hosts", "hostname", "nsswitch.conf", "resolv.conf"] {
        let path = Path::new("/etc").join(name);
        plan.share(&path, &path);
    }
    plan.directory("/root", 0o700);
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_missing_program_is_named_with_the_package_that_has_it() {
        let empty = tempfile::tempdir().unwrap();
        let unavailable = find_in(&[empty.path().to_owned()]).err().unwrap();
        for name in ["dockerd", "containerd", "runc", "iptables", "docker"] {
            assert!(unavailable.lacks.contains(&format!("no {name}")), "{unavailable}");
        }
        assert!(unavailable.remedy.contains("docker.io"), "{unavailable}");
    }

    #[test]
    fn an_ordinary_user_is_told_that_dockerd_needs_root() {
        let found = Docker.find(Wanted { rootless: true, driver: "overlay2" });
        assert!(matches!(found, Err(FindError::Unavailable(why)) if why.lacks.contains("needs root")));
    }
}
