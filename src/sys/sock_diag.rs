//! Who is at the other end of a connection on this machine (sock_diag(7)).

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

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
/// And of <linux/unix_diag.h>: the attributes behind the answer, and the one that is asked for.
const UNIX_REQUEST_BYTES: usize = HEADER_BYTES + 24;
const UNIX_ATTRIBUTES_AT: usize = HEADER_BYTES + 16;
const UDIAG_SHOW_PEER: u32 = 4;
const UNIX_DIAG_PEER: u16 = 2;

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
    let Some(answer) = exchange(&request(end, other))? else { return Ok(None) };
    if answer.len() < INODE_AT + 4 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // A listener is what the kernel falls back to, and a socket without an inode is closed.
    let held = answer[STATE_AT] != TCP_LISTEN && word(&answer, INODE_AT) != 0;
    Ok(held.then(|| (word(&answer, UID_AT), word(&answer, INODE_AT))))
}

/// The inode of the socket to which this connected UNIX socket of ours leads; `None`: nobody holds that any more.
///
/// # Errors
/// The kernel has no such diagnostics.
pub fn unix_peer(ours: BorrowedFd<'_>) -> io::Result<Option<u32>> {
    let inode = rustix::fs::fstat(ours)?.st_ino;
    let inode = u32::try_from(inode).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    let Some(answer) = exchange(&unix_request(inode))? else { return Ok(None) };
    let mut at = UNIX_ATTRIBUTES_AT;
    while at + 8 <= answer.len() {
        let (length, kind) = (usize::from(half(&answer, at)), half(&answer, at + 2));
        if kind == UNIX_DIAG_PEER {
            return Ok(Some(word(&answer, at + 4)).filter(|inode| *inode != 0));
        }
        at += length.max(4).next_multiple_of(4);
    }
    // No socket at the other end.
    Ok(None)
}

/// One message to the kernel and its answer; `None`: there is no such socket.
fn exchange(request: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let netlink: OwnedFd =
        socket(AddressFamily::Netlink, SockType::Datagram, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkSockDiag)?;
    send(netlink.as_raw_fd(), request, MsgFlags::empty())?;
    let mut answer = vec![0; 512];
    // The kernel answers within the send.
    let length = recv(netlink.as_raw_fd(), &mut answer, MsgFlags::MSG_DONTWAIT)?;
    answer.truncate(length);
    match half(&answer, 4) {
        SOCK_DIAG_BY_FAMILY => Ok(Some(answer)),
        NLMSG_ERROR => {
            let errno = word(&answer, HEADER_BYTES).cast_signed().wrapping_neg();
            if errno == libc::ENOENT { Ok(None) } else { Err(io::Error::from_raw_os_error(errno)) }
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]]))
}

fn half(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |b| u16::from_ne_bytes([b[0], b[1]]))
}

fn header(bytes: usize) -> Vec<u8> {
    let mut header = Vec::with_capacity(bytes);
    header.extend(u32::try_from(bytes).unwrap_or(0).to_ne_bytes());
    header.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    header.extend(NLM_F_REQUEST.to_ne_bytes());
    header.extend([0; 8]);
    header
}

fn unix_request(inode: u32) -> Vec<u8> {
    let mut bytes = header(UNIX_REQUEST_BYTES);
    bytes.extend([u8::try_from(libc::AF_UNIX).unwrap_or(0), 0, 0, 0]);
    // Every state.
    bytes.extend(u32::MAX.to_ne_bytes());
    bytes.extend(inode.to_ne_bytes());
    bytes.extend(UDIAG_SHOW_PEER.to_ne_bytes());
    // No cookie.
    bytes.extend([0xff; 8]);
    bytes
}

fn request(end: SocketAddr, other: SocketAddr) -> Vec<u8> {
    let (end_ip, other_ip) = (end.ip().to_canonical(), other.ip().to_canonical());
    let family = if end_ip.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let mut bytes = header(REQUEST_BYTES);
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
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
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
    fn the_other_end_of_a_unix_socket_is_told_until_it_is_closed() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let inode = rustix::fs::fstat(&theirs).expect("there").st_ino;
        assert_eq!(unix_peer(ours.as_fd()).expect("told").map(u64::from), Some(inode));
        drop(theirs);
        let until = Instant::now() + Duration::from_secs(10);
        while unix_peer(ours.as_fd()).expect("told").is_some() {
            assert!(Instant::now() < until, "somebody still holds it");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_foreign_address_is_elsewhere() {
        let end = "192.0.2.1:4711".parse().expect("an address");
        let other = "127.0.0.1:1".parse().expect("an address");
        assert_eq!(owner(end, other).expect("told"), Owner::Elsewhere);
    }
}
