//! Files that somebody else may have replaced by something else, and reads that do not wait for a disk.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{self, CWD, Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

/// NONBLOCK: a pipe in the place of the file must not hold up who opens it.
const TO_READ: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Opens what is at `path` in the directory `dir`. Below `dir` no link is followed. What it is must be looked at before it
/// is read.
///
/// # Errors
/// As openat2(2); `ELOOP` for a link.
pub fn open_below(dir: &Path, path: &Path) -> io::Result<File> {
    let dir = fs::openat(CWD, dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let opened = match fs::openat2(&dir, path, TO_READ, Mode::empty(), resolve) {
        // A container's filter that is older than the call.
        Err(Errno::NOSYS | Errno::PERM) => fs::openat(&dir, path, TO_READ, Mode::empty()),
        opened => opened,
    };
    Ok(opened?.into())
}

/// Reads at `offset` what is in the page cache. `None`: it is not, or this file system cannot tell, so that a read may
/// wait for a disk.
///
/// # Errors
/// As preadv2(2).
pub fn read_cached_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
    match preadv2(file.as_fd(), &mut [IoSliceMut::new(buffer)], offset, ReadWriteFlags::NOWAIT) {
        Ok(length) => Ok(Some(length)),
        Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::INTR | Errno::PERM) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn no_link_leads_out_of_the_directory() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (inside, outside) = (dir.path().join("inside"), dir.path().join("outside"));
        for made in [&inside, &outside] {
            std::fs::create_dir(made).expect("made");
            std::fs::write(made.join("file"), "text").expect("written");
        }
        symlink(outside.join("file"), inside.join("link")).expect("linked");
        symlink(&outside, inside.join("elsewhere")).expect("linked");
        assert!(open_below(&inside, Path::new("file")).is_ok());
        for bad in ["link", "elsewhere/file", "../outside/file"] {
            assert!(open_below(&inside, Path::new(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_was_just_written_is_read_without_waiting_or_not_at_all() {
        let path = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(path.path(), "0123456789").expect("written");
        let file = File::open(path.path()).expect("opened");
        let mut buffer = [0; 4];
        if let Some(length) = read_cached_at(&file, &mut buffer, 4).expect("readable") {
            assert_eq!(&buffer[..length], &b"4567"[..length]);
        }
        let end = read_cached_at(&file, &mut buffer, 10).expect("readable");
        assert!(matches!(end, Some(0) | None), "{end:?}");
    }
}
