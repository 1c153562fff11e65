//! Metadata: free text that comes back as it was sent.

use proptest::collection::btree_map;
use serde_json::json;

use crate::case::{Case, Context, Level, Outcome, sh};
use crate::property::for_all;

pub const CASES: &[Case] = &[Case { id: ID, section: "Submit", level: Level::Must, run: round_trip }];

const ID: &str = "metadata.round-trip";

/// Any text but NUL.
const KEY: &str = "[^\0]{1,24}";
const VALUE: &str = "[^\0]{0,48}";

fn round_trip(context: &Context) -> Outcome {
    for_all(context, ID, context.inputs, &btree_map(KEY, VALUE, 1..6), |metadata| {
        let mut request = sh("true");
        request["metadata"] = json!(metadata);
        let id = context.submit(&request)?;
        context.status(&id)?.expect_field("/metadata", &json!(metadata))?;
        context.ended(&id)?.expect_field("/metadata", &json!(metadata))
    })
}
