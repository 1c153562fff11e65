//! Writes the files that an ended task's status promises, off the dispatcher's thread and before the end is committed.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::input::{Fact, Input};
use super::run::or_abort;
use crate::task::Task;

/// Writes `result.json` of an ended task.
pub type WriteResult = Box<dyn Fn(&Task) -> std::io::Result<()> + Send>;

/// A file that could not be written is tried again so often, with this pause: descriptors come free, and room on the disk.
const TRIES: u32 = 60;
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Results(mpsc::Sender<Task>);

impl Results {
    pub fn start(write: WriteResult, inbox: mpsc::Sender<Input>) -> std::io::Result<Self> {
        let (sender, tasks) = mpsc::channel::<Task>();
        let run = move || {
            let mut owed = Owed::default();
            loop {
                let task = match tasks.recv_timeout(owed.due_in()) {
                    Ok(task) => task,
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
        thread::Builder::new().name("results".into()).spawn(move || or_abort("results", run))?;
        Ok(Self(sender))
    }

    pub fn write(&self, task: Task) {
        // The thread ends only with the dispatcher.
        let _ = self.0.send(task);
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

    use super::*;
    use crate::task::testing;

    #[test]
    fn a_file_that_cannot_be_written_delays_no_end_and_is_written_later() {
        const PATIENCE: Duration = Duration::from_secs(20);
        let (inbox, inputs) = mpsc::channel();
        let (written, files) = mpsc::channel();
        let tries = AtomicU32::new(0);
        let write = move |task: &Task| {
            if tries.fetch_add(1, Ordering::Relaxed) == 0 {
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            written.send(task.id().clone()).map_err(std::io::Error::other)
        };
        let results = Results::start(Box::new(write), inbox).expect("starts");
        let task = Task::submit(testing::new_task("a"), 1).task().clone();
        results.write(task.clone());
        let told = inputs.recv_timeout(PATIENCE).expect("told");
        assert!(matches!(told, Input::Fact(Fact::ResultWritten { id }) if id == *task.id()));
        assert_eq!(files.recv_timeout(PATIENCE).expect("written"), *task.id());
    }
}
