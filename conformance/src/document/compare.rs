//! Whether one document keeps what another promises. More may be there; what was there must be the same.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// What is for people, or says where and which: it may change freely.
const FREE: [&str; 10] =
    ["description", "summary", "title", "example", "examples", "tags", "info", "servers", "externalDocs", "deprecated"];

/// What `live` has no longer or has otherwise, each by its place. Additive, and so no difference: paths, operations,
/// statuses, schemas and words of an `enum`; properties and parameters that nobody must send.
#[must_use]
pub fn differences(kept: &Value, live: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let requests = in_requests(kept);
    compare("", kept, live, &mut found, &|place| requests.iter().any(|name| place.starts_with(name)));
    found
}

fn compare(place: &str, kept: &Value, live: &Value, found: &mut Vec<String>, is_request: &dyn Fn(&str) -> bool) {
    match (kept, live) {
        (Value::Object(kept), Value::Object(live)) => {
            // A property may have the name of a word that is free.
            let names = place.ends_with("/properties");
            for (word, value) in kept.iter().filter(|(word, _)| names || !FREE.contains(&word.as_str())) {
                let place = format!("{place}/{}", word.replace('~', "~0").replace('/', "~1"));
                match live.get(word) {
                    None => found.push(format!("{place} is gone")),
                    Some(now) if word == "required" && value.is_array() => {
                        required(&place, value, now, kept, is_request(&place), found);
                    }
                    Some(now) if word == "enum" => words(&place, value, now, found),
                    Some(now) if word == "parameters" => parameters(&place, value, now, found, is_request),
                    Some(now) => compare(&place, value, now, found, is_request),
                }
            }
            // A new word in a schema is a new rule.
            let is_schema = !names && (kept.contains_key("type") || kept.contains_key("allOf"));
            let stricter = live.keys().filter(|word| !kept.contains_key(*word) && !FREE.contains(&word.as_str()));
            found.extend(stricter.filter(|_| is_schema).map(|word| format!("{place}/{word} is new")));
        }
        _ if kept == live => {}
        _ => found.push(format!("{place} is {live}, and was {kept}")),
    }
}

/// Who answers may promise more; who asks must not be asked for more.
fn required(
    place: &str,
    kept: &Value,
    live: &Value,
    schema: &Map<String, Value>,
    asked: bool,
    found: &mut Vec<String>,
) {
    let (kept, live) = (texts(kept), texts(live));
    found.extend(kept.difference(&live).map(|name| format!("{place}: {name} is gone")));
    let properties = schema.get("properties").and_then(Value::as_object);
    let is_old = |name: &str| properties.is_some_and(|properties| properties.contains_key(name));
    let new = live.difference(&kept).filter(|name| asked || is_old(name));
    found.extend(new.map(|name| format!("{place}: {name} is new")));
}

fn words(place: &str, kept: &Value, live: &Value, found: &mut Vec<String>) {
    found.extend(texts(kept).difference(&texts(live)).map(|word| format!("{place}: {word} is gone")));
}

fn parameters(place: &str, kept: &Value, live: &Value, found: &mut Vec<String>, asked: &dyn Fn(&str) -> bool) {
    let same = |one: &Value, other: &Value| one["name"] == other["name"] && one["in"] == other["in"];
    let (kept, live) = (kept.as_array().cloned(), live.as_array().cloned());
    let (kept, live) = (kept.unwrap_or_default(), live.unwrap_or_default());
    for parameter in &kept {
        let place = format!("{place}/{}", parameter["name"].as_str().unwrap_or_default());
        match live.iter().find(|other| same(parameter, other)) {
            Some(now) => compare(&place, parameter, now, found, asked),
            None => found.push(format!("{place} is gone")),
        }
    }
    let new = live.iter().filter(|other| !kept.iter().any(|parameter| same(parameter, other)));
    let new = new.filter(|parameter| parameter["required"] == Value::Bool(true));
    found.extend(new.map(|parameter| format!("{place}/{} is new and required", parameter["name"])));
}

