//! Network devices of this process's network namespace, made and described by netlink (rtnetlink(7)).

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::unistd::Pid;
use rustix::net::{RecvFlags, SendFlags, SocketType};

/// Enough for one batch of answers; the kernel sends at most 32 KiB at once (netlink(7)).
const ANSWER_MAX_BYTES: usize = 64 << 10;

/// A hardware address.
pub type Mac = [u8; 6];

/// One network device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number for it.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What somebody wrote on it.
    pub alias: Option<String>,
    /// The bridge it belongs to.
    pub controller: Option<u32>,
}

/// A connection to the kernel about the network namespace in which it was opened.
pub struct Links {
    socket: OwnedFd,
}

impl Links {
    /// Opens the connection.
    pub fn open() -> io::Result<Links> {
        let family = rustix::net::AddressFamily::NETLINK;
        // No protocol is number 0, NETLINK_ROUTE.
        let socket = rustix::net::socket(family, SocketType::RAW, None)?;
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
        Ok(Links { socket })
    }

    /// All devices.
    pub fn all(&self) -> io::Result<Vec<Link>> {
        let answers = self.ask(RouteNetlinkMessage::GetLink(LinkMessage::default()), NLM_F_DUMP)?;
        let links = answers.into_iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewLink(message) => Some(link(&message)),
            _ => None,
        });
        Ok(links.collect())
    }

    /// The device called `name`.
    pub fn find(&self, name: &str) -> io::Result<Option<Link>> {
        Ok(self.all()?.into_iter().find(|link| link.name == name))
    }

    /// Makes a bridge.
    pub fn add_bridge(&self, name: &str) -> io::Result<()> {
        let kind = LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]);
        self.add(vec![LinkAttribute::IfName(name.to_owned()), kind], LinkFlags::empty())
    }

    /// Writes something on a device that people and programs can read.
    pub fn set_alias(&self, index: u32, alias: &str) -> io::Result<()> {
        self.change(index, vec![LinkAttribute::IfAlias(alias.to_owned())], LinkFlags::empty())
    }

    /// Makes a pair of devices: `name` here, in the bridge `controller` and switched on, and `peer` with the address `mac`
    /// in the network namespace of `process`.
    pub fn add_pair(&self, name: &str, controller: u32, peer: &str, mac: Mac, process: Pid) -> io::Result<()> {
        let mut other = LinkMessage::default();
        other.attributes = vec![
            LinkAttribute::IfName(peer.to_owned()),
            LinkAttribute::Address(mac.to_vec()),
            LinkAttribute::NetNsPid(process.as_raw().unsigned_abs()),
        ];
        let info = vec![LinkInfo::Kind(InfoKind::Veth), LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(other)))];
        let attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Controller(controller),
            LinkAttribute::LinkInfo(info),
        ];
        self.add(attributes, LinkFlags::Up)
    }

    /// Switches a device on.
    pub fn set_up(&self, index: u32) -> io::Result<()> {
        self.change(index, Vec::new(), LinkFlags::Up)
    }

    /// Gives a device an address in a network of `prefix_len` bits.
    pub fn add_address(&self, index: u32, address: Ipv4Addr, prefix_len: u8) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.prefix_len = prefix_len;
        message.header.index = index;
        let broadcast = u32::from(address) | u32::MAX.checked_shr(prefix_len.into()).unwrap_or(0);
        message.attributes = vec![
            AddressAttribute::Local(IpAddr::V4(address)),
            AddressAttribute::Address(IpAddr::V4(address)),
            AddressAttribute::Broadcast(Ipv4Addr::from(broadcast)),
        ];
        self.ask(RouteNetlinkMessage::NewAddress(message), NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL).map(drop)
    }

    /// Sends what goes nowhere else to `gateway`, through the device `index`.
    pub fn add_default_route(&self, index: u32, gateway: Ipv4Addr) -> io::Result<()> {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Boot;
        message.header.scope = RouteScope::Universe;
        message.header.kind = RouteType::Unicast;
        message.attributes = vec![RouteAttribute::Gateway(RouteAddress::Inet(gateway)), RouteAttribute::Oif(index)];
        self.ask(RouteNetlinkMessage::NewRoute(message), NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL).map(drop)
    }

    /// Removes a device, and the other one of its pair.
    pub fn remove(&self, index: u32) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        self.ask(RouteNetlinkMessage::DelLink(message), NLM_F_ACK).map(drop)
    }

    fn add(&self, attributes: Vec<LinkAttribute>, flags: LinkFlags) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.flags = flags;
        message.header.change_mask = flags;
        message.attributes = attributes;
        self.ask(RouteNetlinkMessage::NewLink(message), NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL).map(drop)
    }

    fn change(&self, index: u32, attributes: Vec<LinkAttribute>, flags: LinkFlags) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = flags;
        message.header.change_mask = flags;
        message.attributes = attributes;
        self.ask(RouteNetlinkMessage::SetLink(message), NLM_F_ACK).map(drop)
    }

    /// Sends one request and takes its answers, up to the kernel's word that it is done.
    fn ask(&self, message: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(message));
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        rustix::net::send(&self.socket, &bytes, SendFlags::empty())?;
        let mut answers = Vec::new();
        let mut buffer = vec![0; ANSWER_MAX_BYTES];
        loop {
            let (count, _) = rustix::net::recv(&self.socket, buffer.as_mut_slice(), RecvFlags::empty())?;
            let mut rest = &buffer[..count];
            while rest.len() >= HEADER_BYTES {
                let length = u32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
                let Some(one) = rest.get(..length).filter(|_| length >= HEADER_BYTES) else {
                    return Err(io::ErrorKind::InvalidData.into());
                };
                let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(one);
                match answer.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?.payload {
                    NetlinkPayload::Done(_) => return Ok(answers),
                    NetlinkPayload::Error(error) if error.code.is_none() => return Ok(answers),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    NetlinkPayload::InnerMessage(inner) => answers.push(inner),
                    _ => {}
                }
                rest = rest.get(length.next_multiple_of(ALIGNMENT_BYTES)..).unwrap_or_default();
            }
        }
    }
}

/// The length of a netlink message's head, and what messages are aligned to.
const HEADER_BYTES: usize = 16;
const ALIGNMENT_BYTES: usize = 4;

fn link(message: &LinkMessage) -> Link {
    let mut link = Link { index: message.header.index, name: String::new(), alias: None, controller: None };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::IfAlias(alias) => link.alias = Some(alias.clone()),
            LinkAttribute::Controller(index) => link.controller = Some(*index),
            _ => {}
        }
    }
    link
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_device_is_always_there() {
        let links = Links::open().unwrap();
        let found = links.find("lo").unwrap().unwrap();
        assert_eq!((found.index, found.controller), (1, None));
        assert!(links.find("nosuchdevice").unwrap().is_none());
    }
}
