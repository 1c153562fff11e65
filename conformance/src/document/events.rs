//! A body of server-sent events as its reader sees it (WHATWG HTML, 9.2.6): an object for each event, with its fields.

use serde_json::{Map, Value, json};

/// Comments are no events.
pub fn read(text: &str) -> Vec<Value> {
    text.split("\n\n").map(event).filter(|event| !event.is_empty()).map(Value::Object).collect()
}

fn event(block: &str) -> Map<String, Value> {
    let mut event: Map<String, Value> = Map::new();
    for line in block.lines().filter(|line| !line.starts_with(':') && !line.is_empty()) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        // Several lines of data are one, with line ends between.
        let whole = match event.get(field).and_then(Value::as_str) {
            Some(before) if field == "data" => format!("{before}\n{value}"),
            _ => value.to_owned(),
        };
        event.insert(field.to_owned(), json!(whole));
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_become_an_object_and_comments_nothing() {
        let text = ": hello\n\nevent: a\nid: 1\ndata: x\ndata:y\n\n: keep-alive\n\ndata\n\n";
        let expected = [json!({"event": "a", "id": "1", "data": "x\ny"}), json!({"data": ""})];
        assert_eq!(read(text), expected);
        assert_eq!(read(""), Vec::<Value>::new());
    }
}
