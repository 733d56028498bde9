//! A blob as a plain reader: it goes on where it was when the connection breaks.

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, Read};
use std::time::Duration;

use futures_util::StreamExt;
use tokio_util::bytes::{Buf, Bytes};
use tokio_util::sync::CancellationToken;

use super::remote::{BlobStream, Remote};
use super::{LayerEvent, PullError, Retries, wire};
use crate::image::Digest;

/// Progress is told after so many bytes, or after a hundredth of the blob if that is less.
const PROGRESS_STEP_BYTES: u64 = 512 * 1024;

/// What all downloads of a pull share, and whom this one tells.
#[derive(Clone, Copy)]
pub(super) struct Download<'a> {
    pub(super) remote: &'a Remote<'a>,
    pub(super) given_up: &'a CancellationToken,
    pub(super) retries: Retries,
    pub(super) tell: &'a dyn Fn(LayerEvent),
}

/// Reads one blob, at most as many bytes as promised. Digests are the caller's to check.
pub(super) struct BlobReader<'a> {
    download: Download<'a>,
    digest: &'a Digest,
    size_bytes: u64,
    /// Why `read` failed; its own error says less.
    failure: &'a RefCell<Option<PullError>>,
    stream: Option<BlobStream>,
    chunk: Bytes,
    position_bytes: u64,
    told_bytes: u64,
    attempts: u32,
    ended: bool,
}

impl<'a> BlobReader<'a> {
    pub(super) fn new(
        download: Download<'a>,
        digest: &'a Digest,
        size_bytes: u64,
        failure: &'a RefCell<Option<PullError>>,
    ) -> BlobReader<'a> {
        BlobReader {
            download,
            digest,
            size_bytes,
            failure,
            stream: None,
            chunk: Bytes::new(),
            position_bytes: 0,
            told_bytes: 0,
            attempts: 1,
            ended: false,
        }
    }

    /// Gets the next chunk, on a new connection if need be; leaves it empty at the end.
    fn fill(&mut self) -> Result<(), PullError> {
        loop {
            match self.try_fill() {
                Err(error) if error.is_transient() && self.attempts < self.download.retries.attempts_max => {
                    tracing::warn!(blob = %self.digest, attempt = self.attempts, %error, "download broke off");
                    self.stream = None;
                    self.pause()?;
                    self.attempts += 1;
                }
                outcome => return outcome,
            }
        }
    }

    fn try_fill(&mut self) -> Result<(), PullError> {
        let Download { remote, given_up, .. } = self.download;
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => unless(given_up, remote, remote.blob(self.digest, self.position_bytes)?.send())??,
        };
        while self.chunk.is_empty() {
            match unless(given_up, remote, stream.bytes.next())? {
                Some(Ok(bytes)) => self.accept(&mut stream, bytes)?,
                // All is here: a registry has nothing to say to whoever asks it to go on after the end.
                Some(Err(_)) | None if self.position_bytes == self.size_bytes => {
                    self.ended = true;
                    return Ok(());
                }
                Some(Err(error)) => {
                    return Err(wire::broken_stream(&error, &remote.blob_url(self.digest)));
                }
                // The length was kept, so what is missing is missing at the registry: the digest will tell.
                None if stream.has_length => {
                    self.ended = true;
                    return Ok(());
                }
                None => return Err(PullError::UnexpectedEof),
            }
        }
        self.stream = Some(stream);
        Ok(())
    }

    /// Takes what is new of `bytes`: a registry that cannot resume sends the beginning again.
    fn accept(&mut self, stream: &mut BlobStream, mut bytes: Bytes) -> Result<(), PullError> {
        let known = (self.position_bytes - stream.offset_bytes).min(bytes.len() as u64);
        bytes.advance(known as usize);
        stream.offset_bytes += known + bytes.len() as u64;
        self.position_bytes += bytes.len() as u64;
        if self.position_bytes > self.size_bytes {
            let (promised_bytes, sent_bytes) = (self.size_bytes, self.position_bytes);
            return Err(PullError::LayerSize { digest: self.digest.clone(), promised_bytes, sent_bytes });
        }
        self.chunk = bytes;
        Ok(())
    }

    fn pause(&self) -> Result<(), PullError> {
        let Download { remote, given_up, retries, tell } = self.download;
        let mut left = retries.pause * self.attempts;
        while !left.is_zero() {
            tell(LayerEvent::Retrying { seconds: left.as_secs_f64().ceil() as u64 });
            let step = left.min(Duration::from_secs(1));
            unless(given_up, remote, async { tokio::time::sleep(step).await })?;
            left -= step;
        }
        Ok(())
    }

    fn tell_progress(&mut self) {
        let step = PROGRESS_STEP_BYTES.min(self.size_bytes / 100).max(1);
        let due = if self.ended { 1 } else { step };
        if self.position_bytes >= self.told_bytes + due {
            self.told_bytes = self.position_bytes;
            let (done_bytes, total_bytes) = (self.position_bytes, self.size_bytes);
            (self.download.tell)(LayerEvent::Downloading { done_bytes, total_bytes });
        }
    }
}

impl Read for BlobReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() && !self.ended {
            self.fill().map_err(|error| {
                let shown = io::Error::other(error.to_string());
                self.failure.replace(Some(error));
                shown
            })?;
            self.tell_progress();
        }
        let count = self.chunk.len().min(buffer.len());
        self.chunk.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

/// Waits for `future`, but not longer than until the pull is given up.
fn unless<F: Future>(given_up: &CancellationToken, remote: &Remote, future: F) -> Result<F::Output, PullError> {
    remote.reactor.wait(given_up.run_until_cancelled(future)).ok_or(PullError::GivenUp)
}
