//! `wait`: until a task has ended. The server holds the question (`wait_ms`); the pause between questions matters only
//! for a server that does not know that, or that is away for a moment.

use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::client::{Client, ClientError, MAX_WAIT_MS, Reply};
use super::{Common, Console, Exit, status, summary};

/// One question at most; shorter than what middle boxes let a silent connection live.
const CHUNK_MS: u64 = 60_000;
const _: () = assert!(CHUNK_MS <= MAX_WAIT_MS);

/// Without a timeout, a server that is away longer than this is not coming back.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);

/// Waits until a task has ended and prints its status; the exit code tells how it ended
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  execgo-runtime wait --timeout-ms 60000 7e0b6c1c-2d3a-4f55-9c1e-0a9d7a3f8a10")]
pub struct Wait {
    /// Id of the task
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    task_id: String,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    common: Common,
}

/// How long to wait and how often to ask again.
#[derive(Args, Clone, Copy, Debug)]
pub struct Patience {
    /// Stop waiting after so long (exit code 3); a server that restarts meanwhile does not end the wait. Without it:
    /// wait as long as it takes, but give up when the server is away for a minute
    #[arg(long, value_name = "MS")]
    pub timeout_ms: Option<u64>,

    /// Pause between two questions when the server cannot hold one or is away
    #[arg(long, value_name = "MS", default_value_t = 250, value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    pub poll_interval_ms: u64,
}

impl Patience {
    /// As long as it takes.
    pub const ENDLESS: Self = Self { timeout_ms: None, poll_interval_ms: 250 };
}

/// How a wait ended.
#[derive(Debug)]
pub enum Waited {
    Ended(Reply, Exit),
    /// With the status last seen.
    TimedOut(Reply),
}

impl Wait {
    /// # Errors
    /// Refused or unreachable.
    pub fn run(&self, console: &mut Console) -> anyhow::Result<Exit> {
        match until_ended(&self.common.client()?, &self.task_id, self.patience, console)? {
            Waited::Ended(reply, exit) => {
                status::show(&reply, self.common.output, console)?;
                Ok(exit)
            }
            Waited::TimedOut(reply) => {
                status::show(&reply, self.common.output, console)?;
                Ok(timed_out(&reply, console))
            }
        }
    }
}

/// Says on standard error that the task is not finished.
pub fn timed_out(last: &Reply, console: &mut Console) -> Exit {
    let part = |name: &str| last.json[name].as_str().unwrap_or_default().to_owned();
    console.error(format_args!("timed out: task {} is still {}", part("task_id"), part("status")));
    Exit::TimedOut
}

/// Asks until the task has ended or the patience has.
///
/// # Errors
/// Refused, or unreachable for too long.
pub fn until_ended(
    client: &Client,
    task_id: &str,
    patience: Patience,
    console: &mut Console,
) -> Result<Waited, ClientError> {
    let timeout = patience.timeout_ms.map(Duration::from_millis);
    let began = Instant::now();
    let left = || timeout.map(|timeout| timeout.saturating_sub(began.elapsed()));
    let mut last = None;
    let mut away_since = None;
    loop {
        let wait_ms = chunk(left());
        let asked = Instant::now();
        let answer = client.task(task_id, Some(wait_ms));
        let held = asked.elapsed() >= Duration::from_millis(wait_ms);
        match answer {
            Ok(reply) => {
                if let Some(exit) = summary::verdict(&reply.json) {
                    return Ok(Waited::Ended(reply, exit));
                }
                last = Some(reply);
                away_since = None;
            }
            Err(error) if error.may_pass() => {
                if away_since.is_none() {
                    console.note(&format!("waiting: {error}\n"));
                }
                let away = away_since.get_or_insert(asked).elapsed();
                let spent = left().map_or(away >= GIVE_UP_AFTER, |left| left.is_zero() && last.is_none());
                if spent {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
        if left().is_some_and(|left| left.is_zero())
            && let Some(reply) = last
        {
            return Ok(Waited::TimedOut(reply));
        }
        if !held || away_since.is_some() {
            let pause = Duration::from_millis(patience.poll_interval_ms);
            thread::sleep(left().map_or(pause, |left| left.min(pause)));
        }
    }
}

/// How long the server may hold the next question.
fn chunk(left: Option<Duration>) -> u64 {
    let left = left.map_or(CHUNK_MS, |left| u64::try_from(left.as_millis()).unwrap_or(CHUNK_MS));
    left.min(CHUNK_MS)
}
