//! The command line: one verb a file. Verbs other than `serve` are clients; they know the server's answers as JSON
//! only and pass on what they do not know.

mod away;
mod batch;
mod client;
mod config;
mod console;
mod contents;
mod delete;
mod drain;
mod events;
mod files;
mod follow;
mod interrupt;
mod kill;
mod list;
mod listeners;
mod logs;
mod once;
mod openapi;
mod run;
mod serve;
mod status;
mod submission;
mod submit;
mod summary;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod token;
mod unix_transport;
mod wait;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};

use client::Client;
use console::Console;

const EXIT_CODES: &str = "Exit codes: 0 success; 2 refused by the server, server unreachable, bad usage.
run and wait: 1 the task failed or was cancelled; 3 it had not ended when the timeout passed.
run: 130 interrupted twice.
config check: 1 a file is not valid.";

/// Runs commands and scripts as durable tasks under limits, over HTTP, on one machine.
#[derive(Debug, Parser)]
#[command(name = "execgo-runtime", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Serve(serve::Serve),
    #[command(flatten)]
    Client(ClientVerb),
}

/// The verbs that end by themselves.
#[derive(Debug, Subcommand)]
enum ClientVerb {
    Submit(Box<submit::Submit>),
    Batch(batch::Batch),
    Status(status::StatusOf),
    Wait(wait::Wait),
    Kill(Box<kill::Kill>),
    Delete(delete::Delete),
    List(Box<list::List>),
    Run(Box<run::Run>),
    Logs(logs::Logs),
    Files(files::Files),
    Events(Box<events::Events>),
    Drain(drain::Drain),
    Config(config::Config),
    Openapi(openapi::OpenApi),
    Token(token::NewToken),
}

/// Where the server is, and who asks.
#[derive(Args, Debug)]
struct At {
    /// Base address of the server, or unix:PATH of its UNIX socket; it is contacted directly, whatever HTTP_PROXY says
    #[arg(long, value_name = "URL", env = "EXECGO_RUNTIME_URL", default_value = client::DEFAULT_SERVER)]
    #[arg(hide_env_values = true)]
    server: String,

    /// Bearer token, where the server asks for one
    #[arg(long, value_name = "TOKEN", env = "EXECGO_RUNTIME_TOKEN", hide_env_values = true)]
    token: Option<String>,

    /// File that holds the bearer token, and nothing else; other users of this machine see the command line
    #[arg(long, value_name = "FILE", env = "EXECGO_RUNTIME_TOKEN_FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,

    /// Certificates of the authorities that may vouch for an https:// server, as PEM; without it those that Mozilla trusts
    #[arg(long, value_name = "FILE", env = "EXECGO_RUNTIME_CA_FILE")]
    ca_file: Option<PathBuf>,
}

/// Where the server is and how its answer is shown; the verbs that print one answer take these.
#[derive(Args, Debug)]
struct Common {
    #[command(flatten)]
    at: At,

    /// json: the server's answer as it came; text: for people
    #[arg(long, value_enum, default_value_t = Output::Json)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Json,
    Text,
}

impl At {
    fn client(&self) -> anyhow::Result<Client> {
        let from_file = |path: &PathBuf| {
            std::fs::read_to_string(path).with_context(|| format!("--token-file {}: cannot read it", path.display()))
        };
        let token = self.token_file.as_ref().map(from_file).transpose()?.or_else(|| self.token.clone());
        Ok(Client::new(&self.server, token.as_deref().map(str::trim), self.ca_file.as_deref())?)
    }
}

impl Common {
    fn client(&self) -> anyhow::Result<Client> {
        self.at.client()
    }
}

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Success,
    /// The task failed or was cancelled; a configuration file is not valid.
    Failed,
    /// The server refused or cannot be reached, or the usage is wrong.
    Refused,
    TimedOut,
}

impl Exit {
    const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Refused => 2,
            Self::TimedOut => 3,
        }
    }
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    match Cli::parse().verb {
        Verb::Serve(serve) => serve.start(),
        Verb::Client(verb) => {
            let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
            let for_people = out.is_terminal();
            ExitCode::from(verb.run(&mut Console::new(&mut out, &mut err).for_people(for_people)).code())
        }
    }
}

impl ClientVerb {
    fn run(self, console: &mut Console) -> Exit {
        let done = match self {
            Self::Submit(verb) => verb.run(console),
            Self::Batch(verb) => verb.run(console),
            Self::Status(verb) => verb.run(console),
            Self::Wait(verb) => verb.run(console),
            Self::Kill(verb) => verb.run(console),
            Self::Delete(verb) => verb.run(console),
            Self::List(verb) => verb.run(console),
            Self::Run(verb) => verb.run(console),
            Self::Logs(verb) => verb.run(console),
            Self::Files(verb) => verb.run(console),
            Self::Events(verb) => verb.run(console),
            Self::Drain(verb) => verb.run(console),
            Self::Config(verb) => verb.run(console),
            Self::Openapi(verb) => verb.run(console),
            Self::Token(verb) => verb.run(console),
        };
        done.unwrap_or_else(|error| {
            console.error(format_args!("{error:#}"));
            Exit::Refused
        })
    }
}
