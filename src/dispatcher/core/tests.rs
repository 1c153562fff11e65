//! Events in, exact effects out; the ledger's invariant is checked after each step.

mod schedule;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::dispatcher::handle::{Answer, Kill, Once, Submission};
use crate::ledger::Capacity;
use crate::store::QueuedTask;
use crate::task::state::Running;
use crate::task::testing::{DEFAULTS, at, exit, new_task, running};
use crate::task::{Status, TaskErrorCode};

#[derive(Default)]
struct Shelf {
    tasks: HashMap<TaskId, Task>,
    answers: Vec<KeptAnswer>,
    broken: bool,
}

impl Stored for Shelf {
    fn task(&self, id: &TaskId) -> Result<Option<Task>, StoreError> {
        if self.broken {
            return Err(StoreError::Stale { id: id.clone() });
        }
        Ok(self.tasks.get(id).cloned())
    }

    fn earlier(&self, key: &RequestKey) -> Result<Option<Earlier>, StoreError> {
        Ok(self.answers.iter().find_map(|kept| key.compare(kept)))
    }
}

struct Fixture {
    core: Core,
    shelf: Shelf,
}

fn fixture(slots: u64) -> Fixture {
    let ledger = Ledger::new(Capacity { task_slots: slots, memory_bytes: None, pids: None }, &BTreeMap::new());
    Fixture { core: Core::new(ledger, 3, 0), shelf: Shelf::default() }
}

fn id(name: &str) -> TaskId {
    TaskId::parse(name).expect("valid")
}

fn names(turn: &Turn) -> Vec<&'static str> {
    let name = |effect: &Effect| match effect {
        Effect::AnswerSubmit { answer: Ok(_), .. } => "accepted",
        Effect::AnswerSubmit { answer: Err(_), .. } => "refused",
        Effect::AnswerEarlier { .. } => "known",
        Effect::AnswerKill { answer: Ok(_), .. } => "kill answered",
        Effect::AnswerKill { answer: Err(_), .. } => "kill refused",
        Effect::Launch(_) => "launch",
        Effect::Terminate(..) => "terminate",
        Effect::WriteResult(_) => "write result",
        Effect::Started(_) => "started",
        Effect::Ended(_) => "ended",
    };
    turn.effects.iter().map(name).collect()
}

impl Fixture {
    fn turn(&mut self, inputs: Vec<Input>) -> Turn {
        let turn = self.core.decide(Turn::default(), inputs, &self.shelf, at(1100));
        self.check_ledger();
        turn
    }

    fn commit(&mut self, turn: &Turn) {
        for transition in &turn.transitions {
            self.shelf.tasks.insert(transition.task().id().clone(), transition.task().clone());
        }
        self.shelf.answers.extend(turn.answers.clone());
    }

    fn run(&mut self, inputs: Vec<Input>) -> Vec<&'static str> {
        let turn = self.turn(inputs);
        self.commit(&turn);
        names(&turn)
    }

    fn check_ledger(&self) {
        let resources = self.core.resources();
        assert_eq!(resources.whole.reserved.task_slots, resources.active.len() as u64);
        let at_hand = self.core.live.values().filter(|l| matches!(l.task.state(), State::Queued) && l.ending.is_none());
        let in_queue = self.core.waiting().filter(|(id, ..)| self.core.live.contains_key(id));
        assert_eq!(in_queue.count(), at_hand.count());
    }

    fn started(&self, name: &str) -> Input {
        Input::Fact(Fact::Report(Report::Started { task_id: id(name), running: self.running(name) }))
    }

    fn exited(&self, name: &str) -> Input {
        let launch_id = self.running(name).launch_id;
        Input::Fact(Fact::Report(Report::Exited { task_id: id(name), launch_id, exit: exit(0) }))
    }

    fn running(&self, name: &str) -> Running {
        let launch_id = self.core.live[&id(name)].task.launch_id().expect("launched");
        Running { launch_id, ..running(1020) }
    }
}

