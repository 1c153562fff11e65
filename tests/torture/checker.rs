//! Compares what was acknowledged with what is there when everything has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::api::Api;
use crate::client::Acknowledged;
use crate::events::check_events;
use crate::killer::{Done, KilledShim};
use crate::plan::Kind;
use crate::runtime::{GRACE_MS, Runtime, until};

/// Between the end of a task and the end of its shim; between SIGTERM and the last process.
const GONE_WITHIN: Duration = Duration::from_secs(10);
/// How much later than due a timeout may be enforced.
const TIMEOUT_SLACK_MS: u64 = 2000;
/// Between a kill and the clock of the runtime.
const CLOCKS_AGREE: Duration = Duration::from_secs(1);

pub struct Checker<'a> {
    runtime: &'a mut Runtime,
    api: Api,
    done: &'a Done,
    /// How often each task ran.
    runs: BTreeMap<String, usize>,
    seqs: BTreeSet<u64>,
    lost: Vec<Lost>,
    pub found: Found,
}

/// A task that ended as lost with its shim.
struct Lost {
    id: String,
    shim: Option<i32>,
    lived: (SystemTime, SystemTime),
}

/// What came out.
#[derive(Debug, Default)]
pub struct Found {
    pub outcomes: BTreeMap<String, u32>,
    pub with_lost_shim: usize,
    /// Left over where nobody can find them: see the limits in docs/architecture.md.
    pub beyond_reach: usize,
    pub violations: Vec<String>,
}

impl<'a> Checker<'a> {
    pub fn new(runtime: &'a mut Runtime, done: &'a Done, tasks: &[Acknowledged]) -> Self {
        let mut runs = BTreeMap::new();
        for id in runtime.runs(tasks.iter().map(|one| one.task.id.clone())) {
            *runs.entry(id).or_default() += 1;
        }
        let api = runtime.api();
        Self { runtime, api, done, runs, seqs: BTreeSet::new(), lost: Vec::new(), found: Found::default() }
    }

    /// Checks all, and stops the runtime for it.
    pub fn run(mut self, tasks: &[Acknowledged]) -> Found {
        for one in tasks {
            if let Err(violation) = self.check_task(one) {
                self.found.violations.push(format!("{}: {violation} ({:?})", one.task.id, one.task.kind));
            }
        }
        self.check_lost();
        self.check_unreserved();
        self.check_rest(tasks);
        self.check_stop();
        self.found
    }

    fn check_task(&mut self, one: &Acknowledged) -> Result<(), String> {
        let Acknowledged { task, with_200, end } = one;
        let answer = self.api.get(&format!("/api/v1/tasks/{}", task.id)).ok_or("no answer")?;
        if answer.status != 200 {
            return Err(format!("lost: {} {}", answer.status, answer.body));
        }
        let status = answer.body;
        match end {
            Some(end) if *end != status => return Err(format!("its end changed, from {end} to {status}")),
            Some(_) => {}
            None => return Err(format!("no end was seen: {status}")),
        }
        let word = |field: &str| status.pointer(field).and_then(Value::as_str).unwrap_or("none").to_owned();
        *self.found.outcomes.entry(word("/status")).or_default() += 1;
        let runs = self.runs.remove(&task.id).unwrap_or(0);
        let is_lost = word("/error/code") == "internal";
        if is_lost {
            self.note_lost(&status, runs)?;
        } else {
            check_outcome(task.kind, &status, runs)?;
        }
        check_times(task.kind, &status, is_lost)?;
        let events = self.api.get(&format!("/api/v1/tasks/{}/events", task.id)).ok_or("no events")?;
        let events = events.body.as_array().cloned().unwrap_or_default();
        check_events(&events, &status, self.done.starts)?;
        for seq in events.iter().filter_map(|event| event["seq"].as_u64()) {
            if !self.seqs.insert(seq) {
                return Err(format!("the event {seq} is another task's, too"));
            }
        }
        self.check_files(&task.id, *with_200, &status)
    }

