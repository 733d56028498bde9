//! Brings up a network device in the caller's network namespace, `lo` first of all, so that 127.0.0.1 answers, and gives `lo` more
//! addresses.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// The loopback device.
pub const LOOPBACK: &str = "lo";

/// A request of netdevice(7) about `device`, a name of at most 15 bytes.
pub(super) fn request(device: &str) -> libc::ifreq {
    // SAFETY: ifreq is plain data, for which zero bytes are a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(device.bytes()) {
        *to = from as libc::c_char;
    }
    request
}

/// Sets IFF_UP on `device` in the caller's network namespace (netdevice(7)).
pub fn bring_up(device: &str) -> io::Result<()> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut request = request(device);
    // SAFETY: both calls take a pointer to an ifreq that outlives them; the first fills in the flags.
    let outcome = unsafe {
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS as _, &raw mut request) < 0 {
            return Err(io::Error::last_os_error());
        }
        request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short;
        libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request)
    };
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Gives `lo` one more address, of one host (/32), under the label `lo:LAST` (netdevice(7)).
pub fn add_address(address: Ipv4Addr) -> io::Result<()> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let label = format!("lo:{}", address.octets()[3]);
    for (operation, value) in [(libc::SIOCSIFADDR, address), (libc::SIOCSIFNETMASK, Ipv4Addr::BROADCAST)] {
        // SAFETY: ifreq is plain data, for which zero bytes are a valid value.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(label.as_bytes()) {
            *to = *from as libc::c_char;
        }
        let value = libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: 0,
            sin_addr: libc::in_addr { s_addr: u32::from(value).to_be() },
            sin_zero: [0; 8],
        };
        // SAFETY: a sockaddr_in is as long as the sockaddr it is written over, and the call reads an ifreq that outlives it.
        let outcome = unsafe {
            (&raw mut request.ifr_ifru.ifru_addr).cast::<libc::sockaddr_in>().write_unaligned(value);
            libc::ioctl(socket.as_raw_fd(), operation as _, &raw const request)
        };
        if outcome < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
