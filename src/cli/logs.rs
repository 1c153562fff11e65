//! `logs`: what a task has written, byte by byte, and what it writes.

use std::io::{self, Read};
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::away::Away;
use super::client::{ClientError, OutputWanted};
use super::{At, Console, Exit};

const BUFFER_BYTES: usize = 64 * 1024;
const PAUSE: Duration = Duration::from_millis(250);

/// Prints what a task has written to its standard output
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  execgo-runtime logs -f --tail 10 7e0b6c1c-2d3a-4f55-9c1e-0a9d7a3f8a10")]
pub struct Logs {
    /// Id of the task
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    task_id: String,

    /// Go on as the task writes, until it has ended; a server that restarts meanwhile loses nothing
    #[arg(long, short)]
    follow: bool,

    /// Standard error instead
    #[arg(long)]
    stderr: bool,

    /// Begin with the last lines, so many of them
    #[arg(long, value_name = "N")]
    tail: Option<u64>,

    #[command(flatten)]
    at: At,
}

/// How the copy of an answer ended.
enum Copied {
    All,
    /// Nobody reads us any more.
    Unread,
    Broken(io::Error),
}

impl Logs {
    /// # Errors
    /// Refused or unreachable.
    pub fn run(&self, console: &mut Console) -> anyhow::Result<Exit> {
        let client = self.at.client()?;
        let mut away = Away::with_pause(PAUSE);
        // Once known: where to go on.
        let mut offset = None;
        loop {
            let tail = self.tail.filter(|_| offset.is_none());
            let wanted = OutputWanted { stderr: self.stderr, tail, follow: self.follow, from: offset };
            let mut answer = match client.output(&self.task_id, &wanted) {
                Ok(answer) => answer,
                // It has ended meanwhile, and nothing more was written.
                Err(ClientError::Refused { status: 416, .. }) if offset.is_some() => return Ok(Exit::Success),
                Err(error) if offset.is_some() && error.may_pass() && away.bear(&error, console) => continue,
                Err(error) => return Err(error.into()),
            };
            let mut at = offset.or(answer.offset).or(self.tail.is_none().then_some(0));
            let before = at;
            let copied = copy(&mut answer.body, console, &mut at)?;
            if at != before {
                away.is_back();
            }
            match copied {
                Copied::All | Copied::Unread => return Ok(Exit::Success),
                Copied::Broken(error) => {
                    offset = at;
                    if !self.follow || offset.is_none() || !away.bear(&error, console) {
                        return Err(anyhow::Error::from(error).context("the output was broken off"));
                    }
                }
            }
        }
    }
}

fn copy(body: &mut impl Read, console: &mut Console, at: &mut Option<u64>) -> anyhow::Result<Copied> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match body.read(&mut buffer) {
            Ok(0) => return Ok(Copied::All),
            Ok(length) => {
                if !console.write(&buffer[..length])? {
                    return Ok(Copied::Unread);
                }
                *at = at.map(|at| at + length as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Ok(Copied::Broken(error)),
        }
    }
}