fn submit(name: &str) -> Input {
    Input::Submit { new: Box::new(new_task(name)), request: vec![], reply: oneshot::channel().0 }
}

fn batch(names: &[&str], atomic: bool) -> Input {
    let submission = |name: &&str| (Submission { new: new_task(name), request: vec![] }, oneshot::channel().0);
    Input::SubmitBatch { submissions: names.iter().map(submission).collect(), atomic, once: None }
}

/// The same under a key, with the answer to one who comes again.
fn keyed(names: &[&str], key: &str, digest: u8) -> (Input, oneshot::Receiver<Earlier>) {
    let Input::SubmitBatch { submissions, .. } = batch(names, false) else { unreachable!("it is a batch") };
    let (reply, earlier) = oneshot::channel();
    let key = RequestKey { tenant: String::new(), key: key.into(), digest: [digest; 32] };
    let answer = Answer::new(|results| format!("{} accepted", results.iter().flatten().count()));
    (Input::SubmitBatch { submissions, atomic: false, once: Some(Once { key, answer, reply }) }, earlier)
}

fn kill(name: &str) -> Input {
    kill_by(name, None)
}

fn kill_by(name: &str, owner: Option<String>) -> Input {
    let kill = Kill { id: id(name), owner, order: KillOrder::default() };
    Input::Kill { kill, reply: oneshot::channel().0 }
}

fn written(name: &str) -> Input {
    Input::Fact(Fact::ResultWritten { id: id(name) })
}

#[test]
fn a_task_goes_from_submit_to_its_end_and_its_slot_starts_the_next() {
    let mut f = fixture(1);
    assert_eq!(f.run(vec![submit("a"), submit("b")]), ["accepted", "launch", "accepted"]);
    let (started, exited) = (f.started("a"), f.exited("a"));
    assert_eq!(f.run(vec![started]), ["started"]);
    assert_eq!(f.run(vec![exited]), ["write result"]);
    assert_eq!(f.shelf.tasks[&id("a")].status(), Status::Running, "its files come first");
    assert_eq!(f.run(vec![written("a")]), ["ended", "launch"]);
    assert_eq!(f.shelf.tasks[&id("a")].status(), Status::Success);
}

#[test]
fn an_id_is_used_once_among_live_and_ended_tasks_whatever_the_turn() {
    let mut f = fixture(1);
    assert_eq!(f.run(vec![submit("a"), submit("a")]), ["accepted", "launch", "refused"]);
    let (started, exited) = (f.started("a"), f.exited("a"));
    f.run(vec![started, exited]);
    f.run(vec![written("a")]);
    assert_eq!(f.run(vec![submit("a")]), ["refused"]);
}

#[test]
fn the_queue_has_an_end_and_a_draining_runtime_takes_nothing() {
    let mut f = fixture(1);
    let all = ["a", "b", "c", "d", "e"].map(submit).into();
    assert_eq!(f.run(all), ["accepted", "launch", "accepted", "accepted", "accepted", "refused"]);
    f.core.draining = true;
    assert_eq!(f.run(vec![submit("f")]), ["refused"]);
}

#[test]
fn a_batch_is_as_many_submissions_in_one_turn() {
    let mut f = fixture(2);
    let names = ["a", "b", "c", "a", "d", "e", "f"];
    let expected =
        ["accepted", "launch", "accepted", "launch", "accepted", "refused", "accepted", "accepted", "refused"];
    assert_eq!(f.run(vec![batch(&names, false)]), expected, "the queue has three places");
    assert_eq!(f.run(vec![batch(&["g", "a"], false)]), ["refused", "refused"]);
}

