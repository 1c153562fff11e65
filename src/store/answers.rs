//! Answers that are given again to whoever asks again under the same key. Each lives as long as one of its tasks.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{Readers, StoreError, Writer, failed};

/// What a client calls a request, so that it can be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// Whose key it is: a tenant, or nobody in particular.
    pub tenant: String,
    pub key: String,
    /// SHA-256 of the request: under one key there is one.
    pub digest: [u8; 32],
}

/// An answer and the tasks that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    pub key: RequestKey,
    /// The places of the first of its tasks and of the last; no other task is between them.
    pub tasks: (u64, u64),
    /// As it went to the client.
    pub answer: String,
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// The same request was answered with this.
    Same(String),
    /// It was another request.
    Other,
}

impl RequestKey {
    /// What is known, if this is.
    #[must_use]
    pub fn compare(&self, kept: &KeptAnswer) -> Option<Earlier> {
        let is_same_key = (&kept.key.tenant, &kept.key.key) == (&self.tenant, &self.key);
        is_same_key.then(|| self.judge(&kept.key.digest, &kept.answer))
    }

    fn judge(&self, digest: &[u8], answer: &str) -> Earlier {
        if digest == self.digest { Earlier::Same(answer.to_owned()) } else { Earlier::Other }
    }
}

impl Readers {
    /// What was answered under this key.
    ///
    /// # Errors
    /// The store failed.
    pub fn earlier(&self, key: &RequestKey) -> Result<Option<Earlier>, StoreError> {
        self.with(|connection| earlier(connection, key))
    }
}

impl Writer {
    /// What was answered under this key.
    ///
    /// # Errors
    /// The store failed.
    pub fn earlier(&self, key: &RequestKey) -> Result<Option<Earlier>, StoreError> {
        earlier(&self.connection, key)
    }
}

fn earlier(connection: &Connection, key: &RequestKey) -> Result<Option<Earlier>, StoreError> {
    const SQL: &str = "SELECT digest, answer FROM answers WHERE tenant = ?1 AND key = ?2";
    let failed = failed("look for an earlier answer");
    let mut statement = connection.prepare_cached(SQL).map_err(&failed)?;
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, String>(1)?));
    let found = statement.query_row([&key.tenant, &key.key], read).optional().map_err(&failed)?;
    Ok(found.map(|(digest, answer)| key.judge(&digest, &answer)))
}

pub(super) fn keep(transaction: &Transaction<'_>, kept: &KeptAnswer) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO answers (tenant, key, digest, first_task, last_task, answer)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let KeptAnswer { key: RequestKey { tenant, key, digest }, tasks: (first, last), answer } = kept;
    let values = params![tenant, key, digest, first.cast_signed(), last.cast_signed(), answer];
    transaction.prepare_cached(SQL).and_then(|mut s| s.execute(values)).map_err(failed("keep an answer"))?;
    Ok(())
}

/// Behind the deletion of the task at this place: its answer goes with the last of its tasks.
pub(super) fn forget(transaction: &Transaction<'_>, task_seq: i64) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM answers
        WHERE last_task = (SELECT MIN(last_task) FROM answers WHERE last_task >= ?1) AND first_task <= ?1
            AND NOT EXISTS (SELECT 1 FROM tasks WHERE seq BETWEEN first_task AND last_task)";
    transaction.prepare_cached(SQL).and_then(|mut s| s.execute([task_seq])).map_err(failed("forget an answer"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::open;
    use crate::task::{Task, Timestamp, testing};

    fn key(key: &str, digest: u8) -> RequestKey {
        RequestKey { tenant: String::new(), key: key.into(), digest: [digest; 32] }
    }

    #[test]
    fn an_answer_lives_as_long_as_one_of_its_tasks_and_is_committed_with_them() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (mut writer, readers) = open(&dir.path().join("runtime.db")).expect("opens");
        let tasks: Vec<_> = (1..=4).map(|n| Task::submit(testing::new_task(&format!("t{n}")), n)).collect();
        let kept = |name: &str, tasks| KeptAnswer { key: key(name, 1), tasks, answer: format!("answer of {name}") };
        writer.commit_with(&tasks[..1], &[kept("one", (1, 1))]).expect("commits");
        writer.commit_with(&tasks[1..3], &[kept("two", (2, 3))]).expect("commits");
        let twice = writer.commit_with(&tasks[3..], &[kept("two", (4, 4))]);
        assert!(twice.is_err(), "a key is there once");
        assert_eq!(readers.task(tasks[3].task().id()).expect("reads"), None, "and nothing comes with the second");

        assert_eq!(readers.earlier(&key("two", 1)).expect("reads"), Some(Earlier::Same("answer of two".into())));
        assert_eq!(readers.earlier(&key("two", 2)).expect("reads"), Some(Earlier::Other));
        assert_eq!(readers.earlier(&key("three", 1)).expect("reads"), None);
        let of_tenant = RequestKey { tenant: "acme".into(), ..key("two", 1) };
        assert_eq!(readers.earlier(&of_tenant).expect("reads"), None);

        let ends: Vec<_> =
            tasks[..3].iter().map(|task| task.task().cancel(testing::at(2000)).expect("queued")).collect();
        writer.commit(&ends).expect("commits");
        let ended = writer.ended(Timestamp::from_millis(i64::MAX), 10).expect("reads");
        let has = |name| readers.earlier(&key(name, 1)).expect("reads").is_some();
        writer.forget(&ended[2..]).expect("forgets");
        assert!(has("one") && has("two"), "one of its two tasks is left");
        writer.forget(&ended[1..2]).expect("forgets");
        assert!(has("one") && !has("two"));
        writer.forget(&ended[..1]).expect("forgets");
        assert!(!has("one"));
    }
}
