//! The OpenAPI document: what it says of each operation, and whether an exchange is as it says. It must not know the
//! cases.

mod compare;
mod dialect;
mod events;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::Validator;
use serde_json::{Map, Value, json};
use ureq::http::Method;

use crate::case::{Fault, NotPassed, skipped};
use crate::client::{Client, Exchange};

pub use compare::differences;

/// Its schema is that of one event.
const EVENT_STREAM: &str = "text/event-stream";
const LIVE: &str = "/openapi.json";
/// Of a body that is not as its schema says; the first ones tell it.
const MAX_SCHEMA_FAULTS: usize = 3;

/// The document that the runtime serves, and the one that it is to keep.
#[derive(Clone, Debug)]
pub struct Documents {
    pub live: Live,
    /// Of `--spec`.
    pub spec: Option<Value>,
}

#[derive(Clone, Debug)]
pub enum Live {
    Served(Value),
    /// It serves none, which it need not.
    Absent,
    /// It serves something else in its place.
    Broken(Fault),
}

/// A document that is ready for use.
pub struct Document {
    value: Value,
    operations: Vec<Operation>,
    /// By the schema as it stands in the document.
    validators: Mutex<BTreeMap<String, Arc<Validator>>>,
}

#[derive(Clone, Debug)]
pub struct Operation {
    /// `operationId`.
    pub id: String,
    pub method: Method,
    /// With its parameters in braces.
    pub path: String,
    value: Value,
}

impl Documents {
    /// Asks the runtime for its document, and makes the client hold every answer against `spec`, else against that.
    pub fn load(client: &mut Client, spec: Option<Value>) -> Result<Self, String> {
        let live = live(client);
        let used = match (&spec, &live) {
            (Some(spec), _) => Some(Document::new(spec.clone()).map_err(|fault| format!("--spec: {fault}"))?),
            (None, Live::Served(value)) => Document::new(value.clone()).ok(),
            (None, Live::Absent | Live::Broken(_)) => None,
        };
        if let Some(used) = used {
            client.hold_against(Arc::new(used));
        }
        Ok(Self { live, spec })
    }

    /// Why there is no document.
    #[must_use]
    pub fn missing(&self) -> NotPassed {
        match &self.live {
            Live::Broken(fault) => fault.clone().into(),
            Live::Absent | Live::Served(_) => skipped(format!("the runtime serves no {LIVE}; --spec can name one")),
        }
    }
}

fn live(client: &Client) -> Live {
    let answer = match client.get(LIVE) {
        Ok(answer) => answer,
        Err(NotPassed::Failed(faults)) => match faults.into_iter().next() {
            Some(fault) => return Live::Broken(fault),
            None => return Live::Absent,
        },
        Err(NotPassed::Skipped { .. }) => return Live::Absent,
    };
    match answer.status {
        404 => Live::Absent,
        200 => match Document::new(answer.body.clone()) {
            Ok(_) => Live::Served(answer.body),
            Err(fault) => Live::Broken(answer.fault(&format!("{LIVE} is an OpenAPI document of version 3.0: {fault}"))),
        },
        _ => Live::Broken(answer.fault(&format!("{LIVE} is answered with the document, or with 404"))),
    }
}

impl Document {
    /// # Errors
    /// What makes it no document of OpenAPI 3.0, in words.
    pub fn new(value: Value) -> Result<Self, String> {
        let version = value["openapi"].as_str().unwrap_or_default();
        if !version.starts_with("3.0.") {
            return Err(format!("`openapi` is {:?}", value["openapi"]));
        }
        let operations = operations(&value)?;
        let document = Self { value, operations, validators: Mutex::default() };
        let mut schemas = document.operations.iter().flat_map(|operation| document.schemas_of(operation));
        schemas.try_for_each(|schema| document.compile(&schema).map(drop))?;
        drop(schemas);
        Ok(document)
    }

    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The operation of this id, which a document may lack.
    pub fn operation(&self, id: &str) -> Result<&Operation, NotPassed> {
        let found = self.operations.iter().find(|operation| operation.id == id);
        found.ok_or_else(|| skipped(format!("the document has no operation {id}")))
    }

