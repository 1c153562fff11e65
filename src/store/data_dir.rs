//! The data directory: its layout, its privacy, and the lock that keeps a second server out.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::sys::lock;

/// How long a child that a killed server was just forking may hold its lock: until its exec, or the end of a probe.
const FORMER_CHILDREN: Duration = Duration::from_secs(2);

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error("cannot {operation} {}", path.display())]
    Io { operation: &'static str, path: PathBuf, source: io::Error },
    #[error("the data directory {} is in use by another server{holder}", path.display())]
    InUse { path: PathBuf, holder: String },
}

/// A data directory that is ours until this is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    lock: File,
}

impl DataDir {
    /// Makes what is missing (directories with mode 0700) and takes the lock.
    ///
    /// # Errors
    /// It cannot be made, or another server has it; the error says which.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let failed = |operation, path: &Path| {
            let path = path.to_owned();
            move |source| DataDirError::Io { operation, path, source }
        };
        make_private_dir(path).map_err(failed("make", path))?;
        let path = path.canonicalize().map_err(failed("find", path))?;
        for part in ["tasks", "run", "trash"] {
            let part = path.join(part);
            make_private_dir(&part).map_err(failed("make", &part))?;
        }
        let lock_path = path.join("runtime.lock");
        let mut lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed("open", &lock_path))?;
        if !lock::exclusive_by(&lock, Instant::now() + FORMER_CHILDREN).map_err(failed("lock", &lock_path))? {
            let mut holder = String::new();
            // Who holds it is a courtesy: without it the refusal stands.
            let _ = lock.read_to_string(&mut holder);
            let holder = holder.lines().next().map(|line| format!(" ({line})")).unwrap_or_default();
            return Err(DataDirError::InUse { path, holder });
        }
        Ok(Self { path, lock })
    }

    /// Lets other users get to the tasks' directories by their paths (mode 0711), where each task's own lets them in. They
    /// can list and read nothing on the way.
    ///
    /// # Errors
    /// As chmod(2).
    pub fn let_others_pass(&self) -> Result<(), DataDirError> {
        let chmod = |path: PathBuf, mode| match fs::set_permissions(&path, Permissions::from_mode(mode)) {
            Ok(()) => Ok(()),
            Err(source) => Err(DataDirError::Io { operation: "chmod", path, source }),
        };
        // What earlier versions, or somebody else, made for others to read.
        chmod(self.path.join("runtime.lock"), 0o600)?;
        chmod(self.run_dir(), 0o700)?;
        chmod(self.path.join("trash"), 0o700)?;
        chmod(self.tasks_dir(), 0o711)?;
        chmod(self.path.clone(), 0o711)
    }

    #[must_use]
    pub fn tasks_dir(&self) -> PathBuf {
        self.path.join("tasks")
    }

    /// Absolute, without symbolic links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.path.join("runtime.db")
    }

    #[must_use]
    pub fn run_dir(&self) -> PathBuf {
        self.path.join("run")
    }

    /// Writes into the lock file who serves it and where: `pid 12, http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn announce(&mut self, url: &str) -> io::Result<()> {
        self.lock.rewind()?;
        self.lock.set_len(0)?;
        writeln!(self.lock, "pid {}, {url}", std::process::id())
    }
}

/// Makes the directory and its parents, mode 0700; one that is there keeps its mode.
fn make_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // The lock goes with the descriptor; an empty file says that nobody serves.
        let _ = self.lock.set_len(0);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::time::{Duration, Instant};

    use super::*;

    fn eventually_open(path: &Path) {
        let until = Instant::now() + Duration::from_secs(20);
        while let Err(refusal) = DataDir::open(path) {
            assert!(Instant::now() < until, "{refusal}");
            std::thread::yield_now();
        }
    }

    fn entries(path: &Path) -> Vec<String> {
        let names = fs::read_dir(path).expect("listable").map(|e| e.expect("an entry").file_name());
        let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_directories_are_private_and_a_second_server_is_told_who_is_there() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("data");
        let mut first = DataDir::open(&path).expect("opens");
        first.announce("http://127.0.0.1:8080").expect("writes");
        assert_eq!(entries(&path), ["run", "runtime.lock", "tasks", "trash"]);
        for part in ["", "tasks", "run", "trash"] {
            let mode = fs::metadata(path.join(part)).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{part}");
        }
        let refusal = DataDir::open(&path).expect_err("taken").to_string();
        assert!(refusal.contains("in use") && refusal.contains("http://127.0.0.1:8080"), "{refusal}");
        drop(first);
        // A child that another test forks at this moment holds a copy of the lock until its exec.
        eventually_open(&path);
    }

    #[test]
    fn what_a_server_left_for_a_moment_is_waited_for() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let first = DataDir::open(dir.path()).expect("opens");
        let copy = first.lock.try_clone().expect("dup");
        let mut child = std::process::Command::new("sleep").arg("0.3").stdin(copy).spawn().expect("sleep");
        drop(first);
        DataDir::open(dir.path()).expect("free when the child has ended");
        assert!(child.wait().expect("reaped").success());
    }
}
