//! Network namespaces of their own, each with its loopback device alone (network_namespaces(7)).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sched::{CloneFlags, setns, unshare};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::fork::SingleThreaded;

/// A network with its loopback device up, which lives as long as the descriptor. Needs CAP_SYS_ADMIN.
///
/// # Errors
/// As unshare(2).
///
/// # Panics
/// The process cannot go back to its own network. It could not go on in the other.
pub fn made_ahead(_: &SingleThreaded) -> io::Result<OwnedFd> {
    const OWN: &str = "/proc/self/ns/net";
    let own = File::open(OWN)?;
    unshare(CloneFlags::CLONE_NEWNET)?;
    let made = loopback_up().and_then(|()| File::open(OWN));
    enter(own.as_fd()).expect("a process with CAP_SYS_ADMIN goes back to its own network");
    Ok(made?.into())
}

/// Goes there for good.
///
/// # Errors
/// As setns(2).
pub fn enter(network: BorrowedFd<'_>) -> io::Result<()> {
    Ok(setns(network, CloneFlags::CLONE_NEWNET)?)
}

/// Sets the loopback device up; the kernel gives it its addresses.
///
/// # Errors
/// As netdevice(7): `EPERM` in a network namespace that is not ours.
pub fn loopback_up() -> io::Result<()> {
    let socket: OwnedFd = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: all zero is a valid `ifreq`: an empty name and no flags.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed() as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one `ifreq`, which lives through the call.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
