//! Network and IPC: the runtime, the host, outside, other families of sockets, shared memory.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixStream};
use std::time::Duration;

use crate::Row;
use crate::system::{Errno, call, known, room, words};
use crate::verdict::Verdict::{self, Cannot, Held, Open};
use crate::verdict::{barred, refused, refused_with, works, worst};

pub const ROWS: &[Row] = &[
    ("runtime-api", runtime_api),
    ("host-loopback", || with("LISTENER", |address| unconnected(connect(address)))),
    ("outside", outside),
    ("interfaces", interfaces),
    ("abstract-socket", || with("ABSTRACT", |name| unconnected(connect_abstract(name)))),
    ("pathname-socket", || with("SOCKET", |path| barred(path, UnixStream::connect(path)))),
    ("vsock", || refused(call(41, [40, STREAM, 0]))),
    ("packet-socket", || refused(call(41, [17, RAW, 0]))),
    ("crypto-socket", || refused(call(41, [38, SEQPACKET, 0]))),
    ("raw-socket", || refused(call(41, [2, RAW, 1]))),
    ("change-interface", change_interface),
    ("shared-memory", shared_memory),
    ("control-loopback", || works(own_loopback())),
];

const STREAM: usize = 1;
const RAW: usize = 3;
const SEQPACKET: usize = 5;
const PATIENCE: Duration = Duration::from_secs(10);

fn with(name: &str, attack: impl FnOnce(&str) -> Verdict) -> Verdict {
    known(name).map_or_else(Cannot, |value| attack(&value))
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn connect_abstract(name: &str) -> io::Result<UnixStream> {
    UnixStream::connect_addr(&UnixAddress::from_abstract_name(name)?)
}

fn unconnected<T>(result: io::Result<T>) -> Verdict {
    match result {
        Ok(_) => Open("connected".to_owned()),
        Err(error) => match Errno::of(&error) {
            errno @ (Errno::EPERM | Errno::EACCES | Errno::ECONNREFUSED | Errno::ENETUNREACH) => {
                Held(errno.to_string())
            }
            errno => Cannot(format!("connect: {error} ({errno})")),
        },
    }
}

/// Submits a task that has no sandbox: as any client would, from another address of this machine, and by a socket of
/// the other family.
fn runtime_api() -> Verdict {
    with("API", |address| {
        with("SMUGGLED", |id| {
            let mapped = format!("[::ffff:127.0.0.1]:{}", address.rsplit(':').next().unwrap_or_default());
            let ways = [connect(address), connect_from([127, 9, 9, 9], address), connect(&mapped)];
            worst(ways.map(|way| match way {
                Ok(stream) => submit(stream, id),
                refusal => unconnected(refusal),
            }))
        })
    })
}

/// bind(2) before connect(2) is what the standard library has not got.
fn connect_from(source: [u8; 4], address: &str) -> io::Result<TcpStream> {
    const ADDRESS_BYTES: usize = 16;
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let SocketAddr::V4(address) = address else { return Err(io::Error::other("no IPv4 address")) };
    let failed = |errno: Errno| io::Error::other(errno.to_string());
    let socket = call(41, [2, STREAM, 0]).map_err(failed)?;
    let end = |ip: [u8; 4], port: u16| {
        let ([a, b, c, d], [high, low]) = (ip, port.to_be_bytes());
        words([u64::from_ne_bytes([2, 0, high, low, a, b, c, d]), 0])
    };
    call(49, [socket, end(source, 0), ADDRESS_BYTES]).map_err(failed)?;
    call(42, [socket, end(address.ip().octets(), address.port()), ADDRESS_BYTES]).map_err(Errno::into_io)?;
    let fd = i32::try_from(socket).map_err(io::Error::other)?;
    // SAFETY: the kernel has just given this descriptor, and nobody else has it.
    let stream = TcpStream::from(unsafe { OwnedFd::from_raw_fd(fd) });
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn submit(mut stream: TcpStream, id: &str) -> Verdict {
    let body = format!(r#"{{"task_id":"{id}","execution":{{"kind":"command","program":"/bin/true"}}}}"#);
    let request = format!(
        "POST /api/v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut answer = String::new();
    let asked = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer));
    match answer.split(' ').nth(1) {
        Some("403") => Held("403".to_owned()),
        Some(status) => Open(format!("answered {status}")),
        None => Cannot(format!("no answer: {asked:?}")),
    }
}

/// No packet is sent: the kernel looks for a way, and that is all. The network is one that is kept for examples.
fn outside() -> Verdict {
    let connected = UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.connect("192.0.2.1:9"));
    unconnected(connected)
}

fn interfaces() -> Verdict {
    let Ok(devices) = fs::read_to_string("/proc/net/dev") else { return Cannot("no /proc/net/dev".to_owned()) };
    let names = devices.lines().skip(2).filter_map(|line| line.split(':').next()).map(str::trim);
    // A kernel may put the stubs of its tunnels into each new network; they are down.
    let others: Vec<&str> = names.filter(|name| *name != "lo" && is_up(name)).collect();
    if others.is_empty() { Held("lo alone".to_owned()) } else { Open(others.join(" ")) }
}

fn is_up(device: &str) -> bool {
    const GET_FLAGS: usize = 0x8913;
    const NAME_WORDS: usize = 2;
    const UP: u64 = 1;
    let mut name: Vec<u8> = device.bytes().collect();
    name.resize(16, 0);
    let word = |index: usize| u64::from_ne_bytes(std::array::from_fn(|byte| name[index * 8 + byte]));
    let request = words([word(0), word(1), 0, 0, 0]);
    let asked = call(41, [2, 2, 0]).and_then(|socket| call(16, [socket, GET_FLAGS, request]));
    // SAFETY: `words` gave five words, never freed; the flags are the half word behind the name.
    asked.is_ok() && unsafe { *(request as *const u64).add(NAME_WORDS) } & UP != 0
}

/// Of a device that is not there.
fn change_interface() -> Verdict {
    const SET_FLAGS: usize = 0x8914;
    let name: [u8; 8] = *b"attack0\0";
    let request = words([u64::from_ne_bytes(name), 0, 0, 0, 0]);
    match call(41, [2, 2, 0]) {
        Ok(socket) => refused(call(16, [socket, SET_FLAGS, request])),
        Err(errno) => Cannot(format!("socket: {errno}")),
    }
}

/// A segment of the host's, by its id.
fn shared_memory() -> Verdict {
    const STAT: usize = 2;
    with("SHM", |id| match id.parse() {
        Ok(id) => refused_with(call(31, [id, STAT, room(256)]), &[Errno::EINVAL, Errno::EIDRM]),
        Err(error) => Cannot(format!("{id}: {error}")),
    })
}

fn own_loopback() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    TcpStream::connect_timeout(&listener.local_addr()?, PATIENCE)?;
    listener.accept().map(drop)
}
