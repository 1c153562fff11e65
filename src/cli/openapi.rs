//! `openapi`: prints the API document that the server serves, without a server.

use clap::Args;

use super::Exit;
use super::console::Console;
use crate::server::document::document;

const HELP: &str = "Examples:
  execgo-runtime openapi > execgo-runtime.json";

/// Prints the OpenAPI document
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct OpenApi {}

impl OpenApi {
    pub fn run(self, console: &mut Console) -> anyhow::Result<Exit> {
        console.print(&document())?;
        Ok(Exit::Success)
    }
}
