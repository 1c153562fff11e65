//! The root directory of the sandboxes that show the host's system. It is made once, on disk, and bound read-only by
//! each sandbox: what costs some calls for every small file, link and mount point is paid once and not by each launch.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::layout::{self, Entry, Layout, LayoutError};
use super::plan::{DEVICE_LINKS, POINTS};
use crate::sys::clock::monotonic_ms;

/// Its name in the directory where the runtime's processes have their files.
pub const BASE_NAME: &str = "root";

/// The host is looked at again this often.
const FRESH_FOR_MS: u64 = 1000;

/// A directory with the host's small files, and mount points for the rest.
#[derive(Debug)]
pub struct Base {
    layout: Layout,
    /// What stood on the host when this was made.
    marks: Vec<Option<Mark>>,
    looked_at_ms: u64,
}

/// Device, inode, size, and time of the last change of content in seconds and nanoseconds.
type Mark = (u64, u64, u64, i64, i64);

impl Base {
    /// Makes what is missing or has changed in `dir`, which nothing else may write to. Running sandboxes that have it
    /// as their root see new files and keep their mounts.
    ///
    /// # Errors
    /// Names the file.
    pub fn make(dir: &Path) -> Result<Self, LayoutError> {
        let (marks, looked_at_ms) = (marks(), monotonic_ms());
        let layout::Host { system, etc, devices } = layout::Host::read()?;
        put_dir(dir)?;
        let mut mounted = Vec::new();
        for entry in system {
            match &entry {
                Entry::Link { target, to } => put_link(&below(dir, target), to)?,
                Entry::Directory { target, .. } => put_dir(&below(dir, target))?,
                Entry::File { target, .. } => put_file(&below(dir, target), &[])?,
            }
            mounted.extend((!matches!(entry, Entry::Link { .. })).then_some(entry));
        }
        for (target, entry) in etc {
            let here = below(dir, &target);
            put_parents(dir, &here)?;
            match entry {
                Some(Entry::File { source, .. }) => {
                    let content = fs::read(&source).map_err(|error| LayoutError::new(&source, error))?;
                    put_file(&here, &content)?;
                }
                Some(entry) => {
                    put_dir(&here)?;
                    mounted.push(entry);
                }
                None => remove(&here).map_err(|error| LayoutError::new(&here, error))?,
            }
        }
        for point in POINTS {
            let here = below(dir, Path::new(point));
            put_parents(dir, &here)?;
            put_dir(&here)?;
        }
        for name in &devices {
            put_file(&dir.join("dev").join(name), &[])?;
        }
        for (target, to) in DEVICE_LINKS {
            put_link(&below(dir, Path::new(target)), Path::new(to))?;
        }
        let not_in_proc = layout::not_in_proc();
        let layout = Layout { base: Some(dir.to_owned()), entries: mounted, devices, not_in_proc };
        Ok(Self { layout, marks, looked_at_ms })
    }

    /// Makes it anew when the host has changed, and says whether its layout may be another. Looks once a second at most.
    ///
    /// # Errors
    /// As [`Self::make`].
    pub fn refresh(&mut self) -> Result<bool, LayoutError> {
        let now = monotonic_ms();
        if now.saturating_sub(self.looked_at_ms) < FRESH_FOR_MS {
            return Ok(false);
        }
        self.looked_at_ms = now;
        // A module that is loaded may add to it.
        let not_in_proc = layout::not_in_proc();
        let differs = not_in_proc != self.layout.not_in_proc;
        self.layout.not_in_proc = not_in_proc;
        match &self.layout.base {
            Some(dir) if marks() != self.marks => {
                *self = Self::make(dir)?;
                Ok(true)
            }
            _ => Ok(differs),
        }
    }

    /// What a sandbox mounts upon it.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }
}

