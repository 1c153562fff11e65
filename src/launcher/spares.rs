//! Shims that are forked while the launcher has nothing else to do, so that the next task need not wait for it, and some
//! of them with a sandbox that is begun. What they are like is learned from the last launch. Each is given one task, or
//! none: a task for which there is no fitting one is forked for as ever.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::outbox::Outbox;
use crate::sandbox::{SandboxRequest, Shape, Supplies};
use crate::shim;
use crate::sys::clock::monotonic_ms;
use crate::sys::fork::SingleThreaded;
use crate::sys::mount::Changes;
use crate::sys::process::Pid;
use crate::sys::socket;

/// Without a sandbox. One for each client that waits for its task before it sends the next.
const PLAIN: usize = 1;
/// So long after the end of a task, when whoever waited for it has had his turn; and after a launch at the latest, since a
/// task may run for days. Not at once: what waits for no task must not keep one from the processors.
const AFTER_END_MS: u64 = 1;
const AFTER_LAUNCH_MS: u64 = 10;
/// Without a launch. What nobody needs is given back, with the host's files that a begun sandbox keeps open.
const KEPT_FOR_MS: u64 = 60_000;

/// All spare shims of a launcher.
#[derive(Debug, Default)]
pub struct Spares {
    ready: Vec<Spare>,
    /// Of the last sandbox that can be begun ahead, and how many of them are wanted.
    wanted: Option<(Shape, u32)>,
    refill_at: Option<u64>,
    launched_at: u64,
    /// Of the host's mounts, which a begun sandbox has as they were.
    changes: Option<Changes>,
}

#[derive(Debug)]
struct Spare {
    pid: Pid,
    /// Closing it ends the shim.
    line: OwnedFd,
    /// The edition of the root of sandboxes that it knows.
    edition: u64,
    /// Of the sandbox that it has begun.
    shape: Option<Shape>,
}

impl Spares {
    /// Gives a task to a spare shim, if there is one that fits: its request as the server has sent it, and what goes with
    /// it. Says which it was. `edition` is that of the root of sandboxes now.
    pub fn give(
        &mut self,
        message: &[u8],
        sandbox: Option<&SandboxRequest>,
        edition: u64,
        descriptors: &[BorrowedFd<'_>],
    ) -> Option<Pid> {
        if message.len() > shim::MESSAGE_BYTES {
            return None;
        }
        let shape = sandbox.filter(|sandbox| sandbox.can_be_warm() && sandbox.warm > 0).map(SandboxRequest::shape);
        let fits = |spare: &Spare, shape| spare.shape == shape && (sandbox.is_none() || spare.edition == edition);
        // One that has been killed does not take it, and then the next may.
        loop {
            let best = shape.and_then(|_| self.ready.iter().position(|spare| fits(spare, shape)));
            let index = best.or_else(|| self.ready.iter().position(|spare| fits(spare, None)))?;
            let Spare { pid, line, .. } = self.ready.swap_remove(index);
            // With the line closed it gets no other task, and it does not need to know when we end.
            if socket::hand_over(line.as_fd(), message, descriptors).is_ok() {
                return Some(pid);
            }
        }
    }

    /// A task was launched, in whatever way: more like it are expected.
    pub fn on_launch(&mut self, sandbox: Option<&SandboxRequest>) {
        self.launched_at = monotonic_ms();
        self.refill_at = Some(self.launched_at.saturating_add(AFTER_LAUNCH_MS));
        if let Some(sandbox) = sandbox {
            self.wanted = sandbox.can_be_warm().then(|| (sandbox.shape(), sandbox.warm));
        }
    }

    /// A task has ended.
    pub fn on_task_end(&mut self) {
        let soon = monotonic_ms().saturating_add(AFTER_END_MS);
        self.refill_at = self.refill_at.map(|at| at.min(soon));
    }

    /// A child of the launcher has ended; says whether it was one of these.
    pub fn on_ended(&mut self, pid: Pid) -> bool {
        let before = self.ready.len();
        self.ready.retain(|spare| spare.pid != pid);
        self.ready.len() < before
    }

    #[must_use]
    pub fn contains(&self, pid: Pid) -> bool {
        self.ready.iter().any(|spare| spare.pid == pid)
    }

    /// To be polled for its end: the host's mounts have changed.
    #[must_use]
    pub fn changes(&self) -> Option<BorrowedFd<'_>> {
        self.changes.as_ref().filter(|_| self.ready.iter().any(|spare| spare.shape.is_some())).map(AsFd::as_fd)
    }

    /// What was begun is no longer what a sandbox of now is, and keeps from the host what it has unmounted.
    pub fn on_changes(&mut self) {
        self.ready.retain(|spare| spare.shape.is_none());
        // Others take their places, when the mounting is over.
        self.refill_at = Some(monotonic_ms().saturating_add(AFTER_LAUNCH_MS));
    }

    /// Milliseconds until something is to be done, if there is something.
    #[must_use]
    pub fn due_in(&self) -> Option<u64> {
        let drop_at = (!self.ready.is_empty()).then(|| self.launched_at.saturating_add(KEPT_FOR_MS));
        self.refill_at.into_iter().chain(drop_at).min().map(|at| at.saturating_sub(monotonic_ms()))
    }

    /// Makes what the next task needs, if it is time for it: one thing at a time, for a request may have come meanwhile. Or
    /// lets all go when it was not needed for long. To be called when there is nothing else to do.
    pub fn refill(&mut self, single: &SingleThreaded, outbox: &Outbox, supplies: &mut Supplies) {
        let now = monotonic_ms();
        if now >= self.launched_at.saturating_add(KEPT_FOR_MS) {
            *self = Self { launched_at: self.launched_at, ..Self::default() };
            return;
        }
        if self.refill_at.is_none_or(|at| now < at) {
            return;
        }
        supplies.refill(single);
        let edition = supplies.edition();
        self.ready.retain(|spare| spare.edition == edition);
        let count = |shape| self.ready.iter().filter(|spare| spare.shape == shape).count();
        let warm = self.wanted.filter(|(shape, wanted)| count(Some(*shape)) < usize::try_from(*wanted).unwrap_or(0));
        let missing = if count(None) < PLAIN { Some(None) } else { warm.map(|(shape, _)| Some(shape)) };
        let made = missing.is_some_and(|shape| self.fork(single, outbox, supplies, shape).is_some());
        // One that cannot be made is none that must be.
        self.refill_at = made.then_some(now);
    }

    fn fork(
        &mut self,
        single: &SingleThreaded,
        outbox: &Outbox,
        supplies: &Supplies,
        shape: Option<Shape>,
    ) -> Option<()> {
        if let Some(shape) = shape {
            // Others are not needed any more.
            self.ready.retain(|spare| spare.shape.is_none_or(|begun| begun == shape));
            if self.changes().is_none() {
                self.changes = Some(Changes::watch().ok()?);
            }
        }
        let (line, theirs) = socket::pair().ok()?;
        let reports = outbox.try_clone_socket().ok()?;
        let keep = [theirs.as_raw_fd(), reports.as_raw_fd()];
        let base = supplies.base();
        let pid = single.fork(&keep, move || shim::wait(single, theirs, reports, base, shape)).ok()?;
        self.ready.push(Spare { pid, line, edition: supplies.edition(), shape });
        Some(())
    }
}
