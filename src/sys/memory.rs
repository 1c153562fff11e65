//! The allocator's habits, and whom the kernel kills for want of memory.

use std::io;

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

/// Raises `oom_score_adj` of this process, and of what it will fork, to `least`: of two processes that use as much the
/// kernel kills the one with the greater number first (proc_pid_oom_score_adj(5)). Raising it needs no privilege. A
/// process whose `/proc` is root's, as after an exec that gave it capabilities, or read-only, stays as it is.
///
/// # Errors
/// As open(2) and write(2) otherwise.
pub fn offer_as_victim(least: i32) -> io::Result<()> {
    const FILE: &str = "/proc/self/oom_score_adj";
    // Somebody above may have offered us already, and lowering it takes a capability that we need not have.
    if std::fs::read_to_string(FILE)?.trim().parse().is_ok_and(|present: i32| present >= least) {
        return Ok(());
    }
    match std::fs::write(FILE, least.to_string()) {
        Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
            Ok(())
        }
        written => written,
    }
}