fn marks() -> Vec<Option<Mark>> {
    let mark = |path: &Path| {
        let found = fs::metadata(path).ok()?;
        Some((found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
    };
    let etc = layout::ETC.iter().map(|name| Path::new("/etc").join(name));
    [PathBuf::from("/")].into_iter().chain(etc).map(|path| mark(&path)).collect()
}

fn below(dir: &Path, target: &Path) -> PathBuf {
    dir.join(target.strip_prefix("/").unwrap_or(target))
}

/// Each directory between `dir` and `path`.
fn put_parents(dir: &Path, path: &Path) -> Result<(), LayoutError> {
    let mut parents: Vec<_> = path.ancestors().skip(1).take_while(|parent| *parent != dir).collect();
    parents.reverse();
    parents.into_iter().try_for_each(put_dir)
}

fn put_dir(path: &Path) -> Result<(), LayoutError> {
    let put = || {
        if !fs::symlink_metadata(path).is_ok_and(|found| found.is_dir()) {
            remove(path)?;
            made_by_somebody(DirBuilder::new().mode(0o755).create(path))?;
            // The mode above is under the umask.
            fs::set_permissions(path, Permissions::from_mode(0o755))?;
        }
        Ok(())
    };
    put().map_err(|error| LayoutError::new(path, error))
}

fn put_link(path: &Path, to: &Path) -> Result<(), LayoutError> {
    let put = || {
        if !fs::read_link(path).is_ok_and(|found| found == to) {
            remove(path)?;
            made_by_somebody(symlink(to, path))?;
        }
        Ok(())
    };
    put().map_err(|error| LayoutError::new(path, error))
}

/// Takes the place of a former file at once, so that no sandbox finds half of it.
fn put_file(path: &Path, content: &[u8]) -> Result<(), LayoutError> {
    let put = || {
        let found = fs::symlink_metadata(path);
        if found.as_ref().is_ok_and(|found| !found.is_file()) {
            remove(path)?;
        } else if found.is_ok() && fs::read(path)? == content {
            return Ok(());
        }
        let new = path.with_file_name(format!(".new-{}", std::process::id()));
        let mut file: File = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&new)?;
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.write_all(content)?;
        fs::rename(new, path)
    };
    put().map_err(|error| LayoutError::new(path, error))
}

/// A probe and a launcher may be at it at the same time, and both make the same.
fn made_by_somebody(made: io::Result<()>) -> io::Result<()> {
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_the_host_s_small_files_and_a_place_for_every_mount() {
        let dir = tempfile::tempdir().expect("temp dir");
        let root = dir.path().join("root");
        let base = Base::make(&root).expect("made");
        assert_eq!(fs::read(root.join("etc/passwd")).expect("a copy"), fs::read("/etc/passwd").expect("the host's"));
        assert!(!root.join("etc/shadow").exists());
        let layout = base.layout();
        for entry in &layout.entries {
            let place = below(&root, entry.target());
            assert!(place.symlink_metadata().is_ok_and(|found| !found.is_symlink()), "{}", place.display());
        }
        assert!(layout.devices.iter().all(|name| root.join("dev").join(name).is_file()));
        assert_eq!(fs::read_link(root.join("dev/fd")).expect("a link"), Path::new("/proc/self/fd"));
    }

    #[test]
    fn what_has_changed_is_made_anew_and_the_rest_stays() {
        let dir = tempfile::tempdir().expect("temp dir");
        let root = dir.path().join("root");
        Base::make(&root).expect("made");
        let inode = |name: &str| fs::metadata(root.join(name)).expect("there").ino();
        let before = (inode("usr"), inode("etc/group"));
        fs::write(root.join("etc/passwd"), "old").expect("written");
        fs::remove_file(root.join("dev/fd")).expect("removed");
        fs::create_dir(root.join("dev/fd")).expect("made");
        Base::make(&root).expect("made again");
        assert_eq!((inode("usr"), inode("etc/group")), before);
        assert_eq!(fs::read(root.join("etc/passwd")).expect("a copy"), fs::read("/etc/passwd").expect("the host's"));
        assert!(root.join("dev/fd").is_symlink());
    }
}
