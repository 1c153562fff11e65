//! The schemas of OpenAPI 3.0 as JSON Schema. The two differ in a few words only, but those would be misread: 3.0 says
//! `nullable` where JSON Schema has the type `null`, `exclusiveMinimum: true` where it has a number, and formats of
//! numbers that no validator knows.

use serde_json::{Map, Value, json};

/// What says nothing about a value.
const NO_RULES: [&str; 6] = ["example", "discriminator", "xml", "externalDocs", "deprecated", "nullable"];

/// A schema that holds all components, so that its references lead somewhere.
pub fn stand_alone(schema: &Value, components: &Value) -> Value {
    let schemas: Map<_, _> =
        components.as_object().into_iter().flatten().map(|(name, schema)| (name.clone(), translated(schema))).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "allOf": [translated(schema)],
        "components": {"schemas": schemas},
    })
}

fn translated(schema: &Value) -> Value {
    let Some(schema) = schema.as_object() else { return schema.clone() };
    if let Some(reference) = schema.get("$ref") {
        // What stands beside a reference is ignored in 3.0.
        return json!({"$ref": reference});
    }
    let mut out = Map::new();
    for (word, value) in schema {
        match word.as_str() {
            word if NO_RULES.contains(&word) => {}
            "properties" => {
                let fields = value.as_object().into_iter().flatten();
                let fields = fields.map(|(name, schema)| (name.clone(), translated(schema)));
                out.insert(word.clone(), Value::Object(fields.collect()));
            }
            "allOf" | "anyOf" | "oneOf" => {
                let parts = value.as_array().into_iter().flatten().map(translated);
                out.insert(word.clone(), parts.collect());
            }
            "items" | "additionalProperties" | "not" => {
                out.insert(word.clone(), translated(value));
            }
            _ => {
                out.insert(word.clone(), value.clone());
            }
        }
    }
    exclusive(&mut out, "exclusiveMinimum", "minimum");
    exclusive(&mut out, "exclusiveMaximum", "maximum");
    let out = with_format_of_numbers(out);
    if schema.get("nullable") == Some(&json!(true)) { or_null(out) } else { out }
}

/// In 3.0 a truth value that sharpens the bound beside it.
fn exclusive(schema: &mut Map<String, Value>, word: &str, bound: &str) {
    match schema.get(word) {
        Some(Value::Bool(true)) => {
            if let Some(bound) = schema.remove(bound) {
                schema.insert(word.to_owned(), bound);
            }
        }
        Some(Value::Bool(false)) => drop(schema.remove(word)),
        _ => {}
    }
}

fn with_format_of_numbers(schema: Map<String, Value>) -> Value {
    let bounds = match schema.get("format").and_then(Value::as_str) {
        Some("int32") => json!({"minimum": i32::MIN, "maximum": i32::MAX}),
        Some("uint32") => json!({"minimum": u32::MIN, "maximum": u32::MAX}),
        Some("int64") => json!({"minimum": i64::MIN, "maximum": i64::MAX}),
        Some("uint64") => json!({"minimum": u64::MIN, "maximum": u64::MAX}),
        _ => return Value::Object(schema),
    };
    json!({"allOf": [schema, bounds]})
}

fn or_null(schema: Value) -> Value {
    json!({"anyOf": [schema, {"type": "null"}]})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(schema: &Value, value: &Value) -> bool {
        let components = json!({"Name": {"type": "string", "nullable": true, "minLength": 2}});
        let schema = stand_alone(schema, &components);
        let validator = jsonschema::draft202012::options().should_validate_formats(true).build(&schema);
        validator.expect("a schema").is_valid(value)
    }

    #[test]
    fn null_is_allowed_where_it_is_nullable_and_nowhere_else() {
        assert!(allows(&json!({"type": "integer", "nullable": true}), &Value::Null));
        assert!(!allows(&json!({"type": "integer"}), &Value::Null));
        let field = json!({"type": "object", "properties": {"a": {"allOf": [{"$ref": "#/components/schemas/Name"}]}}});
        assert!(allows(&field, &json!({"a": null})));
        assert!(allows(&field, &json!({"a": "ab"})));
        assert!(!allows(&field, &json!({"a": "a"})));
    }

    #[test]
    fn formats_and_exclusive_bounds_are_rules() {
        assert!(!allows(&json!({"type": "integer", "format": "int32"}), &json!(1_i64 << 31)));
        assert!(allows(&json!({"type": "integer", "format": "int32"}), &json!(-5)));
        assert!(!allows(&json!({"type": "integer", "minimum": 1, "exclusiveMinimum": true}), &json!(1)));
        assert!(allows(&json!({"type": "integer", "minimum": 1, "exclusiveMinimum": false}), &json!(1)));
        assert!(!allows(&json!({"type": "string", "format": "date-time"}), &json!("yesterday")));
        assert!(!allows(&json!({"type": "string", "format": "uuid"}), &json!("7")));
    }

    #[test]
    fn a_field_may_have_the_name_of_a_word() {
        let schema = json!({"type": "object", "properties": {"example": {"type": "string"}}});
        assert!(!allows(&schema, &json!({"example": 5})));
    }
}
