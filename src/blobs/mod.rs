//! Blobs: files that are named by what they hold, kept for tasks to be given. What a live task names stays; of the rest
//! what was used last, up to a bound. It knows neither tasks nor HTTP: who asks says which blobs are in use.

mod upload;

use std::collections::{HashMap, HashSet};
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

pub use upload::{Stored, Upload};

use crate::task::blob::BlobId;

/// What an upload is called until it is whole.
const UNFINISHED: &str = "upload-";

/// Bytes.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub of_one: u64,
    pub of_all: u64,
}

/// The names of the blobs that live tasks name.
pub type InUse = Box<dyn Fn() -> io::Result<HashSet<String>> + Send + Sync>;

/// Why a blob is not kept.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("a blob may hold at most {0} bytes")]
    TooLarge(u64),
    #[error("the blobs of tasks that have not ended leave no room: all blobs together may hold {0} bytes")]
    Full(u64),
    #[error("cannot keep a blob")]
    Io(#[from] io::Error),
}

/// Cheap to clone. Calls block.
#[derive(Clone)]
pub struct Blobs(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    bounds: Bounds,
    in_use: InUse,
    state: Mutex<State>,
}

struct State {
    /// What lies in the directory, unfinished uploads included.
    bytes: u64,
    /// Of requests that are on their way to a task, by the number of them.
    held: HashMap<BlobId, usize>,
    uploads: u64,
}

/// Blobs that stay as long as this does: until the task that names them is stored, and speaks for them itself.
pub struct Hold {
    blobs: Blobs,
    ids: Vec<BlobId>,
}

