//! `config`: shows the configuration that `serve` would have, and checks files.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{Console, Exit, Output};
use crate::config::{self, Flags, Loaded};

/// Shows or checks the configuration of the server
#[derive(Args, Debug)]
pub struct Config {
    #[command(subcommand)]
    question: Question,
}

#[derive(Debug, Subcommand)]
enum Question {
    /// Prints each key with its value and where that was set; takes the flags of serve
    #[command(
        after_help = "Example:\n  execgo-runtime config show --output text --config /etc/execgo-runtime/config.yaml"
    )]
    Show {
        #[command(flatten)]
        flags: Box<Flags>,
        /// json: an object by key; text: one key a line
        #[arg(long, value_enum, default_value_t = Output::Json)]
        output: Output,
    },
    /// Checks each file by itself over the defaults; exit code 1 when one is not valid
    #[command(after_help = "Example:\n  execgo-runtime config check /etc/execgo-runtime/*.yaml")]
    Check {
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
}

impl Config {
    /// # Errors
    /// A configuration with which the server would not start.
    pub fn run(&self, console: &mut Console) -> anyhow::Result<Exit> {
        match &self.question {
            Question::Show { flags, output } => {
                let loaded = config::load(flags, std::env::vars_os())?;
                for warning in &loaded.warnings {
                    console.note(&format!("warning: {warning}\n"));
                }
                console.print_line(&shown(&loaded, *output))?;
                Ok(Exit::Success)
            }
            Question::Check { files } => check(files, console),
        }
    }
}

fn shown(loaded: &Loaded, output: Output) -> String {
    let effective = loaded.effective().into_iter();
    match output {
        Output::Json => {
            let entry = |e: config::Effective| (e.key, json!({ "value": e.value, "origin": e.origin }));
            format!("{:#}", Value::Object(effective.map(entry).collect::<Map<_, _>>()))
        }
        Output::Text => effective.map(|e| format!("{} = {} ({})\n", e.key, e.value, e.origin)).collect(),
    }
}

fn check(files: &[PathBuf], console: &mut Console) -> anyhow::Result<Exit> {
    let mut exit = Exit::Success;
    for file in files {
        match config::check(file) {
            Ok(()) => console.print_line(&format!("{}: valid", file.display()))?,
            Err(invalid) => {
                console.error(format_args!("{invalid}"));
                exit = Exit::Failed;
            }
        }
    }
    Ok(exit)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Show {
        #[command(flatten)]
        flags: Flags,
    }

    #[test]
    fn show_names_file_variable_and_flag() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("c.yaml");
        let text = "queue: {max_queued_tasks: 9}\nledger: {tenants: {acme: {slots: 2}}}\n";
        std::fs::write(&path, text).expect("writable");
        let file = path.to_str().expect("UTF-8");
        let flags = Show::parse_from(["show", "--config", file, "--listen-addr", "127.0.0.1:0"]).flags;
        let environment = [("EXECGO_RUNTIME_CAPACITY_PIDS".into(), "64".into())];
        let loaded = config::load(&flags, environment).expect("valid");
        let as_text = shown(&loaded, Output::Text).replace(&dir.path().display().to_string(), "/etc");
        assert!(as_text.starts_with("runtime.id = null (default)\n"), "{as_text}");
        let set: Vec<&str> = as_text.lines().filter(|line| !line.ends_with("(default)")).collect();
        insta::assert_snapshot!(set.join("\n"), @r#"
        server.listen_addr = "127.0.0.1:0" (flag --listen-addr)
        queue.max_queued_tasks = 9 (file /etc/c.yaml)
        ledger.pids = 64 (environment variable EXECGO_RUNTIME_CAPACITY_PIDS)
        ledger.tenants.acme = {"memory":null,"pids":null,"slots":2} (file /etc/c.yaml)
        "#);
        let as_json: Value = serde_json::from_str(&shown(&loaded, Output::Json)).expect("JSON");
        let pids = json!({"value": 64, "origin": "environment variable EXECGO_RUNTIME_CAPACITY_PIDS"});
        assert_eq!(as_json["ledger.pids"], pids);
    }
}
