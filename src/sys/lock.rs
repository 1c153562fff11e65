//! flock(2). The lock belongs to the open file description, so forked children hold it too, until the last of them
//! closes its copy.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// How often a lock that somebody else holds is tried again: flock(2) knows no timeout.
const RETRY: Duration = Duration::from_millis(5);

/// Makes a new lock file, mode 0600, and leaves it unlocked.
///
/// # Errors
/// As open(2); `EEXIST` when the file is there already.
pub fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Opens a lock file that must exist.
///
/// # Errors
/// As open(2).
pub fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Takes the exclusive lock if it is free; says whether it did.
///
/// # Errors
/// As flock(2), but for a held lock.
pub fn try_exclusive(file: impl AsFd) -> io::Result<bool> {
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Takes the exclusive lock, waiting until `deadline` at most; says whether it did.
///
/// # Errors
/// As flock(2), but for a held lock.
pub fn exclusive_by(file: impl AsFd, deadline: Instant) -> io::Result<bool> {
    loop {
        if try_exclusive(&file)? {
            return Ok(true);
        }
        let now = Instant::now();
        if now >= deadline {
            return Ok(false);
        }
        std::thread::sleep(RETRY.min(deadline - now));
    }
}

/// The file's name is gone: whoever removed it no longer waits for this lock.
///
/// # Errors
/// As fstat(2).
pub fn is_unlinked(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.nlink() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_description_holds_the_lock_until_its_last_copy_is_closed() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("a.lock");
        let first = create(&path).expect("created");
        assert!(create(&path).is_err(), "made twice");
        let second = open(&path).expect("opened");
        assert!(try_exclusive(&first).expect("lockable"));
        let copy = first.try_clone().expect("dup");
        drop(first);
        assert!(!try_exclusive(&second).expect("lockable"));
        assert!(!exclusive_by(&second, Instant::now() + Duration::from_millis(20)).expect("lockable"));
        drop(copy);
        // A child that another test forks at this moment holds a copy until its exec.
        assert!(exclusive_by(&second, Instant::now() + Duration::from_secs(20)).expect("lockable"));
        assert!(!is_unlinked(&second).expect("stat"));
        std::fs::remove_file(&path).expect("removed");
        assert!(is_unlinked(&second).expect("stat"));
    }
}
