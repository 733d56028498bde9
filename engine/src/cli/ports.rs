//! Published ports: reading `-p [ip:][hostPort:]containerPort[/protocol]`, and telling them in the PORTS column.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::container::config::{PortBinding, PortMap};

const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];

/// Why a port cannot be published, in the words of Docker's `nat` package.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    #[error("No port specified: {0}<empty>")]
    NoPort(String),
    #[error("Invalid ip address: {0}")]
    Address(String),
    #[error("Invalid containerPort: {0}")]
    ContainerPort(String),
    #[error("Invalid hostPort: {0}")]
    HostPort(String),
    #[error("Invalid proto: {0}")]
    Protocol(String),
    #[error("Invalid ranges specified for container and host Ports: {0} and {1}")]
    Ranges(String, String),
}

/// Adds what `text` publishes to `map`. Ranges (`8000-8002:80-82`) publish one port each.
pub fn publish(text: &str, map: &mut PortMap) -> Result<(), PortError> {
    let (address, host_port, container_port) = split(text);
    let (container_port, protocol) = container_port.split_once('/').unwrap_or((container_port, "tcp"));
    let host_ip = address_of(&address)?;
    if container_port.is_empty() {
        return Err(PortError::NoPort(text.to_owned()));
    }
    let container = range(container_port).ok_or_else(|| PortError::ContainerPort(container_port.to_owned()))?;
    let host = match host_port {
        "" => None,
        text => Some(range(text).ok_or_else(|| PortError::HostPort(text.to_owned()))?),
    };
    let protocol = protocol.to_lowercase();
    if !PROTOCOLS.contains(&protocol.as_str()) {
        return Err(PortError::Protocol(protocol));
    }
    let fits = host.as_ref().is_none_or(|host| host.len() == container.len() || container.len() == 1);
    if !fits {
        return Err(PortError::Ranges(container_port.to_owned(), host_port.to_owned()));
    }
    let is_single = container.len() == 1;
    for (index, port) in container.enumerate() {
        let host_port = match &host {
            None => String::new(),
            Some(_) if is_single => host_port.to_owned(),
            Some(host) => (usize::from(*host.start()) + index).to_string(),
        };
        let binding = PortBinding { host_ip: host_ip.clone(), host_port };
        map.entry(format!("{port}/{protocol}")).or_default().get_or_insert_default().push(binding);
    }
    Ok(())
}

fn split(text: &str) -> (String, &str, &str) {
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [address @ .., host, container] if !address.is_empty() => (address.join(":"), host, container),
        [host, container] => (String::new(), host, container),
        _ => (String::new(), "", text),
    }
}

fn address_of(text: &str) -> Result<String, PortError> {
    let address = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if address.is_empty() || address.parse::<IpAddr>().is_ok() {
        return Ok(address.to_owned());
    }
    Err(PortError::Address(address.to_owned()))
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some(first..=last)
}

/// What a filter asks for: `80`, `8000-8080/tcp`.
pub fn wanted(text: &str) -> Result<(RangeInclusive<u16>, String), PortError> {
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let numbers = range(numbers).ok_or_else(|| PortError::ContainerPort(numbers.to_owned()))?;
    let protocol = protocol.to_lowercase();
    if PROTOCOLS.contains(&protocol.as_str()) { Ok((numbers, protocol)) } else { Err(PortError::Protocol(protocol)) }
}

/// Whether one of `ports` (`80/tcp`) is among those that are [`wanted`].
pub fn are_among((numbers, protocol): &(RangeInclusive<u16>, String), ports: &[String]) -> bool {
    ports
        .iter()
        .filter_map(|port| port.split_once('/'))
        .any(|(number, other)| other == protocol && number.parse().is_ok_and(|number| numbers.contains(&number)))
}

/// The outer side of published ports: `8080/tcp`.
pub fn outside(map: &PortMap) -> Vec<String> {
    let places = map.iter().flat_map(|(port, bindings)| {
        let protocol = port.split_once('/').map_or("tcp", |(_, protocol)| protocol);
        bindings.iter().flatten().map(move |place| format!("{}/{protocol}", place.host_port))
    });
    places.collect()
}

/// One published or exposed port, ordered as Docker orders them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Port<'a> {
    private: u16,
    ip: &'a str,
    public: u16,
    protocol: &'a str,
}

