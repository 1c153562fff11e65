//! Numbers for Prometheus. Every series has labels from a fixed set, so a scrape costs the same whatever happened;
//! counters only grow while the process lives. It knows outcomes and amounts, not who calls it.

#[cfg(test)]
mod tests;

use std::time::Duration;

use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::ledger::Account;
use crate::task::{Ended, Outcome, TaskErrorCode};

/// Media type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

const NAMESPACE: &str = "execgo_runtime";
const TASK_BUCKETS_MS: [f64; 9] = [100., 250., 500., 1000., 5000., 10_000., 30_000., 60_000., 300_000.];
const LATENCY_BUCKETS_MS: [f64; 12] = [0.1, 0.25, 0.5, 1., 2.5, 5., 10., 25., 100., 500., 2500., 10_000.];
const BATCH_BUCKETS: [f64; 9] = [1., 2., 4., 8., 16., 32., 64., 128., 256.];
/// Every way to end and every reason not to succeed stands at 0 before it happens, so that rates start right.
const ENDED: [Ended; 3] = [Ended::Success, Ended::Failed, Ended::Cancelled];
const ERROR_CODES: [TaskErrorCode; 9] = [
    TaskErrorCode::LaunchFailed,
    TaskErrorCode::Timeout,
    TaskErrorCode::Cancelled,
    TaskErrorCode::MemoryLimitExceeded,
    TaskErrorCode::CpuLimitExceeded,
    TaskErrorCode::ResourceLimitExceeded,
    TaskErrorCode::SandboxSetupFailed,
    TaskErrorCode::ExitNonZero,
    TaskErrorCode::Internal,
];

/// All series of this process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    tasks: IntCounterVec,
    task_errors: IntCounterVec,
    task_duration: Histogram,
    running: IntGauge,
    queued: IntGauge,
    ended_stored: IntGauge,
    ended_bytes: IntGauge,
    reserved: IntGaugeVec,
    capacity: IntGaugeVec,
    commit_duration: Histogram,
    commit_transitions: Histogram,
    launch_duration: Histogram,
    http_requests: IntCounterVec,
    http_duration: HistogramVec,
}

impl Metrics {
    /// `version` is that of the runtime.
    #[must_use]
    pub fn new(version: &str) -> Self {
        let new = Builder(Registry::new());
        let build_info =
            new.gauge("build_info", "Always 1; the label says which version runs.", &[("version", version)]);
        build_info.set(1.);
        let metrics = Self {
            tasks: new.counters("tasks_total", "Tasks that ended, by final status.", &["status"]),
            task_errors: new.counters("task_errors_total", "Tasks that did not succeed, by error code.", &["code"]),
            task_duration: new.histogram("task_duration_ms", "From start to end of a command.", &TASK_BUCKETS_MS),
            running: new.int_gauge("tasks_running", "Tasks that hold a place on the machine."),
            queued: new.int_gauge("tasks_queued", "Accepted tasks that wait for a place."),
            ended_stored: new.int_gauge("ended_tasks_stored", "Ended tasks that were not forgotten yet."),
            ended_bytes: new.int_gauge("ended_tasks_bytes", "What their directories occupy, where it was measured."),
            reserved: new.gauges("resource_reserved", "What the running tasks reserve.", &["resource"]),
            capacity: new.gauges("resource_capacity", "What there is; no series when unlimited.", &["resource"]),
            commit_duration: new.histogram("commit_duration_ms", "One commit to the store.", &LATENCY_BUCKETS_MS),
            commit_transitions: new.histogram("commit_transitions", "State changes in one commit.", &BATCH_BUCKETS),
            launch_duration: new.histogram(
                "launch_duration_ms",
                "From the committed launch to the start of the command.",
                &LATENCY_BUCKETS_MS,
            ),
            http_requests: new.counters(
                "http_requests_total",
                "Answered requests, by route, method and status.",
                &["route", "method", "status"],
            ),
            http_duration: new.histograms("http_request_duration_ms", "One request.", &LATENCY_BUCKETS_MS, &["route"]),
            registry: new.0,
        };
        for ended in ENDED {
            metrics.tasks.with_label_values(&[status(ended)]).inc_by(0);
        }
        for code in ERROR_CODES {
            metrics.task_errors.with_label_values(&[code.as_str()]).inc_by(0);
        }
        metrics
    }

