//! Kill: how a task is asked to end. The answer is its status.

use poem_openapi::types::Example;
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use super::strict::{self, Words};
use crate::task::kill::GRACE_MS;
use crate::task::{self, InvalidField, KillOrder};

/// How a task is ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example, deny_unknown_fields, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct KillRequest {
    /// What every process of the task gets first; absent: `SIGTERM`.
    #[serde(default, deserialize_with = "strict::optional_word", skip_serializing_if = "Option::is_none")]
    pub signal: Option<KillSignal>,
    /// How many milliseconds after it SIGKILL comes for what is left; absent: as the server is configured
    /// (`execution.termination_grace_ms`). A grace that runs can only become shorter. `SIGKILL` has none.
    #[oai(validator(minimum(value = "0"), maximum(value = "3600000")))]
    #[serde(default, deserialize_with = "strict::grace", skip_serializing_if = "Option::is_none")]
    pub grace_ms: Option<u64>,
}

/// A signal by which programs are told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize, Deserialize)]
pub enum KillSignal {
    /// Hang up.
    #[oai(rename = "SIGHUP")]
    #[serde(rename = "SIGHUP")]
    Hup,
    /// Interrupt, as Ctrl-C sends it.
    #[oai(rename = "SIGINT")]
    #[serde(rename = "SIGINT")]
    Int,
    /// Quit.
    #[oai(rename = "SIGQUIT")]
    #[serde(rename = "SIGQUIT")]
    Quit,
    /// Abort.
    #[oai(rename = "SIGABRT")]
    #[serde(rename = "SIGABRT")]
    Abrt,
    /// At once, without a grace.
    #[oai(rename = "SIGKILL")]
    #[serde(rename = "SIGKILL")]
    Kill,
    /// What the program makes of it.
    #[oai(rename = "SIGUSR1")]
    #[serde(rename = "SIGUSR1")]
    Usr1,
    /// What the program makes of it.
    #[oai(rename = "SIGUSR2")]
    #[serde(rename = "SIGUSR2")]
    Usr2,
    /// Terminate.
    #[oai(rename = "SIGTERM")]
    #[serde(rename = "SIGTERM")]
    Term,
}

impl KillRequest {
    /// # Errors
    /// The grace is too long.
    pub fn into_order(self) -> Result<KillOrder, InvalidField> {
        let Self { signal, grace_ms } = self;
        let signal = signal.map(Into::into).unwrap_or_default();
        let grace_ms = task::validate::within("grace_ms", grace_ms, &GRACE_MS)?;
        Ok(KillOrder { signal, grace_ms })
    }
}

impl From<KillSignal> for task::KillSignal {
    fn from(signal: KillSignal) -> Self {
        match signal {
            KillSignal::Hup => Self::Hup,
            KillSignal::Int => Self::Int,
            KillSignal::Quit => Self::Quit,
            KillSignal::Abrt => Self::Abrt,
            KillSignal::Kill => Self::Kill,
            KillSignal::Usr1 => Self::Usr1,
            KillSignal::Usr2 => Self::Usr2,
            KillSignal::Term => Self::Term,
        }
    }
}

impl Words for KillSignal {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("SIGHUP", Self::Hup),
        ("SIGINT", Self::Int),
        ("SIGQUIT", Self::Quit),
        ("SIGABRT", Self::Abrt),
        ("SIGKILL", Self::Kill),
        ("SIGUSR1", Self::Usr1),
        ("SIGUSR2", Self::Usr2),
        ("SIGTERM", Self::Term),
    ];
}

impl Example for KillRequest {
    fn example() -> Self {
        Self { signal: Some(KillSignal::Int), grace_ms: Some(30_000) }
    }
}
