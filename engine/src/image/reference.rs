//! An image reference: the name people type (`httpd`, `localhost:5000/x:v1`), normalised as Docker normalises it.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use regex_lite::Regex;

use super::Digest;

const HUB_DOMAIN: &str = "docker.io";
const HUB_LEGACY_DOMAIN: &str = "index.docker.io";
const OFFICIAL_PREFIX: &str = "library/";
const DEFAULT_TAG: &str = "latest";
const NAME_LENGTH_MAX: usize = 255;

/// The grammar of distribution's `reference` package: domain / path [: tag] [@ digest].
static GRAMMAR: LazyLock<Regex> = LazyLock::new(|| {
    let label = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
    let component = "[a-z0-9]+(?:(?:[._]|__|-*)[a-z0-9]+)*";
    let tag = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}";
    let digest = "[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}";
    let domain = format!(r"{label}(?:\.{label})*(?::[0-9]+)?");
    let path = format!("{component}(?:/{component})*");
    Regex::new(&format!("^({domain})/({path})(?::({tag}))?(?:@({digest}))?$")).expect("the grammar is a constant")
});

/// A normalised image reference: domain and path always, a tag or a digest or both as they were given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is no image reference, in Docker's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    #[error("invalid reference format")]
    Format,
    #[error("invalid reference format: repository name must be lowercase")]
    Uppercase,
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    LooksLikeId(String),
    #[error("repository name must not be more than {NAME_LENGTH_MAX} characters")]
    TooLong,
    #[error("unsupported digest algorithm")]
    DigestAlgorithm,
    #[error("invalid checksum digest length")]
    DigestLength,
    #[error("invalid checksum digest format")]
    DigestFormat,
}

impl Reference {
    /// Reads a familiar (`httpd`) or canonical (`docker.io/library/httpd:latest`) name; no tag is added.
    pub fn parse(text: &str) -> Result<Reference, ReferenceError> {
        if Digest::from_hex(text).is_ok() {
            return Err(ReferenceError::LooksLikeId(text.to_owned()));
        }
        let (domain, remainder) = split_domain(text);
        let name = remainder.split(':').next().unwrap_or_default();
        if name.to_lowercase() != name {
            return Err(ReferenceError::Uppercase);
        }
        Reference::from_canonical(&format!("{domain}/{remainder}"))
    }

    fn from_canonical(text: &str) -> Result<Reference, ReferenceError> {
        let Some(parts) = GRAMMAR.captures(text) else {
            let lower_case_would_do = GRAMMAR.is_match(&text.to_lowercase());
            return Err(if lower_case_would_do { ReferenceError::Uppercase } else { ReferenceError::Format });
        };
        let (domain, path) = (parts[1].to_owned(), parts[2].to_owned());
        if domain.len() + 1 + path.len() > NAME_LENGTH_MAX {
            return Err(ReferenceError::TooLong);
        }
        let tag = parts.get(3).map(|tag| tag.as_str().to_owned());
        let digest = parts.get(4).map(|digest| parse_digest(digest.as_str())).transpose()?;
        Ok(Reference { domain, path, tag, digest })
    }

    /// The registry's name: `docker.io`, `localhost:5000`.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository within its registry: `library/httpd`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, when one was given or added.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, when the reference is pinned to one.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Domain and path without tag or digest: `docker.io/library/httpd`.
    pub fn canonical_name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The shortest name that means the same repository: `httpd`, `vitvar/httpd`, `localhost:5000/httpd`.
    pub fn familiar_name(&self) -> String {
        if !self.is_docker_hub() {
            return self.canonical_name();
        }
        match self.path.strip_prefix(OFFICIAL_PREFIX) {
            Some(name) if !name.contains('/') => name.to_owned(),
            _ => self.path.clone(),
        }
    }

    /// [`Reference::familiar_name`] followed by the tag and the digest, as far as there are any: `httpd:latest`.
    pub fn familiar(&self) -> String {
        self.with_suffix(self.familiar_name())
    }

    /// The reference with the tag `latest`, unless it has a tag or a digest already.
    pub fn with_default_tag(self) -> Reference {
        if self.is_name_only() { Reference { tag: Some(DEFAULT_TAG.to_owned()), ..self } } else { self }
    }

    /// The same repository with another tag, and without a digest.
    pub fn with_tag(&self, tag: &str) -> Result<Reference, ReferenceError> {
        Reference::from_canonical(&format!("{}:{tag}", self.canonical_name()))
    }

    /// Whether there is neither a tag nor a digest.
    pub fn is_name_only(&self) -> bool {
        self.tag.is_none() && self.digest.is_none()
    }

    /// Whether the image lives on Docker Hub.
    pub fn is_docker_hub(&self) -> bool {
        self.domain == HUB_DOMAIN
    }

    fn with_suffix(&self, mut name: String) -> String {
        if let Some(tag) = &self.tag {
            name = format!("{name}:{tag}");
        }
        if let Some(digest) = &self.digest {
            name = format!("{name}@{digest}");
        }
        name
    }
}

/// The canonical form: `docker.io/library/httpd:latest`.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_suffix(self.canonical_name()))
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Reference, ReferenceError> {
        Reference::parse(text)
    }
}

fn split_domain(text: &str) -> (&str, String) {
    let (domain, remainder) = match text.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => (HUB_DOMAIN, text),
    };
    let domain = if domain == HUB_LEGACY_DOMAIN { HUB_DOMAIN } else { domain };
    if domain == HUB_DOMAIN && !remainder.contains('/') {
        return (domain, format!("{OFFICIAL_PREFIX}{remainder}"));
    }
    (domain, remainder.to_owned())
}

