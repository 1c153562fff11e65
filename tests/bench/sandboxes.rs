//! `linux_sandbox` through the API, every layer demanded: cold, which makes each sandbox when its task starts, and warm,
//! which has made it before.

use serde_json::{Value, json};

use crate::client::{Lifecycle, run, submit, task};
use crate::load::{Window, by_clients};
use crate::parts::Part;
use crate::report::Bound::{AtLeast, AtMost};
use crate::report::{Item, Limit, Report, ms};
use crate::sample::{Sample, Series};
use crate::server::{Server, Site};

const FLAGS: [&str; 4] = ["--max-running-tasks", "8", "--max-queued-tasks", "10000"];
const WARM: &str = "--warm-sandboxes";
const MANY: usize = 32;

#[derive(Debug)]
pub struct Sandboxes {
    /// As it is by default.
    server: Server,
    cold_server: Server,
    /// `None`: there can be no such sandbox here.
    task: Option<Value>,
    has_cgroup: bool,
    warm: Series,
    cold: Series,
    many: Series,
}

impl Sandboxes {
    pub fn new(site: &Site) -> Self {
        let server = site.start(&FLAGS);
        let mut task = task();
        task["sandbox"] = json!({"profile": "linux_sandbox", "network": "none"});
        task["policy"] = json!({"capability_mode": "strict"});
        let mut limited = task.clone();
        limited["limits"] = json!({"memory_bytes": 256 << 20, "pids_max": 64});
        let is_possible = |task: &Value| server.connect().ask(&submit(task)).status == 200;
        let has_cgroup = is_possible(&limited);
        let task = if has_cgroup { Some(limited) } else { Some(task).filter(is_possible) };
        let cold_server = site.start(&[&FLAGS[..], &[WARM, "0"]].concat());
        let [warm, cold, many] = Default::default();
        Self { server, cold_server, task, has_cgroup, warm, cold, many }
    }

    fn clients(server: &Server, number: usize, task: &Value, window: Window) -> Sample {
        by_clients(server.address, window, (0..number).map(|_| Lifecycle::new(task)).collect()).0
    }
}

impl Part for Sandboxes {
    fn round(&mut self, window: Window) {
        let Some(task) = &self.task else { return };
        self.cold.add(Self::clients(&self.cold_server, 1, task, window));
        // What is warm is there again.
        run(&mut self.server.connect(), task);
        self.warm.add(Self::clients(&self.server, 1, task, window));
        self.many.add(Self::clients(&self.server, MANY, task, window));
    }

    fn report(&self, limit: Limit, report: &mut Report) {
        report.section("linux_sandbox, strict, without network: submit to end");
        if self.task.is_none() {
            report.note("not measured: this machine or this user cannot have such a sandbox");
            return;
        }
        if !self.has_cgroup {
            report.note("without limits of memory and processes: no cgroups can be had here");
        }
        let in_spawns = |series: &Series| ms(series.median()) / limit.spawn_ms;
        report.row("1 client, cold", &self.cold, Item::Process, limit);
        report.row("1 client, warm", &self.warm, Item::Process, limit);
        report.row("32 clients", &self.many, Item::Process, limit);
        report.must("sandbox, 1 client, cold: median in spawns", AtMost(9.0), in_spawns(&self.cold));
        report.must("sandbox, 1 client, warm: median in spawns", AtMost(5.0), in_spawns(&self.warm));
        let of_limit = self.many.rate() / limit.per_second;
        report.must("sandbox, 32 clients, of the machine's limit", AtLeast(0.25), of_limit);
    }
}
