//! The rules of a request's schema, one by one: what is just allowed and what is just not. Every probe is a request
//! that is valid but for one field.

use serde_json::{Map, Value, json};

use crate::document::Document;
use crate::generate::rules;

/// A name that no field has.
const STRANGER: &str = "no_such_field";
/// Texts of which most patterns refuse some.
const TEXTS: [&str; 12] = ["", " ", "a", "a b", "a\0b", "..", "../a", "/a", "a/../b", ".a", "a/b", "é"];

#[derive(Clone, Debug)]
pub struct Probe {
    /// The path of the field, as a message names it: `execution.args[0]`, `execution.env.KEY`.
    pub field: String,
    pub rule: Rule,
    /// The whole request.
    pub body: Value,
    pub allowed: bool,
}

/// The word of the schema that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    Required,
    /// `additionalProperties: false`.
    Unknown,
    Type,
    Nullable,
    Minimum,
    Maximum,
    Length,
    Pattern,
    Enum,
}

#[derive(Clone, Debug)]
enum Step {
    Field(String),
    /// Of an object whose keys are free.
    Key,
    First,
}

/// A key that every object with free keys allows.
const KEY: &str = "KEY";

/// All probes of `schema` around `base`, which is a valid request.
#[must_use]
pub fn probes(document: &Document, schema: &Value, base: &Value) -> Vec<Probe> {
    let mut walk = Walk { document, base, path: Vec::new(), probes: Vec::new() };
    walk.object(document.resolve(schema));
    walk.probes
}

struct Walk<'a> {
    document: &'a Document,
    base: &'a Value,
    path: Vec<Step>,
    probes: Vec<Probe>,
}

impl Walk<'_> {
    fn field(&mut self, schema: &Value, required: bool) {
        let schema = self.document.resolve(schema);
        if !required && schema["nullable"] == json!(true) {
            self.allowed(Rule::Nullable, Value::Null);
        } else if !required {
            self.refused(Rule::Nullable, Value::Null);
        }
        match schema["type"].as_str() {
            Some("integer") => self.integer(schema),
            Some("string") => self.string(schema),
            Some("boolean") => self.others(&[json!("true"), json!(1)]),
            Some("array") => {
                self.others(&[json!("text"), json!({}), json!(5)]);
                // An object that stands alone needs what it requires.
                let example = self.document.resolve(&schema["items"])["example"].clone();
                let base = example.is_object().then(|| with(self.base, &self.path, Some(json!([example]))));
                let (base, path) = (base.as_ref().unwrap_or(self.base), self.path.clone());
                let probes = std::mem::take(&mut self.probes);
                let mut inner = Walk { document: self.document, base, path, probes };
                inner.inside(Step::First, &schema["items"]);
                self.probes = inner.probes;
            }
            _ => {
                self.others(&[json!("text"), json!([]), json!(5), json!(true)]);
                // One that is not there has not what it requires either, so nothing in it would be valid.
                let requires = schema["required"].as_array().is_some_and(|required| !required.is_empty());
                if !requires || at(self.base, &self.path).is_some() {
                    self.object(schema);
                }
            }
        }
    }

    fn object(&mut self, schema: &Value) {
        let schema = self.chosen(schema);
        let schema = schema.as_ref().unwrap_or(&Value::Null);
        let required: Vec<_> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for name in &required {
            self.path.push(Step::Field((*name).to_owned()));
            self.push(Rule::Required, None, false);
            self.refused(Rule::Required, Value::Null);
            self.path.pop();
        }
        match &schema["additionalProperties"] {
            Value::Bool(false) => {
                self.path.push(Step::Field(STRANGER.to_owned()));
                self.refused(Rule::Unknown, json!(1));
                self.path.pop();
            }
            values @ Value::Object(_) => self.inside(Step::Key, values),
            _ => {}
        }
        for (name, field) in schema["properties"].as_object().unwrap_or(&Map::new()) {
            self.path.push(Step::Field(name.clone()));
            self.field(field, required.contains(&name.as_str()));
            self.path.pop();
        }
    }

    /// An element or an entry: it cannot be left out, so `null` is of a wrong type.
    fn inside(&mut self, step: Step, schema: &Value) {
        self.path.push(step);
        self.refused(Rule::Type, Value::Null);
        self.field(schema, true);
        self.path.pop();
    }

    /// Of several kinds of object the one that the base is of.
    fn chosen(&self, schema: &Value) -> Option<Value> {
        let Some(kinds) = schema["oneOf"].as_array() else { return Some(schema.clone()) };
        let here = at(self.base, &self.path)?;
        let kinds = kinds.iter().map(|kind| self.document.resolve(kind));
        let is_it = |kind: &&Value| self.document.compile(kind).is_ok_and(|validator| validator.is_valid(here));
        kinds.clone().find(is_it).cloned()
    }

    fn integer(&mut self, schema: &Value) {
        self.others(&[json!("5"), json!(1.5), json!(true), json!([5])]);
        if let Some(minimum) = schema["minimum"].as_i64() {
            self.allowed(Rule::Minimum, json!(minimum));
            self.refused(Rule::Minimum, json!(minimum - 1));
        }
        if let Some(maximum) = schema["maximum"].as_i64() {
            self.allowed(Rule::Maximum, json!(maximum));
            self.refused(Rule::Maximum, json!(maximum + 1));
        }
    }

    fn string(&mut self, schema: &Value) {
        self.others(&[json!(5), json!(true), json!(["text"]), json!({})]);
        if let Some(words) = schema["enum"].as_array() {
            words.iter().filter(|word| word.is_string()).for_each(|word| self.allowed(Rule::Enum, word.clone()));
            self.refused(Rule::Enum, json!(STRANGER));
            self.refused(Rule::Enum, json!(""));
            return;
        }
        let length = |length: u64| json!("a".repeat(usize::try_from(length).unwrap_or_default()));
        if let Some(shortest) = schema["minLength"].as_u64() {
            self.allowed(Rule::Length, length(shortest));
            self.refused(Rule::Length, length(shortest.saturating_sub(1)));
        }
        if let Some(longest) = schema["maxLength"].as_u64() {
            self.allowed(Rule::Length, length(longest));
            self.refused(Rule::Length, length(longest + 1));
        }
        if schema["pattern"].is_string() {
            let Ok(validator) = self.document.compile(schema) else { return };
            let stray = TEXTS.into_iter().map(|text| json!(text)).filter(|text| !validator.is_valid(text));
            stray.for_each(|text| self.refused(Rule::Pattern, text));
        }
    }

    fn others(&mut self, values: &[Value]) {
        values.iter().for_each(|value| self.refused(Rule::Type, value.clone()));
    }

    fn allowed(&mut self, rule: Rule, value: Value) {
        self.push(rule, Some(value), true);
    }

    fn refused(&mut self, rule: Rule, value: Value) {
        self.push(rule, Some(value), false);
    }

    /// `None` takes the field away.
    fn push(&mut self, rule: Rule, value: Option<Value>, allowed: bool) {
        let field = shown(&self.path);
        if allowed && (rule == Rule::Nullable && rules::is_one_of_several(&field) || rules::names_a_task(&field)) {
            return;
        }
        let body = with(self.base, &self.path, value);
        self.probes.push(Probe { field, rule, body, allowed });
    }
}

