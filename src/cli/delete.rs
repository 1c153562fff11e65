//! `delete`: makes the server forget a task that has ended.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::{At, Console, Exit};

/// Deletes a task that has ended, with its events and files
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  execgo-runtime delete 7e0b6c1c-2d3a-4f55-9c1e-0a9d7a3f8a10")]
pub struct Delete {
    /// Id of the task
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    task_id: String,

    /// Name of the task's owner, if it was submitted with one
    #[arg(long, value_name = "NAME", env = "EXECGO_RUNTIME_OWNER")]
    owner: Option<String>,

    #[command(flatten)]
    at: At,
}

impl Delete {
    /// # Errors
    /// Refused or unreachable.
    pub fn run(&self, _console: &mut Console) -> anyhow::Result<Exit> {
        self.at.client()?.delete(&self.task_id, self.owner.as_deref())?;
        Ok(Exit::Success)
    }
}
