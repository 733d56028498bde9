//! Who may pull and push: nobody asked, a password (Basic), or a token from `/token` (Bearer, distribution's token specification).

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, HOST};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

const TOKEN_LIFETIME_SECONDS: u32 = 300;

/// What a registry asks of its clients.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Authentication {
    #[default]
    Nobody,
    /// User and password with every request.
    Basic(Credentials),
    /// A token per repository; `/token` asks for `credentials` where there are some, and else gives to everybody.
    Bearer { service: String, credentials: Option<Credentials> },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    pub user: String,
    pub password: String,
}

/// The checks, and the tokens given out with the scope each is good for.
#[derive(Debug, Default)]
pub struct Gate {
    authentication: Authentication,
    tokens: Mutex<BTreeMap<String, Vec<String>>>,
}

impl Gate {
    pub fn new(authentication: Authentication) -> Self {
        Self { authentication, tokens: Mutex::default() }
    }

    /// `Err` holds the `WWW-Authenticate` header of the 401 to answer with. No repository: `/v2/` and the catalogue.
    pub fn admit(&self, headers: &HeaderMap, repository: Option<&str>, action: &str) -> Result<(), String> {
        let given = authorization(headers);
        match &self.authentication {
            Authentication::Nobody => Ok(()),
            Authentication::Basic(credentials) if given == Some(&credentials.header()) => Ok(()),
            Authentication::Basic(_) => Err(basic_challenge()),
            Authentication::Bearer { service, .. } => match self.token_admits(given, repository, action) {
                true => Ok(()),
                false => {
                    Err(bearer_challenge(headers, service, repository.map(|name| (name, action)), given.is_some()))
                }
            },
        }
    }

    fn token_admits(&self, given: Option<&str>, repository: Option<&str>, action: &str) -> bool {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let scopes = given.and_then(|header| header.strip_prefix("Bearer ")).and_then(|token| tokens.get(token));
        scopes.is_some_and(|scopes| {
            repository.is_none_or(|name| {
                let granted = |scope: &String| {
                    scope.strip_prefix(&format!("repository:{name}:")).is_some_and(|actions| grants(actions, action))
                };
                scopes.iter().any(granted)
            })
        })
    }

    /// The body of `/token`'s answer, or the `WWW-Authenticate` header of a 401. `None`: there is no `/token` here.
    pub fn token(&self, headers: &HeaderMap, query: &[(String, String)]) -> Option<Result<Value, String>> {
        let Authentication::Bearer { service, credentials } = &self.authentication else { return None };
        if credentials.as_ref().is_some_and(|wanted| authorization(headers) != Some(&wanted.header())) {
            return Some(Err(basic_challenge()));
        }
        let values = |key: &'static str| query.iter().filter(move |(k, _)| k == key).map(|(_, value)| value.clone());
        if values("service").any(|asked| asked != *service) {
            return Some(Err(basic_challenge()));
        }
        let scopes =
            values("scope").flat_map(|scope| scope.split(' ').map(str::to_owned).collect::<Vec<_>>()).collect();
        let token = format!("{:016x}{:016x}", random(), random());
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(token.clone(), scopes);
        Some(Ok(json!({"token": token, "access_token": token, "expires_in": TOKEN_LIFETIME_SECONDS})))
    }
}

impl Credentials {
    fn header(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", self.user, self.password)))
    }
}

fn authorization(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()
}

fn grants(actions: &str, wanted: &str) -> bool {
    actions.split(',').any(|action| action == wanted || action == "*")
}

fn basic_challenge() -> String {
    r#"Basic realm="layerlab registry""#.into()
}

fn bearer_challenge(headers: &HeaderMap, service: &str, repository: Option<(&str, &str)>, refused: bool) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let mut challenge = format!(r#"Bearer realm="http://{host}/token",service="{service}""#);
    if let Some((name, action)) = repository {
        let actions = if action == "pull" { "pull" } else { "pull,push" };
        challenge += &format!(r#",scope="repository:{name}:{actions}""#);
    }
    if refused {
        challenge += r#",error="invalid_token""#;
    }
    challenge
}

/// Std's only source of chance: the keys of a new hasher.
pub(super) fn random() -> u64 {
    RandomState::new().hash_one(0)
}
