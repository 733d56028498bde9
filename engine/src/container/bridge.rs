//! The network of containers: a bridge beside the engine's own devices, and a pair of devices from it to each container.
//!
//! *Why*: containers reach one another and every address of the engine's host, as with Docker. *Holds*: the bridge is
//! called `docker0` where that name is free, else `layerlab0`, and lies in a network that no route of the host leads to
//! already; it goes with the last container. *Never*: a device that is not marked as ours is changed; iptables or nftables
//! are touched, so that nothing is reached through the host from inside.

use std::fs;
use std::io;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use nix::unistd::Pid;

use crate::sys::link::{Links, Mac};
use crate::sys::namespace;

/// What the bridge may be called.
const NAMES: [&str; 2] = ["docker0", "layerlab0"];
/// What is written on a bridge of ours.
const ALIAS: &str = "layerlab";
/// How the container's end is called inside.
pub(super) const INSIDE: &str = "eth0";
/// The bits of a network that all its addresses share.
const PREFIX_LEN: u8 = 16;

/// The bridge of this network namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bridge {
    index: u32,
    network: Ipv4Net,
}

/// A container's place in the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its own address.
    pub address: Ipv4Addr,
    /// The bits that all addresses of the network share.
    pub prefix_len: u8,
    /// The bridge's address.
    pub gateway: Ipv4Addr,
}

impl Place {
    /// Docker's hardware address for an address.
    pub fn mac(&self) -> Mac {
        let [a, b, c, d] = self.address.octets();
        [0x02, 0x42, a, b, c, d]
    }
}