fn texts(list: &Value) -> BTreeSet<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The places of the schemas that a client fills in.
fn in_requests(document: &Value) -> BTreeSet<String> {
    let mut places = BTreeSet::new();
    let operations = document["paths"].as_object().into_iter().flatten();
    let operations = operations.flat_map(|(_, item)| item.as_object().into_iter().flatten());
    let mut open: Vec<Value> = operations.map(|(_, operation)| operation["requestBody"].clone()).collect();
    while let Some(value) = open.pop() {
        let pointer = value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
        if let Some(pointer) = pointer.filter(|pointer| places.insert(format!("{pointer}/"))) {
            open.extend(document.pointer(pointer).cloned());
        }
        open.extend(value.as_object().into_iter().flatten().map(|(_, part)| part.clone()));
        open.extend(value.as_array().into_iter().flatten().cloned());
    }
    places
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        json!({
            "info": {"version": "1"},
            "paths": {"/a": {"post": {
                "parameters": [{"name": "n", "in": "query", "required": false, "schema": {"type": "integer"}}],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Ask"}}}},
                "responses": {"200": {"description": "Done."}},
            }}},
            "components": {"schemas": {
                "Ask": {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer", "maximum": 5}}},
                "Said": {"type": "object", "required": ["b"], "properties": {"b": {"enum": ["x"]}, "title": {}}},
            }},
        })
    }

    fn found(change: impl Fn(&mut Value)) -> Vec<String> {
        let mut live = document();
        change(&mut live);
        differences(&document(), &live)
    }

    fn push(list: &mut Value, one: Value) {
        list.as_array_mut().expect("a list").push(one);
    }

    #[test]
    fn what_is_added_is_no_difference() {
        let nothing = found(|live| {
            live["info"]["version"] = json!("2");
            live["paths"]["/b"] = json!({});
            live["paths"]["/a"]["post"]["responses"]["429"] = json!({});
            push(
                &mut live["paths"]["/a"]["post"]["parameters"],
                json!({"name": "m", "in": "query", "required": false}),
            );
            live["components"]["schemas"]["Ask"]["properties"]["new"] = json!({});
            push(&mut live["components"]["schemas"]["Said"]["properties"]["b"]["enum"], json!("y"));
            live["components"]["schemas"]["Said"]["properties"]["new"] = json!({});
            push(&mut live["components"]["schemas"]["Said"]["required"], json!("new"));
        });
        assert_eq!(nothing, [""; 0]);
    }

    #[test]
    fn what_is_taken_away_or_tightened_is_a_difference() {
        let schemas = "/components/schemas";
        assert_eq!(
            found(|live| live["components"]["schemas"]["Ask"]["properties"]["a"]["maximum"] = json!(4)),
            [format!("{schemas}/Ask/properties/a/maximum is 4, and was 5")]
        );
        assert_eq!(
            found(|live| live["components"]["schemas"]["Ask"]["properties"]["a"]["minimum"] = json!(1)),
            [format!("{schemas}/Ask/properties/a/minimum is new")]
        );
        assert_eq!(
            found(|live| push(&mut live["components"]["schemas"]["Ask"]["required"], json!("new"))),
            [format!("{schemas}/Ask/required: new is new")]
        );
        assert_eq!(
            found(|live| live["components"]["schemas"]["Said"]["properties"]["b"]["enum"] = json!(["y"])),
            [format!("{schemas}/Said/properties/b/enum: x is gone")]
        );
        assert_eq!(
            found(|live| live["components"]["schemas"]["Said"]["properties"] = json!({"b": {"enum": ["x"]}})),
            [format!("{schemas}/Said/properties/title is gone")]
        );
        assert_eq!(found(|live| live["paths"] = json!({})), ["/paths/~1a is gone"]);
        assert_eq!(
            found(|live| live["paths"]["/a"]["post"]["parameters"] =
                json!([{"name": "m", "in": "query", "required": true}])),
            ["/paths/~1a/post/parameters/n is gone", "/paths/~1a/post/parameters/\"m\" is new and required"]
        );
    }
}
