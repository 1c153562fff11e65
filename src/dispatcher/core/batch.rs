//! Many tasks in one message.

use super::{Core, Effect, Stored, SubmitReply, Turn};
use crate::dispatcher::handle::Submission;
use crate::task::Timestamp;

impl Core {
    /// As if they came one by one, but that an atomic batch is taken back at the first refusal.
    pub(super) fn on_batch(
        &mut self,
        turn: &mut Turn,
        submissions: Vec<(Submission, SubmitReply)>,
        atomic: bool,
        stored: &impl Stored,
        now: Timestamp,
    ) {
        let before = turn.mark();
        for (Submission { new, request }, reply) in submissions {
            let answer = self.submit(turn, new, stored, now);
            let is_refused = answer.is_err();
            if atomic && is_refused {
                self.roll_back(turn, before);
            }
            turn.effects.push(Effect::AnswerSubmit { reply, answer, request });
            if atomic && is_refused {
                return;
            }
            // Room in the queue for the next one.
            self.start_what_fits(turn, stored, now);
        }
    }
}
