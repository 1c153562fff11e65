//! The user that plain tasks run as, where the operator names one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A user that is not root, with all that becoming it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunAs {
    /// Absent for a number that the system has no name for.
    pub name: Option<String>,
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

impl fmt::Display for RunAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => f.write_str(name),
            None => write!(f, "{}:{}", self.uid, self.gid),
        }
    }
}
