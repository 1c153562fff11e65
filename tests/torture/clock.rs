//! Steps of the wall clock, an hour forward and an hour back, while tasks run. Only in a machine that is there for
//! tests alone: `just test-vm clock::`.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};

use crate::api::Api;
use crate::plan::Profile;
use crate::processes::Role;
use crate::runtime::{Runtime, until};
use crate::scene::{SOON, accepted, end, gated, open_gate, pid_of, status, until_running};

/// Set where nobody else lives by the clock.
const PERMISSION: &str = "EXECGO_TEST_MAY_SET_CLOCK";
const HOUR: i64 = 3600;

/// The wall clock, ours alone; right again when this is dropped.
struct Clock {
    right: SystemTime,
    since: Instant,
    _ours: MutexGuard<'static, ()>,
}

impl Clock {
    fn take(test: &str) -> Option<Self> {
        static OURS: Mutex<()> = Mutex::new(());
        if std::env::var_os(PERMISSION).is_none() {
            let _ = writeln!(std::io::stderr(), "SKIPPED {test}: sets the clock, and {PERMISSION} does not allow it");
            return None;
        }
        let ours = OURS.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Self { right: SystemTime::now(), since: Instant::now(), _ours: ours })
    }

    fn step(&self, seconds: i64) {
        set(SystemTime::now(), seconds);
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        set(self.right + self.since.elapsed(), 0);
    }
}

fn set(time: SystemTime, plus_seconds: i64) {
    let now = time.duration_since(UNIX_EPOCH).expect("after 1970");
    let then = i64::try_from(now.as_secs()).expect("not so far") + plus_seconds;
    let time = format!("@{then}.{:03}", now.subsec_millis());
    let set = Command::new("date").args(["--set", &time]).stdout(Stdio::null()).status();
    assert!(set.expect("date").success(), "the clock cannot be set");
}

/// A runtime that keeps what has ended for so long.
fn runtime(retention_secs: i64) -> Runtime {
    let mut runtime = Runtime::new(Profile::Process, false);
    let retention = format!("EXECGO_RUNTIME_RETENTION__RESULT_RETENTION_SECS={retention_secs}");
    runtime.prefix = vec!["env".into(), retention];
    runtime.start().unwrap_or_else(|error| panic!("{error}\n{}", runtime.log()));
    runtime
}

/// What the status says of the time since the start, which must lie between these.
fn assert_duration(status: &Value, least: Duration, most: Duration) {
    let told = Duration::from_millis(status["duration_ms"].as_u64().expect("a duration"));
    assert!(least <= told && told <= most, "{told:?} is not between {least:?} and {most:?}: {status}");
}

/// Times have one form, so text compares as they do.
fn assert_order(api: &Api, id: &str) {
    let status = status(api, id);
    let times = ["created_at", "started_at", "finished_at", "updated_at"].map(|name| status[name].as_str());
    assert!(times.iter().all(Option::is_some) && times.is_sorted(), "{status}");
    let events = api.get(&format!("/api/v1/tasks/{id}/events")).expect("an answer").body;
    let events = events.as_array().expect("events");
    let place = |event: &Value| (event["seq"].as_u64(), event["timestamp"].as_str().map(str::to_owned));
    assert!(events.iter().is_sorted_by_key(|event| place(event).0), "{events:?}");
    assert!(events.iter().is_sorted_by_key(|event| place(event).1), "{events:?}");
}