#[test]
fn an_atomic_batch_that_is_refused_leaves_all_as_it_was() {
    let mut f = fixture(2);
    f.run(vec![submit("known")]);
    let before = format!("{:?}", sorted(&f));
    for names in [&["a", "b", "known", "c"][..], &["a", "b", "c", "d", "e"], &["a", "a"]] {
        assert_eq!(f.run(vec![batch(names, true)]), ["refused"], "{names:?}");
        assert_eq!(before, format!("{:?}", sorted(&f)));
    }
    // What else is in the turn stays.
    let turn = vec![submit("x"), batch(&["a", "known"], true), submit("y")];
    assert_eq!(f.run(turn), ["accepted", "launch", "refused", "accepted"]);
    assert_eq!(f.run(vec![batch(&["a", "b"], true)]), ["accepted", "accepted"]);
    assert_eq!(f.shelf.tasks.len(), 5);
}

#[test]
fn a_request_under_a_key_is_done_once_in_one_turn_or_in_many() {
    let mut f = fixture(1);
    let (first, mut none) = keyed(&["a", "b"], "k", 1);
    let (again, _) = keyed(&["c", "d"], "k", 1);
    assert_eq!(f.run(vec![first, again]), ["accepted", "launch", "accepted", "known"]);
    assert!(none.try_recv().is_err());
    assert_eq!(f.shelf.answers[0].tasks, (1, 2));
    let (again, _) = keyed(&["c"], "k", 1);
    let (other, _) = keyed(&["c"], "k", 2);
    let turn = f.turn(vec![again, other]);
    let told = turn.effects.iter().map(|effect| match effect {
        Effect::AnswerEarlier { earlier, .. } => earlier.clone(),
        effect => panic!("{effect:?}"),
    });
    assert_eq!(told.collect::<Vec<_>>(), [Earlier::Same("2 accepted".into()), Earlier::Other]);
    assert!(turn.transitions.is_empty());
    // What was not accepted may be tried again.
    let (refused, _) = keyed(&["a"], "l", 1);
    assert_eq!(f.run(vec![refused]), ["refused"]);
    let (again, _) = keyed(&["c"], "l", 1);
    assert_eq!(f.run(vec![again]), ["accepted"]);
}

#[test]
fn a_waiting_task_is_cancelled_without_a_start() {
    let mut f = fixture(1);
    f.run(vec![submit("a"), submit("b")]);
    assert_eq!(f.run(vec![kill("b")]), ["write result"]);
    let exited = f.exited("a");
    f.run(vec![exited]);
    assert_eq!(f.run(vec![written("a")]), ["ended"], "b is not started although the slot is free");
    assert_eq!(f.run(vec![kill("b"), written("b")]), ["kill answered", "kill answered", "ended"]);
    assert_eq!(f.shelf.tasks[&id("b")].status(), Status::Cancelled);
    assert_eq!(f.run(vec![kill("b")]), ["kill answered"], "idempotent");
}

#[test]
fn a_kill_before_the_start_is_known_reaches_the_command_when_it_is() {
    let mut f = fixture(1);
    f.run(vec![submit("a")]);
    assert!(f.run(vec![kill("a")]).is_empty(), "nobody to signal yet");
    let started = f.started("a");
    assert_eq!(f.run(vec![started]), ["started", "terminate", "kill answered"]);
    assert_eq!(f.run(vec![kill("a")]), ["terminate", "kill answered"]);
    let kills = f.shelf.tasks[&id("a")].progress();
    assert!(f.shelf.tasks[&id("a")].kill_requested(), "{kills:?}");
}

