//! Response bodies: a part of a file or of memory, streamed in pieces, truthfully or with a fault in it.

use std::io::{self, SeekFrom};
use std::path::Path;
use std::time::Duration;

use axum::body::Body;
use futures_util::stream;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt};

use super::fault::Misbehaviour;

const PIECE_BYTES: u64 = 64 * 1024;
/// A body's error ends the connection with whatever hyper has not yet written, the head included: give it time to write.
const TIME_TO_FLUSH: Duration = Duration::from_millis(50);

/// A half-open range of a blob's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    pub from: u64,
    pub to: u64,
}

impl Slice {
    pub fn len(self) -> u64 {
        self.to - self.from
    }
}

/// The file's bytes in `slice`, with `fault` done to them.
pub async fn of_file(path: &Path, slice: Slice, fault: Option<&Misbehaviour>) -> io::Result<Body> {
    let mut file = File::open(path).await?;
    file.seek(SeekFrom::Start(slice.from)).await?;
    Ok(of_reader(file, slice.len(), fault))
}

/// The bytes, with `fault` done to them.
pub fn of_bytes(bytes: Vec<u8>, fault: Option<&Misbehaviour>) -> Body {
    let size_bytes = bytes.len() as u64;
    of_reader(io::Cursor::new(bytes), size_bytes, fault)
}

struct Progress<R> {
    reader: R,
    sent: u64,
    size_bytes: u64,
    fault: Option<Misbehaviour>,
}

fn of_reader<R>(reader: R, size_bytes: u64, fault: Option<&Misbehaviour>) -> Body
where
    R: AsyncRead + Unpin + Send + 'static,
{
    let progress = Progress { reader, sent: 0, size_bytes, fault: fault.cloned() };
    Body::from_stream(stream::try_unfold(progress, next_piece))
}

async fn next_piece<R: AsyncRead + Unpin>(mut progress: Progress<R>) -> io::Result<Option<(Vec<u8>, Progress<R>)>> {
    let end = match progress.fault {
        Some(Misbehaviour::Truncated { after_bytes } | Misbehaviour::Hanging { after_bytes }) => {
            after_bytes.min(progress.size_bytes)
        }
        _ => progress.size_bytes,
    };
    if progress.sent >= end {
        return match progress.fault {
            Some(Misbehaviour::Hanging { .. }) => std::future::pending().await,
            Some(Misbehaviour::Truncated { .. }) => {
                tokio::time::sleep(TIME_TO_FLUSH).await;
                Err(io::Error::other("closed early, as the fault says"))
            }
            _ => Ok(None),
        };
    }
    let wanted = PIECE_BYTES.min(end - progress.sent);
    let mut piece = Vec::with_capacity(wanted as usize);
    let read = (&mut progress.reader).take(wanted).read_to_end(&mut piece).await?;
    if read == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if progress.fault == Some(Misbehaviour::WrongContent) {
        turn_middle_bit(&mut piece, progress.sent, progress.size_bytes / 2);
    }
    progress.sent += read as u64;
    Ok(Some((piece, progress)))
}

/// Turns one bit of the byte at `middle` of the whole, if it lies in `piece`, which starts at `start`.
fn turn_middle_bit(piece: &mut [u8], start: u64, middle: u64) {
    if let Some(byte) = middle.checked_sub(start).and_then(|at| piece.get_mut(usize::try_from(at).ok()?)) {
        *byte ^= 1;
    }
}
