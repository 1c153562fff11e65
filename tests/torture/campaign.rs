//! One campaign: clients, a killer, and at the end the checker.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::checker::{Checker, Found};
use crate::client::{Client, Told};
use crate::killer::{Done, Killer, Victim};
use crate::plan::{Planned, Profile};
use crate::runtime::Runtime;

#[derive(Clone, Debug)]
pub struct Campaign {
    pub seed: u64,
    pub kills: u32,
    pub victims: Vec<Victim>,
    pub clients: usize,
    pub profile: Profile,
    pub rootless: bool,
}

/// What a campaign did and found.
#[derive(Debug)]
pub struct Report {
    campaign: Campaign,
    done: Done,
    found: Found,
    tasks: usize,
    in_doubt: usize,
    took: Duration,
    /// From each start of the server to ready, sorted.
    starts: Vec<Duration>,
    pub violations: Vec<String>,
}

impl Campaign {
    /// # Errors
    /// Why it cannot be held here.
    pub fn run(self) -> Result<Report, String> {
        let mut runtime = Runtime::new(self.profile, self.rootless);
        runtime.start()?;
        if self.profile == Profile::LinuxSandbox {
            let manifest = runtime.api().get("/api/v1/runtime/capabilities").ok_or("no manifest")?.body;
            if manifest["sandbox"]["linux_sandbox"] != true {
                return Err(format!("there is no linux_sandbox here: {}", manifest["warnings"]));
            }
        }
        let begun = Instant::now();
        let (done, told) = self.torture(&mut runtime);
        let mut violations = done.violations.clone();
        let mut tasks = Vec::new();
        for mut client in told {
            violations.append(&mut client.violations);
            tasks.append(&mut client.tasks);
        }
        let mut found = Found::default();
        if let Some(status) = runtime.ended() {
            violations.push(format!("the server ended by itself: {status}"));
        } else if violations.is_empty() {
            found = Checker::new(&mut runtime, &done, &tasks).run(&tasks);
            violations.append(&mut found.violations);
        }
        if !violations.is_empty() {
            violations.push(format!("all of it is in {}", runtime.keep().display()));
        }
        let in_doubt = tasks.iter().filter(|one| !one.with_200).count();
        let took = begun.elapsed();
        let mut starts = std::mem::take(&mut runtime.starts);
        starts.sort_unstable();
        Ok(Report { campaign: self, done, found, tasks: tasks.len(), in_doubt, took, starts, violations })
    }

    /// Clients work until the killer is done, and until their tasks have ended.
    fn torture(&self, runtime: &mut Runtime) -> (Done, Vec<Told>) {
        let (api, mark, ran, profile) = (runtime.api(), runtime.mark(), runtime.ran_of_task(), runtime.profile());
        let request = move |task: &Planned| task.request(&mark, &ran, profile);
        let mut random = Rng::with_seed(self.seed);
        let (enough, over) = (AtomicBool::new(false), AtomicBool::new(false));
        let killer = Killer::new(runtime, random.fork(), &self.victims);
        thread::scope(|scope| {
            let start = |number| {
                let client = Client {
                    api: api.clone(),
                    random: random.fork(),
                    number,
                    request: &request,
                    enough: &enough,
                    over: &over,
                };
                scope.spawn(move || client.run())
            };
            let clients: Vec<_> = (0..self.clients).map(start).collect();
            let done = killer.run(self.kills);
            enough.store(true, Ordering::Relaxed);
            over.store(!done.violations.is_empty(), Ordering::Relaxed);
            let told = clients.into_iter().map(|client| client.join().expect("a client does not panic"));
            (done, told.collect())
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { campaign, done, found, tasks, in_doubt, took, starts, violations } = self;
        writeln!(out, "torture: {campaign:?}, {:.0} s", took.as_secs_f64())?;
        let at = |percent: usize| {
            starts.get((starts.len() * percent).div_ceil(100).saturating_sub(1)).map_or(0, Duration::as_millis)
        };
        let [median, late, last] = [50, 95, 100].map(at);
        writeln!(
            out,
            "  kills {:?}; {} starts, in ms to ready: median {median}, 95 % {late}, all {last}",
            done.kills, done.starts
        )?;
        writeln!(out, "  {tasks} tasks acknowledged ({in_doubt} only by their conflict): {:?}", found.outcomes)?;
        writeln!(out, "  {} shims killed, {} tasks lost with them", done.shims.len(), found.with_lost_shim)?;
        if found.beyond_reach > 0 {
            writeln!(out, "  {} processes left where nobody can find them (no cgroups)", found.beyond_reach)?;
        }
        writeln!(out, "  {} violations", violations.len())?;
        violations.iter().try_for_each(|violation| writeln!(out, "  - {violation}"))
    }
}
