//! What `submit` and `run` send: a request as JSON, from a file, or made from the short form `-- PROG ARGS…`.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{ArgGroup, Args};
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::client::Client;
use super::contents::{self, Input};
use crate::task::Timestamp;

/// Exactly one of `--json`, `--file` and the short form; the other flags belong to the short form.
#[derive(Args, Debug, Default)]
#[command(group(ArgGroup::new("request").required(true).args(["json", "file", "command"])))]
pub struct Submission {
    /// The request as JSON
    #[arg(long, value_name = "JSON")]
    json: Option<String>,

    /// A file that holds the request as JSON, `-` for standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Short form, after `--`: the program to run and its arguments
    #[arg(last = true, value_name = "PROG")]
    command: Vec<String>,

    /// Id of the new task; the server makes one when absent
    #[arg(long, value_name = "ID", conflicts_with_all = ["json", "file"], help_heading = "Short form")]
    task_id: Option<String>,

    /// Environment variable of the task; may be given again
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair, conflicts_with_all = ["json", "file"], help_heading = "Short form")]
    env: Vec<(String, String)>,

    /// Wall-clock limit in milliseconds
    #[arg(long, value_name = "MS", conflicts_with_all = ["json", "file"], help_heading = "Short form")]
    wall_time_ms: Option<u64>,

    /// Memory limit in bytes
    #[arg(long, value_name = "BYTES", conflicts_with_all = ["json", "file"], help_heading = "Short form")]
    memory_bytes: Option<u64>,

    /// CPU time limit in seconds
    #[arg(long, value_name = "SECS", conflicts_with_all = ["json", "file"], help_heading = "Short form")]
    cpu_time_sec: Option<u64>,

    /// Most processes at once
    #[arg(long, value_name = "N", conflicts_with_all = ["json", "file"], help_heading = "Short form")]
    pids_max: Option<u64>,

    /// Share of CPU time in thousandths of a core
    #[arg(long, value_name = "N", conflicts_with_all = ["json", "file"], help_heading = "Short form")]
    cpu_millis: Option<u64>,

    /// File that the task reads as its standard input, `-` for that of this program
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "file"], help_heading = "Short form")]
    stdin: Option<PathBuf>,

    /// File that is put into the task's workspace, with the mode that it has here; may be given again. Without =FILE it is
    /// here by the same path
    #[arg(long, value_name = "PATH[=FILE]", value_parser = Input::parse, conflicts_with_all = ["json", "file"], help_heading = "Short form")]
    input: Vec<Input>,

    /// Glob of files that the task is to leave, such as 'out/**'; may be given again; see `execgo-runtime files`
    #[arg(long, value_name = "GLOB", conflicts_with_all = ["json", "file"], help_heading = "Short form")]
    collect: Vec<String>,

    /// process or linux_sandbox
    #[arg(long, value_name = "PROFILE", conflicts_with_all = ["json", "file"], help_heading = "Short form")]
    profile: Option<String>,

    /// Working directory below the task's workspace
    #[arg(long, value_name = "DIR", conflicts_with_all = ["json", "file"], help_heading = "Short form")]
    cwd_subdir: Option<String>,

    /// Tenant that the task counts for
    #[arg(long, value_name = "NAME", conflicts_with_all = ["json", "file"], help_heading = "Short form")]
    tenant: Option<String>,

    /// Owner; a kill must show the same name
    #[arg(long, value_name = "NAME", conflicts_with_all = ["json", "file"], help_heading = "Short form")]
    owner: Option<String>,

    /// Label; may be given again
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair, conflicts_with_all = ["json", "file"], help_heading = "Short form")]
    label: Vec<(String, String)>,

    /// From -100 to 100: higher ones start first
    #[arg(long, value_name = "N", allow_hyphen_values = true, conflicts_with_all = ["json", "file"], help_heading = "Short form")]
    priority: Option<i64>,

    /// Not before this time, such as 2026-11-25T01:00:00Z, or this long from now, such as 10m
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with_all = ["json", "file"], help_heading = "Short form")]
    start_after: Option<String>,

    /// Cancelled if it still waits at this time, or this long from now
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with_all = ["json", "file"], help_heading = "Short form")]
    expires_at: Option<String>,

    /// Not before this task has succeeded, or with :end has ended in any way; may be given again
    #[arg(long, value_name = "ID[:end]", value_parser = dependency, conflicts_with_all = ["json", "file"], help_heading = "Short form")]
    depends_on: Vec<Value>,
}

