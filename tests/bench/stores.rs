//! Whether what is stored costs those who come later: servers with nothing and with much, measured in turns.

use std::fs;

use serde_json::{Value, json};

use crate::client::{Lifecycle, Read, Submit, run, submit, task};
use crate::fill::{self, Kind};
use crate::limit::Machine;
use crate::load::{Window, by_clients};
use crate::report::Bound::{AtLeast, AtMost};
use crate::report::{Item, Limit, Report, ms};
use crate::sample::{Sample, Series};
use crate::server::{Server, Site};
use crate::usage::memory;

/// One task of this tenant runs, and all others of it wait; nobody else is held up.
const TENANT: &str = "crowd";
const FLAGS: [&str; 6] =
    ["--max-running-tasks", "8", "--max-queued-tasks", "100000000", "--tenant-quota", "crowd=slots:1"];
/// Tasks that have run, and tasks that were submitted and wait; the others are their copies.
const ENDED: u32 = 20;
const WAITING: u32 = 10;
const RESTARTS: u32 = 3;
const CLIENTS: usize = 32;
/// Submits of one measurement, since they make the queue longer.
const SUBMITS: usize = 1_000;
const METRICS: usize = 50;
/// Pages: the first and the largest, what there is much of and what there is none of, what is read and what is found by index.
const LISTS: [&str; 8] = [
    "/api/v1/tasks",
    "/api/v1/tasks?limit=1000",
    "/api/v1/tasks?status=success&sort=created_at&limit=100",
    "/api/v1/tasks?status=failed",
    "/api/v1/tasks?tenant=nobody&status=success&kind=command",
    "/api/v1/tasks?kind=script",
    "/api/v1/tasks?tenant=crowd&status=success",
    "/api/v1/tasks?q=nowhere",
];

/// A server with so many tasks.
#[derive(Debug)]
struct Stored {
    name: String,
    server: Server,
    /// Of tasks that have ended.
    ids: Vec<String>,
    starts: Vec<f64>,
    /// The server when it has started.
    memory: f64,
    one: Series,
    many: Series,
    submits: Series,
    reads: Series,
    metrics: Series,
    lists: Series,
}

/// Ended tasks: every figure as without them.
pub fn growth(site: &Site, numbers: &[u32], rounds: u32, window: Window, report: &mut Report) {
    let (all, limit) = take(site, Kind::Ended, numbers, rounds, window);
    report.section("Growth: ended tasks in the store");
    print(&all, limit, report);
    let Some((most, empty)) = all.last().zip(all.first()) else { return };
    for (what, ratio) in most.beside(empty) {
        let bound = if what.ends_with("second") { AtLeast(0.85) } else { AtMost(1.15) };
        report.must(format!("{}, beside the empty store: {what}", most.name), bound, ratio);
    }
    report.must(format!("{}: start to ready, ms", most.name), AtMost(1_000.0), most.start_ms());
    report.must(format!("{}: /metrics, median, ms", most.name), AtMost(5.0), ms(most.metrics.median()));
    report.must(format!("{}: pages of lists, p99, ms", most.name), AtMost(20.0), ms(most.lists.p99()));
}

/// Waiting tasks.
pub fn queue(site: &Site, numbers: &[u32], rounds: u32, window: Window, report: &mut Report) {
    let (all, limit) = take(site, Kind::Waiting, numbers, rounds, window);
    report.section("Queue: waiting tasks");
    print(&all, limit, report);
    let Some((most, empty)) = all.last().zip(all.first()) else { return };
    for (what, ratio) in most.beside(empty) {
        if what == "submit p99" {
            report.must(format!("{}, beside the empty queue: {what}", most.name), AtMost(2.0), ratio);
        } else {
            report.fact(&format!("{}, beside the empty queue: {what}", most.name), ratio, "times");
        }
    }
    let now = memory(most.server.pid()).max(most.memory);
    report.must(format!("{}: memory of the server, MiB (PSS)", most.name), AtMost(150.0), now);
}

fn take(site: &Site, kind: Kind, numbers: &[u32], rounds: u32, window: Window) -> (Vec<Stored>, Limit) {
    let mut all: Vec<_> = numbers.iter().map(|&number| Stored::new(site, kind, number)).collect();
    let mut machine = Machine::default();
    // Not counted: what is made at first use.
    for round in 0..=rounds {
        machine.round(Window { time: window.time / 2, ..window });
        for stored in &mut all {
            stored.round(window);
            if round == 0 {
                stored.forget();
            }
        }
    }
    (all, machine.limit())
}

