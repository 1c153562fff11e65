//! From the bytes of a body to a request: strict JSON, and for every fault one sentence that names the field by its
//! JSON path, says what is wrong and what is allowed.

use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use super::strict::Root;
use crate::task::InvalidField;
use crate::task::validate::member;

/// Longest piece of a client's value that a message repeats, in characters.
const MAX_QUOTE: usize = 80;

/// Why a body is no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the request body is empty, and a JSON object is required")]
    Empty,
    #[error("the request body is not valid UTF-8 (the first bad byte is at offset {0})")]
    Encoding(usize),
    #[error("the request body is not valid JSON: {0}")]
    Syntax(String),
    /// The path is empty when the body as a whole is wrong.
    #[error("{} {}", if .0.path.is_empty() { "the request body" } else { &.0.path }, .0.message)]
    Field(InvalidField),
}

/// Reads a request.
///
/// # Errors
/// The body is no JSON, or a field is unknown, missing, given twice or of another type.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Malformed> {
    let text = std::str::from_utf8(body).map_err(|e| Malformed::Encoding(e.valid_up_to()))?;
    if text.trim_ascii().is_empty() {
        return Err(Malformed::Empty);
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let Root(request) =
        serde_path_to_error::deserialize(&mut json).map_err(|e| explain(&written(e.path()), e.inner()))?;
    json.end().map_err(|e| Malformed::Syntax(e.to_string()))?;
    Ok(request)
}

/// As validation writes it; empty for the whole body.
fn written(path: &Path) -> String {
    path.iter().fold(String::new(), |path, segment| match segment {
        Segment::Seq { index } => format!("{path}[{index}]"),
        Segment::Map { key } | Segment::Enum { variant: key } => member(&path, key),
        // What is no JSON has a fault of its syntax, which names no field.
        Segment::Unknown => path,
    })
}

fn explain(path: &str, error: &serde_json::Error) -> Malformed {
    match error.classify() {
        Category::Data => {
            let position = format!(" at line {} column {}", error.line(), error.column());
            let message = error.to_string();
            let message = message.strip_suffix(&position).unwrap_or(&message);
            Malformed::Field(field_fault(path, message))
        }
        Category::Syntax | Category::Eof | Category::Io => Malformed::Syntax(error.to_string()),
    }
}

/// Turns serde's message into the second half of a sentence whose first half is the path.
fn field_fault(path: &str, message: &str) -> InvalidField {
    if let Some((found, allowed)) = split(message, "invalid type: ").or_else(|| split(message, "invalid value: ")) {
        return InvalidField::new(path, format!("must be {}, not {}", allowed_name(allowed), found_name(found)));
    }
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let allowed = rest.split_once(", expected ").map_or("", |(_, allowed)| allowed);
        let allowed = allowed.strip_prefix("one of ").unwrap_or(allowed);
        let allowed = if allowed.is_empty() { "none".to_owned() } else { allowed.replace(" or ", ", ") };
        return InvalidField::new(path, format!("is not a known field; allowed here are {allowed}"));
    }
    if let Some(name) = message.strip_prefix("missing field ") {
        return InvalidField::new(member(path, name.trim_matches('`')), "is required");
    }
    if let Some(name) = message.strip_prefix("duplicate field ") {
        let name = name.trim_matches('`');
        let path = if path.rsplit('.').next() == Some(name) { path.to_owned() } else { member(path, name) };
        return InvalidField::new(path, "must not be given twice");
    }
    InvalidField::new(path, message)
}

fn split<'a>(message: &'a str, kind: &str) -> Option<(&'a str, &'a str)> {
    message.strip_prefix(kind)?.rsplit_once(", expected ")
}

fn allowed_name(allowed: &str) -> &str {
    match allowed {
        "a sequence" => "an array",
        "a boolean" => "true or false",
        other => other,
    }
}

fn found_name(found: &str) -> String {
    match found {
        "sequence" => "an array".into(),
        "map" => "an object".into(),
        "unit value" => "null".into(),
        other => {
            let plain = ["integer `", "floating point `", "boolean `"].iter().find_map(|kind| other.strip_prefix(kind));
            let plain = plain.map(|value| value.trim_end_matches('`'));
            shorten(plain.or_else(|| other.strip_prefix("string ")).unwrap_or(other))
        }
    }
}

fn shorten(value: &str) -> String {
    match value.char_indices().nth(MAX_QUOTE) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}
