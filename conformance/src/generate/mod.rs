//! Requests made up from the schemas of the document. What no schema can say stands in `rules.rs`. It must not know
//! how a runtime answers.

mod edit;
mod latin1;
pub mod rules;

use std::rc::Rc;

use proptest::collection::{btree_map, vec};
use proptest::option::weighted;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof};
use proptest::sample::select;
use proptest::strategy::Union;
use proptest::string::string_regex;
use serde_json::{Map, Value, json};

use crate::case::{NotPassed, skipped};
use crate::document::Document;

pub use edit::edited;
pub use latin1::{Latin1, bytes};

/// How many elements and entries at most; more show nothing new.
const MANY: usize = 4;
/// How often an optional field is there.
const PRESENT: f64 = 0.4;

/// Submissions that are valid, and whose commands do nothing but end, whatever else they carry.
pub fn submissions(document: &Document) -> Result<BoxedStrategy<Value>, NotPassed> {
    let schema = document.operation("submit_task")?.request();
    let schema = schema.ok_or_else(|| skipped("the document says nothing of the body of a submission"))?;
    let validator = Rc::new(document.compile(schema).map_err(skipped)?);
    let values = Schemas { document }.values(schema, "")?;
    let valid = (values, any::<rules::Harmless>()).prop_map(|(request, harmless)| rules::settle(request, harmless));
    Ok(valid.prop_filter("the schema takes it", move |request| validator.is_valid(request)).boxed())
}

struct Schemas<'a> {
    document: &'a Document,
}

impl Schemas<'_> {
    fn values(&self, schema: &Value, path: &str) -> Result<BoxedStrategy<Value>, NotPassed> {
        let schema = self.document.resolve(schema);
        let values = match rules::instead(path) {
            Some(values) => values,
            None => self.by_type(schema, path)?,
        };
        let or_null = prop_oneof![1 => Just(Value::Null), 9 => values.clone()];
        Ok(if schema["nullable"] == json!(true) { or_null.boxed() } else { values })
    }

    fn by_type(&self, schema: &Value, path: &str) -> Result<BoxedStrategy<Value>, NotPassed> {
        if let Some(kinds) = schema["oneOf"].as_array() {
            let kinds = kinds.iter().map(|kind| self.values(kind, path));
            return Ok(Union::new(kinds.collect::<Result<Vec<_>, _>>()?).boxed());
        }
        if let Some(words) = schema["enum"].as_array() {
            let words: Vec<_> = words.iter().filter(|word| !word.is_null()).cloned().collect();
            return Ok(select(words).boxed());
        }
        Ok(match schema["type"].as_str() {
            Some("integer") => integers(schema),
            Some("string") => strings(schema)?,
            Some("boolean") => any::<bool>().prop_map(Value::from).boxed(),
            Some("array") => {
                let items = self.values(&schema["items"], &format!("{path}[]"))?;
                vec(items, 0..=MANY).prop_map(Value::from).boxed()
            }
            _ => self.objects(schema, path)?,
        })
    }

    fn objects(&self, schema: &Value, path: &str) -> Result<BoxedStrategy<Value>, NotPassed> {
        if schema["additionalProperties"].is_object() {
            let values = self.values(&schema["additionalProperties"], &format!("{path}[]"))?;
            let maps = btree_map(rules::keys(path), values, 0..=MANY);
            return Ok(maps.prop_map(|map| Value::Object(map.into_iter().collect())).boxed());
        }
        let required: Vec<_> = schema["required"].as_array().into_iter().flatten().collect();
        let (mut names, mut fields) = (Vec::new(), Vec::new());
        for (name, field) in schema["properties"].as_object().unwrap_or(&Map::new()) {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let values = self.values(field, &path)?;
            let is_required = required.iter().any(|one| *one == name);
            fields.push(if is_required { values.prop_map(Some).boxed() } else { weighted(PRESENT, values).boxed() });
            names.push(name.clone());
        }
        let object = move |fields: Vec<Option<Value>>| {
            let fields = names.iter().cloned().zip(fields);
            Value::Object(fields.filter_map(|(name, field)| Some((name, field?))).collect())
        };
        Ok(fields.prop_map(object).boxed())
    }
}

fn integers(schema: &Value) -> BoxedStrategy<Value> {
    let least = schema["minimum"].as_i64().unwrap_or(i64::from(i32::MIN));
    let most = schema["maximum"].as_i64().unwrap_or(i64::from(i32::MAX));
    rules::between(least, most)
}

fn strings(schema: &Value) -> Result<BoxedStrategy<Value>, NotPassed> {
    let shortest = schema["minLength"].as_u64().unwrap_or(0);
    let longest = schema["maxLength"].as_u64().unwrap_or(shortest + 32);
    let lengths = format!("(?s:.){{{shortest},{longest}}}");
    // What is generated matches as a whole, and knows no anchors.
    let pattern = schema["pattern"].as_str().unwrap_or(&lengths);
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
    let strings = string_regex(pattern.strip_suffix('$').unwrap_or(pattern));
    strings.map(|strings| strings.prop_map(Value::from).boxed()).map_err(|error| skipped(format!("{pattern}: {error}")))
}

#[cfg(test)]
mod tests {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    use super::*;

    /// Whatever a schema lets a program be, none but the known ones is ever run.
    #[test]
    fn what_is_generated_is_valid_and_runs_nothing_but_the_harmless() {
        let document = Document::new(crate::tests::committed_document()).expect("a document");
        let strategy = submissions(&document).expect("it has a submission");
        let mut runner = TestRunner::deterministic();
        for _ in 0..300 {
            let request = strategy.new_tree(&mut runner).expect("a request").current();
            assert!(rules::is_harmless(&request["execution"]), "{request}");
        }
    }
}
