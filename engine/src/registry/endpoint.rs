//! Which hosts to ask for an image, in which order, and how to speak to them.

use std::net::{IpAddr, ToSocketAddrs};

use ipnet::IpNet;

use super::{PullError, RegistrySettings, certificates};
use crate::image::Reference;

const HUB_HOST: &str = "registry-1.docker.io";
const HUB_INDEX_HOST: &str = "index.docker.io";
/// The key of Docker Hub's credentials in the docker client's `config.json`.
pub(super) const HUB_CREDENTIALS_KEY: &str = "https://index.docker.io/v1/";

/// One host that may have the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// `host` or `host:port`.
    pub(super) host: String,
    pub(super) transport: Transport,
    /// Under which key the docker client keeps this host's credentials.
    pub(super) credentials_key: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Http,
    Https,
    /// HTTPS with any certificate.
    HttpsUnverified,
}

impl Endpoint {
    /// `http://127.0.0.1:5000`.
    pub(super) fn base_url(&self) -> String {
        let scheme = if self.transport == Transport::Http { "http" } else { "https" };
        format!("{scheme}://{}", self.host)
    }

    fn new(host: &str, transport: Transport) -> Endpoint {
        Endpoint { host: host.to_owned(), transport, credentials_key: host.to_owned() }
    }
}

/// The endpoints for `reference`, best first; each is asked when those before have failed.
pub(super) fn endpoints(reference: &Reference, settings: &RegistrySettings) -> Result<Vec<Endpoint>, PullError> {
    if !reference.is_docker_hub() {
        return Ok(of_host(reference.domain(), settings));
    }
    let mirrors = settings.mirrors.iter().map(|url| of_mirror(url, settings));
    let mut endpoints = mirrors.collect::<Result<Vec<_>, _>>()?;
    endpoints.push(hub());
    Ok(endpoints)
}

/// The endpoints that take `reference`: mirrors do not.
pub(super) fn to_push(reference: &Reference, settings: &RegistrySettings) -> Vec<Endpoint> {
    if reference.is_docker_hub() { vec![hub()] } else { of_host(reference.domain(), settings) }
}

/// The endpoints of the registry called `host`, best first.
pub(super) fn of_server(host: &str, settings: &RegistrySettings) -> Vec<Endpoint> {
    if is_hub(host) { vec![hub()] } else { of_host(host, settings) }
}

/// The endpoints that are asked for images of `host` (`docker.io` or another), best first.
pub(super) fn of_index(host: &str, settings: &RegistrySettings) -> Vec<Endpoint> {
    if is_hub(host) {
        let credentials_key = HUB_CREDENTIALS_KEY.to_owned();
        return vec![Endpoint { host: HUB_INDEX_HOST.to_owned(), transport: Transport::Https, credentials_key }];
    }
    let mut endpoints = of_host(host, settings);
    // Version 1 of the protocol is tried with TLS first, on loopback too.
    if endpoints.iter().all(|endpoint| endpoint.transport == Transport::Http) {
        endpoints.insert(0, Endpoint::new(host, Transport::HttpsUnverified));
    }
    endpoints
}

/// Whether `host` is one of the names of Docker Hub.
pub(super) fn is_hub(host: &str) -> bool {
    matches!(host, "docker.io" | HUB_INDEX_HOST)
}

fn hub() -> Endpoint {
    let credentials_key = HUB_CREDENTIALS_KEY.to_owned();
    Endpoint { host: HUB_HOST.to_owned(), transport: Transport::Https, credentials_key }
}

