//! What the OpenAPI document says holds. The document is the runtime's own, or the one of `--spec`.

mod answers;
mod constraints;
mod examples;
mod parameters;

use crate::case::{Case, Context, Level, NotPassed, Outcome, skipped};
use crate::document::{Live, differences};

pub use constraints::{lacks_means, refused};

use Level::{Beyond, Must, Should};

pub const CASES: &[Case] = &[
    Case { id: "document.served", section: "Beyond the original document", level: Beyond, run: served },
    Case { id: "document.kept", section: "Beyond the original document", level: Should, run: kept },
    Case { id: "document.answers", section: "General", level: Must, run: answers::documented },
    Case { id: "document.examples.valid", section: "General", level: Should, run: examples::valid },
    Case { id: "document.examples.work", section: "General", level: Should, run: examples::work },
    Case { id: "document.required", section: "Submit", level: Must, run: constraints::required },
    Case { id: "document.types", section: "Submit", level: Must, run: constraints::types },
    Case { id: "document.null", section: "General", level: Should, run: constraints::null },
    Case { id: "document.unknown-fields", section: "General", level: Should, run: constraints::unknown },
    Case { id: "document.minimum", section: "Submit", level: Must, run: constraints::minimum },
    Case { id: "document.maximum", section: "Submit", level: Must, run: constraints::maximum },
    Case { id: "document.length", section: "Submit", level: Must, run: constraints::length },
    Case { id: "document.pattern", section: "Submit", level: Must, run: constraints::pattern },
    Case { id: "document.enum", section: "Submit", level: Must, run: constraints::words },
    Case { id: "document.parameters", section: "General", level: Should, run: parameters::enforced },
];

/// Run behind all others.
pub const LAST: &[Case] = &[Case { id: "document.every-answer", section: "General", level: Must, run: every_answer }];

fn served(context: &Context) -> Outcome {
    match &context.documents.live {
        Live::Served(_) => Ok(()),
        Live::Broken(fault) => Err(fault.clone().into()),
        Live::Absent => context.client.get("/openapi.json")?.expect_status(200, "the runtime serves its document"),
    }
}

/// A client that was written for the published document finds all of it.
fn kept(context: &Context) -> Outcome {
    let live = match &context.documents.live {
        Live::Served(live) => live,
        Live::Broken(fault) => return Err(fault.clone().into()),
        Live::Absent => return Err(context.documents.missing()),
    };
    let spec = context.documents.spec.as_ref().ok_or_else(|| skipped("--spec names no document to compare with"))?;
    let different = differences(spec, live);
    let answer = context.client.get("/openapi.json")?;
    let rule = |place: &String| answer.fault(&format!("the document is as published, or has more: {place}"));
    if different.is_empty() { Ok(()) } else { Err(NotPassed::Failed(different.iter().map(rule).collect())) }
}

/// What all cases have seen, and not only what this one asks for.
fn every_answer(context: &Context) -> Outcome {
    context.document()?;
    // By itself, with `--only`, it has seen nothing else.
    context.client.get("/healthz")?;
    let undocumented = context.client.undocumented();
    if undocumented.is_empty() { Ok(()) } else { Err(NotPassed::Failed(undocumented)) }
}
