//! The OpenAPI document: generated from the handlers, corrected by `corrections`, and the pages that show it.

mod corrections;
mod failures;
pub(super) mod texts;

use std::sync::LazyLock;

use hyper::body::Bytes;
use poem::Endpoint;
use poem::endpoint::make_sync;
use serde_json::{Map, Value};

use super::app;

static DOCUMENT: LazyLock<String> = LazyLock::new(generate);
const HTML: &str = "text/html; charset=utf-8";

/// The OpenAPI 3.0.3 document as JSON, the same bytes for the same source. It is committed as
/// `openapi/execgo-runtime.json`.
#[must_use]
pub fn document() -> String {
    DOCUMENT.clone()
}

fn generate() -> String {
    let raw = app::service().spec();
    let mut document: Value = serde_json::from_str(&raw).expect("poem-openapi writes JSON");
    corrections::correct(&mut document);
    let mut text = serde_json::to_string_pretty(&sorted(document)).expect("a JSON value has string keys");
    text.push('\n');
    text
}

/// By name, whatever order this build of `serde_json` keeps.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> = map.into_iter().collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(entries.into_iter().map(|(key, value)| (key, sorted(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        plain => plain,
    }
}

/// The document for programs and for people; the page for people needs no network.
pub(super) struct Pages {
    json: Bytes,
    html: Bytes,
}

impl Pages {
    pub(super) fn new() -> Self {
        let service = app::service();
        // The bundled page embeds the raw document. `<` could end its script element early.
        let embedded = DOCUMENT.replace('<', "\\u003c");
        let html = service.swagger_ui_html().replacen(&service.spec(), &embedded, 1);
        Self { json: Bytes::from_static(DOCUMENT.as_bytes()), html: Bytes::from(format!("<!DOCTYPE html>{html}")) }
    }

    pub(super) fn json(&self) -> impl Endpoint + 'static + use<> {
        page("application/json", self.json.clone())
    }

    pub(super) fn docs(&self) -> impl Endpoint + 'static + use<> {
        page(HTML, self.html.clone())
    }
}

fn page(content_type: &'static str, body: Bytes) -> impl Endpoint + 'static + use<> {
    make_sync(move |_| super::body::text_response(content_type, body.clone()))
}
