//! `kill`: asks the server to cancel a task, or all that a filter names.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Map, Value};

use super::list::Filter;
use super::{Common, Console, Exit, Output, status};
use crate::task::KillSignal;

const HELP: &str = "Examples:
  execgo-runtime kill --owner alice 7e0b6c1c-2d3a-4f55-9c1e-0a9d7a3f8a10
  execgo-runtime kill --signal INT --grace 30s 7e0b6c1c-2d3a-4f55-9c1e-0a9d7a3f8a10
  execgo-runtime kill --status accepted --label team=blue";

/// What is given in the place of an id.
const FILTER: [&str; 8] = ["status", "all", "tenant", "labels", "kind", "created_after", "created_before", "text"];

/// Cancels a task, or all of a filter: one that waits never starts, one that runs gets a signal and later SIGKILL
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct Kill {
    /// Id of the task
    #[arg(value_parser = NonEmptyStringValueParser::new(), required_unless_present_any = FILTER)]
    #[arg(conflicts_with_all = FILTER)]
    task_id: Option<String>,

    /// In the place of an id: tasks that stand there, accepted or running
    #[arg(long)]
    status: Option<String>,

    #[command(flatten)]
    filter: Filter,

    /// In the place of an id: every task that has not ended
    #[arg(long)]
    all: bool,

    /// Name of the task's owner, if it was submitted with one; of a filter's tasks those of other owners are left alone
    #[arg(long, value_name = "NAME", env = "EXECGO_RUNTIME_OWNER")]
    owner: Option<String>,

    /// What the task gets first, by name or number: HUP, INT, QUIT, ABRT, USR1, USR2, TERM, or KILL, which ends it at once; default: TERM
    #[arg(long, value_name = "SIGNAL", value_parser = signal, requires = "task_id")]
    signal: Option<KillSignal>,

    /// Time until SIGKILL, such as 30s; default: the server's. One that runs already can only become shorter
    #[arg(long, value_name = "TIME", requires = "task_id")]
    grace: Option<humantime::Duration>,

    #[command(flatten)]
    common: Common,
}

impl Kill {
    /// # Errors
    /// Refused or unreachable.
    pub fn run(&self, console: &mut Console) -> anyhow::Result<Exit> {
        let (client, owner) = (self.common.client()?, self.owner.as_deref());
        if let Some(task_id) = &self.task_id {
            status::show(&client.kill(task_id, owner, self.how().as_ref())?, self.common.output, console)?;
            return Ok(Exit::Success);
        }
        let reply = client.kill_many(&self.fields().into(), owner)?;
        match self.common.output {
            Output::Json => console.print_line(&reply.text)?,
            Output::Text => {
                for id in reply.json["killed"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                    console.print_line(id)?;
                }
            }
        }
        Ok(Exit::Success)
    }

    fn fields(&self) -> Map<String, Value> {
        let mut fields = self.filter.fields();
        fields.extend(self.status.as_deref().map(|status| ("status".to_owned(), status.into())));
        fields.extend(self.all.then(|| ("all".to_owned(), true.into())));
        fields
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
