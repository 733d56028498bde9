//! What a container has of the network: its place in it, its published ports, and the files that tell programs of both.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::Ipv4Addr;

use nix::unistd::Pid;

use super::bridge::{self, Bridge, Place};
use super::config::ContainerConfig;
use super::create::network_name;
use super::error::failed;
use super::launch::Network;
use super::publish::{self, Published};
use super::rootfs::Bind;
use super::{Container, Engine, EngineError};
use crate::image::Digest;
use crate::store::Lock;

/// What Docker takes when the host's own name servers cannot be reached from a container.
const PUBLIC_NAME_SERVERS: &str = "nameserver 8.8.8.8\nnameserver 8.8.4.4\n";
/// The lowest address of the network that a container has on its loopback device, where there can be no bridge.
const FIRST_LONE_ADDRESS: u32 = 0xac11_0002;

/// The network that a container is about to be started with.
pub(super) struct Connection {
    /// What its first process is to arrange.
    pub network: Network,
    bridge: Option<(Bridge, Place)>,
}

impl Connection {
    /// Connects the container whose first process, which waits, is `container`.
    pub(super) fn connect(&self, id: &str, container: Pid) -> io::Result<()> {
        self.bridge.as_ref().map_or(Ok(()), |(bridge, place)| bridge.connect(id, container, place))
    }

    /// Forwards what arrives at the published ports to the container.
    pub(super) fn forward(&self, published: Vec<Published>, container: Pid) {
        match self.network {
            Network::Bridged(place) => publish::forward(published, None, place.address),
            Network::Own(address) => publish::forward(published, Some(container), address),
            Network::None | Network::Host | Network::Joined(_) => {}
        }
    }
}

/// The container whose network a container with this network mode has: `container:NAME`.
pub(super) fn joined(mode: &str) -> Option<&str> {
    mode.strip_prefix("container:")
}

impl Engine {
    /// Finds a container's place in the network it asks for.
    pub(super) fn choose_network(&self, container: &Container) -> Result<Connection, EngineError> {
        if let Some(other) = joined(&container.host.network_mode) {
            let other = self.container(other)?;
            if !other.config.state.running {
                return Err(EngineError::JoinStopped(other.id));
            }
            let network = Network::Joined(Pid::from_raw(other.config.state.pid));
            return Ok(Connection { network, bridge: None });
        }
        match network_name(&container.host.network_mode)? {
            "host" => Ok(Connection { network: Network::Host, bridge: None }),
            "none" => Ok(Connection { network: Network::None, bridge: None }),
            _ => self.take_address(&container.id),
        }
    }

    /// Gives the container the first address that no other has, on the bridge where there can be one.
    fn take_address(&self, id: &str) -> Result<Connection, EngineError> {
        let _lock = self.store.lock()?;
        let bridge = Bridge::open().map_err(|error| EngineError::Start {
            text: format!("failed to create endpoint on network bridge: {error}"),
            exit_code: 125,
        })?;
        let taken: HashSet<String> = self
            .containers()?
            .into_iter()
            .filter(|container| container.id != id)
            .flat_map(|container| container.config.network_settings.networks.into_values())
            .map(|network| network.ip_address)
            .collect();
        let is_free = |address: &Ipv4Addr| !taken.contains(&address.to_string());
        let address = match &bridge {
            Some(bridge) => bridge.addresses().find(is_free),
            None => (FIRST_LONE_ADDRESS..FIRST_LONE_ADDRESS + 0xfff0).map(Ipv4Addr::from).find(is_free),
        };
        let address = address.ok_or_else(|| EngineError::Start {
            text: "no available IPv4 addresses on this network's address pools: bridge".to_owned(),
            exit_code: 125,
        })?;
        let bridge = bridge.map(|bridge| (bridge, bridge.place(address)));
        let network_id = Digest::of(format!("bridge of {}", self.store.data_root().display()).as_bytes());
        let (endpoint_id, sandbox_id) = (self.entropy.hex_id(), self.entropy.hex_id());
        self.note_state(id, |container| {
            let settings = &mut container.config.network_settings;
            settings.sandbox_id.clone_from(&sandbox_id);
            let Some(endpoint) = settings.networks.get_mut("bridge") else { return };
            endpoint.network_id = network_id.hex().to_owned();
            endpoint.endpoint_id.clone_from(&endpoint_id);
            endpoint.ip_address = address.to_string();
            endpoint.ip_prefix_len = 16;
            if let Some((_, place)) = &bridge {
                endpoint.ip_prefix_len = place.prefix_len.into();
                endpoint.gateway = place.gateway.to_string();
                endpoint.mac_address = place.mac().map(|byte| format!("{byte:02x}")).join(":");
            }
        })?;
        let network = bridge.as_ref().map_or(Network::Own(address), |(_, place)| Network::Bridged(*place));
        Ok(Connection { network, bridge })
    }

    /// Takes a container that has ended out of the network, and the bridge away when it was the last.
    pub(super) fn leave_network(&self, container: &Container) -> Result<(), EngineError> {
        if !matches!(network_name(&container.host.network_mode), Ok("bridge")) {
            return Ok(());
        }
        let id = &container.id;
        // No book is changed: a dockerd that has come meanwhile keeps nobody from ending.
        let _lock = Lock::exclusive(self.store.data_root())?;
        if let Err(error) = bridge::disconnect(id) {
            tracing::warn!(id, %error, "the bridge stays until the next container ends");
        }
        Ok(())
    }

