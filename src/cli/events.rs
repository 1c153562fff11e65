//! `events`: what happened to a task, in order.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::Value;

use super::{Common, Console, Exit, Output};

/// Prints what happened to a task, oldest first
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  execgo-runtime events --output text 7e0b6c1c-2d3a-4f55-9c1e-0a9d7a3f8a10")]
pub struct Events {
    /// Id of the task
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    task_id: String,
    #[command(flatten)]
    common: Common,
}

impl Events {
    /// # Errors
    /// Refused or unreachable.
    pub fn run(&self, console: &mut Console) -> anyhow::Result<Exit> {
        let reply = self.common.client()?.events(&self.task_id)?;
        match self.common.output {
            Output::Json => console.print_line(&reply.text)?,
            Output::Text => {
                for event in reply.json.as_array().into_iter().flatten() {
                    console.print_line(&line(event))?;
                }
            }
        }
        Ok(Exit::Success)
    }
}

fn line(event: &Value) -> String {
    let text = |name: &str| event[name].as_str().unwrap_or_default();
    let line = format!("{} {} {} {}", event["seq"], text("timestamp"), text("event_type"), text("message"));
    line.trim_end().to_owned()
}
