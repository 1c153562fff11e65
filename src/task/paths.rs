//! Where the files of a task are.

use std::path::{Path, PathBuf};

use super::id::TaskId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskPaths {
    dir: PathBuf,
}

impl TaskPaths {
    #[must_use]
    pub fn new(data_dir: &Path, id: &TaskId) -> Self {
        Self { dir: data_dir.join("tasks").join(id.as_str()) }
    }
    #[must_use]
    pub fn task_dir(&self) -> PathBuf {
        self.dir.clone()
    }
    #[must_use]
    pub fn workspace(&self) -> PathBuf {
        self.dir.join("workspace")
    }
    #[must_use]
    pub fn result(&self) -> PathBuf {
        self.dir.join("result.json")
    }
    #[must_use]
    pub fn script(&self, _interpreter: &[String]) -> PathBuf {
        self.dir.join("script.sh")
    }
}
