//! `docker port`: where a container's ports are published.

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{Failure, SUCCESS, print};
use crate::cli::session::Session;
use crate::container::config::PortMap;

pub static VERB: Verb = Verb {
    names: &["port", "container port"],
    synopsis: "CONTAINER [PRIVATE_PORT[/PROTO]]",
    about: "List port mappings or a specific mapping for the container",
    arguments: Count::Between(1, 2),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

#[derive(Parser)]
struct Options {
    name: Option<String>,
    port: Option<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let name = options.name.unwrap_or_default();
    let container = session.engine()?.container(&name);
    let container = container.map_err(|error| Failure::about_container(&error, &name))?;
    let ports = container.config.network_settings.ports.filter(|_| container.config.state.running).unwrap_or_default();
    match options.port.filter(|port| !port.is_empty()) {
        None => print(&all(&ports))?,
        Some(port) => print(&one(&ports, &port, &name)?)?,
    }
    Ok(SUCCESS)
}

/// `80/tcp -> 0.0.0.0:8080` for each place.
fn all(ports: &PortMap) -> String {
    let lines = ports.iter().flat_map(|(port, bindings)| {
        let places = bindings.iter().flatten();
        places.map(move |place| format!("{port} -> {}:{}\n", place.host_ip, place.host_port))
    });
    lines.collect()
}

/// The places of one port, which is TCP's unless it says otherwise.
fn one(ports: &PortMap, port: &str, name: &str) -> Result<String, Failure> {
    let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    if number.parse::<u16>().is_err() {
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let reason = if is_number { "value out of range" } else { "invalid syntax" };
        return Err(Failure::new(format!("strconv.ParseUint: parsing {number:?}: {reason}")));
    }
    let port = format!("{number}/{protocol}");
    match ports.get(&port) {
        Some(Some(places)) if !places.is_empty() => {
            Ok(places.iter().map(|place| format!("{}:{}\n", place.host_ip, place.host_port)).collect())
        }
        _ => Err(Failure::new(format!("Error: No public port '{port}' published for {name}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::config::PortBinding;

    #[test]
    fn places_are_told_as_docker_tells_them() {
        let place = |ip: &str| PortBinding { host_ip: ip.to_owned(), host_port: "8080".to_owned() };
        let ports = PortMap::from([
            ("80/tcp".to_owned(), Some(vec![place("0.0.0.0"), place("::")])),
            ("81/tcp".to_owned(), None),
        ]);
        assert_eq!(all(&ports), "80/tcp -> 0.0.0.0:8080\n80/tcp -> :::8080\n");
        assert_eq!(one(&ports, "80", "web").unwrap(), "0.0.0.0:8080\n:::8080\n");
        let refused = |port: &str| one(&ports, port, "web").unwrap_err().text;
        assert_eq!(refused("80/udp"), "Error: No public port '80/udp' published for web");
        assert_eq!(refused("81"), "Error: No public port '81/tcp' published for web");
        assert_eq!(refused("abc"), "strconv.ParseUint: parsing \"abc\": invalid syntax");
        assert_eq!(refused("70000"), "strconv.ParseUint: parsing \"70000\": value out of range");
    }
}
