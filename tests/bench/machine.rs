//! What the machine can do at best: a process and nothing else.

use std::process::{Command, Stdio};

/// What the tasks run too.
pub const PROGRAM: &str = "/bin/true";

pub fn spawn_and_wait() {
    let mut command = Command::new(PROGRAM);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().expect("it starts").success(), "{PROGRAM} fails");
}
