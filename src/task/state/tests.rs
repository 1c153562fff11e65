//! The full state × step table and random walks.

use proptest::prelude::*;

use super::*;
use crate::task::Draft;
use crate::task::exit::ExitStatus;
use crate::task::kill::KillSignal;
use crate::task::schedule::DraftSchedule;
use crate::task::testing::{DEFAULTS, at, exit, new_task, running};

#[derive(Clone, Copy, Debug)]
enum Step {
    Launch,
    Requeue,
    Start,
    Adopt,
    TimeOut,
    RequestKill,
    Cancel,
    Drain,
    Reject,
    Expire,
    DependencyMet,
    DependencyFailed,
    Finish,
}

const STEPS: [Step; 13] = [
    Step::Launch,
    Step::Requeue,
    Step::Start,
    Step::Adopt,
    Step::TimeOut,
    Step::RequestKill,
    Step::Cancel,
    Step::Drain,
    Step::Reject,
    Step::Expire,
    Step::DependencyMet,
    Step::DependencyFailed,
    Step::Finish,
];

/// `Ok(None)`: legal, but already noted.
fn apply(task: &Task, step: Step, now: i64) -> Result<Option<Transition>, IllegalTransition> {
    match step {
        Step::Launch => task.launch(at(now)).map(Some),
        Step::Requeue => task.requeue(NotLaunched::Lost, at(now)).map(Some),
        Step::Start => task.start(&running(now)).map(Some),
        Step::Adopt => task.adopt(at(now)).map(Some),
        Step::TimeOut => task.time_out(at(now)),
        Step::RequestKill => task.request_kill(KillOrder::default(), at(now)),
        Step::Cancel => task.cancel(at(now)).map(Some),
        Step::Drain => task.drain(at(now)).map(Some),
        Step::Reject => task.reject("too small", at(now)).map(Some),
        Step::Expire => task.expire(at(now.max(1050))).map(Some),
        Step::DependencyMet => task.dependency_met(other().id(), at(now)).map(Some),
        Step::DependencyFailed => task.dependency_failed(other().id(), Some(Status::Failed), at(now)).map(Some),
        Step::Finish => task.finish(&exit(0)).map(Some),
    }
}

fn other() -> Task {
    Task::submit(new_task("other"), 9).task().clone()
}

/// A task that may wait until 1050.
fn expiring() -> NewTask {
    let draft = DraftSchedule { expires_at: Some(at(1050)), ..DraftSchedule::default() };
    let draft = Draft { program: Some("x".into()), schedule: draft, ..Draft::default() };
    NewTask { spec: draft.validate(DEFAULTS).expect("valid"), ..new_task("t") }
}

fn in_each_state() -> [(&'static str, Task); 4] {
    let queued = Task::submit(expiring(), 1).task().clone();
    let launching = queued.launch(at(1010)).expect("queued").task().clone();
    let started = launching.start(&running(1020)).expect("launching").task().clone();
    let ended = started.finish(&exit(0)).expect("running").task().clone();
    [("queued", queued), ("launching", launching), ("running", started), ("ended", ended)]
}

#[test]
fn each_state_allows_exactly_these_steps() {
    let allowed = |state: &str, step: Step| match step {
        Step::Launch | Step::Cancel | Step::Drain | Step::Reject => state == "queued",
        Step::Expire | Step::DependencyMet | Step::DependencyFailed => state == "queued",
        Step::Requeue | Step::Start => state == "launching",
        Step::Adopt | Step::TimeOut => state == "running",
        Step::RequestKill | Step::Finish => state == "launching" || state == "running",
    };
    for (state, task) in in_each_state() {
        for step in STEPS {
            assert_eq!(apply(&task, step, 1100).is_ok(), allowed(state, step), "{step:?} while {state}");
        }
    }
}

fn types(transition: &Transition) -> Vec<&'static str> {
    transition.events.iter().map(|e| e.event_type.as_str()).collect()
}

#[test]
fn a_successful_task_makes_seven_events_in_order() {
    let submit = Task::submit(new_task("t"), 1);
    let launch = submit.task().launch(at(1010)).expect("queued");
    let start = launch.task().start(&running(1020)).expect("launching");
    let finish = start.task().finish(&exit(0)).expect("running");
    let all: Vec<_> = [&submit, &launch, &start, &finish].into_iter().flat_map(types).collect();
    assert_eq!(
        all,
        ["submitted", "accepted", "planned", "resource_reserved", "started", "resource_released", "finished"]
    );
}

#[test]
fn times_tell_the_truth_when_the_wall_clock_steps_back() {
    let queued = Task::submit(new_task("t"), 1).task().clone();
    let launching = queued.launch(at(500)).expect("queued").task().clone();
    let started = launching.start(&running(300)).expect("launching").task().clone();
    let ended = started.finish(&exit(0)).expect("running").task().clone();
    let started_at = ended.running().expect("ran").started_at;
    let finished_at = ended.outcome().expect("ended").finished_at;
    assert!(ended.head().created_at <= started_at && started_at <= finished_at && finished_at <= ended.updated_at());
    assert_eq!(finished_at.as_millis() - started_at.as_millis(), 100);
}

