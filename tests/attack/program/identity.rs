//! Identity: who the task is, whom it sees, and what it might become.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Row;
use crate::system::{Errno, call, in_child, known, own_pid, room, text, words};
use crate::verdict::Verdict::{self, Absent, Cannot, Held, Open};
use crate::verdict::{barred, refused, refused_with, worst};

pub const ROWS: &[Row] = &[
    ("pid-1-files", pid_1_files),
    ("ptrace-pid-1", || refused_with(call(101, [PTRACE_SEIZE, 1, 0, 0]), &[Errno::ESRCH])),
    ("ptrace-self", || refused(call(101, [PTRACE_TRACEME, 0, 0, 0]))),
    ("ptrace-host", ptrace_host),
    ("read-memory-pid-1", || read_memory(1)),
    ("read-memory-self", || read_memory(own_pid())),
    ("descriptor-of-pid-1", || descriptor_of(1)),
    ("descriptor-of-self", || descriptor_of(own_pid())),
    ("become-root", become_root),
    ("other-groups", || refused_with(call(116, [1, words([0])]), &[Errno::EINVAL])),
    ("suid-program", suid_program),
    ("own-suid-program", own_suid_program),
    ("capabilities", capabilities),
    ("take-capabilities", take_capabilities),
    ("new-privileges", new_privileges),
    ("environment", environment),
    ("user-namespace-unshare", || refused(call(272, [CLONE_NEWUSER]))),
    ("user-namespace-clone", || refused(in_child(CLONE_NEWUSER, || ()).map(|_| 0))),
    ("user-namespace-clone3", user_namespace_clone3),
    ("other-namespaces", || worst(NAMESPACES.map(|flag| refused(call(272, [flag]))))),
    ("join-namespace", join_namespace),
    ("type-into-terminal", type_into_terminal),
    ("terminal", || barred("/dev/tty", fs::File::open("/dev/tty"))),
];

const PTRACE_TRACEME: usize = 0;
const PTRACE_SEIZE: usize = 0x4206;
const CLONE_NEWUSER: usize = 0x1000_0000;
/// Mount, cgroup, uts, ipc, pid, net.
const NAMESPACES: [usize; 6] = [0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x2000_0000, 0x4000_0000];

fn pid_1_files() -> Verdict {
    let opened = ["environ", "mem", "maps", "stack", "auxv", "fd", "map_files", "root"].map(|name| {
        let path = format!("/proc/1/{name}");
        let is_directory = !matches!(name, "environ" | "mem" | "maps" | "stack" | "auxv");
        barred(&path, if is_directory { fs::read_dir(&path).map(drop) } else { fs::File::open(&path).map(drop) })
    });
    let followed = ["root", "cwd", "exe", "ns/mnt", "ns/pid"].map(|name| {
        let path = format!("/proc/1/{name}");
        barred(&path, fs::read_link(&path))
    });
    worst(opened.into_iter().chain(followed))
}

fn ptrace_host() -> Verdict {
    match known("VICTIM").map(|pid| pid.parse()) {
        Ok(Ok(pid)) => refused_with(call(101, [PTRACE_SEIZE, pid, 0, 0]), &[Errno::ESRCH]),
        Ok(Err(error)) => Cannot(error.to_string()),
        Err(missing) => Cannot(missing),
    }
}

fn read_memory(pid: usize) -> Verdict {
    let (buffer, source) = (room(8), room(8));
    let local = words([buffer as u64, 8]);
    let remote = words([source as u64, 8]);
    refused_with(call(310, [pid, local, 1, remote, 1, 0]), &[Errno::ESRCH])
}

fn descriptor_of(pid: usize) -> Verdict {
    match call(434, [pid, 0]) {
        Ok(pidfd) => refused(call(438, [pidfd, 0, 0])),
        Err(errno) => Cannot(format!("pidfd_open: {errno}")),
    }
}

/// Root's number may be unknown here, or not ours to take.
fn become_root() -> Verdict {
    let unknown = [Errno::EINVAL];
    worst([
        refused_with(call(105, [0]), &unknown),
        refused_with(call(106, [0]), &unknown),
        refused_with(call(117, [0, 0, 0]), &unknown),
        refused_with(call(119, [0, 0, 0]), &unknown),
    ])
}

/// A program of the host whose file says that it is root's.
fn suid_program() -> Verdict {
    const SETUID: u32 = 0o4000;
    let programs =
        ["su", "mount", "umount", "passwd", "newgrp", "chsh", "gpasswd"].map(|name| format!("/usr/bin/{name}"));
    let is_suid = |path: &&String| fs::metadata(path).is_ok_and(|file| file.mode() & SETUID != 0);
    let Some(program) = programs.iter().find(is_suid) else { return Absent("no setuid program here".to_owned()) };
    let child = Command::new(program).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return Cannot(format!("{program}: {error}")),
    };
    // Also a zombie has these lines.
    let status = fs::read_to_string(format!("/proc/{}/status", child.id()));
    let _ = child.kill();
    let _ = child.wait();
    let Ok(status) = status else { return Held(format!("{program} is not seen any more")) };
    let users = status.lines().find(|line| line.starts_with("Uid:")).unwrap_or_default();
    match users.split_whitespace().nth(2) {
        Some("0") => Open(format!("{program} runs as root")),
        Some(user) => Held(format!("{program} runs as {user}")),
        None => Cannot(format!("{program}: no user")),
    }
}