impl Submission {
    /// The body to post. What the user wrote as JSON is sent as it is: the server judges it.
    ///
    /// # Errors
    /// When a file cannot be read or uploaded, or the text is no JSON.
    pub fn body(&self, client: &Client) -> anyhow::Result<String> {
        match (&self.json, &self.file) {
            (Some(text), _) => checked(text.clone(), "--json"),
            (None, Some(path)) => checked(read(path)?, &format!("--file {}", path.display())),
            (None, None) => Ok(self.short_form(client)?.to_string()),
        }
    }

    fn short_form(&self, client: &Client) -> anyhow::Result<Value> {
        let Self {
            json: _,
            file: _,
            command,
            task_id,
            env,
            wall_time_ms,
            memory_bytes,
            cpu_time_sec,
            pids_max,
            cpu_millis,
            stdin,
            input,
            collect,
            profile,
            cwd_subdir,
            tenant,
            owner,
            label,
            priority,
            start_after,
            expires_at,
            depends_on,
        } = self;
        let (program, args) = command.split_first().map_or(("", &[][..]), |(program, args)| (program, args));
        let stdin = stdin.as_ref().map(|path| contents::stdin(client, path)).transpose()?;
        let inputs: Vec<_> = input.iter().map(|input| input.entry(client)).collect::<Result<_, _>>()?;
        Ok(object([
            ("task_id", json!(task_id)),
            (
                "execution",
                object([
                    ("kind", json!("command")),
                    ("program", json!(program)),
                    ("args", json!(args)),
                    ("env", map(env)),
                    ("stdin", json!(stdin)),
                ]),
            ),
            ("inputs", if inputs.is_empty() { Value::Null } else { json!(inputs) }),
            ("collect", if collect.is_empty() { Value::Null } else { json!(collect) }),
            (
                "limits",
                object([
                    ("wall_time_ms", json!(wall_time_ms)),
                    ("cpu_time_sec", json!(cpu_time_sec)),
                    ("memory_bytes", json!(memory_bytes)),
                    ("pids_max", json!(pids_max)),
                    ("cpu_millis", json!(cpu_millis)),
                ]),
            ),
            ("sandbox", object([("profile", json!(profile)), ("workspace_subdir", json!(cwd_subdir))])),
            (
                "schedule",
                object([
                    ("priority", json!(priority)),
                    ("start_after", json!(start_after)),
                    ("expires_at", json!(expires_at)),
                    ("depends_on", if depends_on.is_empty() { Value::Null } else { json!(depends_on) }),
                ]),
            ),
            ("control_context", object([("tenant", json!(tenant)), ("owner", json!(owner)), ("labels", map(label))])),
        ]))
    }
}

/// An object of what is there: nulls and empty objects are left out.
fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let given = |value: &Value| !value.is_null() && value.as_object().is_none_or(|object| !object.is_empty());
    let fields = fields.into_iter().filter(|(_, value)| given(value));
    Value::Object(fields.map(|(name, value)| (name.to_owned(), value)).collect())
}

fn map(pairs: &[(String, String)]) -> Value {
    Value::Object(pairs.iter().map(|(key, value)| (key.clone(), json!(value))).collect::<Map<_, _>>())
}

pub(super) fn read(path: &Path) -> anyhow::Result<String> {
    if path.as_os_str() != "-" {
        return std::fs::read_to_string(path).with_context(|| format!("--file {} cannot be read", path.display()));
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("--file -: standard input cannot be read")?;
    Ok(text)
}

fn checked(text: String, name: &str) -> anyhow::Result<String> {
    serde_json::from_str::<IgnoredAny>(&text).with_context(|| format!("{name} is not valid JSON"))?;
    Ok(text)
}

/// A time as it is, or one that is so far from now.
fn time(raw: &str) -> Result<String, String> {
    if let Ok(from_now) = humantime::parse_duration(raw) {
        let millis = u64::try_from(from_now.as_millis()).map_err(|_| "is too long".to_owned())?;
        return Ok(Timestamp::now().plus_millis(millis).to_string());
    }
    let form = || "write a time such as 2026-11-25T01:00:00Z, or how long from now, such as 10m".to_owned();
    Timestamp::parse(raw).map(|time| time.to_string()).ok_or_else(form)
}

/// `ID`, `ID:success` or `ID:end`; no id holds a colon.
fn dependency(raw: &str) -> Result<Value, String> {
    match raw.split_once(':') {
        None => Ok(json!({"task_id": raw})),
        Some((id, on @ ("success" | "end"))) => Ok(json!({"task_id": id, "on": on})),
        Some(_) => Err("write ID, ID:success or ID:end".to_owned()),
    }
}

fn pair(raw: &str) -> Result<(String, String), String> {
    match raw.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}
