//! `events`: what happened to a task, in order, or what happens to all of them.

use std::io::{BufReader, Read};
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::Value;

use super::away::Away;
use super::client::{Client, ClientError};
use super::follow::{self, Told};
use super::{Common, Console, Exit, Output};

const PAUSE: Duration = Duration::from_millis(250);

/// Prints what happened to a task, oldest first, or what happens to all tasks, as it comes
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  execgo-runtime events --output text 7e0b6c1c-2d3a-4f55-9c1e-0a9d7a3f8a10
  execgo-runtime events --type failed,cancelled --since 0")]
pub struct Events {
    /// Id of the task; without it the events of all tasks, one a line, without an end
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    task_id: Option<String>,

    /// Of all tasks: those of this tenant
    #[arg(long, value_name = "NAME", conflicts_with = "task_id")]
    tenant: Option<String>,

    /// Of all events: those of these types
    #[arg(long = "type", value_name = "TYPE,…", value_delimiter = ',', conflicts_with = "task_id")]
    types: Vec<String>,

    /// Begin behind the event with this number, 0: with the oldest that there is; without it with what comes next
    #[arg(long, value_name = "SEQ", conflicts_with = "task_id")]
    since: Option<u64>,

    #[command(flatten)]
    common: Common,
}

impl Events {
    /// # Errors
    /// Refused or unreachable.
    pub fn run(&self, console: &mut Console) -> anyhow::Result<Exit> {
        let client = self.common.client()?;
        let Some(task_id) = &self.task_id else { return self.follow(&client, console) };
        let reply = client.events(task_id)?;
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

    /// Until nobody reads any more. A server that restarts meanwhile loses nothing.
    fn follow(&self, client: &Client, console: &mut Console) -> anyhow::Result<Exit> {
        let mut query: Vec<_> = self.tenant.iter().map(|tenant| ("tenant", tenant.clone())).collect();
        if !self.types.is_empty() {
            query.push(("event_type", self.types.join(",")));
        }
        let mut last_id = self.since.map(|seq| seq.to_string());
        let mut away = Away::with_pause(PAUSE);
        loop {
            let why = match client.feed(&query, last_id.as_deref()) {
                Ok(body) => match self.show(body, &mut last_id, &mut away, console)? {
                    None => return Ok(Exit::Success),
                    Some(why) => why,
                },
                Err(error) if error.may_pass() && last_id.is_some() => error.to_string(),
                Err(error) => return Err(ClientError::into(error)),
            };
            if !away.bear(&why, console) {
                anyhow::bail!(why);
            }
        }
    }

    /// Shows one answer to its end; why it was broken off, or `None` when nobody reads any more.
    fn show(
        &self,
        body: impl Read,
        last_id: &mut Option<String>,
        away: &mut Away,
        console: &mut Console,
    ) -> anyhow::Result<Option<String>> {
        let mut events = follow::Events { lines: BufReader::new(body), last_id };
        loop {
            let event = match events.next() {
                Ok(Some(Told::Event(event))) => event,
                Ok(Some(_)) => continue,
                Ok(None) => return Ok(Some("the server ended the stream".to_owned())),
                Err(error) => return Ok(Some(error.to_string())),
            };
            away.is_back();
            let line = match self.common.output {
                Output::Json => format!("{event}\n"),
                Output::Text => format!("{} {}\n", event["task_id"].as_str().unwrap_or_default(), line(&event)),
            };
            if !console.write(line.as_bytes())? {
                return Ok(None);
            }
        }
    }
}

fn line(event: &Value) -> String {
    let text = |name: &str| event[name].as_str().unwrap_or_default();
    let line = format!("{} {} {} {}", event["seq"], text("timestamp"), text("event_type"), text("message"));
    line.trim_end().to_owned()
}
