//! The generated inputs bite: a runtime with one fault, which only they can meet, is found.

use serde_json::Value;

use super::proxy::{self, Alteration, Passing};
use super::runtime::Runtime;
use super::{committed_document, reach};
use crate::case::NotPassed;
use crate::cases;

const NOTHING: fn(&mut Passing) = |_| ();

/// A fault, the case that must see it, and what makes it.
const FAULTS: [(&str, &str, Alteration); 5] = [
    (
        "a limit is silently another",
        "generated.valid.round-trip",
        request(|it| it.json(|body| drop_field(&mut body["limits"], "open_files"))),
    ),
    (
        "arguments are lost",
        "generated.valid.round-trip",
        request(|it| {
            it.json(|body| drop(body["execution"]["args"].as_array_mut().filter(|a| a.len() != 3).map(Vec::pop)))
        }),
    ),
    (
        "a fault is let through",
        "generated.one-fault.refused",
        request(|it| it.json(|body| drop_everywhere(body, "no_such_field"))),
    ),
    (
        "a damaged body is a fault of the runtime",
        "generated.bytes.no-5xx",
        answer(|it| {
            if it.status == 400 {
                it.status = 500;
            }
        }),
    ),
    (
        "an unknown path has an answer of its own",
        "generated.bytes.no-5xx",
        answer(|it| {
            if it.status == 404 {
                it.body = b"not found".to_vec();
            }
        }),
    ),
];

const fn answer(answer: fn(&mut Passing)) -> Alteration {
    Alteration { request: NOTHING, answer }
}

const fn request(request: fn(&mut Passing)) -> Alteration {
    Alteration { request, answer: NOTHING }
}

fn drop_field(body: &mut Value, name: &str) {
    body.as_object_mut().map(|object| object.remove(name));
}

fn drop_everywhere(body: &mut Value, name: &str) {
    drop_field(body, name);
    let inner = body.as_object_mut().into_iter().flat_map(|object| object.values_mut());
    inner.for_each(|value| drop_everywhere(value, name));
}

#[test]
fn a_fault_that_a_generated_input_meets_is_found() {
    let Some(runtime) = Runtime::start() else { return };
    for (fault, id, alteration) in FAULTS {
        let mut context = reach(&proxy::before(runtime.url(), alteration), Some(committed_document()));
        context.inputs = 32;
        let case = cases::all().into_iter().find(|case| case.id == id).expect("a case of the suite");
        let outcome = (case.run)(&context);
        assert!(matches!(outcome, Err(NotPassed::Failed(_))), "{fault} is not seen by {id}: {outcome:?}");
    }
}
