//! A blob on its way in: written beside the others, and one of them when it is whole, right and on the disk.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use super::{BlobError, Blobs, Hold, touch};
use crate::task::blob::{BlobId, Digest};

/// What became of an upload, with its length.
#[derive(Debug, PartialEq, Eq)]
pub enum Stored {
    New(u64),
    /// It was there.
    Known(u64),
    /// It holds something else than its name says.
    Other(Digest),
}

/// Dropped before it is finished it leaves nothing.
pub struct Upload {
    blobs: Blobs,
    path: PathBuf,
    file: File,
    digest: Sha256,
    bytes: u64,
    is_kept: bool,
}

impl Upload {
    pub(super) fn begin(blobs: Blobs, path: PathBuf) -> Result<Self, BlobError> {
        // A task may open its standard input anew, whoever its user is: the directory is closed to everybody.
        let file = File::options().write(true).create_new(true).mode(0o444).open(&path)?;
        Ok(Self { blobs, path, file, digest: Sha256::new(), bytes: 0, is_kept: false })
    }

    /// # Errors
    /// See [`BlobError`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        let (length, of_one) = (bytes.len() as u64, self.blobs.0.bounds.of_one);
        if self.bytes.saturating_add(length) > of_one {
            return Err(BlobError::TooLarge(of_one));
        }
        self.blobs.take(length)?;
        self.bytes += length;
        self.digest.update(bytes);
        Ok(self.file.write_all(bytes)?)
    }

    /// # Errors
    /// It cannot be made durable.
    pub fn finish(self, id: &BlobId) -> Result<Stored, BlobError> {
        self.store(id, None)
    }

    /// What is held cannot be forgotten between the two.
    pub(super) fn finish_and_hold(self, id: &BlobId, hold: &mut Hold) -> Result<(), BlobError> {
        self.store(id, Some(hold)).map(drop)
    }

    fn store(mut self, id: &BlobId, hold: Option<&mut Hold>) -> Result<Stored, BlobError> {
        let found = Digest::new(std::mem::take(&mut self.digest).finalize().into());
        if !id.is_of(found) {
            return Ok(Stored::Other(found));
        }
        self.file.sync_data()?;
        let mut state = self.blobs.lock();
        let to = self.blobs.path(id);
        let is_known = touch(&to)?;
        if !is_known {
            fs::rename(&self.path, &to)?;
            self.is_kept = true;
            File::open(&self.blobs.0.dir)?.sync_all()?;
        }
        if let Some(hold) = hold {
            *state.held.entry(id.clone()).or_default() += 1;
            hold.ids.push(id.clone());
        }
        drop(state);
        Ok(if is_known { Stored::Known(self.bytes) } else { Stored::New(self.bytes) })
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.is_kept {
            // What cannot be removed now is when the next server starts.
            let _ = fs::remove_file(&self.path);
            self.blobs.give_back(self.bytes);
        }
    }
}
