//! The files that a task leaves: found in its workspace when nothing of it is left, listed beside it, and told with its end.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use globset::{GlobSet, GlobSetBuilder};

use super::step::StepError;
use crate::launcher::protocol::LaunchRequest;
use crate::sys::directory::{self, Directory, Entry, Kind};
use crate::sys::identity;
use crate::task::Timestamp;
use crate::task::exit::{Collected, FoundFile, LeftOut, WhyLeftOut};
use crate::task::paths::FILES;
use crate::task::validate::files::glob;

/// Directories inside each other; each costs a descriptor while the walk is in it.
const MAX_DEPTH: usize = 256;
/// So many of what is left out are named; a report is one datagram.
const NAMED: usize = 20;
/// Of a path that is left out.
const SHOWN_BYTES: usize = 512;

/// What is to be looked for, and where.
#[derive(Debug)]
pub struct Collection<'a> {
    request: &'a LaunchRequest,
    /// Held from before the command's start: a task may put something else in its place.
    top: OwnedFd,
}

impl<'a> Collection<'a> {
    /// Nothing where nothing is asked for.
    ///
    /// # Errors
    /// As open(2).
    pub fn of(request: &'a LaunchRequest) -> Result<Option<Self>, StepError> {
        if request.collect.is_none() {
            return Ok(None);
        }
        let path = request.task_dir.join("workspace");
        let top = directory::open(&path);
        let top = top.map_err(|error| StepError::new(format_args!("open {}", path.display()), error))?;
        Ok(Some(Self { request, top }))
    }

    /// Looks through the workspace and writes the list of what is found.
    #[must_use]
    pub fn take(self) -> Option<Collected> {
        let wanted = self.request.collect.as_ref()?;
        let mut search = Search {
            // Each was read before, when the task was accepted.
            globs: globs(&wanted.globs).unwrap_or_default(),
            max_files: wanted.max_files,
            max_bytes: wanted.max_bytes,
            owner: self.request.owner().map(|(uid, _)| uid),
            found: Vec::new(),
            collected: Collected::default(),
        };
        search.walk(self.top.as_fd());
        let Search { mut found, mut collected, .. } = search;
        found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        if let Err(error) = list(&self.request.task_dir, &found) {
            let path = error.to_string();
            collected = Collected::default();
            leave_out(&mut collected, &path, WhyLeftOut::ListNotWritten);
        }
        Some(collected)
    }
}

struct Search {
    globs: GlobSet,
    max_files: u64,
    max_bytes: u64,
    /// The task's user, where that is not the runtime's, who may read whatever a task may link to.
    owner: Option<u32>,
    found: Vec<FoundFile>,
    collected: Collected,
}

impl Search {
    fn walk(&mut self, top: impl AsFd) {
        let lend = identity::own_ids().0 != 0;
        let mut levels: Vec<(Directory, usize)> = Vec::new();
        let mut path = String::new();
        levels.extend(Directory::read(top.as_fd(), lend).ok().map(|top| (top, 0)));
        while let Some((level, length)) = levels.last_mut() {
            path.truncate(*length);
            let Some(entry) = level.next() else {
                levels.pop();
                continue;
            };
            let Ok(name) = entry.name.to_str() else {
                self.leave_out(&format!("{path}{}", entry.name.to_string_lossy()), WhyLeftOut::NoText);
                continue;
            };
            path.push_str(name);
            if entry.kind != Kind::Directory {
                self.look(&path, &entry);
                continue;
            }
            let child = level.child(&entry.name).and_then(|child| Directory::read(child.as_fd(), lend));
            path.push('/');
            match child {
                Ok(child) if levels.len() < MAX_DEPTH => levels.push((child, path.len())),
                Ok(_) => self.leave_out(&path, WhyLeftOut::TooDeep),
                Err(_) => self.leave_out(&path, WhyLeftOut::Unreadable),
            }
        }
    }

    fn look(&mut self, path: &str, entry: &Entry) {
        if !self.globs.is_match(path) {
            return;
        }
        let collected = &mut self.collected;
        if entry.kind != Kind::File {
            return leave_out(collected, path, WhyLeftOut::NoFile);
        }
        // A link to a file that is not the task's leads out of the workspace as a symbolic one does.
        if self.owner.is_some_and(|owner| owner != entry.owner) {
            return leave_out(collected, path, WhyLeftOut::NotItsOwn);
        }
        if collected.files >= self.max_files {
            return leave_out(collected, path, WhyLeftOut::TooMany);
        }
        if collected.bytes.saturating_add(entry.length) > self.max_bytes {
            return leave_out(collected, path, WhyLeftOut::TooLarge);
        }
        collected.files += 1;
        collected.bytes += entry.length;
        let modified_at = Timestamp::from_millis(entry.modified_ms);
        self.found.push(FoundFile { path: path.to_owned(), size: entry.length, modified_at });
    }

