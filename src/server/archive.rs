//! A tar archive, compressed with Zstandard, made piece by piece: however large it is, little of it is in memory.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;

use tar::{Builder, Header};
use zstd::stream::write::Encoder;

use crate::output::Log;
use crate::task::exit::FoundFile;

/// At least so much at a time.
const PIECE: usize = 64 * 1024;
/// A record of tar: what a file holds is filled up to it.
const BLOCK: u64 = 512;
/// Two of them, of nothing.
const END: [u8; 1024] = [0; 1024];
/// Zstandard's own default.
const LEVEL: i32 = 3;

pub(super) type Open = Box<dyn Fn(&str) -> io::Result<Log> + Send>;

/// What is still to be made.
pub(super) struct Archive {
    /// None behind the end.
    encoder: Option<Encoder<'static, Vec<u8>>>,
    files: std::vec::IntoIter<FoundFile>,
    open: Open,
    /// The file that is being read, what is left of it, and what then fills it up.
    current: Option<(Log, u64, u64)>,
}

impl Archive {
    pub(super) fn of(files: Vec<FoundFile>, open: Open) -> io::Result<Self> {
        let encoder = Some(Encoder::new(Vec::new(), LEVEL)?);
        Ok(Self { encoder, files: files.into_iter(), open, current: None })
    }

    /// None behind the end. Blocks.
    pub(super) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(encoder) = &mut self.encoder else { return Ok(None) };
        while encoder.get_ref().len() < PIECE {
            if let Some((file, left, padding)) = self.current.take() {
                if left == 0 {
                    let padding = usize::try_from(padding).unwrap_or(0);
                    encoder.write_all(&END[..padding])?;
                    continue;
                }
                let mut piece = vec![0; PIECE.min(usize::try_from(left).unwrap_or(PIECE))];
                // What was promised is not there any more: the client is to know that this is not all.
                let mut reader = file.file();
                reader.read_exact(&mut piece)?;
                encoder.write_all(&piece)?;
                self.current = Some((file, left - piece.len() as u64, padding));
            } else if let Some(found) = self.files.next() {
                let file = (self.open)(&found.path)?;
                let length = file.length()?;
                encoder.write_all(&head(&found, &file, length)?)?;
                self.current = Some((file, length, length.next_multiple_of(BLOCK) - length));
            } else {
                encoder.write_all(&END)?;
                return self.encoder.take().map(Encoder::finish).transpose();
            }
        }
        Ok(Some(std::mem::take(encoder.get_mut())))
    }
}

/// All that stands before what the file holds.
fn head(found: &FoundFile, file: &Log, length: u64) -> io::Result<Vec<u8>> {
    let metadata = file.file().metadata()?;
    let mut header = Header::new_gnu();
    header.set_size(length);
    header.set_mode(metadata.mode() & 0o777);
    header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or(0));
    let mut builder = Builder::new(Vec::new());
    // The length says what comes behind it.
    builder.append_data(&mut header, &found.path, io::empty())?;
    Ok(std::mem::take(builder.get_mut()))
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive").field("files", &self.files.len()).finish_non_exhaustive()
    }
}
