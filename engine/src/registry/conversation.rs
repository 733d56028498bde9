//! Talking to one registry with the credentials it asks for: what pulling, pushing, searching and logging in have in common.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::WWW_AUTHENTICATE;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;

use super::body::{ERROR_BYTES_MAX, TOKEN_BYTES_MAX, limited_body};
use super::credentials::Credentials;
use super::endpoint::{Endpoint, Transport};
use super::reactor::Reactor;
use super::wire::Access;
use super::{PullError, RegistrySettings, certificates, credentials, remote, wire};

/// Tokens live at least so long (distribution's token specification).
const TOKEN_LIFETIME_SECONDS: u64 = 60;
/// A token that ends this soon is not used any more.
const TOKEN_RESERVE: Duration = Duration::from_secs(10);

/// A registry that has answered, and what it wants to know of its clients.
pub(super) struct Conversation<'a> {
    pub(super) reactor: &'a Reactor,
    client: Client,
    base_url: String,
    transport: Transport,
    credentials: Credentials,
    challenge: Challenge,
    /// By the scopes they are good for.
    tokens: Mutex<HashMap<String, (String, Instant)>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Challenge {
    Nothing,
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<OneError>,
    /// What Docker Hub says instead.
    details: Option<String>,
}

#[derive(Deserialize)]
struct OneError {
    code: String,
    #[serde(default)]
    message: String,
}

