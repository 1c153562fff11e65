//! Kills parts of a runtime at random moments and starts its server again. What it kills and when follows from its seed
//! alone; what that hits does not.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use serde_json::Value;

use crate::processes::{Held, Role};
use crate::runtime::{MAX_RUNNING, Runtime, until};

const FINDS_WITHIN: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Victim {
    /// The server.
    Serve,
    /// The launcher of a server that goes on.
    Launcher,
    /// One shim.
    Shim,
    /// A shim that waits for its task.
    Spare,
    /// The server, the launcher and every shim.
    All,
}

/// A shim that was killed, and when. A spare one may have been given its task in that moment.
#[derive(Clone, Copy, Debug)]
pub struct KilledShim {
    pub pid: i32,
    pub at: SystemTime,
}

pub struct Killer<'a> {
    runtime: &'a mut Runtime,
    random: Rng,
    victims: &'a [Victim],
    pub done: Done,
}

/// What it did and saw.
#[derive(Debug, Default)]
pub struct Done {
    pub kills: BTreeMap<Victim, u32>,
    pub starts: u32,
    pub shims: Vec<KilledShim>,
    /// Tasks that had a process and no reservation.
    pub unreserved: BTreeSet<String>,
    pub violations: Vec<String>,
}

impl<'a> Killer<'a> {
    pub fn new(runtime: &'a mut Runtime, random: Rng, victims: &'a [Victim]) -> Self {
        Self { runtime, random, victims, done: Done::default() }
    }

    /// Kills so many times, or until something is wrong with the server itself.
    pub fn run(mut self, kills: u32) -> Done {
        while self.done.kills.values().sum::<u32>() < kills {
            self.pause(20..500);
            if let Err(violation) = self.kill_once() {
                self.done.violations.push(violation);
                break;
            }
        }
        self.done
    }

    fn kill_once(&mut self) -> Result<(), String> {
        if let Some(status) = self.runtime.ended() {
            return Err(format!("the server ended by itself: {status}"));
        }
        let victim = *self.random.choice(self.victims).ok_or("there are no victims")?;
        *self.done.kills.entry(victim).or_default() += 1;
        // What it draws depends on what is there, and must not change what comes after.
        let mut aim = self.random.fork();
        match victim {
            Victim::Serve => self.restart_server(),
            Victim::Launcher => self.kill_one(Role::Launcher, aim),
            Victim::Shim => self.kill_one(Role::Shim, aim),
            Victim::Spare => self.kill_one(Role::Spare, aim),
            Victim::All => {
                let mut all = self.runtime.processes.of_runtime();
                all.retain(|held| held.role != Role::Other);
                aim.shuffle(&mut all);
                all.iter().for_each(|held| self.strike(held));
                self.restart_server()
            }
        }
    }

    fn kill_one(&mut self, role: Role, mut aim: Rng) -> Result<(), String> {
        let found = until(FINDS_WITHIN, || {
            let mut all = self.runtime.processes.of_runtime();
            all.retain(|held| held.role == role);
            (!all.is_empty()).then(|| all.swap_remove(aim.usize(0..all.len())))
        });
        let held = found.ok_or_else(|| format!("no {role:?} within {FINDS_WITHIN:?}"))?;
        self.strike(&held);
        Ok(())
    }

    fn strike(&mut self, held: &Held) {
        if held.kill() && matches!(held.role, Role::Shim | Role::Spare) {
            self.done.shims.push(KilledShim { pid: held.pid, at: SystemTime::now() });
        }
    }

    /// The server is killed, stays away for a while and is started; sometimes it is killed on its way up.
    fn restart_server(&mut self) -> Result<(), String> {
        self.runtime.kill();
        match self.random.u32(0..10) {
            0..5 => {}
            5..9 => self.pause(0..500),
            _ => self.pause(2000..2500),
        }
        while self.random.u32(0..4) == 0 {
            self.runtime.spawn();
            self.done.starts += 1;
            self.pause(0..80);
            self.runtime.kill();
            *self.done.kills.entry(Victim::Serve).or_default() += 1;
        }
        self.runtime.start()?;
        self.done.starts += 1;
        self.look_at_ledger()
    }

    /// Whatever runs before and after a look into the ledger must be in it.
    fn look_at_ledger(&mut self) -> Result<(), String> {
        let before = self.runtime.processes.running_tasks();
        let answer = self.runtime.api().get("/api/v1/runtime/resources").ok_or("the ledger was not told")?;
        let after = self.runtime.processes.running_tasks();
        let active = answer.body["active_reservations"].as_array().cloned().unwrap_or_default();
        let reserved: BTreeSet<&str> = active.iter().filter_map(|one| one["task_id"].as_str()).collect();
        let unreserved = before.intersection(&after).filter(|id| !reserved.contains(id.as_str()));
        self.done.unreserved.extend(unreserved.cloned());
        let slots = &answer.body["reserved"]["task_slots"];
        if slots != &Value::from(active.len()) || reserved.len() as u64 > MAX_RUNNING {
            self.done.violations.push(format!("{slots} slots are reserved, for {} tasks", active.len()));
        }
        Ok(())
    }

    fn pause(&mut self, millis: std::ops::Range<u64>) {
        thread::sleep(Duration::from_millis(self.random.u64(millis)));
    }
}