fn parse_digest(text: &str) -> Result<Digest, ReferenceError> {
    let hex = text.strip_prefix("sha256:").ok_or(ReferenceError::DigestAlgorithm)?;
    if hex.len() != 64 {
        return Err(ReferenceError::DigestLength);
    }
    Digest::from_hex(hex).map_err(|_| ReferenceError::DigestFormat)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIN: &str = "sha256:14f87cf772edaa4196292e62f0d90f6b4835e08abcfd842e85e7f30f5d8c57dd";

    #[test]
    fn names_are_normalised_as_docker_normalises_them() {
        let rows = [
            ("httpd", "docker.io/library/httpd", "httpd"),
            ("httpd:latest", "docker.io/library/httpd:latest", "httpd:latest"),
            ("library/nginx:latest", "docker.io/library/nginx:latest", "nginx:latest"),
            ("docker.io/library/centos", "docker.io/library/centos", "centos"),
            ("docker.io/centos", "docker.io/library/centos", "centos"),
            ("index.docker.io/centos:7", "docker.io/library/centos:7", "centos:7"),
            ("vitvar/httpd", "docker.io/vitvar/httpd", "vitvar/httpd"),
            ("library/a/b", "docker.io/library/a/b", "library/a/b"),
            ("127.0.0.1:5000/library/httpd", "127.0.0.1:5000/library/httpd", "127.0.0.1:5000/library/httpd"),
            ("127.0.0.1:5999/x", "127.0.0.1:5999/x", "127.0.0.1:5999/x"),
            ("localhost/x:v1", "localhost/x:v1", "localhost/x:v1"),
            ("quay.io/a/b__c.d-e--f:V_1.0-x", "quay.io/a/b__c.d-e--f:V_1.0-x", "quay.io/a/b__c.d-e--f:V_1.0-x"),
            ("Example.COM/x", "Example.COM/x", "Example.COM/x"),
        ];
        for (given, canonical, familiar) in rows {
            let reference = Reference::parse(given).unwrap();
            assert_eq!(reference.to_string(), canonical, "{given}");
            assert_eq!(reference.familiar(), familiar, "{given}");
            assert_eq!(Reference::parse(canonical).unwrap(), reference, "canonical names read back");
            assert_eq!(Reference::parse(familiar).unwrap(), reference, "familiar names read back");
        }
    }

    #[test]
    fn what_docker_refuses_is_refused_in_its_words() {
        let hundred: String = (1..=100).map(|n| n.to_string()).collect();
        let rows = [
            ("", "invalid reference format"),
            ("ubuntu:", "invalid reference format"),
            ("x:", "invalid reference format"),
            ("ubuntu@sha256:123", "invalid reference format"),
            ("ubuntu:a b", "invalid reference format"),
            (&format!("ubuntu:{hundred}"), "invalid reference format"),
            ("/x", "invalid reference format"),
            ("x//y", "invalid reference format"),
            ("-x", "invalid reference format"),
            ("a/../b", "invalid reference format"),
            ("http://x/y", "invalid reference format"),
            ("Ubuntu", "invalid reference format: repository name must be lowercase"),
            ("UPPER", "invalid reference format: repository name must be lowercase"),
            ("BAD:tag", "invalid reference format: repository name must be lowercase"),
            ("localhost/Ubuntu:x", "invalid reference format: repository name must be lowercase"),
            (&"a".repeat(256), "repository name must not be more than 255 characters"),
            (&format!("x@sha256:{}", "a".repeat(32)), "invalid checksum digest length"),
            (&format!("x@sha256:{}", "A".repeat(64)), "invalid checksum digest format"),
            (&format!("x@md5:{}", "a".repeat(32)), "unsupported digest algorithm"),
        ];
        for (given, message) in rows {
            assert_eq!(Reference::parse(given).unwrap_err().to_string(), message, "{given:?}");
        }
        let id = "a".repeat(64);
        let message = format!("invalid repository name ({id}), cannot specify 64-byte hexadecimal strings");
        assert_eq!(Reference::parse(&id).unwrap_err().to_string(), message);
    }

    #[test]
    fn tag_and_digest_are_kept_apart() {
        let reference = Reference::parse(&format!("ubuntu:second@{PIN}")).unwrap();
        assert_eq!(reference.tag(), Some("second"));
        assert_eq!(reference.digest().map(ToString::to_string).as_deref(), Some(PIN));
        assert_eq!(reference.canonical_name(), "docker.io/library/ubuntu");
        assert_eq!(reference.familiar_name(), "ubuntu");
        assert_eq!((reference.domain(), reference.path()), ("docker.io", "library/ubuntu"));
    }

    #[test]
    fn latest_is_added_only_where_nothing_was_said() {
        let familiar = |text: &str| Reference::parse(text).unwrap().with_default_tag().familiar();
        assert_eq!(familiar("httpd"), "httpd:latest");
        assert_eq!(familiar("httpd:2.4"), "httpd:2.4");
        assert_eq!(familiar(&format!("httpd@{PIN}")), format!("httpd@{PIN}"));
    }

    #[test]
    fn a_tag_is_replaced_by_one_that_is_well_formed() {
        let reference = Reference::parse(&format!("httpd:2.4@{PIN}")).unwrap();
        assert_eq!(reference.with_tag("v1").unwrap().familiar(), "httpd:v1");
        assert_eq!(reference.with_tag("a b").unwrap_err(), ReferenceError::Format);
    }
}
