//! From a request to its answer: the OCI distribution specification, with error bodies as it has them. What writes is in `uploads`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header::{
    ACCEPT, ACCEPT_RANGES, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LINK, LOCATION, RANGE,
    RETRY_AFTER, USER_AGENT, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::Response;
use serde_json::{Value, json};

use super::auth::Gate;
use super::body::{self, Slice};
use super::catalogue::{Catalogue, Manifest, Repository};
use super::fault::{Faults, Misbehaviour, Wanted};
use super::search::{self, Listed};
use super::uploads::Uploads;
use super::{Log, RegistryOptions, Served};

pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// What the answers are made from.
pub struct Registry {
    catalogue: Mutex<Catalogue>,
    pub(super) uploads: Uploads,
    index: Vec<Listed>,
    gate: Gate,
    faults: Faults,
    log: Log,
}

/// A request without its body.
#[derive(Clone, Copy)]
struct Head<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    query: &'a [(String, String)],
}

/// What a path names (distribution-spec, "Endpoints").
#[derive(Debug, Clone, Copy)]
enum Endpoint<'a> {
    Base,
    Token,
    Catalogue,
    Tags {
        name: &'a str,
    },
    /// Where uploads begin.
    Uploads {
        name: &'a str,
    },
    Upload {
        name: &'a str,
        id: &'a str,
    },
    /// Version 1 of Docker's protocol: whether there is anybody, and the index.
    Ping,
    Search,
    Manifest {
        name: &'a str,
        reference: &'a str,
    },
    Blob {
        name: &'a str,
        digest: &'a str,
    },
    /// Where [`Misbehaviour::Redirect`] may send clients: a store of blobs that knows no repositories and no users.
    Elsewhere {
        digest: &'a str,
    },
    Nothing,
}

/// An answer that is an error: status, code and message of its JSON body, and one more header.
pub(super) type Refusal = (StatusCode, &'static str, String, Option<(HeaderName, String)>);

impl Registry {
    pub fn new(catalogue: Catalogue, options: RegistryOptions, log: Log) -> Self {
        let gate = Gate::new(options.authentication);
        let (catalogue, faults) = (Mutex::new(catalogue), Faults::new(options.faults));
        Self { catalogue, uploads: Uploads::default(), index: options.index, gate, faults, log }
    }
}

/// Answers one request and writes it down.
pub async fn answer(
    State(registry): State<Arc<Registry>>,
    Query(query): Query<Vec<(String, String)>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let endpoint = Endpoint::of(uri.path());
    let fault = registry.faults.take(endpoint.wanted());
    let head = Head { method: &method, uri: &uri, headers: &headers, query: &query };
    let mut response = match registry.respond(endpoint, head, body, fault.as_ref()).await {
        Ok(response) => response,
        Err(refusal) => refuse(refusal),
    };
    response.headers_mut().insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    let header = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::to_owned);
    registry.log.lock().unwrap_or_else(PoisonError::into_inner).push(Served {
        method: method.to_string(),
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        status: response.status().as_u16(),
        authorization: header(AUTHORIZATION),
        range: header(RANGE),
        user_agent: header(USER_AGENT),
        fault,
    });
    response
}

