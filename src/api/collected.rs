//! What a task has left: the list of it, and the summary in its status.

use poem_openapi::types::Example;
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use crate::task::Timestamp;
use crate::task::exit::{self, FoundFile};

/// The files that were collected, by their paths.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example)]
#[serde(deny_unknown_fields)]
pub struct FileList {
    /// None where the task was not asked for any.
    pub files: Vec<FileEntry>,
}

/// A file that was collected.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Where it stands below the task's `workspace/`.
    pub path: String,
    /// How many bytes it holds.
    pub size: u64,
    /// When it was last written.
    pub modified_at: Timestamp,
}

/// What was collected at the end of the task.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example)]
#[serde(deny_unknown_fields)]
pub struct CollectedFiles {
    /// How many files.
    pub files: u64,
    /// How many bytes they hold together.
    pub bytes: u64,
    /// How many files and directories were left out.
    pub left_out_files: u64,
    /// The first of them, up to 20.
    pub left_out: Vec<LeftOutFile>,
}

/// Something that `collect` asks for and that was not collected.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example)]
#[serde(deny_unknown_fields)]
pub struct LeftOutFile {
    /// Where it stands below the task's `workspace/`, cut at 512 bytes.
    pub path: String,
    /// Why it was left out.
    pub reason: LeftOutReason,
}

/// Why something was not collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum LeftOutReason {
    /// There are as many files as this runtime collects.
    TooMany,
    /// With it there would be more bytes than this runtime collects.
    TooLarge,
    /// A link, a pipe, a socket or a device.
    NoFile,
    /// The file is another user's.
    NotItsOwn,
    /// Its name is not UTF-8.
    NoText,
    /// A directory below more others than are looked into.
    TooDeep,
    /// A directory that cannot be read, or in which something is mounted.
    Unreadable,
    /// The list of the files could not be written; `path` says why.
    ListNotWritten,
}

impl From<FoundFile> for FileEntry {
    fn from(FoundFile { path, size, modified_at }: FoundFile) -> Self {
        Self { path, size, modified_at }
    }
}

impl From<&exit::Collected> for CollectedFiles {
    fn from(collected: &exit::Collected) -> Self {
        let exit::Collected { files, bytes, left_out_files, left_out } = collected.clone();
        let left_out = left_out.into_iter().map(LeftOutFile::from).collect();
        Self { files, bytes, left_out_files, left_out }
    }
}

impl From<exit::LeftOut> for LeftOutFile {
    fn from(exit::LeftOut { path, reason }: exit::LeftOut) -> Self {
        use exit::WhyLeftOut as Why;
        let reason = match reason {
            Why::TooMany => LeftOutReason::TooMany,
            Why::TooLarge => LeftOutReason::TooLarge,
            Why::NoFile => LeftOutReason::NoFile,
            Why::NotItsOwn => LeftOutReason::NotItsOwn,
            Why::NoText => LeftOutReason::NoText,
            Why::TooDeep => LeftOutReason::TooDeep,
            Why::Unreadable => LeftOutReason::Unreadable,
            Why::ListNotWritten => LeftOutReason::ListNotWritten,
        };
        Self { path, reason }
    }
}

impl Example for FileList {
    fn example() -> Self {
        Self { files: vec![FileEntry::example()] }
    }
}

impl Example for FileEntry {
    fn example() -> Self {
        Self { path: "out/report.html".into(), size: 4711, modified_at: Timestamp::from_millis(1_764_033_114_980) }
    }
}

impl Example for CollectedFiles {
    fn example() -> Self {
        Self { files: 1, bytes: 4711, left_out_files: 1, left_out: vec![LeftOutFile::example()] }
    }
}

impl Example for LeftOutFile {
    fn example() -> Self {
        Self { path: "out/latest".into(), reason: LeftOutReason::NoFile }
    }
}
