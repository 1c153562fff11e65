//! Goes a walk and writes down what each client asked, when, and what it was answered.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde_json::json;

use super::walk::{Action, Step, Walk, Work};
use crate::case::{Context, Fault, LOOK_EVERY, NotPassed, Outcome, skipped};
use crate::client::Exchange;

#[derive(Debug)]
pub struct Record {
    pub tasks: Vec<Task>,
    /// In the order in which they were begun.
    pub seen: Vec<Seen>,
    pub restarts: usize,
}

#[derive(Debug)]
pub struct Task {
    pub id: String,
    pub work: Work,
}

/// An answer. Two whose times overlap may have been given in either order.
#[derive(Debug)]
pub struct Seen {
    pub begun: Instant,
    pub ended: Instant,
    pub what: What,
    pub exchange: Exchange,
}

/// What was asked for; of the task with this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Submission(usize),
    /// It was there already.
    Conflict(usize),
    Status(usize),
    /// Answered with the status.
    Kill(usize),
    Events(usize),
    Resources,
}

impl Seen {
    /// Whether it was answered before the other was asked for.
    #[must_use]
    pub fn is_before(&self, other: &Self) -> bool {
        self.ended <= other.begun
    }

    #[must_use]
    pub fn status(&self) -> &str {
        self.exchange.body["status"].as_str().unwrap_or_default()
    }

    /// Nothing leaves it.
    #[must_use]
    pub fn is_end(&self) -> bool {
        ["success", "failed", "cancelled"].contains(&self.status())
    }
}

impl Record {
    pub fn of(context: &Context, walk: &Walk) -> Result<Self, NotPassed> {
        let tasks = walk.works().into_iter().map(|work| Task { id: context.fresh_id(), work });
        let play = Play { context, tasks: tasks.collect(), seen: Mutex::default() };
        let went = play.go(walk);
        // However it went, nothing is left running.
        let settled = play.settle();
        went.and(settled)?;
        let mut seen = play.seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        seen.sort_by_key(|seen| seen.begun);
        let restarts = walk.0.iter().filter(|step| **step == Step::Restart).count();
        Ok(Self { tasks: play.tasks, seen, restarts })
    }

    /// What was answered to one kind of request.
    pub fn all(&self, what: What) -> impl Iterator<Item = &Seen> + Clone {
        self.seen.iter().filter(move |seen| seen.what == what)
    }

    /// All answers that hold the status of the task.
    pub fn statuses(&self, task: usize) -> impl Iterator<Item = &Seen> + Clone {
        let of_it = [What::Status(task), What::Kill(task)];
        self.seen.iter().filter(move |seen| of_it.contains(&seen.what))
    }
}

struct Play<'a> {
    context: &'a Context,
    tasks: Vec<Task>,
    seen: Mutex<Vec<Seen>>,
}

