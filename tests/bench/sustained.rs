//! Many clients for minutes, while what has ended is deleted after seconds.

use std::time::Duration;

use crate::client::{Lifecycle, task};
use crate::limit::Machine;
use crate::load::{Window, by_clients};
use crate::report::Bound::AtLeast;
use crate::report::{Item, Report};
use crate::sample::Series;
use crate::server::Site;
use crate::usage::{Family, Meter, memory};

const FLAGS: [&str; 6] = ["--max-running-tasks", "8", "--max-queued-tasks", "10000", "--result-retention-secs", "5"];
const CLIENTS: usize = 32;
const QUARTERS: usize = 4;

pub fn measure(site: &Site, lasting: Duration, window: Window, report: &mut Report) {
    let server = site.start(&FLAGS);
    let mut machine = Machine::default();
    machine.round(window);
    let meter = Meter::start(server.pid());
    let quarter = Window { time: lasting / 4, items: usize::MAX, ..window };
    let quarters: [Series; QUARTERS] = std::array::from_fn(|_| {
        let scripts = (0..CLIENTS).map(|_| Lifecycle::new(&task())).collect();
        let mut series = Series::default();
        series.add(by_clients(server.address, quarter, scripts).0);
        series
    });
    let shares = meter.shares();
    machine.round(window);
    let limit = machine.limit();
    report.section(format!("Sustained for {} s, ended tasks kept for 5 s", lasting.as_secs()));
    for (number, series) in (1..).zip(&quarters) {
        report.row(&format!("32 clients, quarter {number}"), series, Item::Process, limit);
    }
    report.fact("the limit, the better of before and after", limit.per_second, "processes a second");
    report.fact("CPU of the client", shares.client, "cores");
    report.fact("CPU of the server", shares.server, "cores");
    report.fact("memory of the server", memory(Family::of(server.pid()).server), "MiB (PSS)");
    let mean = quarters.iter().map(Series::rate).sum::<f64>() / QUARTERS as f64;
    let [first, .., last] = &quarters;
    report.must("sustained, of the machine's limit", AtLeast(0.35), mean / limit.per_second);
    report.must("sustained, last quarter in parts of the first", AtLeast(0.9), last.rate() / first.rate());
}
