//! The log of one stream, open for reading.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use crate::sys::file;

/// A shorter piece is given only where there is no more.
const WORTH_A_PIECE: usize = 512;

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
        Self::open_below(path.ancestors().nth(2).unwrap_or(Path::new("/")), path)
    }

    /// The same with any file below the directory of the tasks.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_below(tasks: &Path, path: &Path) -> io::Result<Option<Self>> {
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

    /// Differs when the content does, for a log that nobody writes any more: length and time of the last write in
    /// nanoseconds.
    ///
    /// # Errors
    /// As fstat(2).
    pub fn version(&self) -> io::Result<(u64, i128)> {
        let metadata = self.0.metadata()?;
        Ok((metadata.len(), i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec())))
    }

    /// Up to `most` bytes at `offset`, and fewer only where the file ends or the disk is slow; none at the end.
    ///
    /// # Errors
    /// As pread(2).
    pub async fn read_at(&self, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let there = self.length()?.saturating_sub(offset);
        let mut bytes = vec![0; usize::try_from(there).unwrap_or(usize::MAX).min(most)];
        if bytes.is_empty() {
            return Ok(bytes);
        }
        // Output is mostly read when it was just written: no thread is needed for that.
        let enough = WORTH_A_PIECE.min(bytes.len());
        if let Some(length) = file::read_cached_at(&self.0, &mut bytes, offset)?.filter(|length| *length >= enough) {
            bytes.truncate(length);
            return Ok(bytes);
        }
        let file = Arc::clone(&self.0);
        let read = tokio::task::spawn_blocking(move || {
            let length = file.read_at(&mut bytes, offset)?;
            bytes.truncate(length);
            Ok(bytes)
        });
        read.await.map_err(io::Error::other)?
    }

    /// The same, and blocks.
    pub(super) fn read_at_blocking(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    /// For one who reads it from its beginning to its end.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.0
    }
}

impl From<File> for Log {
    fn from(file: File) -> Self {
        Self(Arc::new(file))
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

    #[tokio::test]
    async fn pieces_come_from_any_offset_and_none_from_behind_the_end() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("stdout.log");
        std::fs::write(&path, "0123456789").expect("written");
        let log = Log::open(&path).expect("opens").expect("is there");
        assert_eq!(log.read_at(0, 4).await.expect("reads"), b"0123");
        assert_eq!(log.read_at(8, 100).await.expect("reads"), b"89");
        assert_eq!(log.read_at(10, 4).await.expect("reads"), b"");
        assert_eq!(log.read_at(u64::MAX, 4).await.expect("reads"), b"");
        let before = log.version().expect("a version");
        std::fs::write(&path, "0123456789a").expect("written");
        assert_ne!(log.version().expect("a version"), before);
    }
}
