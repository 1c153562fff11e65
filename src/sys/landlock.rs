//! The version of Landlock, for people to read: its rules are made through the crate of that name.

/// The version of the kernel's interface, landlock_create_ruleset(2); nothing where Landlock is missing or off.
#[must_use]
pub fn abi() -> Option<u32> {
    const VERSION: libc::c_uint = 1;
    // SAFETY: with this flag the kernel takes no pointer, makes nothing and returns a number.
    let abi =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<libc::c_void>(), 0_usize, VERSION) };
    u32::try_from(abi).ok().filter(|abi| *abi > 0)
}
