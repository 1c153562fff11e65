//! Many tasks in one message.

use super::{Core, Effect, Stored, SubmitReply, Turn};
use crate::dispatcher::handle::{Once, Submission};
use crate::task::Timestamp;

impl Core {
    /// As if they came one by one, but that an atomic batch is taken back at the first refusal.
    pub(super) fn on_batch(
        &mut self,
        turn: &mut Turn,
        submissions: Vec<(Submission, SubmitReply)>,
        atomic: bool,
        once: Option<Once>,
        stored: &impl Stored,
        now: Timestamp,
    ) {
        let Ok(once) = once.map(|once| self.unless_known(turn, once, stored)).transpose() else { return };
        let before = turn.mark();
        let mut results = Vec::new();
        for (Submission { new, request }, reply) in submissions {
            let answer = self.submit(turn, new, stored, now);
            let is_refused = answer.is_err();
            if atomic && is_refused {
                self.roll_back(turn, before);
            }
            if once.is_some() {
                results.push(answer.clone());
            }
            turn.effects.push(Effect::AnswerSubmit { reply, answer, request });
            if atomic && is_refused {
                return;
            }
            // Room in the queue for the next one.
            self.start_what_fits(turn, stored, now);
        }
        if let Some(once) = once {
            turn.keep(once, &results);
        }
    }
}
