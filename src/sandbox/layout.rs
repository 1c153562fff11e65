//! What the task sees of the host's files, read before the sandbox is made.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::plan::{PROC_MASKED, PROC_READ_ONLY};

/// The directories of a system, by the beginnings of their names in `/`.
const SYSTEM: [&str; 4] = ["bin", "lib", "sbin", "usr"];

/// What a rootfs never brings: these places are the sandbox's own.
const OWN: [&str; 6] = ["dev", "proc", "run", "sys", "tmp", "workspace"];

/// The part of `/etc` that programs need and that holds no secret.
pub const ETC: [&str; 22] = [
    "alternatives",
    "bash.bashrc",
    "gai.conf",
    "group",
    "host.conf",
    "hosts",
    "inputrc",
    "java",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "nsswitch.conf",
    "passwd",
    "pki/tls/certs",
    "profile",
    "protocols",
    "resolv.conf",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
];

const DEVICES: [&str; 5] = ["full", "null", "random", "urandom", "zero"];

/// One entry of the new root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Directory { source: PathBuf, target: PathBuf },
    File { source: PathBuf, target: PathBuf },
    Link { target: PathBuf, to: PathBuf },
}

/// What a sandbox mounts and links, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// The directory that becomes the root and has a place for everything else; absent: one is made in memory.
    pub base: Option<PathBuf>,
    pub entries: Vec<Entry>,
    pub devices: Vec<&'static str>,
    /// What the kernel's /proc does not have of what is made read-only or covered there.
    pub not_in_proc: Vec<&'static str>,
}

/// The part of the host that a sandbox shows.
#[derive(Debug)]
pub struct Host {
    pub system: Vec<Entry>,
    /// Each path with what is there.
    pub etc: Vec<(PathBuf, Option<Entry>)>,
    pub devices: Vec<&'static str>,
}

/// The host's files cannot be read, or must not be shown.
#[derive(Debug, thiserror::Error)]
#[error("read {path}")]
pub struct LayoutError {
    pub path: PathBuf,
    pub source: io::Error,
}

impl LayoutError {
    pub(super) fn new(path: &Path, source: io::Error) -> Self {
        Self { path: path.to_owned(), source }
    }
}

impl Host {
    /// # Errors
    /// The root directory cannot be read.
    pub fn read() -> Result<Self, LayoutError> {
        let root = Path::new("/");
        let system = top(root, is_system).map_err(|error| LayoutError::new(root, error))?;
        let etc = ETC.into_iter().map(|name| (Path::new("/etc").join(name), etc(Path::new("/etc"), name))).collect();
        Ok(Self { system, etc, devices: devices() })
    }
}

impl Layout {
    /// Of a rootfs, which must not hold `hidden` (the task's directory) or lie beside it: through it a task would see
    /// the runtime's files.
    ///
    /// # Errors
    /// Names the directory.
    pub fn of_rootfs(rootfs: &Path, hidden: &Path) -> Result<Self, LayoutError> {
        let failed = |error| LayoutError::new(rootfs, error);
        let real = fs::canonicalize(rootfs).map_err(failed)?;
        check_hides(&real, hidden).map_err(failed)?;
        let entries = top(&real, |name| !OWN.contains(&name)).map_err(failed)?;
        Ok(Self { base: None, entries, devices: devices(), not_in_proc: not_in_proc() })
    }

    /// Those of these files that there are.
    pub fn of_proc(&self, paths: &'static [&'static str]) -> impl Iterator<Item = &'static str> {
        paths.iter().copied().filter(|path| !self.not_in_proc.contains(path))
    }
}

/// The host's /proc has what that of any pid namespace has, unless it shows processes alone (proc(5), `subset`).
pub(super) fn not_in_proc() -> Vec<&'static str> {
    if !Path::new("/proc/sys").exists() {
        return Vec::new();
    }
    PROC_READ_ONLY.iter().chain(&PROC_MASKED).copied().filter(|path| fs::symlink_metadata(path).is_err()).collect()
}

fn devices() -> Vec<&'static str> {
    DEVICES.into_iter().filter(|name| Path::new("/dev").join(name).exists()).collect()
}

fn is_system(name: &str) -> bool {
    SYSTEM.iter().any(|system| name == *system || (*system == "lib" && name.starts_with("lib")))
}

fn check_hides(rootfs: &Path, hidden: &Path) -> io::Result<()> {
    let hidden = fs::canonicalize(hidden)?;
    // <data_dir>/tasks/<id>: what is above the tasks is the data directory.
    let data_dir = hidden.parent().and_then(Path::parent).unwrap_or(&hidden);
    if hidden.starts_with(rootfs) || rootfs.starts_with(data_dir) && !rootfs.starts_with(hidden.join("workspace")) {
        return Err(io::Error::from_raw_os_error(libc::EACCES));
    }
    Ok(())
}

fn top(root: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_str().is_some_and(&wanted) {
            continue;
        }
        let target = Path::new("/").join(&name);
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            entries.push(Entry::Link { target, to: fs::read_link(entry.path())? });
        } else if kind.is_dir() {
            entries.push(Entry::Directory { source: entry.path(), target });
        } else if kind.is_file() {
            entries.push(Entry::File { source: entry.path(), target });
        }
    }
    entries.sort_by(|a, b| a.target().cmp(b.target()));
    Ok(entries)
}

/// Links are followed here, by the host's own rules: `resolv.conf` often leads to `/run`.
fn etc(root: &Path, name: &str) -> Option<Entry> {
    let source = fs::canonicalize(root.join(name)).ok()?;
    let target = Path::new("/etc").join(name);
    match fs::metadata(&source).ok()? {
        kind if kind.is_dir() => Some(Entry::Directory { source, target }),
        kind if kind.is_file() => Some(Entry::File { source, target }),
        _ => None,
    }
}

impl Entry {
    pub fn target(&self) -> &Path {
        match self {
            Self::Directory { target, .. } | Self::File { target, .. } | Self::Link { target, .. } => target,
        }
    }
}
