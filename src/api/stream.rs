//! What the stream of a task tells besides events and rows.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use poem_openapi::types::Example;
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use super::status::TaskStatus;
use crate::task::exit::OutputStream;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum StreamName {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How bytes are written as a JSON string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize, Deserialize)]
pub enum OutputEncoding {
    /// As the text that they are.
    #[oai(rename = "utf-8")]
    #[serde(rename = "utf-8")]
    Utf8,
    /// As base64 with padding (RFC 4648, section 4), for they are no text.
    #[oai(rename = "base64")]
    #[serde(rename = "base64")]
    Base64,
}

/// A piece of what a task has written.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example)]
#[serde(deny_unknown_fields)]
pub struct OutputPiece {
    /// Where it was written.
    pub stream: StreamName,
    /// Where in the stream the piece begins, in bytes.
    pub offset: u64,
    /// The piece; a character is never divided between two.
    pub data: String,
    /// What `data` is.
    pub encoding: OutputEncoding,
}

/// The end of the stream: the task has ended and everything was told.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example)]
#[serde(deny_unknown_fields)]
pub struct StreamEnd {
    /// The name of the task.
    pub task_id: String,
    /// How it ended.
    pub status: TaskStatus,
}

impl OutputPiece {
    #[must_use]
    pub fn new(stream: OutputStream, offset: u64, bytes: Vec<u8>) -> Self {
        let (data, encoding) = match String::from_utf8(bytes) {
            Ok(text) => (text, OutputEncoding::Utf8),
            Err(error) => (STANDARD.encode(error.as_bytes()), OutputEncoding::Base64),
        };
        let stream = match stream {
            OutputStream::Stdout => StreamName::Stdout,
            OutputStream::Stderr => StreamName::Stderr,
        };
        Self { stream, offset, data, encoding }
    }
}

impl Example for OutputPiece {
    fn example() -> Self {
        Self::new(OutputStream::Stdout, 512, b"make: Entering directory\n".to_vec())
    }
}

impl Example for StreamEnd {
    fn example() -> Self {
        Self { task_id: "build-42".into(), status: TaskStatus::Failed }
    }
}
