//! The push itself: layers side by side, then the configuration, and the manifest last, so that no tag names half an image.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::conversation::Conversation;
use super::reactor::Reactor;
use super::upload::Upload;
use super::{
    ImageToPush, LayerToPush, PullError, PushEvent, PushProgress, PushSource, RegistrySettings, SinkError, authorities,
    endpoint,
};
use crate::image::manifest::media_type;
use crate::image::{Digest, Reference};
use crate::sys::reason::reason;

/// As many as dockerd uploads at once (`max-concurrent-uploads`).
const UPLOADS_MAX: usize = 5;

/// Why an image could not be pushed. The registry's tag means what it meant before.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    #[error(transparent)]
    Registry(#[from] PullError),
    #[error("cannot read layer {layer}: {source}")]
    Source { layer: Digest, source: SinkError },
    #[error("cannot read layer {layer}: what is on disk packs to {found}, so it is not the layer that the image names")]
    DiffId { layer: Digest, found: Digest },
    #[error("cannot keep compressed layers: {}", reason(.0))]
    Scratch(std::io::Error),
    #[error("cannot remember where layers are: {0}")]
    Books(SinkError),
}

/// An image that is in the registry now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    pub manifest_digest: Digest,
    /// The length of the manifest.
    pub size_bytes: usize,
}

/// A blob as a manifest names it, in the order of Docker's fields.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Blob {
    pub(super) media_type: &'static str,
    #[serde(rename = "size")]
    pub(super) size_bytes: u64,
    pub(super) digest: Digest,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    media_type: &'static str,
    config: Blob,
    layers: Vec<Blob>,
}

/// Pushes `image` as `reference`, which has a tag.
///
/// Endpoints are asked in turn until one answers; that one is to take the image.
pub fn push(
    reference: &Reference,
    image: &ImageToPush,
    settings: &RegistrySettings,
    source: &dyn PushSource,
    progress: &dyn PushProgress,
) -> Result<Pushed, PushError> {
    let _authorities = authorities::provide().map_err(PullError::from)?;
    let reactor = Reactor::start().map_err(PullError::from)?;
    let mut told = PullError::GivenUp;
    for endpoint in endpoint::to_push(reference, settings) {
        let mut conversation = Conversation::new(&reactor, &endpoint, settings)?;
        match conversation.greet() {
            Ok(_) => return push_to(&conversation, reference, image, settings, source, progress),
            Err(error) => {
                tracing::info!(endpoint = %endpoint.base_url(), %error, "nobody to push to here");
                told = error;
            }
        }
    }
    Err(told.into())
}

fn push_to(
    conversation: &Conversation,
    reference: &Reference,
    image: &ImageToPush,
    settings: &RegistrySettings,
    source: &dyn PushSource,
    progress: &dyn PushProgress,
) -> Result<Pushed, PushError> {
    let given_up = CancellationToken::new();
    let upload = Upload { conversation, reference, retries: settings.retries, source, progress, given_up: &given_up };
    let layers = push_layers(&upload, &image.layers)?;
    let config = upload.config(&image.config)?;
    let document = Manifest { schema_version: 2, media_type: media_type::DOCKER_MANIFEST, config, layers };
    let manifest = as_docker_writes(&document)?;
    let tag = reference.tag().unwrap_or("latest");
    let url = conversation.url(&format!("/v2/{}/manifests/{tag}", reference.path()));
    let response = conversation.send(Method::PUT, &url, &upload.scopes(None), |request| {
        request.header(CONTENT_TYPE, media_type::DOCKER_MANIFEST).body(manifest.clone())
    })?;
    if response.status() != StatusCode::CREATED && response.status() != StatusCode::OK {
        return Err(conversation.refusal(response).into());
    }
    Ok(Pushed { manifest_digest: Digest::of(&manifest), size_bytes: manifest.len() })
}

/// Three blanks for each level, as dockerd indents: the digest is made of the bytes.
fn as_docker_writes(manifest: &Manifest) -> Result<Vec<u8>, PushError> {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"   ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    manifest.serialize(&mut serializer).map_err(|error| PushError::Scratch(error.into()))?;
    Ok(bytes)
}

/// Has all layers in the registry, from the top down as dockerd does; returns their blobs from the base up.
fn push_layers(upload: &Upload, layers: &[LayerToPush]) -> Result<Vec<Blob>, PushError> {
    let mut queue: Vec<&LayerToPush> = Vec::new();
    for layer in layers.iter().rev() {
        upload.progress.event(layer.diff_id.short(), PushEvent::Preparing);
        if queue.iter().all(|other| other.diff_id != layer.diff_id) {
            queue.push(layer);
        }
    }
    for layer in queue.iter().skip(UPLOADS_MAX) {
        upload.progress.event(layer.diff_id.short(), PushEvent::Waiting);
    }
    let next = AtomicUsize::new(0);
    let outcome: Mutex<Result<Vec<(Digest, Blob)>, PushError>> = Mutex::new(Ok(Vec::new()));
    let work = || {
        while let Some(layer) = queue.get(next.fetch_add(1, Ordering::Relaxed)) {
            let pushed = upload.layer(layer);
            let mut outcome = outcome.lock().unwrap_or_else(|poison| poison.into_inner());
            match (pushed, outcome.as_mut()) {
                (Ok(blob), Ok(blobs)) => blobs.push((layer.diff_id.clone(), blob)),
                (Err(error), Ok(_)) => {
                    *outcome = Err(error);
                    upload.given_up.cancel();
                }
                (_, Err(_)) => {}
            }
            if upload.given_up.is_cancelled() {
                break;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..UPLOADS_MAX.min(queue.len()) {
            scope.spawn(work);
        }
    });
    let blobs = outcome.into_inner().unwrap_or_else(|poison| poison.into_inner())?;
    let of = |layer: &LayerToPush| blobs.iter().find(|(diff_id, _)| *diff_id == layer.diff_id);
    Ok(layers.iter().filter_map(of).map(|(_, blob)| blob.clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_is_written_as_dockerd_writes_it() {
        let digest = |digit: &str| Digest::from_hex(&digit.repeat(64)).unwrap();
        let blob = |media_type, size_bytes, digit| Blob { media_type, size_bytes, digest: digest(digit) };
        let manifest = Manifest {
            schema_version: 2,
            media_type: media_type::DOCKER_MANIFEST,
            config: blob(media_type::DOCKER_CONFIG, 1470, "a"),
            layers: vec![blob(media_type::DOCKER_LAYER, 100, "b")],
        };
        let text = String::from_utf8(as_docker_writes(&manifest).unwrap()).unwrap();
        let expected = format!(
            "{{\n   \"schemaVersion\": 2,\n   \"mediaType\": \"application/vnd.docker.distribution.manifest.v2+json\",\n   \
             \"config\": {{\n      \"mediaType\": \"application/vnd.docker.container.image.v1+json\",\n      \"size\": 1470,\n      \
             \"digest\": \"{}\"\n   }},\n   \"layers\": [\n      {{\n         \
             \"mediaType\": \"application/vnd.docker.image.rootfs.diff.tar.gzip\",\n         \"size\": 100,\n         \
             \"digest\": \"{}\"\n      }}\n   ]\n}}",
            digest("a"),
            digest("b")
        );
        assert_eq!(text, expected);
    }
}