impl<'a> Conversation<'a> {
    /// Prepares to speak; nothing is sent yet.
    pub(super) fn new(
        reactor: &'a Reactor,
        endpoint: &Endpoint,
        settings: &RegistrySettings,
    ) -> Result<Conversation<'a>, PullError> {
        let credentials = credentials::look_up(settings.credentials.as_deref(), &endpoint.credentials_key)?;
        Conversation::with_credentials(reactor, endpoint, settings, credentials)
    }

    pub(super) fn with_credentials(
        reactor: &'a Reactor,
        endpoint: &Endpoint,
        settings: &RegistrySettings,
        credentials: Credentials,
    ) -> Result<Conversation<'a>, PullError> {
        Ok(Conversation {
            reactor,
            client: client(endpoint, settings)?,
            base_url: endpoint.base_url(),
            transport: endpoint.transport,
            credentials,
            challenge: Challenge::Nothing,
            tokens: Mutex::default(),
        })
    }

    /// Asks whether there is a registry, and what it wants to know; returns its status.
    pub(super) fn greet(&mut self) -> Result<StatusCode, PullError> {
        let response = self.hear()?;
        match response.status() {
            status if status.is_success() || status == StatusCode::UNAUTHORIZED => Ok(status),
            _ => Err(self.refusal(response)),
        }
    }

    /// Asks what the registry wants to know, whatever else it answers.
    pub(super) fn hear(&mut self) -> Result<Response, PullError> {
        let url = self.url("/v2/");
        let response = self.plainly(self.client.get(&url), "Get", &url)?;
        self.challenge = challenge_of(&response).unwrap_or(Challenge::Nothing);
        Ok(response)
    }

    /// How the registry is told who asks.
    pub(super) fn access(&self) -> Access {
        match (&self.challenge, &self.credentials) {
            (Challenge::Bearer { .. }, _) => Access::Token,
            (_, Credentials::Basic(..)) => Access::Password,
            (_, Credentials::Anonymous) => Access::Anonymous,
        }
    }

    /// A request that tells the registry who asks.
    pub(super) fn request(&self, method: Method, url: &str, scopes: &[String]) -> Result<RequestBuilder, PullError> {
        self.authorized(self.client.request(method, url), url, scopes)
    }

    /// `/v2/…` of this registry, whole.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }

    /// Sends what `prepare` makes of the request; asks for a new token once when the one it had is not enough.
    pub(super) fn send(
        &self,
        method: Method,
        url: &str,
        scopes: &[String],
        prepare: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, PullError> {
        let verb = go_verb(&method);
        let request = self.request(method.clone(), url, scopes)?;
        let response = self.plainly(prepare(request), verb, url)?;
        let wanted = challenge_of(&response);
        match wanted {
            Some(Challenge::Bearer { scope: Some(scope), .. })
                if response.status() == StatusCode::UNAUTHORIZED && !scopes.contains(&scope) =>
            {
                let scopes = [scopes, std::slice::from_ref(&scope)].concat();
                let request = self.request(method, url, &scopes)?;
                self.plainly(prepare(request), verb, url)
            }
            _ => Ok(response),
        }
    }

    /// The error that an answer is.
    pub(super) fn refusal(&self, response: Response) -> PullError {
        let status = response.status();
        if status.is_server_error() {
            return PullError::HttpStatus { status: status.as_u16() };
        }
        // What is too long to be an error's text is none.
        let body = self.reactor.wait(limited_body(response, ERROR_BYTES_MAX)).unwrap_or_default();
        let (errors, details) =
            serde_json::from_slice(&body).map_or((Vec::new(), None), |said: Errors| (said.errors, said.details));
        if let Some(error) = errors.into_iter().next() {
            let code = error.code.to_lowercase().replace('_', " ");
            let message = if error.message.is_empty() { code.clone() } else { error.message };
            return PullError::Registry { code, message };
        }
        let said = |code: &str, message: &str| PullError::Registry { code: code.into(), message: message.into() };
        match status {
            StatusCode::UNAUTHORIZED => said("unauthorized", details.as_deref().unwrap_or("authentication required")),
            StatusCode::FORBIDDEN => said("denied", "requested access to the resource is denied"),
            _ => PullError::HttpStatus { status: status.as_u16() },
        }
    }

    /// Asks with the credentials, whatever the registry wants of them: whether they are good.
    pub(super) fn try_credentials(&self) -> Result<StatusCode, PullError> {
        let url = self.url("/v2/");
        let request = self.authorized(self.client.get(&url), &url, &[])?;
        Ok(self.plainly(request, "Get", &url)?.status())
    }

    /// A GET with the user's password, if there is one, as version 1 of the protocol has it.
    pub(super) fn get_plainly(&self, url: &str) -> Result<Response, PullError> {
        let request = match &self.credentials {
            Credentials::Basic(user, password) => self.client.get(url).basic_auth(user, Some(password)),
            Credentials::Anonymous => self.client.get(url),
        };
        self.plainly(request, "Get", url)
    }

    fn plainly(&self, request: RequestBuilder, verb: &'static str, url: &str) -> Result<Response, PullError> {
        self.reactor.wait(async { request.send().await }).map_err(|error| wire::request_failed(&error, verb, url))
    }

    /// Adds what the registry wants to know; other hosts, to which an upload may lead, are told nothing.
    fn authorized(&self, request: RequestBuilder, url: &str, scopes: &[String]) -> Result<RequestBuilder, PullError> {
        let origin = |url: &str| Url::parse(url).ok().map(|url| url.origin());
        if origin(url) != origin(&self.base_url) {
            return Ok(request);
        }
        match (&self.challenge, &self.credentials) {
            (Challenge::Nothing, _) => Ok(request),
            (Challenge::Basic, Credentials::Basic(user, password)) => Ok(request.basic_auth(user, Some(password))),
            (Challenge::Basic, Credentials::Anonymous) => Err(PullError::MissingCredentials),
            (Challenge::Bearer { realm, service, .. }, _) => {
                Ok(request.bearer_auth(self.token(realm, service.as_deref(), scopes)?))
            }
        }
    }

    fn token(&self, realm: &str, service: Option<&str>, scopes: &[String]) -> Result<String, PullError> {
        let key = scopes.join(" ");
        let known = self.tokens.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some((token, end)) = known
            && end > Instant::now() + TOKEN_RESERVE
        {
            return Ok(token);
        }
        if self.transport == Transport::Https && Url::parse(realm).is_ok_and(|realm| realm.scheme() != "https") {
            return Err(PullError::PlainRealm { registry: self.base_url.clone(), realm: realm.to_owned() });
        }
        let mut query: Vec<(&str, &str)> = service.map(|service| ("service", service)).into_iter().collect();
        query.extend(scopes.iter().map(|scope| ("scope", scope.as_str())));
        let mut request = self.client.get(realm);
        if let Credentials::Basic(user, password) = &self.credentials {
            query.push(("account", user));
            request = request.basic_auth(user, Some(password));
        }
        let response = self.plainly(request.query(&query), "Get", realm)?;
        if !response.status().is_success() {
            return Err(self.refusal(response));
        }
        let unreadable = || PullError::Registry {
            code: "unauthorized".to_owned(),
            message: format!("the token server {realm} sent no token"),
        };
        let body = self.reactor.wait(limited_body(response, TOKEN_BYTES_MAX))?;
        let given: Token = serde_json::from_slice(&body).map_err(|_| unreadable())?;
        let lifetime = Duration::from_secs(given.expires_in.unwrap_or(0).max(TOKEN_LIFETIME_SECONDS));
        let token = given.token.or(given.access_token).filter(|token| !token.is_empty()).ok_or_else(unreadable)?;
        let held = (token.clone(), Instant::now() + lifetime);
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(key, held);
        Ok(token)
    }
}

