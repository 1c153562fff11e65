//! A task's stream of server-sent events, read to its end over restarts of the server.

use std::io::{BufRead, BufReader, Read};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::Console;
use super::away::Away;
use super::client::{Client, ClientError};
use super::wait::Patience;

/// What a stream tells, as far as it is shown.
#[derive(Debug, PartialEq)]
pub enum Told {
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
    /// What happened.
    Event(Value),
    /// The status, without what is large.
    Status(Value),
    End,
}

/// How it ended.
#[derive(Debug)]
pub enum Followed {
    /// With the last status.
    Ended(Value),
    /// With the status last seen, if any.
    TimedOut(Option<Value>),
    /// This server knows no streams.
    Unknown,
}

/// Follows the task to its end, showing its output as it comes.
///
/// # Errors
/// Refused, unreachable for too long, or the output cannot be written.
pub fn until_end(
    client: &Client,
    task_id: &str,
    patience: Patience,
    console: &mut Console,
) -> anyhow::Result<Followed> {
    each(client, task_id, patience, console, |told, console| {
        match told {
            // A reader that went away is no reason to let go of the task.
            Told::Stdout(bytes) => drop(console.write(bytes)?),
            Told::Stderr(bytes) => console.note_bytes(bytes),
            Told::Event(_) | Told::Status(_) | Told::End => {}
        }
        Ok(())
    })
}

/// Follows the task to its end, showing what is told as it comes.
///
/// # Errors
/// Refused, unreachable for too long, or as `show`.
pub fn each(
    client: &Client,
    task_id: &str,
    patience: Patience,
    console: &mut Console,
    mut show: impl FnMut(&Told, &mut Console) -> anyhow::Result<()>,
) -> anyhow::Result<Followed> {
    let deadline = patience.timeout_ms.map(|ms| Instant::now() + Duration::from_millis(ms));
    let mut away = Away::with_pause(Duration::from_millis(patience.poll_interval_ms));
    let (mut last_id, mut status) = (None, None);
    loop {
        let within = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if within.is_some_and(|within| within.is_zero()) {
            return Ok(Followed::TimedOut(status));
        }
        let error = match client.stream(task_id, last_id.as_deref(), within) {
            Ok(body) => {
                let mut events = Events { lines: BufReader::new(body), last_id: &mut last_id };
                match answer(&mut events, console, &mut away, &mut status, &mut show)? {
                    None => return Ok(Followed::Ended(status.unwrap_or_default())),
                    Some(why) => why,
                }
            }
            Err(ClientError::Refused { status: 404, .. }) if last_id.is_none() => return Ok(Followed::Unknown),
            Err(error) if error.may_pass() => error.to_string(),
            Err(error) => return Err(error.into()),
        };
        let is_late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if !is_late && !away.bear(&error, console) {
            anyhow::bail!(error);
        }
    }
}

/// Shows one answer to its end: `None` when the task has ended, else why it was broken off.
fn answer(
    events: &mut Events<impl Read>,
    console: &mut Console,
    away: &mut Away,
    status: &mut Option<Value>,
    show: &mut impl FnMut(&Told, &mut Console) -> anyhow::Result<()>,
) -> anyhow::Result<Option<String>> {
    loop {
        let told = match events.next() {
            Ok(Some(told)) => told,
            Ok(None) => return Ok(Some("the server ended the stream before the task had ended".to_owned())),
            Err(error) => return Ok(Some(error.to_string())),
        };
        away.is_back();
        show(&told, console)?;
        match told {
            Told::Stdout(_) | Told::Stderr(_) | Told::Event(_) => {}
            Told::Status(row) => *status = Some(row),
            Told::End => return Ok(None),
        }
    }
}

/// The events of one answer.
pub struct Events<'a, R> {
    pub lines: BufReader<R>,
    /// Of what was told last.
    pub last_id: &'a mut Option<String>,
}

impl<R: Read> Events<'_, R> {
    /// The next one that is known here; `None` at the end of the answer.
    pub fn next(&mut self) -> std::io::Result<Option<Told>> {
        let (mut name, mut id, mut data) = (String::new(), None, String::new());
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line)? == 0 {
                // Half an event is none.
                return Ok(None);
            }
            let line = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() {
                let told = told(&name, &data);
                if id.is_some() {
                    *self.last_id = id.take();
                }
                (name, data) = (String::new(), String::new());
                if told.is_some() {
                    return Ok(told);
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut name),
                "id" => id = Some(value.to_owned()),
                "data" => data += value,
                // A comment, or what this client does not know.
                _ => {}
            }
        }
    }
}

fn told(name: &str, data: &str) -> Option<Told> {
    let data: Value = serde_json::from_str(data).ok()?;
    match name {
        "output" => {
            let text = data["data"].as_str()?;
            let bytes = if data["encoding"] == "base64" { STANDARD.decode(text).ok()? } else { text.into() };
            Some(if data["stream"] == "stderr" { Told::Stderr(bytes) } else { Told::Stdout(bytes) })
        }
        "event" => Some(Told::Event(data)),
        "status" => Some(Told::Status(data)),
        "end" => Some(Told::End),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_as_the_standard_has_them_and_half_of_one_is_none() {
        let text = ": hello\n\nevent: output\r\nid: 1\r\ndata: {\"stream\":\"stderr\",\"data\":\"aMOp\",\"encoding\":\"base64\"}\r\n\r\n\
                    event: event\nid: 2\ndata: {\"seq\":1}\n\nevent:end\nid:3\ndata:{}\n\nevent: end\nid: 4\ndata: {}\n";
        let mut last_id = None;
        let mut events = Events { lines: BufReader::new(text.as_bytes()), last_id: &mut last_id };
        assert_eq!(events.next().expect("readable"), Some(Told::Stderr("hé".into())));
        assert_eq!(events.last_id.as_deref(), Some("1"));
        assert_eq!(events.next().expect("readable"), Some(Told::Event(serde_json::json!({"seq": 1}))));
        assert_eq!(events.next().expect("readable"), Some(Told::End));
        assert_eq!(events.next().expect("readable"), None);
        assert_eq!(last_id.as_deref(), Some("3"), "what was not whole comes again");
    }
}
