//! The steps of one sandbox, in order. Pure: what the host has comes in as a `Layout`, and nothing is performed here.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::layout::{Entry, Layout};
use super::request::{RUN_DIR, SandboxRequest, Shape, WORKSPACE};
use super::step::{Kind, SandboxStep};
use crate::sys::mount::Forbids;

/// Sizes of the memory file systems, as mount options.
const TMP: [(&str, &str); 3] = [("mode", "1777"), ("size", "268435456"), ("nr_inodes", "65536")];
const SHM: [(&str, &str); 3] = [("mode", "1777"), ("size", "67108864"), ("nr_inodes", "8192")];
const ROOT: [(&str, &str); 3] = [("mode", "0755"), ("size", "1048576"), ("nr_inodes", "4096")];
const RUN: [(&str, &str); 3] = [("mode", "0755"), ("size", "4096"), ("nr_inodes", "8")];

/// Programs may be run from a task's files, but nothing there is a device.
const FILES: Forbids = Forbids { write: false, devices: true, exec: false };
const READ_ONLY: Forbids = Forbids { write: true, devices: true, exec: false };
const DEVICE: Forbids = Forbids { write: false, devices: false, exec: true };
const PROC: Forbids = Forbids { write: false, devices: true, exec: true };

/// Parts of /proc that tell about the host or change it.
pub(super) const PROC_READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
pub(super) const PROC_MASKED: [&str; 10] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/keys",
    "/proc/kmsg",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
];

/// The directories for the sandbox's own mounts.
pub(super) const POINTS: [&str; 6] = ["/dev/shm", "/proc", EMPTY, RUN_DIR, "/tmp", WORKSPACE];

/// What covers a directory.
pub(super) const EMPTY: &str = "/run/empty";

/// Links in /dev.
pub(super) const DEVICE_LINKS: [(&str, &str); 4] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

/// Where the task's own files are on the host, and who the runtime is.
#[derive(Clone, Debug)]
pub struct Place {
    pub workspace: PathBuf,
    pub script: Option<PathBuf>,
    /// Standard input is a file on the host, which the task may open again.
    pub stdin: bool,
}

/// Two lists behind that of [`ahead`]: one makes the task's place, the other confines whoever will be the command.
#[derive(Debug)]
pub struct SandboxPlan {
    /// Performed by the first process of the new namespaces.
    pub place: Vec<SandboxStep>,
    /// Performed by the command's process, last of all.
    pub confinement: Vec<SandboxStep>,
}

/// What is the same for every task with a sandbox of this shape, and so can be done before there is one: the namespaces'
/// own affairs and, where the root is the one that was made for all, everything in it but the task's own files. The host's
/// files stay within reach for those. `own_ids` are effective user and group of the runtime.
#[must_use]
pub fn ahead(shape: Shape, layout: &Layout, own_ids: (u32, u32)) -> Vec<SandboxStep> {
    let mut steps = Vec::new();
    if shape.rootless {
        let (uid, gid) = own_ids;
        steps.push(SandboxStep::MapUser { uid, gid });
    }
    steps.push(SandboxStep::NewKeyring);
    if shape.namespaces.net {
        steps.push(SandboxStep::Loopback);
    }
    if shape.namespaces.uts {
        steps.push(SandboxStep::Hostname("sandbox"));
    }
    steps.push(SandboxStep::PrivateMounts);
    if let Some(base) = &layout.base {
        let mounts = shared(shape, layout);
        // Everything is opened by the host's paths first, and attached by the sandbox's afterwards.
        steps.extend(mounts.iter().map(|mount| mount.open.clone()));
        steps.push(SandboxStep::OpenHost { source: base.clone(), target: "/".into(), forbids: READ_ONLY });
        // Where the host has it, so that every other path of the host still leads where it did.
        steps.push(SandboxStep::EnterRoot(base.clone()));
        steps.extend(mounts.into_iter().map(|mount| SandboxStep::Attach(mount.target)));
        steps.extend(in_proc(shape, layout));
    }
    steps
}

/// Decides the steps of one task, behind those.
#[must_use]
pub fn plan(request: &SandboxRequest, layout: &Layout, place: &Place) -> SandboxPlan {
    let stdin = place.stdin;
    let place = match &layout.base {
        Some(_) => own(place),
        None => whole(request.shape(), layout, place),
    };
    SandboxPlan { place, confinement: confinement(request, stdin) }
}

/// Where all but the task's own files is there already.
fn own(place: &Place) -> Vec<SandboxStep> {
    let script = place.script.as_ref().and_then(|path| Some((path, path.file_name()?)));
    let mut mounts = vec![workspace(place)];
    mounts.extend(script.map(|_| made("tmpfs", RUN_DIR, &RUN, FILES)));
    mounts.extend(script.map(|(path, name)| script_at(path, name)));
    let mut steps: Vec<_> = mounts.iter().map(|mount| mount.open.clone()).collect();
    steps.push(SandboxStep::LeaveHost);
    for Mount { open: _, target, kind } in mounts {
        let has_point = kind == Kind::Directory;
        steps.extend((!has_point).then(|| SandboxStep::MakePoint { target: target.clone(), kind }));
        steps.push(SandboxStep::Attach(target));
    }
    steps.extend(script.map(|_| SandboxStep::Seal(RUN_DIR)));
    steps
}