/// `Get` for GET, as Go's errors name methods.
fn go_verb(method: &Method) -> &'static str {
    match *method {
        Method::HEAD => "Head",
        Method::POST => "Post",
        Method::PUT => "Put",
        Method::PATCH => "Patch",
        _ => "Get",
    }
}

/// What the answer's `WWW-Authenticate` wants; a Bearer challenge is preferred where there are several.
fn challenge_of(response: &Response) -> Option<Challenge> {
    let texts = response.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let mut found = None;
    for challenge in texts.filter_map(|text| http_auth::parse_challenges(text).ok()).flatten() {
        let parameter = |name: &str| {
            let value = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            value.map(|(_, value)| value.to_unescaped())
        };
        if challenge.scheme.eq_ignore_ascii_case("bearer")
            && let Some(realm) = parameter("realm")
        {
            return Some(Challenge::Bearer { realm, service: parameter("service"), scope: parameter("scope") });
        }
        if challenge.scheme.eq_ignore_ascii_case("basic") {
            found = Some(Challenge::Basic);
        }
    }
    found
}

fn client(endpoint: &Endpoint, settings: &RegistrySettings) -> Result<Client, PullError> {
    remote::prepare_tls();
    let mut builder = Client::builder()
        .user_agent(remote::USER_AGENT)
        .connect_timeout(remote::CONNECT_TIMEOUT)
        .read_timeout(remote::READ_TIMEOUT)
        // Plain HTTP needs no certificates, and loading them takes a while.
        .tls_danger_accept_invalid_certs(endpoint.transport != Transport::Https);
    if endpoint.transport == Transport::Http {
        builder = builder.no_proxy();
    }
    let url = endpoint.base_url();
    let failed = |error: reqwest::Error| wire::request_failed(&error, "Get", &url);
    let authorities = certificates::authorities(&endpoint.host, settings)?;
    let authorities: Result<Vec<_>, _> =
        authorities.iter().map(|pem| reqwest::Certificate::from_pem(pem.as_bytes())).collect();
    builder.tls_certs_merge(authorities.map_err(failed)?).build().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_with_tls_cannot_have_the_password_sent_without() {
        let reactor = Reactor::start().unwrap();
        let token_from = |realm: &str, transport| {
            let host = "registry.example".to_owned();
            let endpoint = Endpoint { credentials_key: host.clone(), host, transport };
            let credentials = Credentials::Basic("jane".to_owned(), "secret".to_owned());
            let settings = RegistrySettings::default();
            let conversation = Conversation::with_credentials(&reactor, &endpoint, &settings, credentials).unwrap();
            conversation.token(realm, None, &[]).unwrap_err()
        };
        // Nobody listens there: a realm that is asked is one that cannot be reached.
        let plain = "http://127.0.0.1:9/token";
        let refused = token_from(plain, Transport::Https);
        assert!(matches!(&refused, PullError::PlainRealm { realm, .. } if realm == plain), "{refused}");
        for (realm, transport) in [
            ("https://127.0.0.1:9/token", Transport::Https),
            (plain, Transport::HttpsUnverified),
            (plain, Transport::Http),
        ] {
            assert!(matches!(token_from(realm, transport), PullError::Transport { .. }), "{realm}");
        }
    }
}
