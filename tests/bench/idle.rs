//! A runtime that has nothing to do, and one whose tasks sleep.

use std::thread;
use std::time::{Duration, Instant};

use crate::client::{run, task};
use crate::report::Bound::AtMost;
use crate::report::Report;
use crate::server::{Server, Site};
use crate::usage::{Family, memory, resident};

const SLEEPERS: usize = 4;

pub fn measure(site: &Site, lasting: Duration, report: &mut Report) {
    report.section("Idle");
    let mut server = site.start(&[]);
    // It has worked before, so what it makes at first use is made.
    run(&mut server.connect(), &task());
    let (share, all) = held("no task", &server, lasting, report);
    report.must("idle: memory of all processes, MiB (PSS)", AtMost(25.0), all);
    report.must("idle: CPU of all processes, % of a core", AtMost(0.2), share);
    for _ in 0..SLEEPERS {
        server.occupy(None);
    }
    held("4 tasks that sleep", &server, lasting, report);
}

/// CPU in per cent of a core, and memory.
fn held(what: &str, server: &Server, lasting: Duration, report: &mut Report) -> (f64, f64) {
    let family = Family::of(server.pid());
    let (begun, before) = (Instant::now(), family.run_time());
    thread::sleep(lasting);
    let used = family.run_time().saturating_sub(before);
    let share = used.as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0;
    report.fact(&format!("{what}: CPU of all processes"), share, "% of a core");
    let mut all = 0.0;
    let shims = family.shims.iter().map(|&pid| ("child of the launcher", pid));
    for (role, pid) in [("server", family.server), ("launcher", family.launcher)].into_iter().chain(shims) {
        let memory = memory(pid);
        all += memory;
        report.fact(&format!("{what}: {role}"), memory, &format!("MiB (PSS); {:.1} MiB RSS", resident(pid)));
    }
    report.fact(&format!("{what}: memory of all processes"), all, "MiB (PSS)");
    (share, all)
}
