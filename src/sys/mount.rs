//! Mounts by descriptor (fsopen(2), open_tree(2), move_mount(2), mount_setattr(2)): a mount is made detached, gets its
//! attributes, and is attached last, so that no path is looked up twice.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
};

/// What a mount forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forbids {
    pub write: bool,
    pub devices: bool,
    pub exec: bool,
}

impl Forbids {
    fn bits(self) -> u32 {
        let Self { write, devices, exec } = self;
        let flag = |on: bool, flag: MountAttrFlags| if on { flag.bits() } else { 0 };
        MountAttrFlags::MOUNT_ATTR_NOSUID.bits()
            | flag(write, MountAttrFlags::MOUNT_ATTR_RDONLY)
            | flag(devices, MountAttrFlags::MOUNT_ATTR_NODEV)
            | flag(exec, MountAttrFlags::MOUNT_ATTR_NOEXEC)
    }
}

/// A new, detached file system of this kind with these options. Nothing on it is ever setuid.
///
/// # Errors
/// As fsopen(2), fsconfig(2) and fsmount(2).
pub fn new_file_system(kind: &str, options: &[(&str, &str)], forbids: Forbids) -> io::Result<OwnedFd> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (name, value) in options {
        rustix::mount::fsconfig_set_string(context.as_fd(), *name, *value)?;
    }
    rustix::mount::fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::from_bits_retain(forbids.bits());
    Ok(rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// A detached copy of what is mounted at and below `path`, whose last part must be no symbolic link; nothing in it is
/// ever setuid.
///
/// # Errors
/// As open_tree(2) and mount_setattr(2) (Linux 5.12).
pub fn copy_of(path: &Path, forbids: Forbids) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    let tree = rustix::mount::open_tree(CWD, path, flags)?;
    forbid(tree.as_fd(), forbids, Reach::AllBelow)?;
    Ok(tree)
}

/// Whether a change reaches the mounts below, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    One,
    AllBelow,
}

/// The mount at `path`, to be handed to [`forbid`].
///
/// # Errors
/// As open(2).
pub fn at(path: &Path) -> io::Result<OwnedFd> {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC | rustix::fs::OFlags::NOFOLLOW;
    Ok(rustix::fs::open(path, flags, rustix::fs::Mode::empty())?)
}

/// Takes permissions away from a mount.
///
/// # Errors
/// As mount_setattr(2).
pub fn forbid(tree: BorrowedFd<'_>, forbids: Forbids, reach: Reach) -> io::Result<()> {
    /// `struct mount_attr` of <linux/mount.h>, version 0.
    #[repr(C)]
    struct MountAttr {
        set: u64,
        clear: u64,
        propagation: u64,
        userns_fd: u64,
    }
    let attributes = MountAttr { set: u64::from(forbids.bits()), clear: 0, propagation: 0, userns_fd: 0 };
    let recursive = if reach == Reach::AllBelow { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the kernel reads an empty string and a structure whose size it is told; both live through the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            &raw const attributes,
            size_of::<MountAttr>(),
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Attaches a detached mount at `target`, of which no part may be a symbolic link that leads elsewhere: the last is not
/// followed.
///
/// # Errors
/// As move_mount(2).
pub fn attach(mount: BorrowedFd<'_>, target: &Path) -> io::Result<()> {
    Ok(rustix::mount::move_mount(mount, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// Tells when the mounts of our namespace have changed (proc_pid_mounts(5)): it polls as ended, once for all changes since
/// the last poll.
#[derive(Debug)]
pub struct Changes(File);

impl Changes {
    /// From now on.
    ///
    /// # Errors
    /// `/proc` is not mounted.
    pub fn watch() -> io::Result<Self> {
        File::open("/proc/self/mountinfo").map(Self)
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// No mount made here is seen elsewhere, and none from elsewhere here.
///
/// # Errors
/// As mount(2).
pub fn make_all_private() -> io::Result<()> {
    Ok(rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?)
}

/// Attaches a detached mount and makes it the working directory.
///
/// # Errors
/// As move_mount(2).
pub fn attach_and_enter(mount: BorrowedFd<'_>, target: &Path) -> io::Result<()> {
    attach(mount, target)?;
    Ok(rustix::process::fchdir(mount)?)
}

/// Makes the attached mount that is the working directory the root, and lets go of the old root with everything below it
/// (pivot_root(2), NOTES).
///
/// # Errors
/// As pivot_root(2); `EINVAL` when the old root is the initial ramfs.
pub fn become_root() -> io::Result<()> {
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    Ok(rustix::process::chdir("/")?)
}
