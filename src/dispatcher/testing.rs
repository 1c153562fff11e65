//! A stand-in for the dispatcher, for tests of what is in front of it: a real store and real transitions, but tasks
//! start and end only when the test says so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};

use super::core::SubmitReply;
use super::core::is_owner;
use super::files;
use super::handle::{
    ActiveReservation, DeleteError, Dispatcher, Kill, KillError, Once, Resources, Submission, SubmitError,
    TenantResources, Unavailable, Waiting,
};
use super::input::{Input, Question};
use super::waiters::Waiters;
use crate::ledger::{Capacity, Ledger};
use crate::store::{self, KeptAnswer, Readers, Writer};
use crate::task::testing;
use crate::task::{NewTask, State, Task, TaskId, Timestamp, Transition};

/// What the stand-in refuses and how it behaves.
#[derive(Clone, Debug)]
pub struct Rules {
    pub capacity: Capacity,
    pub quotas: BTreeMap<String, Capacity>,
    pub max_queued_tasks: u64,
    pub available: Result<(), Unavailable>,
    /// Every task succeeds at once.
    pub run_at_once: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            capacity: Capacity { task_slots: 4, memory_bytes: Some(1 << 30), pids: None },
            quotas: BTreeMap::from([("acme".into(), Capacity { task_slots: 1, memory_bytes: None, pids: Some(8) })]),
            max_queued_tasks: 3,
            available: Ok(()),
            run_at_once: false,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Fake {
    pub dispatcher: Dispatcher,
    pub readers: Readers,
    desk: Arc<Mutex<Desk>>,
}

#[derive(Debug)]
struct Desk {
    data_dir: PathBuf,
    rules: Rules,
    writer: Writer,
    ledger: Ledger,
    waiters: Waiters,
    draining: Arc<AtomicBool>,
}

impl Fake {
    /// A store in `dir` and a thread that ends with the last handle.
    pub fn new(dir: &Path, rules: Rules) -> Self {
        let (writer, readers) = store::open(&dir.join("runtime.db")).expect("opens");
        let (inbox, inputs) = mpsc::channel();
        let waiters = Waiters::default();
        let dispatcher = Dispatcher::new(inbox, waiters.clone());
        let ledger = Ledger::new(rules.capacity, &rules.quotas);
        let draining = dispatcher.draining_flag();
        let desk = Desk { data_dir: dir.to_owned(), rules, writer, ledger, waiters, draining };
        let desk = Arc::new(Mutex::new(desk));
        let worker = Arc::clone(&desk);
        std::thread::spawn(move || {
            for input in inputs {
                worker.lock().expect("not poisoned").handle(input);
            }
        });
        Self { dispatcher, readers, desk }
    }

    pub fn start(&self, id: &TaskId) -> Task {
        let mut desk = self.desk();
        let launch = desk.task(id).launch(Timestamp::now()).expect("queued");
        let mut running = testing::running(Timestamp::now().as_millis());
        running.started_monotonic_ms = 1;
        desk.ledger.reserve(id, launch.task().demand(), launch.task().spec().control.tenant.as_deref());
        let start = launch.task().start(&running).expect("launching");
        desk.commit(vec![launch, start])
    }

    pub fn finish(&self, id: &TaskId, code: i32) -> Task {
        let mut desk = self.desk();
        let exit = crate::task::Exit { at: Timestamp::now(), ..testing::exit(code) };
        let finish = desk.task(id).finish(&exit).expect("running");
        desk.ledger.release(id);
        desk.commit(vec![finish])
    }

    /// A store that is found broken by everything that comes.
    pub fn set_available(&self, available: Result<(), Unavailable>) {
        self.desk().rules.available = available;
    }

    /// Somebody waits for a change of this task.
    pub fn waits_for(&self, id: &TaskId) -> bool {
        self.desk().waiters.has(id)
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().expect("not poisoned")
    }
}

impl Desk {
    fn handle(&mut self, input: Input) {
        // A reply that nobody waits for any more is dropped.
        match input {
            Input::Submit { new, request, reply } => {
                self.submit_batch(vec![(Submission { new: *new, request }, reply)], false, None);
            }
            Input::SubmitBatch { submissions, atomic, once } => self.submit_batch(submissions, atomic, once),
            Input::Kill { kill, reply } => drop(reply.send(self.kill(kill))),
            Input::Question(Question::Resources { reply }) => drop(reply.send(self.resources())),
            Input::Question(Question::Check { reply }) => drop(reply.send(self.rules.available)),
            Input::Question(Question::Delete { id, owner, reply }) => {
                drop(reply.send(self.delete(&id, owner.as_deref())))
            }
            Input::Question(Question::Drain { waiting, reply }) => {
                self.drain(waiting);
                let _ = reply.send(());
            }
            _ => unreachable!("nothing behind the stand-in sends anything"),
        }
    }

    fn drain(&mut self, waiting: Waiting) {
        self.rules.available = Err(Unavailable::Draining);
        self.draining.store(true, Ordering::Relaxed);
        let queued = self.writer.live_tasks().expect("reads").queued;
        let now = Timestamp::now();
        let ends: Vec<_> = queued.iter().filter_map(|queued| self.task(&queued.id).drain(now).ok()).collect();
        if waiting == Waiting::Cancel && !ends.is_empty() {
            self.commit(ends);
        }
    }

