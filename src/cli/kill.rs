//! `kill`: asks the server to cancel a task.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::{Common, Console, Exit, status};

/// Cancels a task: one that waits never starts, one that runs gets SIGTERM and later SIGKILL
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  execgo-runtime kill --owner alice 7e0b6c1c-2d3a-4f55-9c1e-0a9d7a3f8a10")]
pub struct Kill {
    /// Id of the task
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    task_id: String,

    /// Name of the task's owner, if it was submitted with one
    #[arg(long, value_name = "NAME", env = "EXECGO_RUNTIME_OWNER")]
    owner: Option<String>,

    #[command(flatten)]
    common: Common,
}

impl Kill {
    /// # Errors
    /// Refused or unreachable.
    pub fn run(&self, console: &mut Console) -> anyhow::Result<Exit> {
        let reply = self.common.client()?.kill(&self.task_id, self.owner.as_deref())?;
        status::show(&reply, self.common.output, console)?;
        Ok(Exit::Success)
    }
}