    fn note_lost(&mut self, status: &Value, runs: usize) -> Result<(), String> {
        let told = status["error"]["message"].as_str().is_some_and(|message| message.contains("shim"));
        if status["status"] != "failed" || !told || runs > 1 {
            return Err(format!("lost, and ran {runs} times: {status}"));
        }
        let shim = status["shim_pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
        let lived = (time(status, "created_at")?, time(status, "finished_at")?);
        self.lost.push(Lost { id: status["task_id"].to_string(), shim, lived });
        Ok(())
    }

    /// For each lost task a shim was killed while it lived: its own, or, where it did not come to have one, any that is
    /// nobody's.
    fn check_lost(&mut self) {
        let within = |kill: &KilledShim, (from, to): (SystemTime, SystemTime)| {
            kill.at + CLOCKS_AGREE >= from && kill.at <= to + CLOCKS_AGREE
        };
        let mut kills = self.done.shims.clone();
        // Those that say which one first.
        self.lost.sort_by_key(|lost| (lost.shim.is_none(), lost.lived.1));
        self.found.with_lost_shim = self.lost.len();
        for Lost { id, shim, lived } in &self.lost {
            let of_task = |kill: &KilledShim| shim.is_none_or(|pid| pid == kill.pid) && within(kill, *lived);
            match kills.iter().position(of_task) {
                Some(at) => drop(kills.swap_remove(at)),
                None => self.found.violations.push(format!("{id} is lost, and nobody killed its shim ({shim:?})")),
            }
        }
    }

    /// A task that is lost with its shim may be over before its last process is.
    fn check_unreserved(&mut self) {
        let lost: BTreeSet<String> = self.lost.iter().map(|lost| lost.id.trim_matches('"').to_owned()).collect();
        let unreserved = self.done.unreserved.difference(&lost);
        self.found.violations.extend(unreserved.map(|id| format!("{id} ran without a reservation")));
    }

    fn check_files(&self, id: &str, with_200: bool, status: &Value) -> Result<(), String> {
        let read = |name: &str| {
            let text = fs::read_to_string(self.runtime.task_dir(id).join(name)).map_err(|e| format!("{name}: {e}"))?;
            serde_json::from_str::<Value>(&text).map_err(|e| format!("{name}: {e}"))
        };
        let result = read("result.json")?;
        if result != *status {
            return Err(format!("result.json is {result}, and not {status}"));
        }
        if with_200 && read("request.json")?["task_id"] != id {
            return Err("request.json names another".into());
        }
        Ok(())
    }

    fn check_rest(&mut self, tasks: &[Acknowledged]) {
        let found = &mut self.found.violations;
        found.extend(self.runs.keys().map(|id| format!("{id} ran and was never acknowledged")));
        let resources = self.api.get("/api/v1/runtime/resources").map(|answer| answer.body).unwrap_or_default();
        if resources["reserved"]["task_slots"] != 0 || resources["accepted_waiting_tasks"] != 0 {
            found.push(format!("the ledger is not empty: {resources}"));
        }
        let known: BTreeSet<&str> = tasks.iter().map(|one| one.task.id.as_str()).collect();
        let stray = names(&self.runtime.data_dir().join("tasks"));
        found
            .extend(stray.iter().filter(|id| !known.contains(id.as_str())).map(|id| format!("tasks/{id} is nobody's")));
        let trash = names(&self.runtime.data_dir().join("trash"));
        found.extend(trash.iter().map(|name| format!("trash/{name} was not deleted")));
        let of_launchers = |names: &[String], end: &str| names.iter().filter(|name| name.ends_with(end)).count();
        let run = until(GONE_WITHIN, || {
            let run = names(&self.runtime.data_dir().join("run"));
            (of_launchers(&run, ".lock") == 1 && of_launchers(&run, ".journal") <= 1).then_some(())
        });
        if run.is_none() {
            found.push(format!("run/ holds {:?}", names(&self.runtime.data_dir().join("run"))));
        }
        let groups = || self.runtime.cgroups().iter().flat_map(|dir| directories(dir)).collect::<Vec<_>>();
        if until(GONE_WITHIN, || groups().is_empty().then_some(())).is_none() {
            found.push(format!("cgroups of ended tasks are left: {:?}", groups()));
        }
        if self.runtime.log().contains("panicked") {
            found.push("a panic is in the log".into());
        }
        self.check_processes_of_tasks();
    }

    fn check_processes_of_tasks(&mut self) {
        let processes = &self.runtime.processes;
        if until(GONE_WITHIN, || processes.of_tasks().is_empty().then_some(())).is_some() {
            return;
        }
        let has_groups = !self.runtime.cgroups().is_empty();
        for (pid, id) in processes.of_tasks() {
            let is_lost = self.lost.iter().any(|lost| lost.id.trim_matches('"') == id);
            if is_lost && !has_groups && left_its_session(pid) {
                self.found.beyond_reach += 1;
            } else {
                self.found.violations.push(format!("{id} has ended, and its process {pid} is left"));
            }
        }
    }

    fn check_stop(&mut self) {
        match self.runtime.stop() {
            Some(status) if status.success() => {}
            ended => self.found.violations.push(format!("the server did not stop well: {ended:?}")),
        }
        let processes = &self.runtime.processes;
        if until(GONE_WITHIN, || processes.of_runtime().is_empty().then_some(())).is_none() {
            self.found.violations.push(format!("processes are left: {:?}", processes.of_runtime()));
        }
        let left: Vec<_> = self.runtime.cgroups().into_iter().filter(|dir| dir.exists()).collect();
        if !left.is_empty() {
            self.found.violations.push(format!("cgroups are left: {left:?}"));
        }
    }
}

pub fn check_outcome(kind: Kind, status: &Value, runs: usize) -> Result<(), String> {
    let (wanted, code, exit_code) = kind.outcome();
    let told = (&status["status"], &status["error"]["code"], &status["exit_code"]);
    if told
        != (&Value::from(wanted), &code.map_or(Value::Null, Value::from), &exit_code.map_or(Value::Null, Value::from))
    {
        return Err(format!("not the outcome that was asked for: {status}"));
    }
    // One that was killed may not have started.
    let started = status["started_at"].is_string();
    let at_least = usize::from(!matches!(kind, Kind::Killed { .. }));
    if runs > 1 || runs < at_least || (runs == 1 && !started) {
        return Err(format!("ran {runs} times: {status}"));
    }
    if status["stdout"] != kind.output() {
        return Err(format!("its output is {}", status["stdout"]));
    }
    if started && status["usage"]["max_rss_bytes"].as_u64().is_none() {
        return Err(format!("its usage is unknown: {status}"));
    }
    Ok(())
}

fn check_times(kind: Kind, status: &Value, is_lost: bool) -> Result<(), String> {
    let (created, finished) = (time(status, "created_at")?, time(status, "finished_at")?);
    let started = if status["started_at"].is_string() { time(status, "started_at")? } else { created };
    if !(created <= started && started <= finished && finished <= time(status, "updated_at")?) {
        return Err(format!("its times are out of order: {status}"));
    }
    if is_lost {
        return Ok(());
    }
    let duration = status["duration_ms"].as_u64().unwrap_or(0);
    let in_time = match kind {
        Kind::TimesOut { wall_time_ms } => duration <= u64::from(wall_time_ms) + GRACE_MS + TIMEOUT_SLACK_MS,
        Kind::Exits { .. } | Kind::Writes { .. } | Kind::Killed { .. } | Kind::LeavesChild { .. } => true,
    };
    if duration < u64::from(kind.at_least_ms()) || !in_time {
        return Err(format!("it took {duration} ms"));
    }
    Ok(())
}

fn time(status: &Value, field: &str) -> Result<SystemTime, String> {
    let text = status[field].as_str().unwrap_or_default();
    humantime::parse_rfc3339(text).map_err(|error| format!("{field} is {text:?}: {error}"))
}

fn names(dir: &std::path::Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn directories(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    names(dir).into_iter().map(|name| dir.join(name)).filter(|path| path.is_dir()).collect()
}

/// `setsid sleep` leads a session; what stayed in the command's does not.
fn left_its_session(pid: i32) -> bool {
    nix::unistd::getsid(Some(nix::unistd::Pid::from_raw(pid))).is_ok_and(|session| session.as_raw() == pid)
}
