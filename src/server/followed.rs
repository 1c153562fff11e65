//! Files that the server goes by while it runs: read again when they have changed.

use std::error::Error;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How old the view of such a file may be.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What some files say, as they are now.
#[derive(Debug)]
pub(super) struct Followed<T, const N: usize> {
    files: [PathBuf; N],
    view: Mutex<View<T, N>>,
}

#[derive(Debug)]
struct View<T, const N: usize> {
    value: Arc<T>,
    stamps: [Option<Stamp>; N],
    looked_at: Instant,
}

impl<T, const N: usize> Followed<T, N> {
    /// # Errors
    /// The files cannot be used.
    pub(super) fn open<E>(files: [PathBuf; N], read: impl FnOnce(&[PathBuf; N]) -> Result<T, E>) -> Result<Self, E> {
        // Before they are read, so that no change falls between.
        let stamps = stamps(&files);
        let value = Arc::new(read(&files)?);
        Ok(Self { files, view: Mutex::new(View { value, stamps, looked_at: Instant::now() }) })
    }

    /// Files that are gone or wrong change nothing; so does one that is new already while those that belong to it are not.
    pub(super) fn current<E: Error + 'static>(&self, read: impl FnOnce(&[PathBuf; N]) -> Result<T, E>) -> Arc<T> {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        if view.looked_at.elapsed() < LOOK_AGAIN_AFTER {
            return Arc::clone(&view.value);
        }
        view.looked_at = Instant::now();
        let stamps = stamps(&self.files);
        if stamps != view.stamps {
            view.stamps = stamps;
            match read(&self.files) {
                Ok(value) => {
                    tracing::info!(files = ?self.files, "read again");
                    view.value = Arc::new(value);
                }
                Err(error) => tracing::error!(
                    files = ?self.files,
                    error = &error as &dyn Error,
                    "all stays as it was: the changed files cannot be used"
                ),
            }
        }
        Arc::clone(&view.value)
    }
}

/// Tells a changed file from the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    changed: (i64, i64),
}

fn stamps<const N: usize>(files: &[PathBuf; N]) -> [Option<Stamp>; N] {
    files.each_ref().map(|file| Stamp::of(file))
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self { device: found.dev(), inode: found.ino(), changed: (found.ctime(), found.ctime_nsec()) })
    }
}
