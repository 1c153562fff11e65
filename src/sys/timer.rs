//! An end by the clock for what has nobody to watch over it (timer_create(2)).

use std::io;

/// SIGKILL for this process so many milliseconds from now, unless it has exec'ed by then, which deletes the timer. Reaches
/// a process that hangs in a system call, as far as that can be ended at all. Allocates nothing.
///
/// # Errors
/// As timer_create(2): `EAGAIN` when the user has too many signals pending.
pub fn kill_unless_execed_in(millis: u64) -> io::Result<()> {
    // SAFETY: all zero is a valid `sigevent`.
    let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
    event.sigev_notify = libc::SIGEV_SIGNAL;
    event.sigev_signo = libc::SIGKILL;
    let seconds = libc::time_t::try_from(millis / 1000).unwrap_or(libc::time_t::MAX);
    let nanoseconds = (millis % 1000 * 1_000_000).cast_signed();
    // SAFETY: all zero is a valid `itimerspec`: it does not repeat.
    let mut time: libc::itimerspec = unsafe { std::mem::zeroed() };
    time.it_value = libc::timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    // The kernel's own calls, for libc's may keep books about its timers in memory that is our parent's.
    let mut timer: libc::c_int = 0;
    // SAFETY: the kernel reads `event` and writes to `timer`, which live.
    let made =
        unsafe { libc::syscall(libc::SYS_timer_create, libc::CLOCK_MONOTONIC, &raw const event, &raw mut timer) };
    if made != 0 {
        return Err(io::Error::last_os_error());
    }
    let nothing = std::ptr::null_mut::<libc::itimerspec>();
    // SAFETY: the kernel reads `time`, which lives.
    let set = unsafe { libc::syscall(libc::SYS_timer_settime, timer, 0, &raw const time, nothing) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::Command;
    use std::time::Duration;

    #[test]
    fn it_ends_what_hangs_and_not_what_has_execed() {
        let mut hangs = Command::new("/bin/true");
        // SAFETY: between fork and exec there are system calls alone.
        unsafe {
            hangs.pre_exec(|| {
                kill_unless_execed_in(30)?;
                std::thread::sleep(Duration::from_secs(60));
                Ok(())
            })
        };
        assert_eq!(hangs.status().expect("forked").signal(), Some(libc::SIGKILL));
        let mut execs = Command::new("/bin/sleep");
        // SAFETY: as above.
        unsafe { execs.arg("0.3").pre_exec(|| kill_unless_execed_in(100)) };
        assert!(execs.status().expect("started").success());
    }
}
