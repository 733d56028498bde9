//! What `inspect` shows: images and containers as JSON, in Docker's order of keys and with its four blanks of indent.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::ser::PrettyFormatter;
use serde_json::{Map, Serializer, Value, json};

use crate::container::config::{EndpointSettings, LOCAL, MountPoint, NetworkSettings, State, Time};
use crate::container::{Container, Image, Volume};
use crate::driver::GraphData;
use crate::image::RunConfig;

const INDENT: &[u8] = b"    ";
const IPAM_OPERATIONAL: &str = "IPAMOperational";
const DEFAULT_NETWORK: &str = "bridge";

/// `value` as Docker lays JSON out, ending in a newline.
pub fn indented(value: &Value) -> serde_json::Result<String> {
    let mut bytes = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(INDENT)))?;
    bytes.push(b'\n');
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// One image.
pub fn image(image: &Image) -> serde_json::Result<Value> {
    let view = image.config.view();
    let last_comment = view.history.last().map(|step| step.comment.as_str()).unwrap_or_default();
    let comment = if view.comment.is_empty() { last_comment } else { &view.comment };
    let created = if view.created.is_empty() { Time::ZERO.to_string() } else { view.created.clone() };
    let container_config = view.container_config.clone().unwrap_or_default();
    let mut shown = Keys::default();
    shown.put("Id", image.id.to_string());
    shown.put("RepoTags", image.tags.clone());
    shown.put("RepoDigests", image.digests.clone());
    shown.put("Parent", image.parent.as_ref().map(ToString::to_string).unwrap_or_default());
    shown.put("Comment", comment);
    shown.put("Created", created);
    shown.put("Container", view.container.clone());
    shown.put("ContainerConfig", run_config(&container_config)?);
    shown.put("DockerVersion", view.docker_version.clone());
    shown.put("Author", view.author.clone());
    shown.put("Config", view.config.as_ref().map(run_config).transpose()?.unwrap_or_default());
    shown.put("Architecture", view.architecture.clone());
    if !view.variant.is_empty() {
        shown.put("Variant", view.variant.clone());
    }
    shown.put("Os", view.os.clone());
    shown.put("Size", image.size_bytes);
    shown.put("VirtualSize", image.size_bytes);
    shown.put("GraphDriver", graph(&image.graph));
    let layers: Vec<String> = view.rootfs.diff_ids.iter().map(ToString::to_string).collect();
    let mut rootfs = json!({"Type": view.rootfs.kind});
    if !layers.is_empty() {
        rootfs["Layers"] = Value::from(layers);
    }
    shown.put("RootFS", rootfs);
    let last_tag_time = image.last_tag_time.map_or(Time::ZERO, Time::from);
    shown.put("Metadata", json!({"LastTagTime": last_tag_time.to_string()}));
    Ok(shown.into())
}

/// One volume.
pub fn volume(volume: &Volume) -> Value {
    let created = volume.created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    json!({
        "CreatedAt": created,
        "Driver": LOCAL,
        "Labels": volume.labels,
        "Mountpoint": volume.data.display().to_string(),
        "Name": volume.name,
        // Docker's answer to no options: none for a volume that was made by name, nothing for one that a container brought along.
        "Options": volume.options.clone().or_else(|| volume.labels.as_ref().map(|_| BTreeMap::new())),
        "Scope": LOCAL,
    })
}

