//! How much lies below a directory: a walk through a tree that its owner may be changing, in small steps, with a bounded
//! number of descriptors. It follows no link and enters no mount.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd};

use crate::sys::directory::{Directory, Entry, Kind};
use crate::sys::identity;
use crate::task::exit::WorkspaceExcess;

/// Directories inside each other; each costs a descriptor while the walk is in it.
const MAX_DEPTH: usize = 256;

/// Looked at in one step where nobody waits for the next.
const ENTRIES: usize = 4096;

/// A walk under way.
#[derive(Debug)]
pub struct Walk {
    /// From the top to where it is.
    levels: Vec<Directory>,
    /// Files with several names that were counted.
    linked: HashSet<(u64, u64)>,
    bytes: u64,
    limit: u64,
    lend: bool,
}

/// How far a walk has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Under,
    Within,
    Over(WorkspaceExcess),
}

impl Walk {
    /// A walk below `top`, a handle of [`crate::sys::directory::open`]; it ends when it has found more than `limit`
    /// bytes. While the task lives nothing of its is touched: an owner that is not root does not see what lies in
    /// directories that it may not read. `at_the_end` it lends itself the right.
    #[must_use]
    pub fn start(top: BorrowedFd<'_>, limit: u64, at_the_end: bool) -> Self {
        let lend = at_the_end && identity::own_ids().0 != 0;
        let levels = Directory::read(top, lend).into_iter().collect();
        Self { levels, linked: HashSet::new(), bytes: 0, limit, lend }
    }

    /// Looks at no more than `entries` entries.
    pub fn advance(&mut self, entries: usize) -> Progress {
        for _ in 0..entries {
            let Some(level) = self.levels.last_mut() else { return Progress::Within };
            let Some(entry) = level.next() else {
                self.levels.pop();
                continue;
            };
            if entry.bytes > 0 && entry.linked.is_none_or(|file| self.linked.insert(file)) {
                self.bytes = self.bytes.saturating_add(entry.bytes);
            }
            if self.bytes > self.limit {
                return Progress::Over(WorkspaceExcess::TooLarge { bytes: self.bytes });
            }
            if entry.kind == Kind::Directory
                && let Some(excess) = self.descend(&entry)
            {
                return Progress::Over(excess);
            }
        }
        Progress::Under
    }

    fn descend(&mut self, entry: &Entry) -> Option<WorkspaceExcess> {
        let level = self.levels.last()?;
        match level.child(&entry.name).and_then(|child| Directory::read(child.as_fd(), self.lend)) {
            Ok(_) if self.levels.len() >= MAX_DEPTH => Some(WorkspaceExcess::TooDeep),
            Err(error) if error.raw_os_error() == Some(libc::EMFILE) => Some(WorkspaceExcess::TooDeep),
            Ok(child) => {
                self.levels.push(child);
                None
            }
            // It was renamed or removed, is a mount, or may not be read.
            Err(_) => None,
        }
    }

    /// Goes on to its end and tells how much it has found, short of what lies too deep.
    #[must_use]
    pub fn total(mut self) -> u64 {
        while self.advance(ENTRIES) != Progress::Within {}
        self.bytes
    }

