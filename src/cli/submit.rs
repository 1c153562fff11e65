//! `submit`: hands a task over and says its id.

use clap::Args;

use super::once::Once;
use super::submission::Submission;
use super::{Common, Console, Exit, Output};

const USAGE: &str = "execgo-runtime submit [OPTIONS] <--json <JSON> | --file <FILE> | -- <PROG> [ARGS]...>";

const EXAMPLES: &str = r#"Examples:
  execgo-runtime submit -- sleep 60
  execgo-runtime submit --stdin words.txt -- sort -u
  execgo-runtime submit --memory-bytes 268435456 --env LANG=C -- sort -u big.txt
  execgo-runtime submit --json '{"execution":{"kind":"script","script":"echo hello"}}'
  generate-request | execgo-runtime submit --file -"#;

/// Submits a task and returns at once; the answer means that the task is durably stored and queued
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, override_usage = USAGE)]
pub struct Submit {
    #[command(flatten)]
    submission: Submission,
    #[command(flatten)]
    once: Once,
    #[command(flatten)]
    common: Common,
}

impl Submit {
    /// # Errors
    /// No request, refused, or unreachable.
    pub fn run(&self, console: &mut Console) -> anyhow::Result<Exit> {
        let client = self.common.client()?;
        let body = self.submission.body(&client)?;
        let reply = self.once.send(console, |key| client.submit(&body, key))?;
        match self.common.output {
            Output::Json => console.print_line(&reply.text)?,
            Output::Text => console.print_line(reply.json["task_id"].as_str().unwrap_or_default())?,
        }
        Ok(Exit::Success)
    }
}
