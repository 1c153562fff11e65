//! `token`: makes a bearer token and its entry for the server's file.

use anyhow::anyhow;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Value, json};

use super::console::Console;
use super::{Exit, Output};
use crate::config::{Role, TokenHash};

const RANDOM_BYTES: usize = 32;
/// So that tools that look for lost secrets know ours.
const PREFIX: &str = "egr_";

const HELP: &str =
    "The token is shown once and kept nowhere; the file of the server holds its hash. Add the entry to the list
`tokens` of the file that access.tokens_file names; a running server takes it up within a second.

Examples:
  execgo-runtime token ci --role submit
  execgo-runtime token acme-agents --role submit --tenant acme --requests-per-second 50";

/// Makes a bearer token and its entry for the server's file of tokens
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct NewToken {
    /// Name of the token in the file and in the log
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    name: String,

    /// What it allows: to look; to submit and kill, too; everything
    #[arg(long, value_enum, default_value = "submit")]
    role: RoleName,

    /// Tenant whose tasks alone the token is for
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    tenant: Option<String>,

    /// How many requests a second are answered with this token
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    requests_per_second: Option<u32>,

    /// json: token and entry as JSON; text: for people
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum RoleName {
    Read,
    Submit,
    Admin,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Read => Self::Read,
            RoleName::Submit => Self::Submit,
            RoleName::Admin => Self::Admin,
        }
    }
}

impl NewToken {
    /// # Errors
    /// The system gives no random bytes.
    pub fn run(&self, console: &mut Console) -> anyhow::Result<Exit> {
        let mut bytes = [0; RANDOM_BYTES];
        getrandom::fill(&mut bytes).map_err(|error| anyhow!("no random bytes: {error}"))?;
        let token = format!("{PREFIX}{}", TokenHash(bytes).hex());
        let entry = self.entry(&token);
        match self.output {
            Output::Json => console.print(&format!("{:#}", json!({"token": token, "entry": entry})))?,
            // JSON is YAML, and in one line it is an item of a list.
            Output::Text => console.print(&format!("token: {token}\nentry: - {entry}"))?,
        }
        Ok(Exit::Success)
    }

    fn entry(&self, token: &str) -> Value {
        let Self { name, role, tenant, requests_per_second, output: _ } = self;
        let mut entry = json!({
            "name": name,
            "sha256": TokenHash::of(token.as_bytes()).hex(),
            "role": Role::from(*role).as_str(),
        });
        if let Some(tenant) = tenant {
            entry["tenant"] = json!(tenant);
        }
        if let Some(rate) = requests_per_second {
            entry["requests_per_second"] = json!(rate);
        }
        entry
    }
}
