//! A page of tasks.

use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::{Deserialize, Serialize};

use super::row::TaskRow;

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Object, Serialize, Deserialize)]
#[oai(example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct TaskList {
    /// The tasks, in the order that was asked for.
    pub tasks: Vec<TaskRow>,
    /// Given as `cursor`, it asks for the next page. Absent: this was the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl Example for TaskList {
    fn example() -> Self {
        Self { tasks: vec![TaskRow::example()], next_cursor: Some("1760000000250.42.9f2c61aa".into()) }
    }
}
