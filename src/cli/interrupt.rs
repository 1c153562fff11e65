//! Ctrl-C while a task is awaited: the task is killed, and its end is awaited all the same.

use std::io;
use std::thread;

use tokio::signal::unix::{SignalKind, signal};

use super::client::Client;

/// As a shell has it for a program that SIGINT ended.
const INTERRUPTED: i32 = 130;

/// From now on SIGINT and SIGTERM kill the task; the second one ends this program at once.
///
/// # Errors
/// Signals cannot be taken here.
pub fn kills(client: Client, task_id: String, owner: Option<String>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    thread::Builder::new().name("signals".into()).spawn(move || {
        let mut next = || {
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            });
        };
        next();
        eprintln!("interrupted: task {task_id} is told to end; once more to leave it alone");
        thread::spawn(move || {
            if let Err(error) = client.kill(&task_id, owner.as_deref(), None) {
                eprintln!("error: task {task_id} could not be killed: {error}");
            }
        });
        next();
        std::process::exit(INTERRUPTED);
    })?;
    Ok(())
}
