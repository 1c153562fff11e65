//! What is measured beside every scenario: the health endpoint, memory, descriptors; and what came of it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::http::Connection;
use crate::server::{Server, Usage, until};

const BETWEEN_PROBES: Duration = Duration::from_millis(10);
/// How long a server may need to let go of what nobody holds any more.
const COMES_BACK_WITHIN: Duration = Duration::from_secs(1);
/// Connections to the store that a server keeps once it has them: two for each thread that reads.
const SPARE_DESCRIPTORS: usize = 64;

/// Sorted.
#[derive(Debug)]
pub struct Times(Vec<Duration>);

/// What must hold.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// 99 of 100 answers, of the health endpoint and of what is not the overload itself.
    pub p99: Duration,
    /// Resident memory at any time, in MiB.
    pub memory: u64,
}

pub struct Watch<'a> {
    server: &'a Server,
    bounds: Bounds,
    before: Usage,
    enough: Arc<AtomicBool>,
    prober: Option<JoinHandle<Result<Times, String>>>,
    broken: Vec<String>,
}

/// One scenario.
pub struct Report {
    name: &'static str,
    done: String,
    health: Times,
    before: Usage,
    after: Usage,
    pub broken: Vec<String>,
}

impl<'a> Watch<'a> {
    pub fn start(server: &'a Server, bounds: Bounds) -> Self {
        let before = server.usage();
        let enough = Arc::new(AtomicBool::new(false));
        let (address, end) = (server.address, Arc::clone(&enough));
        let prober = thread::spawn(move || probe(address, &end).map_err(|error| format!("/healthz: {error}")));
        Self { server, bounds, before, enough, prober: Some(prober), broken: Vec::new() }
    }

    pub fn must(&mut self, hold: bool, what: impl FnOnce() -> String) {
        if !hold {
            self.broken.push(what());
        }
    }

    pub fn must_be_quick(&mut self, what: &str, times: &Times, bound: Duration) {
        let p99 = times.quantile(0.99);
        self.must(p99 <= bound, || format!("{what}: p99 {p99:?}, more than {bound:?}"));
    }

    /// The load is over: how long it took until its descriptors came back.
    pub fn recovered(&mut self) -> Duration {
        let begun = Instant::now();
        let most = self.before.descriptors + SPARE_DESCRIPTORS;
        let back = until(COMES_BACK_WITHIN, || (self.server.usage().descriptors <= most).then_some(()));
        let now = self.server.usage().descriptors;
        self.must(back.is_some(), || format!("{now} descriptors are still open after {COMES_BACK_WITHIN:?}"));
        begun.elapsed()
    }

    pub fn finish(mut self, name: &'static str, done: String) -> Report {
        self.enough.store(true, Ordering::Relaxed);
        let probed = self.prober.take().expect("it is started with the watch").join();
        let health = probed.expect("the prober does not panic").unwrap_or_else(|error| {
            self.broken.push(error);
            Times::new(Vec::new())
        });
        self.must_be_quick("/healthz", &health, self.bounds.p99);
        let (after, bound) = (self.server.usage(), self.bounds.memory);
        self.must(after.most_memory <= bound, || format!("{} MiB of memory, more than {bound}", after.most_memory));
        Report { name, done, health, before: self.before, after, broken: self.broken }
    }
}

/// As an orchestrator asks: each time on a connection of its own.
fn probe(address: SocketAddr, enough: &AtomicBool) -> std::io::Result<Times> {
    let mut times = Vec::new();
    while !enough.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let answer = Connection::open(address)?.get("/healthz")?;
        times.push(begun.elapsed());
        if answer.status != 200 {
            return Err(std::io::Error::other(format!("{answer:?}")));
        }
        thread::sleep(BETWEEN_PROBES);
    }
    Ok(Times::new(times))
}

impl Times {
    pub fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    pub fn quantile(&self, part: f64) -> Duration {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * part).round() as usize).copied().unwrap_or_default()
    }
}

/// Median, 99 % and the longest, in milliseconds.
impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |part| self.quantile(part).as_secs_f64() * 1000.0;
        write!(f, "{:.1}/{:.1}/{:.1}", millis(0.5), millis(0.99), millis(1.0))
    }
}

impl Report {
    pub const HEAD: &'static str = "| scenario | what was done | /healthz p50/p99/max ms | memory before/most/after MiB | \
                                    descriptors before/after | verdict |\n|---|---|---|---|---|---|";
}

/// A row of the table.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, done, health, before, after, broken } = self;
        let memory = format!("{}/{}/{}", before.memory, after.most_memory, after.memory);
        let descriptors = format!("{}/{}", before.descriptors, after.descriptors);
        let verdict = if broken.is_empty() { "holds".to_owned() } else { broken.join("; ") };
        write!(f, "| {name} | {done} | {health} | {memory} | {descriptors} | {verdict} |")
    }
}
