//! The options that `run` and `create` share, and the container that they describe.

use std::collections::{BTreeMap, HashSet};
use std::env;

use super::arguments::{label, variable, whole_number};
use super::messages::{Failure, run_refused};
use super::trust::Trust;
use super::{mounts, ports, pulling};
use crate::container::config::{HostConfig, MountSpec, PortMap};
use crate::container::{Container, CreateSpec, Engine, EngineError};
use crate::image::config::Empty;
use crate::image::reference::ReferenceError;
use crate::image::{Digest, Reference, RunConfig};

/// Flags of both verbs; they end at the image.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct RunOptions {
    /// Overwrite the default ENTRYPOINT of the image
    #[arg(long, value_name = "string")]
    entrypoint: Option<String>,
    /// Set environment variables
    #[arg(short, long, value_name = "list", value_parser = variable)]
    env: Vec<String>,
    /// Container host name
    #[arg(short = 'h', long, value_name = "string")]
    hostname: Option<String>,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    pub interactive: bool,
    /// Set meta data on a container
    #[arg(short, long, value_name = "list", value_parser = label)]
    label: Vec<String>,
    /// Assign a name to the container
    #[arg(long, value_name = "string")]
    name: Option<String>,
    /// Connect a container to a network
    #[arg(long, alias = "net", value_name = "network")]
    network: Option<String>,
    /// Publish a container's port(s) to the host
    #[arg(short, long, value_name = "list")]
    publish: Vec<String>,
    /// Automatically remove the container when it exits
    #[arg(long)]
    rm: bool,
    /// Signal to stop a container
    #[arg(long, value_name = "string")]
    stop_signal: Option<String>,
    /// Timeout (in seconds) to stop a container
    #[arg(long, value_name = "int", value_parser = whole_number, allow_hyphen_values = true)]
    stop_timeout: Option<i64>,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    pub tty: bool,
    /// Attach a filesystem mount to the container
    #[arg(long, value_name = "mount", value_parser = mounts::mount)]
    mount: Vec<MountSpec>,
    /// Bind mount a volume
    #[arg(short, long, value_name = "list")]
    volume: Vec<String>,
    /// Username or UID (format: <name|uid>[:<group|gid>])
    #[arg(short, long, value_name = "string")]
    user: Option<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "string")]
    workdir: Option<String>,
    #[command(flatten)]
    trust: Trust,
    image: Option<String>,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

impl RunOptions {
    /// What the engine is to make. `is_detached`: nobody attaches when it starts. The error is a reason without prefix.
    pub fn spec(&self, is_detached: bool) -> Result<CreateSpec, String> {
        let mut port_bindings = PortMap::new();
        self.publish.iter().try_for_each(|port| ports::publish(port, &mut port_bindings).map_err(|e| e.to_string()))?;
        // Docker's client keeps them in a map: what is said twice counts once.
        let mut said = HashSet::new();
        let volumes = self.volume.iter().filter(|volume| said.insert(*volume)).cloned();
        let (anonymous, binds): (Vec<String>, Vec<String>) = volumes.partition(|volume| mounts::is_anonymous(volume));
        let run = RunConfig {
            hostname: self.hostname.clone().unwrap_or_default(),
            user: self.user.clone().unwrap_or_default(),
            attach_stdin: self.interactive && !is_detached,
            attach_stdout: !is_detached,
            attach_stderr: !is_detached,
            exposed_ports: ports::exposed(&port_bindings),
            tty: self.tty,
            open_stdin: self.interactive,
            stdin_once: self.interactive && !is_detached,
            env: Some(environment(&self.env, |name| env::var(name).ok())),
            cmd: (!self.command.is_empty()).then(|| self.command.clone()),
            image: self.image().to_owned(),
            working_dir: self.workdir.clone().unwrap_or_default(),
            entrypoint: self.entrypoint.clone().map(|program| vec![program]),
            labels: Some(self.labels()),
            stop_signal: self.stop_signal.clone().unwrap_or_default(),
            stop_timeout: self.stop_timeout,
            volumes: (!anonymous.is_empty()).then(|| anonymous.into_iter().map(|place| (place, Empty {})).collect()),
            ..RunConfig::default()
        };
        let mut host = HostConfig {
            port_bindings,
            auto_remove: self.rm,
            binds: (!binds.is_empty()).then_some(binds),
            mounts: self.mount.clone(),
            ..HostConfig::default()
        };
        if let Some(network) = &self.network {
            if network.is_empty() {
                return Err("no name set for network".to_owned());
            }
            host.network_mode.clone_from(network);
        }
        let name = self.name.clone().filter(|name| !name.is_empty());
        Ok(CreateSpec { image: self.image().to_owned(), name, run, host })
    }