impl<'a> Endpoint<'a> {
    fn of(path: &'a str) -> Self {
        match path {
            "/token" => return Self::Token,
            "/v1/_ping" => return Self::Ping,
            "/v1/search" => return Self::Search,
            _ => {}
        }
        let Some(rest) = path.strip_prefix("/v2") else {
            return match path.rsplit_once('/') {
                Some((_, digest)) if digest.starts_with("sha256:") => Self::Elsewhere { digest },
                _ => Self::Nothing,
            };
        };
        match rest {
            "" | "/" => return Self::Base,
            "/_catalog" => return Self::Catalogue,
            _ => {}
        }
        let rest = rest.strip_prefix('/').unwrap_or_default();
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return Self::Tags { name };
        }
        if let Some((name, id)) = rest.rsplit_once("/blobs/uploads") {
            return match id.strip_prefix('/').unwrap_or_default() {
                "" => Self::Uploads { name },
                id => Self::Upload { name, id },
            };
        }
        match (rest.rsplit_once("/manifests/"), rest.rsplit_once("/blobs/")) {
            (Some((name, reference)), _) => Self::Manifest { name, reference },
            (None, Some((name, digest))) => Self::Blob { name, digest },
            (None, None) => Self::Nothing,
        }
    }

    fn wanted(self) -> Wanted<'a> {
        match self {
            Self::Base => Wanted::Base,
            Self::Token => Wanted::Token,
            Self::Manifest { reference, .. } => Wanted::Manifest { by_digest: reference.contains(':') },
            Self::Blob { digest, .. } => Wanted::Blob { digest },
            Self::Uploads { .. } | Self::Upload { .. } => Wanted::Upload,
            _ => Wanted::Other,
        }
    }

    fn repository(self) -> Option<&'a str> {
        match self {
            Self::Uploads { name } | Self::Upload { name, .. } => Some(name),
            Self::Tags { name } | Self::Manifest { name, .. } | Self::Blob { name, .. } => Some(name),
            _ => None,
        }
    }

    /// Whether the method changes what the path names.
    fn is_written_with(self, method: &Method) -> bool {
        match self {
            Self::Uploads { .. } => *method == Method::POST,
            Self::Upload { .. } => matches!(*method, Method::GET | Method::PATCH | Method::PUT | Method::DELETE),
            Self::Manifest { .. } => *method == Method::PUT,
            _ => false,
        }
    }

    /// Whether the path lies outside of what [`super::Authentication`] guards.
    fn is_open(self) -> bool {
        matches!(self, Self::Token | Self::Elsewhere { .. } | Self::Ping | Self::Search)
    }
}

impl Registry {
    async fn respond(
        &self,
        endpoint: Endpoint<'_>,
        head: Head<'_>,
        body: Body,
        fault: Option<&Misbehaviour>,
    ) -> Result<Response, Refusal> {
        let Head { method, uri, headers, query } = head;
        let writes = endpoint.is_written_with(method);
        let reads = matches!(*method, Method::GET | Method::HEAD);
        if !(reads || writes && self.catalogue().is_writable()) {
            let message = format!("{method} is not supported here");
            return Err((StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message, None));
        }
        if !endpoint.is_open() {
            let action = if writes { "push" } else { "pull" };
            self.gate.admit(headers, endpoint.repository(), action).map_err(unauthorized)?;
        }
        if let Some(instead) = fault.and_then(|fault| instead(fault, endpoint, uri)) {
            return instead;
        }
        match endpoint {
            Endpoint::Uploads { name } if writes => self.begin_upload(name, query, body).await,
            Endpoint::Upload { name, id } => self.upload(name, id, method, headers, query, body).await,
            Endpoint::Manifest { name, reference } if writes => self.put_manifest(name, reference, headers, body).await,
            Endpoint::Ping => Ok(json_response(&json!(true), fault)),
            Endpoint::Search => Ok(json_response(&search::answer(&self.index, query), fault)),
            Endpoint::Base => Ok(json_response(&json!({}), fault)),
            Endpoint::Token => match self.gate.token(headers, query) {
                Some(answer) => answer.map(|token| json_response(&token, fault)).map_err(unauthorized),
                None => Err(no_such_page(uri)),
            },
            Endpoint::Catalogue => {
                let names = self.catalogue().names().map(str::to_owned).collect();
                Ok(page_response(uri, query, "repositories", names, None))
            }
            Endpoint::Tags { name } => {
                let tags = self.repository(name)?.tags.keys().cloned().collect();
                Ok(page_response(uri, query, "tags", tags, Some(name)))
            }
            Endpoint::Manifest { name, reference } => {
                let repository = self.repository(name)?;
                let manifest = negotiate(&repository, reference, headers)?;
                self.manifest_response(manifest, fault).await
            }
            Endpoint::Blob { name, digest } => {
                let known = self.repository(name)?.blobs.contains_key(digest);
                known.then_some(()).ok_or_else(|| unknown_blob(digest))?;
                self.blob_response(digest, headers, fault).await
            }
            Endpoint::Elsewhere { digest } => self.blob_response(digest, headers, fault).await,
            Endpoint::Nothing | Endpoint::Uploads { .. } => Err(no_such_page(uri)),
        }
    }

    /// Nothing is awaited while it is held.
    pub(super) fn catalogue(&self) -> MutexGuard<'_, Catalogue> {
        self.catalogue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn repository(&self, name: &str) -> Result<Repository, Refusal> {
        self.catalogue().repository(name).cloned().ok_or_else(|| {
            let message = format!("repository name not known to registry: {name}");
            (StatusCode::NOT_FOUND, "NAME_UNKNOWN", message, None)
        })
    }

