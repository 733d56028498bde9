//! How a container is reached: its networks and its published ports, as far as `config.v2.json` tells.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::null_as_default;

/// Container port (`80/tcp`) to where it is published on the host; `None` and empty mean exposed only.
pub type PortMap = BTreeMap<String, Option<Vec<PortBinding>>>;

/// One place on the host where a container's port is published. Both are text, as Docker has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PortBinding {
    /// Empty for every address.
    pub host_ip: String,
    /// Empty for a port of the engine's choice.
    pub host_port: String,
}

/// `NetworkSettings` of `config.v2.json`; inspect shows it with the fields of the first network beside it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct NetworkSettings {
    pub bridge: String,
    #[serde(rename = "SandboxID")]
    pub sandbox_id: String,
    pub hairpin_mode: bool,
    #[serde(rename = "LinkLocalIPv6Address")]
    pub link_local_ipv6_address: String,
    #[serde(rename = "LinkLocalIPv6PrefixLen")]
    pub link_local_ipv6_prefix_len: i64,
    /// By name: `none`, `host`, `bridge`.
    #[serde(deserialize_with = "null_as_default")]
    pub networks: BTreeMap<String, EndpointSettings>,
    pub service: Value,
    /// What is published while it runs; `None` or empty when it does not.
    pub ports: Option<PortMap>,
    pub sandbox_key: String,
    #[serde(rename = "SecondaryIPAddresses")]
    pub secondary_ip_addresses: Value,
    #[serde(rename = "SecondaryIPv6Addresses")]
    pub secondary_ipv6_addresses: Value,
    pub is_anonymous_endpoint: bool,
    pub has_swarm_endpoint: bool,
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The container's place in one network; the addresses are empty unless it runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct EndpointSettings {
    #[serde(rename = "IPAMConfig")]
    pub ipam_config: Value,
    pub links: Value,
    pub aliases: Value,
    #[serde(rename = "NetworkID")]
    pub network_id: String,
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    pub gateway: String,
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    #[serde(rename = "IPPrefixLen")]
    pub ip_prefix_len: i64,
    #[serde(rename = "IPv6Gateway")]
    pub ipv6_gateway: String,
    #[serde(rename = "GlobalIPv6Address")]
    pub global_ipv6_address: String,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    pub global_ipv6_prefix_len: i64,
    pub mac_address: String,
    pub driver_opts: Value,
    #[serde(rename = "IPAMOperational")]
    pub ipam_operational: bool,
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}
