//! Everything that can reach the dispatcher.

use tokio::sync::oneshot;

use super::handle::{DeleteError, Kill, KillError, Once, Resources, Submission, SubmitError, Unavailable, Waiting};
use crate::launcher::protocol::Report;
use crate::store::{Attempt, Ended};
use crate::task::state::{LaunchId, Running};
use crate::task::{NewTask, Task, TaskId, Timestamp};

type Reply<T> = oneshot::Sender<T>;

#[derive(Debug)]
pub(super) enum Input {
    /// `request` is what is kept as `request.json`.
    Submit {
        new: Box<NewTask>,
        request: Vec<u8>,
        reply: Reply<Result<Task, SubmitError>>,
    },
    /// In order, each with its own answer. Atomic: the first that is refused is told why, the others hear nothing, and
    /// nothing is stored. A request that was there before is told so, and they hear nothing either.
    SubmitBatch {
        submissions: Vec<(Submission, Reply<Result<Task, SubmitError>>)>,
        atomic: bool,
        once: Option<Once>,
    },
    Kill {
        kill: Kill,
        reply: Reply<Result<Task, KillError>>,
    },
    Fact(Fact),
    Question(Question),
    LauncherDied {
        instance: String,
    },
}

impl Input {
    /// How much work it is, beside that of one task.
    pub fn weight(&self) -> usize {
        match self {
            Self::SubmitBatch { submissions, .. } => submissions.len(),
            Self::Submit { .. } | Self::Kill { .. } | Self::Fact(_) | Self::Question(_) | Self::LauncherDied { .. } => {
                1
            }
        }
    }
}

/// Something that has happened. It cannot be refused: when it cannot be committed it is tried again.
#[derive(Clone, Debug)]
pub(super) enum Fact {
    /// From a shim or from the launcher.
    Report(Report),
    /// A shim of an earlier server or launcher was found alive with its command.
    Adopted { id: TaskId, running: Running },
    /// The launch left no trace: the command never ran.
    NeverStarted { id: TaskId, launch_id: LaunchId },
    /// The files of an ended task are on the disk; its end may be committed.
    ResultWritten { id: TaskId },
}

/// Answered after the turn, from what is committed.
#[derive(Debug)]
pub(super) enum Question {
    Resources {
        reply: Reply<Resources>,
    },
    Check {
        reply: Reply<Result<(), Unavailable>>,
    },
    /// Forget tasks that ended before this, and the oldest of what is too much; the answer is how many.
    Forget {
        before: Timestamp,
        reply: Reply<usize>,
    },
    /// Name some tasks that have ended and were not measured yet, if that matters.
    Unmeasured {
        reply: Reply<Vec<Ended>>,
    },
    /// Note what their directories occupy.
    Measured {
        sizes: Vec<(Ended, u64)>,
        reply: Reply<Result<(), Unavailable>>,
    },
    /// Note what came of telling events.
    Attempts {
        attempts: Vec<Attempt>,
        reply: Reply<Result<(), Unavailable>>,
    },
    /// Forget this task, if it has ended.
    Delete {
        id: TaskId,
        owner: Option<String>,
        reply: Reply<Result<(), DeleteError>>,
    },
    /// Start nothing and accept nothing any more; answered when no task waits that is not to.
    Drain {
        waiting: Waiting,
        reply: Reply<()>,
    },
}