#[test]
fn a_start_that_is_told_after_a_kill_is_not_an_older_event() {
    let launching = Task::submit(new_task("t"), 1).task().launch(at(1500)).expect("queued").task().clone();
    let asked =
        launching.request_kill(KillOrder::default(), at(1510)).expect("launching").expect("first").task().clone();
    let started = asked.start(&running(1509)).expect("launching");
    assert_eq!(started.events[0].timestamp, at(1510));
    assert_eq!(started.task().running().expect("it runs").started_at, at(1509));
}

#[test]
fn a_kill_is_noted_once_for_each_way_in_which_it_is_asked_for() {
    let [_, _, (_, started), _] = in_each_state();
    let gentle = KillOrder { signal: KillSignal::Int, grace_ms: Some(60_000) };
    let asked = started.request_kill(gentle, at(1100)).expect("running").expect("first");
    assert_eq!(asked.events[0].data, Some(json!({"signal": "SIGINT", "grace_ms": 60_000})));
    let asked = asked.task();
    assert_eq!((asked.kill_requested(), asked.kill_order()), (true, gentle));
    assert!(asked.request_kill(gentle, at(1101)).expect("running").is_none());
    let plain = asked.request_kill(KillOrder::default(), at(1102)).expect("running").expect("another way");
    assert_eq!((plain.events[0].data.as_ref(), plain.task().kill_order()), (None, KillOrder::default()));
    assert!(plain.task().request_kill(KillOrder::default(), at(1103)).expect("running").is_none());
}

#[test]
fn waiting_is_told_from_the_submission_and_the_ends_of_others() {
    let waiting = Task::submit(new_task("t"), 1).waiting_for(vec![other().id().clone()]).queued_behind(at(1005));
    let standing = waiting.task().standing();
    assert_eq!((standing.queued_at, standing.waits_for.len(), standing.may_start(at(9999))), (at(1005), 1, false));
    let met = waiting.task().dependency_met(other().id(), at(1020)).expect("queued");
    let standing = met.task().standing();
    assert_eq!((standing.queued_at, standing.may_start(at(1020))), (at(1020), true));
    let failed = waiting.task().dependency_failed(other().id(), Some(Status::Failed), at(1020)).expect("queued");
    let error = failed.task().outcome().and_then(|outcome| outcome.error.clone()).expect("cancelled");
    assert_eq!(error.details, Some(json!({"task_id": "other", "status": "failed"})));
    assert_eq!(types(&failed), ["cancelled"]);
    assert!(Task::submit(expiring(), 1).task().expire(at(1049)).is_err(), "it may wait on");
}

#[test]
fn a_timeout_is_noted_once_even_when_only_the_exit_tells_it() {
    let [_, _, (_, started), _] = in_each_state();
    let timed_out = Exit { timed_out: true, ..exit(0) };
    let noted = started.time_out(at(1100)).expect("running").expect("first").task().clone();
    assert!(noted.time_out(at(1101)).expect("running").is_none());
    assert!(!types(&noted.finish(&timed_out).expect("running")).contains(&"timeout_triggered"));
    assert!(types(&started.finish(&timed_out).expect("running")).contains(&"timeout_triggered"));
}

#[test]
fn a_failed_launch_releases_its_reservation() {
    let [_, (_, launching), ..] = in_each_state();
    let facts =
        Exit { status: ExitStatus::LaunchFailed { step: "execve /x".into(), errno: 2 }, duration_ms: None, ..exit(0) };
    let failed = launching.finish(&facts).expect("launching");
    assert_eq!(types(&failed), ["resource_released", "failed"]);
    assert_eq!(failed.task().status(), Status::Failed);
    assert!(failed.task().reserved_at().is_some(), "kept for audit");
    assert!(!failed.task().holds_reservation());
}

proptest! {
    #[test]
    fn random_walks_keep_the_laws(steps in prop::collection::vec((0..STEPS.len(), 0_i64..5000), 0..40)) {
        let mut task = Task::submit(expiring(), 1).task().clone();
        for (index, now) in steps {
            let Ok(Some(transition)) = apply(&task, STEPS[index], now) else { continue };
            prop_assert!(!task.status().is_terminal(), "left a terminal state");
            prop_assert_eq!(transition.expected_revision(), Some(task.revision()));
            let next = transition.task().clone();
            prop_assert_eq!(next.revision(), task.revision() + 1);
            prop_assert!(next.updated_at() >= task.updated_at());
            let mut times = transition.events.iter().map(|event| event.timestamp);
            prop_assert!(times.clone().is_sorted() && times.all(|time| (task.updated_at()..=next.updated_at()).contains(&time)));
            let json = serde_json::to_string(next.progress()).expect("serialises");
            prop_assert_eq!(&serde_json::from_str::<Progress>(&json).expect("parses"), next.progress());
            task = next;
        }
    }
}
