//! The authorities of one registry, where Docker looks for them: `certs.d/HOST/*.crt`.

use std::fs;
use std::io;
use std::path::Path;

use super::{PullError, RegistrySettings};

const END: &str = "-----END CERTIFICATE-----";

/// The certificates, in PEM, that are trusted for `host` beside those of the system.
pub(super) fn authorities(host: &str, settings: &RegistrySettings) -> Result<Vec<String>, PullError> {
    let Some(directory) = settings.certificates.as_ref().map(|place| place.join(host)) else { return Ok(Vec::new()) };
    let entries = match fs::read_dir(&directory) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        entries => entries.map_err(|error| unusable(&directory, error))?,
    };
    let mut certificates = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| unusable(&directory, error))?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => certificates.extend(read(&path)?),
            Some("cert" | "key") => {
                return Err(unusable(&path, "certificates of clients are not supported: log in with a password"));
            }
            _ => {}
        }
    }
    Ok(certificates)
}

/// Whether somebody has said whom to trust for `host`, so that it is to be spoken to with TLS.
pub(super) fn are_configured(host: &str, settings: &RegistrySettings) -> bool {
    settings.certificates.as_ref().is_some_and(|place| place.join(host).is_dir())
}

fn read(path: &Path) -> Result<Vec<String>, PullError> {
    let text = fs::read_to_string(path).map_err(|error| unusable(path, error))?;
    let found: Vec<String> = text
        .split_inclusive(END)
        .filter_map(|part| part.find("-----BEGIN CERTIFICATE-----").map(|start| part[start..].to_owned()))
        .filter(|certificate| certificate.ends_with(END))
        .collect();
    if found.is_empty() { Err(unusable(path, "there is no certificate in it")) } else { Ok(found) }
}

fn unusable(path: &Path, reason: impl ToString) -> PullError {
    PullError::Certificates { path: path.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----";

    fn settings(files: &[(&str, &str)]) -> (tempfile::TempDir, RegistrySettings) {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("r.io:5000");
        fs::create_dir(&directory).unwrap();
        files.iter().for_each(|(name, text)| fs::write(directory.join(name), text).unwrap());
        let settings = RegistrySettings { certificates: Some(place.path().to_owned()), ..Default::default() };
        (place, settings)
    }

    #[test]
    fn every_certificate_of_every_crt_file_is_taken() {
        let (_place, settings) = settings(&[("ca.crt", &format!("# mine\n{ONE}\n{ONE}\n")), ("notes", "x")]);
        assert_eq!(authorities("r.io:5000", &settings).unwrap(), [ONE, ONE]);
        assert!(authorities("other.io", &settings).unwrap().is_empty());
        assert!(are_configured("r.io:5000", &settings) && !are_configured("other.io", &settings));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (name, text) in [("ca.crt", "nothing"), ("me.cert", ONE)] {
            let (_place, settings) = settings(&[(name, text)]);
            let message = authorities("r.io:5000", &settings).unwrap_err().to_string();
            assert!(message.contains(name), "{message}");
        }
    }
}
