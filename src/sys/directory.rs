//! Directories of a tree that somebody else may be changing: each is reached from its parent by one name, never through
//! a symbolic link and never into another mount. `.` and `..` are left out.

use std::ffi::{CStr, CString, OsStr};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self, AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;

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

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Directory,
    File,
    /// A link, a pipe, a socket or a device.
    Other,
}

/// What lies in a directory.
#[derive(Debug)]
pub struct Entry {
    pub name: CString,
    pub kind: Kind,
    /// In bytes.
    pub length: u64,
    /// Milliseconds since 1970.
    pub modified_ms: i64,
    pub owner: u32,
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
            let kind = match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => Kind::Directory,
                FileType::RegularFile => Kind::File,
                _ => Kind::Other,
            };
            return Some(Entry {
                name: name.to_owned(),
                kind,
                length: u64::try_from(stat.st_size).unwrap_or(0),
                modified_ms: stat.st_mtime.saturating_mul(1000).saturating_add(stat.st_mtime_nsec as i64 / 1_000_000),
                owner: stat.st_uid,
                bytes: u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512),
                linked: (kind != Kind::Directory && stat.st_nlink > 1).then_some((stat.st_dev, stat.st_ino)),
            });
        }
    }
}

/// A directory of this name below `above`, made if there is none, as an [`open`] handle; and whether it was made.
///
/// # Errors
/// As mkdirat(2); `ENOTDIR` or `ELOOP` for something else of this name.
pub fn make(above: BorrowedFd<'_>, name: &OsStr) -> io::Result<(OwnedFd, bool)> {
    let is_new = match fs::mkdirat(above, name, Mode::from_raw_mode(0o755)) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(error) => return Err(error.into()),
    };
    Ok((fs::openat(above, name, BY_NAME, Mode::empty())?, is_new))
}

/// A new file of this name, open for writing, in the place of what is there.
///
/// # Errors
/// As openat(2); `EISDIR` for a directory of this name.
pub fn new_file(above: BorrowedFd<'_>, name: &OsStr) -> io::Result<File> {
    match fs::unlinkat(above, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(fs::openat(above, name, flags, Mode::RUSR | Mode::WUSR)?.into())
}

/// Makes a directory that of this user and group, by its [`open`] handle.
///
/// # Errors
/// As chown(2).
pub fn give(handle: BorrowedFd<'_>, owner: Option<(u32, u32)>) -> io::Result<()> {
    let Some((uid, gid)) = owner else { return Ok(()) };
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    Ok(fs::chownat(handle, c"", uid, gid, AtFlags::EMPTY_PATH)?)
}

/// Makes a file that of this user and group, with this mode.
///
/// # Errors
/// As fchown(2) and fchmod(2).
pub fn hand_over(file: &File, owner: Option<(u32, u32)>, mode: u32) -> io::Result<()> {
    if let Some((uid, gid)) = owner {
        fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    // Behind the change of owner, and whatever the umask.
    Ok(fs::fchmod(file, Mode::from_raw_mode(mode))?)
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
