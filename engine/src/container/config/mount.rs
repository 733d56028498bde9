//! What is mounted in a container, as `hostconfig.json` asks for it (`Mounts`) and `config.v2.json` records it (`MountPoints`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The type of a mount of a volume.
pub const VOLUME: &str = "volume";
/// The type of a mount of a directory or file of the host.
pub const BIND: &str = "bind";
/// The only volume driver there is.
pub const LOCAL: &str = "local";

/// One mount as it is asked for. What is left unsaid is not written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct MountSpec {
    /// [`VOLUME`] or [`BIND`].
    #[serde(rename = "Type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The name of a volume, or a path of the host; empty for an anonymous volume.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// The place in the container.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target: String,
    #[serde(skip_serializing_if = "is_false")]
    pub read_only: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub consistency: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_options: Option<BindOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_options: Option<VolumeOptions>,
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// How a path of the host is mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct BindOptions {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub propagation: String,
    /// What is mounted below the path stays away.
    #[serde(skip_serializing_if = "is_false")]
    pub non_recursive: bool,
}

/// How a volume is mounted, and made when it is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct VolumeOptions {
    /// It does not begin with what the image has at its place.
    #[serde(skip_serializing_if = "is_false")]
    pub no_copy: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_config: Option<VolumeDriver>,
}

/// Who makes a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct VolumeDriver {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<BTreeMap<String, String>>,
}

/// One mount of a container. Unknown keys are kept in `extra`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct MountPoint {
    /// A path of the host; empty for a volume that came with the image or without a name.
    pub source: String,
    /// The place in the container, cleaned.
    pub destination: String,
    #[serde(rename = "RW")]
    pub writable: bool,
    /// The name of the volume.
    pub name: String,
    pub driver: String,
    #[serde(rename = "Type")]
    pub kind: String,
    /// What stood behind the second colon; dockerd calls it so since it may ask for a security label.
    #[serde(rename = "Relabel", skip_serializing_if = "String::is_empty")]
    pub mode: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub propagation: String,
    /// What was asked for; empty for a volume that came with the image or without a name.
    pub spec: MountSpec,
    /// The source has to be there already.
    pub skip_mountpoint_creation: bool,
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl MountPoint {
    /// Whether a volume is mounted.
    pub fn is_volume(&self) -> bool {
        self.kind == VOLUME
    }

    /// Whether it is a volume that goes with its container, if people ask for that: nobody gave it a name.
    pub fn is_anonymous(&self) -> bool {
        self.is_volume() && self.spec.source.is_empty()
    }

    /// Whether an empty volume begins with what the image has at its place.
    pub fn copies(&self) -> bool {
        self.is_volume() && !self.spec.volume_options.as_ref().is_some_and(|options| options.no_copy)
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What dockerd 20.10.24 wrote.
    const RECORDED: [&str; 3] = [
        r#"{"Source":"","Destination":"/anon","RW":true,"Name":"b666","Driver":"local","Type":"volume","Spec":{},"SkipMountpointCreation":false}"#,
        r#"{"Source":"/etc/hosts","Destination":"/hosts","RW":false,"Name":"","Driver":"","Type":"bind","Relabel":"ro","Propagation":"rprivate","Spec":{"Type":"bind","Source":"/etc/hosts","Target":"/hosts","ReadOnly":true},"SkipMountpointCreation":false}"#,
        r#"{"Source":"/var/lib/docker/volumes/v1/_data","Destination":"/x","RW":true,"Name":"v1","Driver":"local","Type":"volume","Relabel":"z","Spec":{"Type":"volume","Source":"v1","Target":"/x","VolumeOptions":{"NoCopy":true,"DriverConfig":{}}},"SkipMountpointCreation":false}"#,
    ];

    #[test]
    fn what_dockerd_wrote_is_written_back() {
        for text in RECORDED {
            let point: MountPoint = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&point).unwrap(), text);
        }
        let read = RECORDED.map(|text| serde_json::from_str::<MountPoint>(text).unwrap());
        assert_eq!(read.each_ref().map(MountPoint::is_anonymous), [true, false, false]);
        assert_eq!(read.each_ref().map(MountPoint::copies), [true, false, false]);
    }
}
