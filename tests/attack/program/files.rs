//! Files: other roots, the host's files, devices, what /proc shows and changes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use crate::Row;
use crate::system::{Errno, HERE, call, known, room, text};
use crate::verdict::Verdict::{self, Absent, Cannot, Held, Open};
use crate::verdict::{barred, refused, refused_with, works, worst};

pub const ROWS: &[Row] = &[
    ("mount-tmpfs", || refused(call(165, [text("none"), text("/tmp"), text("tmpfs"), 0, 0]))),
    ("mount-bind", || refused(call(165, [text("/tmp"), text("/workspace"), 0, MS_BIND, 0]))),
    ("remount-writable", || refused(call(165, [0, text("/"), 0, MS_BIND | MS_REMOUNT, 0]))),
    ("unmount", || refused(call(166, [text("/workspace"), MNT_DETACH]))),
    ("pivot-root", || refused(call(155, [text("/tmp"), text("/tmp")]))),
    ("chroot", || refused(call(161, [text("/tmp")]))),
    ("open-tree-path", || worst([refused(call(428, [HERE, text("/"), 0])), refused(call(467, [HERE, text("/"), 0]))])),
    ("open-tree", || refused(call(428, [HERE, text("/"), OPEN_TREE_CLONE]))),
    ("move-mount", || refused(call(429, [HERE, text("/tmp"), HERE, text("/dev/shm"), 0]))),
    ("new-mount-api", || worst([refused(call(430, [text("tmpfs"), 0])), refused(call(433, [HERE, text("/tmp"), 0]))])),
    ("mount-attributes", || refused(call(442, [HERE, text("/"), 0, room(32), 32]))),
    ("dot-dot", dot_dot),
    ("inherited-descriptors", inherited_descriptors),
    ("write-root", || written(&["/", "/dev", "/run", "/proc"])),
    ("write-system", || written(&["/usr", "/bin", "/sbin", "/lib", "/etc", "/run/task"])),
    ("overwrite-program", || worst(["/bin/sh", "/usr/bin/env", "/etc/passwd"].map(opened_for_writing))),
    ("read-secrets", || worst(["/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/root", "/home"].map(read))),
    ("read-database", || worst(["runtime.db", "run", "tasks", ""].map(|part| read_known("DATA_DIR", part)))),
    ("read-other-task", || {
        worst(["", "workspace", "request.json", "stdout.log"].map(|part| read_known("OTHER", part)))
    }),
    ("log-directory", log_directory),
    ("link-log", link_log),
    ("host-paths", host_paths),
    ("replace-workspace", replace_workspace),
    ("make-device", make_device),
    ("open-devices", || worst(DEVICES.map(|name| read(&format!("/dev/{name}"))))),
    ("core-pattern", || opened_for_writing("/proc/sys/kernel/core_pattern")),
    ("sysrq-trigger", || opened_for_writing("/proc/sysrq-trigger")),
    ("write-sysctl", || worst(["kernel/hostname", "vm/drop_caches", "net/ipv4/ip_forward"].map(sysctl))),
    ("covered-proc", || worst(["kcore", "kallsyms", "keys", "kmsg", "timer_list"].map(covered))),
    ("sys", || worst(["/sys/kernel", "/sys/class", "/sys/fs/cgroup"].map(read))),
    ("cgroup-file-systems", || mounted(&["cgroup", "cgroup2"])),
    ("host-file-systems", || mounted(&["sysfs", "devtmpfs", "debugfs", "tracefs", "bpf", "securityfs", "fusectl"])),
    ("immutable-file", immutable_file),
    ("sparse-file", sparse_file),
    ("control-workspace", || works(fs::write("control", "x").and_then(|()| fs::remove_file("control")))),
    ("control-null", || works(fs::write("/dev/null", "x"))),
    ("leave-setuid", || works(leave_setuid())),
    ("leave-deep", || works(leave_deep())),
    ("leave-traps", || works(leave_traps())),
];

const MS_REMOUNT: usize = 32;
const MS_BIND: usize = 4096;
const MNT_DETACH: usize = 2;
const OPEN_TREE_CLONE: usize = 1;

const DEVICES: [&str; 14] = [
    "mem",
    "kmem",
    "port",
    "kmsg",
    "kvm",
    "fuse",
    "tty",
    "console",
    "ptmx",
    "loop-control",
    "sda",
    "vda",
    "nvme0n1",
    "net/tun",
];

/// A directory is listed, a file opened.
fn read(path: &str) -> Verdict {
    let is_directory = Path::new(path).is_dir();
    barred(path, if is_directory { fs::read_dir(path).map(drop) } else { File::open(path).map(drop) })
}

fn read_known(name: &str, part: &str) -> Verdict {
    match known(name) {
        Ok(directory) => read(&format!("{directory}/{part}")),
        Err(missing) => Cannot(missing),
    }
}

fn opened_for_writing(path: &str) -> Verdict {
    barred(path, OpenOptions::new().write(true).open(path))
}

fn sysctl(name: &str) -> Verdict {
    opened_for_writing(&format!("/proc/sys/{name}"))
}

fn written(directories: &[&str]) -> Verdict {
    worst(directories.iter().map(|directory| {
        let path = format!("{directory}/execgo-attack");
        let made = barred(&path, File::create_new(&path));
        let _ = fs::remove_file(path);
        made
    }))
}

fn dot_dot() -> Verdict {
    let up = "../".repeat(64);
    worst(["etc/shadow", "var", "root", "sys"].map(|name| read(&format!("/workspace/{up}{name}"))))
}

