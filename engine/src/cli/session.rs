//! One call of the command line: what was set by flags, environment and `daemon.json`, and the engine opened with it.
//!
//! A flag wins over the environment, that over `daemon.json`, and that over the default. `daemon.json` is dockerd's; what
//! it says of things this engine does not have is passed over.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::messages::{Failure, system_reason};
use crate::container::detach_keys::{self, DetachKeys};
use crate::container::{self, Engine, Settings};
use crate::registry::{RegistrySettings, Retries};
use crate::sys::reason::reason;

const PROGRAM_DIRECTORY: &str = "layerlab";

/// The options before the verb.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct GlobalOptions {
    /// Root directory of persistent state (default /var/lib/docker, or $XDG_DATA_HOME/layerlab of an ordinary user)
    #[arg(long, value_name = "string")]
    pub data_root: Option<PathBuf>,
    /// Root directory of running state (default /run/layerlab; of an ordinary user $XDG_RUNTIME_DIR/layerlab, else $TMPDIR/layerlab-UID)
    #[arg(long, value_name = "string")]
    pub exec_root: Option<PathBuf>,
    /// Configuration file of dockerd, read for what applies (default /etc/docker/daemon.json)
    #[arg(long, value_name = "string")]
    pub config_file: Option<PathBuf>,
    /// Storage driver to use
    #[arg(short = 's', long, value_name = "string")]
    pub storage_driver: Option<String>,
    /// Take images that need more owners than this user has, giving every file to one owner: ownership is lost, until the image is removed and taken anew
    #[arg(long)]
    pub squash_owners: bool,
}

/// What is read of `daemon.json`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, rename_all = "kebab-case")]
struct DaemonConfig {
    data_root: Option<PathBuf>,
    exec_root: Option<PathBuf>,
    storage_driver: Option<String>,
    registry_mirrors: Vec<String>,
    insecure_registries: Vec<String>,
    max_download_attempts: Option<u32>,
}

/// What the process finds around it.
pub struct Surroundings<'a> {
    pub is_root: bool,
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
}

/// A call of the command line.
#[derive(Clone, Debug)]
pub struct Session {
    pub data_root: PathBuf,
    pub exec_root: PathBuf,
    pub storage_driver: Option<String>,
    pub registry_mirrors: Vec<String>,
    pub insecure_registries: Vec<String>,
    max_download_attempts: Option<u32>,
    /// Docker's `config.json`.
    pub credentials: Option<PathBuf>,
    certificates: Option<PathBuf>,
    squash_owners: bool,
    pub is_root: bool,
    /// Whether somebody put this program in Docker's place and expects Docker's output and nothing more.
    pub is_called_docker: bool,
    /// This program itself, which also is every container's monitor.
    pub program: PathBuf,
}

impl Session {
    /// Brings together what was set where.
    pub fn new(options: GlobalOptions, surroundings: &Surroundings) -> Result<Session, Failure> {
        let daemon = daemon_config(options.config_file.as_deref(), surroundings)?;
        let variable = |name: &str| surroundings.path(name);
        let data_root = options.data_root.or_else(|| variable("LAYERLAB_DATA_ROOT")).or(daemon.data_root);
        let exec_root = options.exec_root.or_else(|| variable("LAYERLAB_EXEC_ROOT")).or(daemon.exec_root);
        let docker_config = variable("DOCKER_CONFIG").or_else(|| Some(variable("HOME")?.join(".docker")));
        Ok(Session {
            data_root: absolute(data_root.map_or_else(|| surroundings.default_data_root(), Ok)?)?,
            exec_root: absolute(exec_root.map_or_else(|| surroundings.default_exec_root(), Ok)?)?,
            storage_driver: options.storage_driver.or(daemon.storage_driver),
            registry_mirrors: daemon.registry_mirrors,
            insecure_registries: daemon.insecure_registries,
            max_download_attempts: daemon.max_download_attempts,
            credentials: docker_config.map(|directory| directory.join("config.json")),
            certificates: surroundings.certificates(),
            squash_owners: options.squash_owners,
            is_root: surroundings.is_root,
            is_called_docker: env::args_os().next().is_some_and(|name| Path::new(&name).ends_with("docker")),
            program: env::current_exe()
                .map_err(|error| Failure::new(format!("cannot find this program itself: {error}")))?,
        })
    }

