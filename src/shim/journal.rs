//! The journal: an append-only file that carries what must survive the server. Launcher and shims append to it, the
//! server of the time, or the next one, reads it.
//!
//! One line is one record: the CRC-32 of the JSON in eight hex digits, a space, the JSON, a newline; one write(2) with
//! `O_APPEND` each, which the kernel does not interleave with another. Nothing is synced: the journal bridges the death
//! of the server, not of the machine.
//!
//! A launch that fails at its last step leaves `Started` and then `Exited` with `LaunchFailed`; a task whose shim was
//! killed at the very end may have two `Exited`, of which the first counts.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::launcher::protocol::PROTOCOL_VERSION;
use crate::task::state::{LaunchId, Running};
use crate::task::{Exit, TaskId};

/// What is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "record")]
pub enum Record {
    /// A launcher opened the file. Pids and monotonic times in what follows mean something in this boot only.
    Header { version: u32, boot_id: String, launcher_pid: i32 },
    /// The command's process exists and is about to exec.
    Started { task_id: TaskId, running: Running },
    /// The task is over and nothing is left of it.
    Exited { task_id: TaskId, launch_id: LaunchId, exit: Exit },
}

/// The writing end.
#[derive(Debug)]
pub struct Journal {
    file: File,
    /// The last write was cut short, so a fragment without newline may be the end of the file.
    torn: Cell<bool>,
}

/// Everything a journal holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The good records, in the order of their writing.
    pub records: Vec<Record>,
    /// How many lines held something else.
    pub damaged: usize,
}

/// Why a journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("read the journal {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("the journal {path} has format version {found}, this runtime knows {known} and older", known = PROTOCOL_VERSION)]
    Newer { path: PathBuf, found: u32 },
}

impl Journal {
    /// Opens `path`, made with mode 0600 when missing, and writes a header.
    ///
    /// # Errors
    /// As open(2) and write(2).
    pub fn create(path: &Path, boot_id: String, launcher_pid: i32) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let journal = Self { file, torn: Cell::new(false) };
        journal.append(&Record::Header { version: PROTOCOL_VERSION, boot_id, launcher_pid })?;
        Ok(journal)
    }

    /// Opens `path`, which must exist.
    ///
    /// # Errors
    /// As open(2).
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: OpenOptions::new().append(true).open(path)?, torn: Cell::new(false) })
    }

    /// For a process that shall have it.
    #[must_use]
    pub fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Appends one record. After an error it may be tried again: what the failed write left is told from records.
    ///
    /// # Errors
    /// As write(2), and [`io::ErrorKind::WriteZero`] for a write that was cut short (the disk is full).
    pub fn append(&self, record: &Record) -> io::Result<()> {
        let mut line = encode(record)?;
        if self.torn.get() {
            line.insert(0, b'\n');
        }
        let written = (&self.file).write(&line)?;
        self.torn.set(written < line.len());
        if self.torn.get() { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
    }
}

/// Reads a whole journal.
///
/// # Errors
/// The file cannot be read, or a newer version wrote to it.
pub fn read(path: &Path) -> Result<Contents, JournalError> {
    let file = File::open(path).map_err(|source| JournalError::Read { path: path.to_owned(), source })?;
    read_from(BufReader::new(file), path)
}

/// As [`read`], of what an open file holds.
///
/// # Errors
/// As [`read`].
pub fn read_from(mut reader: impl BufRead, path: &Path) -> Result<Contents, JournalError> {
    let failed = |source| JournalError::Read { path: path.to_owned(), source };
    let mut contents = Contents::default();
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).map_err(failed)? > 0 {
        match decode(line.strip_suffix(b"\n")) {
            Line::Empty => {}
            Line::Good(record) => contents.records.push(record),
            Line::Salvaged(record) => {
                contents.records.push(record);
                contents.damaged += 1;
            }
            Line::Damaged => contents.damaged += 1,
            Line::Newer(found) => return Err(JournalError::Newer { path: path.to_owned(), found }),
        }
        line.clear();
    }
    Ok(contents)
}

enum Line {
    Empty,
    Good(Record),
    /// A good record behind the fragment of another.
    Salvaged(Record),
    Damaged,
    Newer(u32),
}

/// The line of a record.
///
/// # Errors
/// None that is known: every record can be written as JSON.
pub fn encode(record: &Record) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(record)?;
    let mut line = format!("{:08x} ", crc32fast::hash(&json)).into_bytes();
    line.extend_from_slice(&json);
    line.push(b'\n');
    Ok(line)
}

/// `None` is a line without its newline: torn, even when what is there happens to be whole.
fn decode(line: Option<&[u8]>) -> Line {
    let Some(line) = line else { return Line::Damaged };
    if line.is_empty() {
        return Line::Empty;
    }
    if let Some(json) = checked(line) {
        return parse(json, Line::Good);
    }
    // Another process may have appended to the fragment that a full disk left of a record.
    let starts = (1..line.len()).filter(|start| line[*start..].get(8..10) == Some(b" {"));
    match starts.filter_map(|start| checked(&line[start..])).next() {
        Some(json) => parse(json, Line::Salvaged),
        None => Line::Damaged,
    }
}

/// The JSON of a line whose checksum is right.
fn checked(line: &[u8]) -> Option<&[u8]> {
    let (checksum, rest) = line.split_at_checked(8)?;
    let json = rest.strip_prefix(b" ")?;
    let checksum = u32::from_str_radix(std::str::from_utf8(checksum).ok()?, 16).ok()?;
    (crc32fast::hash(json) == checksum).then_some(json)
}

