//! The files that a task is given, copied into its workspace. What an earlier launch of the task left there may be a trap:
//! no link is followed, and a file takes the place of what is no directory.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use super::step::StepError;
use crate::launcher::protocol::InputFile;
use crate::sys::directory;

/// Puts the files where they belong, as those of `owner`, if it is another than the runtime's.
///
/// # Errors
/// Names the file.
pub fn place(workspace: &Path, inputs: &[InputFile], owner: Option<(u32, u32)>) -> Result<(), StepError> {
    let top = directory::open(workspace);
    let top = top.map_err(|error| StepError::new(format_args!("open {}", workspace.display()), error))?;
    for input in inputs {
        let placed = place_one(&top, input, owner);
        placed.map_err(|error| StepError::new(format_args!("write the input {}", input.path.display()), error))?;
    }
    Ok(())
}

fn place_one(top: &OwnedFd, input: &InputFile, owner: Option<(u32, u32)>) -> io::Result<()> {
    let InputFile { path, source, mode } = input;
    let mut source = File::open(source)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut above = top.try_clone()?;
    for directory in path.parent().into_iter().flat_map(Path::iter) {
        above = enter(&above, directory, owner)?;
    }
    let mut file = directory::new_file(above.as_fd(), name)?;
    io::copy(&mut source, &mut file)?;
    directory::hand_over(&file, owner, *mode)
}

fn enter(above: &OwnedFd, name: &OsStr, owner: Option<(u32, u32)>) -> io::Result<OwnedFd> {
    let (inner, is_new) = directory::make(above.as_fd(), name)?;
    if is_new {
        directory::give(inner.as_fd(), owner)?;
    }
    Ok(inner)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn input(dir: &Path, path: &str, mode: u32) -> InputFile {
        let source = dir.join("source");
        fs::write(&source, "content").expect("written");
        InputFile { path: path.into(), source, mode }
    }

    #[test]
    fn files_get_their_directories_and_modes_whatever_the_umask() {
        let dir = tempfile::tempdir().expect("temp dir");
        let workspace = dir.path().join("workspace");
        fs::create_dir(&workspace).expect("made");
        let inputs = [input(dir.path(), "a/b/run", 0o777), input(dir.path(), "a/read", 0o440)];
        place(&workspace, &inputs, None).expect("placed");
        for (path, mode) in [("a/b/run", 0o777), ("a/read", 0o440)] {
            assert_eq!(fs::read(workspace.join(path)).expect(path), b"content");
            assert_eq!(fs::metadata(workspace.join(path)).expect(path).permissions().mode() & 0o7777, mode);
        }
        // Again, as for a second launch.
        place(&workspace, &inputs, None).expect("placed");
    }

    #[test]
    fn what_an_earlier_launch_left_leads_nowhere() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (workspace, outside) = (dir.path().join("workspace"), dir.path().join("outside"));
        fs::create_dir(&workspace).expect("made");
        fs::create_dir(&outside).expect("made");
        fs::write(outside.join("precious"), "kept").expect("written");
        symlink(outside.join("precious"), workspace.join("link")).expect("linked");
        symlink(&outside, workspace.join("elsewhere")).expect("linked");
        place(&workspace, &[input(dir.path(), "link", 0o644)], None).expect("replaced");
        assert_eq!(fs::read(workspace.join("link")).expect("there"), b"content");
        assert_eq!(fs::read(outside.join("precious")).expect("there"), b"kept");
        let refused = place(&workspace, &[input(dir.path(), "elsewhere/file", 0o644)], None).expect_err("a link");
        assert!(refused.parts().0.contains("elsewhere/file"), "{refused}");
        assert_eq!(fs::read_dir(&outside).expect("readable").count(), 1);
    }
}
