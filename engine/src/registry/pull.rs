//! The pull itself: reference, manifest, configuration, layers, and only then registration.

use std::cell::RefCell;
use std::io::Read;

use tokio_util::sync::CancellationToken;

use super::blob::{BlobReader, Download};
use super::reactor::Reactor;
use super::remote::Remote;
use super::{
    LayerEvent, LayerToPull, PullError, PullProgress, PullSink, Pulled, RegistrySettings, Retries, authorities,
    endpoint, layers,
};
use crate::image::manifest::{Descriptor, ImageManifest, Manifest, ManifestError, Platform};
use crate::image::{Digest, ImageConfig, Reference};

/// Configurations are held in memory; real ones have a few kilobytes.
const CONFIG_SIZE_BYTES_MAX: u64 = 16 << 20;

/// Pulls the image that `reference` names (`latest` when it names neither tag nor digest) for `platform`, or this machine's.
///
/// Endpoints are asked in turn. When all have failed, the error is the last one's, unless an earlier one had the image
/// but broken: then that is the error, for it is the one that somebody must mend.
pub fn pull(
    reference: &Reference,
    platform: Option<&Platform>,
    settings: &RegistrySettings,
    sink: &dyn PullSink,
    progress: &dyn PullProgress,
) -> Result<Pulled, PullError> {
    let host = Platform::host();
    let platform = platform.unwrap_or(&host);
    let reference = reference.clone().with_default_tag();
    let name = reference.familiar_name();
    if name == "scratch" {
        return Err(PullError::Reserved { name });
    }
    let _authorities = authorities::provide()?;
    let reactor = Reactor::start()?;
    let mut told = PullError::GivenUp;
    let mut answered = None;
    for endpoint in endpoint::endpoints(&reference, settings)? {
        if answered.as_ref() == Some(&endpoint.host) {
            continue;
        }
        let outcome = Remote::connect(&reactor, &endpoint, &reference, settings)
            .and_then(|remote| pull_from(&remote, &reference, platform, settings.retries, sink, progress));
        let error = match outcome {
            Err(error) if error.is_remote() => error,
            finished => return finished,
        };
        tracing::info!(endpoint = %endpoint.base_url(), %error, "pull failed here");
        if !matches!(error, PullError::Transport { .. }) {
            answered = Some(endpoint.host);
        }
        if !told.is_broken_content() {
            told = error;
        }
    }
    Err(told)
}

fn pull_from(
    remote: &Remote,
    reference: &Reference,
    platform: &Platform,
    retries: Retries,
    sink: &dyn PullSink,
    progress: &dyn PullProgress,
) -> Result<Pulled, PullError> {
    let named = remote.manifest(None)?;
    progress.pulling_from(reference);
    let manifest_digest = named.digest();
    let manifest = image_manifest(remote, named, platform)?;
    let image_id = manifest.config.digest.clone();
    let manifest_raw = manifest.raw().to_vec();
    if sink.has_image(&image_id) {
        return Ok(Pulled { manifest_digest, manifest_raw, image_id, config: None, layers: Vec::new() });
    }
    if platform.os != Platform::host().os {
        return Err(PullError::UnsupportedSystem);
    }
    let config = image_config(remote, &manifest.config, retries)?;
    let layers = layers::layers_of(&manifest.layers, &config.view().rootfs.diff_ids)?;
    if layers.len() > sink.layers_max() {
        return Err(PullError::MaxDepth);
    }
    let known = layers.iter().take_while(|layer| sink.has_layer(&layer.chain_id)).count();
    let (existing, missing) = layers.split_at(known);
    for layer in existing {
        progress.event(layer.blob.short(), LayerEvent::AlreadyExists);
    }
    let outcome = layers::fetch_all(remote, missing, sink, progress, retries)
        .and_then(|()| missing.iter().try_for_each(|layer| register(layer, sink, progress)));
    if let Err(error) = outcome {
        missing.iter().rev().for_each(|layer| sink.discard(layer));
        return Err(error);
    }
    Ok(Pulled { manifest_digest, manifest_raw, image_id, config: Some(config), layers })
}

/// The image's own manifest: the named one, or of an index the one for the platform.
fn image_manifest(remote: &Remote, named: Manifest, platform: &Platform) -> Result<ImageManifest, PullError> {
    let index = match named {
        Manifest::Image(image) => return Ok(image),
        Manifest::Index(index) => index,
    };
    let entry = index.select(platform)?;
    match remote.manifest(Some(&entry.digest))? {
        Manifest::Image(image) => Ok(image),
        Manifest::Index(_) => {
            let (digest, media_type) = (entry.digest.clone(), entry.media_type.clone());
            Err(ManifestError::MediaType { digest, media_type }.into())
        }
    }
}

fn image_config(remote: &Remote, blob: &Descriptor, retries: Retries) -> Result<ImageConfig, PullError> {
    let (digest, size_bytes) = (blob.digest.clone(), blob.size_bytes);
    if size_bytes > CONFIG_SIZE_BYTES_MAX {
        return Err(PullError::ConfigTooLarge { digest, size_bytes, max_bytes: CONFIG_SIZE_BYTES_MAX });
    }
    let given_up = CancellationToken::new();
    let failure = RefCell::new(None);
    let download = Download { remote, given_up: &given_up, retries, tell: &|_| () };
    let mut raw = Vec::new();
    let read = BlobReader::new(download, &blob.digest, size_bytes, &failure).read_to_end(&mut raw);
    match failure.take() {
        Some(PullError::LayerSize { .. }) => return Err(PullError::ConfigVerification { digest }),
        Some(error) => return Err(error),
        None if read.is_err() || Digest::of(&raw) != digest => return Err(PullError::ConfigVerification { digest }),
        None => {}
    }
    let config = ImageConfig::from_raw(raw)?;
    match config.view().os.as_str() {
        "" | "linux" => Ok(config),
        os => Err(PullError::OperatingSystem { os: os.to_owned() }),
    }
}

fn register(layer: &LayerToPull, sink: &dyn PullSink, progress: &dyn PullProgress) -> Result<(), PullError> {
    let total_bytes = layer.compressed_size_bytes;
    progress.event(layer.blob.short(), LayerEvent::Extracting { done_bytes: total_bytes, total_bytes });
    sink.register(layer).map_err(|source| PullError::Sink { digest: layer.blob.clone(), source })?;
    progress.event(layer.blob.short(), LayerEvent::PullComplete);
    Ok(())
}