    async fn manifest_response(&self, manifest: &Manifest, fault: Option<&Misbehaviour>) -> Result<Response, Refusal> {
        let descriptor = &manifest.descriptor;
        let path = self.catalogue().blob_path(&descriptor.digest).map_err(broken_store)?;
        let bytes = tokio::fs::read(&path).await.map_err(|e| broken_store(format!("{}: {e}", path.display())))?;
        let size_bytes = bytes.len() as u64;
        let mut response = Response::new(body::of_bytes(bytes, fault));
        set(&mut response, CONTENT_TYPE, &descriptor.media_type);
        set(&mut response, CONTENT_LENGTH, &size_bytes.to_string());
        set(&mut response, CONTENT_DIGEST, &descriptor.digest);
        Ok(response)
    }

    async fn blob_response(
        &self,
        digest: &str,
        headers: &HeaderMap,
        fault: Option<&Misbehaviour>,
    ) -> Result<Response, Refusal> {
        let path = self.catalogue().blob_path(digest).map_err(|_| unknown_blob(digest))?;
        let size_bytes = tokio::fs::metadata(&path).await.map_err(|_| unknown_blob(digest))?.len();
        let range = headers.get(RANGE).and_then(|range| range.to_str().ok());
        let part = range.and_then(|range| parse_range(range, size_bytes));
        let slice = match part {
            Some(None) => {
                let message = format!("the blob has {size_bytes} bytes");
                let allowed = Some((CONTENT_RANGE, format!("bytes */{size_bytes}")));
                return Err((StatusCode::RANGE_NOT_SATISFIABLE, "SIZE_INVALID", message, allowed));
            }
            Some(Some(slice)) => slice,
            None => Slice { from: 0, to: size_bytes },
        };
        let body = body::of_file(&path, slice, fault).await.map_err(broken_store)?;
        let mut response = Response::new(body);
        if part.is_some() {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            set(&mut response, CONTENT_RANGE, &format!("bytes {}-{}/{size_bytes}", slice.from, slice.to - 1));
        }
        set(&mut response, CONTENT_TYPE, "application/octet-stream");
        set(&mut response, CONTENT_LENGTH, &slice.len().to_string());
        set(&mut response, ACCEPT_RANGES, "bytes");
        set(&mut response, CONTENT_DIGEST, digest);
        Ok(response)
    }
}

/// The answer of a fault that replaces the true one; faults of the body leave the rest as it is.
fn instead(fault: &Misbehaviour, endpoint: Endpoint, uri: &Uri) -> Option<Result<Response, Refusal>> {
    match fault {
        Misbehaviour::Status(code) => {
            let status = StatusCode::from_u16(*code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let code = if status == StatusCode::NOT_FOUND { not_found_code(endpoint) } else { "UNKNOWN" };
            Some(Err((status, code, "a fault, as ordered".into(), None)))
        }
        Misbehaviour::TooManyRequests { retry_after } => {
            let header = retry_after.map(|after| (RETRY_AFTER, after.as_secs().to_string()));
            let message = "too many requests: come back later".into();
            Some(Err((StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", message, header)))
        }
        Misbehaviour::Redirect { base } => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
            let location = match endpoint {
                Endpoint::Blob { digest, .. } => format!("{base}/{digest}"),
                _ => format!("{base}{}", uri.path()),
            };
            set(&mut response, LOCATION, &location);
            Some(Ok(response))
        }
        Misbehaviour::WrongContent | Misbehaviour::Truncated { .. } | Misbehaviour::Hanging { .. } => None,
    }
}

fn not_found_code(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Manifest { .. } => "MANIFEST_UNKNOWN",
        Endpoint::Blob { .. } | Endpoint::Elsewhere { .. } => "BLOB_UNKNOWN",
        _ => "NAME_UNKNOWN",
    }
}

/// The manifest in a form the client takes: an index where it does, else the index's manifest (RFC 9110, 12.5.1).
fn negotiate<'a>(repository: &'a Repository, reference: &str, headers: &HeaderMap) -> Result<&'a Manifest, Refusal> {
    let unknown = |message: String| (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", message, None);
    let asked = repository.manifest(reference).ok_or_else(|| unknown(format!("unknown tag or digest: {reference}")))?;
    let accepted: Vec<&str> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|range| range.split(';').next().unwrap_or_default().trim())
        .collect();
    let takes = |manifest: &Manifest| {
        accepted.is_empty() || accepted.iter().any(|range| covers(range, &manifest.descriptor.media_type))
    };
    let inner = || asked.first.as_ref().and_then(|digest| repository.manifests.get(digest));
    match takes(asked) {
        true => Ok(asked),
        false => inner().filter(|manifest| takes(manifest)).ok_or_else(|| {
            unknown(format!("{reference} is {}, which the Accept header does not take", asked.descriptor.media_type))
        }),
    }
}