fn print(all: &[Stored], limit: Limit, report: &mut Report) {
    for stored in all {
        for (what, series, item) in [
            ("lifecycles, 1 client", &stored.one, Item::Process),
            ("lifecycles, 32 clients", &stored.many, Item::Process),
            ("submits, 32 clients", &stored.submits, Item::Request),
            ("status reads, 32 clients", &stored.reads, Item::Request),
            ("/metrics, 1 client", &stored.metrics, Item::Request),
            ("pages of lists, 1 client", &stored.lists, Item::Request),
        ] {
            report.row(&format!("{}: {what}", stored.name), series, item, limit);
        }
    }
    for stored in all {
        report.fact(&format!("{}: start to ready", stored.name), stored.start_ms(), "ms");
        report.fact(&format!("{}: server after its start", stored.name), stored.memory, "MiB (PSS)");
        report.fact(&format!("{}: server now", stored.name), memory(stored.server.pid()), "MiB (PSS)");
        let bytes = fs::metadata(stored.server.database()).map_or(0, |file| file.len());
        report.fact(&format!("{}: database", stored.name), bytes as f64 / f64::from(1 << 20), "MiB");
    }
}

impl Stored {
    fn new(site: &Site, kind: Kind, number: u32) -> Self {
        let mut server = site.start(&FLAGS);
        let mut connection = server.connect();
        let mut ids: Vec<_> = (0..ENDED).map(|_| run(&mut connection, &task())).collect();
        server.occupy(Some(TENANT));
        for _ in 0..WAITING {
            assert_eq!(connection.ask(&submit(&crowd())).status, 200);
        }
        drop(connection);
        server.stop();
        let (originals, name) = match kind {
            Kind::Ended => (ENDED, "ended"),
            Kind::Waiting => (WAITING, "waiting"),
        };
        let copies = number / originals;
        if copies > 0 {
            fill::copy(&server.database(), kind, copies).expect("copied");
            if matches!(kind, Kind::Ended) {
                ids = ids.iter().map(|id| with_files(&server, id, copies / 2 + 1)).collect();
            }
        }
        let starts = (0..RESTARTS).map(|_| {
            server.stop();
            ms(server.start())
        });
        let mut starts: Vec<_> = starts.collect();
        starts.sort_by(f64::total_cmp);
        let memory = memory(server.pid());
        let name = format!("{} {name}", copies * originals);
        let [one, many, submits, reads, metrics, lists] = Default::default();
        Self { name, server, ids, starts, memory, one, many, submits, reads, metrics, lists }
    }

    fn round(&mut self, window: Window) {
        let address = self.server.address;
        let lifecycles =
            |number| by_clients(address, window, (0..number).map(|_| Lifecycle::new(&task())).collect::<Vec<_>>()).0;
        self.one.add(lifecycles(1));
        self.many.add(lifecycles(CLIENTS));
        let submits = Window { items: window.items.min(SUBMITS), ..window };
        self.submits.add(by_clients(address, submits, (0..CLIENTS).map(|_| Submit::new(&crowd())).collect()).0);
        let read = |place| Read::statuses(&self.ids).from(place);
        self.reads.add(by_clients(address, window, (0..CLIENTS).map(read).collect()).0);
        let metrics = Window { items: window.items.min(METRICS), lead: std::time::Duration::ZERO, ..window };
        let one = |read: Read| -> Sample { by_clients(address, metrics, vec![read]).0 };
        self.metrics.add(one(Read::path("/metrics")));
        self.lists.add(one(Read::paths(&LISTS)));
    }

    fn forget(&mut self) {
        let Self { one, many, submits, reads, metrics, lists, .. } = self;
        for series in [one, many, submits, reads, metrics, lists] {
            *series = Series::default();
        }
    }

    /// Median.
    fn start_ms(&self) -> f64 {
        self.starts[self.starts.len() / 2]
    }

    fn beside(&self, empty: &Self) -> [(&'static str, f64); 8] {
        let rate = |of: fn(&Self) -> &Series| of(self).rate() / of(empty).rate();
        let time = |of: fn(&Self) -> f64| of(self) / of(empty);
        [
            ("lifecycles of 1 client, median", time(|stored| ms(stored.one.median()))),
            ("lifecycles of 32 clients a second", rate(|stored| &stored.many)),
            ("submits a second", rate(|stored| &stored.submits)),
            ("submit p99", time(|stored| ms(stored.submits.p99()))),
            ("status reads a second", rate(|stored| &stored.reads)),
            ("status read, median", time(|stored| ms(stored.reads.median()))),
            ("memory of the server after its start", time(|stored| stored.memory)),
            ("memory of the server after work", time(|stored| memory(stored.server.pid()))),
        ]
    }
}

/// A task that waits.
fn crowd() -> Value {
    let mut task = task();
    task["control_context"] = json!({"tenant": TENANT});
    task
}

/// The files of a copy, so that reading it costs as much as reading what it is a copy of; its id.
fn with_files(server: &Server, id: &str, copy: u32) -> String {
    let copy = format!("{id}-{copy}");
    let (from, to) = (server.task_dir(id), server.task_dir(&copy));
    fs::create_dir(&to).expect("a new directory");
    for entry in fs::read_dir(from).expect("the directory of a task").flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
        }
    }
    copy
}
