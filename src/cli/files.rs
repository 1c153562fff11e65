//! `files`: what a task has left.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::{At, Console, Exit};

const EXAMPLES: &str = "Examples:
  execgo-runtime files 46527ee2-06f3-4500-ae84-dcc5e08ad0ed
  execgo-runtime files build-42 --get out/report.html --out report.html
  execgo-runtime files build-42 --tar | tar --zstd -x";

/// Lists the files that an ended task has left, or fetches one or all of them
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Files {
    /// Id of the task
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    task_id: String,

    /// Fetch this file, by the path that it has in the list
    #[arg(long, value_name = "PATH", conflicts_with = "tar")]
    get: Option<String>,

    /// Fetch all files, as a tar archive that is compressed with Zstandard
    #[arg(long)]
    tar: bool,

    /// Where to write what is fetched; without it to standard output
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    out: Option<PathBuf>,

    #[command(flatten)]
    at: At,
}

impl Files {
    /// # Errors
    /// Refused, unreachable, or the file cannot be written.
    pub fn run(&self, console: &mut Console) -> anyhow::Result<Exit> {
        let client = self.at.client()?;
        let content = match (&self.get, self.tar) {
            (Some(path), _) => client.file(&self.task_id, path)?,
            (None, true) => client.archive(&self.task_id)?,
            (None, false) => {
                anyhow::ensure!(self.out.is_none(), "--out needs --get or --tar");
                console.print_line(&client.files(&self.task_id)?.text)?;
                return Ok(Exit::Success);
            }
        };
        match &self.out {
            None => copy(content, |bytes| console.write(bytes))?,
            Some(path) => {
                let failed = || format!("--out {}", path.display());
                let mut file = File::create(path).with_context(failed)?;
                copy(content, |bytes| Ok(file.write_all(bytes).map(|()| true)?)).with_context(failed)?;
            }
        }
        Ok(Exit::Success)
    }
}

fn copy(mut from: impl Read, mut to: impl FnMut(&[u8]) -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let mut piece = vec![0; 64 * 1024];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(length) if to(&piece[..length])? => {}
            // Nobody reads it any more.
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("the server broke off"),
        }
    }
}
