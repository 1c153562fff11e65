//! Processes and limits: signals to others, more than was granted, bombs.

use std::fs;
use std::io;
use std::path::Path;

use crate::Row;
use crate::system::{Errno, MINUS_ONE, call, known, own_pid, room, words};
use crate::verdict::Verdict::{self, Cannot, Held, Open};
use crate::verdict::{barred, refused, refused_with, works, worst};

pub const ROWS: &[Row] = &[
    ("signal-pid-1", signal_pid_1),
    ("signal-host", signal_host),
    ("foreign-processes", foreign_processes),
    ("raise-rlimit", || raise(NOFILE)),
    ("core-dump", || raise(CORE)),
    ("prlimit-pid-1", prlimit_pid_1),
    ("realtime-scheduler", || refused(call(144, [0, 1, words([1])]))),
    ("nice-down", || refused(call(141, [0, 0, (-20_isize).cast_unsigned()]))),
    ("lock-memory", lock_memory),
    ("oom-score-down", || barred("written", fs::write("/proc/self/oom_score_adj", "-1000"))),
    ("fill-tmp", || too_large("/tmp")),
    ("fill-shm", || too_large("/dev/shm")),
    ("inodes-tmp", || inodes("/tmp", 70_000)),
    ("inodes-shm", || inodes("/dev/shm", 10_000)),
    ("control-tmp", || works(fs::write("/tmp/control", "x").and_then(|()| fs::write("/dev/shm/control", "x")))),
];

const NOFILE: usize = 7;
const CORE: usize = 4;
const SIGKILL: usize = 9;
/// A pid namespace of a task's own does not count further.
const SURELY_INSIDE: usize = 2000;

/// Success means nothing: the kernel drops signals that an init does not want. So pid 1 is looked at afterwards.
fn signal_pid_1() -> Verdict {
    if own_pid() > SURELY_INSIDE {
        return Cannot("pid 1 may be the host's".to_owned());
    }
    for signal in [15, 1, 11, SIGKILL] {
        if let Err(errno) = call(62, [1, signal])
            && errno != Errno::EPERM
        {
            return Cannot(format!("kill: {errno}"));
        }
    }
    // With its pid 1 this process would be gone.
    std::thread::sleep(std::time::Duration::from_millis(50));
    match call(62, [1, 0]) {
        Ok(_) => Held("by nobody, and pid 1 lives".to_owned()),
        Err(errno) => Held(errno.to_string()),
    }
}

/// A process that the suite runs on the host; signal 0 does nothing.
fn signal_host() -> Verdict {
    match known("VICTIM").map(|pid| pid.parse()) {
        Ok(Ok(pid)) => refused_with(call(62, [pid, 0]), &[Errno::ESRCH]),
        Ok(Err(error)) => Cannot(error.to_string()),
        Err(missing) => Cannot(missing),
    }
}

/// Those of this task have its environment; what has not, or does not show it, is another's.
fn foreign_processes() -> Verdict {
    let Ok(entries) = fs::read_dir("/proc") else { return Held("there is no /proc".to_owned()) };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let foreign = names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).filter(|pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        !environment.windows(7).any(|part| part == b"ATTACK_")
    });
    match foreign.collect::<Vec<_>>().as_slice() {
        [] => Held("none is seen".to_owned()),
        seen => Open(format!("sees {}", seen.join(" "))),
    }
}

/// Whatever the hard limit is, one more.
fn raise(resource: usize) -> Verdict {
    let limits = room(16);
    if let Err(errno) = call(97, [resource, limits]) {
        return Cannot(format!("getrlimit: {errno}"));
    }
    // SAFETY: `room` gave sixteen bytes, aligned and never freed, and the kernel has written both limits.
    let [soft, hard] = unsafe { *(limits as *const [u64; 2]) };
    if hard == u64::MAX {
        return Open(format!("no limit, {soft} at first"));
    }
    refused(call(160, [resource, words([hard + 1, hard + 1])]))
}

/// Reads them and writes the same again.
fn prlimit_pid_1() -> Verdict {
    let limits = room(16);
    match call(302, [1, NOFILE, 0, limits]) {
        Ok(_) => refused(call(302, [1, NOFILE, limits, 0])),
        refusal => refused(refusal),
    }
}

fn lock_memory() -> Verdict {
    const BYTES: usize = 64 << 20;
    const READ_WRITE: usize = 3;
    const PRIVATE_ANONYMOUS: usize = 0x22;
    match call(9, [0, BYTES, READ_WRITE, PRIVATE_ANONYMOUS, MINUS_ONE, 0]) {
        Ok(address) => refused_with(call(149, [address, BYTES]), &[Errno::ENOMEM, Errno::EAGAIN]),
        Err(errno) => Cannot(format!("mmap: {errno}")),
    }
}

/// fallocate(2) is refused before it takes a page.
fn too_large(directory: &str) -> Verdict {
    const BYTES: usize = 1 << 40;
    let path = format!("{directory}/large");
    let file = match fs::File::create(&path) {
        Ok(file) => file,
        Err(error) => return Cannot(format!("{path}: {error}")),
    };
    let fd = std::os::fd::AsRawFd::as_raw_fd(&file).cast_unsigned() as usize;
    let verdict = refused_with(call(285, [fd, 0, 0, BYTES]), &[Errno::ENOSPC]);
    worst([verdict, barred("not removed", remove(&path))])
}

fn remove(path: &str) -> io::Result<()> {
    fs::remove_file(path)?;
    // What `barred` takes for a refusal.
    Err(io::Error::from_raw_os_error(2))
}

/// Hard links would not count, files do.
fn inodes(directory: &str, most: usize) -> Verdict {
    let within = Path::new(directory).join("bomb");
    if let Err(error) = fs::create_dir(&within) {
        return Cannot(format!("mkdir: {error}"));
    }
    let made = (0..most).find_map(|n| fs::File::create(within.join(n.to_string())).err());
    let verdict = match made {
        None => Open(format!("{most} files")),
        Some(error) if Errno::of(&error) == Errno::ENOSPC => Held("ENOSPC".to_owned()),
        Some(error) => Cannot(error.to_string()),
    };
    let _ = fs::remove_dir_all(&within);
    verdict
}
