//! The name of a task. It names a directory too, so a value of this type is always a safe path component.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// 1–128 of the characters `A–Z a–z 0–9 - _ .`, not starting with `.` (see `docs/api.md`, Submit).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(Arc<str>);

/// Why a string is no task id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTaskId {
    #[error("must be 1 to {max} characters long, not {0}", max = TaskId::MAX_LEN)]
    Length(usize),
    #[error("must not start with `.`")]
    LeadingDot,
    #[error("holds {0:?}; allowed are letters, digits, `-`, `_` and `.`")]
    Character(char),
}

impl TaskId {
    /// Longest id, in characters (all of them ASCII, so in bytes too).
    pub const MAX_LEN: usize = 128;

    /// Checks a client's string.
    ///
    /// # Errors
    /// Says which rule the string breaks.
    pub fn parse(raw: &str) -> Result<Self, InvalidTaskId> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if let Some(bad) = raw.chars().find(|c| !allowed(*c)) {
            return Err(InvalidTaskId::Character(bad));
        }
        if raw.is_empty() || raw.len() > Self::MAX_LEN {
            return Err(InvalidTaskId::Length(raw.len()));
        }
        if raw.starts_with('.') {
            return Err(InvalidTaskId::LeadingDot);
        }
        Ok(Self(raw.into()))
    }

    /// A fresh id: a UUID that begins with the time (version 7), for ids that follow each other stand beside each other in
    /// the store's index, where random ones would each touch a page of their own.
    #[must_use]
    pub fn random() -> Self {
        Self(uuid::Uuid::now_v7().hyphenated().to_string().into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl Serialize for TaskId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TaskId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = String::deserialize(deserializer)?;
        Self::parse(&raw).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn accepts_what_the_contract_names() {
        for id in ["a", "A-b_c.9", "-", "_", "0", "a..b", &"x".repeat(128)] {
            assert_eq!(TaskId::parse(id).expect("valid").as_str(), id);
        }
        assert!(TaskId::parse(TaskId::random().as_str()).is_ok());
    }

    #[test]
    fn refuses_what_would_escape_the_task_directory() {
        for id in ["", ".", "..", ".hidden", "a/b", "../x", "a\0b", "a b", "é", "a\n", &"x".repeat(129)] {
            assert!(TaskId::parse(id).is_err(), "{id:?}");
        }
    }

    proptest! {
        #[test]
        fn every_accepted_id_is_one_normal_path_component(raw in ".{0,140}") {
            if let Ok(id) = TaskId::parse(&raw) {
                let mut parts = std::path::Path::new(id.as_str()).components();
                prop_assert!(matches!(parts.next(), Some(std::path::Component::Normal(_))));
                prop_assert!(parts.next().is_none());
            }
        }
    }
}
