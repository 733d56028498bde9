//! Credentials for a registry, from the docker client's `config.json`.

use std::collections::HashMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci_client::secrets::RegistryAuth;
use serde::Deserialize;

use super::PullError;

#[derive(Deserialize)]
struct ClientConfig {
    #[serde(default)]
    auths: HashMap<String, Auth>,
}

#[derive(Deserialize)]
struct Auth {
    /// base64 of `user:password`.
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
}

/// The credentials that the file at `path` has under `key`; anonymous when there is no file or no entry.
///
/// Keys may be host names or URLs. Credential helpers are programs and are not asked.
pub(super) fn look_up(path: Option<&Path>, key: &str) -> Result<RegistryAuth, PullError> {
    let Some(path) = path else { return Ok(RegistryAuth::Anonymous) };
    let failed = |reason: String| PullError::Credentials { path: path.to_owned(), reason };
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(RegistryAuth::Anonymous),
        Err(error) => return Err(failed(error.to_string())),
    };
    let config: ClientConfig = serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?;
    let entry = config.auths.iter().find(|(name, _)| host_of(name) == host_of(key));
    let Some((name, auth)) = entry else { return Ok(RegistryAuth::Anonymous) };
    decode(auth).ok_or_else(|| failed(format!("the auth of {name:?} is not base64 of user:password")))
}

fn decode(entry: &Auth) -> Option<RegistryAuth> {
    if entry.auth.is_empty() && entry.username.is_empty() {
        return Some(RegistryAuth::Anonymous);
    }
    if entry.auth.is_empty() {
        return Some(RegistryAuth::Basic(entry.username.clone(), entry.password.clone()));
    }
    let text = String::from_utf8(STANDARD.decode(&entry.auth).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some(RegistryAuth::Basic(user.to_owned(), password.trim_end_matches('\0').to_owned()))
}

fn host_of(name: &str) -> &str {
    let rest = name.split_once("://").map_or(name, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::super::endpoint::HUB_CREDENTIALS_KEY;
    use super::*;

    fn found(json: &str, key: &str) -> Result<RegistryAuth, PullError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        std::fs::write(&path, json).unwrap();
        look_up(Some(&path), key)
    }

    fn jane() -> RegistryAuth {
        RegistryAuth::Basic("jane".to_owned(), "se:cret".to_owned())
    }

    #[test]
    fn an_entry_is_found_by_host_or_url() {
        let entry = r#"{"auth":"amFuZTpzZTpjcmV0"}"#;
        assert_eq!(found(&format!(r#"{{"auths":{{"127.0.0.1:5000":{entry}}}}}"#), "127.0.0.1:5000").unwrap(), jane());
        assert_eq!(found(&format!(r#"{{"auths":{{"https://r.io/v2/":{entry}}}}}"#), "r.io").unwrap(), jane());
        let hub = format!(r#"{{"auths":{{"{HUB_CREDENTIALS_KEY}":{entry}}}}}"#);
        assert_eq!(found(&hub, HUB_CREDENTIALS_KEY).unwrap(), jane());
        assert_eq!(found(&hub, "127.0.0.1:5000").unwrap(), RegistryAuth::Anonymous);
    }

    #[test]
    fn no_file_and_no_entry_mean_anonymous() {
        assert_eq!(look_up(Some(Path::new("/nonexistent/config.json")), "x").unwrap(), RegistryAuth::Anonymous);
        assert_eq!(found("{}", "x").unwrap(), RegistryAuth::Anonymous);
        assert_eq!(found(r#"{"auths":{"x":{}}}"#, "x").unwrap(), RegistryAuth::Anonymous);
    }

    #[test]
    fn a_broken_file_is_named_in_the_error() {
        let message = found(r#"{"auths":{"x":{"auth":"%%"}}}"#, "x").unwrap_err().to_string();
        assert!(message.contains("config.json") && message.contains("\"x\""), "{message}");
    }
}
