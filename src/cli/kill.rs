//! `kill`: asks the server to cancel a task.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Map, Value};

use super::{Common, Console, Exit, status};
use crate::task::KillSignal;

const HELP: &str = "Examples:
  execgo-runtime kill --owner alice 7e0b6c1c-2d3a-4f55-9c1e-0a9d7a3f8a10
  execgo-runtime kill --signal INT --grace 30s 7e0b6c1c-2d3a-4f55-9c1e-0a9d7a3f8a10";

/// Cancels a task: one that waits never starts, one that runs gets a signal and later SIGKILL
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct Kill {
    /// Id of the task
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    task_id: String,

    /// Name of the task's owner, if it was submitted with one
    #[arg(long, value_name = "NAME", env = "EXECGO_RUNTIME_OWNER")]
    owner: Option<String>,

    /// What the task gets first, by name or number: HUP, INT, QUIT, ABRT, USR1, USR2, TERM, or KILL, which ends it at once; default: TERM
    #[arg(long, value_name = "SIGNAL", value_parser = signal)]
    signal: Option<KillSignal>,

    /// Time until SIGKILL, such as 30s; default: the server's. One that runs already can only become shorter
    #[arg(long, value_name = "TIME")]
    grace: Option<humantime::Duration>,

    #[command(flatten)]
    common: Common,
}

impl Kill {
    /// # Errors
    /// Refused or unreachable.
    pub fn run(&self, console: &mut Console) -> anyhow::Result<Exit> {
        let reply = self.common.client()?.kill(&self.task_id, self.owner.as_deref(), self.how().as_ref())?;
        status::show(&reply, self.common.output, console)?;
        Ok(Exit::Success)
    }

    fn how(&self) -> Option<Value> {
        let mut how = Map::new();
        how.extend(self.signal.map(|signal| ("signal".to_owned(), signal.as_str().into())));
        let grace_ms = self.grace.map(|grace| u64::try_from(grace.as_millis()).unwrap_or(u64::MAX));
        how.extend(grace_ms.map(|ms| ("grace_ms".to_owned(), ms.into())));
        (!how.is_empty()).then(|| how.into())
    }
}

/// As kill(1) takes it.
fn signal(word: &str) -> Result<KillSignal, String> {
    let name = word.to_ascii_uppercase();
    let is_meant = |signal: &KillSignal| {
        let full = signal.as_str();
        name == full || full.strip_prefix("SIG") == Some(&name) || word == signal.number().to_string()
    };
    let allowed = || KillSignal::ALL.map(KillSignal::as_str).join(", ");
    KillSignal::ALL.into_iter().find(is_meant).ok_or_else(|| format!("must be one of {}", allowed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_named_as_for_kill_1() {
        for word in ["SIGINT", "INT", "int", "SigInt", "2"] {
            assert_eq!(signal(word), Ok(KillSignal::Int), "{word}");
        }
        for word in ["", "SIG", "SIGSTOP", "19", "02", " INT"] {
            assert!(signal(word).is_err(), "{word}");
        }
    }
}
