//! A registry's answer as bytes in memory: never more of them than the caller is ready to hold.

use reqwest::Response;

use super::{PullError, wire};

/// A manifest, or a page of search results or tags. Docker's own limit for manifests.
pub(super) const ANSWER_BYTES_MAX: usize = 4 << 20;
/// What a registry or a token server says of an error.
pub(super) const ERROR_BYTES_MAX: usize = 64 << 10;
/// A token with what belongs to it; real ones have a few kilobytes.
pub(super) const TOKEN_BYTES_MAX: usize = 1 << 20;

/// The whole body, which has at most `max_bytes`.
///
/// # Errors
/// [`PullError::AnswerTooLarge`] as soon as the answer's length, or what has come of it, is more; what the network says.
pub(super) async fn limited_body(mut response: Response, max_bytes: usize) -> Result<Vec<u8>, PullError> {
    let url = response.url().to_string();
    let too_large = || PullError::AnswerTooLarge { url: url.clone(), max_bytes };
    if response.content_length().is_some_and(|length| length > max_bytes as u64) {
        return Err(too_large());
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| wire::request_failed(&error, "Get", &url))? {
        if chunk.len() > max_bytes - body.len() {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
