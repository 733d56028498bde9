//! Credentials for registries, in the docker client's `config.json`.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::PullError;
use crate::image::go_json;
use crate::sys::reason::reason;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    Anonymous,
    /// User and password.
    Basic(String, String),
}

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
pub(super) fn look_up(path: Option<&Path>, key: &str) -> Result<Credentials, PullError> {
    let Some(path) = path else { return Ok(Credentials::Anonymous) };
    let failed = |reason: String| PullError::Credentials { path: path.to_owned(), reason };
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Credentials::Anonymous),
        Err(error) => return Err(failed(reason(&error))),
    };
    let config: ClientConfig = serde_json::from_slice(&bytes).map_err(|error| failed(go_json::reason(&error)))?;
    let entry = config.auths.iter().find(|(name, _)| host_of(name) == host_of(key));
    let Some((name, auth)) = entry else { return Ok(Credentials::Anonymous) };
    decode(auth).ok_or_else(|| failed(format!("the auth of {name:?} is not base64 of user:password")))
}

/// The docker client's `config.json`, to be changed; what it holds beside `auths` stays as it is.
pub struct CredentialsFile {
    path: PathBuf,
    document: Map<String, Value>,
}

impl CredentialsFile {
    /// Reads the file; one that is not there is empty.
    pub fn open(path: &Path) -> Result<CredentialsFile, PullError> {
        let failed = |reason: String| PullError::Credentials { path: path.to_owned(), reason };
        let document = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed(go_json::reason(&error)))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Map::new(),
            Err(error) => return Err(failed(reason(&error))),
        };
        Ok(CredentialsFile { path: path.to_owned(), document })
    }

    /// User and password under `key`, if there are any.
    pub fn get(&self, key: &str) -> Result<Option<(String, String)>, PullError> {
        match look_up(Some(&self.path), key)? {
            Credentials::Basic(user, password) => Ok(Some((user, password))),
            Credentials::Anonymous => Ok(None),
        }
    }

    /// Keeps user and password under `key`.
    pub fn set(&mut self, key: &str, user: &str, password: &str) -> Result<(), PullError> {
        let auth = json!({"auth": STANDARD.encode(format!("{user}:{password}"))});
        let auths = self.document.entry("auths").or_insert_with(|| json!({}));
        match auths.as_object_mut() {
            Some(auths) => auths.insert(key.to_owned(), auth),
            None => return Err(self.failed("its auths are no object")),
        };
        self.save()
    }

    /// Forgets what is under the keys.
    pub fn remove(&mut self, keys: &[&str]) -> Result<(), PullError> {
        let Some(auths) = self.document.get_mut("auths").and_then(Value::as_object_mut) else { return Ok(()) };
        let before = auths.len();
        auths.retain(|name, _| !keys.contains(&name.as_str()));
        if auths.len() == before { Ok(()) } else { self.save() }
    }

    /// Written beside and renamed over, for the owner's eyes only, indented with tabs as Docker's client does.
    fn save(&self) -> Result<(), PullError> {
        // The file may be a link to the one that is meant.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let directory = path.parent().unwrap_or(Path::new("."));
        let write = || -> io::Result<()> {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
            let mut beside = tempfile::Builder::new().prefix("config.json").tempfile_in(directory)?;
            let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
            let mut bytes = Vec::new();
            self.document.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter))?;
            beside.write_all(&bytes)?;
            beside.as_file().set_permissions(fs::Permissions::from_mode(0o600))?;
            beside.as_file().sync_all()?;
            beside.persist(&path).map(drop).map_err(|error| error.error)
        };
        write().map_err(|error| self.failed(error))
    }

    fn failed(&self, reason: impl ToString) -> PullError {
        PullError::Credentials { path: self.path.clone(), reason: reason.to_string() }
    }
}

fn decode(entry: &Auth) -> Option<Credentials> {
    if entry.auth.is_empty() && entry.username.is_empty() {
        return Some(Credentials::Anonymous);
    }
    if entry.auth.is_empty() {
        return Some(Credentials::Basic(entry.username.clone(), entry.password.clone()));
    }
    let text = String::from_utf8(STANDARD.decode(&entry.auth).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some(Credentials::Basic(user.to_owned(), password.trim_end_matches('\0').to_owned()))
}

fn host_of(name: &str) -> &str {
    let rest = name.split_once("://").map_or(name, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::super::endpoint::HUB_CREDENTIALS_KEY;
    use super::*;

    fn found(json: &str, key: &str) -> Result<Credentials, PullError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        std::fs::write(&path, json).unwrap();
        look_up(Some(&path), key)
    }

    fn jane() -> Credentials {
        Credentials::Basic("jane".to_owned(), "se:cret".to_owned())
    }

    #[test]
    fn an_entry_is_found_by_host_or_url() {
        let entry = r#"{"auth":"amFuZTpzZTpjcmV0"}"#;
        assert_eq!(found(&format!(r#"{{"auths":{{"127.0.0.1:5000":{entry}}}}}"#), "127.0.0.1:5000").unwrap(), jane());
        assert_eq!(found(&format!(r#"{{"auths":{{"https://r.io/v2/":{entry}}}}}"#), "r.io").unwrap(), jane());
        let hub = format!(r#"{{"auths":{{"{HUB_CREDENTIALS_KEY}":{entry}}}}}"#);
        assert_eq!(found(&hub, HUB_CREDENTIALS_KEY).unwrap(), jane());
        assert_eq!(found(&hub, "127.0.0.1:5000").unwrap(), Credentials::Anonymous);
    }

    #[test]
    fn no_file_and_no_entry_mean_anonymous() {
        assert_eq!(look_up(Some(Path::new("/nonexistent/config.json")), "x").unwrap(), Credentials::Anonymous);
        assert_eq!(found("{}", "x").unwrap(), Credentials::Anonymous);
        assert_eq!(found(r#"{"auths":{"x":{}}}"#, "x").unwrap(), Credentials::Anonymous);
    }

    #[test]
    fn what_is_kept_is_found_and_the_rest_of_the_file_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/config.json");
        let mut file = CredentialsFile::open(&path).unwrap();
        assert_eq!(file.get("r.io").unwrap(), None);
        file.set("r.io", "jane", "se:cret").unwrap();
        let text = "{\n\t\"auths\": {\n\t\t\"r.io\": {\n\t\t\t\"auth\": \"amFuZTpzZTpjcmV0\"\n\t\t}\n\t}\n}";
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, r#"{"psFormat":"x","auths":{"r.io":{"auth":"amFuZTpzZTpjcmV0"}}}"#).unwrap();
        let mut file = CredentialsFile::open(&path).unwrap();
        assert_eq!(file.get("r.io").unwrap(), Some(("jane".to_owned(), "se:cret".to_owned())));
        file.remove(&["r.io"]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\n\t\"psFormat\": \"x\",\n\t\"auths\": {}\n}");
    }

    #[test]
    fn a_broken_file_is_named_in_the_error() {
        let message = found(r#"{"auths":{"x":{"auth":"%%"}}}"#, "x").unwrap_err().to_string();
        assert!(message.contains("config.json") && message.contains("\"x\""), "{message}");
    }
}
