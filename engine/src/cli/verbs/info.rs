//! `docker info`: what this engine has and where. What Docker says of parts we do not have is left out.

use std::fmt::Write;
use std::fs;
use std::thread::available_parallelism;

use clap::{CommandFactory, Parser};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{BAD_TEMPLATE, Failure, SUCCESS, print, print_line};
use crate::cli::session::Session;
use crate::cli::template::{Subject, Template};
use crate::cli::units;
use crate::container::{Availability, Choice, Engine};

pub static VERB: Verb = Verb {
    names: &["info"],
    synopsis: "[OPTIONS]",
    about: "Display system-wide information",
    arguments: Count::None,
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

const OS_RELEASE: &str = "/etc/os-release";
/// What dockerd says of the legacy driver.
const DEPRECATED_DRIVER: &str =
    "WARNING: the overlay storage-driver is deprecated, and will be removed in a future release.";
/// Where images without the name of a registry are searched, and logged in to.
const INDEX: &str = "https://index.docker.io/v1/";
const UNKNOWN_SYSTEM: &str = "Linux";

#[derive(Parser)]
struct Options {
    /// Format the output using the given Go template
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let format = options.format.filter(|format| !format.is_empty());
    let template = format.map(|format| Template::parse(&format)).transpose();
    let template = template.map_err(|error| Failure::with_code(error.to_string(), BAD_TEMPLATE))?;
    let facts = Facts::gather(session, &session.engine()?)?;
    match template {
        None => {
            print(&facts.text())?;
            if facts.driver == "overlay" {
                eprintln!("{DEPRECATED_DRIVER}");
            }
        }
        Some(template) => {
            let text = template.render(&facts.document(), Subject::Struct("system.info"));
            // Docker has begun its line by then.
            print_line(text.as_deref().unwrap_or_default())?;
            text.map_err(|error| Failure::new(error.reason()))?;
        }
    }
    Ok(SUCCESS)
}

struct Facts {
    running: usize,
    paused: usize,
    stopped: usize,
    images: usize,
    driver: &'static str,
    driver_status: Vec<(&'static str, String)>,
    kernel: String,
    operating_system: String,
    machine: String,
    processors: usize,
    memory_bytes: u64,
    host: String,
    data_root: String,
    is_rootless: bool,
    mirrors: Vec<String>,
    insecure: Vec<String>,
    /// Each known storage driver and what to say of it; empty for `docker`, which has no such lines.
    known_drivers: Vec<(&'static str, String)>,
}

impl Facts {
    fn gather(session: &Session, engine: &Engine) -> Result<Facts, Failure> {
        let containers = engine.containers()?;
        let count = |wanted: &[&str]| containers.iter().filter(|c| wanted.contains(&c.config.state.status())).count();
        let (driver, driver_status) = engine.driver_info();
        let (running, paused) = (count(&["running", "restarting"]), count(&["paused"]));
        let system = rustix::system::uname();
        let memory = rustix::system::sysinfo();
        let text = |bytes: &std::ffi::CStr| bytes.to_string_lossy().into_owned();
        Ok(Facts {
            running,
            paused,
            stopped: containers.len() - running - paused,
            images: engine.images()?.len(),
            driver,
            driver_status,
            kernel: text(system.release()),
            operating_system: operating_system(&fs::read_to_string(OS_RELEASE).unwrap_or_default()),
            machine: text(system.machine()),
            processors: available_parallelism().map_or(1, usize::from),
            memory_bytes: memory.totalram as u64 * u64::from(memory.mem_unit),
            host: text(system.nodename()),
            data_root: session.data_root.display().to_string(),
            is_rootless: !session.is_root,
            mirrors: session.registry_mirrors.iter().map(|url| format!("{}/", url.trim_end_matches('/'))).collect(),
            insecure: session.insecure_registries.clone(),
            known_drivers: if session.is_called_docker {
                Vec::new()
            } else {
                let known = engine.known_drivers().into_iter();
                known
                    .map(|(name, found)| (name, availability(&found, (name == driver).then(|| engine.driver_choice()))))
                    .collect()
            },
        })
    }

    fn text(&self) -> String {
        let mut text = "Client:\n Debug Mode: false\n\nServer:\n".to_owned();
        let mut line = |name: &str, value: &dyn std::fmt::Display| {
            // Writing to a String does not fail.
            let _ = writeln!(text, " {name}: {value}");
        };
        line("Containers", &(self.running + self.paused + self.stopped));
        line(" Running", &self.running);
        line(" Paused", &self.paused);
        line(" Stopped", &self.stopped);
        line("Images", &self.images);
        line("Server Version", &crate::VERSION);
        line("Storage Driver", &self.driver);
        self.driver_status.iter().for_each(|(name, value)| line(&format!(" {name}"), value));
        line("Logging Driver", &"json-file");
        if self.is_rootless {
            line("Security Options", &"\n  rootless");
        }
        line("Kernel Version", &self.kernel);
        line("Operating System", &self.operating_system);
        line("OSType", &std::env::consts::OS);
        line("Architecture", &self.machine);
        line("CPUs", &self.processors);
        line("Total Memory", &units::binary_size(self.memory_bytes));
        line("Name", &self.host);
        line("Docker Root Dir", &self.data_root);
        line("Debug Mode", &false);
        for (name, values) in [("Insecure Registries", &self.insecure), ("Registry Mirrors", &self.mirrors)] {
            if !values.is_empty() {
                line(name, &values.iter().map(|value| format!("\n  {value}")).collect::<String>());
            }
        }
        if !self.known_drivers.is_empty() {
            let lines = self.known_drivers.iter().map(|(name, found)| format!("\n  {name}: {found}"));
            line("Storage Drivers", &lines.collect::<String>());
        }
        text.push('\n');
        text.replace(": \n", ":\n")
    }

    fn document(&self) -> Value {
        let options: &[&str] = if self.is_rootless { &["name=rootless"] } else { &[] };
        let mut document = json!({
            "Containers": self.running + self.paused + self.stopped,
            "ContainersRunning": self.running,
            "ContainersPaused": self.paused,
            "ContainersStopped": self.stopped,
            "Images": self.images,
            "Driver": self.driver,
            "DriverStatus": self.driver_status,
            "Debug": false,
            "LoggingDriver": "json-file",
            "KernelVersion": self.kernel,
            "OperatingSystem": self.operating_system,
            "OSType": std::env::consts::OS,
            "Architecture": self.machine,
            "RegistryConfig": {"Mirrors": self.mirrors, "InsecureRegistries": self.insecure},
            "NCPU": self.processors,
            "MemTotal": self.memory_bytes,
            "DockerRootDir": self.data_root,
            "Name": self.host,
            "ServerVersion": crate::VERSION,
            "SecurityOptions": options,
        });
        if let (Some(fields), Value::Object(unvaried)) = (document.as_object_mut(), unvaried()) {
            fields.extend(unvaried);
        }
        document
    }
}

/// What is the same of every engine of this kind: what dockerd can be told to do, and this one does not do.
fn unvaried() -> Value {
    json!({
        "Plugins": {"Volume": ["local"], "Network": ["bridge", "host", "null"], "Authorization": null, "Log": ["json-file"]},
        // No container of this engine is limited.
        "MemoryLimit": false,
        "SwapLimit": false,
        "KernelMemory": false,
        "CPUShares": false,
        "CPUSet": false,
        "PidsLimit": false,
        "OomKillDisable": false,
        "CgroupDriver": "none",
        "CgroupVersion": "1",
        "SystemTime": Timestamp::now().to_string(),
        "NEventsListener": 0,
        "IndexServerAddress": INDEX,
        "NoProxy": "",
        "Labels": [],
        "ExperimentalBuild": false,
        "ClusterStore": "",
        "ClusterAdvertise": "",
        "DefaultRuntime": "runc",
        "Swarm": {"NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": false, "Error": "", "RemoteManagers": null},
        "LiveRestoreEnabled": false,
        "Isolation": "",
        "ProductLicense": "",
        "GenericResources": [],
        "DefaultAddressPools": [],
        "Warnings": [],
    })
}

/// What is said of a storage driver on this machine, and of the one in use, why it is.
fn availability(found: &Availability, choice: Option<Choice>) -> String {
    let used = choice.map(|choice| format!("; in use: {choice}")).unwrap_or_default();
    let found = match found {
        Availability::Supported(remark) if remark.is_empty() => "supported".to_owned(),
        Availability::Supported(remark) => format!("supported ({remark})"),
        Availability::NotSupported(reason) => format!("not supported: {reason}"),
    };
    found + &used
}

/// The name that `os-release` has for people (`man 5 os-release`).
fn operating_system(os_release: &str) -> String {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or(UNKNOWN_SYSTEM, |name| name.trim_matches(['"', '\''])).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_dockers_shape() {
        let facts = Facts {
            running: 1,
            paused: 0,
            stopped: 2,
            images: 3,
            driver: "overlay2",
            driver_status: vec![("Backing Filesystem", "extfs".to_owned()), ("userxattr", "false".to_owned())],
            kernel: "6.18.44".to_owned(),
            operating_system: operating_system("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
            machine: "x86_64".to_owned(),
            processors: 2,
            memory_bytes: 25_274_793_984,
            host: "vm".to_owned(),
            data_root: "/var/lib/docker".to_owned(),
            is_rootless: true,
            mirrors: vec!["http://127.0.0.1:5000/".to_owned()],
            insecure: Vec::new(),
            known_drivers: vec![(
                "overlay2",
                availability(&Availability::Supported(String::new()), Some(Choice::Prior)),
            )],
        };
        let version = crate::VERSION;
        let expected = format!(
            "\
Client:
 Debug Mode: false

Server:
 Containers: 3
  Running: 1
  Paused: 0
  Stopped: 2
 Images: 3
 Server Version: {version}
 Storage Driver: overlay2
  Backing Filesystem: extfs
  userxattr: false
 Logging Driver: json-file
 Security Options:
  rootless
 Kernel Version: 6.18.44
 Operating System: Debian GNU/Linux 12 (bookworm)
 OSType: linux
 Architecture: x86_64
 CPUs: 2
 Total Memory: 23.54GiB
 Name: vm
 Docker Root Dir: /var/lib/docker
 Debug Mode: false
 Registry Mirrors:
  http://127.0.0.1:5000/
 Storage Drivers:
  overlay2: supported; in use: its layers lie in the data root

"
        );
        assert_eq!(facts.text(), expected);
        assert_eq!(facts.document()["DriverStatus"][0][1], "extfs");
    }
}
