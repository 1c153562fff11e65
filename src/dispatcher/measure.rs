//! What the directories of ended tasks occupy: allocated bytes, a file with several names once, nothing behind a link.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::shim::walk::Walk;
use crate::store::Ended;
use crate::sys::directory;

/// Measures each task's directory. Takes as long as there is much in them; what is not there occupies nothing.
#[must_use]
pub fn measure(data_dir: &Path, tasks: Vec<Ended>) -> Vec<(Ended, u64)> {
    let tasks_dir = data_dir.join("tasks");
    let measured = tasks.into_iter().map(|task| {
        let bytes = occupied(&tasks_dir.join(&task.id));
        (task, bytes)
    });
    measured.collect()
}

fn occupied(path: &Path) -> u64 {
    const BLOCK: u64 = 512;
    let own = fs::symlink_metadata(path).map_or(0, |metadata| metadata.blocks().saturating_mul(BLOCK));
    let below = directory::open(path).map_or(0, |top| Walk::start(top.as_fd(), u64::MAX, true).total());
    own.saturating_add(below)
}
