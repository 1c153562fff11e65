//! What a task has left: the list of it, one file, or all of them in one archive. Only what was collected is given, and
//! nothing is opened through a link.

use std::io::{self, BufRead, BufReader};
use std::path::Path;

use futures_util::stream;
use poem::http::header;
use poem::{Body, IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry};

use super::Shared;
use super::access::Caller;
use super::archive::Archive;
use super::fault::Fault;
use super::raw::{BYTES, RawOutput};
use super::status::{blocking, known_id, read};
use super::stored::{self, ByteRange};
use crate::api::{FileEntry, FileList};
use crate::output::Log;
use crate::task::exit::FoundFile;
use crate::task::{TaskId, TaskPaths};

const ZSTD: &str = "application/zstd";

/// The files of a task in one.
pub(super) struct Packed(Response);

pub(super) async fn list(shared: &Shared, by: &Caller, raw_id: &str) -> Result<FileList, Fault> {
    let paths = ended(shared, by, raw_id).await?;
    let found = blocking(move || found(&paths)).await??;
    Ok(FileList { files: found.into_iter().map(FileEntry::from).collect() })
}

pub(super) async fn get(
    shared: &Shared,
    by: &Caller,
    raw_id: &str,
    path: String,
    part: ByteRange,
) -> Result<RawOutput, Fault> {
    let paths = ended(shared, by, raw_id).await?;
    let opened = blocking(move || {
        let is_listed = found(&paths)?.iter().any(|file| file.path == path);
        let file = if is_listed { open(&paths, &path)? } else { None };
        file.ok_or(Fault::NoFile(path))
    });
    let file = opened.await??;
    let (length, written) = file.version().map_err(Fault::Output)?;
    stored::send(file, BYTES, &format!("\"{length:x}-{written:x}\""), &part)
}

pub(super) async fn pack(shared: &Shared, by: &Caller, raw_id: &str) -> Result<Packed, Fault> {
    let paths = ended(shared, by, raw_id).await?;
    let archive = blocking(move || {
        let found = found(&paths)?;
        let open =
            move |path: &str| open(&paths, path).map_err(io::Error::other)?.ok_or(io::ErrorKind::NotFound.into());
        Archive::of(found, Box::new(open)).map_err(Fault::Output)
    });
    let archive = archive.await??;
    let pieces = stream::unfold(Some(archive), |archive| async move {
        let mut archive = archive?;
        let made = tokio::task::spawn_blocking(move || archive.next().map(|piece| (piece, archive))).await;
        match made.map_err(io::Error::other).flatten() {
            Ok((Some(piece), archive)) => Some((Ok(piece), Some(archive))),
            Ok((None, _)) => None,
            Err(error) => {
                // The status is on its way: what is left is to break off, so that the client knows that this is not all.
                tracing::error!(%error, "the files of a task could not be sent to their end");
                Some((Err(error), None))
            }
        }
    });
    let name = format!("attachment; filename=\"{}.tar.zst\"", known_id(raw_id)?);
    let response = Response::builder().content_type(ZSTD).header(header::CONTENT_DISPOSITION, name);
    Ok(Packed(response.body(Body::from_bytes_stream(pieces))))
}

/// The places of a task that has ended: before that nothing is collected.
async fn ended(shared: &Shared, by: &Caller, raw_id: &str) -> Result<TaskPaths, Fault> {
    let id: TaskId = known_id(raw_id)?;
    let task = read(shared, by, id.clone()).await?;
    if !task.status().is_terminal() {
        return Err(Fault::NotEnded { task_id: id.to_string(), status: task.status() });
    }
    Ok(TaskPaths::new(&shared.context.config.runtime.data_dir, &id))
}

/// By path. Nothing for a task that was asked for nothing.
fn found(paths: &TaskPaths) -> Result<Vec<FoundFile>, Fault> {
    let Some(list) = Log::open(&paths.files()).map_err(Fault::Output)? else { return Ok(Vec::new()) };
    let lines = BufReader::new(list.file()).lines();
    let parse = |line: io::Result<String>| Ok(serde_json::from_str(&line?)?);
    lines.map(parse).collect::<io::Result<_>>().map_err(Fault::Output)
}

fn open(paths: &TaskPaths, path: &str) -> Result<Option<Log>, Fault> {
    let tasks = paths.task_dir().parent().unwrap_or(Path::new("/"));
    Log::open_below(tasks, &paths.workspace().join(path)).map_err(Fault::Output)
}

impl IntoResponse for Packed {
    fn into_response(self) -> Response {
        self.0
    }
}

impl ApiResponse for Packed {
    fn meta() -> MetaResponses {
        let schema = MetaSchemaRef::Inline(Box::new(MetaSchema::new_with_format("string", "binary")));
        let content = vec![MetaMediaType { content_type: ZSTD, schema }];
        let ok = MetaResponse { description: "", status: Some(200), status_range: None, content, headers: Vec::new() };
        MetaResponses { responses: vec![ok] }
    }

    fn register(_registry: &mut Registry) {}
}
