//! `run`: submit, wait, show the end.

use anyhow::Context;
use clap::Args;

use super::client::Reply;
use super::submission::Submission;
use super::wait::{self, Patience, Waited};
use super::{Common, Console, Exit, Output, summary};

const USAGE: &str = "execgo-runtime run [OPTIONS] <--json <JSON> | --file <FILE> | -- <PROG> [ARGS]...>";

const EXAMPLES: &str = "Examples:
  execgo-runtime run -- echo hello
  execgo-runtime run --output text --wall-time-ms 5000 -- make test
  execgo-runtime run --timeout-ms 60000 --file request.json

With --output text the task's own output goes to standard output and standard error, a summary of
the task to standard error before it.";

/// Submits a task, waits until it has ended and prints its status; the exit code tells how it ended
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, override_usage = USAGE)]
pub struct Run {
    #[command(flatten)]
    submission: Submission,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    common: Common,
}

impl Run {
    /// # Errors
    /// No request, refused, or unreachable.
    pub fn run(&self, console: &mut Console) -> anyhow::Result<Exit> {
        let client = self.common.client()?;
        let accepted = client.submit(&self.submission.body()?)?;
        let task_id = accepted.json["task_id"].as_str().context("the server's answer has no task_id")?;
        let waited = wait::until_ended(&client, task_id, self.patience, console)
            .with_context(|| format!("task {task_id} was submitted, but how it ended is not known"))?;
        match waited {
            Waited::Ended(reply, exit) => {
                show(&reply, self.common.output, console)?;
                Ok(exit)
            }
            Waited::TimedOut(reply) => {
                show(&reply, self.common.output, console)?;
                Ok(wait::timed_out(&reply, console))
            }
        }
    }
}

/// As text, the task's standard output is ours: only what is not it goes to standard error.
fn show(reply: &Reply, output: Output, console: &mut Console) -> anyhow::Result<()> {
    if output == Output::Json {
        return console.print_line(&reply.text);
    }
    let status = &reply.json;
    console.note(&summary::of(status));
    console.print(status["stdout"].as_str().unwrap_or_default())?;
    console.note(status["stderr"].as_str().unwrap_or_default());
    for stream in ["stdout", "stderr"] {
        if status[format!("{stream}_truncated")] == true {
            let path = status["artifacts"][format!("{stream}_path")].as_str().unwrap_or("the task's directory");
            console.note(&format!("\n{stream} is cut off here; all of it is in {path}\n"));
        }
    }
    Ok(())
}
