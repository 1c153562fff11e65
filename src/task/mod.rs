//! What a task is: its id, its valid specification, its plan, and the one state machine that moves it.
//! This room imports nothing of ours, performs nothing and knows no storage, no wire format and no process.

pub mod blob;
pub mod callback;
pub mod event;
pub mod exit;
pub mod id;
pub mod kill;
pub mod outcome;
pub mod paths;
pub mod plan;
pub mod reservation;
pub mod run_as;
pub mod schedule;
pub mod spec;
pub mod state;
#[cfg(test)]
pub mod testing;
pub mod timestamp;
pub mod validate;

pub use callback::{Callback, CallbackEvent, DraftCallback};
pub use event::{Event, EventType};
pub use exit::{Exit, ExitStatus, Usage};
pub use id::TaskId;
pub use kill::{KillOrder, KillSignal};
pub use outcome::{Ended, Outcome, TaskError, TaskErrorCode};
pub use paths::TaskPaths;
pub use plan::{ExecutionPlan, Means, ResourceEnforcement, SandboxLayers};
pub use reservation::Reservation;
pub use run_as::RunAs;
#[cfg(test)]
pub use spec::Draft;
pub use spec::{CapabilityMode, Defaults, InvalidField, TaskSpec};
pub use state::{NewTask, State, Status, Task, Transition};
pub use timestamp::Timestamp;