fn a_step_changes_no_duration_and_no_order(test: &str, seconds: i64) {
    let Some(clock) = Clock::take(test) else { return };
    let mut runtime = runtime(7 * 24 * HOUR);
    let api = runtime.api();
    let begun = Instant::now();
    let limited = json!({
        "task_id": "limited",
        "execution": {"kind": "command", "program": "/bin/sleep", "args": ["600"]},
        "limits": {"wall_time_ms": 15_000},
    });
    assert_eq!(api.post("/api/v1/tasks", &limited).expect("an answer").status, 200);
    accepted(&api, "running", &gated(0));
    until_running(&api, "running");
    until_running(&api, "limited");
    let running = Instant::now();
    let launcher = pid_of(&runtime, Role::Launcher);
    kill(launcher, Signal::SIGSTOP).expect("stopped");
    accepted(&api, "launching", "exit 0");
    let waiter = thread::spawn({
        let api = api.clone();
        move || {
            let asked = Instant::now();
            let answer = api.get("/api/v1/tasks/launching?wait_ms=3000").expect("an answer");
            (asked.elapsed(), answer.body)
        }
    });
    let before = status(&api, "running");
    clock.step(seconds);
    let (waited, seen) = waiter.join().expect("no panic");
    assert_eq!(seen["status"], "accepted");
    assert!(waited >= Duration::from_secs(3) && waited < Duration::from_secs(15), "{waited:?}");
    kill(launcher, Signal::SIGCONT).expect("continued");
    assert_eq!(end(&api, "launching")["exit_code"], 0);
    assert_duration(&status(&api, "running"), running.elapsed() - Duration::from_millis(1), begun.elapsed());
    // The next server lives by the new clock from its start.
    runtime.kill();
    runtime.start().expect("it starts");
    let after = status(&api, "running");
    assert_eq!(after["started_at"], before["started_at"]);
    assert!(after["updated_at"].as_str() >= before["updated_at"].as_str(), "{before} {after}");
    open_gate(&runtime, "running");
    let least = running.elapsed();
    assert_duration(&end(&api, "running"), least, begun.elapsed());
    let timed_out = end(&api, "limited");
    assert_eq!(timed_out["error"]["code"], "timeout", "{timed_out}");
    assert_duration(&timed_out, Duration::from_secs(15), begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(120), "the limit did not hold");
    ["running", "limited", "launching"].iter().for_each(|id| assert_order(&api, id));
    accepted(&api, "later", "exit 0");
    end(&api, "later");
    assert_order(&api, "later");
}

#[test]
fn a_step_forward_changes_no_duration_and_no_order() {
    a_step_changes_no_duration_and_no_order("a_step_forward_changes_no_duration_and_no_order", HOUR);
}

#[test]
fn a_step_back_changes_no_duration_and_no_order() {
    a_step_changes_no_duration_and_no_order("a_step_back_changes_no_duration_and_no_order", -HOUR);
}

#[test]
fn a_step_counts_in_the_metrics_of_no_launch() {
    let Some(clock) = Clock::take("a_step_counts_in_the_metrics_of_no_launch") else { return };
    let runtime = runtime(24 * HOUR);
    let api = runtime.api();
    let launcher = pid_of(&runtime, Role::Launcher);
    kill(launcher, Signal::SIGSTOP).expect("stopped");
    accepted(&api, "launching", "exit 0");
    clock.step(HOUR);
    kill(launcher, Signal::SIGCONT).expect("continued");
    end(&api, "launching");
    let url = format!("http://{}/metrics", runtime.address);
    let metrics = ureq::get(url).call().expect("an answer").body_mut().read_to_string().expect("text");
    let sum = metrics.lines().find_map(|line| line.strip_prefix("execgo_runtime_launch_duration_ms_sum "));
    let sum: f64 = sum.expect("a sum").parse().expect("a number");
    assert!(sum > 0.0 && sum < 60_000.0, "{sum} ms");
}

/// Age is what the wall clock says: a step forward ages what has ended by as much, and a step back keeps it longer.
#[test]
fn a_step_ages_what_has_ended_by_as_much_and_no_more() {
    let Some(clock) = Clock::take("a_step_ages_what_has_ended_by_as_much_and_no_more") else { return };
    let runtime = runtime(HOUR + HOUR / 2);
    let api = runtime.api();
    accepted(&api, "living", &gated(0));
    until_running(&api, "living");
    accepted(&api, "old", "exit 0");
    end(&api, "old");
    clock.step(HOUR);
    accepted(&api, "young", "exit 0");
    end(&api, "young");
    assert_eq!(status(&api, "old")["exit_code"], 0, "an hour is not its time");
    clock.step(-2 * HOUR);
    accepted(&api, "early", "exit 0");
    end(&api, "early");
    clock.step(2 * HOUR);
    // An hour old by now, with `early` two: only that has had its time.
    let is_gone = |id: &str| api.get(&format!("/api/v1/tasks/{id}")).is_some_and(|answer| answer.status == 404);
    until(SOON, || is_gone("early").then_some(())).expect("it is deleted");
    assert!(!is_gone("old") && !is_gone("young"));
    clock.step(HOUR);
    until(SOON, || is_gone("old").then_some(())).expect("it is deleted");
    assert!(!is_gone("young"));
    open_gate(&runtime, "living");
    assert_eq!(end(&api, "living")["exit_code"], 0, "what lives has no age");
}