impl Bridge {
    /// The bridge, made when it is missing; nothing where this caller may not change the network. To be called under a lock.
    pub(super) fn open() -> io::Result<Option<Bridge>> {
        if !namespace::owns_network() {
            return Ok(None);
        }
        match Self::make() {
            Ok(bridge) => Ok(Some(bridge)),
            // A kernel without bridges, or somebody who lost the right to make them.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::EOPNOTSUPP)) => {
                tracing::warn!(%error, "no bridge can be made: containers have a network of their own only");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn make() -> io::Result<Bridge> {
        let links = Links::open()?;
        let present = links.all()?;
        let is_ours =
            |name: &str| present.iter().find(|link| link.name == name).map(|link| link.alias.as_deref() == Some(ALIAS));
        let name = NAMES.into_iter().find(|name| is_ours(name) == Some(true));
        let name = name.or_else(|| NAMES.into_iter().find(|name| is_ours(name).is_none()));
        let name = name
            .ok_or_else(|| io::Error::other(format!("the devices {} belong to somebody else", NAMES.join(" and "))))?;
        if is_ours(name).is_none() {
            links.add_bridge(name)?;
        }
        let index = links.find(name)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?.index;
        let routes = routes(&fs::read_to_string("/proc/net/route")?);
        let network = match routes.iter().find(|(device, _)| device == name) {
            Some((_, network)) => *network,
            None => {
                links.set_alias(index, ALIAS)?;
                let network = free_network(&routes)?;
                links.add_address(index, gateway(network), PREFIX_LEN)?;
                links.set_up(index)?;
                network
            }
        };
        Ok(Bridge { index, network })
    }

    /// The addresses that containers may have, the lowest first.
    pub(super) fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> + use<> {
        self.network.hosts().skip(1)
    }

    /// The place of `address` in this network.
    pub(super) fn place(&self, address: Ipv4Addr) -> Place {
        Place { address, prefix_len: self.network.prefix_len(), gateway: gateway(self.network) }
    }

    /// Connects the container whose first process is `container`; inside, its end waits to be switched on.
    pub(super) fn connect(&self, id: &str, container: Pid, place: &Place) -> io::Result<()> {
        Links::open()?.add_pair(&outside(id), self.index, INSIDE, place.mac(), container)
    }
}

/// Takes the connection of the container `id` away when it is still there, and a bridge of ours that has none left. To be
/// called under a lock.
pub(super) fn disconnect(id: &str) -> io::Result<()> {
    if !namespace::owns_network() {
        return Ok(());
    }
    let links = Links::open()?;
    if let Some(left) = links.find(&outside(id))? {
        // It may go with the container's namespace at this moment.
        let _ = links.remove(left.index);
    }
    let all = links.all()?;
    let is_unused = |index| !all.iter().any(|link| link.controller == Some(index) && link.name != outside(id));
    for bridge in all.iter().filter(|link| NAMES.contains(&link.name.as_str()) && link.alias.as_deref() == Some(ALIAS))
    {
        if is_unused(bridge.index) {
            links.remove(bridge.index)?;
        }
    }
    Ok(())
}

/// Inside a container: gives its end of the pair the address and the way out.
pub(super) fn settle(place: &Place) -> io::Result<()> {
    let links = Links::open()?;
    let index = links.find(INSIDE)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?.index;
    links.add_address(index, place.address, place.prefix_len)?;
    links.set_up(index)?;
    links.add_default_route(index, place.gateway)
}

/// The name of the outer end of a container's pair; a device's name has 15 characters at most.
fn outside(id: &str) -> String {
    format!("veth{}", id.get(..7).unwrap_or(id))
}

fn gateway(network: Ipv4Net) -> Ipv4Addr {
    network.hosts().next().unwrap_or_else(|| network.network())
}

/// The first of Docker's default networks that no route leads to.
fn free_network(routes: &[(String, Ipv4Net)]) -> io::Result<Ipv4Net> {
    let pool = (17..32).map(|second| Ipv4Net::new_assert(Ipv4Addr::new(172, second, 0, 0), PREFIX_LEN));
    let overlaps = |a: &Ipv4Net, b: &Ipv4Net| a.contains(&b.network()) || b.contains(&a.network());
    let mut free = pool.filter(|network| {
        // The way to everywhere is no way to this network.
        !routes.iter().any(|(_, taken)| taken.prefix_len() > 0 && overlaps(network, taken))
    });
    free.next().ok_or_else(|| io::Error::other("could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network"))
}

/// Device and destination of every IPv4 route (proc_pid_net(5), `route`: addresses in hexadecimal, in the host's order).
fn routes(table: &str) -> Vec<(String, Ipv4Net)> {
    let address = |text: &str| u32::from_str_radix(text, 16).ok().map(|number| Ipv4Addr::from(number.to_ne_bytes()));
    let route = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let mask = address(fields.get(7)?)?;
        let network = Ipv4Net::with_netmask(address(fields.get(1)?)?, mask).ok()?;
        Some((fields.first()?.to_string(), network))
    };
    table.lines().skip(1).filter_map(route).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010A0A0A\t0003\t0\t0\t0\t00000000\t0\t0\t0
docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
";

    #[test]
    fn the_network_is_one_that_the_host_does_not_use() {
        let routes = routes(TABLE);
        assert_eq!(routes[1], ("docker0".to_owned(), "172.17.0.0/16".parse().unwrap()));
        assert_eq!(free_network(&routes).unwrap(), "172.18.0.0/16".parse().unwrap());
        assert_eq!(free_network(&[]).unwrap(), "172.17.0.0/16".parse().unwrap());
        assert!(free_network(&[("tun0".to_owned(), "172.16.0.0/12".parse().unwrap())]).is_err());
    }

    #[test]
    fn addresses_and_hardware_addresses_are_dockers() {
        let bridge = Bridge { index: 7, network: "172.17.0.0/16".parse().unwrap() };
        let place = bridge.place(bridge.addresses().next().unwrap());
        assert_eq!((place.address.to_string(), place.gateway.to_string()), ("172.17.0.2".into(), "172.17.0.1".into()));
        assert_eq!(place.mac(), [0x02, 0x42, 172, 17, 0, 2]);
    }
}