    /// Writes the files that are bound over the image's own, and says where they go.
    pub(super) fn write_files(&self, container: &Container, network: Network) -> Result<Vec<Bind>, EngineError> {
        if matches!(network, Network::Joined(_)) {
            return Ok(self.files_of(container));
        }
        let name = &container.config.config.hostname;
        let mut hosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\n\
                         ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
            .to_owned();
        let address = match network {
            Network::Own(address) => Some(address),
            Network::Bridged(place) => Some(place.address),
            Network::None | Network::Host | Network::Joined(_) => None,
        };
        hosts.extend(address.map(|address| format!("{address}\t{name}\n")));
        let resolv = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let resolv = if matches!(network, Network::Bridged(_)) { reachable_name_servers(&resolv) } else { resolv };
        let hash = Digest::of(resolv.as_bytes()).to_string();
        let directory = self.record_directory(&container.id);
        for (file, text) in
            [("hosts", hosts), ("hostname", format!("{name}\n")), ("resolv.conf", resolv), ("resolv.conf.hash", hash)]
        {
            // Written in place: the files are bind-mounted, and a new file under the name would not be seen.
            let path = directory.join(file);
            fs::write(&path, text).map_err(failed("write", &path))?;
        }
        Ok(self.files_of(container))
    }

    /// Names the files of a container in its record, where dockerd made it, which does so only when it starts a container.
    pub(super) fn with_files_named(&self, container: &Container) -> Result<Container, EngineError> {
        let ContainerConfig { log_path, hostname_path, hosts_path, resolv_conf_path, .. } = &container.config;
        if [log_path, hostname_path, hosts_path, resolv_conf_path].iter().all(|path| !path.is_empty()) {
            return Ok(container.clone());
        }
        let other = joined(&container.host.network_mode).map(|other| self.container(other)).transpose()?;
        let directory = self.record_directory(&container.id);
        let own = |file: &str| directory.join(file).display().to_string();
        self.update(&container.id, |container| {
            let log = own(&format!("{}-json.log", container.id));
            let config = &mut container.config;
            let (hostname, hosts, resolv_conf) = match other {
                Some(Container { config: other, .. }) => {
                    (other.hostname_path, other.hosts_path, other.resolv_conf_path)
                }
                None => (own("hostname"), own("hosts"), own("resolv.conf")),
            };
            let paths = [
                (&mut config.log_path, log),
                (&mut config.hostname_path, hostname),
                (&mut config.hosts_path, hosts),
                (&mut config.resolv_conf_path, resolv_conf),
            ];
            for (path, file) in paths.into_iter().filter(|(path, _)| path.is_empty()) {
                *path = file;
            }
        })
    }

    /// Those of the files that are there: a container that was never started has none.
    pub(super) fn written_files(&self, container: &Container) -> Vec<Bind> {
        self.files_of(container).into_iter().filter(|file| file.source.is_file()).collect()
    }

    /// The files of the container's record, or of that of the container whose network it has.
    fn files_of(&self, container: &Container) -> Vec<Bind> {
        let config = &container.config;
        let bind = |(source, file): (&String, &str)| Bind {
            source: source.into(),
            target: format!("/etc/{file}"),
            read_only: false,
            recursive: true,
        };
        let files = [
            (&config.resolv_conf_path, "resolv.conf"),
            (&config.hostname_path, "hostname"),
            (&config.hosts_path, "hosts"),
        ];
        files.map(bind).to_vec()
    }
}

/// `resolv.conf` without the name servers of the host's own loopback device, which means another one in a container.
fn reachable_name_servers(resolv: &str) -> String {
    let is_local = |line: &str| {
        let server = line.strip_prefix("nameserver").map(str::trim);
        server.is_some_and(|server| server.starts_with("127.") || server == "::1")
    };
    let kept: String = resolv.lines().filter(|line| !is_local(line)).map(|line| format!("{line}\n")).collect();
    let has_server = kept.lines().any(|line| line.starts_with("nameserver"));
    if has_server { kept } else { kept + PUBLIC_NAME_SERVERS }
}

/// Listens on every port the container publishes.
pub(super) fn listen_all(container: &Container) -> Result<Vec<Published>, EngineError> {
    let mut published = Vec::new();
    for (port, bindings) in &container.host.port_bindings {
        let refused = |why: String| EngineError::Start {
            text: format!(
                "driver failed programming external connectivity on endpoint {} ({}): {why}",
                container.config.plain_name(),
                container.id
            ),
            exit_code: 125,
        };
        let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        let inside = number.parse().map_err(|_| refused(format!("invalid port {port}")))?;
        if protocol != "tcp" {
            return Err(refused(format!("{protocol} cannot be published: only tcp is")));
        }
        for binding in bindings.iter().flatten() {
            let address = if binding.host_ip.is_empty() { None } else { binding.host_ip.parse().ok() };
            let outside = if binding.host_port.is_empty() {
                0
            } else {
                binding.host_port.parse().map_err(|_| refused(format!("invalid port {}", binding.host_port)))?
            };
            let listened = publish::listen_on(address, outside, inside).map_err(|error| match error.kind() {
                io::ErrorKind::AddrInUse => {
                    let shown = if binding.host_ip.is_empty() { "0.0.0.0" } else { &binding.host_ip };
                    refused(format!("Bind for {shown}:{outside} failed: port is already allocated"))
                }
                _ => refused(format!("listen on {}:{outside}: {error}", binding.host_ip)),
            })?;
            published.extend(listened);
        }
    }
    Ok(published)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_server_on_the_hosts_loopback_device_is_of_no_use_in_a_container() {
        let kept = reachable_name_servers("search lab\nnameserver 127.0.0.1\nnameserver 10.0.0.1\n");
        assert_eq!(kept, "search lab\nnameserver 10.0.0.1\n");
        assert_eq!(reachable_name_servers("nameserver 127.0.0.53\n"), PUBLIC_NAME_SERVERS);
    }
}
