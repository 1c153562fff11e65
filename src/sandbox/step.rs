//! The steps of a sandbox, each with the name that its error carries.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::plan::EMPTY;
use super::{landlock, seccomp};
use crate::sys::mount::{self, Forbids, Reach};
use crate::sys::{fork, identity, network};

/// One thing that is done, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SandboxStep {
    /// Rootless: the user namespace holds the runtime's own user and nobody else.
    MapUser {
        uid: u32,
        gid: u32,
    },
    NewKeyring,
    Loopback,
    Hostname(&'static str),
    PrivateMounts,
    /// Takes a detached copy of what is mounted at `source`, for `target`.
    OpenHost {
        source: PathBuf,
        target: PathBuf,
        forbids: Forbids,
    },
    /// Makes a detached file system for `target`.
    OpenNew {
        file_system: &'static str,
        target: &'static str,
        options: &'static [(&'static str, &'static str)],
        forbids: Forbids,
    },
    /// Attaches the file system for `/` there and goes to it. Paths of the sandbox lead from the working directory from
    /// now on, and the host's from the root, until it is left.
    EnterRoot(PathBuf),
    /// Makes the working directory the root; the host's files are gone after it.
    LeaveHost,
    /// Makes what a mount is attached to. Every part of the path stands on our own root file system, so that no link of
    /// anybody's is followed.
    MakePoint {
        target: PathBuf,
        kind: Kind,
    },
    Attach(PathBuf),
    Link {
        target: PathBuf,
        to: PathBuf,
    },
    ReadOnly(&'static str),
    Mask(&'static str),
    /// Nothing is written any more to the file system that is mounted there.
    Seal(&'static str),
    /// By the command itself, which has joined its groups.
    NewCgroupNamespace,
    /// With this, standard input is a file and may be read again.
    Landlock {
        stdin: bool,
    },
    DropBoundingSet,
    BecomeUser(u32),
    DropCapabilities,
    NoNewPrivileges,
    Seccomp,
}

/// What a mount is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Directory,
    File,
}

/// Mounts that are open and not attached, by their target, and what else steps leave for later ones.
#[derive(Debug, Default)]
pub struct Mounts(HashMap<PathBuf, OwnedFd>);

impl Mounts {
    fn take(&mut self, target: &Path) -> io::Result<OwnedFd> {
        self.0.remove(target).ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))
    }
}

impl SandboxStep {
    /// Performs the step.
    ///
    /// # Errors
    /// Those of its system calls.
    pub fn perform(&self, mounts: &mut Mounts) -> io::Result<()> {
        match self {
            Self::MapUser { uid, gid } => identity::map_only(*uid, *gid),
            Self::NewKeyring => new_keyring(),
            Self::Loopback => network::loopback_up(),
            Self::Hostname(name) => Ok(rustix::system::sethostname(name.as_bytes())?),
            Self::PrivateMounts => mount::make_all_private(),
            Self::OpenHost { source, target, forbids } => {
                mounts.0.insert(target.clone(), mount::copy_of(source, *forbids)?);
                Ok(())
            }
            Self::OpenNew { file_system, target, options, forbids } => {
                let made = mount::new_file_system(file_system, options, *forbids)?;
                mounts.0.insert(PathBuf::from(target), made);
                Ok(())
            }
            Self::EnterRoot(place) => mount::attach_and_enter(mounts.take(Path::new("/"))?.as_fd(), place),
            Self::LeaveHost => mount::become_root(),
            Self::MakePoint { target, kind } => make_point(inside(target), *kind),
            Self::Attach(target) => mount::attach(mounts.take(target)?.as_fd(), inside(target)),
            Self::Link { target, to } => {
                make_parents(inside(target))?;
                symlink(to, inside(target))
            }
            Self::ReadOnly(path) => if_there(read_only(inside(path))),
            Self::Mask(path) => if_there(mask(inside(path))),
            Self::Seal(path) => {
                let forbids = Forbids { write: true, devices: true, exec: false };
                mount::forbid(mount::at(inside(path))?.as_fd(), forbids, Reach::One)
            }
            Self::NewCgroupNamespace => fork::new_cgroup_namespace(),
            Self::Landlock { stdin } => landlock::restrict(*stdin),
            Self::DropBoundingSet => identity::drop_bounding_set(),
            Self::BecomeUser(uid) => identity::become_user(*uid, *uid, &[]),
            Self::DropCapabilities => identity::drop_capabilities(),
            Self::NoNewPrivileges => identity::no_new_privileges(),
            Self::Seccomp => seccomp::confine(),
        }
    }
}