impl Blobs {
    /// Makes the directory, removes what former uploads left, and counts what there is.
    ///
    /// # Errors
    /// The directory cannot be made or read.
    pub fn open(dir: PathBuf, bounds: Bounds, in_use: InUse) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let mut bytes = 0_u64;
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                fs::remove_file(entry.path())?;
            } else {
                bytes = bytes.saturating_add(entry.metadata()?.len());
            }
        }
        let state = Mutex::new(State { bytes, held: HashMap::new(), uploads: 0 });
        Ok(Self(Arc::new(Inner { dir, bounds, in_use, state })))
    }

    /// Opens it for reading, if it is there.
    ///
    /// # Errors
    /// It is there and cannot be opened.
    pub fn find(&self, id: &BlobId) -> io::Result<Option<File>> {
        match File::open(self.path(id)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Nothing is held so far.
    #[must_use]
    pub const fn hold(self) -> Hold {
        Hold { blobs: self, ids: Vec::new() }
    }

    /// Begins to take a blob in.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn upload(&self) -> Result<Upload, BlobError> {
        let number = {
            let mut state = self.lock();
            state.uploads += 1;
            state.uploads
        };
        Upload::begin(self.clone(), self.0.dir.join(format!("{UNFINISHED}{number}")))
    }

    fn path(&self, id: &BlobId) -> PathBuf {
        self.0.dir.join(id.as_str())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts bytes that are about to be written, and makes room for them.
    fn take(&self, bytes: u64) -> Result<(), BlobError> {
        let (mut state, of_all) = (self.lock(), self.0.bounds.of_all);
        if state.bytes.saturating_add(bytes) > of_all {
            // A little more than is asked for, so that not every upload looks through all of them.
            self.forget_down_to(&mut state, (of_all - of_all / 16).saturating_sub(bytes))?;
        }
        if state.bytes.saturating_add(bytes) > of_all {
            return Err(BlobError::Full(of_all));
        }
        state.bytes += bytes;
        Ok(())
    }

    fn give_back(&self, bytes: u64) {
        let mut state = self.lock();
        state.bytes = state.bytes.saturating_sub(bytes);
    }

    /// Deletes what was not used for longest. The lock is held, so nobody begins to hold what is about to go; and whoever
    /// stopped before has stored the task, which is looked for only now.
    fn forget_down_to(&self, state: &mut State, goal: u64) -> io::Result<()> {
        let in_use = (self.0.in_use)()?;
        let mut idle = Vec::new();
        for entry in fs::read_dir(&self.0.dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with(UNFINISHED) && !in_use.contains(&name) && !state.holds(&name) {
                let metadata = entry.metadata()?;
                idle.push((metadata.modified()?, metadata.len(), entry.path()));
            }
        }
        idle.sort_unstable();
        for (_, bytes, path) in idle {
            if state.bytes <= goal {
                break;
            }
            fs::remove_file(path)?;
            state.bytes = state.bytes.saturating_sub(bytes);
        }
        Ok(())
    }
}

impl State {
    fn holds(&self, name: &str) -> bool {
        self.held.keys().any(|id| id.as_str() == name)
    }
}

impl Hold {
    /// Holds one that is there; says whether it is.
    ///
    /// # Errors
    /// It cannot be looked for.
    pub fn add(&mut self, id: &BlobId) -> io::Result<bool> {
        let mut state = self.blobs.lock();
        if !touch(&self.blobs.path(id))? {
            return Ok(false);
        }
        *state.held.entry(id.clone()).or_default() += 1;
        self.ids.push(id.clone());
        Ok(true)
    }

    /// Keeps these bytes, unless they are there, and holds them.
    ///
    /// # Errors
    /// See [`BlobError`].
    pub fn keep(&mut self, id: &BlobId, bytes: &[u8]) -> Result<(), BlobError> {
        if self.add(id)? {
            return Ok(());
        }
        let mut upload = self.blobs.upload()?;
        upload.write(bytes)?;
        upload.finish_and_hold(id, self)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.blobs.lock();
        for id in &self.ids {
            if let Some(count) = state.held.get_mut(id) {
                *count -= 1;
                if *count == 0 {
                    state.held.remove(id);
                }
            }
        }
    }
}

/// Notes that it is used now; says whether it is there.
fn touch(path: &Path) -> io::Result<bool> {
    match File::open(path) {
        Ok(file) => file.set_modified(SystemTime::now()).map(|()| true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

impl std::fmt::Debug for Blobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blobs").field("dir", &self.0.dir).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::blob::Digest;

    struct Rig {
        dir: tempfile::TempDir,
        in_use: Arc<Mutex<HashSet<String>>>,
        blobs: Blobs,
    }

    fn rig() -> Rig {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let in_use: Arc<Mutex<HashSet<String>>> = Arc::default();
        let blobs = open(dir.path(), &in_use);
        Rig { dir, in_use, blobs }
    }

    fn open(dir: &Path, in_use: &Arc<Mutex<HashSet<String>>>) -> Blobs {
        let named = Arc::clone(in_use);
        let in_use: InUse = Box::new(move || Ok(named.lock().expect("no panic").clone()));
        Blobs::open(dir.to_owned(), Bounds { of_one: 10, of_all: 32 }, in_use).expect("opens")
    }

    fn id(bytes: &[u8]) -> BlobId {
        BlobId::new(Digest::of(bytes), None)
    }

    fn put(blobs: &Blobs, bytes: &[u8]) -> Result<Stored, BlobError> {
        let mut upload = blobs.upload()?;
        upload.write(bytes)?;
        upload.finish(&id(bytes))
    }

    /// Puts it and makes it the oldest but for those that were made so before.
    fn put_old(rig: &Rig, bytes: &[u8], age_secs: u64) {
        put(&rig.blobs, bytes).expect("kept");
        let file = File::open(rig.dir.path().join(id(bytes).as_str())).expect("there");
        file.set_modified(SystemTime::now() - std::time::Duration::from_secs(age_secs)).expect("set");
    }

    fn is_there(rig: &Rig, bytes: &[u8]) -> bool {
        rig.blobs.find(&id(bytes)).expect("looked for").is_some()
    }

    #[test]
    fn what_is_put_is_there_and_what_is_wrong_or_too_large_is_not() {
        let rig = rig();
        assert_eq!(put(&rig.blobs, b"abc").expect("kept"), Stored::New(3));
        assert_eq!(put(&rig.blobs, b"abc").expect("kept"), Stored::Known(3));
        assert!(is_there(&rig, b"abc") && !is_there(&rig, b"other"));
        let mut upload = rig.blobs.upload().expect("begun");
        upload.write(b"xyz").expect("written");
        let Stored::Other(found) = upload.finish(&id(b"abc d")).expect("compared") else { panic!("another digest") };
        assert_eq!(found, Digest::of(b"xyz"));
        assert!(matches!(put(&rig.blobs, &[0; 11]), Err(BlobError::TooLarge(10))));
        assert_eq!(fs::read_dir(rig.dir.path()).expect("readable").count(), 1, "nothing unfinished is left");
        assert_eq!(rig.blobs.lock().bytes, 3);
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first_and_what_is_used_never() {
        let rig = rig();
        for (bytes, age) in [(b"1111111111", 40), (b"2222222222", 30), (b"3333333333", 20)] {
            put_old(&rig, bytes, age);
        }
        rig.in_use.lock().expect("no panic").insert(id(b"1111111111").as_str().to_owned());
        let mut hold = rig.blobs.clone().hold();
        assert!(hold.add(&id(b"2222222222")).expect("looked for"));
        assert!(!hold.add(&id(b"other")).expect("looked for"));
        put(&rig.blobs, b"4444444444").expect("kept");
        assert!(is_there(&rig, b"1111111111") && is_there(&rig, b"2222222222") && !is_there(&rig, b"3333333333"));
        hold.keep(&id(b"5555555555"), b"5555555555").expect("kept");
        assert!(!is_there(&rig, b"4444444444"));
        assert!(matches!(put(&rig.blobs, b"6666666666"), Err(BlobError::Full(32))));
        assert_eq!(rig.blobs.lock().bytes, 30);
        drop(hold);
        put(&rig.blobs, b"6666666666").expect("there is room again");
        assert!(is_there(&rig, b"1111111111") && rig.blobs.lock().held.is_empty());
    }

    #[test]
    fn a_new_server_counts_what_is_there_and_removes_what_is_unfinished() {
        let rig = rig();
        put(&rig.blobs, b"abc").expect("kept");
        fs::write(rig.dir.path().join("upload-7"), "half").expect("written");
        let again = open(rig.dir.path(), &rig.in_use);
        assert_eq!(again.lock().bytes, 3);
        assert_eq!(fs::read_dir(rig.dir.path()).expect("readable").count(), 1);
    }
}