    /// The keys that leave an attached terminal: those of a flag, else `detachKeys` of Docker's `config.json`, else Docker's.
    pub fn detach_keys(&self, flag: Option<&str>) -> Result<DetachKeys, Failure> {
        let set = || -> Option<String> {
            let config = fs::read(self.credentials.as_ref()?).ok()?;
            let config: serde_json::Value = serde_json::from_slice(&config).ok()?;
            Some(config.get("detachKeys")?.as_str()?.to_owned())
        };
        let keys = flag.map(str::to_owned).or_else(set).filter(|keys| !keys.is_empty());
        let keys = keys.as_deref().unwrap_or(detach_keys::DEFAULT).parse();
        keys.map_err(|error| Failure::new(format!("Error response from daemon: {error}")))
    }

    /// What this program is called by whoever calls it.
    pub fn program_name(&self) -> &'static str {
        if self.is_called_docker { "docker" } else { "layerlab" }
    }

    /// What the engine is opened with.
    pub fn settings(&self) -> Settings {
        let mut retries = Retries::default();
        retries.attempts_max = self.max_download_attempts.unwrap_or(retries.attempts_max);
        Settings {
            data_root: self.data_root.clone(),
            exec_root: self.exec_root.clone(),
            storage_driver: self.storage_driver.clone(),
            registry: RegistrySettings {
                mirrors: self.registry_mirrors.clone(),
                insecure: self.insecure_registries.clone(),
                credentials: self.credentials.clone(),
                certificates: self.certificates.clone(),
                retries,
            },
            squash_owners: self.squash_owners,
            program: self.program.clone(),
        }
    }

    /// The engine. An ordinary user is taken into the namespaces in which it works, so call this with one thread.
    pub fn engine(&self) -> Result<Engine, Failure> {
        let settings = self.settings();
        drop(container::enter_namespaces(&settings)?);
        Ok(Engine::open(settings)?)
    }

    /// The engine, for a command that is going to start a container.
    pub fn engine_to_start(&self) -> Result<Engine, Failure> {
        let settings = self.settings();
        let lock = container::enter_namespaces(&settings)?;
        let engine = Engine::open(settings)?;
        engine.keep_until_started(lock);
        Ok(engine)
    }
}

impl Surroundings<'_> {
    fn path(&self, name: &str) -> Option<PathBuf> {
        (self.variable)(name).filter(|value| !value.is_empty()).map(PathBuf::from)
    }

    fn default_data_root(&self) -> Result<PathBuf, Failure> {
        if self.is_root {
            return Ok(PathBuf::from("/var/lib/docker"));
        }
        let data_home = self.path("XDG_DATA_HOME").or_else(|| Some(self.path("HOME")?.join(".local/share")));
        let data_home =
            data_home.ok_or_else(|| Failure::new("neither HOME nor XDG_DATA_HOME is set; name a --data-root"))?;
        Ok(data_home.join(PROGRAM_DIRECTORY))
    }

    fn default_exec_root(&self) -> Result<PathBuf, Failure> {
        if self.is_root {
            return Ok(Path::new("/run").join(PROGRAM_DIRECTORY));
        }
        match self.path("XDG_RUNTIME_DIR") {
            Some(runtime) => Ok(runtime.join(PROGRAM_DIRECTORY)),
            None => private_directory(&self.path("TMPDIR").unwrap_or_else(|| PathBuf::from("/tmp"))),
        }
    }

    /// Where the authorities of registries are, which Docker takes from beside `daemon.json`.
    fn certificates(&self) -> Option<PathBuf> {
        Some(self.default_config_file()?.with_file_name("certs.d"))
    }

    fn default_config_file(&self) -> Option<PathBuf> {
        if self.is_root {
            return Some(PathBuf::from("/etc/docker/daemon.json"));
        }
        let config_home = self.path("XDG_CONFIG_HOME").or_else(|| Some(self.path("HOME")?.join(".config")))?;
        Some(config_home.join("docker/daemon.json"))
    }
}

/// A directory of this user alone below one that everybody shares, for a user whose session has no place for running state
/// (cron, su), as podman has it. Somebody else's directory of that name is refused. A cleaner of old temporary files
/// (tmpfiles.d(5)) may empty it under a container that has run for days; whoever has such should name an `--exec-root`.
fn private_directory(shared: &Path) -> Result<PathBuf, Failure> {
    let user = nix::unistd::geteuid();
    let path = shared.join(format!("{PROGRAM_DIRECTORY}-{user}"));
    let refused = |why: &str| {
        let path = path.display();
        Failure::new(format!("XDG_RUNTIME_DIR is not set, and {path} cannot be used: {why}; name an --exec-root"))
    };
    match fs::DirBuilder::new().mode(0o700).create(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(refused(&reason(&error))),
        _ => {}
    }
    let found = fs::symlink_metadata(&path).map_err(|error| refused(&reason(&error)))?;
    match found.is_dir() && found.uid() == user.as_raw() && found.mode() & 0o077 == 0 {
        true => Ok(path),
        false => Err(refused("it is not a directory that is yours alone")),
    }
}

