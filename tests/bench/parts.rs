//! What is measured in turns with the machine's limit, because a machine is not the same from one minute to the next.

use crate::limit::Machine;
use crate::load::Window;
use crate::report::{Limit, Report};

pub trait Part {
    /// Measures once more.
    fn round(&mut self, window: Window);

    fn report(&self, limit: Limit, report: &mut Report);
}

/// Each part once a round, each time after the machine.
pub fn take(mut parts: Vec<Box<dyn Part + '_>>, rounds: u32, window: Window, report: &mut Report) {
    let mut machine = Machine::default();
    for _ in 0..rounds {
        for part in &mut parts {
            machine.round(Window { time: window.time / 2, ..window });
            part.round(window);
        }
    }
    machine.report(report);
    for part in &parts {
        part.report(machine.limit(), report);
    }
}