/// One container, with its mount points. `sizes_bytes`: what it wrote, and that with its image, when asked for.
pub fn container(
    container: &Container,
    data: &GraphData,
    points: &[MountPoint],
    sizes_bytes: Option<(u64, u64)>,
) -> serde_json::Result<Value> {
    let config = &container.config;
    let mut shown = Keys::default();
    shown.put("Id", config.id.clone());
    shown.put("Created", config.created.to_string());
    shown.put("Path", config.path.clone());
    shown.put("Args", config.args.clone());
    shown.put("State", state(&config.state));
    shown.put("Image", config.image.clone());
    shown.put("ResolvConfPath", config.resolv_conf_path.clone());
    shown.put("HostnamePath", config.hostname_path.clone());
    shown.put("HostsPath", config.hosts_path.clone());
    shown.put("LogPath", config.log_path.clone());
    shown.put("Name", config.name.clone());
    shown.put("RestartCount", config.restart_count);
    shown.put("Driver", config.driver.clone());
    shown.put("Platform", config.os.clone());
    shown.put("MountLabel", config.mount_label.clone());
    shown.put("ProcessLabel", config.process_label.clone());
    shown.put("AppArmorProfile", config.app_armor_profile.clone());
    shown.put("ExecIDs", Value::Null);
    shown.put("HostConfig", serde_json::to_value(&container.host)?);
    shown.put("GraphDriver", graph(data));
    if let Some((writable, with_image)) = sizes_bytes {
        shown.put("SizeRw", writable);
        shown.put("SizeRootFs", with_image);
    }
    shown.put("Mounts", points.iter().map(mount).collect::<Value>());
    shown.put("Config", run_config(&config.config)?);
    shown.put("NetworkSettings", network(&config.network_settings)?);
    Ok(shown.into())
}

/// What Docker's types have and their JSON leaves out when it is empty (`omitempty`): the object's place, and its fields.
const OMITTED: [(&str, &[&str]); 4] = [
    ("", &["Variant"]),
    ("/Config", &RUN_CONFIG_OMITTED),
    ("/ContainerConfig", &RUN_CONFIG_OMITTED),
    ("/State", &["Health"]),
];
const RUN_CONFIG_OMITTED: [&str; 8] = [
    "ExposedPorts",
    "Healthcheck",
    "ArgsEscaped",
    "NetworkDisabled",
    "MacAddress",
    "StopSignal",
    "StopTimeout",
    "Shell",
];

/// `object` with the fields that its JSON leaves out as `null`, as a template sees them.
pub fn with_omitted(object: &Value) -> Value {
    let mut whole = object.clone();
    for (place, fields) in OMITTED {
        let Some(part) = whole.pointer_mut(place).and_then(Value::as_object_mut) else { continue };
        for field in fields {
            part.entry(*field).or_insert(Value::Null);
        }
    }
    whole
}

/// Keys in the order in which they were put.
#[derive(Default)]
struct Keys(Map<String, Value>);

impl Keys {
    fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }
}

impl From<Keys> for Value {
    fn from(keys: Keys) -> Value {
        Value::Object(keys.0)
    }
}

fn run_config(config: &RunConfig) -> serde_json::Result<Value> {
    serde_json::to_value(config)
}

fn graph(graph: &GraphData) -> Value {
    let data: Map<String, Value> =
        graph.data.iter().map(|(key, path)| (key.clone(), Value::from(path.as_str()))).collect();
    let data = if data.is_empty() { Value::Null } else { Value::Object(data) };
    json!({"Data": data, "Name": graph.name})
}

fn state(state: &State) -> Value {
    let mut shown = json!({
        "Status": state.status(),
        "Running": state.running,
        "Paused": state.paused,
        "Restarting": state.restarting,
        "OOMKilled": state.oom_killed,
        "Dead": state.dead,
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": state.started_at.to_string(),
        "FinishedAt": state.finished_at.to_string(),
    });
    if let Some(health) = &state.health {
        shown["Health"] = health.clone();
    }
    shown
}

fn mount(point: &MountPoint) -> Value {
    let mut shown = Keys::default();
    shown.put("Type", point.kind.clone());
    if !point.name.is_empty() {
        shown.put("Name", point.name.clone());
    }
    shown.put("Source", point.source.clone());
    shown.put("Destination", point.destination.clone());
    if !point.driver.is_empty() {
        shown.put("Driver", point.driver.clone());
    }
    shown.put("Mode", point.mode.clone());
    shown.put("RW", point.writable);
    shown.put("Propagation", point.propagation.clone());
    shown.into()
}

