//! The push side: uploads that are under way, and what has been pushed, kept beside the store that is served.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use axum::body::{self, Body};
use axum::http::header::{CONTENT_TYPE, LOCATION, RANGE};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use axum::response::Response;

use super::answer::{CONTENT_DIGEST, Refusal, Registry, broken_store, set, unknown_blob};
use crate::image::digest_of;

/// A body larger than this is refused: nobody pushes that into a lab.
const BODY_BYTES_MAX: usize = 1 << 30;
const MANIFEST_BYTES_MAX: usize = 4 << 20;
const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// The bytes of uploads, by their IDs.
#[derive(Debug, Default)]
pub struct Uploads {
    under_way: Mutex<HashMap<String, Vec<u8>>>,
}

impl Uploads {
    fn with<T>(&self, id: &str, act: impl FnOnce(&mut Vec<u8>) -> T) -> Result<T, Refusal> {
        let mut uploads = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.get_mut(id).map(act).ok_or_else(|| {
            (StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry".into(), None)
        })
    }
}

impl Registry {
    /// `POST /v2/<name>/blobs/uploads/`: a mount, a whole blob, or the begin of an upload.
    pub(super) async fn begin_upload(
        &self,
        name: &str,
        query: &[(String, String)],
        body: Body,
    ) -> Result<Response, Refusal> {
        let asked = |key: &str| query.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str());
        if let (Some(digest), Some(from)) = (asked("mount"), asked("from"))
            && self.catalogue().mount(name, from, digest)
        {
            return Ok(created(name, digest));
        }
        if let Some(digest) = asked("digest") {
            let bytes = whole(body, BODY_BYTES_MAX).await?;
            self.keep(name, digest, &bytes)?;
            return Ok(created(name, digest));
        }
        let id = format!("{:016x}{:016x}", super::auth::random(), super::auth::random());
        self.uploads.under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), Vec::new());
        Ok(under_way(StatusCode::ACCEPTED, name, &id, 0))
    }

    /// `GET`, `PATCH`, `PUT` and `DELETE` of an upload that is under way.
    pub(super) async fn upload(
        &self,
        name: &str,
        id: &str,
        method: &Method,
        headers: &HeaderMap,
        query: &[(String, String)],
        body: Body,
    ) -> Result<Response, Refusal> {
        let has_bytes = self.uploads.with(id, |bytes| bytes.len())?;
        match *method {
            Method::GET => Ok(under_way(StatusCode::NO_CONTENT, name, id, has_bytes)),
            Method::DELETE => {
                self.uploads.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
                Ok(empty(StatusCode::NO_CONTENT))
            }
            Method::PATCH => {
                check_range(headers, has_bytes)?;
                let more = whole(body, BODY_BYTES_MAX).await?;
                let has_bytes = self.uploads.with(id, |bytes| {
                    bytes.extend_from_slice(&more);
                    bytes.len()
                })?;
                Ok(under_way(StatusCode::ACCEPTED, name, id, has_bytes))
            }
            _ => {
                let rest = whole(body, BODY_BYTES_MAX).await?;
                let digest = query.iter().find(|(key, _)| key == "digest").map(|(_, digest)| digest.as_str());
                let digest = digest.ok_or_else(|| invalid("DIGEST_INVALID", "the digest of the blob is missing"))?;
                let bytes = self.uploads.with(id, |bytes| {
                    bytes.extend_from_slice(&rest);
                    bytes.clone()
                })?;
                self.keep(name, digest, &bytes)?;
                self.uploads.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
                Ok(created(name, digest))
            }
        }
    }

    /// `PUT /v2/<name>/manifests/<reference>`.
    pub(super) async fn put_manifest(
        &self,
        name: &str,
        reference: &str,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Response, Refusal> {
        let bytes = whole(body, MANIFEST_BYTES_MAX).await?;
        let digest = digest_of(&bytes);
        if reference.contains(':') && reference != digest {
            return Err(invalid("DIGEST_INVALID", "the manifest has another digest"));
        }
        let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let missing = self.catalogue().put_manifest(name, reference, media_type, &bytes).map_err(broken_store)?;
        if let Some(missing) = missing {
            let message = format!("blob unknown to registry: {missing}");
            return Err((StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN", message, None));
        }
        let mut response = empty(StatusCode::CREATED);
        set(&mut response, LOCATION, &format!("/v2/{name}/manifests/{digest}"));
        set(&mut response, CONTENT_DIGEST, &digest);
        Ok(response)
    }

    fn keep(&self, name: &str, digest: &str, bytes: &[u8]) -> Result<(), Refusal> {
        if digest_of(bytes) != digest {
            return Err(invalid("DIGEST_INVALID", "provided digest did not match uploaded content"));
        }
        self.catalogue().put_blob(name, digest, bytes).map_err(|_| unknown_blob(digest))
    }
}

async fn whole(body: Body, most_bytes: usize) -> Result<Vec<u8>, Refusal> {
    let bytes = body::to_bytes(body, most_bytes).await.map_err(|error| invalid("SIZE_INVALID", &error.to_string()))?;
    Ok(bytes.to_vec())
}

/// A chunk must go on where the upload is.
fn check_range(headers: &HeaderMap, has_bytes: usize) -> Result<(), Refusal> {
    let Some(range) = headers.get(axum::http::header::CONTENT_RANGE).and_then(|value| value.to_str().ok()) else {
        return Ok(());
    };
    match range.split_once('-').and_then(|(first, _)| first.parse::<usize>().ok()) {
        Some(first) if first == has_bytes => Ok(()),
        _ => {
            let message = format!("the upload has {has_bytes} bytes, the chunk is {range}");
            Err((StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID", message, None))
        }
    }
}

fn invalid(code: &'static str, message: &str) -> Refusal {
    (StatusCode::BAD_REQUEST, code, message.to_owned(), None)
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn created(name: &str, digest: &str) -> Response {
    let mut response = empty(StatusCode::CREATED);
    set(&mut response, LOCATION, &format!("/v2/{name}/blobs/{digest}"));
    set(&mut response, CONTENT_DIGEST, digest);
    response
}

fn under_way(status: StatusCode, name: &str, id: &str, has_bytes: usize) -> Response {
    let mut response = empty(status);
    set(&mut response, LOCATION, &format!("/v2/{name}/blobs/uploads/{id}"));
    set(&mut response, UPLOAD_ID, id);
    set(&mut response, RANGE, &format!("0-{}", has_bytes.saturating_sub(1)));
    response
}