fn shown(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Field(name) if text.is_empty() => text += name,
            Step::Field(name) => text = format!("{text}.{name}"),
            Step::Key => text = format!("{text}.{KEY}"),
            Step::First => text += "[0]",
        }
    }
    text
}

fn at<'a>(value: &'a Value, path: &[Step]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, step| match step {
        Step::Field(name) => value.get(name),
        Step::Key => value.get(KEY),
        Step::First => value.get(0),
    })
}

/// Objects and arrays on the way are made where they are missing.
fn with(base: &Value, path: &[Step], value: Option<Value>) -> Value {
    let Some((step, rest)) = path.split_first() else { return value.unwrap_or_default() };
    let name = match step {
        Step::Field(name) => Some(name.as_str()),
        Step::Key => Some(KEY),
        Step::First => None,
    };
    match name {
        Some(name) => {
            let mut object = base.as_object().cloned().unwrap_or_default();
            if rest.is_empty() && value.is_none() {
                object.remove(name);
            } else {
                let inner = object.get(name).cloned().unwrap_or_default();
                object.insert(name.to_owned(), with(&inner, rest, value));
            }
            Value::Object(object)
        }
        None => {
            let mut array = base.as_array().cloned().unwrap_or_default();
            let inner = array.first().cloned().unwrap_or_default();
            array.splice(..array.len().min(1), [with(&inner, rest, value)]);
            Value::Array(array)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_set_in_what_may_be_missing() {
        let key = |name: &str| Step::Field(name.to_owned());
        let base = json!({"a": {"b": [1, 2]}});
        assert_eq!(with(&base, &[key("a"), key("b"), Step::First], Some(json!(9))), json!({"a": {"b": [9, 2]}}));
        assert_eq!(with(&base, &[key("c"), key("d"), Step::First], Some(json!(9)))["c"], json!({"d": [9]}));
        assert_eq!(with(&base, &[key("a")], None), json!({}));
        assert_eq!(shown(&[key("a"), key("b"), Step::First, key("c")]), "a.b[0].c");
        assert_eq!(shown(&[key("a"), Step::Key]), "a.KEY");
    }

    /// Each probe is on the side of the schema that it says.
    #[test]
    fn the_schema_agrees_with_every_probe_of_the_committed_document() {
        let document = Document::new(crate::tests::committed_document()).expect("a document");
        let schema = document.operation("submit_task").expect("it is there").request().expect("it has a body");
        let validator = document.compile(schema).expect("a schema");
        let base = json!({"execution": {"kind": "command", "program": "true"}});
        let probes = probes(&document, schema, &base);
        assert!(probes.len() > 250, "{}", probes.len());
        for probe in probes {
            assert_eq!(validator.is_valid(&probe.body), probe.allowed, "{probe:?}");
        }
    }
}
