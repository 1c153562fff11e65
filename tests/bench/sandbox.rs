//! What a sandbox costs: from the launch of a task to the report that all of it was reaped, beside a bare process and
//! beside bubblewrap with the same namespaces. One launch at a time, in turns, because a machine is not the same from
//! one minute to the next; once right after the other, and once with pauses, which some costs of the kernel show only
//! then.
//!
//! `just bench sandbox`, or `cargo bench --bench sandbox -- --help`.

mod launcher;
mod machine;
mod sample;
mod table;

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;

use launcher::{Launcher, Profile};
use sample::{Sample, Series};
use table::Row;

/// What cargo passes to a benchmark, and not to a test.
const BY_CARGO_BENCH: &str = "--bench";

/// Measures the launch of a sandbox.
#[derive(Debug, Parser)]
#[command(name = "sandbox")]
struct Args {
    /// How often each is launched, one right after the other
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    launches: u32,

    /// How often each is launched with pauses
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    spaced: u32,

    /// Pause before each spaced launch
    #[arg(long, value_name = "MS", default_value_t = 100)]
    pause_ms: u64,
}

/// As `sandbox.warm_sandboxes` is by default.
const WARM: u32 = 2;

struct Launchers {
    cold: Launcher,
    warm: Launcher,
}

#[derive(Debug, Default)]
struct Measures {
    spawn: Series,
    process: Series,
    /// With nothing begun ahead.
    cold: Series,
    /// One that was begun before.
    warm: Series,
    /// Where it is installed.
    bubblewrap: Option<Series>,
}

fn main() {
    let (by_cargo, args): (Vec<_>, Vec<_>) = std::env::args_os().partition(|arg| arg == BY_CARGO_BENCH);
    if by_cargo.is_empty() {
        println!("a benchmark measures nothing as a test; run `cargo bench --bench sandbox`");
        return;
    }
    let args = Args::parse_from(args);
    // Each begins what its last launch was like.
    let mut launchers = Launchers { cold: Launcher::start(0), warm: Launcher::start(WARM) };
    if !launchers.cold.has_groups() {
        println!("without cgroups: this user cannot make them here");
    }
    let bubblewrap = has_bubblewrap();
    if !bubblewrap {
        println!("without bubblewrap: no bwrap that works is installed here");
    }
    let at_once = Measures::take(&mut launchers, args.launches, Duration::ZERO, bubblewrap);
    let spaced = Measures::take(&mut launchers, args.spaced, Duration::from_millis(args.pause_ms), bubblewrap);
    println!("\n{} launches of each, in turns, one right after the other", args.launches);
    at_once.print();
    println!("\n{} launches of each, in turns, {} ms apart", args.spaced, args.pause_ms);
    spaced.print();
}

impl Measures {
    fn take(launchers: &mut Launchers, launches: u32, pause: Duration, with_bubblewrap: bool) -> Self {
        let mut all = Self { bubblewrap: with_bubblewrap.then(Series::default), ..Self::default() };
        for _ in 0..launches {
            all.spawn.add(timed(pause, machine::spawn_and_wait));
            all.process.add(timed(pause, || launchers.cold.run(Profile::Process)));
            all.cold.add(timed(pause, || launchers.cold.run(Profile::Sandbox)));
            all.warm.add(timed(pause, || launchers.warm.run(Profile::Sandbox)));
            if let Some(series) = &mut all.bubblewrap {
                series.add(timed(pause, bubblewrap));
            }
        }
        all
    }

    fn print(&self) {
        let row = |name, series| Row { name, series, is_processes: true };
        let mut rows = vec![
            row("spawn + wait", &self.spawn),
            row("process, launch to reaped", &self.process),
            row("cold sandbox, the same", &self.cold),
            row("warm sandbox, the same", &self.warm),
        ];
        rows.extend(self.bubblewrap.as_ref().map(|series| row("bubblewrap, spawn + wait", series)));
        table::print(&rows, self.spawn.median(), self.spawn.rate());
        if let Some(bubblewrap) = &self.bubblewrap {
            let [cold, warm] = [&self.cold, &self.warm]
                .map(|sandbox| sandbox.median().as_secs_f64() / bubblewrap.median().as_secs_f64());
            println!("a cold sandbox takes {cold:.2} of the time of bubblewrap, a warm one {warm:.2} (medians)");
        }
    }
}

fn timed(pause: Duration, item: impl FnOnce()) -> Sample {
    thread::sleep(pause);
    let begun = Instant::now();
    item();
    let time = begun.elapsed();
    Sample::new(1.0 / time.as_secs_f64(), vec![time])
}

fn has_bubblewrap() -> bool {
    bubblewrap_command().status().is_ok_and(|status| status.success())
}

fn bubblewrap() {
    assert!(bubblewrap_command().status().expect("it starts").success(), "bubblewrap fails");
}

/// The same namespaces, and the places of a sandbox as far as bubblewrap makes them.
fn bubblewrap_command() -> Command {
    let mut command = Command::new("bwrap");
    command.args(["--unshare-pid", "--unshare-uts", "--unshare-ipc", "--unshare-net", "--unshare-cgroup-try"]);
    command.args(["--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "sandbox"]);
    command.args(["--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]);
    for name in ["bin", "sbin", "lib", "lib64"] {
        let path = Path::new("/").join(name);
        match std::fs::read_link(&path) {
            Ok(to) => drop(command.arg("--symlink").arg(to).arg(path)),
            Err(_) if path.exists() => drop(command.arg("--ro-bind").arg(&path).arg(&path)),
            Err(_) => {}
        }
    }
    command.arg("--bind").arg(env!("CARGO_TARGET_TMPDIR")).args(["/workspace", "--chdir", "/workspace"]);
    command.arg(machine::PROGRAM);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}
