//! Downloads, unpacks and verifies the layers of an image side by side, each in one stream.

use std::cell::RefCell;
use std::error::Error;
use std::io::{self, Read};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::read::MultiGzDecoder;
use tokio_util::sync::CancellationToken;

use super::blob::{BlobReader, Download};
use super::remote::Remote;
use super::zstd::{self, ZstdReader};
use super::{LayerEvent, LayerToPull, PullError, PullProgress, PullSink, Retries};
use crate::image::manifest::Descriptor;
use crate::image::{Digest, DigestReader};
use crate::layer::chain_id;

/// As many as dockerd downloads at once (`max-concurrent-downloads`).
const DOWNLOADS_MAX: usize = 3;

/// Names the layers of an image: blobs from its manifest, diff IDs from its configuration, chain IDs from those
/// (image-spec `config.md`, "Layer ChainID").
pub(super) fn layers_of(blobs: &[Descriptor], diff_ids: &[Digest]) -> Result<Vec<LayerToPull>, PullError> {
    if blobs.len() != diff_ids.len() {
        return Err(PullError::LayerCount { layers: blobs.len(), diff_ids: diff_ids.len() });
    }
    let mut parent = None;
    let mut layers = Vec::with_capacity(blobs.len());
    for (index, (blob, diff_id)) in blobs.iter().zip(diff_ids).enumerate() {
        let chain_id = chain_id(parent.as_ref(), diff_id);
        layers.push(LayerToPull {
            index,
            chain_id: chain_id.clone(),
            parent: parent.replace(chain_id),
            diff_id: diff_id.clone(),
            blob: blob.digest.clone(),
            compressed_size_bytes: blob.size_bytes,
        });
    }
    Ok(layers)
}

/// Has the sink unpack all `layers`; returns when all are verified or one has failed.
pub(super) fn fetch_all(
    remote: &Remote,
    layers: &[LayerToPull],
    sink: &dyn PullSink,
    progress: &dyn PullProgress,
    retries: Retries,
) -> Result<(), PullError> {
    for layer in layers {
        progress.event(layer.blob.short(), LayerEvent::PullingFsLayer);
    }
    for layer in layers.iter().skip(DOWNLOADS_MAX) {
        progress.event(layer.blob.short(), LayerEvent::Waiting);
    }
    let given_up = CancellationToken::new();
    let next = AtomicUsize::new(0);
    let first_failure = Mutex::new(None);
    let work = || {
        while let Some(layer) = layers.get(next.fetch_add(1, Ordering::Relaxed)) {
            let tell = |event| progress.event(layer.blob.short(), event);
            let download = Download { remote, given_up: &given_up, retries, tell: &tell };
            if let Err(error) = fetch(download, layer, sink) {
                first_failure.lock().unwrap_or_else(|poison| poison.into_inner()).get_or_insert(error);
                given_up.cancel();
            }
            if given_up.is_cancelled() {
                break;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..DOWNLOADS_MAX.min(layers.len()) {
            scope.spawn(work);
        }
    });
    first_failure.into_inner().unwrap_or_else(|poison| poison.into_inner()).map_or(Ok(()), Err)
}

/// One layer: network, digest of the compressed bytes, decompression, digest of the tar, sink.
fn fetch(download: Download, layer: &LayerToPull, sink: &dyn PullSink) -> Result<(), PullError> {
    let failure = RefCell::new(None);
    let blob = BlobReader::new(download, &layer.blob, layer.compressed_size_bytes, &failure);
    let mut compressed = DigestReader::new(blob);
    let unpacked = unpack(layer, &mut compressed, sink);
    let drained = match &unpacked {
        Err(_) if failure.borrow().is_some() => Ok(0),
        Err(error) if is_local(error) => return unpacked.map(drop),
        // Whatever else went wrong may come of wrong bytes, which is then the better reason: read on to know.
        _ => io::copy(&mut compressed, &mut io::sink()),
    };
    if let Some(error) = failure.take() {
        return Err(error);
    }
    drained.map_err(|source| PullError::Decompress { digest: layer.blob.clone(), source })?;
    (download.tell)(LayerEvent::VerifyingChecksum);
    verify_blob(layer, compressed)?;
    let diff_id = unpacked?;
    if diff_id != layer.diff_id {
        let (digest, promised) = (layer.blob.clone(), layer.diff_id.clone());
        return Err(PullError::DiffId { digest, promised, found: diff_id });
    }
    (download.tell)(LayerEvent::DownloadComplete);
    Ok(())
}

fn verify_blob<R: Read>(layer: &LayerToPull, compressed: DigestReader<R>) -> Result<(), PullError> {
    let (digest, sent_bytes) = compressed.finish();
    if digest != layer.blob {
        return Err(PullError::LayerVerification { digest: layer.blob.clone() });
    }
    let promised_bytes = layer.compressed_size_bytes;
    if sent_bytes != promised_bytes {
        return Err(PullError::LayerSize { digest, promised_bytes, sent_bytes });
    }
    Ok(())
}

/// Hands the layer's tar to the sink and reads what the sink leaves; returns the tar's digest.
fn unpack(layer: &LayerToPull, compressed: &mut dyn Read, sink: &dyn PullSink) -> Result<Digest, PullError> {
    let digest = || layer.blob.clone();
    let mut tar = DigestReader::new(decompressed(layer, compressed)?);
    sink.unpack(layer, &mut tar).map_err(|source| PullError::Sink { digest: digest(), source })?;
    io::copy(&mut tar, &mut io::sink()).map_err(|source| PullError::Decompress { digest: digest(), source })?;
    Ok(tar.finish().0)
}

/// Looks at the first bytes, as dockerd does: media types are often wrong.
fn decompressed<'r>(layer: &LayerToPull, compressed: &'r mut dyn Read) -> Result<Box<dyn Read + 'r>, PullError> {
    let mut head = Vec::new();
    let read = (&mut *compressed).take(6).read_to_end(&mut head);
    read.map_err(|source| PullError::Decompress { digest: layer.blob.clone(), source })?;
    let unsupported = |format| Err(PullError::Compression { digest: layer.blob.clone(), format });
    let is_zstd = head.starts_with(&zstd::MAGIC);
    let is_gzip = head.starts_with(&[0x1f, 0x8b]);
    if head.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
        return unsupported("xz");
    }
    if head.starts_with(b"BZh") {
        return unsupported("bzip2");
    }
    let whole = io::Cursor::new(head).chain(compressed);
    Ok(match (is_gzip, is_zstd) {
        (true, _) => Box::new(MultiGzDecoder::new(whole)),
        (_, true) => Box::new(ZstdReader::new(whole)),
        _ => Box::new(whole),
    })
}

