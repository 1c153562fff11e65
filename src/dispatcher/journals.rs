//! Which journal each launch is recorded in, and when a journal may go: when it is not the current one and no task
//! of it lives.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::task::TaskId;

/// A journal this long (in launches) is followed by a new one, so that old records can be deleted.
const LAUNCHES_PER_JOURNAL: u32 = 10_000;
pub(super) const SUFFIX: &str = "journal";

#[derive(Debug)]
pub(super) struct Journals {
    run_dir: PathBuf,
    instance: String,
    generation: u32,
    launches: u32,
    of_task: HashMap<TaskId, PathBuf>,
    /// Live tasks in each journal.
    live: HashMap<PathBuf, u32>,
}

impl Journals {
    pub fn new(run_dir: &Path, instance: &str) -> Self {
        Self {
            run_dir: run_dir.to_owned(),
            instance: instance.to_owned(),
            generation: 1,
            launches: 0,
            of_task: HashMap::new(),
            live: HashMap::new(),
        }
    }

    /// Another launcher writes journals of its own.
    pub fn follow(&mut self, instance: &str) {
        instance.clone_into(&mut self.instance);
        self.generation = 1;
        self.launches = 0;
    }

    pub fn current(&self) -> PathBuf {
        self.run_dir.join(format!("{}.{}.{SUFFIX}", self.instance, self.generation))
    }

    /// The journal for the next launch of this task.
    pub fn enter(&mut self, id: &TaskId) -> PathBuf {
        if self.launches == LAUNCHES_PER_JOURNAL {
            self.generation += 1;
            self.launches = 0;
        }
        self.launches += 1;
        let journal = self.current();
        self.keep(id, &journal);
        journal
    }

    /// The records of this task are in this journal.
    pub fn keep(&mut self, id: &TaskId, journal: &Path) {
        // A task that is launched again leaves its former journal.
        if let Some(former) = self.of_task.insert(id.clone(), journal.to_owned())
            && let Some(live) = self.live.get_mut(&former)
        {
            *live -= 1;
        }
        *self.live.entry(journal.to_owned()).or_default() += 1;
    }

    /// The task's end is committed. The answer is a journal that nobody needs any more.
    pub fn leave(&mut self, id: &TaskId) -> Option<PathBuf> {
        let journal = self.of_task.remove(id)?;
        let live = self.live.get_mut(&journal)?;
        *live -= 1;
        if *live > 0 {
            return None;
        }
        self.live.remove(&journal);
        (journal != self.current()).then_some(journal)
    }

    pub fn is_needed(&self, journal: &Path) -> bool {
        self.live.get(journal).is_some_and(|live| *live > 0) || journal == self.current()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u32) -> TaskId {
        TaskId::parse(&format!("t{n}")).expect("valid")
    }

    #[test]
    fn a_journal_goes_when_it_is_full_and_its_last_task_ended() {
        let mut journals = Journals::new(Path::new("/run"), "a");
        let first = journals.enter(&id(0));
        for n in 1..LAUNCHES_PER_JOURNAL {
            assert_eq!(journals.enter(&id(n)), first);
            assert_eq!(journals.leave(&id(n)), None);
        }
        let second = journals.enter(&id(LAUNCHES_PER_JOURNAL));
        assert_ne!(second, first);
        assert!(journals.is_needed(&first));
        assert_eq!(journals.leave(&id(0)), Some(first.clone()));
        assert!(!journals.is_needed(&first));
        assert_eq!(journals.leave(&id(LAUNCHES_PER_JOURNAL)), None, "the current one stays");
    }
}