#[test]
fn an_owned_task_is_killed_by_its_owner_alone() {
    let mut f = fixture(1);
    let mut new = new_task("a");
    let draft = crate::task::Draft { program: Some("x".into()), owner: Some("ann".into()), ..Default::default() };
    new.spec = draft.validate(DEFAULTS).expect("valid");
    f.core.paused = true;
    f.run(vec![Input::Submit { new: Box::new(new), request: vec![], reply: oneshot::channel().0 }]);
    f.core.live.clear();
    assert_eq!(f.run(vec![kill("a")]), ["kill refused"]);
    assert!(f.core.live.is_empty(), "a refusal brings nothing into memory");
    f.core.paused = false;
    f.run(vec![]);
    assert_eq!(f.run(vec![kill("a")]), ["kill refused"]);
    let by = |owner: &str| kill_by("a", Some(owner.into()));
    assert_eq!(f.run(vec![by("bob")]), ["kill refused"]);
    let started = f.started("a");
    f.run(vec![started]);
    assert_eq!(f.run(vec![by("ann")]), ["terminate", "kill answered"]);
    assert_eq!(f.run(vec![kill("nobody")]), ["kill refused"]);
}

#[test]
fn a_launch_without_a_trace_goes_back_to_its_place() {
    let mut f = fixture(1);
    f.run(vec![submit("a"), submit("b")]);
    let launch_id = f.running("a").launch_id;
    let lost = || Input::Fact(Fact::NeverStarted { id: id("a"), launch_id });
    assert_eq!(f.run(vec![lost()]), ["launch"], "a again, not b");
    assert_ne!(f.running("a").launch_id, launch_id);
    assert!(f.run(vec![lost()]).is_empty(), "an old launch is not this one");
}

#[test]
fn a_killed_launch_that_never_happened_is_cancelled() {
    let mut f = fixture(1);
    f.run(vec![submit("a")]);
    let launch_id = f.running("a").launch_id;
    f.run(vec![kill("a")]);
    assert_eq!(f.run(vec![Input::Fact(Fact::NeverStarted { id: id("a"), launch_id })]), ["write result"]);
    f.run(vec![written("a")]);
    assert_eq!(f.shelf.tasks[&id("a")].status(), Status::Cancelled);
}

#[test]
fn a_task_that_the_machine_has_no_process_for_is_tried_again_before_anything_else() {
    let mut f = fixture(1);
    f.run(vec![submit("a"), submit("b")]);
    let refused = |f: &Fixture| {
        let failure =
            Exit { status: crate::task::ExitStatus::LaunchFailed { step: "fork shim".into(), errno: 11 }, ..exit(0) };
        let launch_id = f.running("a").launch_id;
        Input::Fact(Fact::Report(Report::NotForked { task_id: id("a"), launch_id, failure }))
    };
    let first = refused(&f);
    assert!(f.run(vec![first]).is_empty(), "nothing starts at once");
    assert!(f.run(vec![]).is_empty());
    f.core.shortage.tick(100);
    assert_eq!(f.run(vec![]), ["launch"], "a again, not b");
    let second = refused(&f);
    f.core.shortage.tick(29_000);
    assert!(f.run(vec![second]).is_empty());
    f.core.shortage.tick(30_000);
    assert_eq!(f.run(vec![]), ["launch"]);
    let last = refused(&f);
    assert_eq!(f.run(vec![last]), ["write result"], "it was tried for long enough");
    f.run(vec![written("a")]);
    let error = f.shelf.tasks[&id("a")].outcome().and_then(|o| o.error.clone()).expect("failed");
    assert_eq!(error.code, TaskErrorCode::LaunchFailed);
    f.core.shortage.tick(40_000);
    assert_eq!(f.run(vec![]), ["launch"], "b");
}

#[test]
fn records_of_an_earlier_launch_of_the_same_name_change_nothing() {
    let mut f = fixture(1);
    f.run(vec![submit("a")]);
    let old = crate::task::state::LaunchId::of_test(999, 2);
    let report = Report::Exited { task_id: id("a"), launch_id: old, exit: exit(0) };
    assert!(f.run(vec![Input::Fact(Fact::Report(report))]).is_empty());
}