fn of_mirror(url: &str, settings: &RegistrySettings) -> Result<Endpoint, PullError> {
    let invalid = || PullError::Mirror { url: url.to_owned() };
    let (scheme, rest) = url.split_once("://").ok_or_else(invalid)?;
    let host = rest.strip_suffix('/').unwrap_or(rest);
    if host.is_empty() || host.contains(['/', '?', '#', '@']) {
        return Err(invalid());
    }
    match scheme {
        "http" => Ok(Endpoint::new(host, Transport::Http)),
        "https" if is_listed(host, &settings.insecure) => Ok(Endpoint::new(host, Transport::HttpsUnverified)),
        "https" => Ok(Endpoint::new(host, Transport::Https)),
        _ => Err(invalid()),
    }
}

fn of_host(host: &str, settings: &RegistrySettings) -> Vec<Endpoint> {
    if is_listed(host, &settings.insecure) {
        vec![Endpoint::new(host, Transport::HttpsUnverified), Endpoint::new(host, Transport::Http)]
    } else if is_loopback(host) && !certificates::are_configured(host, settings) {
        vec![Endpoint::new(host, Transport::Http)]
    } else {
        vec![Endpoint::new(host, Transport::Https)]
    }
}

fn is_loopback(host: &str) -> bool {
    let name = without_port(host);
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether the host is listed by name, by name and port, or by one of its addresses.
fn is_listed(host: &str, insecure: &[String]) -> bool {
    let name = without_port(host);
    if insecure.iter().any(|entry| entry == host || entry == name) {
        return true;
    }
    let blocks: Vec<IpNet> = insecure.iter().filter_map(|entry| entry.parse().ok()).collect();
    if blocks.is_empty() {
        return false;
    }
    let addresses = (name, 0).to_socket_addrs().into_iter().flatten();
    addresses.into_iter().any(|address| blocks.iter().any(|block| block.contains(&address.ip())))
}

fn without_port(host: &str) -> &str {
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(name: &str, mirrors: &[&str], insecure: &[&str]) -> Vec<String> {
        let own = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        let settings = RegistrySettings { mirrors: own(mirrors), insecure: own(insecure), ..Default::default() };
        let found = endpoints(&Reference::parse(name).unwrap(), &settings).unwrap();
        found.iter().map(|endpoint| format!("{} {:?}", endpoint.base_url(), endpoint.transport)).collect()
    }

    #[test]
    fn mirrors_are_asked_before_docker_hub_and_for_its_images_only() {
        let mirrors = ["http://127.0.0.1:5000/", "https://m.example"];
        let expected = ["http://127.0.0.1:5000 Http", "https://m.example Https", "https://registry-1.docker.io Https"];
        assert_eq!(urls("httpd", &mirrors, &[]), expected);
        assert_eq!(urls("quay.io/x/y", &mirrors, &[]), ["https://quay.io Https"]);
    }

    #[test]
    fn loopback_is_spoken_to_in_plain_http() {
        assert_eq!(urls("127.0.0.1:5999/x", &[], &[]), ["http://127.0.0.1:5999 Http"]);
        assert_eq!(urls("localhost/x", &[], &[]), ["http://localhost Http"]);
    }

    #[test]
    fn an_insecure_registry_is_tried_with_any_certificate_and_then_without() {
        let both = ["https://10.1.2.3:5000 HttpsUnverified", "http://10.1.2.3:5000 Http"];
        assert_eq!(urls("10.1.2.3:5000/x", &[], &["10.1.2.3:5000"]), both);
        assert_eq!(urls("10.1.2.3:5000/x", &[], &["10.0.0.0/8"]), both);
        assert_eq!(urls("10.1.2.3:5000/x", &[], &["11.0.0.0/8"]), ["https://10.1.2.3:5000 Https"]);
    }

    #[test]
    fn a_mirror_with_a_path_or_without_a_scheme_is_refused() {
        for url in ["127.0.0.1:5000", "http://x/path", "ftp://x", "http://"] {
            let settings = RegistrySettings { mirrors: vec![url.to_owned()], ..Default::default() };
            let error = endpoints(&Reference::parse("httpd").unwrap(), &settings).unwrap_err();
            assert!(error.to_string().contains(url), "{error}");
        }
    }
}