    fn submit_batch(&mut self, submissions: Vec<(Submission, SubmitReply)>, atomic: bool, once: Option<Once>) {
        let key = once.as_ref().map(|once| &once.key);
        if let Some(earlier) = key.and_then(|key| self.writer.earlier(key).expect("reads")) {
            return drop(once.map(|once| once.reply.send(earlier)));
        }
        let mut accepted = Vec::new();
        let mut results = Vec::new();
        for (Submission { new, request }, reply) in submissions {
            let submitted = self.submit(new, accepted.len() as u64);
            results.push(submitted.as_ref().map(|step| step.task().clone()).map_err(Clone::clone));
            match submitted {
                Ok(step) => accepted.push((step, request, reply)),
                Err(error) if atomic => return drop(reply.send(Err(error))),
                Err(error) => drop(reply.send(Err(error))),
            }
        }
        let places = accepted.first().zip(accepted.last()).map(|(first, last)| (place(&first.0), place(&last.0)));
        if let (Some(Once { key, answer, reply: _ }), Some(tasks)) = (once, places) {
            let kept = KeptAnswer { key, tasks, answer: answer.of(&results) };
            self.writer.commit_with(&[], &[kept]).expect("commits");
        }
        for (step, request, reply) in accepted {
            let task = self.commit(vec![step]);
            files::keep(&self.data_dir, &task, &request);
            if self.rules.run_at_once {
                self.run(&task);
            }
            drop(reply.send(Ok(task)));
        }
    }

    /// `more` are accepted already and not committed yet.
    fn submit(&self, new: NewTask, more: u64) -> Result<Transition, SubmitError> {
        self.rules.available?;
        if let Some(task) = self.writer.task(&new.id).expect("reads") {
            return Err(SubmitError::conflict(&task));
        }
        let demand = crate::task::Reservation::of(&new.spec);
        self.ledger.check_ever_fits(demand, new.spec.control.tenant.as_deref())?;
        if self.waiting() + more >= self.rules.max_queued_tasks {
            return Err(SubmitError::QueueFull { max_queued_tasks: self.rules.max_queued_tasks });
        }
        Ok(Task::submit(new, self.writer.last_seq().expect("reads") + more + 1))
    }

    fn run(&mut self, task: &Task) {
        let now = Timestamp::now();
        let launch = task.launch(now).expect("queued");
        let start = launch.task().start(&testing::running(now.as_millis())).expect("launching");
        let finish = start.task().finish(&testing::exit(0)).expect("running");
        self.commit(vec![launch, start, finish]);
    }

    fn kill(&mut self, kill: Kill) -> Result<Task, KillError> {
        self.rules.available?;
        let Kill { id, owner, order } = kill;
        let task = self.writer.task(&id).expect("reads").ok_or(KillError::NotFound(id))?;
        if !is_owner(&task, owner.as_deref()) {
            return Err(KillError::NotOwner);
        }
        let now = Timestamp::now();
        let step = match task.state() {
            State::Queued => Some(task.cancel(now).expect("queued")),
            State::Launching { .. } | State::Running(_) => task.request_kill(order, now).expect("lives"),
            State::Ended { .. } => None,
        };
        Ok(step.map_or(task, |step| self.commit(vec![step])))
    }

    fn delete(&mut self, id: &TaskId, owner: Option<&str>) -> Result<(), DeleteError> {
        let task = self.writer.task(id).expect("reads").ok_or_else(|| DeleteError::NotFound(id.clone()))?;
        if !is_owner(&task, owner) {
            return Err(DeleteError::NotOwner);
        }
        let ended = self.writer.ended_task(id).expect("reads");
        let ended = ended.ok_or(DeleteError::NotEnded { task_id: id.clone(), status: task.status() })?;
        self.writer.forget(&[ended]).expect("forgets");
        Ok(())
    }

    fn resources(&self) -> Resources {
        let launched = self.writer.live_tasks().expect("reads").launched;
        let active = launched.iter().filter_map(ActiveReservation::of);
        let tenants = self.ledger.tenants();
        let tenants = tenants.map(|(name, account)| TenantResources { tenant: name.to_owned(), account: *account });
        Resources {
            whole: *self.ledger.whole(),
            active: active.collect(),
            waiting: self.waiting(),
            tenants: tenants.collect(),
        }
    }

    fn waiting(&self) -> u64 {
        self.writer.live_tasks().expect("reads").queued.len() as u64
    }

    fn task(&self, id: &TaskId) -> Task {
        self.writer.task(id).expect("reads").expect("there")
    }

    fn commit(&mut self, steps: Vec<Transition>) -> Task {
        self.writer.commit(&steps).expect("commits");
        steps.iter().for_each(|step| self.waiters.publish(step.task()));
        self.waiters.committed();
        steps.last().expect("a step").task().clone()
    }
}

fn place(step: &Transition) -> u64 {
    step.task().head().seq
}
