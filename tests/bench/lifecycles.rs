//! Durable lifecycles: submit, then a long poll until the end. One client, some, many.

use crate::client::{Lifecycle, task};
use crate::load::{Window, by_clients};
use crate::parts::Part;
use crate::report::Bound::{AtLeast, AtMost};
use crate::report::{Item, Limit, Report, ms};
use crate::sample::{Sample, Series};
use crate::server::{Server, Site};
use crate::usage::{Cpu, Family, Meter, memory};

const FLAGS: [&str; 4] = ["--max-running-tasks", "8", "--max-queued-tasks", "10000"];
const MANY: usize = 32;

#[derive(Debug)]
pub struct Lifecycles {
    server: Server,
    one: Series,
    submits: Series,
    some: Series,
    many: Series,
    /// With many clients, of all rounds, in seconds, and how many lifecycles these were.
    spent: Cpu,
    ended: usize,
}

impl Lifecycles {
    pub fn new(site: &Site) -> Self {
        let server = site.start(&FLAGS);
        let [one, submits, some, many] = Default::default();
        Self { server, one, submits, some, many, spent: Cpu::default(), ended: 0 }
    }

    fn clients(&self, number: usize, window: Window) -> (Sample, Vec<Lifecycle>) {
        by_clients(self.server.address, window, (0..number).map(|_| Lifecycle::new(&task())).collect())
    }
}

impl Part for Lifecycles {
    fn round(&mut self, window: Window) {
        let (sample, scripts) = self.clients(1, window);
        self.one.add(sample);
        let submits: Vec<_> = scripts.into_iter().flat_map(|script| script.submits).collect();
        let all: f64 = submits.iter().map(std::time::Duration::as_secs_f64).sum();
        self.submits.add(Sample::new(submits.len() as f64 / all, submits));
        self.some.add(self.clients(4, window).0);
        let meter = Meter::start(self.server.pid());
        let (sample, scripts) = self.clients(MANY, window);
        self.many.add(sample);
        self.spent = self.spent.and(meter.spent());
        self.ended += scripts.iter().map(|script| script.submits.len()).sum::<usize>();
    }

    fn report(&self, limit: Limit, report: &mut Report) {
        report.section("Durable lifecycles: submit to end");
        report.row("1 client", &self.one, Item::Process, limit);
        report.row("4 clients", &self.some, Item::Process, limit);
        report.row("32 clients", &self.many, Item::Process, limit);
        report.row("submit to its answer, 1 client (a commit)", &self.submits, Item::Request, limit);
        let Cpu { client, server, launcher, tasks } = self.spent.per(self.ended as f64 / 1000.0);
        for (who, cpu) in [("client", client), ("server", server), ("launcher", launcher), ("shim and task", tasks)] {
            report.fact(&format!("CPU of a lifecycle, 32 clients: {who}"), cpu, "ms");
        }
        let all = client + server + launcher + tasks;
        report.fact("CPU of a lifecycle, 32 clients: all", all / limit.spawn_cpu_ms, "times that of a spawn");
        let family = Family::of(self.server.pid());
        report.fact("memory after it: server", memory(family.server), "MiB (PSS)");
        report.fact("memory after it: launcher", memory(family.launcher), "MiB (PSS)");
        report.must("32 clients, of the machine's limit", AtLeast(0.45), self.many.rate() / limit.per_second);
        report.must("1 client, median in spawns", AtMost(4.0), ms(self.one.median()) / limit.spawn_ms);
        report.must("1 client, p99 in spawns", AtMost(12.0), ms(self.one.p99()) / limit.spawn_ms);
    }
}
