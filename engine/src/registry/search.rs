//! Searching a registry's index by words: version 1 of Docker's protocol, which Docker Hub still answers.

use reqwest::{StatusCode, Url};
use serde::Deserialize;

use super::body::{ANSWER_BYTES_MAX, limited_body};
use super::conversation::Conversation;
use super::endpoint::Transport;
use super::reactor::Reactor;
use super::{PullError, RegistrySettings, authorities, endpoint};
use crate::image::go_json;

/// One repository that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Found {
    pub name: String,
    pub description: String,
    pub star_count: i64,
    pub is_official: bool,
    pub is_automated: bool,
}

/// Why nothing was searched.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    #[error(transparent)]
    Registry(#[from] PullError),
    #[error("invalid registry endpoint {endpoint:?}. HTTPS attempt: {https}. HTTP attempt: {http}")]
    NoAnswer { endpoint: String, https: Box<PullError>, http: Box<PullError> },
    #[error(
        "invalid registry endpoint {url}: {source}. If this private registry supports only HTTP or HTTPS with an unknown CA \
         certificate, please add `--insecure-registry {host}` to the daemon's arguments. In the case of HTTPS, if you have \
         access to the registry's CA certificate, no need for the flag; simply place the CA certificate at \
         /etc/docker/certs.d/{host}/ca.crt"
    )]
    NotTrusted { url: String, host: String, source: Box<PullError> },
    #[error("Unexpected status code {0}")]
    Status(u16),
    #[error("the answer is no list of repositories: {}", go_json::reason(.0))]
    Answer(serde_json::Error),
}

#[derive(Deserialize)]
struct Answer {
    results: Option<Vec<Found>>,
}

/// Searches for `term`, which may name a registry before a slash (`127.0.0.1:5001/centos`); Docker Hub is asked otherwise.
/// At most `limit` repositories come back, in the registry's order.
pub fn search(term: &str, limit: u32, settings: &RegistrySettings) -> Result<Vec<Found>, SearchError> {
    let _authorities = authorities::provide().map_err(PullError::from)?;
    let reactor = Reactor::start().map_err(PullError::from)?;
    let (host, words) = split(term);
    let endpoints = endpoint::of_index(host, settings);
    let mut refusals = Vec::new();
    for endpoint in &endpoints {
        let conversation = Conversation::new(&reactor, endpoint, settings)?;
        // Docker Hub is known to be there, and is not asked.
        if !endpoint::is_hub(&endpoint.host)
            && let Err(error) = conversation.get_plainly(&conversation.url("/v1/_ping"))
        {
            refusals.push((endpoint, error));
            continue;
        }
        return ask(&conversation, words, limit);
    }
    let mut refusals = refusals.into_iter();
    let (endpoint, error) = refusals.next().ok_or(PullError::GivenUp)?;
    Err(match refusals.next() {
        Some((second, http)) => SearchError::NoAnswer {
            endpoint: format!("{}/v1/", second.base_url()),
            https: Box::new(error),
            http: Box::new(http),
        },
        None if endpoint.transport == Transport::Https => SearchError::NotTrusted {
            url: format!("{}/v1/", endpoint.base_url()),
            host: endpoint.host.clone(),
            source: Box::new(error),
        },
        None => error.into(),
    })
}

fn ask(conversation: &Conversation, words: &str, limit: u32) -> Result<Vec<Found>, SearchError> {
    let mut url = conversation.url("/v1/search");
    if let Ok(mut whole) = Url::parse(&url) {
        whole.query_pairs_mut().append_pair("q", words).append_pair("n", &limit.to_string());
        url = whole.into();
    }
    let response = conversation.get_plainly(&url)?;
    if response.status() != StatusCode::OK {
        return Err(SearchError::Status(response.status().as_u16()));
    }
    let body = conversation.reactor.wait(limited_body(response, ANSWER_BYTES_MAX))?;
    let answer: Answer = serde_json::from_slice(&body).map_err(SearchError::Answer)?;
    Ok(answer.results.unwrap_or_default())
}

/// The registry and the words, as dockerd tells them apart.
fn split(term: &str) -> (&str, &str) {
    let (host, words) = match term.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => ("docker.io", term),
    };
    (host, if endpoint::is_hub(host) { words.strip_prefix("library/").unwrap_or(words) } else { words })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_may_name_its_registry() {
        let rows = [
            ("centos", ("docker.io", "centos")),
            ("library/centos", ("docker.io", "centos")),
            ("jdeathe/centos-ssh", ("docker.io", "jdeathe/centos-ssh")),
            ("127.0.0.1:5001/centos", ("127.0.0.1:5001", "centos")),
            ("localhost/a/b", ("localhost", "a/b")),
        ];
        for (term, parts) in rows {
            assert_eq!(split(term), parts);
        }
    }
}
