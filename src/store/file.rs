//! Files beside the database: whole or not at all, for their owner alone.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Writes a file (mode 0600) so that a crash leaves the old one or the new one, and makes its directory (0700) when it
/// is missing. Not synced: what must survive a power loss is in the database.
///
/// # Errors
/// As mkdir(2), open(2), write(2) and rename(2).
pub fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let temporary = path.with_extension("new");
    let mut file = match create(&temporary) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
            create(&temporary)?
        }
        // Left over by a crash.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(&temporary)?;
            create(&temporary)?
        }
        created => created?,
    };
    file.write_all(content)?;
    fs::rename(&temporary, path)
}

/// Never opens what is there: a task may have put a link in the way.
fn create(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_links_are_not_followed() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("task/result.json");
        write_whole(&path, b"one").expect("writes");
        let victim = dir.path().join("victim");
        fs::write(&victim, "untouched").expect("writes");
        symlink(&victim, dir.path().join("task/result.new")).expect("links");
        write_whole(&path, b"two").expect("writes");
        assert_eq!(fs::read(&path).expect("reads"), b"two");
        assert_eq!(fs::read(&victim).expect("reads"), b"untouched");
    }
}
