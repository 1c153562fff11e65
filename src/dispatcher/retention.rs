//! How many ended tasks may stay and what their directories may occupy together. Both are counted as tasks come and go,
//! so that no round of cleaning costs more with more of them.

use crate::store::{Ended, Stock, StoreError, Writer};
use crate::task::Timestamp;

/// Absent: no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    pub max_tasks: Option<u64>,
    pub max_bytes: Option<u64>,
}

/// What is there, beside what may be there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retention {
    bounds: Bounds,
    stock: Stock,
}

impl Retention {
    /// Counts what is stored.
    pub fn start(bounds: Bounds, writer: &Writer) -> Result<Self, StoreError> {
        Ok(Self { bounds, stock: writer.stock()? })
    }

    pub const fn stock(&self) -> Stock {
        self.stock
    }

    pub fn is_exceeded(&self) -> bool {
        let Self { bounds: Bounds { max_tasks, max_bytes }, stock } = *self;
        max_tasks.is_some_and(|max| stock.tasks > max) || max_bytes.is_some_and(|max| stock.bytes > max)
    }

    /// From when on ended tasks are to be measured; `None`: there are none.
    pub fn unmeasured_from(&self) -> Option<Timestamp> {
        self.bounds.max_bytes.and(self.stock.unmeasured_from)
    }

    pub fn on_ended(&mut self, finished_at: Timestamp) {
        let Stock { tasks, bytes: _, unmeasured_from } = &mut self.stock;
        *tasks = tasks.saturating_add(1);
        // Not always the latest: a task may have ended while there was no server.
        *unmeasured_from = Some(unmeasured_from.map_or(finished_at, |from| from.min(finished_at)));
    }

    /// The oldest tasks that are not measured yet.
    pub fn on_unmeasured(&mut self, oldest: &[Ended]) {
        self.stock.unmeasured_from = oldest.first().map(|task| task.finished_at);
    }

    pub const fn on_measured(&mut self, bytes: u64) {
        self.stock.bytes = self.stock.bytes.saturating_add(bytes);
    }

    pub fn on_forgotten(&mut self, task: &Ended) {
        self.stock.tasks = self.stock.tasks.saturating_sub(1);
        self.stock.bytes = self.stock.bytes.saturating_sub(task.bytes.unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::testing::at;

    fn retention(max_tasks: Option<u64>, max_bytes: Option<u64>) -> Retention {
        Retention { bounds: Bounds { max_tasks, max_bytes }, stock: Stock::default() }
    }

    fn ended(ms: i64, bytes: Option<u64>) -> Ended {
        Ended { seq: ms, id: ms.to_string(), finished_at: at(ms), bytes }
    }

    #[test]
    fn each_bound_is_exceeded_by_one_more_than_it_names() {
        let mut two = retention(Some(2), None);
        (1..=2).for_each(|ms| two.on_ended(at(ms)));
        two.on_measured(u64::MAX);
        assert!(!two.is_exceeded());
        two.on_ended(at(3));
        assert!(two.is_exceeded());
        two.on_forgotten(&ended(1, None));
        assert!(!two.is_exceeded());

        let mut bytes = retention(None, Some(100));
        (1..=9).for_each(|ms| bytes.on_ended(at(ms)));
        bytes.on_measured(100);
        assert!(!bytes.is_exceeded());
        bytes.on_measured(1);
        assert!(bytes.is_exceeded());
        bytes.on_forgotten(&ended(1, Some(1)));
        assert!(!bytes.is_exceeded());
    }

    #[test]
    fn measuring_goes_back_to_a_task_that_ended_earlier_than_those_measured() {
        let mut retention = retention(None, Some(100));
        assert_eq!(retention.unmeasured_from(), None);
        retention.on_ended(at(5));
        retention.on_ended(at(7));
        assert_eq!(retention.unmeasured_from(), Some(at(5)));
        retention.on_unmeasured(&[ended(7, None)]);
        assert_eq!(retention.unmeasured_from(), Some(at(7)));
        retention.on_unmeasured(&[]);
        assert_eq!(retention.unmeasured_from(), None);
        retention.on_ended(at(9));
        retention.on_ended(at(6));
        assert_eq!(retention.unmeasured_from(), Some(at(6)));
    }

    #[test]
    fn without_a_bound_on_bytes_nothing_is_measured() {
        let mut retention = retention(Some(1), None);
        retention.on_ended(at(1));
        assert_eq!(retention.unmeasured_from(), None);
    }
}