    /// The components, by name.
    pub fn schemas(&self) -> impl Iterator<Item = (&str, &Value)> {
        let schemas = self.value["components"]["schemas"].as_object().into_iter().flatten();
        schemas.map(|(name, schema)| (name.as_str(), schema))
    }

    /// Follows references, and takes the one part of an `allOf` for the whole: in 3.0 that is how a reference gets a
    /// description.
    #[must_use]
    pub fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        if let Some(pointer) = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
            return self.value.pointer(pointer).map_or(schema, |target| self.resolve(target));
        }
        match schema["allOf"].as_array().map(Vec::as_slice) {
            Some([only]) => self.resolve(only),
            _ => schema,
        }
    }

    /// For a schema of the document, references included.
    pub fn compile(&self, schema: &Value) -> Result<Arc<Validator>, String> {
        let mut validators = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
        let name = schema.to_string();
        if let Some(known) = validators.get(&name) {
            return Ok(Arc::clone(known));
        }
        let schema = dialect::stand_alone(schema, &self.value["components"]["schemas"]);
        let options = jsonschema::draft202012::options().should_validate_formats(true);
        let validator = options.build(&schema).map_err(|error| format!("a schema cannot be used: {error}"))?;
        Ok(Arc::clone(validators.entry(name).or_insert(Arc::new(validator))))
    }

    /// How the exchange differs from the document; each as the sentence that ought to hold. Nothing for a path or a
    /// method that the document does not know.
    #[must_use]
    pub fn faults(&self, exchange: &Exchange) -> Vec<String> {
        let path = exchange.call.path.split('?').next().unwrap_or_default();
        let method = &exchange.call.method;
        let known = |operation: &&Operation| operation.method == method && operation.takes(path);
        let Some(operation) = self.operations.iter().find(known) else { return Vec::new() };
        let name = format!("{} {}", operation.id, exchange.status);
        let Some(answer) = operation.answer(exchange.status) else {
            let documented = operation.statuses().collect::<Vec<_>>().join(", ");
            return vec![format!("{}: the status {} is one of {documented}", operation.id, exchange.status)];
        };
        let mut faults = self.header_faults(answer, exchange);
        faults.extend(self.body_faults(answer, exchange));
        faults.into_iter().map(|fault| format!("{name}: {fault}")).collect()
    }

    fn body_faults(&self, answer: &Value, exchange: &Exchange) -> Vec<String> {
        let Some(content) = answer["content"].as_object().filter(|content| !content.is_empty()) else {
            return if exchange.text.is_empty() { Vec::new() } else { vec!["there is no body".to_owned()] };
        };
        let Some((kind, media)) = content.iter().find(|(kind, _)| is_of(&exchange.content_type, kind)) else {
            let kinds = content.keys().cloned().collect::<Vec<_>>().join(" or ");
            return vec![format!("the content type is {kinds}, not {:?}", exchange.content_type)];
        };
        let is_json = kind.starts_with("application/json");
        if is_json && serde_json::from_str::<Value>(&exchange.text).is_err() {
            return vec!["the body is JSON".to_owned()];
        }
        let Ok(validator) = self.compile(&media["schema"]) else { return Vec::new() };
        let bodies = match kind.as_str() {
            _ if is_json => vec![exchange.body.clone()],
            EVENT_STREAM => events::read(&exchange.text),
            _ => vec![json!(exchange.text)],
        };
        let errors = bodies.iter().flat_map(|body| validator.iter_errors(body));
        errors.take(MAX_SCHEMA_FAULTS).map(|error| in_words(&error)).collect()
    }

    fn header_faults(&self, answer: &Value, exchange: &Exchange) -> Vec<String> {
        let mut faults = Vec::new();
        for (name, header) in answer["headers"].as_object().into_iter().flatten() {
            let header = self.resolve(header);
            let Some(value) = exchange.headers.get(name) else {
                if header["required"] == json!(true) {
                    faults.push(format!("the header {name} is there"));
                }
                continue;
            };
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            let is_number = self.resolve(&header["schema"])["type"] == json!("integer");
            let value = if is_number { serde_json::from_str(&text).unwrap_or(json!(text)) } else { json!(text) };
            let Ok(validator) = self.compile(&header["schema"]) else { continue };
            faults.extend(validator.iter_errors(&value).map(|error| format!("the header {name}: {error}")));
        }
        faults
    }

    /// Of all bodies and headers that the operation answers with.
    fn schemas_of(&self, operation: &Operation) -> Vec<Value> {
        let answers = operation.value["responses"].as_object().into_iter().flatten().map(|(_, answer)| answer);
        let in_answer = |answer: &Value| {
            let media = answer["content"].as_object().into_iter().flatten().map(|(_, media)| media["schema"].clone());
            let headers = answer["headers"].as_object().into_iter().flatten();
            media.chain(headers.map(|(_, header)| self.resolve(header)["schema"].clone())).collect::<Vec<_>>()
        };
        answers.flat_map(in_answer).collect()
    }
}