/// The settings with the fields of the default network beside them, as clients older than networks expect.
fn network(settings: &NetworkSettings) -> serde_json::Result<Value> {
    let none = EndpointSettings::default();
    let default = settings.networks.get(DEFAULT_NETWORK).unwrap_or(&none);
    let mut networks = serde_json::to_value(&settings.networks)?;
    for endpoint in networks.as_object_mut().into_iter().flat_map(|networks| networks.values_mut()) {
        if let Some(fields) = endpoint.as_object_mut() {
            fields.shift_remove(IPAM_OPERATIONAL);
        }
    }
    Ok(json!({
        "Bridge": settings.bridge,
        "SandboxID": settings.sandbox_id,
        "HairpinMode": settings.hairpin_mode,
        "LinkLocalIPv6Address": settings.link_local_ipv6_address,
        "LinkLocalIPv6PrefixLen": settings.link_local_ipv6_prefix_len,
        "Ports": serde_json::to_value(settings.ports.clone().unwrap_or_default())?,
        "SandboxKey": settings.sandbox_key,
        "SecondaryIPAddresses": settings.secondary_ip_addresses,
        "SecondaryIPv6Addresses": settings.secondary_ipv6_addresses,
        "EndpointID": default.endpoint_id,
        "Gateway": default.gateway,
        "GlobalIPv6Address": default.global_ipv6_address,
        "GlobalIPv6PrefixLen": default.global_ipv6_prefix_len,
        "IPAddress": default.ip_address,
        "IPPrefixLen": default.ip_prefix_len,
        "IPv6Gateway": default.ipv6_gateway,
        "MacAddress": default.mac_address,
        "Networks": networks,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::config::{ContainerConfig, HostConfig};
    use crate::image::ImageConfig;

    fn recorded(text: &str) -> Value {
        serde_json::from_str::<Vec<Value>>(text).unwrap().remove(0)
    }

    /// The `GraphDriver` of a recording, which the storage driver makes.
    fn graph_of(recorded: &Value) -> GraphData {
        let data = recorded["GraphDriver"]["Data"].as_object().unwrap();
        let data = data.iter().map(|(key, path)| (key.clone(), path.as_str().unwrap().to_owned())).collect();
        GraphData { name: "overlay2".to_owned(), data }
    }

    #[test]
    fn a_container_is_shown_as_docker_showed_it() {
        let shown = include_str!("fixtures/container.inspect.json");
        let config = include_str!("fixtures/container.config.v2.json");
        let config: ContainerConfig = serde_json::from_str(config).unwrap();
        let host = HostConfig { network_mode: "none".to_owned(), ..HostConfig::default() };
        let given = Container { id: config.id.clone(), config, host };
        let value = container(&given, &graph_of(&recorded(shown)), &[], None).unwrap();
        assert_eq!(indented(&Value::Array(vec![value])).unwrap(), shown);
        let sizes = container(&given, &graph_of(&recorded(shown)), &[], Some((3, 4_330_025))).unwrap();
        assert_eq!((&sizes["SizeRw"], &sizes["SizeRootFs"]), (&json!(3), &json!(4_330_025)));
    }

    #[test]
    fn an_image_is_shown_as_docker_showed_it() {
        let shown = include_str!("fixtures/image.inspect.json");
        let config = ImageConfig::from_raw(include_bytes!("fixtures/image.config.json").to_vec()).unwrap();
        let expected = recorded(shown);
        let given = Image {
            id: config.id(),
            config,
            tags: vec!["named:c".to_owned()],
            digests: Vec::new(),
            parent: expected["Parent"].as_str().map(|parent| parent.parse().unwrap()),
            size_bytes: 4_330_025,
            last_tag_time: expected["Metadata"]["LastTagTime"].as_str().map(|time| time.parse().unwrap()),
            graph: graph_of(&expected),
        };
        assert_eq!(indented(&Value::Array(vec![image(&given).unwrap()])).unwrap(), shown);
    }

    #[test]
    fn nothing_at_all_is_an_empty_list() {
        assert_eq!(indented(&Value::Array(Vec::new())).unwrap(), "[]\n");
    }
}
