//! The result as text.

use std::time::Duration;

use crate::sample::Series;

#[derive(Debug)]
pub struct Row<'a> {
    pub name: &'a str,
    pub series: &'a Series,
    /// Whether an item is a process, so that the machine's limit is its own too.
    pub is_processes: bool,
}

/// Each row beside one process (`one_process`) and the most processes a second (`limit`) of this machine.
pub fn print(rows: &[Row], one_process: Duration, limit: f64) {
    println!(
        "{:28} {:>10} {:>16} {:>9} {:>9} {:>12} {:>10}",
        "", "per second", "slowest–fastest", "median ms", "p99 ms", "of the limit", "in spawns"
    );
    for Row { name, series, is_processes } in rows {
        let (slowest, fastest) = series.rates();
        let spread = format!("{slowest:.0}–{fastest:.0}");
        let (median, p99) = (series.median(), series.p99());
        let of_limit = if *is_processes { format!("{:.0}%", series.rate() / limit * 100.0) } else { "-".to_owned() };
        println!(
            "{name:28} {:>10.0} {spread:>16} {:>9.2} {:>9.2} {of_limit:>12} {:>10.1}",
            series.rate(),
            millis(median),
            millis(p99),
            median.as_secs_f64() / one_process.as_secs_f64(),
        );
    }
    println!("the limit: {limit:.0} processes a second; a spawn: {:.2} ms, one process at a time", millis(one_process));
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
