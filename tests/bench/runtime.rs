//! How fast tasks go, beside what this machine could do at best: the runtime's numbers and the machine's are taken in
//! the same run and in turns, because a machine is not the same from one minute to the next.
//!
//! `just bench`, or `cargo bench --bench runtime -- --help`.

mod budget;
mod client;
mod machine;
mod sample;
mod server;
mod table;

use std::ffi::OsString;
use std::time::Duration;

use clap::Parser;

use budget::Budget;
use sample::Series;
use server::Server;
use table::Row;

/// What cargo passes to a benchmark, and not to a test.
const BY_CARGO_BENCH: &str = "--bench";

/// Measures the runtime beside the machine's own limit.
#[derive(Debug, Parser)]
#[command(name = "runtime")]
struct Args {
    /// How often everything is measured, in turns
    #[arg(long, default_value_t = 3, env = "EXECGO_BENCH_ROUNDS", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// No single measurement takes longer
    #[arg(long, value_name = "MS", default_value_t = 1400, env = "EXECGO_BENCH_SLICE_MS")]
    slice_ms: u64,

    /// No single measurement runs more tasks (or processes, or reads)
    #[arg(long, value_name = "N", default_value_t = 20_000, env = "EXECGO_BENCH_TASKS")]
    tasks: usize,

    /// More flags for `serve`, after `--`
    #[arg(last = true)]
    serve: Vec<OsString>,
}

fn main() {
    let (by_cargo, args): (Vec<_>, Vec<_>) = std::env::args_os().partition(|arg| arg == BY_CARGO_BENCH);
    if by_cargo.is_empty() {
        println!("a benchmark measures nothing as a test; run `cargo bench --bench runtime`");
        return;
    }
    let args = Args::parse_from(args);
    let budget = Budget { time: Duration::from_millis(args.slice_ms), items: args.tasks };
    let server = Server::start(&args.serve);
    let mut all = Measures::default();
    for _ in 0..args.rounds {
        all.round(&server, &budget);
    }
    all.print(args.rounds);
}

#[derive(Debug, Default)]
struct Measures {
    one_spawner: Series,
    two_spawners: Series,
    one_client: Series,
    four_clients: Series,
    many_clients: Series,
    reads: Series,
}

impl Measures {
    fn round(&mut self, server: &Server, budget: &Budget) {
        self.one_spawner.add(budget.spend(1, || machine::spawn_and_wait));
        self.one_client.add(budget.spend(1, || client::lifecycle(server.url())));
        self.two_spawners.add(budget.spend(2, || machine::spawn_and_wait));
        self.four_clients.add(budget.spend(4, || client::lifecycle(server.url())));
        self.many_clients.add(budget.spend(32, || client::lifecycle(server.url())));
        let id = client::ended_task(server.url());
        self.reads.add(budget.spend(4, || client::status_read(server.url(), &id)));
    }

    fn print(&self, rounds: u32) {
        println!("\nmedian of {rounds} rounds; times of single items over all rounds");
        let rows = [
            Row { name: "spawn + wait, one at a time", series: &self.one_spawner, is_processes: true },
            Row { name: "spawn + wait, from 2 threads", series: &self.two_spawners, is_processes: true },
            Row { name: "submit to end, 1 client", series: &self.one_client, is_processes: true },
            Row { name: "submit to end, 4 clients", series: &self.four_clients, is_processes: true },
            Row { name: "submit to end, 32 clients", series: &self.many_clients, is_processes: true },
            Row { name: "status reads, 4 clients", series: &self.reads, is_processes: false },
        ];
        // Of the machine at its best, whichever way it does better.
        let limit = self.one_spawner.rate().max(self.two_spawners.rate());
        table::print(&rows, self.one_spawner.median(), limit);
    }
}
