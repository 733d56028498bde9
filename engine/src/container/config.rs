//! What a container is, as dockerd writes it down: `config.v2.json` and `hostconfig.json` below `containers/<id>/`.
//!
//! ```text
//! containers/<id>/config.v2.json    ContainerConfig: what runs, its state, its networks and paths
//! containers/<id>/hostconfig.json   HostConfig: what it may use of the host
//! ```
//! Keys and their order are those of Docker 20.10 (`container/container.go`, `api/types/container/hostconfig.go`); keys
//! that are not known here survive reading and writing. Both files end in a newline.

mod host;
mod mount;
mod network;
mod time;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use crate::image::config::RunConfig;
use crate::image::go_json;

pub use host::{HostConfig, LogConfig, RestartPolicy};
pub use mount::{BIND, BindOptions, LOCAL, MountPoint, MountSpec, VOLUME, VolumeDriver, VolumeOptions};
pub use network::{EndpointSettings, NetworkSettings, PortBinding, PortMap};
pub use time::Time;

/// `value` as dockerd writes its JSON files: compact, Go's escapes, a newline at the end.
pub fn to_docker_json<T: Serialize>(value: &T) -> serde_json::Result<Vec<u8>> {
    let mut bytes = go_json::to_vec(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// `config.v2.json`. Unknown keys are kept in `extra`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ContainerConfig {
    pub stream_config: Map<String, Value>,
    pub state: State,
    /// 64 hex digits.
    #[serde(rename = "ID")]
    pub id: String,
    pub created: Time,
    pub managed: bool,
    /// The program that runs, and `args` its arguments.
    pub path: String,
    #[serde(deserialize_with = "null_as_default")]
    pub args: Vec<String>,
    pub config: RunConfig,
    /// The image's ID, `sha256:` included.
    pub image: String,
    pub network_settings: NetworkSettings,
    pub log_path: String,
    /// With a leading slash: `/web`.
    pub name: String,
    pub driver: String,
    #[serde(rename = "OS")]
    pub os: String,
    pub mount_label: String,
    pub process_label: String,
    pub restart_count: i64,
    pub has_been_started_before: bool,
    pub has_been_manually_stopped: bool,
    /// By their places in the container.
    #[serde(deserialize_with = "null_as_default")]
    pub mount_points: BTreeMap<String, MountPoint>,
    pub secret_references: Value,
    pub config_references: Value,
    pub app_armor_profile: String,
    pub hostname_path: String,
    pub hosts_path: String,
    pub shm_path: String,
    pub resolv_conf_path: String,
    pub seccomp_profile: String,
    pub no_new_privileges: bool,
    pub local_log_cache_meta: Value,
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Default for ContainerConfig {
    fn default() -> ContainerConfig {
        ContainerConfig {
            stream_config: Map::new(),
            state: State::default(),
            id: String::new(),
            created: Time::ZERO,
            managed: false,
            path: String::new(),
            args: Vec::new(),
            config: RunConfig::default(),
            image: String::new(),
            network_settings: NetworkSettings::default(),
            log_path: String::new(),
            name: String::new(),
            driver: String::new(),
            os: "linux".to_owned(),
            mount_label: String::new(),
            process_label: String::new(),
            restart_count: 0,
            has_been_started_before: false,
            has_been_manually_stopped: false,
            mount_points: BTreeMap::new(),
            secret_references: Value::Null,
            config_references: Value::Null,
            app_armor_profile: String::new(),
            hostname_path: String::new(),
            hosts_path: String::new(),
            shm_path: String::new(),
            resolv_conf_path: String::new(),
            seccomp_profile: String::new(),
            no_new_privileges: false,
            local_log_cache_meta: json!({"HaveNotifyEnabled": false}),
            extra: Map::new(),
        }
    }
}

impl ContainerConfig {
    /// The first 12 digits of the ID, or all of it if it is shorter.
    pub fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }

    /// The name without the slash that is stored before it.
    pub fn plain_name(&self) -> &str {
        self.name.strip_prefix('/').unwrap_or(&self.name)
    }
}

/// Where a container is in its life. `started_at` and `finished_at` are [`Time::ZERO`] until it happened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct State {
    pub running: bool,
    pub paused: bool,
    pub restarting: bool,
    #[serde(rename = "OOMKilled")]
    pub oom_killed: bool,
    pub removal_in_progress: bool,
    pub dead: bool,
    /// As the host sees it; 0 when nothing runs.
    pub pid: i32,
    pub exit_code: i64,
    /// Why the last start failed.
    pub error: String,
    pub started_at: Time,
    pub finished_at: Time,
    pub health: Option<Value>,
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl State {
    /// Docker's word for the state: `created`, `running`, `paused`, `restarting`, `removing`, `dead` or `exited`.
    pub fn status(&self) -> &'static str {
        match self {
            State { running: true, paused: true, .. } => "paused",
            State { running: true, restarting: true, .. } => "restarting",
            State { running: true, .. } => "running",
            State { removal_in_progress: true, .. } => "removing",
            State { dead: true, .. } => "dead",
            State { started_at, .. } if started_at.is_zero() => "created",
            State { .. } => "exited",
        }
    }
}

