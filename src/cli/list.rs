//! `list`: the tasks of the server, page by page.

use std::fmt::Write;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use super::{At, Console, Exit, Output};

/// Of a page, where all pages are fetched.
const PAGE: u64 = 1000;

/// Lists tasks, the newest first
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  execgo-runtime list --status running,accepted --label team=blue
  execgo-runtime list --all --created-after 2026-11-27T00:00:00Z --output json | jq -r .task_id")]
pub struct List {
    /// With one of these: accepted, running, success, failed, cancelled
    #[arg(long, value_name = "STATUS,…", value_delimiter = ',')]
    status: Vec<String>,

    #[command(flatten)]
    filter: Filter,

    /// With this owner
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,

    /// The oldest first
    #[arg(long)]
    oldest_first: bool,

    /// Most tasks that are listed
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,

    /// All of them
    #[arg(long, conflicts_with = "limit")]
    all: bool,

    /// json: one task a line; text: for people, and the default on a terminal
    #[arg(long, value_enum)]
    output: Option<Output>,

    #[command(flatten)]
    at: At,
}

/// Which tasks; what is given must all hold.
#[derive(Args, Debug)]
pub struct Filter {
    /// Of this tenant
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,

    /// With this label; may be given again
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,

    /// Commands alone, or scripts
    #[arg(long, value_enum)]
    kind: Option<Kind>,

    /// Accepted later than this, such as 2026-11-27T12:00:00Z
    #[arg(long, value_name = "TIME")]
    created_after: Option<String>,

    /// Accepted earlier than this
    #[arg(long, value_name = "TIME")]
    created_before: Option<String>,

    /// With this text, in whatever case, in id, program, arguments, script, labels or metadata
    #[arg(long = "query", short = 'q', value_name = "TEXT")]
    text: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Command,
    Script,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Script => "script",
        }
    }
}

fn label(pair: &str) -> Result<(String, String), String> {
    let (key, value) = pair.split_once('=').ok_or("must be KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Filter {
    /// The plain part of it, by the names that the server has.
    fn texts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let Self { tenant, labels: _, kind, created_after, created_before, text } = self;
        let kind = kind.map(Kind::word);
        [
            ("tenant", tenant.as_deref()),
            ("kind", kind),
            ("created_after", created_after.as_deref()),
            ("created_before", created_before.as_deref()),
            ("q", text.as_deref()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }

    /// As the fields of a kill.
    pub fn fields(&self) -> Map<String, Value> {
        let texts = self.texts().map(|(name, value)| (name.to_owned(), Value::from(value)));
        let labels: Map<String, Value> =
            self.labels.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
        let labels = (!labels.is_empty()).then(|| ("labels".to_owned(), Value::Object(labels)));
        texts.chain(labels).collect()
    }

    /// As parameters of a list.
    fn query(&self) -> Vec<(String, String)> {
        let texts = self.texts().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let labels = self.labels.iter().map(|(key, value)| (format!("label.{key}"), value.clone()));
        texts.chain(labels).collect()
    }
}

impl List {
    /// # Errors
    /// Refused or unreachable.
    pub fn run(&self, console: &mut Console) -> anyhow::Result<Exit> {
        let client = self.at.client()?;
        let output = self.output.unwrap_or(if console.is_for_people() { Output::Text } else { Output::Json });
        let mut query = self.filter.query();
        query.extend((!self.status.is_empty()).then(|| ("status".to_owned(), self.status.join(","))));
        query.extend(self.owner.clone().map(|owner| ("owner".to_owned(), owner)));
        if self.oldest_first {
            query.push(("sort".to_owned(), "created_at".to_owned()));
        }
        let mut left = if self.all { u64::MAX } else { self.limit };
        let mut cursor: Option<String> = None;
        if output == Output::Text {
            console.print(HEAD)?;
        }
        loop {
            let mut asked = query.clone();
            asked.push(("limit".to_owned(), left.min(PAGE).to_string()));
            asked.extend(cursor.take().map(|cursor| ("cursor".to_owned(), cursor)));
            let page = client.list(&asked)?.json;
            let rows = page["tasks"].as_array().map(Vec::as_slice).unwrap_or_default();
            let lines = rows.iter().fold(String::new(), |mut lines, row| {
                match output {
                    Output::Json => writeln!(lines, "{row}").expect("a string takes everything"),
                    Output::Text => lines += &line(row),
                }
                lines
            });
            left = left.saturating_sub(rows.len() as u64);
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            // A page may be short, or empty, although more follow.
            let is_read = console.write(lines.as_bytes())?;
            if cursor.is_none() || left == 0 || !is_read {
                return Ok(Exit::Success);
            }
        }
    }
}

const HEAD: &str = "TASK                                  STATUS     CREATED                   TOOK         ENDED BY\n";

fn line(row: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let took = row["duration_ms"].as_u64().map(|ms| format!("{ms} ms")).unwrap_or_default();
    let ended = match (&row["error"]["code"], &row["exit_code"]) {
        (Value::String(code), _) => code.clone(),
        (_, Value::Number(code)) => format!("exit code {code}"),
        _ => String::new(),
    };
    let (id, status, created) = (text(&row["task_id"]), text(&row["status"]), text(&row["created_at"]));
    format!("{}\n", format!("{id:<36}  {status:<9}  {created:<24}  {took:<11}  {ended}").trim_end())
}
