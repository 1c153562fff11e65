//! Directories of forgotten tasks: moved out of the way at once by a rename, deleted later at leisure.

use std::fs;
use std::io;
use std::path::Path;

use crate::store::Expired;

const TRASH: &str = "trash";

/// Takes the task's directory out of `tasks/`, so that its id is free at once. Says whether it is out.
pub(super) fn move_out(data_dir: &Path, task: &Expired) -> bool {
    let from = data_dir.join("tasks").join(&task.id);
    let to = data_dir.join(TRASH).join(task.seq.to_string());
    match fs::rename(&from, &to) {
        Ok(()) => true,
        // A task that never started may have none.
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
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
    for entry in fs::read_dir(data_dir.join(TRASH))? {
        let path = entry?.path();
        if let Err(error) = fs::remove_dir_all(&path) {
            tracing::warn!(path = %path.display(), %error, "an expired task directory could not be deleted");
        }
    }
    Ok(())
}
