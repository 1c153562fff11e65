//! What the machine can do at best: a process and nothing else.

use std::ffi::CString;

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, posix_spawn};
use nix::sys::wait::{WaitStatus, waitpid};

/// What the tasks run too.
pub const PROGRAM: &str = "/bin/true";

/// Bare posix_spawn(3), which does not copy this process, and waitpid(2).
pub fn spawn_and_wait() {
    let program = CString::new(PROGRAM).expect("no NUL");
    let actions = PosixSpawnFileActions::init().expect("initialised");
    let attributes = PosixSpawnAttr::init().expect("initialised");
    let no_environment: [CString; 0] = [];
    let arguments = [program.clone()];
    let pid = posix_spawn(program.as_c_str(), &actions, &attributes, &arguments, &no_environment).expect("it starts");
    let status = waitpid(pid, None).expect("waited for");
    assert!(matches!(status, WaitStatus::Exited(_, 0)), "{PROGRAM} fails: {status:?}");
}
