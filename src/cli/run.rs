//! `run`: submit, follow, and end as the task does.

use anyhow::Context;
use clap::Args;
use serde_json::Value;

use super::client::{Client, Reply};
use super::follow::{self, Followed};
use super::once::Once;
use super::submission::Submission;
use super::wait::{self, Patience, Waited};
use super::{At, Console, Exit, Output, interrupt, summary};

const USAGE: &str = "execgo-runtime run [OPTIONS] <--json <JSON> | --file <FILE> | -- <PROG> [ARGS]...>";

const EXAMPLES: &str = "Examples:
  execgo-runtime run -- echo hello
  execgo-runtime run --output text --wall-time-ms 5000 -- make test
  execgo-runtime run --timeout-ms 60000 --file request.json
  execgo-runtime run --input src/main.c=main.c -- cc -o main src/main.c
  generate | execgo-runtime run --stdin - -- sort

As text, the task's own output comes as it is written, to standard output and standard error, and why
it did not succeed, to standard error, at its end. Ctrl-C kills the task and waits for its end; a second
one ends this program.";

/// Submits a task and follows it to its end; the exit code tells how it ended
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, override_usage = USAGE)]
pub struct Run {
    #[command(flatten)]
    submission: Submission,
    #[command(flatten)]
    once: Once,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    at: At,

    /// json: the final status as it came; text: the task's output as it comes. Text where standard output is a
    /// terminal, else json
    #[arg(long, value_enum)]
    output: Option<Output>,
}

impl Run {
    /// # Errors
    /// No request, refused, or unreachable.
    pub fn run(&self, console: &mut Console) -> anyhow::Result<Exit> {
        let client = self.at.client()?;
        let body = self.submission.body(&client)?;
        let accepted = self.once.send(console, |key| client.submit(&body, key))?;
        let task_id = accepted.json["task_id"].as_str().context("the server's answer has no task_id")?;
        interrupt::kills(self.at.client()?, task_id.to_owned(), owner(&body)).context("cannot take signals")?;
        let output = self.output.unwrap_or(if console.is_for_people() { Output::Text } else { Output::Json });
        let done = match output {
            Output::Text => self.live(&client, task_id, console),
            Output::Json => self.waiting(&client, task_id, output, console),
        };
        done.with_context(|| format!("task {task_id} was submitted, but how it ended is not known"))
    }

    /// The output as it comes.
    fn live(&self, client: &Client, task_id: &str, console: &mut Console) -> anyhow::Result<Exit> {
        match follow::until_end(client, task_id, self.patience, console)? {
            Followed::Ended(status) => {
                let exit = summary::verdict(&status).context("the server told the end of a task that has not ended")?;
                if exit != Exit::Success {
                    console.note(&end_of(&status));
                }
                Ok(exit)
            }
            Followed::TimedOut(status) => {
                let status = status.unwrap_or_default();
                console.error(format_args!(
                    "timed out: task {task_id} is still {}",
                    status["status"].as_str().unwrap_or("accepted")
                ));
                Ok(Exit::TimedOut)
            }
            Followed::Unknown => self.waiting(client, task_id, Output::Text, console),
        }
    }

    /// All at the end.
    fn waiting(&self, client: &Client, task_id: &str, output: Output, console: &mut Console) -> anyhow::Result<Exit> {
        match wait::until_ended(client, task_id, self.patience, console)? {
            Waited::Ended(reply, exit) => {
                show(&reply, output, console)?;
                Ok(exit)
            }
            Waited::TimedOut(reply) => {
                show(&reply, output, console)?;
                Ok(wait::timed_out(&reply, console))
            }
        }
    }
}

/// Whom a kill must name.
fn owner(body: &str) -> Option<String> {
    let request: Value = serde_json::from_str(body).ok()?;
    request.pointer("/control_context/owner")?.as_str().map(str::to_owned)
}

/// Why the task did not succeed, on one line.
fn end_of(status: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (task_id, status_name, error) = (text(&status["task_id"]), text(&status["status"]), &status["error"]);
    format!("task {task_id} {status_name}: {}: {}\n", text(&error["code"]), text(&error["message"]))
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
