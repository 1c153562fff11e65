//! Submits and status reads while as many tasks run as may: what is submitted waits.

use crate::client::{Read, Submit, run, task};
use crate::load::{Window, by_clients};
use crate::parts::Part;
use crate::report::Bound::AtLeast;
use crate::report::{Item, Limit, Report};
use crate::sample::Series;
use crate::server::{Server, Site};
use crate::usage::Meter;

const FLAGS: [&str; 4] = ["--max-running-tasks", "4", "--max-queued-tasks", "100000000"];
const RUNNING: usize = 4;
const CLIENTS: usize = 32;

/// Each round has a server whose queue is empty at first.
#[derive(Debug)]
pub struct Submits<'a> {
    site: &'a Site,
    submits: Series,
    client: f64,
}

#[derive(Debug)]
pub struct Reads {
    server: Server,
    /// Of tasks that run and of as many that have ended.
    ids: Vec<String>,
    reads: Series,
    client: f64,
}

impl<'a> Submits<'a> {
    pub fn new(site: &'a Site) -> Self {
        Self { site, submits: Series::default(), client: 0.0 }
    }
}

impl Part for Submits<'_> {
    fn round(&mut self, window: Window) {
        let mut server = self.site.start(&FLAGS);
        for _ in 0..RUNNING {
            server.occupy(None);
        }
        let meter = Meter::start(server.pid());
        let scripts = (0..CLIENTS).map(|_| Submit::new(&task())).collect();
        self.submits.add(by_clients(server.address, window, scripts).0);
        self.client = meter.shares().client;
    }

    fn report(&self, limit: Limit, report: &mut Report) {
        report.section("Durable submits while 4 tasks run");
        report.row("32 clients", &self.submits, Item::Request, limit);
        report.fact("CPU of the client", self.client, "cores");
        report.must("submits a second, 32 clients, 4 tasks running", AtLeast(8_000.0), self.submits.rate());
    }
}

impl Reads {
    pub fn new(site: &Site) -> Self {
        let mut server = site.start(&FLAGS);
        let mut connection = server.connect();
        let mut ids: Vec<_> = (0..RUNNING).map(|_| run(&mut connection, &task())).collect();
        ids.extend((0..RUNNING).map(|_| server.occupy(None)));
        Self { server, ids, reads: Series::default(), client: 0.0 }
    }
}

impl Part for Reads {
    fn round(&mut self, window: Window) {
        let meter = Meter::start(self.server.pid());
        let scripts = (0..CLIENTS).map(|place| Read::statuses(&self.ids).from(place)).collect();
        self.reads.add(by_clients(self.server.address, window, scripts).0);
        self.client = meter.shares().client;
    }

    fn report(&self, limit: Limit, report: &mut Report) {
        report.section("Status reads while 4 tasks run: of these and of 4 that have ended");
        report.row("32 clients", &self.reads, Item::Request, limit);
        report.fact("CPU of the client", self.client, "cores");
        report.must("status reads a second, 32 clients, 4 tasks running", AtLeast(20_000.0), self.reads.rate());
    }
}
