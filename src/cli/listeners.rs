//! The sockets on which `serve` listens.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixSocket};

/// What Linux allows at most, unless told otherwise (listen(2)).
const BACKLOG: u32 = 4096;
/// `sun_path` without the byte that ends it (unix(7)).
const MAX_PATH_BYTES: usize = 107;

/// A connection that finds the backlog full is tried again by its client's kernel, a second later.
pub fn tcp(wanted: SocketAddr) -> io::Result<TcpListener> {
    let socket = if wanted.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of a former server may linger.
    socket.set_reuseaddr(true)?;
    socket.bind(wanted)?;
    socket.listen(BACKLOG)
}

/// Why the UNIX socket cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum UnixSocketError {
    #[error("its path has {0} bytes, and that of a socket may have {MAX_PATH_BYTES}")]
    TooLong(usize),
    #[error("another server listens there")]
    Live,
    #[error("there is something else at this path")]
    NoSocket,
    #[error("cannot {step}")]
    Step { step: &'static str, source: io::Error },
}

/// The file of a UNIX socket of ours; it is removed on drop, unless somebody listens there: another server that has taken
/// its place, or ours while its listener lives.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

/// Listens at this path, for the server's user alone. The file of a server that is gone is replaced.
pub fn unix(given: &Path) -> Result<(SocketFile, UnixListener), UnixSocketError> {
    let failed = |step| move |source| UnixSocketError::Step { step, source };
    let length = given.as_os_str().as_bytes().len();
    if length > MAX_PATH_BYTES {
        return Err(UnixSocketError::TooLong(length));
    }
    let path = std::path::absolute(given).map_err(failed("find its directory"))?;
    let _one_at_a_time = lock_directory(&path)?;
    make_room(&path)?;
    let socket = UnixSocket::new_stream().map_err(failed("make a socket"))?;
    // The file gets the mode of the socket when it is bound, so nobody comes in between.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR).map_err(|error| failed("set its mode")(error.into()))?;
    socket.bind(given).map_err(failed("bind it"))?;
    let file = SocketFile(path);
    let listener = socket.listen(BACKLOG).map_err(failed("listen on it"))?;
    Ok((file, listener))
}

/// Two servers must not both find the file stale: one would remove the socket of the other.
fn lock_directory(path: &Path) -> Result<File, UnixSocketError> {
    let failed = |step| move |source| UnixSocketError::Step { step, source };
    let directory = File::open(path.parent().unwrap_or(path)).map_err(failed("open its directory"))?;
    directory.lock().map_err(failed("lock its directory"))?;
    Ok(directory)
}

/// Removes the socket of a server that is gone.
fn make_room(path: &Path) -> Result<(), UnixSocketError> {
    let failed = |step| move |source| UnixSocketError::Step { step, source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("look at its path")(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(UnixSocketError::NoSocket),
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(UnixSocketError::Live),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed("remove the socket of a server that is gone"))
        }
        Err(error) => Err(failed("find out whether another server listens there")(error)),
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let removed = lock_directory(&self.0).and_then(|_locked| make_room(&self.0));
        if let Err(error) = removed {
            tracing::info!(%error, path = %self.0.display(), "the file of the UNIX socket stays");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn a_socket_is_for_its_user_alone_and_goes_with_its_server() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("s");
        let (file, listener) = unix(&path).expect("listens");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert!(matches!(unix(&path), Err(UnixSocketError::Live)));
        drop(listener);
        drop(file);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_a_dead_server_left_is_replaced_and_what_another_made_is_left() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("s");
        let (first, listener) = unix(&path).expect("listens");
        drop(listener);
        let (second, listener) = unix(&path).expect("replaces");
        drop(first);
        assert!(UnixStream::connect(&path).is_ok(), "the first one removed the socket of the second");
        drop(listener);
        drop(second);
        fs::write(&path, "mine").expect("written");
        assert!(matches!(unix(&path), Err(UnixSocketError::NoSocket)));
        assert_eq!(fs::read_to_string(&path).expect("there"), "mine");
    }

    #[tokio::test]
    async fn a_path_that_no_socket_can_have_is_told() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let told = unix(&dir.path().join("x".repeat(120))).expect_err("too long").to_string();
        assert!(told.contains("may have 107"), "{told}");
        let told = unix(&dir.path().join("none/s")).expect_err("no directory").to_string();
        assert_eq!(told, "cannot open its directory");
    }
}
