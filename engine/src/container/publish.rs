//! Published ports: what arrives at a port outside goes to the container, without iptables or helper program.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use nix::sched::CloneFlags;
use nix::unistd::Pid;
use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};

use crate::sys::namespace;

/// A port that is listened on outside, and the container's port behind it.
pub struct Published {
    listener: TcpListener,
    /// The address outside.
    pub outside: SocketAddr,
    /// The port inside.
    pub inside: u16,
}

/// Listens on `port` of `address`; without an address on all of IPv4 and of IPv6 where there is such a thing.
/// Port 0 takes a free one, the same for both.
pub fn listen_on(address: Option<IpAddr>, port: u16, inside: u16) -> io::Result<Vec<Published>> {
    let Some(address) = address else {
        let first = listen_at(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), inside)?;
        let second = listen_at(SocketAddr::from((Ipv6Addr::UNSPECIFIED, first.outside.port())), inside);
        return match second {
            Ok(second) => Ok(vec![first, second]),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
            // A host without IPv6 is still reached by IPv4.
            Err(_) => Ok(vec![first]),
        };
    };
    Ok(vec![listen_at(SocketAddr::new(address, port), inside)?])
}

fn listen_at(address: SocketAddr, inside: u16) -> io::Result<Published> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = socket(family, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &address)?;
    listen(&socket, 128)?;
    let listener = TcpListener::from(socket);
    Ok(Published { outside: listener.local_addr()?, listener, inside })
}

/// Starts forwarding to `address`, which is reached from the network of the process `container`, or else from here.
/// Threads end with the process.
pub fn forward(published: Vec<Published>, container: Option<Pid>, address: Ipv4Addr) {
    if published.is_empty() {
        return;
    }
    let (requests, queue) = mpsc::channel::<(TcpStream, u16)>();
    thread::spawn(move || {
        // A thread of its own in the container's network: sockets belong to the namespace they were made in.
        if let Some(Err(error)) = container.map(|pid| namespace::join(pid, CloneFlags::CLONE_NEWNET)) {
            tracing::error!(%error, "published ports cannot reach the container's network");
            return;
        }
        for (outer, port) in queue {
            thread::spawn(move || match TcpStream::connect((address, port)) {
                Ok(inner) => relay(outer, inner),
                Err(error) => tracing::debug!(%error, port, "nobody listens in the container"),
            });
        }
    });
    for port in published {
        let requests = requests.clone();
        thread::spawn(move || {
            for stream in port.listener.incoming().flatten() {
                if requests.send((stream, port.inside)).is_err() {
                    return;
                }
            }
        });
    }
}

/// Copies both ways until both sides have said all they have to say.
fn relay(outer: TcpStream, inner: TcpStream) {
    let copy = |mut from: TcpStream, mut to: TcpStream| {
        // A peer that goes away ends the copy; the other direction is told by the shutdown.
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    };
    let (Ok(outer_again), Ok(inner_again)) = (outer.try_clone(), inner.try_clone()) else { return };
    let back = thread::spawn(move || copy(inner, outer));
    copy(outer_again, inner_again);
    let _ = back.join();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_taken_in_both_families_or_refused() {
        let held = listen_on(None, 0, 80).unwrap();
        let port = held[0].outside.port();
        assert!(held.iter().all(|published| published.outside.port() == port));
        let refused = listen_on(None, port, 80).map(|_| ()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    }
}