    /// A task ended and its end is committed.
    pub fn on_ended(&self, outcome: &Outcome) {
        self.tasks.with_label_values(&[status(outcome.ended)]).inc();
        if let Some(error) = &outcome.error {
            self.task_errors.with_label_values(&[error.code.as_str()]).inc();
        }
        if let Some(duration_ms) = outcome.duration_ms {
            self.task_duration.observe(as_f64(duration_ms));
        }
    }

    /// What waits, what runs, and what that takes of the machine.
    pub fn set_load(&self, queued: u64, running: u64, account: &Account) {
        self.queued.set(as_i64(queued));
        self.running.set(as_i64(running));
        let reserved = account.reserved;
        let capacity = account.capacity;
        let kinds = [
            ("task_slots", reserved.task_slots, Some(capacity.task_slots)),
            ("memory_bytes", reserved.memory_bytes, capacity.memory_bytes),
            ("pids", reserved.pids, capacity.pids),
        ];
        for (kind, reserved, capacity) in kinds {
            self.reserved.with_label_values(&[kind]).set(as_i64(reserved));
            if let Some(capacity) = capacity {
                self.capacity.with_label_values(&[kind]).set(as_i64(capacity));
            }
        }
    }

    /// Ended tasks in the store, and what those of their directories occupy that were measured.
    pub fn set_ended(&self, tasks: u64, bytes: u64) {
        self.ended_stored.set(as_i64(tasks));
        self.ended_bytes.set(as_i64(bytes));
    }

    /// A commit of so many state changes reached the disk.
    pub fn observe_commit(&self, duration: Duration, transitions: usize) {
        self.commit_duration.observe(millis(duration));
        self.commit_transitions.observe(as_f64(transitions as u64));
    }

    /// A command started, so long after its launch was committed.
    pub fn observe_launch(&self, duration: Duration) {
        self.launch_duration.observe(millis(duration));
    }

    /// A request was answered. `route` is a template of the route table, never the path that came in.
    pub fn observe_http(&self, route: &str, method: &str, status: u16, duration: Duration) {
        self.http_requests.with_label_values(&[route, method, &status.to_string()]).inc();
        self.http_duration.with_label_values(&[route]).observe(millis(duration));
    }

    /// The exposition text, of media type [`CONTENT_TYPE`].
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "cannot write the metrics");
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

const fn status(ended: Ended) -> &'static str {
    match ended {
        Ended::Success => "success",
        Ended::Failed => "failed",
        Ended::Cancelled => "cancelled",
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.
}

fn as_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Exact to 2^53, which every duration here stays below.
fn as_f64(value: u64) -> f64 {
    value as f64
}

/// Makes and registers series. The names and labels are all written in this file, so a refusal is a bug of this file.
struct Builder(Registry);

impl Builder {
    fn register<C: prometheus::core::Collector + Clone + 'static>(&self, series: prometheus::Result<C>) -> C {
        let series = series.expect("the names in this file are valid");
        self.0.register(Box::new(series.clone())).expect("the names in this file are unique");
        series
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(IntCounterVec::new(opts(name, help), labels))
    }

    fn int_gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::with_opts(opts(name, help)))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(IntGaugeVec::new(opts(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str, labels: &[(&str, &str)]) -> Gauge {
        let labelled = labels.iter().fold(opts(name, help), |opts, (key, value)| opts.const_label(*key, *value));
        self.register(Gauge::with_opts(labelled))
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.register(Histogram::with_opts(histogram_opts(name, help, buckets)))
    }

    fn histograms(&self, name: &str, help: &str, buckets: &[f64], labels: &[&str]) -> HistogramVec {
        self.register(HistogramVec::new(histogram_opts(name, help, buckets), labels))
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(NAMESPACE)
}

fn histogram_opts(name: &str, help: &str, buckets: &[f64]) -> HistogramOpts {
    HistogramOpts::new(name, help).namespace(NAMESPACE).buckets(buckets.to_vec())
}