/// Whether the operating system refused something to the sink (no space, no permission), whatever the bytes were.
fn is_local(error: &PullError) -> bool {
    let PullError::Sink { source, .. } = error else { return false };
    let first: &(dyn Error + 'static) = source.as_ref();
    std::iter::successors(Some(first), |&link| link.source())
        .filter_map(|link| link.downcast_ref::<io::Error>())
        .any(|error| error.raw_os_error().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(hex_digit: &str) -> Digest {
        Digest::from_hex(&hex_digit.repeat(64)).unwrap()
    }

    fn blob(digest: Digest) -> Descriptor {
        Descriptor { media_type: String::new(), digest, size_bytes: 1, platform: None }
    }

    /// Checklist: ID-01
    #[test]
    fn chain_ids_are_made_of_the_chain_below_and_the_diff_id() {
        let layers = layers_of(&[blob(digest("a")), blob(digest("b"))], &[digest("1"), digest("2")]).unwrap();
        let expected = Digest::of(format!("{} {}", digest("1"), digest("2")).as_bytes());
        assert_eq!((&layers[0].chain_id, &layers[0].parent), (&digest("1"), &None));
        assert_eq!((&layers[1].chain_id, &layers[1].parent), (&expected, &Some(digest("1"))));
        assert_eq!((layers[1].index, &layers[1].blob), (1, &digest("b")));
    }

    /// Checklist: ID-07
    #[test]
    fn a_manifest_with_more_layers_than_the_configuration_is_refused() {
        let error = layers_of(&[blob(digest("a"))], &[]).unwrap_err().to_string();
        assert!(error.starts_with("layers from manifest don't match image configuration"), "{error}");
    }

    #[test]
    fn only_what_the_operating_system_refused_is_local() {
        let sink = |source: io::Error| PullError::Sink { digest: digest("a"), source: Box::new(source) };
        assert!(is_local(&sink(io::Error::from_raw_os_error(28))), "no space left on device");
        assert!(!is_local(&sink(io::Error::other("corrupt deflate stream"))));
        assert!(!is_local(&PullError::UnexpectedEof));
    }
}