/// The PORTS column: `0.0.0.0:8080->80/tcp, :::8080->80/tcp`; runs of ports that keep their number are joined.
pub fn column(map: &PortMap) -> String {
    let mut ports: Vec<Port> = map.iter().flat_map(|(port, bindings)| bound(port, bindings.as_deref())).collect();
    ports.sort();
    let mut moved = Vec::new();
    let mut closed = Vec::new();
    let mut open: Vec<((&str, &str), RangeInclusive<u16>)> = Vec::new();
    for Port { private, ip, public, protocol } in ports {
        if !ip.is_empty() && public != private {
            moved.push(format!("{ip}:{public}->{private}/{protocol}"));
            continue;
        }
        let key = (ip, protocol);
        match open.iter_mut().find(|(open_key, _)| *open_key == key) {
            None => open.push((key, private..=private)),
            Some((_, run)) if run.end().checked_add(1) == Some(private) => *run = *run.start()..=private,
            Some((_, run)) => {
                closed.push(run_text(key, run));
                *run = private..=private;
            }
        }
    }
    closed.extend(open.iter().map(|(key, run)| run_text(*key, run)));
    closed.extend(moved);
    closed.join(", ")
}

fn bound<'a>(port: &'a str, bindings: Option<&'a [PortBinding]>) -> Vec<Port<'a>> {
    let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    let Ok(private) = number.parse() else { return Vec::new() };
    match bindings {
        None | Some([]) => vec![Port { private, ip: "", public: 0, protocol }],
        Some(bindings) => bindings
            .iter()
            .map(|binding| Port {
                private,
                ip: &binding.host_ip,
                public: binding.host_port.parse().unwrap_or_default(),
                protocol,
            })
            .collect(),
    }
}

fn run_text((ip, protocol): (&str, &str), run: &RangeInclusive<u16>) -> String {
    let (first, last) = (run.start(), run.end());
    let numbers = if first == last { first.to_string() } else { format!("{first}-{last}") };
    if ip.is_empty() { format!("{numbers}/{protocol}") } else { format!("{ip}:{numbers}->{numbers}/{protocol}") }
}

/// The container ports of a map, as the set `ExposedPorts` of a container's configuration.
pub fn exposed<V: Default>(map: &PortMap) -> BTreeMap<String, V> {
    map.keys().map(|port| (port.clone(), V::default())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(texts: &[&str]) -> Result<String, PortError> {
        let mut map = PortMap::new();
        texts.iter().try_for_each(|text| publish(text, &mut map))?;
        let flat = map.iter().flat_map(|(port, bindings)| {
            bindings.iter().flatten().map(move |b| format!("{}|{}>{port}", b.host_ip, b.host_port))
        });
        Ok(flat.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn ports_are_read_in_all_forms() {
        let rows = [
            ("8080:80", "|8080>80/tcp"),
            ("80", "|>80/tcp"),
            ("127.0.0.1:8080:80/udp", "127.0.0.1|8080>80/udp"),
            ("127.0.0.1::80", "127.0.0.1|>80/tcp"),
            ("[::1]:8080:80", "::1|8080>80/tcp"),
            ("8000-8001:80-81", "|8000>80/tcp |8001>81/tcp"),
            ("8000-8009:80", "|8000-8009>80/tcp"),
            ("80:80/TCP", "|80>80/tcp"),
        ];
        for (text, expected) in rows {
            assert_eq!(published(&[text]).as_deref(), Ok(expected), "{text}");
        }
        assert_eq!(published(&["8080:80", "8081:80"]).as_deref(), Ok("|8080>80/tcp |8081>80/tcp"));
    }

    #[test]
    fn wrong_ports_are_refused_in_dockers_words() {
        let rows = [
            ("80:99999", "Invalid containerPort: 99999"),
            ("x:80", "Invalid hostPort: x"),
            ("8080:", "No port specified: 8080:<empty>"),
            ("nowhere:8080:80", "Invalid ip address: nowhere"),
            ("8080:80/icmp", "Invalid proto: icmp"),
            ("80-81:90-99", "Invalid ranges specified for container and host Ports: 90-99 and 80-81"),
        ];
        for (text, message) in rows {
            assert_eq!(published(&[text]).unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn the_column_is_what_docker_printed() {
        let binding = |ip: &str, port: &str| PortBinding { host_ip: ip.to_owned(), host_port: port.to_owned() };
        let both = |port: &str| Some(vec![binding("0.0.0.0", port), binding("::", port)]);
        let map = PortMap::from([("80/tcp".to_owned(), both("8080"))]);
        assert_eq!(column(&map), "0.0.0.0:8080->80/tcp, :::8080->80/tcp");
        let map = PortMap::from([
            ("80/tcp".to_owned(), None),
            ("81/tcp".to_owned(), Some(Vec::new())),
            ("443/udp".to_owned(), both("443")),
        ]);
        assert_eq!(column(&map), "80-81/tcp, 0.0.0.0:443->443/udp, :::443->443/udp");
        assert_eq!(column(&PortMap::new()), "");
    }
}
