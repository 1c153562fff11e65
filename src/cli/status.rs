//! `status`: how a task is now.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::client::Reply;
use super::{Common, Console, Exit, Output, summary};

/// Prints the status of a task as it is now
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  execgo-runtime status --output text 7e0b6c1c-2d3a-4f55-9c1e-0a9d7a3f8a10")]
pub struct StatusOf {
    /// Id of the task
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    task_id: String,
    #[command(flatten)]
    common: Common,
}

impl StatusOf {
    /// # Errors
    /// Refused or unreachable.
    pub fn run(&self, console: &mut Console) -> anyhow::Result<Exit> {
        show(&self.common.client()?.task(&self.task_id, None)?, self.common.output, console)?;
        Ok(Exit::Success)
    }
}

/// Prints a status answer.
///
/// # Errors
/// When it cannot be written.
pub fn show(reply: &Reply, output: Output, console: &mut Console) -> anyhow::Result<()> {
    match output {
        Output::Json => console.print_line(&reply.text),
        Output::Text => console.print(&summary::of(&reply.json)),
    }
}
