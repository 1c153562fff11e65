//! Watches shims that are no children of a launcher of ours: those that outlived their server or their launcher.

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;

use super::input::{Fact, Input};
use super::recovery::{Orphan, exit_in, lost};
use crate::launcher::protocol::Report;
use crate::sandbox::cgroup;
use crate::sys::poll::{Interest, poll};
use crate::sys::proc_tree::{self, Process};
use crate::sys::process::{Pid, Signal, pidfd_open};
use crate::task::state::Running;

/// Says how the orphan's task ended, once its shim is gone. One small thread each: they are few and wait only.
pub(super) fn watch(orphan: Orphan, cgroups: Vec<PathBuf>, inbox: mpsc::Sender<Input>) -> io::Result<()> {
    thread::Builder::new().name("watch".into()).stack_size(256 * 1024).spawn(move || {
        await_end(&orphan.running);
        let Some(launch_id) = orphan.task.launch_id() else { return };
        let exit = match exit_in(&orphan.journal, launch_id) {
            Ok(Some(exit)) => exit,
            Ok(None) => {
                // Whatever its processes did to their sessions, they are in its group.
                cgroup::end_launch(&cgroups, &launch_id.to_string());
                // Right after the shim's death: a session's number is not used again while a process of it lives.
                end_session(&orphan.running, |_| true);
                lost("the task's shim was killed")
            }
            Err(error) => lost(&error.to_string()),
        };
        let report = Report::Exited { task_id: orphan.task.id().clone(), launch_id, exit };
        // Without a dispatcher the next server reads the same journal.
        let _ = inbox.send(Input::Fact(Fact::Report(report)));
    })?;
    Ok(())
}

fn await_end(running: &Running) {
    let Some(pid) = Pid::from_raw(running.shim_pid) else { return };
    let Ok(pidfd) = pidfd_open(pid) else { return };
    while super::recovery::is_alive(running) {
        if let Err(error) = poll([Some(Interest::read(pidfd.as_fd()))], None) {
            tracing::error!(%error, shim_pid = running.shim_pid, "a shim cannot be watched");
            return;
        }
    }
}

/// The command died with its shim (PDEATHSIG); what it started in its session is ended here, as far as it `is_of_task`.
pub(super) fn end_session(running: &Running, is_of_task: impl Fn(&Process) -> bool) {
    let Some(session) = Pid::from_raw(running.pid) else { return };
    let members = proc_tree::in_session(session).unwrap_or_default();
    let younger = |process: &&Process| process.start_ticks >= running.shim_start_ticks;
    for process in members.iter().filter(younger).filter(|process| is_of_task(process)) {
        // Gone already is as good.
        let _ = process.signal(&[Signal::KILL]);
    }
}