#[test]
fn a_shrunk_runtime_rejects_what_can_never_start() {
    let mut f = fixture(1);
    f.core.paused = true;
    f.run(vec![submit("a")]);
    let task = &f.shelf.tasks[&id("a")];
    let (seq, standing) = (task.head().seq, task.standing());
    let waiting = QueuedTask { seq, id: id("a"), demand: task.demand(), tenant: None, standing };
    let none = Ledger::new(Capacity { task_slots: 0, memory_bytes: None, pids: None }, &BTreeMap::new());
    f.core = Core::new(none, 3, 1);
    f.core.restore(LiveTasks { launched: vec![], queued: vec![waiting] }, at(1900));
    let rejected = f.core.reject_what_never_fits(&f.shelf, at(2000)).expect("reads");
    assert_eq!(names(&rejected), ["write result"]);
    f.run(vec![written("a")]);
    let error = f.shelf.tasks[&id("a")].outcome().and_then(|o| o.error.clone()).expect("failed");
    assert_eq!(error.code, TaskErrorCode::ResourceLimitExceeded);
}

#[test]
fn what_could_not_start_starts_without_anything_new() {
    let mut f = fixture(1);
    f.core.paused = true;
    f.run(vec![submit("a")]);
    f.core.paused = false;
    let turn = f.turn(vec![]);
    assert_eq!(names(&turn), ["launch"]);
    f.core.undo(turn);
    assert_eq!(f.run(vec![]), ["launch"], "its first commit failed");
}

#[test]
fn what_waits_far_behind_is_in_the_store_alone_and_has_its_turn() {
    let waiting = AT_HAND + 10;
    let mut f = fixture(1);
    f.core.max_queued_tasks = waiting as u64;
    let name = |n: usize| format!("t{n}");
    for n in 0..=waiting {
        let turn = f.turn(vec![submit(&name(n))]);
        f.commit(&turn);
        f.core.settle(&turn.transitions);
    }
    assert_eq!((f.core.live.len(), f.core.queue.len()), (AT_HAND + 1, waiting));
    assert_eq!(f.core.resources().waiting, waiting as u64);
    assert_eq!(f.run(vec![submit(&name(waiting))]), ["refused"], "its id is known");
    assert_eq!(f.run(vec![kill(&name(waiting))]), ["write result"]);
    assert_eq!(f.run(vec![written(&name(waiting))]), ["kill answered", "ended"]);
    for n in 0..waiting {
        let (started, exited) = (f.started(&name(n)), f.exited(&name(n)));
        f.run(vec![started, exited]);
        let last = f.run(vec![written(&name(n))]);
        let expected: &[_] = if n + 1 < waiting { &["ended", "launch"] } else { &["ended"] };
        assert_eq!(last, expected, "after {n}");
    }
    assert!(f.core.live.is_empty() && f.core.queue.len() == 0);
}

#[test]
fn what_cannot_be_read_keeps_its_place() {
    let mut f = fixture(1);
    f.run(vec![submit("a"), submit("b")]);
    f.core.live.remove(&id("b"));
    let (started, exited) = (f.started("a"), f.exited("a"));
    f.run(vec![started, exited]);
    f.shelf.broken = true;
    assert_eq!(f.run(vec![written("a")]), ["ended"]);
    f.shelf.broken = false;
    let b = f.shelf.tasks.remove(&id("b")).expect("stored");
    assert!(f.run(vec![]).is_empty(), "it is not there");
    f.shelf.tasks.insert(id("b"), b);
    assert_eq!(f.run(vec![]), ["launch"], "b");
}

#[test]
fn starts_wait_for_company_and_nothing_else_does() {
    let mut f = fixture(2);
    let submitted = f.turn(vec![submit("a"), submit("b")]);
    assert!(!submitted.can_wait());
    f.commit(&submitted);
    let started = [f.started("a"), f.exited("a"), f.started("b")];
    let mut turn = f.turn(started.into());
    assert!(turn.can_wait());
    assert_eq!(turn.take_results().len(), 1);
    let turn = f.core.decide(turn, vec![written("a")], &f.shelf, at(1200));
    assert!(!turn.can_wait());
    assert_eq!(names(&turn), ["started", "started", "ended"]);
    f.core.undo(turn);
    f.check_ledger();
    assert_eq!(f.core.live[&id("a")].task.status(), Status::Accepted, "as it was before the first of them");
}

