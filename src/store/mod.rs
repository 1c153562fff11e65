//! All SQL. The authority over a task's state sits behind this seam: create once per id, compare-and-set by
//! revision, read. The store accepts nothing but a `Transition`; row versions and SQL do not leave this room.

mod answers;
mod callbacks;
mod data_dir;
mod ended;
mod feed;
mod file;
mod marks;
mod migrations;
mod page;
mod reader;
mod row;
mod writer;

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

pub use answers::{Earlier, KeptAnswer, RequestKey};
pub use callbacks::{Attempt, CallbackState, Delivery, DueCallback};
pub use data_dir::DataDir;
pub use ended::{Ended, Stock};
pub use feed::{EventFilter, Fed};
pub use file::write_whole;
pub use marks::Mark;
pub use page::{Filter, Kind, Order, Page, Place};
pub use reader::Readers;
pub use writer::{LiveTasks, QueuedTask, Writer};

use crate::task::TaskId;

/// A failure of the store; ours, never the caller's.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot {operation}")]
    Sqlite { operation: &'static str, source: rusqlite::Error },
    #[error("cannot make {}", path.display())]
    Create { path: PathBuf, source: std::io::Error },
    #[error("cannot {operation} task {id}: what is stored is damaged")]
    Damaged { operation: &'static str, id: String, source: serde_json::Error },
    #[error("task {id} was changed by somebody else")]
    Stale { id: TaskId },
    #[error("{} was written by a newer version (schema {found}; this version knows up to {known})", path.display())]
    Newer { path: PathBuf, found: i64, known: i64 },
}

/// Opens (and makes or migrates) the database and returns its one writer and its readers.
///
/// # Errors
/// The file cannot be opened, is not ours, or is of a newer version.
pub fn open(path: &Path) -> Result<(Writer, Readers), StoreError> {
    create_private(path).map_err(|source| StoreError::Create { path: path.to_owned(), source })?;
    let mut connection = connect(path)?;
    migrations::migrate(&mut connection, path)?;
    Ok((Writer::new(connection), Readers::new(path.to_owned())))
}

/// SQLite makes its files for everybody to read, but gives journals the mode of the database.
fn create_private(path: &Path) -> std::io::Result<()> {
    std::fs::File::options().append(true).create(true).mode(0o600).open(path).map(drop)
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(path).map_err(failed("open the database"))?;
    // WAL: readers do not wait for the writer. FULL: a commit is on the disk before it is answered.
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000;")
        .map_err(failed("configure the database"))?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

fn failed(operation: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |source| StoreError::Sqlite { operation, source }
}

#[cfg(test)]
mod tests;