    /// Goes on to its end.
    pub fn finish(mut self) -> Option<WorkspaceExcess> {
        loop {
            match self.advance(ENTRIES) {
                Progress::Under => {}
                Progress::Within => return None,
                Progress::Over(excess) => return Some(excess),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::Path;

    use super::*;
    use crate::sys::directory;

    fn over(path: &Path, limit: u64) -> Option<WorkspaceExcess> {
        let top = directory::open(path).expect("there");
        Walk::start(top.as_fd(), limit, true).finish()
    }

    fn size(path: &Path) -> u64 {
        Walk::start(directory::open(path).expect("there").as_fd(), u64::MAX, false).total()
    }

    fn allocated(path: &Path) -> u64 {
        fs::symlink_metadata(path).expect("there").blocks() * 512
    }

    #[test]
    fn what_is_allocated_counts_once_and_links_lead_nowhere() {
        let dir = tempfile::tempdir().expect("temp dir");
        let outside = tempfile::tempdir().expect("temp dir");
        fs::write(outside.path().join("big"), vec![1; 1 << 20]).expect("written");
        let file = dir.path().join("a/file");
        fs::create_dir(dir.path().join("a")).expect("made");
        fs::write(&file, vec![1; 100_000]).expect("written");
        fs::File::options().write(true).open(&file).expect("there").sync_all().expect("synced");
        fs::hard_link(&file, dir.path().join("same")).expect("linked");
        symlink(outside.path(), dir.path().join("out")).expect("linked");
        symlink(".", dir.path().join("a/loop")).expect("linked");
        fs::File::create(dir.path().join("sparse")).and_then(|f| f.set_len(1 << 40)).expect("made");
        let expected = allocated(&file)
            + ["a", "out", "a/loop", "sparse"].map(|name| allocated(&dir.path().join(name))).iter().sum::<u64>();
        assert_eq!(size(dir.path()), expected);
        assert!(expected >= 100_000);
        assert_eq!(over(dir.path(), expected), None);
        let excess = over(dir.path(), expected - 1).expect("over");
        assert!(matches!(excess, WorkspaceExcess::TooLarge { bytes } if bytes <= expected));
    }

    #[test]
    fn a_tree_is_walked_in_steps_and_to_a_depth() {
        let dir = tempfile::tempdir().expect("temp dir");
        for n in 0..100 {
            fs::write(dir.path().join(n.to_string()), "").expect("written");
        }
        let mut walk = Walk::start(directory::open(dir.path()).expect("there").as_fd(), u64::MAX, false);
        assert_eq!((walk.advance(60), walk.advance(60)), (Progress::Under, Progress::Within));
        let nested = |depth: usize| {
            let deep = dir.path().join("d/".repeat(depth));
            fs::create_dir_all(deep).expect("made");
            over(dir.path(), u64::MAX)
        };
        assert_eq!(nested(MAX_DEPTH - 1), None);
        assert_eq!(nested(MAX_DEPTH), Some(WorkspaceExcess::TooDeep));
        fs::write(dir.path().join("beside"), vec![1; 100_000]).expect("written");
        assert!(size(dir.path()) >= 100_000, "what is not too deep is found all the same");
    }

    #[test]
    fn a_directory_that_changes_under_the_walk_leads_it_nowhere() {
        let dir = tempfile::tempdir().expect("temp dir");
        let outside = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("a");
        fs::create_dir(&path).expect("made");
        let top = directory::open(dir.path()).expect("there");
        let mut walk = Walk::start(top.as_fd(), u64::MAX, false);
        let seen = walk.levels[0].next().expect("an entry");
        assert_eq!(seen.kind, Kind::Directory);
        fs::remove_dir(&path).expect("removed");
        assert_eq!((walk.descend(&seen), walk.levels.len()), (None, 1), "it is gone");
        // Beside it, so that no mount and no root is crossed on the way.
        symlink(Path::new("..").join(outside.path().file_name().expect("a name")), &path).expect("linked");
        assert!(path.is_dir());
        assert_eq!((walk.descend(&seen), walk.levels.len()), (None, 1), "it is a link");
        fs::remove_file(&path).expect("removed");
        fs::write(&path, "").expect("written");
        assert_eq!((walk.descend(&seen), walk.levels.len()), (None, 1), "it is a file");
        fs::remove_file(&path).expect("removed");
        fs::create_dir(&path).expect("made");
        assert_eq!((walk.descend(&seen), walk.levels.len()), (None, 2), "it is back");
    }

    #[test]
    fn what_cannot_be_read_is_found_at_the_end_and_keeps_its_mode() {
        let dir = tempfile::tempdir().expect("temp dir");
        let hidden = dir.path().join("hidden");
        fs::create_dir(&hidden).expect("made");
        fs::write(hidden.join("file"), vec![1; 100_000]).expect("written");
        fs::set_permissions(&hidden, fs::Permissions::from_mode(0o000)).expect("chmod");
        assert!(over(dir.path(), 50_000).is_some());
        assert_eq!(over(dir.path(), 500_000), None);
        assert_eq!(fs::metadata(&hidden).expect("there").mode() & 0o777, 0);
        fs::set_permissions(&hidden, fs::Permissions::from_mode(0o700)).expect("chmod");
    }
}
