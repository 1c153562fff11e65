//! What the tasks of a campaign do and what must come of each. A client's tasks follow from its seed alone.

use std::path::Path;

use fastrand::Rng;
use serde_json::{Value, json};

/// Every process of a task carries its mark and its id here.
pub const MARK: &str = "TORTURE_TASK";
/// Far longer than a campaign waits for anything.
const FOR_EVER: &str = "300";

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    Process,
    #[value(name = "linux_sandbox")]
    LinuxSandbox,
}

/// A task and what it is to do.
#[derive(Clone, Debug)]
pub struct Planned {
    pub id: String,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Exits {
        code: u8,
        sleep_ms: u32,
    },
    Writes {
        lines: u32,
        sleep_ms: u32,
    },
    TimesOut {
        wall_time_ms: u32,
    },
    /// By a client, so long after it was acknowledged.
    Killed {
        after_ms: u32,
    },
    LeavesChild {
        in_session: bool,
        code: u8,
    },
}

impl Planned {
    pub fn next(random: &mut Rng, client: usize, number: usize) -> Self {
        let sleep_ms = random.u32(0..=1000);
        let code = random.u8(..) & 0x7f;
        let kind = match random.u32(0..100) {
            0..60 => Kind::Exits { code: if random.bool() { 0 } else { code }, sleep_ms },
            60..70 => Kind::Writes { lines: random.u32(1..3000), sleep_ms },
            70..80 => Kind::TimesOut { wall_time_ms: random.u32(200..=1000) },
            80..90 => Kind::Killed { after_ms: random.u32(0..400) },
            _ => Kind::LeavesChild { in_session: random.bool(), code },
        };
        Self { id: format!("c{client}-{number}"), kind }
    }

    /// `ran` is the file to which the task appends its id, by the name that it has for the task.
    pub fn request(&self, mark: &str, ran: &Path, profile: Profile) -> Value {
        let script = format!("echo {} >>\"$RAN\"; {}", self.id, self.kind.script());
        let mut request = json!({
            "task_id": self.id,
            "execution": {
                "kind": "command", "program": "/bin/sh", "args": ["-c", script],
                "env": {MARK: format!("{mark}/{}", self.id), "RAN": ran},
            },
        });
        if let Kind::TimesOut { wall_time_ms } = self.kind {
            request["limits"] = json!({"wall_time_ms": wall_time_ms});
        }
        if profile == Profile::LinuxSandbox {
            request["sandbox"] = json!({"profile": "linux_sandbox"});
        }
        request
    }
}

impl Kind {
    fn script(self) -> String {
        let seconds = |ms: u32| f64::from(ms) / 1000.0;
        match self {
            Self::Exits { code, sleep_ms } => format!("sleep {}; exit {code}", seconds(sleep_ms)),
            Self::Writes { lines, sleep_ms } => {
                let half = lines / 2;
                format!("seq 1 {half}; sleep {}; seq {} {lines}", seconds(sleep_ms), half + 1)
            }
            Self::TimesOut { .. } | Self::Killed { .. } => format!("sleep {FOR_EVER}"),
            Self::LeavesChild { in_session: true, code } => format!("sleep {FOR_EVER} & exit {code}"),
            Self::LeavesChild { in_session: false, code } => format!("setsid sleep {FOR_EVER} & exit {code}"),
        }
    }

    /// Status, error code and exit code of a task that was left alone.
    pub fn outcome(self) -> (&'static str, Option<&'static str>, Option<u8>) {
        match self {
            Self::Exits { code: 0, .. } | Self::Writes { .. } | Self::LeavesChild { code: 0, .. } => {
                ("success", None, Some(0))
            }
            Self::Exits { code, .. } | Self::LeavesChild { code, .. } => ("failed", Some("exit_non_zero"), Some(code)),
            Self::TimesOut { .. } => ("failed", Some("timeout"), None),
            Self::Killed { .. } => ("cancelled", Some("cancelled"), None),
        }
    }

    /// What a task that was left alone has written.
    pub fn output(self) -> String {
        match self {
            Self::Writes { lines, .. } => (1..=lines).map(|line| format!("{line}\n")).collect(),
            Self::Exits { .. } | Self::TimesOut { .. } | Self::Killed { .. } | Self::LeavesChild { .. } => {
                String::new()
            }
        }
    }

    /// How long its command runs at least, in milliseconds.
    pub fn at_least_ms(self) -> u32 {
        match self {
            Self::Exits { sleep_ms, .. } | Self::Writes { sleep_ms, .. } => sleep_ms,
            Self::TimesOut { wall_time_ms } => wall_time_ms,
            Self::Killed { .. } | Self::LeavesChild { .. } => 0,
        }
    }
}
