//! `status`: how a task is now.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use serde_json::Value;

use super::client::Reply;
use super::follow::{self, Followed, Told};
use super::wait::Patience;
use super::{Common, Console, Exit, Output, summary};

/// Prints the status of a task as it is now
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  execgo-runtime status --output text 7e0b6c1c-2d3a-4f55-9c1e-0a9d7a3f8a10")]
pub struct StatusOf {
    /// Id of the task
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    task_id: String,

    /// Prints it, without what is large, at each change, and ends when the task has ended
    #[arg(long)]
    watch: bool,

    /// Prints the request of the task instead, as it was accepted
    #[arg(long, conflicts_with_all = ["output", "watch"])]
    request: bool,

    #[command(flatten)]
    common: Common,
}

impl StatusOf {
    /// # Errors
    /// Refused or unreachable.
    pub fn run(&self, console: &mut Console) -> anyhow::Result<Exit> {
        let client = self.common.client()?;
        if self.request {
            console.print_line(&client.request(&self.task_id)?.text)?;
            return Ok(Exit::Success);
        }
        if self.watch {
            let watched =
                follow::each(&client, &self.task_id, Patience::ENDLESS, console, |told, console| match told {
                    Told::Status(row) => self.show_row(row, console),
                    Told::Stdout(_) | Told::Stderr(_) | Told::Event(_) | Told::End => Ok(()),
                })?;
            if !matches!(watched, Followed::Unknown) {
                return Ok(Exit::Success);
            }
        }
        // Without streams, or without the task: the answer says which.
        show(&client.task(&self.task_id, None)?, self.common.output, console)?;
        Ok(Exit::Success)
    }

    fn show_row(&self, row: &Value, console: &mut Console) -> anyhow::Result<()> {
        match self.common.output {
            Output::Json => console.print_line(&row.to_string()),
            Output::Text => console.print_line(&summary::of(row)),
        }
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
