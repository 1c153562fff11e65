//! What the task sees of the host's files: read once, before the sandbox is made.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The directories of a system, by the beginnings of their names in `/`.
const SYSTEM: [&str; 4] = ["bin", "lib", "sbin", "usr"];

/// What a rootfs never brings: these places are the sandbox's own.
const OWN: [&str; 6] = ["dev", "proc", "run", "sys", "tmp", "workspace"];

/// The part of `/etc` that programs need and that holds no secret.
const ETC: [&str; 24] = [
    "alternatives",
    "bash.bashrc",
    "ca-certificates",
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
    "python3",
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

/// All entries, in the order of their making.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    pub entries: Vec<Entry>,
    pub devices: Vec<&'static str>,
}

/// The host's files cannot be read, or must not be shown.
#[derive(Debug, thiserror::Error)]
#[error("read {path}")]
pub struct LayoutError {
    pub path: PathBuf,
    pub source: io::Error,
}

impl Layout {
    /// Of the host's system directories, or of a rootfs, which must not hold `hidden` (the task's directory) or lie
    /// beside it: through it a task would see the runtime's files.
    ///
    /// # Errors
    /// Names the directory.
    pub fn read(rootfs: Option<&Path>, hidden: &Path) -> Result<Self, LayoutError> {
        let devices = DEVICES.into_iter().filter(|name| Path::new("/dev").join(name).exists()).collect();
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| LayoutError { path, source }
        };
        let entries = match rootfs {
            None => {
                let mut entries = top(Path::new("/"), is_system).map_err(failed(Path::new("/")))?;
                entries.extend(ETC.into_iter().filter_map(|name| etc(Path::new("/etc"), name)));
                entries
            }
            Some(rootfs) => {
                let real = fs::canonicalize(rootfs).map_err(failed(rootfs))?;
                check_hides(&real, hidden).map_err(failed(rootfs))?;
                top(&real, |name| !OWN.contains(&name)).map_err(failed(rootfs))?
            }
        };
        Ok(Self { entries, devices })
    }
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