    fn image(&self) -> &str {
        self.image.as_deref().unwrap_or_default()
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let pair = |label: &String| {
            let (key, value) = label.split_once('=').unwrap_or((label, ""));
            (key.to_owned(), value.to_owned())
        };
        self.label.iter().map(pair).collect()
    }

    /// Makes the container, pulling its image when it is not there. Warnings are shown.
    pub fn create(&self, verb: &str, engine: &Engine, is_detached: bool) -> Result<Container, CreateError> {
        let spec = self.spec(is_detached).map_err(|reason| CreateError::Wrong(run_refused(verb, &reason)))?;
        let reference = reference_of(&spec.image).map_err(|error| CreateError::Refused(error.to_string()))?;
        self.trust.refuse().map_err(|reason| CreateError::Refused(format!("Error: {reason}")))?;
        let (container, warnings) = match (engine.create(spec.clone()), reference) {
            (Err(EngineError::NoSuchImage(_)), Some(reference)) => {
                pulling::pull_missing(engine, &reference)?;
                engine.create(spec).map_err(Failure::from)?
            }
            (created, _) => created.map_err(Failure::from)?,
        };
        for warning in warnings {
            eprintln!("WARNING: {warning}");
        }
        Ok(container)
    }
}

/// Why there is no container: `run` and `create` differ in how they say it.
#[derive(Debug)]
pub enum CreateError {
    /// The options make no sense: both say it alike.
    Wrong(Failure),
    /// The image cannot be had, or the engine refuses.
    Refused(String),
}

impl From<Failure> for CreateError {
    fn from(failure: Failure) -> CreateError {
        CreateError::Refused(failure.text)
    }
}

/// The reference that can be pulled; none for an image's ID.
fn reference_of(image: &str) -> Result<Option<Reference>, ReferenceError> {
    let is_id = image.parse::<Digest>().is_ok() || Digest::from_hex(image).is_ok();
    if is_id { Ok(None) } else { Reference::parse(image).map(Some) }
}

/// `NAME=value` as given, `NAME` with the caller's value, or left out if the caller has none.
pub fn environment(entries: &[String], caller: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let resolve = |entry: &String| match entry.contains('=') {
        true => Some(entry.clone()),
        false => caller(entry).map(|value| format!("{entry}={value}")),
    };
    entries.iter().filter_map(resolve).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_takes_the_callers_value() {
        let given = ["A=1", "HOME", "UNSET", "B="].map(str::to_owned);
        let home = |name: &str| (name == "HOME").then(|| "/h".to_owned());
        assert_eq!(environment(&given, home), ["A=1", "HOME=/h", "B="]);
        assert_eq!(variable("=x").unwrap_err(), "invalid environment variable: =x");
    }

    #[test]
    fn options_become_what_docker_records() {
        let options = RunOptions {
            publish: vec!["8080:80".to_owned()],
            label: vec!["a=b".to_owned()],
            image: Some("httpd".to_owned()),
            ..RunOptions::default()
        };
        let detached = options.spec(true).unwrap();
        assert!(!detached.run.attach_stdout && detached.run.exposed_ports.contains_key("80/tcp"));
        assert_eq!(detached.host.network_mode, "default");
        assert_eq!((detached.run.cmd, detached.run.image.as_str()), (None, "httpd"));
        let attached =
            RunOptions { interactive: true, network: Some("none".to_owned()), ..options }.spec(false).unwrap();
        assert!(attached.run.attach_stdout && attached.run.stdin_once && attached.run.open_stdin);
        assert_eq!(attached.host.network_mode, "none");
    }

    #[test]
    fn an_id_is_never_pulled() {
        assert!(reference_of(&format!("sha256:{}", "0".repeat(64))).unwrap().is_none());
        assert_eq!(reference_of("httpd").unwrap().unwrap().familiar(), "httpd");
        assert!(reference_of("UPPER").is_err());
    }
}
