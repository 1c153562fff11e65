//! How the events of a task were told, in one view.

use crate::api::callback::{CallbackState, CallbackStatus};
use crate::store::{self, Delivery};

/// Of all events that were to be told so far.
#[must_use]
pub fn status(deliveries: &[Delivery]) -> CallbackStatus {
    let next = deliveries.iter().filter_map(|delivery| match delivery.state {
        store::CallbackState::Pending(at) => Some(at),
        store::CallbackState::Delivered | store::CallbackState::Failed => None,
    });
    let next_attempt_at = next.min();
    let has_failed = deliveries.iter().any(|delivery| delivery.state == store::CallbackState::Failed);
    let state = match (deliveries.is_empty(), next_attempt_at, has_failed) {
        (true, ..) => CallbackState::Waiting,
        (_, Some(_), _) => CallbackState::Pending,
        (_, None, true) => CallbackState::Failed,
        (_, None, false) => CallbackState::Delivered,
    };
    let last = deliveries.iter().max_by_key(|delivery| delivery.last_attempt_at);
    CallbackStatus {
        state,
        attempts: deliveries.iter().map(|delivery| delivery.attempts).sum(),
        last_attempt_at: last.and_then(|last| last.last_attempt_at),
        last_status: last.and_then(|last| last.last_status),
        last_error: last.and_then(|last| last.last_error.clone()),
        next_attempt_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::EventType;
    use crate::task::testing::at;

    #[test]
    fn what_is_still_to_be_told_comes_before_what_was_given_up() {
        let delivery = |state, attempted, last_error: Option<&str>| Delivery {
            event_type: EventType::Started,
            attempts: 2,
            state,
            last_attempt_at: Some(at(attempted)),
            last_status: last_error.is_none().then_some(200),
            last_error: last_error.map(str::to_owned),
        };
        assert_eq!((status(&[]).state, status(&[]).attempts), (CallbackState::Waiting, 0));
        let told = delivery(store::CallbackState::Delivered, 10, None);
        let failed = delivery(store::CallbackState::Failed, 20, Some("no"));
        let pending = delivery(store::CallbackState::Pending(at(99)), 15, Some("not yet"));
        assert_eq!(status(std::slice::from_ref(&told)).state, CallbackState::Delivered);
        let both = status(&[failed.clone(), told.clone()]);
        assert_eq!((both.state, both.attempts, both.last_error.as_deref()), (CallbackState::Failed, 4, Some("no")));
        let all = status(&[told, failed, pending]);
        assert_eq!((all.state, all.next_attempt_at), (CallbackState::Pending, Some(at(99))));
    }
}
