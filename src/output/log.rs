//! The log of one stream, open for reading.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;

use crate::sys::file;

/// Cheap to clone. It stays what it was when its name is deleted.
#[derive(Clone, Debug)]
pub struct Log(Arc<File>);

impl Log {
    /// Opens the log `<directory of tasks>/<task>/<log>`. `None`: it is not there, or it is no plain file any more: the task
    /// can put there what it likes. Blocks.
    ///
    /// # Errors
    /// It is there and cannot be opened.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        let tasks = path.ancestors().nth(2).unwrap_or(Path::new("/"));
        let inner = path.strip_prefix(tasks).unwrap_or(path);
        let file = match file::open_below(tasks, inner) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_plain = file.metadata()?.is_file();
        Ok(is_plain.then(|| Self(Arc::new(file))))
    }

    /// How long it is now.
    ///
    /// # Errors
    /// As fstat(2).
    pub fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    /// For one who reads it from its beginning to its end.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.0
    }
}

impl AsFd for Log {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Nothing, a link (`ELOOP`), a socket (`ENXIO`), or somewhere above it something that is no directory.
fn is_absent(error: &io::Error) -> bool {
    let is_other = matches!(error.raw_os_error(), Some(libc::ELOOP | libc::ENXIO | libc::EXDEV));
    is_other || matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_no_plain_file_is_no_log_and_no_link_is_followed() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let task = dir.path().join("tasks/t");
        std::fs::create_dir_all(&task).expect("made");
        let path = task.join("stdout.log");
        assert!(Log::open(&path).expect("absent").is_none());
        symlink("/etc/passwd", &path).expect("linked");
        assert!(Log::open(&path).expect("a link").is_none());
        std::fs::remove_file(&path).expect("removed");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        assert!(Log::open(&path).expect("a pipe").is_none());
        std::fs::remove_file(&path).expect("removed");
        let _socket = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
        assert!(Log::open(&path).expect("a socket").is_none());
        // The directory itself is a link to one that has such a file.
        let other = dir.path().join("other");
        std::fs::create_dir(&other).expect("made");
        std::fs::write(other.join("stdout.log"), "secret").expect("written");
        symlink(&other, dir.path().join("tasks/u")).expect("linked");
        assert!(Log::open(&dir.path().join("tasks/u/stdout.log")).expect("a link").is_none());
    }
}
