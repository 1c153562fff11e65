//! Lists of tasks, page by page.

use std::sync::Arc;

use super::Shared;
use super::access::Caller;
use super::fault::Fault;
use super::filter::Wanted;
use super::status::blocking;
use crate::api::list::TaskList;
use crate::api::row::TaskRow;
use crate::output::Log;
use crate::store::{Order, Page, Place};
use crate::task::exit::OutputStream;
use crate::task::{InvalidField, Task, TaskPaths};

/// Which part of a list.
pub(super) struct Part {
    pub(super) order: Order,
    pub(super) limit: usize,
    pub(super) cursor: Option<String>,
}

pub(super) async fn list(shared: &Shared, by: &Caller, wanted: &Wanted, part: Part) -> Result<TaskList, Fault> {
    let Part { order, limit, cursor } = part;
    let fingerprint = wanted.fingerprint(order);
    let from = cursor.map(|cursor| place(&cursor, fingerprint)).transpose()?;
    let (readers, config) = (shared.context.readers.clone(), Arc::clone(&shared.context.config));
    let filter = wanted.filter(by);
    blocking(move || {
        let Page { tasks, next } = readers.page(&filter, order, from, limit)?;
        let rows = tasks.iter().map(|task| {
            let paths = TaskPaths::new(&config.runtime.data_dir, task.id());
            Ok(TaskRow::render(task, log_lengths(task, &paths)?))
        });
        let tasks = rows.collect::<std::io::Result<_>>().map_err(Fault::Output)?;
        Ok(TaskList { tasks, next_cursor: next.map(|place| cursor_of(place, fingerprint)) })
    })
    .await?
}

fn log_lengths(task: &Task, paths: &TaskPaths) -> std::io::Result<[u64; 2]> {
    if task.running().is_none() {
        return Ok([0, 0]);
    }
    let length = |stream| Log::open(&paths.log(stream))?.map_or(Ok(0), |log| log.length());
    Ok([length(OutputStream::Stdout)?, length(OutputStream::Stderr)?])
}

/// Where a page begins, and of which list.
fn cursor_of(Place { created_at, seq }: Place, fingerprint: u32) -> String {
    format!("{created_at}.{seq}.{fingerprint:08x}")
}

fn place(cursor: &str, fingerprint: u32) -> Result<Place, InvalidField> {
    let wrong = |message| InvalidField::new("cursor", message);
    let garbled = || wrong("must be the `next_cursor` of a page, as it was given");
    let (place, of) = cursor.rsplit_once('.').ok_or_else(garbled)?;
    let (created_at, seq) = place.split_once('.').ok_or_else(garbled)?;
    let number = |digits: &str| {
        let digits = Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        digits.and_then(|digits| digits.parse().ok()).ok_or_else(garbled)
    };
    let found = Place { created_at: number(created_at)?, seq: number(seq)? };
    if of == format!("{fingerprint:08x}") {
        return Ok(found);
    }
    Err(wrong("is that of another list: it goes with the same filter and the same `sort`"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_cursor_is_refused() {
        for cursor in
            ["", "1", "1.2", "1.2.3.4", "+1.2.00000007", "1..00000007", "1.2.7", "99999999999999999999.2.00000007"]
        {
            assert_eq!(place(cursor, 7).expect_err(cursor).path, "cursor");
        }
    }

    proptest! {
        #[test]
        fn it_is_read_as_it_was_written_for_the_same_list_alone(
            created_at in 0..i64::MAX, seq in 0..i64::MAX, of: u32, other: u32
        ) {
            let from = Place { created_at, seq };
            let cursor = cursor_of(from, of);
            prop_assert_eq!(place(&cursor, of), Ok(from));
            prop_assert_eq!(place(&cursor, other).is_ok(), of == other);
        }
    }
}
