//! The archive that `docker save` writes: what its small files say (Docker image specification v1.2).
//!
//! ```text
//! <image>.json            the raw configuration
//! <v1 layer>/             one per layer, named by an ID as images had them before Docker 1.10
//!     VERSION             "1.0"
//!     json                that layer as an image of its own
//!     layer.tar           its tar, or a symlink to an equal one: ../<v1 layer>/layer.tar
//! manifest.json           which configuration, names and layers make an image
//! repositories            names and the v1 layers on top; only when there are names
//! ```

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::config::{ConfigView, RunConfig};
use super::{Digest, ImageConfig, go_json};

/// The file that lists the images.
pub const MANIFEST: &str = "manifest.json";
/// The file that lists the names, for clients older than the manifest.
pub const REPOSITORIES: &str = "repositories";
/// The file that tells how a v1 layer is laid out, and what it says.
pub const VERSION: (&str, &str) = ("VERSION", "1.0");
/// The file that describes a v1 layer.
pub const LEGACY_JSON: &str = "json";
/// The tar of a v1 layer.
pub const LAYER_TAR: &str = "layer.tar";

const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// One image of `manifest.json`; paths are relative to the archive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ManifestItem {
    pub config: String,
    /// `name:tag` each; `None` is written as `null`.
    pub repo_tags: Option<Vec<String>>,
    /// The layers' tars, the base first.
    pub layers: Option<Vec<String>>,
    /// The ID of the image it was made from, when that is in the archive too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
}

/// `repositories`: repository → tag → v1 layer.
pub type LegacyNames = BTreeMap<String, BTreeMap<String, String>>;

/// A layer as an image of its own, as it was before Docker 1.10.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyLayer {
    /// 64 hex digits.
    pub id: String,
    /// Its description, for the file `json`.
    pub json: Vec<u8>,
}

/// Docker's `V1Image`, in its order.
#[derive(Serialize, Default)]
struct V1Image {
    #[serde(skip_serializing_if = "String::is_empty")]
    id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    parent: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    comment: String,
    created: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    container: String,
    container_config: RunConfig,
    #[serde(skip_serializing_if = "String::is_empty")]
    docker_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    author: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<RunConfig>,
    #[serde(skip_serializing_if = "String::is_empty")]
    architecture: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    variant: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    os: String,
}

impl V1Image {
    /// A layer below the top, of which nothing is known.
    fn nameless() -> V1Image {
        V1Image { created: "1970-01-01T00:00:00Z".to_owned(), ..V1Image::default() }
    }

    fn of(view: &ConfigView) -> V1Image {
        V1Image {
            comment: view.comment.clone(),
            created: go_time(&view.created),
            container: view.container.clone(),
            container_config: view.container_config.as_ref().map(known).unwrap_or_default(),
            docker_version: view.docker_version.clone(),
            author: view.author.clone(),
            config: view.config.as_ref().map(known),
            architecture: view.architecture.clone(),
            variant: view.variant.clone(),
            os: view.os.clone(),
            ..V1Image::default()
        }
    }

    /// Docker's `v1.CreateID`: the digest of the description with what the layer lies on.
    fn v1_id(&self, chain_id: &Digest, parent: Option<&Digest>) -> serde_json::Result<Digest> {
        let Value::Object(fields) = serde_json::to_value(self)? else { return Ok(Digest::of(b"")) };
        let mut fields: BTreeMap<String, Value> = fields.into_iter().collect();
        fields.insert("layer_id".to_owned(), chain_id.to_string().into());
        fields.extend(parent.map(|parent| ("parent".to_owned(), parent.to_string().into())));
        Ok(Digest::of(&go_json::to_vec(&fields)?))
    }
}

/// The layers of an image, the base first, as images of their own. `chain_ids`: those of its layers.
pub fn legacy_layers(config: &ImageConfig, chain_ids: &[Digest]) -> serde_json::Result<Vec<LegacyLayer>> {
    let mut layers = Vec::new();
    let mut parent: Option<Digest> = None;
    for (index, chain_id) in chain_ids.iter().enumerate() {
        let is_top = index + 1 == chain_ids.len();
        let mut image = if is_top { V1Image::of(config.view()) } else { V1Image::nameless() };
        let id = image.v1_id(chain_id, parent.as_ref())?;
        image.id = id.hex().to_owned();
        image.parent = parent.map(|parent| parent.hex().to_owned()).unwrap_or_default();
        image.os.clone_from(&config.view().os);
        layers.push(LegacyLayer { id: image.id.clone(), json: go_json::to_vec(&image)? });
        parent = Some(id);
    }
    Ok(layers)
}

/// The settings without fields that Docker does not know, which it drops here.
fn known(config: &RunConfig) -> RunConfig {
    let mut config = config.clone();
    config.extra.clear();
    if let Some(check) = &mut config.healthcheck {
        check.extra.clear();
    }
    config
}

/// A time as Go writes it: without zeros at its end.
fn go_time(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(time) if text.ends_with('Z') => time.to_string(),
        Ok(_) => text.to_owned(),
        Err(_) => ZERO_TIME.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// dockerd 20.10.24 imported and saved this image.
    const CONFIG: &str = r#"{"architecture":"amd64","comment":"msg","config":{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":["x"],"Image":"","Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":null},"container_config":{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":null,"Image":"","Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":null},"created":"2026-11-21T14:48:38.521811344Z","docker_version":"20.10.24+dfsg1","history":[{"created":"2026-11-21T14:48:38.521811344Z","comment":"msg"}],"os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:9ec1e4b1bf6affd114af3f23e5020b56b59f36b052d1995891773672a383dd2f"]}}"#;

    #[test]
    fn a_layer_is_described_as_dockerd_describes_it() {
        let config = ImageConfig::from_raw(CONFIG.as_bytes().to_vec()).unwrap();
        let layers = legacy_layers(&config, &config.view().rootfs.diff_ids).unwrap();
        assert_eq!(layers[0].id, "4f703a009d11214c3d999a0e14dd3b0c5dc17caa347da295c588024b62b37997");
        let json = String::from_utf8(layers[0].json.clone()).unwrap();
        let head = r#"{"id":"4f703a009d11214c3d999a0e14dd3b0c5dc17caa347da295c588024b62b37997","comment":"msg","created":"2026-11-21T14:48:38.521811344Z","container_config":{"Hostname":"","#;
        assert!(json.starts_with(head), "{json}");
        assert!(json.ends_with(r#""OnBuild":null,"Labels":null},"architecture":"amd64","os":"linux"}"#), "{json}");
    }

    #[test]
    fn an_image_without_names_has_null_for_them() {
        let item =
            ManifestItem { config: "a.json".into(), layers: Some(vec!["b/layer.tar".into()]), ..Default::default() };
        let text = r#"[{"Config":"a.json","RepoTags":null,"Layers":["b/layer.tar"]}]"#;
        assert_eq!(go_json::to_vec(&[item]).unwrap(), text.as_bytes());
    }
}
