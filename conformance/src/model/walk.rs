//! What the clients do. Each step is a line such as `b kill 1`: client b kills the task of the second submission of the
//! walk, by whomever. The clients do not wait for each other, except for a `restart`.

use std::fmt;
use std::str::FromStr;

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, prop_oneof};
use proptest::sample::select;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const CLIENTS: usize = 4;
const STEPS: usize = 24;
/// How many tasks a step may mean, at most.
const TASKS: usize = 12;
const MEMORY_BYTES: u64 = 64 << 20;
const PIDS: u64 = 32;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walk(pub Vec<Step>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Step {
    By {
        client: usize,
        action: Action,
    },
    /// When all have had their answers.
    Restart,
}

/// A number is the place of a submission in the walk; beyond the last one it counts on from the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Submit(Work),
    /// The same submission once more, of which one is accepted.
    Again(usize),
    Status(usize),
    Wait(usize),
    Kill(usize),
    Events(usize),
    Resources,
}

/// What a task does, unless it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Succeeds at once.
    Nothing,
    /// Exits with 3.
    Failing,
    /// Succeeds after a moment.
    Short,
    /// Never ends by itself.
    Endless,
    /// Runs into its wall-clock limit.
    TooLong,
    /// Has no program.
    Missing,
}

const WORKS: [(&str, Work); 6] = [
    ("nothing", Work::Nothing),
    ("failing", Work::Failing),
    ("short", Work::Short),
    ("endless", Work::Endless),
    ("too-long", Work::TooLong),
    ("missing", Work::Missing),
];

pub fn walks() -> impl Strategy<Value = Walk> {
    let steps = (by(select(WORKS.to_vec()).prop_map(|(_, work)| Action::Submit(work))), vec(by(action()), 0..STEPS));
    steps.prop_map(|(first, more)| Walk([vec![first], more].concat()))
}

/// The same, with a restart or two in between.
pub fn walks_with_restarts() -> impl Strategy<Value = Walk> {
    let parts = vec(walks(), 1..3);
    (walks(), parts).prop_map(|(first, parts)| {
        let more = parts.into_iter().flat_map(|Walk(steps)| [vec![Step::Restart], steps].concat());
        Walk(first.0.into_iter().chain(more).collect())
    })
}

fn by(action: impl Strategy<Value = Action>) -> impl Strategy<Value = Step> {
    (0..CLIENTS, action).prop_map(|(client, action)| Step::By { client, action })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => select(WORKS.to_vec()).prop_map(|(_, work)| Action::Submit(work)),
        1 => (0..TASKS).prop_map(Action::Again),
        3 => (0..TASKS).prop_map(Action::Status),
        1 => (0..TASKS).prop_map(Action::Wait),
        3 => (0..TASKS).prop_map(Action::Kill),
        2 => (0..TASKS).prop_map(Action::Events),
        2 => Just(Action::Resources),
    ]
}

impl Walk {
    /// In the order of their numbers.
    #[must_use]
    pub fn works(&self) -> Vec<Work> {
        let work = |step: &Step| match step {
            Step::By { action: Action::Submit(work), .. } => Some(*work),
            Step::By { .. } | Step::Restart => None,
        };
        self.0.iter().filter_map(work).collect()
    }
}

impl Work {
    #[must_use]
    pub fn request(self, id: &str) -> Value {
        let (program, args, limits) = match self {
            Self::Nothing => ("true", json!([]), json!({})),
            Self::Failing => ("/bin/sh", json!(["-c", "exit 3"]), json!({})),
            Self::Short => ("sleep", json!(["0.2"]), json!({"memory_bytes": MEMORY_BYTES, "pids_max": PIDS})),
            Self::Endless => ("sleep", json!(["600"]), json!({"memory_bytes": MEMORY_BYTES})),
            Self::TooLong => ("sleep", json!(["600"]), json!({"wall_time_ms": 300})),
            Self::Missing => ("/no/such/program", json!([]), json!({})),
        };
        let execution = json!({"kind": "command", "program": program, "args": args});
        json!({"task_id": id, "execution": execution, "limits": limits, "policy": {"capability_mode": "adaptive"}})
    }

    /// `status` and `error.code` of its own end; nothing for one that has none.
    #[must_use]
    pub const fn own_end(self) -> Option<(&'static str, Option<&'static str>)> {
        match self {
            Self::Nothing | Self::Short => Some(("success", None)),
            Self::Failing => Some(("failed", Some("exit_non_zero"))),
            Self::Endless => None,
            Self::TooLong => Some(("failed", Some("timeout"))),
            Self::Missing => Some(("failed", Some("launch_failed"))),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::By { client, action } = self else { return f.write_str("restart") };
        let client = char::from(b'a' + u8::try_from(*client).unwrap_or_default());
        match action {
            Action::Submit(work) => {
                let word = WORKS.iter().find(|(_, one)| one == work).map_or("", |(word, _)| word);
                write!(f, "{client} submit {word}")
            }
            Action::Again(task) => write!(f, "{client} again {task}"),
            Action::Status(task) => write!(f, "{client} status {task}"),
            Action::Wait(task) => write!(f, "{client} wait {task}"),
            Action::Kill(task) => write!(f, "{client} kill {task}"),
            Action::Events(task) => write!(f, "{client} events {task}"),
            Action::Resources => write!(f, "{client} resources"),
        }
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no step");
        let words: Vec<_> = text.split(' ').collect();
        let (client, verb, object) = match words.as_slice() {
            ["restart"] => return Ok(Self::Restart),
            [client, verb] => (client, *verb, ""),
            [client, verb, object] => (client, *verb, *object),
            _ => return Err(wrong()),
        };
        let task = || object.parse().map_err(|_| wrong());
        let action = match verb {
            "submit" => {
                let work = WORKS.iter().find(|(word, _)| *word == object);
                Action::Submit(work.ok_or_else(wrong)?.1)
            }
            "again" => Action::Again(task()?),
            "status" => Action::Status(task()?),
            "wait" => Action::Wait(task()?),
            "kill" => Action::Kill(task()?),
            "events" => Action::Events(task()?),
            "resources" => Action::Resources,
            _ => return Err(wrong()),
        };
        let client = (0..CLIENTS).find(|n| client.bytes().eq([b'a' + *n as u8])).ok_or_else(wrong)?;
        Ok(Self::By { client, action })
    }
}

impl From<Step> for String {
    fn from(step: Step) -> Self {
        step.to_string()
    }
}

impl TryFrom<String> for Step {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_walk_that_is_written_down_is_the_same_walk(walk in walks_with_restarts()) {
            let text = serde_json::to_string(&walk).expect("JSON");
            prop_assert_eq!(serde_json::from_str::<Walk>(&text).expect("a walk"), walk);
        }
    }

    #[test]
    fn what_is_no_step_is_refused() {
        for text in ["", "a", "a jump", "e status 1", "a status", "a status x", "a submit gold", "a kill 1 2"] {
            assert!(text.parse::<Step>().is_err(), "{text}");
        }
    }
}
