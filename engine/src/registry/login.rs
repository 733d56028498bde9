//! Logging in: whether a registry takes a user's password.

use super::conversation::Conversation;
use super::credentials::Credentials;
use super::reactor::Reactor;
use super::{PullError, RegistrySettings, authorities, endpoint};

/// Why nobody was logged in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    #[error(transparent)]
    Registry(#[from] PullError),
    #[error("login attempt to {url} failed with status: {status}")]
    Refused { url: String, status: String },
}

/// Under which key the docker client keeps the credentials of `server`, which may be a URL; `None` is Docker Hub.
pub fn server_key(server: Option<&str>) -> String {
    let Some(server) = server.filter(|server| *server != endpoint::HUB_CREDENTIALS_KEY) else {
        return endpoint::HUB_CREDENTIALS_KEY.to_owned();
    };
    let rest = server.strip_prefix("https://").or_else(|| server.strip_prefix("http://")).unwrap_or(server);
    let host = rest.split('/').next().unwrap_or(rest);
    if endpoint::is_hub(host) { endpoint::HUB_CREDENTIALS_KEY.to_owned() } else { host.to_owned() }
}

/// Asks the registry with the key `key` (see [`server_key`]) whether it knows the user.
pub fn login(key: &str, user: &str, password: &str, settings: &RegistrySettings) -> Result<(), LoginError> {
    let _authorities = authorities::provide().map_err(PullError::from)?;
    let reactor = Reactor::start().map_err(PullError::from)?;
    let host = if key == endpoint::HUB_CREDENTIALS_KEY { "docker.io" } else { key };
    let mut told = PullError::GivenUp;
    for endpoint in endpoint::of_server(host, settings) {
        let credentials = Credentials::Basic(user.to_owned(), password.to_owned());
        let mut conversation = Conversation::with_credentials(&reactor, &endpoint, settings, credentials)?;
        if let Err(error) = conversation.greet() {
            told = error;
            continue;
        }
        let status = match conversation.try_credentials() {
            Ok(status) if status.is_success() => return Ok(()),
            Ok(status) => status,
            // A token server that does not know the user.
            Err(PullError::Registry { code, message }) => {
                let url = conversation.url("/v2/");
                return Err(PullError::Refused { url, reason: format!("{code}: {message}") }.into());
            }
            Err(error) => return Err(error.into()),
        };
        let reason = status.canonical_reason().unwrap_or_default();
        let status = format!("{} {reason}", status.as_u16()).trim_end().to_owned();
        return Err(LoginError::Refused { url: conversation.url("/v2/"), status });
    }
    Err(told.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_known_by_its_host() {
        let hub = "https://index.docker.io/v1/";
        let rows = [
            (None, hub),
            (Some(hub), hub),
            (Some("docker.io"), hub),
            (Some("127.0.0.1:5000"), "127.0.0.1:5000"),
            (Some("https://r.io/v2/"), "r.io"),
        ];
        for (server, key) in rows {
            assert_eq!(server_key(server), key);
        }
    }
}
