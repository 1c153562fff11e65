//! More tasks than can run, and more than can wait; another client kills and asks meanwhile.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::http::Answer;
use crate::server::Server;
use crate::watch::{Bounds, Report, Times, Watch};

const SLOTS: usize = 4;
const SUBMITTERS: usize = 32;
/// Waiting tasks that the other client kills one by one.
const VICTIMS: usize = 100;
const BETWEEN_KILLS: Duration = Duration::from_millis(20);
const REQUEST: &str = r#"{"execution":{"kind":"command","program":"/bin/true"}}"#;

/// What became of submits.
#[derive(Default)]
struct Submits {
    accepted: Vec<Duration>,
    refused: Vec<Duration>,
    /// Neither a 200 nor a 429 with `Retry-After`.
    wrong: Vec<String>,
}

/// So many tasks wait.
pub fn queued(number: usize, bounds: Bounds) -> Report {
    let submitted = AtomicUsize::new(0);
    let more = || submitted.fetch_add(1, Ordering::Relaxed) < number;
    let (mut report, submits) = overload("queued", number + VICTIMS, bounds, &more);
    if submits.accepted.len() != number {
        report.broken.push(format!("{} of {number} were accepted", submits.accepted.len()));
    }
    report
}

/// Nothing more may wait, and clients submit all the same.
pub fn refused(lasting: Duration, bounds: Bounds) -> Report {
    // From the first submit on: filling the queue takes as long as the machine is slow.
    let begun = OnceLock::new();
    let more = || begun.get_or_init(Instant::now).elapsed() < lasting;
    let (mut report, submits) = overload("refused", VICTIMS, bounds, &more);
    // Each kill makes room for one.
    if submits.accepted.len() > VICTIMS {
        report.broken.push(format!("{} were accepted into a full queue", submits.accepted.len()));
    }
    if submits.refused.is_empty() {
        report.broken.push("nothing was refused".to_owned());
    }
    report
}

/// Clients submit while there is `more`.
fn overload(name: &'static str, places: usize, bounds: Bounds, more: &(dyn Fn() -> bool + Sync)) -> (Report, Submits) {
    let flags = ["--max-running-tasks", &SLOTS.to_string(), "--max-queued-tasks", &places.to_string()];
    let mut server = Server::start(&flags, &[]);
    server.occupy(SLOTS);
    let victims = submit_victims(&server);
    let mut watch = Watch::start(&server, bounds);
    let over = AtomicBool::new(false);
    let begun = Instant::now();
    let (submits, other) = thread::scope(|scope| {
        let other = scope.spawn(|| kill_and_ask(&server, &victims, &over));
        let submitters: Vec<_> = (0..SUBMITTERS).map(|_| scope.spawn(|| submit(&server, more))).collect();
        let told = submitters.into_iter().map(|submitter| submitter.join().expect("no panic"));
        let submits = told.fold(Submits::default(), Submits::and);
        over.store(true, Ordering::Relaxed);
        (submits, other.join().expect("no panic"))
    });
    let took = begun.elapsed();
    for wrong in submits.wrong.iter().take(1) {
        watch.must(false, || format!("{} submits were answered otherwise: {wrong}", submits.wrong.len()));
    }
    let times = Times::new(submits.accepted.iter().chain(&submits.refused).copied().collect());
    let others = match other {
        Ok((kills, statuses)) => {
            // A submit that is accepted has waited for one commit, the kill of a waiting task for two.
            watch.must_be_quick("kill", &kills, bounds.p99.max(times.quantile(0.99) * 3));
            watch.must_be_quick("status", &statuses, bounds.p99);
            format!("kills {kills} ms, statuses {statuses} ms")
        }
        Err(error) => {
            watch.must(false, || format!("kill and status: {error}"));
            "no kills and statuses".to_owned()
        }
    };
    watch.recovered();
    let (accepted, refused) = (submits.accepted.len(), submits.refused.len());
    let rate = (accepted + refused) as f64 / took.as_secs_f64();
    let done = format!("{accepted} submits accepted, {refused} refused, {rate:.0} a second, {times} ms; {others}");
    (watch.finish(name, done), submits)
}

fn submit_victims(server: &Server) -> Vec<String> {
    let mut connection = server.connect();
    let submitted = (0..VICTIMS).map(|_| connection.post("/api/v1/tasks", REQUEST).expect("answered"));
    submitted.map(|answer| answer.body["task_id"].as_str().expect("accepted").to_owned()).collect()
}

fn submit(server: &Server, more: &(dyn Fn() -> bool + Sync)) -> Submits {
    let mut submits = Submits::default();
    let mut connection = server.connect();
    while more() {
        let begun = Instant::now();
        match connection.post("/api/v1/tasks", REQUEST) {
            Ok(Answer { status: 200, .. }) => submits.accepted.push(begun.elapsed()),
            Ok(Answer { status: 429, retry_after: Some(_), .. }) => submits.refused.push(begun.elapsed()),
            Ok(answer) => submits.wrong.push(format!("{answer:?}")),
            Err(error) => {
                submits.wrong.push(error.to_string());
                return submits;
            }
        }
    }
    submits
}

/// Each victim is killed and then seen to be cancelled; when all are, the last one again.
fn kill_and_ask(server: &Server, victims: &[String], over: &AtomicBool) -> io::Result<(Times, Times)> {
    let mut connection = server.connect();
    let (mut kills, mut statuses) = (Vec::new(), Vec::new());
    let mut left = victims.iter();
    let mut victim = left.next();
    while let (Some(id), false) = (victim, over.load(Ordering::Relaxed)) {
        let begun = Instant::now();
        let killed = connection.post(&format!("/api/v1/tasks/{id}/kill"), "{}")?;
        kills.push(begun.elapsed());
        let begun = Instant::now();
        let seen = connection.get(&format!("/api/v1/tasks/{id}"))?;
        statuses.push(begun.elapsed());
        if killed.status != 200 || seen.body["status"] != "cancelled" {
            return Err(io::Error::other(format!("{killed:?}, {seen:?}")));
        }
        victim = left.next().or(victim);
        thread::sleep(BETWEEN_KILLS);
    }
    Ok((Times::new(kills), Times::new(statuses)))
}

impl Submits {
    fn and(mut self, other: Self) -> Self {
        self.accepted.extend(other.accepted);
        self.refused.extend(other.refused);
        self.wrong.extend(other.wrong);
        self
    }
}
