//! Requests that may come again, under a key.

use super::{Core, Effect, Stored, Turn, storage_fault};
use crate::dispatcher::handle::{Once, SubmitResult};
use crate::store::KeptAnswer;

/// The request has its answer, or nobody can tell whether there is one: nothing is to be done.
pub(super) struct Known;

impl Core {
    /// Looks whether the request was there before, in the store or in this turn.
    pub(super) fn unless_known(&self, turn: &mut Turn, once: Once, stored: &impl Stored) -> Result<Once, Known> {
        let in_turn = turn.answers.iter().find_map(|kept| once.key.compare(kept));
        match in_turn.map_or_else(|| stored.earlier(&once.key), |earlier| Ok(Some(earlier))) {
            Ok(None) => Ok(once),
            Ok(Some(earlier)) => {
                turn.effects.push(Effect::AnswerEarlier { reply: once.reply, earlier });
                Err(Known)
            }
            Err(error) => {
                // Whoever asked hears nothing, which means that the runtime cannot do it now.
                storage_fault(&error);
                Err(Known)
            }
        }
    }
}

impl Turn {
    /// The answer is to be committed with the tasks that it is about.
    pub(super) fn keep(&mut self, once: Once, results: &[SubmitResult]) {
        let mut places = results.iter().flatten().map(|task| task.head().seq);
        let Some(first) = places.next() else { return };
        let tasks = (first, places.next_back().unwrap_or(first));
        self.answers.push(KeptAnswer { key: once.key, tasks, answer: once.answer.of(results) });
    }
}
