//! Writes the files beside a task, off the dispatcher's thread: `request.json` when the task is stored and before its
//! client is answered, `result.json` before the end is committed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::core::SubmitReply;
use super::input::{Fact, Input};
use super::run::or_abort;
use crate::store::write_whole;
use crate::task::{Task, TaskPaths};

/// Writes `result.json` of an ended task.
pub type WriteResult = Arc<dyn Fn(&Task) -> std::io::Result<()> + Send + Sync>;

/// Threads that write: a new file may wait for the disk, and the others need not wait with it.
const WRITERS: usize = 4;

/// A file that could not be written is tried again so often, with this pause: descriptors come free, and room on the disk.
const TRIES: u32 = 60;
const RETRY: Duration = Duration::from_secs(1);

/// All files of one task are written by the same thread, in order.
#[derive(Debug)]
pub(super) struct Files(Vec<mpsc::Sender<File>>);

#[derive(Debug)]
enum File {
    Request { task: Task, request: Vec<u8>, reply: SubmitReply },
    Result(Task),
}

impl Files {
    pub fn start(data_dir: &Path, write: &WriteResult, inbox: &mpsc::Sender<Input>) -> std::io::Result<Self> {
        let writer = |_| Self::start_one(data_dir.to_owned(), Arc::clone(write), inbox.clone());
        (0..WRITERS).map(writer).collect::<Result<_, _>>().map(Self)
    }

    fn start_one(
        data_dir: PathBuf,
        write: WriteResult,
        inbox: mpsc::Sender<Input>,
    ) -> std::io::Result<mpsc::Sender<File>> {
        let (sender, files) = mpsc::channel::<File>();
        let run = move || {
            let mut owed = Owed::default();
            loop {
                let task = match files.recv_timeout(owed.due_in()) {
                    Ok(File::Result(task)) => task,
                    Ok(File::Request { task, request, reply }) => {
                        keep(&data_dir, &task, &request);
                        // Whoever asked may have gone; the task is stored all the same.
                        let _ = reply.send(Ok(task));
                        continue;
                    }
                    Err(RecvTimeoutError::Timeout) => {
                        owed.write(&write);
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                };
                let id = task.id().clone();
                // The store is the truth; the file is a copy for people, so the task ends all the same.
                if let Err(error) = write(&task) {
                    tracing::warn!(task_id = %id, %error, "result.json cannot be written for now");
                    owed.add(task);
                }
                if inbox.send(Input::Fact(Fact::ResultWritten { id })).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("files".into()).spawn(move || or_abort("files", run))?;
        Ok(sender)
    }

    /// Writes the request of an accepted task, then answers.
    pub fn keep(&self, task: Task, request: Vec<u8>, reply: SubmitReply) {
        self.send(task.head().seq, File::Request { task, request, reply });
    }

    /// Writes the files of an ended task, then says [`Fact::ResultWritten`].
    pub fn write_result(&self, task: Task) {
        self.send(task.head().seq, File::Result(task));
    }

    fn send(&self, seq: u64, file: File) {
        let writer = usize::try_from(seq % WRITERS as u64).unwrap_or(0);
        // The threads end only with the dispatcher.
        let _ = self.0[writer].send(file);
    }
}

/// The store has the task; the file beside it is for people.
pub(super) fn keep(data_dir: &Path, task: &Task, request: &[u8]) {
    if let Err(error) = write_whole(&TaskPaths::new(data_dir, task.id()).request(), request) {
        tracing::error!(task_id = %task.id(), %error, "cannot write request.json");
    }
}

/// Tasks whose file could not be written, with the number of tries, and when all of them are tried again.
#[derive(Debug, Default)]
struct Owed {
    tasks: Vec<(u32, Task)>,
    due: Option<Instant>,
}

impl Owed {
    fn add(&mut self, task: Task) {
        self.tasks.push((1, task));
        self.due.get_or_insert_with(|| Instant::now() + RETRY);
    }

    fn due_in(&self) -> Duration {
        self.due.map_or(Duration::MAX, |due| due.saturating_duration_since(Instant::now()))
    }

    fn write(&mut self, write: &WriteResult) {
        self.tasks.retain_mut(|(tries, task)| {
            *tries += 1;
            match write(task) {
                Ok(()) => false,
                Err(error) if *tries >= TRIES => {
                    tracing::error!(task_id = %task.id(), %error, "result.json could not be written");
                    false
                }
                Err(_) => true,
            }
        });
        self.due = (!self.tasks.is_empty()).then(|| Instant::now() + RETRY);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::oneshot;

    use super::*;
    use crate::task::testing;

    #[test]
    fn a_file_that_cannot_be_written_delays_no_end_and_is_written_later() {
        const PATIENCE: Duration = Duration::from_secs(20);
        let (inbox, inputs) = mpsc::channel();
        let (written, on_disk) = mpsc::channel();
        let tries = AtomicU32::new(0);
        let write = move |task: &Task| {
            if tries.fetch_add(1, Ordering::Relaxed) == 0 {
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            written.send(task.id().clone()).map_err(std::io::Error::other)
        };
        let write: WriteResult = Arc::new(write);
        let files = Files::start(Path::new(""), &write, &inbox).expect("starts");
        let task = Task::submit(testing::new_task("a"), 1).task().clone();
        files.write_result(task.clone());
        let told = inputs.recv_timeout(PATIENCE).expect("told");
        assert!(matches!(told, Input::Fact(Fact::ResultWritten { id }) if id == *task.id()));
        assert_eq!(on_disk.recv_timeout(PATIENCE).expect("written"), *task.id());
    }

    #[test]
    fn the_request_is_on_the_disk_when_its_client_is_answered_and_before_the_result() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (inbox, inputs) = mpsc::channel();
        let request = TaskPaths::new(dir.path(), &crate::task::TaskId::parse("a").expect("valid")).request();
        let seen = request.clone();
        let write: WriteResult = Arc::new(move |_| seen.metadata().map(|metadata| assert!(metadata.is_file())));
        let files = Files::start(dir.path(), &write, &inbox).expect("starts");
        let task = Task::submit(testing::new_task("a"), 1).task().clone();
        let (reply, answer) = oneshot::channel();
        files.keep(task.clone(), b"{}".to_vec(), reply);
        files.write_result(task.clone());
        assert_eq!(answer.blocking_recv().expect("answered").expect("accepted"), task);
        assert_eq!(std::fs::read(request).expect("written"), b"{}");
        inputs.recv_timeout(Duration::from_secs(20)).expect("the result is written");
    }
}
