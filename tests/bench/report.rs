//! The results: as tables while they come, and all together as JSON.

use std::time::Duration;

use serde_json::{Value, json};

use crate::sample::Series;

/// What one item is, so that it can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// At least a process, so the machine's limit is its own too.
    Process,
    Request,
}

/// The machine's own limit, of the same run.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Processes a second from all cores.
    pub per_second: f64,
    /// One process, one at a time, in milliseconds.
    pub spawn_ms: f64,
    /// CPU time of one process, from all cores, in milliseconds.
    pub spawn_cpu_ms: f64,
}

/// What must hold.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

#[derive(Debug, Default)]
pub struct Report {
    sections: Vec<Section>,
    musts: Vec<Must>,
}

#[derive(Debug)]
struct Section {
    name: String,
    rows: Vec<Value>,
    facts: Vec<Value>,
    notes: Vec<String>,
}

#[derive(Debug)]
struct Must {
    what: String,
    bound: Bound,
    /// `None`: not measured.
    found: Option<f64>,
}

impl Report {
    /// What follows belongs to it.
    pub fn section(&mut self, name: impl Into<String>) {
        let name = name.into();
        println!("\n## {name}");
        self.sections.push(Section { name, rows: Vec::new(), facts: Vec::new(), notes: Vec::new() });
    }

    pub fn row(&mut self, name: &str, series: &Series, item: Item, limit: Limit) {
        let of_limit = (item == Item::Process).then(|| series.rate() / limit.per_second);
        let (median, p99) = (ms(series.median()), ms(series.p99()));
        let (slowest, fastest) = series.rates();
        let spread = format!("{slowest:.0}–{fastest:.0}");
        if self.last().rows.is_empty() {
            println!(
                "{:44} {:>10} {:>16} {:>9} {:>9} {:>12} {:>9}",
                "", "per second", "slowest–fastest", "median ms", "p99 ms", "of the limit", "in spawns"
            );
        }
        println!(
            "{name:44} {:>10.0} {spread:>16} {median:>9.3} {p99:>9.3} {:>12} {:>9.2}",
            series.rate(),
            of_limit.map_or_else(|| "-".to_owned(), |part| format!("{part:.3}")),
            median / limit.spawn_ms,
        );
        self.last().rows.push(json!({
            "name": name, "per_second": series.rate(), "slowest": slowest, "fastest": fastest, "median_ms": median,
            "p99_ms": p99, "of_limit": of_limit, "median_in_spawns": median / limit.spawn_ms,
            "p99_in_spawns": p99 / limit.spawn_ms,
        }));
    }

    pub fn fact(&mut self, name: &str, value: f64, unit: &str) {
        println!("{name:74} {value:>10.3} {unit}");
        self.last().facts.push(json!({"name": name, "value": value, "unit": unit}));
    }

    pub fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        println!("{text}");
        self.last().notes.push(text);
    }

    pub fn must(&mut self, what: impl Into<String>, bound: Bound, found: impl Into<Option<f64>>) {
        self.musts.push(Must { what: what.into(), bound, found: found.into() });
    }

    pub fn print_musts(&self) {
        println!("\n## What must hold, on a machine that is the runtime's own");
        for Must { what, bound, found } in &self.musts {
            let (sign, value) = bound.parts();
            let found_text = found.map_or_else(|| "-".to_owned(), |found| format!("{found:.3}"));
            println!("{:14} {what:74} {found_text:>10} {sign} {value}", bound.verdict(*found));
        }
    }

    pub fn json(&self, about: Value) -> Value {
        let sections = self.sections.iter().map(
            |Section { name, rows, facts, notes }| json!({"name": name, "rows": rows, "facts": facts, "notes": notes}),
        );
        let musts = self.musts.iter().map(|Must { what, bound, found }| {
            let (sign, target) = bound.parts();
            json!({"what": what, "sign": sign, "target": target, "found": found, "verdict": bound.verdict(*found)})
        });
        json!({"about": about, "sections": sections.collect::<Vec<_>>(), "musts": musts.collect::<Vec<_>>()})
    }

    fn last(&mut self) -> &mut Section {
        self.sections.last_mut().expect("a section comes before what is in it")
    }
}

impl Bound {
    const fn parts(self) -> (&'static str, f64) {
        match self {
            Self::AtLeast(value) => ("≥", value),
            Self::AtMost(value) => ("≤", value),
        }
    }

    fn verdict(self, found: Option<f64>) -> &'static str {
        let holds = |found| match self {
            Self::AtLeast(value) => found >= value,
            Self::AtMost(value) => found <= value,
        };
        match found.map(holds) {
            Some(true) => "holds",
            Some(false) => "DOES NOT HOLD",
            None => "not measured",
        }
    }
}

pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
