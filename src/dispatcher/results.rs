//! Writes the files that an ended task's status promises, off the dispatcher's thread and before the end is committed.

use std::sync::mpsc;
use std::thread;

use super::input::{Fact, Input};
use super::run::or_abort;
use crate::task::Task;

/// Writes `result.json` of an ended task.
pub type WriteResult = Box<dyn Fn(&Task) -> std::io::Result<()> + Send>;

#[derive(Debug)]
pub(super) struct Results(mpsc::Sender<Task>);

impl Results {
    pub fn start(write: WriteResult, inbox: mpsc::Sender<Input>) -> std::io::Result<Self> {
        let (sender, tasks) = mpsc::channel::<Task>();
        let run = move || {
            for task in tasks {
                // The store is the truth; the file is a copy for people, so the task ends all the same.
                if let Err(error) = write(&task) {
                    tracing::warn!(task_id = %task.id(), %error, "result.json could not be written");
                }
                if inbox.send(Input::Fact(Fact::ResultWritten { id: task.id().clone() })).is_err() {
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