impl fmt::Display for SandboxStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MapUser { uid, gid } => write!(f, "map user {uid} and group {gid}"),
            Self::NewKeyring => f.write_str("keyctl JOIN_SESSION_KEYRING"),
            Self::Loopback => f.write_str("set lo up"),
            Self::Hostname(name) => write!(f, "sethostname {name}"),
            Self::PrivateMounts => f.write_str("mount --make-rprivate /"),
            Self::OpenHost { source, target, forbids } => {
                write!(f, "open_tree {} for {} ({})", source.display(), target.display(), Options(*forbids))
            }
            Self::OpenNew { file_system, target, options, forbids } => {
                write!(f, "fsmount {file_system} for {target} ({}", Options(*forbids))?;
                options.iter().try_for_each(|(name, value)| write!(f, ",{name}={value}"))?;
                f.write_str(")")
            }
            Self::EnterRoot(place) => write!(f, "move_mount / to {}", place.display()),
            Self::LeaveHost => f.write_str("pivot_root"),
            Self::MakePoint { target, kind: _ } => write!(f, "make {}", target.display()),
            Self::Attach(target) => write!(f, "move_mount {}", target.display()),
            Self::Link { target, to } => write!(f, "symlink {} to {}", target.display(), to.display()),
            Self::ReadOnly(path) => write!(f, "make {path} read-only"),
            Self::Mask(path) => write!(f, "mask {path}"),
            Self::Seal(path) => write!(f, "seal {path}"),
            Self::NewCgroupNamespace => f.write_str("unshare CLONE_NEWCGROUP"),
            Self::Landlock { stdin: _ } => f.write_str("landlock_restrict_self"),
            Self::DropBoundingSet => f.write_str("prctl PR_CAPBSET_DROP"),
            Self::BecomeUser(uid) => write!(f, "setresuid {uid}"),
            Self::DropCapabilities => f.write_str("capset"),
            Self::NoNewPrivileges => f.write_str("prctl PR_SET_NO_NEW_PRIVS"),
            Self::Seccomp => f.write_str("seccomp"),
        }
    }
}

/// As mount(8) calls them.
struct Options(Forbids);

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Forbids { write, devices, exec } = self.0;
        f.write_str(if write { "ro,nosuid" } else { "rw,nosuid" })?;
        f.write_str(if devices { ",nodev" } else { "" })?;
        f.write_str(if exec { ",noexec" } else { "" })
    }
}

/// A kernel without keyrings has none to leave.
fn new_keyring() -> io::Result<()> {
    match identity::new_session_keyring() {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => Ok(()),
        done => done,
    }
}

/// The path from the sandbox's root, which is the working directory whether the host has been left or not.
fn inside<P: AsRef<Path> + ?Sized>(path: &P) -> &Path {
    match path.as_ref().strip_prefix("/") {
        Ok(rest) if rest != Path::new("") => rest,
        _ => Path::new("."),
    }
}

fn make_point(target: &Path, kind: Kind) -> io::Result<()> {
    make_parents(target)?;
    match kind {
        Kind::Directory => fs::DirBuilder::new().recursive(true).create(target),
        Kind::File => fs::File::options().write(true).create_new(true).open(target).map(drop),
    }
}

fn make_parents(target: &Path) -> io::Result<()> {
    target.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), fs::create_dir_all)
}

fn read_only(path: &Path) -> io::Result<()> {
    let forbids = Forbids { write: true, devices: true, exec: true };
    mount::attach(mount::copy_of(path, forbids)?.as_fd(), path)
}

fn mask(path: &Path) -> io::Result<()> {
    let forbids = Forbids { write: true, devices: true, exec: true };
    let cover = if fs::symlink_metadata(path)?.is_dir() {
        mount::copy_of(inside(EMPTY), forbids)?
    } else {
        mount::copy_of(inside("/dev/null"), Forbids { devices: false, ..forbids })?
    };
    mount::attach(cover.as_fd(), path)
}

fn if_there(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
