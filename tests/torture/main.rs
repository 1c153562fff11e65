//! The torture for every change: few kills, of everything; as root and rootless. The long one is
//! `program.rs`.

mod api;
mod bite;
mod campaign;
mod checker;
mod client;
mod clock;
mod events;
mod faults;
mod killer;
mod plan;
mod processes;
mod runtime;
mod scene;
mod storage;

use campaign::Campaign;
use killer::Victim;
use plan::Profile;

fn survives(profile: Profile, rootless: bool) {
    let seed = fastrand::u64(..);
    let victims = vec![Victim::Serve, Victim::Launcher, Victim::Shim, Victim::Spare, Victim::All];
    let report = Campaign { seed, kills: 8, victims, clients: 4, profile, rootless }.run();
    match report {
        Ok(report) => assert!(report.violations.is_empty(), "{report}"),
        Err(why) => panic!("seed {seed}: {why}"),
    }
}

#[test]
fn a_runtime_keeps_its_promises_whatever_is_killed() {
    survives(Profile::Process, false);
}

#[test]
fn a_rootless_runtime_keeps_its_promises_whatever_is_killed() {
    survives(Profile::Process, true);
}