impl Play<'_> {
    fn go(&self, walk: &Walk) -> Outcome {
        let mut next_task = 0;
        for (index, part) in walk.0.split(|step| *step == Step::Restart).enumerate() {
            if index > 0 {
                self.restart()?;
            }
            let numbered = part.iter().filter_map(|step| match step {
                Step::By { client, action: action @ Action::Submit(_) } => {
                    next_task += 1;
                    Some((*client, *action, next_task - 1))
                }
                Step::By { client, action } => Some((*client, *action, 0)),
                Step::Restart => None,
            });
            self.all_at_once(&numbered.collect::<Vec<_>>())?;
        }
        Ok(())
    }

    /// Each client in a thread of its own.
    fn all_at_once(&self, steps: &[(usize, Action, usize)]) -> Outcome {
        let clients = steps.iter().map(|(client, ..)| client + 1).max().unwrap_or_default();
        std::thread::scope(|scope| {
            let threads = (0..clients).map(|client| {
                let own = steps.iter().filter(move |(by, ..)| *by == client);
                scope.spawn(move || own.into_iter().try_for_each(|(_, action, new)| self.act(*action, *new)))
            });
            let threads: Vec<_> = threads.collect();
            let ends = threads.into_iter().map(|thread| thread.join().expect("a client does not panic"));
            ends.collect::<Vec<_>>().into_iter().collect()
        })
    }

    fn act(&self, action: Action, new: usize) -> Outcome {
        let task = |number: usize| number % self.tasks.len();
        match action {
            Action::Submit(_) => self.submit(new),
            Action::Again(number) => self.submit(task(number)),
            Action::Status(number) => self.ask(What::Status(task(number)), ""),
            Action::Wait(number) => self.ask(What::Status(task(number)), "?wait_ms=200"),
            Action::Kill(number) => self.ask(What::Kill(task(number)), ""),
            Action::Events(number) => self.ask(What::Events(task(number)), ""),
            Action::Resources => self.ask(What::Resources, ""),
        }
    }

    fn submit(&self, number: usize) -> Outcome {
        let task = &self.tasks[number];
        let begun = Instant::now();
        let exchange = self.context.client.post("/api/v1/tasks", &task.work.request(&task.id))?;
        // What waits for a task that never ends may wait for ever.
        if exchange.status == 429 {
            return exchange.expect_failure(429, "resource_limit_exceeded", "a full queue says so");
        }
        if exchange.status == 409 {
            exchange.expect_failure(409, "conflict", "a task_id is given once")?;
            self.note(begun, What::Conflict(number), exchange);
            return Ok(());
        }
        exchange.expect_status(200, "a valid task is accepted")?;
        exchange.expect_field("/status", &json!("accepted"))?;
        self.note(begun, What::Submission(number), exchange);
        Ok(())
    }

    fn ask(&self, what: What, query: &str) -> Outcome {
        let client = &self.context.client;
        let path = |task: usize| format!("/api/v1/tasks/{}", self.tasks[task].id);
        let begun = Instant::now();
        let (exchange, task) = match what {
            What::Submission(task) | What::Conflict(task) => return self.submit(task),
            What::Status(task) => (client.get(&format!("{}{query}", path(task)))?, Some(task)),
            What::Kill(task) => (client.post_nothing(&format!("{}/kill", path(task)))?, Some(task)),
            What::Events(task) => (client.get(&format!("{}/events", path(task)))?, Some(task)),
            What::Resources => (client.get("/api/v1/runtime/resources")?, None),
        };
        // A runtime need not know how to wait.
        if exchange.status == 400 && !query.is_empty() {
            return Ok(());
        }
        // Asked for before it was accepted, it may be there or not.
        if exchange.status == 404 && task.is_some_and(|task| !self.is_accepted(task, begun)) {
            return exchange.expect_failure(404, "not_found", "a task that is not there is not found");
        }
        exchange.expect_status(200, "what exists can be read")?;
        self.note(begun, what, exchange);
        Ok(())
    }

    fn is_accepted(&self, task: usize, by: Instant) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().any(|seen| seen.what == What::Submission(task) && seen.ended <= by)
    }

    fn note(&self, begun: Instant, what: What, exchange: Exchange) {
        let seen = Seen { begun, ended: Instant::now(), what, exchange };
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
    }

    fn restart(&self) -> Outcome {
        let restart = self.context.restart.as_ref().ok_or_else(|| skipped("--restart names no command"))?;
        let fault = |response: String| {
            let (rule, request) = ("the runtime comes up again".to_owned(), "restart".to_owned());
            NotPassed::from(Fault { rule, request, response })
        };
        restart.run().map_err(fault)?;
        let deadline = Instant::now() + self.context.patience.get();
        while let Err(error) = self.context.client.reach() {
            if Instant::now() > deadline {
                return Err(fault(error));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Kills what does not end by itself, sees every end, and looks at everything once more.
    fn settle(&self) -> Outcome {
        let accepted = (0..self.tasks.len()).filter(|task| self.is_accepted(*task, Instant::now()));
        let accepted: Vec<_> = accepted.collect();
        for task in accepted.iter().filter(|task| self.tasks[**task].work.own_end().is_none()) {
            self.ask(What::Kill(*task), "")?;
        }
        for task in accepted {
            self.context.ended(&self.tasks[task].id)?;
            self.ask(What::Status(task), "")?;
            self.ask(What::Events(task), "")?;
        }
        self.ask(What::Resources, "")
    }
}
