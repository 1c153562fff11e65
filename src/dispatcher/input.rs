//! Everything that can reach the dispatcher.

use tokio::sync::oneshot;

use super::handle::{KillError, Resources, SubmitError, Unavailable};
use crate::launcher::protocol::Report;
use crate::task::{NewTask, Task, TaskId, Timestamp};

type Reply<T> = oneshot::Sender<T>;

#[derive(Debug)]
pub(super) enum Input {
    Submit {
        new: NewTask,
        reply: Reply<Result<Task, SubmitError>>,
    },
    Kill {
        id: TaskId,
        owner: Option<String>,
        reply: Reply<Result<Task, KillError>>,
    },
    Resources {
        reply: Reply<Resources>,
    },
    Check {
        reply: Reply<Result<(), Unavailable>>,
    },
    /// From a shim or from the launcher.
    Report(Report),
    /// The launcher process is gone.
    LauncherDied,
    /// The files of an ended task are on the disk; its end may be committed.
    ResultWritten {
        id: TaskId,
    },
    /// Tasks that ended before this may be forgotten.
    Forget {
        before: Timestamp,
        reply: Reply<Vec<TaskId>>,
    },
    /// Start nothing any more; reply when everything decided is committed.
    Drain {
        reply: Reply<()>,
    },
}
