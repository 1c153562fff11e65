//! The attacker: a task of its own that tries what a sandbox must not allow. `attack ROW…` tries each row in a child of
//! its own and prints a line for it: the row, a tab, the verdict. Nothing that succeeds does harm: whatever changes
//! the machine is tried with arguments that the kernel refuses after it has asked for the privilege.
//!
//! What it must know of the host comes in environment variables `ATTACK_…`. It knows nothing of the runtime.

mod files;
mod identity;
mod kernel;
mod network;
mod processes;
mod system;
mod verdict;

use std::env;
use std::process::{Command, ExitCode, Stdio};

use verdict::Verdict;

/// One thing to try.
type Row = (&'static str, fn() -> Verdict);

/// After this many seconds a row is killed.
const PATIENCE_S: usize = 120;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [_, "--row", name] => {
            system::alarm(PATIENCE_S);
            println!("{}", attempt(name));
        }
        [own, names @ ..] if !names.is_empty() => {
            for name in names {
                println!("{name}\t{}", in_a_child(own, name));
            }
        }
        _ => return ExitCode::FAILURE,
    }
    ExitCode::SUCCESS
}

fn attempt(name: &str) -> Verdict {
    let mut rows = [files::ROWS, identity::ROWS, kernel::ROWS, network::ROWS, processes::ROWS].into_iter().flatten();
    match rows.find(|(row, _)| *row == name) {
        Some((_, attack)) => attack(),
        None => Verdict::Cannot("there is no such row".to_owned()),
    }
}

/// So that a row changes nothing for the next one, and its death is seen.
fn in_a_child(own: &str, name: &str) -> String {
    let output = Command::new(own).args(["--row", name]).stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Ok(output) => Verdict::Cannot(format!("the row ended by itself: {}", output.status)).to_string(),
        Err(error) => Verdict::Cannot(format!("no child: {error}")).to_string(),
    }
}