/// Monitors work in another directory.
fn absolute(path: PathBuf) -> Result<PathBuf, Failure> {
    std::path::absolute(&path).map_err(|error| Failure::new(format!("cannot use {}: {error}", path.display())))
}

/// A file that nobody named may be missing, or be none of this user's business.
fn daemon_config(named: Option<&Path>, surroundings: &Surroundings) -> Result<DaemonConfig, Failure> {
    let Some(path) = named.map(Path::to_owned).or_else(|| surroundings.default_config_file()) else {
        return Ok(DaemonConfig::default());
    };
    let failed = |reason: String| {
        let path = path.display();
        Failure::new(format!(
            "unable to configure the engine with file {path}: {reason}; mend it, or name another with --config-file"
        ))
    };
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed(crate::image::go_json::reason(&error))),
        Err(error) if named.is_none() && is_out_of_reach(&error) => Ok(DaemonConfig::default()),
        Err(error) => Err(failed(system_reason(&error))),
    }
}

fn is_out_of_reach(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn session(options: GlobalOptions, is_root: bool, variables: &[(&str, &str)]) -> Result<Session, Failure> {
        let variable =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
        Session::new(options, &Surroundings { is_root, variable: &variable })
    }

    fn with_file(text: &str) -> (tempfile::NamedTempFile, GlobalOptions) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        let options = GlobalOptions { config_file: Some(file.path().to_owned()), ..GlobalOptions::default() };
        (file, options)
    }

    #[test]
    fn roots_default_to_where_docker_has_them_or_to_the_users_directories() {
        let (_file, options) = with_file("{}");
        let root = session(options.clone(), true, &[]).unwrap();
        assert_eq!(root.data_root, Path::new("/var/lib/docker"));
        assert_eq!(root.exec_root, Path::new("/run/layerlab"));
        let user = session(options.clone(), false, &[("HOME", "/home/u"), ("XDG_RUNTIME_DIR", "/run/user/7")]).unwrap();
        assert_eq!(user.data_root, Path::new("/home/u/.local/share/layerlab"));
        assert_eq!(user.exec_root, Path::new("/run/user/7/layerlab"));
    }

    #[test]
    fn without_a_runtime_directory_a_user_has_a_private_one_among_the_temporary_files() {
        let (_file, options) = with_file("{}");
        let shared = tempfile::tempdir().unwrap();
        let variables = [("HOME", "/home/u"), ("TMPDIR", shared.path().to_str().unwrap())];
        let path = shared.path().join(format!("layerlab-{}", nix::unistd::geteuid()));
        for _ in 0..2 {
            assert_eq!(session(options.clone(), false, &variables).unwrap().exec_root, path);
        }
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let failure = session(options, false, &variables).unwrap_err();
        assert!(failure.text.contains("yours alone") && failure.text.contains("--exec-root"), "{failure:?}");
    }

    #[test]
    fn a_flag_wins_over_the_environment_and_that_over_the_file() {
        let (_file, options) = with_file(
            r#"{"data-root":"/file","exec-root":"/x","storage-driver":"vfs","registry-mirrors":["http://m"],"bip":1}"#,
        );
        let from_file = session(options.clone(), true, &[]).unwrap();
        assert_eq!(
            (from_file.data_root.as_path(), from_file.exec_root.as_path()),
            (Path::new("/file"), Path::new("/x"))
        );
        assert_eq!(from_file.settings().registry.mirrors, ["http://m"]);
        let environment = [("LAYERLAB_DATA_ROOT", "/env")];
        assert_eq!(session(options.clone(), true, &environment).unwrap().data_root, Path::new("/env"));
        let flag = GlobalOptions { data_root: Some("/flag".into()), ..options.clone() };
        assert_eq!(session(flag, true, &environment).unwrap().data_root, Path::new("/flag"));
        assert_eq!(from_file.storage_driver.as_deref(), Some("vfs"));
        let flag = GlobalOptions { storage_driver: Some("overlay2".into()), ..options };
        assert_eq!(session(flag, true, &[]).unwrap().storage_driver.as_deref(), Some("overlay2"));
    }

    #[test]
    fn a_broken_or_missing_file_is_named() {
        let (file, options) = with_file("{");
        let failure = session(options, true, &[]).unwrap_err();
        assert!(failure.text.contains(&file.path().display().to_string()), "{failure:?}");
        let options = GlobalOptions { config_file: Some("/nosuch/daemon.json".into()), ..GlobalOptions::default() };
        assert!(session(options, true, &[]).unwrap_err().text.contains("/nosuch/daemon.json"));
    }
}
