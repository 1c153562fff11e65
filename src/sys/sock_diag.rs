//! Who is at the other end of a TCP connection on this machine (sock_diag(7)).

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const TCP_LISTEN: u8 = 10;

/// Lengths and places in the messages of <linux/netlink.h> and <linux/inet_diag.h>.
const HEADER_BYTES: usize = 16;
const REQUEST_BYTES: usize = HEADER_BYTES + 8 + 48;
const STATE_AT: usize = HEADER_BYTES + 1;
const UID_AT: usize = HEADER_BYTES + 4 + 48 + 12;
const INODE_AT: usize = UID_AT + 4;

/// The end of a connection whose own address is `end`, as the kernel of this machine knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A user of this machine; the inode is the socket's.
    User { uid: u32, inode: u32 },
    /// The address is this machine's, but no process holds the socket any more.
    Nobody,
    /// The address is not this machine's.
    Elsewhere,
}

/// Whose the socket is that is bound to `end` and connected to `other`, in our network namespace.
///
/// # Errors
/// The kernel has no such diagnostics.
pub fn owner(end: SocketAddr, other: SocketAddr) -> io::Result<Owner> {
    let found = ask(end, other)?;
    Ok(match found {
        Some((uid, inode)) => Owner::User { uid, inode },
        None if is_own_address(end.ip()) => Owner::Nobody,
        None => Owner::Elsewhere,
    })
}

fn is_own_address(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback() || UdpSocket::bind((ip.to_canonical(), 0)).is_ok()
}

fn ask(end: SocketAddr, other: SocketAddr) -> io::Result<Option<(u32, u32)>> {
    let netlink: OwnedFd =
        socket(AddressFamily::Netlink, SockType::Datagram, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkSockDiag)?;
    send(netlink.as_raw_fd(), &request(end, other), MsgFlags::empty())?;
    let mut answer = [0; 512];
    // The kernel answers within the send.
    let length = recv(netlink.as_raw_fd(), &mut answer, MsgFlags::MSG_DONTWAIT)?;
    let answer = &answer[..length];
    let word = |at: usize| answer.get(at..at + 4).map_or(0, |b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]]));
    let kind = answer.get(4..6).map_or(0, |b| u16::from_ne_bytes([b[0], b[1]]));
    if kind == NLMSG_ERROR {
        let errno = word(HEADER_BYTES).cast_signed().wrapping_neg();
        return if errno == libc::ENOENT { Ok(None) } else { Err(io::Error::from_raw_os_error(errno)) };
    }
    if kind != SOCK_DIAG_BY_FAMILY || length < INODE_AT + 4 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // A listener is what the kernel falls back to, and a socket without an inode is closed.
    let held = answer[STATE_AT] != TCP_LISTEN && word(INODE_AT) != 0;
    Ok(held.then(|| (word(UID_AT), word(INODE_AT))))
}

fn request(end: SocketAddr, other: SocketAddr) -> Vec<u8> {
    let (end_ip, other_ip) = (end.ip().to_canonical(), other.ip().to_canonical());
    let family = if end_ip.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let mut bytes = Vec::with_capacity(REQUEST_BYTES);
    bytes.extend(u32::try_from(REQUEST_BYTES).unwrap_or(0).to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([family.to_ne_bytes()[0], libc::IPPROTO_TCP.to_ne_bytes()[0], 0, 0]);
    if cfg!(target_endian = "big") {
        bytes[HEADER_BYTES] = family.to_ne_bytes()[3];
        bytes[HEADER_BYTES + 1] = libc::IPPROTO_TCP.to_ne_bytes()[3];
    }
    // Every state.
    bytes.extend(u32::MAX.to_ne_bytes());
    bytes.extend(end.port().to_be_bytes());
    bytes.extend(other.port().to_be_bytes());
    for ip in [end_ip, other_ip] {
        let mut octets = [0; 16];
        match ip {
            IpAddr::V4(ip) => octets[..4].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => octets = ip.octets(),
        }
        bytes.extend(octets);
    }
    // Any interface, and no cookie.
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend([0xff; 8]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    #[test]
    fn the_owner_of_a_connection_is_told_and_a_closed_one_is_nobody_s() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
            let (server, end) = listener.accept().expect("accepted");
            let other = server.local_addr().expect("bound");
            let own = nix::unistd::geteuid().as_raw();
            assert!(matches!(owner(end, other).expect("told"), Owner::User { uid, inode: 1.. } if uid == own));
            drop(client);
            // A process that another test starts may hold a copy until it execs.
            let until = Instant::now() + Duration::from_secs(10);
            while owner(end, other).expect("told") != Owner::Nobody {
                assert!(Instant::now() < until, "somebody still holds it");
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn a_foreign_address_is_elsewhere() {
        let end = "192.0.2.1:4711".parse().expect("an address");
        let other = "127.0.0.1:1".parse().expect("an address");
        assert_eq!(owner(end, other).expect("told"), Owner::Elsewhere);
    }
}
