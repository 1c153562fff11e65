//! Directories of a tree that somebody else may be changing: each is reached from its parent by one name, never through
//! a symbolic link and never into another mount. `.` and `..` are left out.

use std::ffi::{CStr, CString};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self, AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags};

const BY_NAME: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const TO_READ: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// What an owner needs to see what is inside.
const READ_AND_SEARCH: Mode = Mode::RUSR.union(Mode::XUSR);

/// Opens a directory to be named in what follows; the path may lead through links.
///
/// # Errors
/// As open(2).
pub fn open(path: &Path) -> io::Result<OwnedFd> {
    Ok(fs::openat(CWD, path, BY_NAME, Mode::empty())?)
}

/// An open directory and how far it was read.
pub struct Directory {
    dir: Dir,
    device: u64,
    /// The mode that it gets back.
    lent: Option<Mode>,
}

/// What lies in a directory.
#[derive(Debug)]
pub struct Entry {
    pub name: CString,
    pub is_dir: bool,
    /// Allocated, whatever its length.
    pub bytes: u64,
    /// Device and inode of a file that has other names, too.
    pub linked: Option<(u64, u64)>,
}

impl Directory {
    /// Opens the directory of an [`open`] handle. With `lend` an owner who may not read it gives itself the right for as
    /// long as this lives.
    ///
    /// # Errors
    /// As open(2); `EACCES` without `lend`.
    pub fn read(handle: BorrowedFd<'_>, lend: bool) -> io::Result<Self> {
        let stat = fs::fstat(handle)?;
        let mode = Mode::from_raw_mode(stat.st_mode);
        let lent = (lend && !mode.contains(READ_AND_SEARCH)).then_some(mode);
        if lent.is_some() {
            // fchmod(2) takes no O_PATH descriptor; its link in /proc leads to the very directory.
            fs::chmodat(CWD, of_proc(handle), mode.union(READ_AND_SEARCH), AtFlags::empty())?;
        }
        let dir = fs::openat(handle, c".", TO_READ, Mode::empty()).and_then(Dir::new);
        if let (Err(_), Some(mode)) = (&dir, lent) {
            let _ = fs::chmodat(CWD, of_proc(handle), mode, AtFlags::empty());
        }
        Ok(Self { dir: dir?, device: stat.st_dev, lent })
    }

    /// A directory inside this one, as an [`open`] handle.
    ///
    /// # Errors
    /// `EXDEV` for a mount point; `ENOTDIR`, `ELOOP` or `ENOENT` when it has become something else.
    pub fn child(&self, name: &CStr) -> io::Result<OwnedFd> {
        let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        Ok(fs::openat2(self.dir.fd()?, name, BY_NAME, Mode::empty(), resolve)?)
    }

    /// The next entry; one that vanished meanwhile is passed over, and so is what is mounted here. `None`: there are no
    /// more, or no more that can be read.
    pub fn next(&mut self) -> Option<Entry> {
        loop {
            let entry = self.dir.read()?.ok()?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
            let Ok(stat) = self.dir.fd().and_then(|dir| fs::statat(dir, name, flags)) else { continue };
            if stat.st_dev != self.device {
                continue;
            }
            let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            return Some(Entry {
                name: name.to_owned(),
                is_dir,
                bytes: u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512),
                linked: (!is_dir && stat.st_nlink > 1).then_some((stat.st_dev, stat.st_ino)),
            });
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let (Some(mode), Ok(dir)) = (self.lent, self.dir.fd()) {
            let _ = fs::fchmod(dir, mode);
        }
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").field("lent", &self.lent).finish_non_exhaustive()
    }
}

fn of_proc(handle: impl AsFd) -> String {
    format!("/proc/self/fd/{}", handle.as_fd().as_raw_fd())
}
