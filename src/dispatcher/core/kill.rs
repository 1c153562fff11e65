//! Somebody asks for the end of a task.

use super::{Core, Effect, KillReply, Live, Stored, Turn, storage_fault};
use crate::dispatcher::handle::{Kill, KillError};
use crate::task::{State, Task, TaskId, Timestamp};

impl Core {
    pub(super) fn on_kill(
        &mut self,
        turn: &mut Turn,
        kill: Kill,
        reply: KillReply,
        stored: &impl Stored,
        now: Timestamp,
    ) {
        let Kill { id, owner, order } = kill;
        let id = &id;
        let known = match self.live.get(id) {
            Some(_) => Ok(None),
            None => stored.task(id).map_err(|error| storage_fault(&error).into()),
        };
        match known {
            Ok(Some(task)) if matches!(task.state(), State::Queued) && may_kill(&task, owner.as_deref()).is_ok() => {
                self.live.insert(id.clone(), Box::new(Live::new(task)));
            }
            Ok(Some(task)) => {
                let answer = may_kill(&task, owner.as_deref()).map(|()| task);
                return turn.effects.push(Effect::AnswerKill { reply, answer });
            }
            Ok(None) => {}
            Err(fault) => return turn.effects.push(Effect::AnswerKill { reply, answer: Err(fault) }),
        }
        let Some(live) = self.live.get_mut(id) else {
            let answer = Err(KillError::NotFound(id.clone()));
            return turn.effects.push(Effect::AnswerKill { reply, answer });
        };
        if let Err(refusal) = may_kill(&live.task, owner.as_deref()) {
            return turn.effects.push(Effect::AnswerKill { reply, answer: Err(refusal) });
        }
        live.killers.push(reply);
        if live.ending.is_some() {
            return;
        }
        let task = live.task.clone();
        if let Ok(cancelled) = task.cancel(now) {
            return self.end(turn, cancelled);
        }
        if let Ok(Some(requested)) = task.request_kill(order, now) {
            self.apply(turn, requested);
        }
        // A second request repeats the order: it is harmless, and the first may have been lost with a server. While
        // the task is launching there is nobody to signal yet; its start brings signal and answer.
        if let Some(running) = task.running() {
            turn.effects.push(Effect::Terminate(running.clone(), order));
            self.answer_killers(turn, id);
        }
    }

    pub(super) fn answer_killers(&mut self, turn: &mut Turn, id: &TaskId) {
        let Some(live) = self.live.get_mut(id) else { return };
        for reply in std::mem::take(&mut live.killers) {
            turn.effects.push(Effect::AnswerKill { reply, answer: Ok(live.task.clone()) });
        }
    }
}

fn may_kill(task: &Task, owner: Option<&str>) -> Result<(), KillError> {
    if is_owner(task, owner) { Ok(()) } else { Err(KillError::NotOwner) }
}

/// A task without an owner is everybody's.
pub(in crate::dispatcher) fn is_owner(task: &Task, name: Option<&str>) -> bool {
    task.spec().control.owner.as_deref().is_none_or(|owner| name == Some(owner))
}
