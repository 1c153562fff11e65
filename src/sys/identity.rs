//! Who a process is and what it may: users, capabilities, and never getting more.

use std::io;

use std::ffi::CString;

use nix::unistd::{Gid, Uid, User};
use rustix::thread::{CapabilitySet, CapabilitySets};

/// The effective user and group of this process.
#[must_use]
pub fn own_ids() -> (u32, u32) {
    (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw())
}

/// Writes the maps of the user namespace that this process was made in: its own user and group, under their own
/// numbers, and nobody else (user_namespaces(7)).
///
/// # Errors
/// `EPERM` where the kernel wants more for this.
pub fn map_only(uid: u32, gid: u32) -> io::Result<()> {
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
    std::fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))
}

/// A user that the system has a name for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    /// All that it is a member of (getgrouplist(3)), the one above included.
    pub groups: Vec<u32>,
}

/// # Errors
/// As getpwnam(3).
pub fn account_by_name(name: &str) -> io::Result<Option<Account>> {
    User::from_name(name)?.map(account).transpose()
}

/// # Errors
/// As getpwuid(3).
pub fn account_by_uid(uid: u32) -> io::Result<Option<Account>> {
    User::from_uid(Uid::from_raw(uid))?.map(account).transpose()
}

fn account(user: User) -> io::Result<Account> {
    let name = CString::new(user.name.as_str())?;
    let groups = nix::unistd::getgrouplist(&name, user.gid)?;
    let groups = groups.into_iter().map(Gid::as_raw).collect();
    Ok(Account { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw(), groups })
}

/// Becomes this user with this group and these supplementary groups, for ever. With the user every capability of root
/// goes (capabilities(7)). Needs CAP_SETUID and CAP_SETGID.
///
/// # Errors
/// As setgroups(2), setresgid(2) and setresuid(2).
pub fn become_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
    nix::unistd::setgroups(&groups)?;
    let gid = Gid::from_raw(gid);
    nix::unistd::setresgid(gid, gid, gid)?;
    let uid = Uid::from_raw(uid);
    Ok(nix::unistd::setresuid(uid, uid, uid)?)
}

/// Takes every capability out of the bounding set, so that no program ever gives one back. Needs CAP_SETPCAP.
///
/// # Errors
/// `EPERM`.
pub fn drop_bounding_set() -> io::Result<()> {
    // The kernel says EINVAL for the first number that it does not know (capabilities(7)).
    for bit in 0..64 {
        // SAFETY: PR_CAPBSET_DROP takes a number.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, bit as libc::c_ulong, 0, 0, 0) } != 0 {
            let error = io::Error::last_os_error();
            return if error.raw_os_error() == Some(libc::EINVAL) && bit > 0 { Ok(()) } else { Err(error) };
        }
    }
    Ok(())
}

/// Empties the effective, permitted, inheritable and ambient sets.
///
/// # Errors
/// None are known.
pub fn drop_capabilities() -> io::Result<()> {
    rustix::thread::clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    Ok(rustix::thread::set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?)
}

/// No exec gives more than there is (prctl(2), `PR_SET_NO_NEW_PRIVS`).
///
/// # Errors
/// None are known.
pub fn no_new_privileges() -> io::Result<()> {
    Ok(rustix::thread::set_no_new_privs(true)?)
}

/// Nobody of the same user may trace this process or read its memory.
///
/// # Errors
/// None are known.
pub fn not_dumpable() -> io::Result<()> {
    Ok(rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?)
}

/// A new session keyring, so that nothing of the runtime's is reached through the old one (keyctl(2)).
///
/// # Errors
/// `ENOSYS` without keyrings.
pub fn new_session_keyring() -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: with a null name the kernel reads no memory.
    let done = unsafe {
        libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>(), 0, 0, 0)
    };
    if done >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
