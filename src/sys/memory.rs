//! The allocator's habits.

/// Gives each large block back to the system as soon as it is freed. Without this, glibc takes the first freed script
/// of some megabytes as a hint to keep that much from then on (mallopt(3), `M_MMAP_THRESHOLD`).
pub fn return_large_blocks() {
    #[cfg(target_env = "gnu")]
    {
        const LARGE: libc::c_int = 128 * 1024;
        // SAFETY: mallopt takes two integers; the process has one thread, so no allocation runs at the same time.
        unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) };
    }
}
