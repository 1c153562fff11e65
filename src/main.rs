//! Role dispatch, before any thread exists.

use std::process::ExitCode;

mod launcher;
mod shim;
mod sys;
mod task;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|role| role == launcher::ROLE) {
        return launcher::run(args);
    }
    ExitCode::SUCCESS
}
