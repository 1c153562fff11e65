//! Shims that are forked while the launcher has nothing else to do, so that the next task need not wait for it, and some
//! of them with a sandbox that is begun. What they are like is learned from the last launch. Each is given one task, or
//! none: a task for which there is no fitting one is forked for as ever. After its task a shim without a begun sandbox
//! rests, and may be given another.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::outbox::Outbox;
use super::protocol::LaunchRequest;
use crate::sandbox::{SandboxRequest, Shape, Supplies};
use crate::shim::{self, Lines};
use crate::sys::clock::monotonic_ms;
use crate::sys::fork::SingleThreaded;
use crate::sys::mount::Changes;
use crate::sys::process::Pid;
use crate::sys::socket::{self, Blocking};
use crate::task::state::LaunchId;

/// Without a sandbox. One for each client that waits for its task before it sends the next.
const PLAIN: usize = 1;
/// So long after the end of a task, when whoever waited for it has had his turn; and after a launch at the latest, since a
/// task may run for days. Not at once: what waits for no task must not keep one from the processors.
const AFTER_END_MS: u64 = 1;
const AFTER_LAUNCH_MS: u64 = 10;
/// Without a launch. What nobody needs is given back, with the host's files that a begun sandbox keeps open.
const KEPT_FOR_MS: u64 = 60_000;
/// Without a task. While tasks follow each other none rests that long; afterwards one that is ready is enough.
const RESTS_FOR_MS: u64 = 5_000;

/// So many shims are kept for another task; each costs the launcher a descriptor, and memory while it rests.
const MOST_AT_WORK: usize = 64;