fn parse(json: &[u8], good: impl Fn(Record) -> Line) -> Line {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    // Before anything else, so that a newer header may have another shape.
    match serde_json::from_slice::<Versioned>(json) {
        Ok(Versioned { version }) if version > PROTOCOL_VERSION => return Line::Newer(version),
        Ok(_) | Err(_) => {}
    }
    serde_json::from_slice(json).map_or(Line::Damaged, good)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{ExitStatus, Timestamp};

    fn exited(id: &str, code: i32) -> Record {
        let exit = Exit {
            status: ExitStatus::Exited { code },
            timed_out: false,
            killed: false,
            oom_killed: false,
            workspace_excess: None,
            output_fault: None,
            at: Timestamp::from_millis(1_700_000_000_000),
            duration_ms: Some(3),
            usage: None,
            collected: None,
        };
        Record::Exited { task_id: TaskId::parse(id).expect("valid"), launch_id: LaunchId::of_test(1, 2), exit }
    }

    fn started(id: &str) -> Record {
        let running = Running {
            launch_id: LaunchId::of_test(1, 2),
            shim_pid: 2,
            shim_start_ticks: u64::MAX,
            pid: 3,
            pgid: 3,
            started_at: Timestamp::from_millis(5),
            started_monotonic_ms: 1 << 53,
        };
        Record::Started { task_id: TaskId::parse(id).expect("valid"), running }
    }

    fn journal(dir: &tempfile::TempDir) -> (PathBuf, Journal) {
        let path = dir.path().join("journal");
        let journal = Journal::create(&path, "boot".into(), 1).expect("created");
        (path, journal)
    }

    #[test]
    fn records_come_back_in_order_behind_the_header() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (path, journal) = journal(&dir);
        journal.append(&started("a")).expect("appended");
        journal.append(&exited("a", 7)).expect("appended");
        let header = Record::Header { version: PROTOCOL_VERSION, boot_id: "boot".into(), launcher_pid: 1 };
        let expected = Contents { records: vec![header, started("a"), exited("a", 7)], damaged: 0 };
        assert_eq!(read(&path).expect("readable"), expected);
    }

    #[test]
    fn a_torn_last_line_is_counted_and_hides_nothing() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (path, journal) = journal(&dir);
        journal.append(&started("a")).expect("appended");
        let whole = std::fs::read(&path).expect("readable");
        let header_length = whole.iter().position(|b| *b == b'\n').expect("a line") + 1;
        for cut in header_length + 1..whole.len() {
            std::fs::write(&path, &whole[..cut]).expect("written");
            let contents = read(&path).expect("readable");
            assert_eq!((contents.records.len(), contents.damaged), (1, 1), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_appended_to_a_torn_line_is_found() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (path, journal) = journal(&dir);
        let line = encode(&exited("torn", 1)).expect("encodes");
        (&journal.file).write_all(&line[..line.len() / 2]).expect("written");
        Journal::open(&path).expect("opened").append(&exited("other", 2)).expect("appended");
        (&journal.file).write_all(&line[..5]).expect("written");
        journal.torn.set(true);
        journal.append(&exited("torn", 1)).expect("appended");
        let contents = read(&path).expect("readable");
        assert_eq!(contents.records[1..], [exited("other", 2), exited("torn", 1)]);
        assert_eq!(contents.damaged, 2);
    }

    #[test]
    fn a_flipped_byte_damages_its_own_line_only() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (path, journal) = journal(&dir);
        journal.append(&exited("a", 1)).expect("appended");
        journal.append(&exited("b", 2)).expect("appended");
        let whole = std::fs::read(&path).expect("readable");
        let ends: Vec<usize> = whole.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i).collect();
        for at in ends[0] + 1..ends[1] {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x04;
            std::fs::write(&path, &bytes).expect("written");
            let contents = read(&path).expect("readable");
            assert_eq!(contents.records.last(), Some(&exited("b", 2)), "flipped at {at}");
            assert_eq!(contents.records.len(), 2, "flipped at {at}");
            assert!(contents.damaged >= 1, "flipped at {at}");
        }
    }

    #[test]
    fn two_writers_lose_and_mix_nothing() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (path, _journal) = journal(&dir);
        std::thread::scope(|scope| {
            for writer in ["x", "y"] {
                let own = Journal::open(&path).expect("opened");
                scope.spawn(move || (0..500).for_each(|n| own.append(&exited(writer, n)).expect("appended")));
            }
        });
        let contents = read(&path).expect("readable");
        assert_eq!((contents.records.len(), contents.damaged), (1001, 0));
        for writer in ["x", "y"] {
            let all: Vec<Record> = (0..500).map(|n| exited(writer, n)).collect();
            let id = TaskId::parse(writer).expect("valid");
            let own = contents.records.iter().filter(|r| matches!(r, Record::Exited { task_id, .. } if *task_id == id));
            assert_eq!(own.cloned().collect::<Vec<_>>(), all);
        }
    }

    #[test]
    fn a_newer_version_is_refused_by_name() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (path, journal) = journal(&dir);
        let json = format!(r#"{{"record":"header","version":{},"shape":[]}}"#, PROTOCOL_VERSION + 1);
        let line = format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
        (&journal.file).write_all(line.as_bytes()).expect("written");
        let error = read(&path).expect_err("refused");
        assert!(matches!(error, JournalError::Newer { found, .. } if found == PROTOCOL_VERSION + 1));
        assert!(error.to_string().contains("format version 2"), "{error}");
    }
}