fn covers(range: &str, media_type: &str) -> bool {
    match range.strip_suffix("/*") {
        Some("*") => true,
        Some(kind) => media_type.split('/').next() == Some(kind),
        None => range == media_type,
    }
}

/// One byte range (RFC 9110, 14.1.2): `None` for what is to be ignored, `Some(None)` for one outside of the blob.
fn parse_range(header: &str, size_bytes: u64) -> Option<Option<Slice>> {
    let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    let slice = match (first.parse::<u64>(), last) {
        (Ok(from), "") => Slice { from, to: size_bytes },
        (Ok(from), last) => Slice { from, to: last.parse::<u64>().ok()?.saturating_add(1).min(size_bytes) },
        (Err(_), suffix) if first.is_empty() => {
            Slice { from: size_bytes.saturating_sub(suffix.parse().ok()?), to: size_bytes }
        }
        _ => return None,
    };
    Some((slice.from < slice.to).then_some(slice))
}

/// A sorted list, in pages if the client asks with `n` and `last` (distribution-spec, "Listing Tags").
fn page_response(
    uri: &Uri,
    query: &[(String, String)],
    key: &str,
    mut items: Vec<String>,
    name: Option<&str>,
) -> Response {
    let asked = |key: &str| query.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str());
    if let Some(last) = asked("last") {
        items.retain(|item| item.as_str() > last);
    }
    let size = asked("n").and_then(|n| n.parse::<usize>().ok());
    let more = size.is_some_and(|size| size < items.len());
    items.truncate(size.unwrap_or(items.len()));
    let mut document = json!({});
    if let Some(name) = name {
        document["name"] = json!(name);
    }
    document[key] = json!(items);
    let mut response = json_response(&document, None);
    if let (true, Some(size), Some(last)) = (more, size, items.last()) {
        set(&mut response, LINK, &format!("<{}?n={size}&last={last}>; rel=\"next\"", uri.path()));
    }
    response
}

fn json_response(document: &Value, fault: Option<&Misbehaviour>) -> Response {
    let bytes = document.to_string().into_bytes();
    let size_bytes = bytes.len();
    let mut response = Response::new(body::of_bytes(bytes, fault));
    set(&mut response, CONTENT_TYPE, "application/json");
    set(&mut response, CONTENT_LENGTH, &size_bytes.to_string());
    response
}

/// The error body of distribution-spec, "Error Codes".
fn refuse((status, code, message, header): Refusal) -> Response {
    // Docker's client leaves a code's usual message away unless there is a detail, which real registries send.
    let mut response = json_response(&json!({"errors": [{"code": code, "message": message, "detail": {}}]}), None);
    *response.status_mut() = status;
    if let Some((name, value)) = header {
        set(&mut response, name, &value);
    }
    response
}

fn unauthorized(challenge: String) -> Refusal {
    let message = "authentication required".into();
    (StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message, Some((WWW_AUTHENTICATE, challenge)))
}

pub(super) fn unknown_blob(digest: &str) -> Refusal {
    (StatusCode::NOT_FOUND, "BLOB_UNKNOWN", format!("blob unknown to registry: {digest}"), None)
}

fn no_such_page(uri: &Uri) -> Refusal {
    (StatusCode::NOT_FOUND, "UNSUPPORTED", format!("nothing is served at {}", uri.path()), None)
}

pub(super) fn broken_store(error: impl std::fmt::Display) -> Refusal {
    (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", format!("the image store is damaged: {error}"), None)
}

/// Sets a header; a value HTTP cannot carry is left out.
pub(super) fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