#[test]
fn a_failed_commit_changes_nothing_and_tells_those_who_wait() {
    let mut f = fixture(1);
    let (reply, mut answer) = oneshot::channel();
    let turn = f.turn(vec![Input::Submit { new: Box::new(new_task("a")), request: vec![], reply }]);
    assert!(f.core.undo(turn).is_empty());
    f.check_ledger();
    assert!(f.core.live.is_empty());
    assert!(matches!(answer.try_recv(), Ok(Err(SubmitError::Unavailable(Unavailable::Storage)))));
}

proptest! {
    /// Whatever a turn did, taking it back and doing it again gives the same as doing it once.
    #[test]
    fn undo_is_exact(choices in prop::collection::vec((0_u8..7, 0_u8..4, any::<bool>()), 1..60)) {
        let mut f = fixture(2);
        for (what, task, fail) in choices {
            let name = ["a", "b", "c", "d"][usize::from(task)];
            let launched = f.core.live.get(&id(name)).is_some_and(|l| l.task.launch_id().is_some());
            let inputs = |f: &Fixture| match what {
                0 => vec![submit(name)],
                1 if launched => vec![f.started(name)],
                2 if launched => vec![f.exited(name)],
                3 => vec![written(name)],
                4 => vec![kill(name)],
                5 if launched => vec![f.started(name), f.exited(name), kill(name)],
                6 if launched => {
                    vec![Input::Fact(Fact::NeverStarted { id: id(name), launch_id: f.running(name).launch_id })]
                }
                _ => vec![],
            };
            if fail {
                let before = format!("{:?}", sorted(&f));
                let first = inputs(&f);
                let turn = f.turn(first);
                f.core.undo(turn);
                f.check_ledger();
                prop_assert_eq!(before, format!("{:?}", sorted(&f)));
            }
            let again = inputs(&f);
            f.run(again);
        }
    }
}

fn sorted(f: &Fixture) -> (BTreeMap<TaskId, (Task, bool)>, Vec<TaskId>) {
    let live = f.core.live.iter().map(|(id, l)| (id.clone(), (l.task.clone(), l.ending.is_some()))).collect();
    (live, f.core.resources().active.into_iter().map(|a| a.task_id).collect())
}

#[test]
fn a_drain_cancels_what_waits_a_few_at_a_time_and_says_when_nothing_is_left() {
    let mut f = fixture(1);
    f.run(vec![submit("runs"), submit("b"), submit("c"), submit("d")]);
    f.core.draining = true;
    let cancel = |f: &mut Fixture| {
        let turn = f.core.cancel_waiting(2, &f.shelf, at(1200));
        f.check_ledger();
        turn.map(|turn| names(&turn))
    };
    assert_eq!(cancel(&mut f), Some(vec!["write result", "write result"]));
    assert_eq!(cancel(&mut f), Some(vec![]), "their files come first");
    assert_eq!(f.run(vec![written("b")]), ["ended"]);
    assert_eq!(cancel(&mut f), Some(vec![]));
    assert_eq!(f.run(vec![written("c")]), ["ended"]);
    assert_eq!(f.shelf.tasks[&id("c")].status(), Status::Cancelled);
    assert_eq!(cancel(&mut f), Some(vec!["write result"]));
    assert_eq!(f.run(vec![written("d")]), ["ended"]);
    assert_eq!(cancel(&mut f), None);
    assert_eq!(f.run(vec![submit("e")]), ["refused"]);
    assert_eq!(f.core.resources().active.len(), 1, "what runs goes on");
}