/// All files, on a root in memory. The host is left before anything is attached, since names of a rootfs are among the
/// targets.
fn whole(shape: Shape, layout: &Layout, place: &Place) -> Vec<SandboxStep> {
    let mut mounts = shared(shape, layout);
    mounts.push(workspace(place));
    mounts.extend(place.script.as_ref().and_then(|path| Some(script_at(path, path.file_name()?))));
    let mut steps: Vec<_> = mounts.iter().map(|mount| mount.open.clone()).collect();
    steps.push(new("tmpfs", "/", &ROOT, FILES));
    // Of no matter where, since the old root goes.
    steps.extend([SandboxStep::EnterRoot("/".into()), SandboxStep::LeaveHost]);
    for Mount { open: _, target, kind } in mounts {
        steps.extend([SandboxStep::MakePoint { target: target.clone(), kind }, SandboxStep::Attach(target)]);
    }
    steps.push(SandboxStep::MakePoint { target: EMPTY.into(), kind: Kind::Directory });
    steps.extend(links(layout));
    steps.extend(in_proc(shape, layout));
    steps.push(SandboxStep::Seal("/"));
    steps
}

fn in_proc(shape: Shape, layout: &Layout) -> Vec<SandboxStep> {
    if !has_proc(shape) {
        return Vec::new();
    }
    let read_only = layout.of_proc(&PROC_READ_ONLY).map(SandboxStep::ReadOnly);
    read_only.chain(layout.of_proc(&PROC_MASKED).map(SandboxStep::Mask)).collect()
}

struct Mount {
    open: SandboxStep,
    target: PathBuf,
    kind: Kind,
}

/// A /proc of its own needs a pid namespace of its own, or the rights of root over the host's.
const fn has_proc(shape: Shape) -> bool {
    shape.namespaces.pid || !shape.rootless
}

/// What every task has.
fn shared(shape: Shape, layout: &Layout) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = layout.entries.iter().filter_map(shown).collect();
    for name in &layout.devices {
        let path = Path::new("/dev").join(name);
        mounts.push(copy(path.clone(), path, Kind::File, DEVICE));
    }
    mounts.push(made("tmpfs", "/dev/shm", &SHM, PROC));
    mounts.push(made("tmpfs", "/tmp", &TMP, FILES));
    if has_proc(shape) {
        mounts.push(made("proc", "/proc", &[("hidepid", "invisible")], PROC));
    }
    mounts
}

fn workspace(place: &Place) -> Mount {
    copy(place.workspace.clone(), WORKSPACE.into(), Kind::Directory, FILES)
}

fn script_at(path: &Path, name: &OsStr) -> Mount {
    copy(path.to_owned(), Path::new(RUN_DIR).join(name), Kind::File, READ_ONLY)
}

fn shown(entry: &Entry) -> Option<Mount> {
    match entry {
        Entry::Directory { source, target } => Some(copy(source.clone(), target.clone(), Kind::Directory, READ_ONLY)),
        Entry::File { source, target } => Some(copy(source.clone(), target.clone(), Kind::File, READ_ONLY)),
        Entry::Link { .. } => None,
    }
}

fn copy(source: PathBuf, target: PathBuf, kind: Kind, forbids: Forbids) -> Mount {
    Mount { open: SandboxStep::OpenHost { source, target: target.clone(), forbids }, target, kind }
}

fn made(file_system: &'static str, target: &'static str, options: &'static [(&str, &str)], forbids: Forbids) -> Mount {
    let open = new(file_system, target, options, forbids);
    Mount { open, target: target.into(), kind: Kind::Directory }
}

const fn new(
    file_system: &'static str,
    target: &'static str,
    options: &'static [(&str, &str)],
    forbids: Forbids,
) -> SandboxStep {
    SandboxStep::OpenNew { file_system, target, options, forbids }
}

fn links(layout: &Layout) -> Vec<SandboxStep> {
    let link = |target: PathBuf, to: PathBuf| SandboxStep::Link { target, to };
    let of_root = layout.entries.iter().filter_map(|entry| match entry {
        Entry::Link { target, to } => Some(link(target.clone(), to.clone())),
        Entry::Directory { .. } | Entry::File { .. } => None,
    });
    of_root.chain(DEVICE_LINKS.map(|(target, to)| link(target.into(), to.into()))).collect()
}

fn confinement(request: &SandboxRequest, stdin: bool) -> Vec<SandboxStep> {
    let mut steps = vec![SandboxStep::NewCgroupNamespace];
    if request.landlock {
        steps.push(SandboxStep::Landlock { stdin });
    }
    steps.push(SandboxStep::DropBoundingSet);
    steps.extend(request.uid.map(SandboxStep::BecomeUser));
    steps.extend([SandboxStep::DropCapabilities, SandboxStep::NoNewPrivileges]);
    if request.seccomp {
        steps.push(SandboxStep::Seccomp);
    }
    steps
}