    fn leave_out(&mut self, path: &str, why: WhyLeftOut) {
        leave_out(&mut self.collected, path, why);
    }
}

fn leave_out(collected: &mut Collected, path: &str, reason: WhyLeftOut) {
    collected.left_out_files += 1;
    if collected.left_out.len() < NAMED {
        let end = (0..=path.len().min(SHOWN_BYTES)).rfind(|index| path.is_char_boundary(*index)).unwrap_or(0);
        collected.left_out.push(LeftOut { path: path[..end].to_owned(), reason });
    }
}

fn globs(patterns: &[String]) -> Result<GlobSet, globset::Error> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(glob(pattern)?);
    }
    set.build()
}

/// Whole or not at all. The task's user may not write here; where that is the runtime's own, a link of its leads nowhere.
fn list(task_dir: &Path, found: &[FoundFile]) -> io::Result<()> {
    let (path, temporary) = (task_dir.join(FILES), task_dir.join("files.new"));
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = File::options().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let mut writer = BufWriter::new(file);
    for file in found {
        serde_json::to_writer(&mut writer, file)?;
        writer.write_all(b"\n")?;
    }
    writer.flush()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn search(dir: &Path, patterns: &[&str], max_files: u64, max_bytes: u64) -> (Vec<String>, Collected) {
        let patterns: Vec<_> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        let mut search = Search {
            globs: globs(&patterns).expect("globs"),
            max_files,
            max_bytes,
            owner: None,
            found: Vec::new(),
            collected: Collected::default(),
        };
        search.walk(directory::open(dir).expect("there"));
        let mut paths: Vec<_> = search.found.iter().map(|file| file.path.clone()).collect();
        paths.sort();
        (paths, search.collected)
    }

    #[test]
    fn what_matches_is_found_and_what_cannot_be_taken_is_told() {
        let dir = tempfile::tempdir().expect("temp dir");
        fs::create_dir_all(dir.path().join("out/inner")).expect("made");
        for path in ["out/a", "out/inner/b", "other"] {
            fs::write(dir.path().join(path), "12345").expect("written");
        }
        symlink("/etc/passwd", dir.path().join("out/link")).expect("linked");
        symlink("/etc", dir.path().join("out/dir")).expect("linked");
        let (found, collected) = search(dir.path(), &["out/**"], 10, 100);
        assert_eq!(found, ["out/a", "out/inner/b"]);
        assert_eq!((collected.files, collected.bytes, collected.left_out_files), (2, 10, 2));
        assert!(collected.left_out.iter().all(|left| left.reason == WhyLeftOut::NoFile));
        for (files, bytes, reason) in [(1, 100, WhyLeftOut::TooMany), (10, 9, WhyLeftOut::TooLarge)] {
            let (found, collected) = search(dir.path(), &["out/*", "**/b"], files, bytes);
            assert_eq!(found.len(), 1);
            assert!(collected.left_out.iter().any(|left| left.reason == reason), "{collected:?}");
        }
        assert_eq!(search(dir.path(), &["none/**"], 10, 100), (Vec::new(), Collected::default()));
    }

    #[test]
    fn of_what_is_left_out_the_first_are_named() {
        let dir = tempfile::tempdir().expect("temp dir");
        for n in 0..NAMED + 5 {
            fs::write(dir.path().join(n.to_string()), "").expect("written");
        }
        let (_, collected) = search(dir.path(), &["*"], 0, 0);
        assert_eq!((collected.left_out.len(), collected.left_out_files), (NAMED, NAMED as u64 + 5));
    }

    #[test]
    fn the_list_is_written_in_the_place_of_what_is_there() {
        let dir = tempfile::tempdir().expect("temp dir");
        fs::write(dir.path().join("precious"), "kept").expect("written");
        symlink("precious", dir.path().join("files.new")).expect("linked");
        symlink("precious", dir.path().join(FILES)).expect("linked");
        let file = FoundFile { path: "a".into(), size: 1, modified_at: Timestamp::from_millis(0) };
        list(dir.path(), &[file]).expect("written");
        assert_eq!(fs::read_to_string(dir.path().join("precious")).expect("there"), "kept");
        assert!(fs::read_to_string(dir.path().join(FILES)).expect("there").starts_with("{\"path\":\"a\""));
    }
}
