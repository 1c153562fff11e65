//! Taking back a turn whose commit failed, or the last part of one.

use super::{Core, Effect, Live, Turn, Undo};
use crate::dispatcher::handle::Unavailable;
use crate::dispatcher::input::Fact;

/// How far a turn was decided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    transitions: usize,
    effects: usize,
    undo: usize,
}

impl Turn {
    pub(super) fn mark(&self) -> Mark {
        Mark { transitions: self.transitions.len(), effects: self.effects.len(), undo: self.undo.len() }
    }
}

impl Core {
    /// Takes the turn back, newest change first, and answers those who wait for it.
    pub fn undo(&mut self, turn: Turn) -> Vec<Fact> {
        self.take_back(turn.undo);
        for effect in turn.effects {
            effect.abandon();
        }
        turn.facts
    }

    /// Takes back what was decided since the mark; nobody who waits for it is answered.
    pub(super) fn roll_back(&mut self, turn: &mut Turn, Mark { transitions, effects, undo }: Mark) {
        turn.transitions.truncate(transitions);
        turn.effects.truncate(effects);
        self.take_back(turn.undo.split_off(undo));
    }

    fn take_back(&mut self, steps: Vec<Undo>) {
        for step in steps.into_iter().rev() {
            match step {
                Undo::Created(id) => {
                    if let Some(live) = self.live.remove(&id) {
                        self.leave(&live.task);
                    }
                }
                Undo::Changed(before) => {
                    if let Some(live) = self.live.get_mut(before.id()) {
                        live.turn_killers_away();
                        let after = std::mem::replace(&mut live.task, (*before).clone());
                        self.leave(&after);
                        self.enter(&before);
                    }
                }
                Undo::Removed(id, live) => {
                    self.live.insert(id, live);
                }
                Undo::EndingSet(id) => {
                    if let Some(live) = self.live.get_mut(&id) {
                        live.turn_killers_away();
                        live.ending = None;
                        let task = live.task.clone();
                        self.enter(&task);
                    }
                }
            }
        }
    }
}

impl Live {
    /// What they asked for could not be committed.
    fn turn_killers_away(&mut self) {
        for reply in self.killers.drain(..) {
            drop(reply.send(Err(Unavailable::Storage.into())));
        }
    }
}

impl Effect {
    /// The commit failed: whoever waits is told so.
    fn abandon(self) {
        // A receiver that is gone does not care.
        match self {
            Self::AnswerSubmit { reply, answer, request: _ } => {
                drop(reply.send(answer.and(Err(Unavailable::Storage.into()))))
            }
            // Silence means that it cannot be done now.
            Self::AnswerEarlier { .. } => {}
            Self::AnswerKill { reply, answer } => drop(reply.send(answer.and(Err(Unavailable::Storage.into())))),
            Self::Launch(_) | Self::Terminate(..) | Self::WriteResult(_) | Self::Started(_) | Self::Ended(_) => {}
        }
    }
}