/// In /tmp, where the file's own mark must not count, and for another user's file there is none.
fn own_suid_program() -> Verdict {
    let statfs = room(120);
    let nosuid = |path: &str| {
        const NOSUID: u64 = 2;
        call(137, [text(path), statfs]).map(|_| {
            // SAFETY: `room` gave 120 bytes, aligned and never freed, and the kernel has written a statfs of them.
            let flags = unsafe { *(statfs as *const u64).add(10) };
            flags & NOSUID != 0
        })
    };
    worst(["/tmp", "/workspace", "/dev/shm", "/usr", "/bin", "/lib", "/"].map(|path| match nosuid(path) {
        Ok(true) => Held("nosuid".to_owned()),
        // The root holds directories and links alone, and is read-only.
        Ok(false) if path == "/" => Held("read-only".to_owned()),
        Ok(false) => Open(format!("{path} honours setuid")),
        Err(errno) => Cannot(format!("statfs {path}: {errno}")),
    }))
}

fn capabilities() -> Verdict {
    let Ok(status) = fs::read_to_string("/proc/self/status") else { return Cannot("there is no /proc".to_owned()) };
    let sets: Vec<&str> = status.lines().filter(|line| line.starts_with("Cap")).collect();
    match sets.iter().find(|line| !line.ends_with("\t0000000000000000")) {
        None if sets.len() >= 5 => Held("all five sets are empty".to_owned()),
        None => Cannot("no such lines".to_owned()),
        Some(line) => Open(line.replace('\t', " ")),
    }
}

fn take_capabilities() -> Verdict {
    const VERSION_3: u64 = 0x2008_0522;
    const CAP_SYS_ADMIN: u64 = 1 << 21;
    // Effective and permitted, of the first 32.
    let wanted = words([CAP_SYS_ADMIN << 32 | CAP_SYS_ADMIN, 0, 0]);
    refused(call(126, [words([VERSION_3]), wanted]))
}

fn new_privileges() -> Verdict {
    const SET_NO_NEW_PRIVS: usize = 38;
    const GET_NO_NEW_PRIVS: usize = 39;
    match call(157, [GET_NO_NEW_PRIVS]) {
        Ok(1) => refused_with(call(157, [SET_NO_NEW_PRIVS, 0]), &[Errno::EINVAL]),
        Ok(_) => Open("not set".to_owned()),
        Err(errno) => Cannot(errno.to_string()),
    }
}

/// Five names of the runtime's, those of the suite, and what a shell adds.
fn environment() -> Verdict {
    const KNOWN: [&str; 10] = ["PATH", "HOME", "LANG", "TMPDIR", "USER", "PWD", "OLDPWD", "SHLVL", "_", "TERM"];
    let names = env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
    let foreign: Vec<_> =
        names.filter(|name| !KNOWN.contains(&name.as_str()) && !name.starts_with("ATTACK_")).collect();
    if foreign.is_empty() { Held("nothing of the server's".to_owned()) } else { Open(foreign.join(" ")) }
}

/// Its flags lie in memory, where no filter sees them: the call as a whole is as if it were not there.
fn user_namespace_clone3() -> Verdict {
    const SIGCHLD: u64 = 17;
    let arguments = words([CLONE_NEWUSER as u64, 0, 0, 0, SIGCHLD, 0, 0, 0]);
    match call(435, [arguments, 64]) {
        Ok(0) => {
            let _ = call(231, [0]);
            Cannot("exit_group(2) returned".to_owned())
        }
        result => refused_with(result, &[Errno::ENOSYS]),
    }
}

fn join_namespace() -> Verdict {
    worst(["mnt", "net", "uts", "pid", "user"].map(|name| {
        let path = format!("/proc/self/ns/{name}");
        if !Path::new(&path).exists() {
            return Absent(format!("no {path}"));
        }
        match fs::File::open(&path) {
            // A process may not join its own user namespace again, whoever it is.
            Ok(file) => refused_with(
                call(308, [std::os::fd::AsRawFd::as_raw_fd(&file).cast_unsigned() as usize, 0]),
                if name == "user" { &[Errno::EINVAL] } else { &[] },
            ),
            Err(error) => Cannot(format!("{path}: {error}")),
        }
    }))
}

/// Without a terminal there is nothing to type into, and with seccomp not even the question is put.
fn type_into_terminal() -> Verdict {
    const TIOCSTI: usize = 0x5412;
    const TIOCLINUX: usize = 0x541c;
    worst([TIOCSTI, TIOCLINUX].map(|request| refused_with(call(16, [0, request, text("x")]), &[Errno::ENOTTY])))
}