/// All spare shims of a launcher.
#[derive(Debug)]
pub struct Spares {
    ready: Vec<Spare>,
    /// They have had a task, the last one last.
    resting: Vec<Resting>,
    /// Those that will rest.
    at_work: HashMap<Pid, Kept>,
    /// Where they say that they do, and the other end of it.
    rest: (OwnedFd, OwnedFd),
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

#[derive(Debug)]
struct Resting {
    pid: Pid,
    kept: Kept,
    since: u64,
}

#[derive(Debug)]
struct Kept {
    line: OwnedFd,
    edition: u64,
    /// The last one.
    launch_id: LaunchId,
    /// The server asks nothing more for it.
    is_free: bool,
}

impl Spares {
    /// None so far.
    ///
    /// # Errors
    /// `EMFILE`.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            ready: Vec::new(),
            resting: Vec::new(),
            at_work: HashMap::new(),
            rest: socket::pair()?,
            wanted: None,
            refill_at: None,
            launched_at: 0,
            changes: None,
        })
    }

    /// The server asks nothing more for these launches, whose shims may not all rest yet.
    pub fn free(&mut self, ended: &[LaunchId]) {
        let resting = self.resting.iter_mut().map(|each| &mut each.kept);
        let all = resting.chain(self.at_work.values_mut());
        all.filter(|kept| ended.contains(&kept.launch_id)).for_each(|kept| kept.is_free = true);
    }

    /// Gives a task to a spare shim, if there is one that fits: its request as the server has sent it, and what goes with
    /// it. Says which it was. `edition` is that of the root of sandboxes now.
    pub fn give(
        &mut self,
        message: &[u8],
        request: &LaunchRequest,
        edition: u64,
        descriptors: &[BorrowedFd<'_>],
    ) -> Option<Pid> {
        let (sandbox, launch_id) = (request.sandbox.as_ref(), request.launch_id);
        let shape = sandbox.filter(|sandbox| sandbox.can_be_warm() && sandbox.warm > 0).map(SandboxRequest::shape);
        let fits = |spare: &Spare, shape| spare.shape == shape && (sandbox.is_none() || spare.edition == edition);
        let may_rest = |each: &Resting| each.kept.is_free && (sandbox.is_none() || each.kept.edition == edition);
        // One that has been killed does not take it, and then the next may.
        loop {
            let begun = shape.and_then(|_| self.ready.iter().position(|spare| fits(spare, shape)));
            let rested = if begun.is_none() { self.resting.iter().rposition(may_rest) } else { None };
            let (pid, kept, was_begun) = if let Some(index) = rested {
                let Resting { pid, kept, since: _ } = self.resting.remove(index);
                (pid, Kept { launch_id, is_free: false, ..kept }, false)
            } else {
                let index = begun.or_else(|| self.ready.iter().position(|spare| fits(spare, None)))?;
                let Spare { pid, line, edition, shape } = self.ready.swap_remove(index);
                (pid, Kept { line, edition, launch_id, is_free: false }, shape.is_some())
            };
            if socket::hand_over(kept.line.as_fd(), message, descriptors).is_ok() {
                // With the line closed it gets no other task.
                if request.lets_its_shim_rest() && !was_begun && self.at_work.len() < MOST_AT_WORK {
                    self.at_work.insert(pid, kept);
                }
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

    /// To be polled: a shim rests.
    #[must_use]
    pub fn rest(&self) -> BorrowedFd<'_> {
        self.rest.0.as_fd()
    }

    /// The next shim that says that it rests.
    ///
    /// # Errors
    /// As recv(2).
    pub fn take_rested(&mut self) -> io::Result<Option<Pid>> {
        let mut message = [0; size_of::<i32>()];
        match socket::receive(self.rest(), &mut message, Blocking::No) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
        let pid = Pid::from_raw(i32::from_ne_bytes(message));
        if let Some((pid, kept)) = pid.and_then(|pid| Some((pid, self.at_work.remove(&pid)?))) {
            self.resting.push(Resting { pid, kept, since: monotonic_ms() });
        }
        Ok(pid)
    }

    /// A child of the launcher has ended; says whether it was one of these, without a task.
    pub fn on_ended(&mut self, pid: Pid) -> bool {
        let before = self.ready.len() + self.resting.len();
        self.at_work.remove(&pid);
        self.ready.retain(|spare| spare.pid != pid);
        self.resting.retain(|each| each.pid != pid);
        self.ready.len() + self.resting.len() < before
    }

    #[must_use]
    pub fn contains(&self, pid: Pid) -> bool {
        self.ready.iter().any(|spare| spare.pid == pid) || self.resting.iter().any(|each| each.pid == pid)
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
        let rested_at = self.resting.first().map(|each| each.since.saturating_add(RESTS_FOR_MS));
        let due = self.refill_at.into_iter().chain(drop_at).chain(rested_at).min();
        due.map(|at| at.saturating_sub(monotonic_ms()))
    }

    /// Makes what the next task needs, if it is time for it: one thing at a time, for a request may have come meanwhile. Or
    /// lets all go when it was not needed for long. To be called when there is nothing else to do.
    pub fn refill(&mut self, single: &SingleThreaded, outbox: &Outbox, supplies: &mut Supplies) {
        let now = monotonic_ms();
        self.resting.retain(|each| now < each.since.saturating_add(RESTS_FOR_MS));
        if now >= self.launched_at.saturating_add(KEPT_FOR_MS) {
            self.ready.clear();
            (self.wanted, self.refill_at, self.changes) = (None, None, None);
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
        let made = missing.is_some_and(|shape| self.fork(single, outbox, supplies, shape).is_ok());
        // One that cannot be made is none that must be.
        self.refill_at = made.then_some(now);
    }

    /// Makes one that is ready, with a sandbox of this shape if there is one.
    ///
    /// # Errors
    /// As fork(2) and socketpair(2).
    pub fn fork(
        &mut self,
        single: &SingleThreaded,
        outbox: &Outbox,
        supplies: &Supplies,
        shape: Option<Shape>,
    ) -> io::Result<()> {
        if let Some(shape) = shape {
            // Others are not needed any more.
            self.ready.retain(|spare| spare.shape.is_none_or(|begun| begun == shape));
            if self.changes().is_none() {
                self.changes = Some(Changes::watch()?);
            }
        }
        let (line, tasks) = socket::pair()?;
        let lines = Lines { tasks, reports: outbox.try_clone_socket()?, resting: self.rest.1.try_clone()? };
        let keep = [&lines.tasks, &lines.reports, &lines.resting].map(AsRawFd::as_raw_fd);
        let base = supplies.base();
        let pid = single.fork(&keep, move || shim::wait(single, lines, base, shape))?;
        self.ready.push(Spare { pid, line, edition: supplies.edition(), shape });
        Ok(())
    }
}
