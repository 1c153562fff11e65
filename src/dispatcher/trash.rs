//! Directories of forgotten tasks: moved out of the way at once by a rename, deleted later at leisure.

use std::ffi::OsStr;
use std::fs::{self, DirEntry, Permissions};
use std::io::{self, ErrorKind};
use std::ops::RangeFrom;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::store::Ended;

const TRASH: &str = "trash";

/// Takes the task's directory out of `tasks/`, so that its id is free at once. Says whether it is out.
pub(super) fn move_out(data_dir: &Path, task: &Ended) -> bool {
    let from = data_dir.join("tasks").join(&task.id);
    let to = data_dir.join(TRASH).join(task.seq.to_string());
    match fs::rename(&from, &to) {
        Ok(()) => true,
        // A task that never started may have none.
        Err(error) if error.kind() == ErrorKind::NotFound => true,
        Err(error) => {
            tracing::warn!(task_id = task.id, %error, "an expired task directory could not be moved");
            false
        }
    }
}

/// Deletes what was moved out, now or by a former server.
///
/// # Errors
/// The trash cannot be listed. What cannot be deleted is logged and tried again the next time.
pub fn empty(data_dir: &Path) -> io::Result<()> {
    let trash = data_dir.join(TRASH);
    // All of it first: deleting makes new entries.
    for entry in fs::read_dir(&trash)?.collect::<io::Result<Vec<_>>>()? {
        match delete(&entry, &trash) {
            Ok(()) => {}
            // An empty directory, and another was moved over it.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                let path = entry.path();
                tracing::warn!(path = %path.display(), %error, "an expired task directory could not be deleted");
            }
        }
    }
    Ok(())
}

/// Deletes one entry of the trash. A task may have made its tree as deep as it liked and closed its directories, so
/// nothing here goes down: each directory is opened up, and those in it are moved beside it, to be deleted in turn. So
/// no path grows, no descriptor is held for a level, and no link is followed.
fn delete(entry: &DirEntry, trash: &Path) -> io::Result<()> {
    if !entry.file_type()?.is_dir() {
        return fs::remove_file(entry.path());
    }
    let mut waiting = vec![entry.path()];
    let mut numbers = 0..;
    while let Some(directory) = waiting.pop() {
        fs::set_permissions(&directory, Permissions::from_mode(0o700))?;
        for inner in fs::read_dir(&directory)? {
            let inner = inner?;
            if inner.file_type()?.is_dir() {
                waiting.push(lift(&inner.path(), trash, &entry.file_name(), &mut numbers)?);
            } else {
                fs::remove_file(inner.path())?;
            }
        }
        fs::remove_dir(&directory)?;
    }
    Ok(())
}

/// Moves a directory into the trash under a name of its own.
fn lift(directory: &Path, trash: &Path, name: &OsStr, numbers: &mut RangeFrom<u64>) -> io::Result<PathBuf> {
    // Moving changes its entry `..`, so it must be writable itself.
    fs::set_permissions(directory, Permissions::from_mode(0o700))?;
    for number in numbers {
        let to = trash.join(format!("{}-{number}", name.display()));
        match fs::rename(directory, &to) {
            // Of a former server that was killed here.
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {}
            moved => return moved.map(|()| to),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn data_dir() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir_all(dir.path().join(TRASH).join("1")).expect("made");
        dir
    }

    fn is_empty(data_dir: &Path) -> bool {
        fs::read_dir(data_dir.join(TRASH)).expect("readable").next().is_none()
    }

    #[test]
    fn a_tree_deeper_than_any_path_is_deleted() {
        const LEVELS: usize = 1500;
        let dir = data_dir();
        let (top, inner) = (dir.path().join(TRASH).join("1"), dir.path().join("inner"));
        fs::write(top.join("file"), "x").expect("written");
        // From the bottom up, so that no path is long.
        for _ in 0..LEVELS {
            fs::rename(&top, &inner).expect("moved");
            fs::create_dir(&top).expect("made");
            fs::rename(&inner, top.join("inner")).expect("moved");
        }
        empty(dir.path()).expect("listed");
        assert!(is_empty(dir.path()));
    }

    #[test]
    fn what_is_closed_is_deleted_and_no_link_is_followed() {
        let dir = data_dir();
        let (trash, outside) = (dir.path().join(TRASH), dir.path().join("outside"));
        fs::create_dir_all(trash.join("1/closed/inner")).expect("made");
        fs::create_dir(&outside).expect("made");
        fs::write(outside.join("kept"), "").expect("written");
        for closed in ["1/closed/inner", "1/closed", "1"] {
            symlink(&outside, trash.join(closed).join("link")).expect("linked");
            fs::set_permissions(trash.join(closed), fs::Permissions::from_mode(0o000)).expect("closed");
        }
        // What a task made of its own directory, and what a server left that was killed here.
        symlink(&outside, trash.join("2")).expect("linked");
        fs::create_dir_all(trash.join("1-0/inner")).expect("made");
        empty(dir.path()).expect("listed");
        assert!(is_empty(dir.path()) && outside.join("kept").exists());
    }
}
