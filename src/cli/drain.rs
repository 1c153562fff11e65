//! `drain`: lets the server accept and start nothing any more.

use clap::{Args, ValueEnum};

use super::{Common, Console, Exit, Output};

const HELP: &str = "The server answers everything else until it is stopped; running tasks go on, also behind its end.

Examples:
  execgo-runtime drain
  execgo-runtime drain --waiting cancel";

/// Lets the server accept and start no task any more
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct Drain {
    /// What becomes of tasks that wait: kept for the next server, or cancelled
    #[arg(long, value_enum, default_value_t = Waiting::Keep)]
    waiting: Waiting,

    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Waiting {
    Keep,
    Cancel,
}

impl Drain {
    /// # Errors
    /// Refused or unreachable.
    pub fn run(&self, console: &mut Console) -> anyhow::Result<Exit> {
        let waiting = match self.waiting {
            Waiting::Keep => "keep",
            Waiting::Cancel => "cancel",
        };
        let reply = self.common.client()?.drain(waiting)?;
        match self.common.output {
            Output::Json => console.print_line(&reply.text)?,
            Output::Text => {
                let text = |name: &str| reply.json[name].as_str().unwrap_or_default().to_owned();
                console.print_line(&format!("runtime    {}", text("runtime_id")))?;
                console.print_line(&format!("draining   {}", reply.json["draining"]))?;
            }
        }
        Ok(Exit::Success)
    }
}
