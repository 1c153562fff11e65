//! Files that a submission brings along: small ones stand in the request, others are uploaded before it.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::client::Client;

/// What stands in the request itself; a body has a limit.
const SMALL: u64 = 64 * 1024;

/// A file for the workspace, and where it is here.
#[derive(Clone, Debug)]
pub struct Input {
    path: String,
    local: PathBuf,
}

impl Input {
    /// `PATH` or `PATH=FILE`.
    ///
    /// # Errors
    /// One of them is empty.
    pub fn parse(raw: &str) -> Result<Self, String> {
        let (path, local) = raw.split_once('=').unwrap_or((raw, raw));
        if path.is_empty() || local.is_empty() {
            return Err("write PATH or PATH=FILE".to_owned());
        }
        Ok(Self { path: path.to_owned(), local: local.into() })
    }

    /// Its entry in `inputs`, when it is where the server finds it.
    ///
    /// # Errors
    /// It cannot be read, or not be uploaded.
    pub fn entry(&self, client: &Client) -> anyhow::Result<Value> {
        let Self { path, local } = self;
        let file = File::open(local).with_context(|| format!("--input {path}: cannot read {}", local.display()))?;
        let metadata = file.metadata().with_context(|| format!("--input {path}"))?;
        anyhow::ensure!(metadata.is_file(), "--input {path}: {} is no file", local.display());
        let mode = format!("{:04o}", metadata.permissions().mode() & 0o777);
        let mut entry = content(client, file, metadata.len()).with_context(|| format!("--input {path}"))?;
        entry["path"] = json!(path);
        entry["mode"] = json!(mode);
        Ok(entry)
    }
}

/// `execution.stdin` of this file, `-` for our own standard input.
///
/// # Errors
/// It cannot be read, or not be uploaded.
pub fn stdin(client: &Client, path: &Path) -> anyhow::Result<Value> {
    if path.as_os_str() != "-" {
        let file = File::open(path).with_context(|| format!("--stdin: cannot read {}", path.display()))?;
        let metadata = file.metadata().context("--stdin")?;
        // Of anything else the length is not known before its end.
        if metadata.is_file() {
            return content(client, file, metadata.len()).context("--stdin");
        }
        return of_reader(client, file);
    }
    of_reader(client, io::stdin())
}

fn of_reader(client: &Client, mut reader: impl Read) -> anyhow::Result<Value> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).context("--stdin: cannot be read to its end")?;
    content(client, io::Cursor::new(&bytes), bytes.len() as u64).context("--stdin")
}

fn content(client: &Client, mut source: impl Read + Seek, length: u64) -> anyhow::Result<Value> {
    if length <= SMALL {
        let mut bytes = Vec::new();
        source.read_to_end(&mut bytes)?;
        return Ok(match String::from_utf8(bytes) {
            Ok(text) => json!({"text": text}),
            Err(error) => json!({"base64": STANDARD.encode(error.into_bytes())}),
        });
    }
    let mut digest = Sha256::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        match source.read(&mut piece)? {
            0 => break,
            length => digest.update(&piece[..length]),
        }
    }
    let sha256: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if !client.has_blob(&sha256)? {
        source.rewind()?;
        client.put_blob(&sha256, &mut source)?;
    }
    Ok(json!({"blob": sha256}))
}
