//! The JSON documents of an image (config, manifest, index) as Docker and OCI write them, keys in a fixed order.

use serde_json::{Map, Value, json};

use super::description::{Description, MediaTypes, RunConfig, Step};
use super::layer::WrittenLayer;

impl MediaTypes {
    pub fn config(self) -> &'static str {
        match self {
            Self::Docker => "application/vnd.docker.container.image.v1+json",
            Self::Oci => "application/vnd.oci.image.config.v1+json",
        }
    }

    pub fn layer(self) -> &'static str {
        match self {
            Self::Docker => "application/vnd.docker.image.rootfs.diff.tar.gzip",
            Self::Oci => "application/vnd.oci.image.layer.v1.tar+gzip",
        }
    }

    pub fn manifest(self) -> &'static str {
        match self {
            Self::Docker => "application/vnd.docker.distribution.manifest.v2+json",
            Self::Oci => "application/vnd.oci.image.manifest.v1+json",
        }
    }

    pub fn index(self) -> &'static str {
        match self {
            Self::Docker => "application/vnd.docker.distribution.manifest.list.v2+json",
            Self::Oci => "application/vnd.oci.image.index.v1+json",
        }
    }
}

/// A descriptor: how one blob speaks of another (image-spec, descriptor.md).
pub fn descriptor(media_type: &str, digest: &str, size_bytes: u64) -> Value {
    json!({"mediaType": media_type, "size": size_bytes, "digest": digest})
}

/// The config blob (image-spec, config.md; moby `image.Image`): its digest is the image ID.
pub fn config(image: &Description, architecture: &str, layers: &[WrittenLayer]) -> Value {
    let run = match image.media_types {
        MediaTypes::Docker => docker_run_config(&image.config),
        MediaTypes::Oci => oci_run_config(&image.config),
    };
    let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.diff_id.as_str()).collect();
    let mut config = Map::new();
    put(&mut config, "architecture", Some(architecture));
    put(&mut config, "author", image.author.as_ref());
    put(&mut config, "config", Some(run));
    put(&mut config, "created", Some(&image.created));
    put(&mut config, "docker_version", image.docker_version.as_ref());
    put(&mut config, "history", Some(image.history.iter().map(|step| history(image, step)).collect::<Vec<_>>()));
    put(&mut config, "os", Some("linux"));
    put(&mut config, "rootfs", Some(json!({"type": "layers", "diff_ids": diff_ids})));
    Value::Object(config)
}

fn history(image: &Description, step: &Step) -> Value {
    let mut entry = Map::new();
    put(&mut entry, "created", Some(&image.created));
    put(&mut entry, "created_by", Some(&step.created_by));
    put(&mut entry, "comment", step.comment.as_ref());
    put(&mut entry, "empty_layer", step.layer.is_none().then_some(true));
    Value::Object(entry)
}

/// Every field of moby's `container.Config`, in Go's order: Docker writes the empty ones too.
fn docker_run_config(config: &RunConfig) -> Value {
    let mut run = Map::new();
    put(&mut run, "Hostname", Some(""));
    put(&mut run, "Domainname", Some(""));
    put(&mut run, "User", Some(&config.user));
    for stream in ["AttachStdin", "AttachStdout", "AttachStderr"] {
        put(&mut run, stream, Some(false));
    }
    put(&mut run, "ExposedPorts", config.exposed_ports.as_ref());
    for terminal in ["Tty", "OpenStdin", "StdinOnce"] {
        put(&mut run, terminal, Some(false));
    }
    run.insert("Env".into(), json!(config.env));
    run.insert("Cmd".into(), json!(config.cmd));
    put(&mut run, "Image", Some(""));
    run.insert("Volumes".into(), json!(config.volumes));
    put(&mut run, "WorkingDir", Some(&config.working_dir));
    run.insert("Entrypoint".into(), json!(config.entrypoint));
    run.insert("OnBuild".into(), json!(config.on_build));
    run.insert("Labels".into(), json!(config.labels));
    put(&mut run, "StopSignal", config.stop_signal.as_ref());
    put(&mut run, "StopTimeout", config.stop_timeout);
    put(&mut run, "Shell", config.shell.as_ref());
    Value::Object(run)
}

/// image-spec's properties of `config`, those given.
fn oci_run_config(config: &RunConfig) -> Value {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let mut run = Map::new();
    put(&mut run, "User", given(&config.user));
    put(&mut run, "ExposedPorts", config.exposed_ports.as_ref());
    put(&mut run, "Env", config.env.as_ref());
    put(&mut run, "Entrypoint", config.entrypoint.as_ref());
    put(&mut run, "Cmd", config.cmd.as_ref());
    put(&mut run, "Volumes", config.volumes.as_ref());
    put(&mut run, "WorkingDir", given(&config.working_dir));
    put(&mut run, "Labels", config.labels.as_ref());
    put(&mut run, "StopSignal", config.stop_signal.as_ref());
    Value::Object(run)
}

fn put(object: &mut Map<String, Value>, key: &str, value: Option<impl serde::Serialize>) {
    if let Some(value) = value {
        object.insert(key.into(), json!(value));
    }
}

/// The manifest (image-spec, manifest.md; distribution, "Image Manifest Version 2, Schema 2").
pub fn manifest(media_types: MediaTypes, config: (&str, u64), layers: &[WrittenLayer]) -> Value {
    let layers: Vec<Value> =
        layers.iter().map(|layer| descriptor(media_types.layer(), &layer.digest, layer.size_bytes)).collect();
    json!({
        "schemaVersion": 2,
        "mediaType": media_types.manifest(),
        "config": descriptor(media_types.config(), config.0, config.1),
        "layers": layers,
    })
}

/// An index (manifest list) of one manifest (image-spec, image-index.md).
pub fn index(media_types: MediaTypes, manifest: (&str, u64), architecture: &str) -> Value {
    let mut entry = descriptor(media_types.manifest(), manifest.0, manifest.1);
    entry["platform"] = json!({"architecture": architecture, "os": "linux"});
    json!({"schemaVersion": 2, "mediaType": media_types.index(), "manifests": [entry]})
}
