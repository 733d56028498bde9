//! All tags of a repository, for `docker pull --all-tags`.

use reqwest::{Method, header::LINK};
use serde::Deserialize;

use super::body::{ANSWER_BYTES_MAX, limited_body};
use super::conversation::Conversation;
use super::reactor::Reactor;
use super::{PullError, RegistrySettings, authorities, endpoint};
use crate::image::Reference;

/// More pages than this are no list of tags but a registry that leads in a circle.
const PAGES_MAX: usize = 10_000;
/// Longer lists, over all their pages, are not held in memory.
const LIST_BYTES_MAX: usize = 64 << 20;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

/// The tags of `reference`'s repository, in the registry's order; of the first endpoint that has it.
pub fn tags(reference: &Reference, settings: &RegistrySettings) -> Result<Vec<String>, PullError> {
    let _authorities = authorities::provide()?;
    let reactor = Reactor::start()?;
    let mut told = PullError::GivenUp;
    for endpoint in endpoint::endpoints(reference, settings)? {
        let mut conversation = Conversation::new(&reactor, &endpoint, settings)?;
        match conversation.greet().and_then(|_| tags_at(&conversation, reference)) {
            Err(error) if error.is_remote() => told = error,
            outcome => return outcome,
        }
    }
    Err(told)
}

fn tags_at(conversation: &Conversation, reference: &Reference) -> Result<Vec<String>, PullError> {
    let scope = format!("repository:{}:pull", reference.path());
    let mut url = conversation.url(&format!("/v2/{}/tags/list", reference.path()));
    let mut tags = Vec::new();
    let mut left_bytes = LIST_BYTES_MAX;
    for _ in 0..PAGES_MAX {
        let response = conversation.send(Method::GET, &url, std::slice::from_ref(&scope), |request| request)?;
        if !response.status().is_success() {
            return Err(match conversation.refusal(response) {
                PullError::Registry { code, message } if code == "name unknown" => {
                    PullError::RepositoryUnknown { name: reference.familiar_name(), message }
                }
                other => other,
            });
        }
        let next = response.headers().get(LINK).and_then(|link| link.to_str().ok()).and_then(next_page);
        let next = next.and_then(|next| response.url().join(next).ok());
        let body = conversation.reactor.wait(limited_body(response, ANSWER_BYTES_MAX.min(left_bytes)))?;
        left_bytes -= body.len();
        let page: Page = serde_json::from_slice(&body).map_err(|error| PullError::Registry {
            code: "unexpected answer".to_owned(),
            message: crate::image::go_json::reason(&error),
        })?;
        tags.extend(page.tags.unwrap_or_default());
        match next {
            Some(next) => url = next.into(),
            None => break,
        }
    }
    Ok(tags)
}

/// `</v2/x/tags/list?last=b>; rel="next"`
fn next_page(link: &str) -> Option<&str> {
    let (target, relation) = link.strip_prefix('<')?.split_once('>')?;
    relation.contains("next").then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checklist: RG-04~
    #[test]
    fn the_next_page_is_what_the_link_says() {
        assert_eq!(next_page("</v2/x/tags/list?n=1&last=a>; rel=\"next\""), Some("/v2/x/tags/list?n=1&last=a"));
        assert_eq!(next_page("</v2/x>; rel=\"previous\""), None);
    }
}