impl Operation {
    /// The schema of its JSON body.
    #[must_use]
    pub fn request(&self) -> Option<&Value> {
        self.value.pointer("/requestBody/content/application~1json/schema")
    }

    pub fn parameters(&self) -> impl Iterator<Item = &Value> {
        self.value["parameters"].as_array().into_iter().flatten()
    }

    pub fn statuses(&self) -> impl Iterator<Item = &str> {
        self.value["responses"].as_object().into_iter().flatten().map(|(status, _)| status.as_str())
    }

    fn answer(&self, status: u16) -> Option<&Value> {
        let answers = &self.value["responses"];
        answers.get(status.to_string()).or_else(|| answers.get("default"))
    }

    /// Whether it is the operation of this path.
    fn takes(&self, path: &str) -> bool {
        let (mut template, mut given) = (self.path.split('/'), path.split('/'));
        loop {
            match (template.next(), given.next()) {
                (None, None) => return true,
                (Some(part), Some(text)) if part == text || part.starts_with('{') && !text.is_empty() => {}
                _ => return false,
            }
        }
    }
}

fn operations(document: &Value) -> Result<Vec<Operation>, String> {
    let paths = document["paths"].as_object().ok_or("`paths` is no object")?;
    let mut found = Vec::new();
    for (path, item) in paths {
        for (method, value) in item.as_object().unwrap_or(&Map::new()) {
            let Ok(method) = Method::from_bytes(method.to_uppercase().as_bytes()) else { continue };
            let Some(id) = value["operationId"].as_str() else { continue };
            found.push(Operation { id: id.to_owned(), method, path: path.clone(), value: value.clone() });
        }
    }
    if found.is_empty() { Err("it has no operations".to_owned()) } else { Ok(found) }
}

/// Whether a content type is the documented one: its type, and each of the parameters that the document names.
fn is_of(given: &str, documented: &str) -> bool {
    let parts = |text: &str| text.split(';').map(|part| part.trim().to_ascii_lowercase()).collect::<Vec<_>>();
    let (given, documented) = (parts(given), parts(documented));
    given.first() == documented.first() && documented.iter().all(|part| given.contains(part))
}

fn in_words(error: &jsonschema::ValidationError<'_>) -> String {
    let place = error.instance_path().to_string();
    format!("the body is as its schema says: {}: {error}", if place.is_empty() { "/" } else { &place })
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("operations", &self.operations.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_is_compared_with_its_parameters() {
        assert!(is_of("application/json; charset=utf-8", "application/json"));
        assert!(is_of("text/plain;version=0.0.4; charset=utf-8", "text/plain; version=0.0.4"));
        assert!(!is_of("text/plain", "text/plain; version=0.0.4"));
        assert!(!is_of("text/json", "application/json"));
    }

    #[test]
    fn what_is_no_document_is_refused() {
        let fault = |value| Document::new(value).expect_err("no document");
        assert!(fault(json!({})).contains("openapi"));
        assert!(fault(json!({"openapi": "3.1.0", "paths": {}})).contains("3.1.0"));
        assert!(fault(json!({"openapi": "3.0.3", "paths": {}})).contains("no operations"));
    }
}
