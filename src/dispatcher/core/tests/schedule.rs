//! What waits for a time or for other tasks.

use super::*;
use crate::task::schedule::{DependsOn, DraftDependency, DraftSchedule};
use crate::task::{Draft, ExitStatus};

fn scheduled(name: &str, schedule: DraftSchedule) -> Input {
    let draft = Draft { program: Some("x".into()), schedule, ..Draft::default() };
    let new = NewTask { spec: draft.validate(DEFAULTS).expect("valid"), ..new_task(name) };
    Input::Submit { new: Box::new(new), request: vec![], reply: oneshot::channel().0 }
}

fn after(name: &str, others: &[&str], on: DependsOn) -> Input {
    let each = |other: &&str| DraftDependency { task_id: (*other).to_owned(), on: Some(on) };
    scheduled(name, DraftSchedule { depends_on: Some(others.iter().map(each).collect()), ..DraftSchedule::default() })
}

impl Fixture {
    fn at(&mut self, ms: i64) -> Vec<&'static str> {
        let turn = self.core.decide(Turn::default(), vec![], &self.shelf, at(ms));
        self.check_ledger();
        self.commit(&turn);
        names(&turn)
    }

    /// From its start to its end, with what follows from that.
    fn finish(&mut self, name: &str, code: i32) -> Vec<&'static str> {
        let (started, launch_id) = (self.started(name), self.running(name).launch_id);
        let exit = Exit { status: ExitStatus::Exited { code }, ..exit(code) };
        let exited = Input::Fact(Fact::Report(Report::Exited { task_id: id(name), launch_id, exit }));
        self.run(vec![started, exited]);
        self.run(vec![written(name)])
    }

    fn status(&self, name: &str) -> Status {
        self.shelf.tasks[&id(name)].status()
    }

    /// The memory of a server that is killed now and started again.
    fn restart(&mut self, slots: u64, now: i64) {
        let tasks = self.shelf.tasks.values().filter(|task| !task.status().is_terminal());
        let queued = tasks.clone().filter(|task| matches!(task.state(), State::Queued)).map(|task| QueuedTask {
            seq: task.head().seq,
            id: task.id().clone(),
            demand: task.demand(),
            tenant: None,
            standing: task.standing(),
        });
        let live = LiveTasks {
            queued: queued.collect(),
            launched: tasks.filter(|task| task.launch_id().is_some()).cloned().collect(),
        };
        self.core = fixture(slots).core;
        self.core.restore(live, at(now));
        self.core.find_ended_dependencies(&self.shelf).expect("reads");
    }
}

#[test]
fn a_task_is_not_started_before_its_time_and_counts_as_waiting() {
    let mut f = fixture(1);
    let schedule = DraftSchedule { start_after: Some(at(5000)), ..DraftSchedule::default() };
    assert_eq!(f.run(vec![scheduled("a", schedule)]), ["accepted"]);
    assert_eq!(
        (f.core.resources().waiting, f.core.due_in(at(1100))),
        (1, Some(std::time::Duration::from_millis(3900)))
    );
    f.restart(1, 4999);
    assert!(f.at(4999).is_empty());
    assert_eq!(f.at(5000), ["launch"]);
    assert_eq!(f.core.due_in(at(5000)), None);
}

#[test]
fn who_has_waited_for_too_long_is_cancelled_wherever_it_waits_and_whoever_was_away() {
    let mut f = fixture(1);
    let until = |ms| DraftSchedule { expires_at: Some(at(ms)), ..DraftSchedule::default() };
    let later = DraftSchedule { start_after: Some(at(3000)), ..until(4000) };
    f.run(vec![submit("runs"), scheduled("queued", until(2000)), scheduled("delayed", later)]);
    assert!(f.at(1999).is_empty());
    f.core.live.remove(&id("queued"));
    assert_eq!(f.at(2000), ["write result"]);
    assert_eq!(f.run(vec![written("queued")]), ["ended"]);
    f.restart(1, 9000);
    assert_eq!(f.at(9000), ["write result"]);
    f.run(vec![written("delayed")]);
    assert_eq!((f.status("queued"), f.status("delayed")), (Status::Cancelled, Status::Cancelled));
    let mut f = fixture(1);
    assert_eq!(f.run(vec![scheduled("past", until(1000))]), ["accepted", "write result"]);
}

#[test]
fn a_higher_priority_starts_first() {
    let mut f = fixture(1);
    let priority = |n| DraftSchedule { priority: Some(n), ..DraftSchedule::default() };
    f.run(vec![submit("runs"), submit("plain"), scheduled("low", priority(-1)), scheduled("high", priority(1))]);
    for (name, next) in [("runs", "high"), ("high", "plain"), ("plain", "low")] {
        assert_eq!(f.finish(name, 0), ["ended", "launch"]);
        assert!(f.core.live[&id(next)].task.launch_id().is_some(), "{next}");
    }
}

#[test]
fn a_dependent_starts_when_the_last_of_its_dependencies_has_ended_as_it_had_to() {
    let mut f = fixture(2);
    f.run(vec![submit("a"), submit("b")]);
    assert_eq!(f.run(vec![after("both", &["a", "b"], DependsOn::Success)]), ["accepted"]);
    assert_eq!(f.finish("a", 0), ["ended"]);
    f.restart(2, 1100);
    assert_eq!(f.finish("b", 0), ["ended", "launch"]);
    assert_eq!(f.run(vec![after("at-once", &["a"], DependsOn::Success)]), ["accepted", "launch"]);
}

