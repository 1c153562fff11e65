//! Which groups this runtime's instance has had: a server that is started in another session or service has its own
//! groups elsewhere, and must still find those of the server before it.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::mounts;

/// The instance's groups of the past that are there still, behind the present ones; all are noted in `file`, a line
/// each. Only cgroups with the instance's own `name` count: the file may have come here with a copied data directory.
#[must_use]
pub fn known(file: &Path, name: &str, present: Vec<PathBuf>) -> Vec<PathBuf> {
    let noted = fs::read(file).unwrap_or_default();
    let is_own = |dir: &PathBuf| dir.file_name() == Some(OsStr::new(name)) && mounts::is_cgroup(dir);
    let mut all = present;
    for dir in noted.split(|byte| *byte == b'\n').map(|line| PathBuf::from(OsStr::from_bytes(line))) {
        if !all.contains(&dir) && is_own(&dir) {
            all.push(dir);
        }
    }
    let lines: Vec<u8> = all.iter().flat_map(|dir| [dir.as_os_str().as_bytes(), b"\n"].concat()).collect();
    // Without the note a later server may not find these groups; the tasks in them end all the same.
    if lines != noted && write_private(file, &lines).is_err() {
        tracing::warn!(file = %file.display(), "the places of the cgroups could not be noted");
    }
    all
}

fn write_private(file: &Path, lines: &[u8]) -> io::Result<()> {
    let mut options = fs::File::options();
    options.write(true).create(true).truncate(true).mode(0o600).open(file)?.write_all(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_cgroup_or_another_instance_s_is_forgotten() {
        let dir = tempfile::tempdir().expect("temp dir");
        let file = dir.path().join("cgroups");
        let plain = dir.path().join("own");
        fs::create_dir(&plain).expect("made");
        fs::write(&file, format!("{}\n/sys/fs/cgroup/other\n", plain.display())).expect("written");
        let present = vec![PathBuf::from("/c/own")];
        assert_eq!(known(&file, "own", present.clone()), present);
        assert_eq!(fs::read_to_string(&file).expect("readable"), "/c/own\n");
        assert_eq!(known(&file, "own", vec![]), Vec::<PathBuf>::new(), "not there any more");
    }
}
