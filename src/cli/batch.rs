//! `batch`: hands many tasks over in one request.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde::de::IgnoredAny;
use serde_json::Deserializer;

use super::once::Once;
use super::submission::read;
use super::{Common, Console, Exit, Output};

const HELP: &str = r#"Examples:
  execgo-runtime batch --file tasks.jsonl
  jq -c '.[] | {execution: {kind: "command", program: "fetch", args: [.url]}}' urls.json | execgo-runtime batch --file -
  execgo-runtime batch --atomic --output text --file tasks.json

Exit code 2 also where the server refused some of the tasks."#;

/// Submits up to 1000 tasks in one request; the answer says for each whether it was accepted
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct Batch {
    /// A file that holds the requests as JSON, in one array or one behind the other; `-` for standard input
    #[arg(long, value_name = "FILE")]
    file: PathBuf,

    /// All or none: where one is refused, none is accepted
    #[arg(long)]
    atomic: bool,

    #[command(flatten)]
    once: Once,
    #[command(flatten)]
    common: Common,
}

impl Batch {
    /// # Errors
    /// No requests, refused as a whole, or unreachable.
    pub fn run(&self, console: &mut Console) -> anyhow::Result<Exit> {
        let body = self.body(&read(&self.file)?)?;
        let client = self.common.client()?;
        let reply = self.once.send(console, |key| client.submit_batch(&body, key))?;
        let results = reply.json["results"].as_array().context("the server's answer has no results")?;
        if self.common.output == Output::Json {
            console.print_line(&reply.text)?;
        }
        let mut exit = Exit::Success;
        for result in results {
            if let Some(error) = result["error"].as_object() {
                let text = |name: &str| error.get(name).and_then(|text| text.as_str()).unwrap_or_default();
                console.error(format_args!("{}: {}", text("code"), text("message")));
                exit = Exit::Refused;
            } else if self.common.output == Output::Text {
                console.print_line(result["task_id"].as_str().unwrap_or_default())?;
            }
        }
        Ok(exit)
    }

    /// What the user wrote is sent as it is: the server judges it.
    fn body(&self, text: &str) -> anyhow::Result<String> {
        let mut requests = Vec::new();
        let mut values = Deserializer::from_str(text).into_iter::<IgnoredAny>();
        let mut begin = 0;
        while let Some(value) = values.next() {
            value.with_context(|| format!("--file {} is not valid JSON", self.file.display()))?;
            requests.push(text[begin..values.byte_offset()].trim());
            begin = values.byte_offset();
        }
        let tasks = match requests.as_slice() {
            [array] if array.starts_with('[') => (*array).to_owned(),
            requests => format!("[{}]", requests.join(",")),
        };
        Ok(format!(r#"{{"tasks":{tasks},"atomic":{}}}"#, self.atomic))
    }
}