fn inherited_descriptors() -> Verdict {
    const F_GETFD: usize = 1;
    let open: Vec<String> = (3..1024).filter(|fd| call(72, [*fd, F_GETFD]).is_ok()).map(|fd| fd.to_string()).collect();
    if open.is_empty() { Held("none is open".to_owned()) } else { Open(open.join(" ")) }
}

/// The links in /proc name the host's path of the log.
fn log_directory() -> Verdict {
    let parent = std::os::unix::process::parent_id();
    let Ok(log) = fs::read_link(format!("/proc/{parent}/fd/1")) else { return Cannot("no link to the log".to_owned()) };
    let directory = log.parent().unwrap_or(Path::new("/"));
    worst([read(&directory.to_string_lossy()), barred("by its log", fs::read_dir(format!("/proc/{parent}/fd/1/..")))])
}

/// Another name for it, in a place that the task may change.
fn link_log() -> Verdict {
    const FOLLOW: usize = 0x400;
    let log = format!("/proc/{}/fd/1", std::os::unix::process::parent_id());
    worst(["/workspace/log", "/tmp/log"].map(|to| {
        let linked = call(265, [HERE, text(&log), HERE, text(to), FOLLOW]);
        let _ = fs::remove_file(to);
        refused_with(linked, &[Errno::EXDEV])
    }))
}

fn host_paths() -> Verdict {
    let Ok(mounts) = fs::read_to_string("/proc/self/mountinfo") else { return Cannot("no mountinfo".to_owned()) };
    let of_workspace = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(3);
        let (source, point) = (fields.next()?, fields.next()?);
        (point == "/workspace").then(|| source.to_owned())
    });
    match of_workspace {
        Some(source) if source.len() > 1 => Open(source),
        Some(_) => Held("no path is shown".to_owned()),
        None => Cannot("no workspace is mounted".to_owned()),
    }
}

fn replace_workspace() -> Verdict {
    let bars = [Errno::EBUSY, Errno::EROFS, Errno::EXDEV];
    let rename = |from: &str, to: &str| refused_with(call(82, [text(from), text(to)]), &bars);
    worst([
        rename("/workspace", "/workspace2"),
        rename("/workspace", "/tmp/workspace"),
        rename("/tmp", "/workspace"),
        refused_with(call(84, [text("/workspace")]), &bars),
    ])
}

fn make_device() -> Verdict {
    const BLOCK: usize = 0o060_600;
    const FIRST_DISK: usize = 8 << 8;
    worst(["/workspace/disk", "/tmp/disk", "/dev/shm/disk"].map(|path| {
        let made = refused(call(133, [text(path), BLOCK, FIRST_DISK]));
        let _ = fs::remove_file(path);
        made
    }))
}

/// Of a covered file nothing is read.
fn covered(name: &str) -> Verdict {
    let path = format!("/proc/{name}");
    match File::open(&path).and_then(|mut file| file.read(&mut [0])) {
        Ok(0) => Held("empty".to_owned()),
        result => barred(&path, result),
    }
}

/// A single file does not count: the sandbox shows a few devices and covers files with one of them.
fn mounted(kinds: &[&str]) -> Verdict {
    let Ok(mounts) = fs::read_to_string("/proc/self/mountinfo") else { return Cannot("no mountinfo".to_owned()) };
    let found = mounts.lines().filter_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let (point, kind) = (mount.split(' ').nth(4)?, file_system.split(' ').next()?);
        (kinds.contains(&kind) && Path::new(point).is_dir()).then(|| format!("{kind} at {point}"))
    });
    match found.collect::<Vec<_>>().as_slice() {
        [] => Held("none is mounted".to_owned()),
        found => Open(found.join(" ")),
    }
}

fn immutable_file() -> Verdict {
    const SET_FLAGS: usize = 0x4008_6602;
    const IMMUTABLE: u64 = 0x10;
    let Ok(file) = File::create("immutable") else { return Cannot("no file".to_owned()) };
    let fd = file.as_raw_fd().cast_unsigned() as usize;
    let verdict = match call(16, [fd, SET_FLAGS, crate::system::words([IMMUTABLE])]) {
        Err(Errno::ENOTTY) => Absent("this file system has no such flag".to_owned()),
        result => refused(result),
    };
    let _ = fs::remove_file("immutable");
    verdict
}

fn sparse_file() -> Verdict {
    const BYTES: u64 = 1 << 40;
    let made = File::create("sparse").and_then(|file| file.set_len(BYTES));
    let _ = fs::remove_file("sparse");
    works(made)
}

/// The deeds: allowed, and somebody else's trouble.
fn leave_setuid() -> io::Result<()> {
    fs::copy("/proc/self/exe", "setuid")?;
    fs::set_permissions("setuid", fs::Permissions::from_mode(0o6755))?;
    match fs::metadata("setuid")?.mode() & 0o6000 {
        0o6000 => Ok(()),
        mode => Err(io::Error::other(format!("the mode is {mode:o}"))),
    }
}

fn leave_deep() -> io::Result<()> {
    const LEVELS: usize = 5000;
    for _ in 0..LEVELS {
        fs::create_dir("d")?;
        std::env::set_current_dir("d")?;
    }
    fs::write("bottom", "x")
}

fn leave_traps() -> io::Result<()> {
    symlink("/etc", "link")?;
    symlink("..", "up")?;
    call(133, [text("pipe"), 0o010_600, 0]).map_err(|errno| io::Error::other(errno.to_string()))?;
    fs::create_dir_all("closed/inner")?;
    fs::write("closed/inner/file", "x")?;
    fs::set_permissions("closed/inner", fs::Permissions::from_mode(0o000))?;
    fs::set_permissions("closed", fs::Permissions::from_mode(0o000))
}
