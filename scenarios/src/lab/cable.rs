//! A network cable between the lab's two hosts: a veth pair (veth(4)) with one end in each network namespace.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo, LinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::loopback;

/// What each host calls its end.
const DEVICE: &str = "eth0";
const NETMASK: Ipv4Addr = Ipv4Addr::new(255, 255, 255, 0);

/// Lays a cable from the caller's network namespace to `other`; neither end is up yet.
pub fn lay(other: BorrowedFd<'_>) -> io::Result<()> {
    let mut peer = LinkMessage::default();
    peer.attributes.push(LinkAttribute::IfName(DEVICE.into()));
    peer.attributes.push(LinkAttribute::NetNsFd(other.as_raw_fd()));
    let mut link = LinkMessage::default();
    link.attributes.push(LinkAttribute::IfName(DEVICE.into()));
    let data = LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer)));
    link.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth), data]));
    ask(RouteNetlinkMessage::NewLink(link))
}

/// Sends one request to the kernel and waits for its acknowledgement (netlink(7)).
fn ask(request: RouteNetlinkMessage) -> io::Result<()> {
    let mut message = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::from(request));
    message.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&bytes, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).map_err(io::Error::other)?;
    match answer.payload {
        NetlinkPayload::Error(error) => match error.code {
            None => Ok(()),
            Some(_) => Err(error.to_io()),
        },
        other => Err(io::Error::other(format!("the kernel answered {other:?}"))),
    }
}

/// Gives the caller's end its address in a network of 256, and brings it up.
pub fn plug_in(address: Ipv4Addr) -> io::Result<()> {
    set(libc::SIOCSIFADDR, address)?;
    set(libc::SIOCSIFNETMASK, NETMASK)?;
    loopback::bring_up(DEVICE)
}

/// One of the requests of netdevice(7) that take an address.
fn set(request: libc::c_ulong, address: Ipv4Addr) -> io::Result<()> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut interface = loopback::request(DEVICE);
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from(address).to_be() },
        sin_zero: [0; 8],
    };
    // SAFETY: a sockaddr_in is a sockaddr of the same size; the ifreq outlives the call.
    let outcome = unsafe {
        interface.ifr_ifru.ifru_addr = std::mem::transmute::<libc::sockaddr_in, libc::sockaddr>(address);
        libc::ioctl(socket.as_raw_fd(), request as _, &raw const interface)
    };
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
