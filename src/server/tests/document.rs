//! The published document.

use proptest::prelude::*;
use proptest::string::string_regex;
use serde_json::{Value, json};

use super::Server;
use crate::api::{SubmitTaskRequest, parse};
use crate::server::document::{document, texts};
use crate::task::testing::DEFAULTS;

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/execgo-runtime.json");

#[test]
fn the_committed_document_is_the_generated_one() {
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(COMMITTED, document()).expect("writes");
    }
    let committed = std::fs::read_to_string(COMMITTED).unwrap_or_default();
    assert!(
        committed == document(),
        "openapi/execgo-runtime.json is not what the handlers say; run `just openapi` \
         (or this test with UPDATE_OPENAPI=1) and review the difference"
    );
}

#[test]
fn every_field_is_described_and_every_plain_field_has_an_example() {
    let document: Value = serde_json::from_str(&document()).expect("JSON");
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    for (name, schema) in schemas {
        for (field, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            assert!(property.get("description").is_some(), "{name}.{field} has no description");
            let has_example = ["example", "enum", "allOf"].iter().any(|key| property.get(key).is_some());
            let elsewhere = ["exit_signal", "script", "interpreter", "program", "chroot", "rootfs"];
            assert!(has_example || elsewhere.contains(&field.as_str()), "{name}.{field} has no example");
        }
    }
}

#[tokio::test]
async fn the_served_document_is_the_committed_one_and_its_page_needs_no_network() {
    let server = Server::new();
    assert_eq!(server.get("/openapi.json").await.text, document());
    let docs = server.get("/docs").await;
    assert_eq!(docs.headers["content-type"], "text/html; charset=utf-8");
    assert!(docs.text.contains("\"openapi\": \"3.0.3\"") && !docs.text.contains("\"openapi\": \"3.0.0\""));
    assert!(!docs.text.contains("src=\"http") && !docs.text.contains("href=\"http"));
}

/// Texts that the document calls valid.
fn documented(pattern: &str) -> impl Strategy<Value = String> {
    string_regex(pattern.trim_start_matches('^').trim_end_matches('$')).expect("a pattern that Rust reads too")
}

proptest! {
    #[test]
    fn what_the_document_allows_is_accepted(
        id in documented(texts::TASK_ID),
        name in documented(texts::NOT_BLANK),
        blank in documented(texts::BLANK),
        text in documented(texts::PLAIN),
        inside in documented(texts::INSIDE),
    ) {
        let request = json!({
            "task_id": id,
            "execution": {
                "kind": "command", "program": name, "script": blank, "interpreter": [blank], "args": [text],
            },
            "sandbox": {"workspace_subdir": inside, "rootfs": text},
            "control_context": {"tenant": name, "owner": name},
            "metadata": {"key": text},
        });
        let request: SubmitTaskRequest = parse(request.to_string().as_bytes()).expect("parses");
        let (_, draft, _) = request.into_draft().expect("an id");
        prop_assert_eq!(draft.validate(DEFAULTS).map(drop), Ok(()));
    }
}