/// Reads Go's nil, written `null`, as the type's empty value.
fn null_as_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What dockerd 20.10.24 wrote for a container that had run and ended.
    const EXITED: &str = r#"{"StreamConfig":{},"State":{"Running":false,"Paused":false,"Restarting":false,"OOMKilled":false,"RemovalInProgress":false,"Dead":false,"Pid":0,"ExitCode":0,"Error":"","StartedAt":"2026-11-21T01:51:04.403887902Z","FinishedAt":"2026-11-21T01:51:04.40784958Z","Health":null},"ID":"1845d837dfff49445c246157d5e4a85986778a087ce565cfa08a0c5a2afd20c9","Created":"2026-11-21T01:51:04.181067605Z","Managed":false,"Path":"sh","Args":["-c","echo hi \u003e /hi"],"Config":{"Hostname":"1845d837dfff","Domainname":"","User":"","AttachStdin":false,"AttachStdout":true,"AttachStderr":true,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"Cmd":["sh","-c","echo hi \u003e /hi"],"Image":"ubuntu","Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":{}},"Image":"sha256:0f689490f8de3756792030427df888cdeacc31fe09d58d3813853c8ae13d9373","NetworkSettings":{"Bridge":"","SandboxID":"310d18870bbdcf1985a837335db42a365a25c47248c788dfa9b93d17b061e88a","HairpinMode":false,"LinkLocalIPv6Address":"","LinkLocalIPv6PrefixLen":0,"Networks":{"none":{"IPAMConfig":null,"Links":null,"Aliases":null,"NetworkID":"854b6493db187e74842c7298466f5c066f00cae7189222ebf5c77166b1f8292b","EndpointID":"","Gateway":"","IPAddress":"","IPPrefixLen":0,"IPv6Gateway":"","GlobalIPv6Address":"","GlobalIPv6PrefixLen":0,"MacAddress":"","DriverOpts":null,"IPAMOperational":false}},"Service":null,"Ports":null,"SandboxKey":"/run/docker/netns/310d18870bbd","SecondaryIPAddresses":null,"SecondaryIPv6Addresses":null,"IsAnonymousEndpoint":false,"HasSwarmEndpoint":false},"LogPath":"/var/lib/docker/containers/1845/1845-json.log","Name":"/cc","Driver":"overlay2","OS":"linux","MountLabel":"","ProcessLabel":"","RestartCount":0,"HasBeenStartedBefore":true,"HasBeenManuallyStopped":false,"MountPoints":{},"SecretReferences":null,"ConfigReferences":null,"AppArmorProfile":"","HostnamePath":"/var/lib/docker/containers/1845/hostname","HostsPath":"/var/lib/docker/containers/1845/hosts","ShmPath":"","ResolvConfPath":"/var/lib/docker/containers/1845/resolv.conf","SeccompProfile":"","NoNewPrivileges":false,"LocalLogCacheMeta":{"HaveNotifyEnabled":false}}"#;

    #[test]
    fn what_dockerd_wrote_is_written_back_byte_for_byte() {
        let config: ContainerConfig = serde_json::from_str(EXITED).unwrap();
        assert_eq!(String::from_utf8(to_docker_json(&config).unwrap()).unwrap(), format!("{EXITED}\n"));
        assert_eq!(config.state.status(), "exited");
        assert_eq!((config.short_id(), config.plain_name()), ("1845d837dfff", "cc"));
    }

    #[test]
    fn a_container_written_by_hand_with_few_keys_is_read() {
        let text = r#"{"ID":"ab","Name":"/cx","State":{},"Config":{"Cmd":["true"]},"NetworkSettings":{},"Args":null}"#;
        let config: ContainerConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config.state.status(), "created");
        assert_eq!(config.created, Time::ZERO);
        assert_eq!(config.short_id(), "ab");
    }

    #[test]
    fn unknown_keys_survive_at_every_level() {
        let text = r#"{"ID":"ab","State":{"Next":1},"NetworkSettings":{"Networks":{"n":{"New":2}},"Other":3},"Later":{"x":4}}"#;
        let config: ContainerConfig = serde_json::from_str(text).unwrap();
        let written: Value = serde_json::from_slice(&to_docker_json(&config).unwrap()).unwrap();
        assert_eq!(written["State"]["Next"], 1);
        assert_eq!(written["NetworkSettings"]["Networks"]["n"]["New"], 2);
        assert_eq!(written["NetworkSettings"]["Other"], 3);
        assert_eq!(written["Later"]["x"], 4);
    }

    #[test]
    fn a_state_is_called_by_dockers_word() {
        let started = Time::from("2026-11-21T01:51:04Z".parse::<jiff::Timestamp>().unwrap());
        let rows = [
            (State::default(), "created"),
            (State { running: true, started_at: started, ..State::default() }, "running"),
            (State { running: true, paused: true, ..State::default() }, "paused"),
            (State { dead: true, started_at: started, ..State::default() }, "dead"),
            (State { removal_in_progress: true, started_at: started, ..State::default() }, "removing"),
            (State { started_at: started, ..State::default() }, "exited"),
        ];
        for (state, word) in rows {
            assert_eq!(state.status(), word);
        }
    }
}