#[test]
fn a_dependent_is_cancelled_when_a_dependency_ends_otherwise_unless_any_end_will_do() {
    let mut f = fixture(1);
    f.run(vec![submit("a")]);
    f.run(vec![after("needs-success", &["a"], DependsOn::Success), after("needs-end", &["a"], DependsOn::End)]);
    f.run(vec![after("needs-it", &["needs-success"], DependsOn::Success)]);
    assert_eq!(f.finish("a", 1), ["ended", "write result", "launch"]);
    assert_eq!(f.run(vec![written("needs-success")]), ["ended", "write result"]);
    f.run(vec![written("needs-it")]);
    assert_eq!((f.status("needs-it"), f.core.agenda.awaited().count()), (Status::Cancelled, 0));
    let late = f.run(vec![after("late", &["a"], DependsOn::Success)]);
    assert_eq!(late, ["write result", "accepted"], "it ended before");
    assert_eq!(f.run(vec![after("lost", &["nobody"], DependsOn::End)]), ["refused"]);
    assert_eq!(f.run(vec![after("itself", &["itself"], DependsOn::End)]), ["refused"]);
}

#[test]
fn an_end_is_told_after_a_restart_too_and_its_task_is_kept_until_then() {
    let mut f = fixture(1);
    f.run(vec![submit("a")]);
    f.run(vec![after("b", &["a"], DependsOn::Success)]);
    assert!(f.core.is_awaited(&id("a")));
    let ended = f.shelf.tasks[&id("a")].start(&f.running("a")).expect("launching").task().finish(&exit(0));
    f.shelf.tasks.insert(id("a"), ended.expect("running").task().clone());
    f.restart(1, 1100);
    assert_eq!(f.run(vec![]), ["launch"]);
    assert!(!f.core.is_awaited(&id("a")));
}

#[test]
fn a_failed_commit_tells_nobody_and_the_next_one_tells_all() {
    let mut f = fixture(1);
    f.run(vec![submit("a")]);
    f.run(vec![after("b", &["a"], DependsOn::Success)]);
    let (started, exited) = (f.started("a"), f.exited("a"));
    f.run(vec![started, exited]);
    let turn = f.turn(vec![written("a")]);
    assert_eq!(names(&turn), ["ended", "launch"]);
    let facts = f.core.undo(turn);
    f.check_ledger();
    assert!(f.run(vec![]).is_empty());
    assert_eq!(f.run(facts.into_iter().map(Input::Fact).collect()), ["ended", "launch"]);
}

#[test]
fn many_who_wait_for_one_are_told_a_few_at_a_time() {
    let mut f = fixture(1);
    f.core.max_queued_tasks = 2000;
    f.run(vec![submit("a")]);
    let names: Vec<_> = (0..600).map(|n| format!("w{n}")).collect();
    f.run(names.iter().map(|name| after(name, &["a"], DependsOn::Success)).collect());
    assert_eq!(f.finish("a", 0), ["ended", "launch"]);
    let waiting = |f: &Fixture| f.core.agenda.len();
    assert_eq!(waiting(&f), 600 - 256);
    assert!(f.core.due_in(at(1100)).is_some());
    let turn = f.turn(vec![]);
    f.core.undo(turn);
    assert_eq!(waiting(&f), 600 - 256, "its commit failed");
    f.run(vec![]);
    f.run(vec![]);
    f.run(vec![]);
    assert_eq!((waiting(&f), f.core.due_in(at(1100)), f.core.queue.len()), (0, None, 599));
}

#[test]
fn a_chain_of_ten_thousand_falls_without_recursion() {
    const LENGTH: usize = 10_000;
    let mut f = fixture(1);
    f.core.max_queued_tasks = LENGTH as u64 + 1;
    f.run(vec![submit("t0")]);
    for n in 1..LENGTH {
        let turn = f.core.decide(
            Turn::default(),
            vec![after(&format!("t{n}"), &[&format!("t{}", n - 1)], DependsOn::Success)],
            &f.shelf,
            at(1100),
        );
        f.commit(&turn);
        f.core.settle(&turn.transitions);
    }
    let (started, launch_id) = (f.started("t0"), f.running("t0").launch_id);
    let exit = Exit { status: ExitStatus::Exited { code: 1 }, ..exit(1) };
    let exited = Input::Fact(Fact::Report(Report::Exited { task_id: id("t0"), launch_id, exit }));
    let begin = f.core.decide(Turn::default(), vec![started, exited], &f.shelf, at(1100));
    f.commit(&begin);
    for n in 0..LENGTH {
        let turn = f.core.decide(Turn::default(), vec![written(&format!("t{n}"))], &f.shelf, at(1100));
        f.commit(&turn);
    }
    assert_eq!(f.status(&format!("t{}", LENGTH - 1)), Status::Cancelled);
    assert_eq!((f.core.live.len(), f.core.waiting_len()), (0, 0));
}

#[test]
fn a_tenant_s_token_depends_on_that_tenant_s_tasks_alone() {
    let mut f = fixture(1);
    f.run(vec![submit("a")]);
    for (sees, answer) in [(Some("acme".to_owned()), "refused"), (None, "accepted")] {
        let Input::Submit { mut new, request, reply } = after("b", &["a"], DependsOn::End) else {
            unreachable!("it is a submission")
        };
        new.sees = sees;
        assert_eq!(f.run(vec![Input::Submit { new, request, reply }]), [answer]);
    }
}
