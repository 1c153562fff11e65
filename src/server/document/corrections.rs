//! What poem-openapi's document lacks or says wrongly, put right. Everything here must be true of the server:
//! the document promises, `api` and `task::validate` keep it.

use serde_json::{Map, Value, json};

use super::{failures, texts};
use crate::task::validate::{DEFAULT_STREAM_MAX_BYTES, DEFAULT_WALL_TIME_MS};

/// Objects that clients send: unknown fields are refused, and `null` is a missing field.
const REQUESTS: [&str; 16] = [
    "CallbackRequest",
    "SubmitBatchRequest",
    "DrainRequest",
    "KillRequest",
    "KillTasksRequest",
    "SubmitTaskRequest",
    "ExecutionSpec",
    "StdinSpec",
    "InputSpec",
    "ResourceLimits",
    "SandboxPolicy",
    "NamespaceConfig",
    "TaskPolicy",
    "TaskSchedule",
    "TaskDependency",
    "ControlContext",
];
/// The SHA-256 of `abc`.
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const NAMES: [&str; 4] = ["control_plane_mode", "tenant", "owner", "expected_runtime_profile"];
const METHODS: [&str; 4] = ["get", "put", "post", "delete"];

pub(super) fn correct(document: &mut Value) {
    whole_numbers(document);
    one_line_descriptions(document);
    document["openapi"] = json!("3.0.3");
    document["info"]["license"] = json!({"name": env!("CARGO_PKG_LICENSE")});
    document["servers"] = json!([{"url": "/"}]);
    document["components"]["headers"] = headers();
    document["components"]["securitySchemes"] = json!({"token": {"type": "http", "scheme": "bearer"}});
    // Whether a token is needed is said by the configuration.
    document["security"] = json!([{}, {"token": []}]);
    let enums = enums(&document["components"]["schemas"]);
    for (name, schema) in entries(&mut document["components"]["schemas"]) {
        for (_, property) in fields(schema) {
            reference(property);
            number(property);
        }
        examples(schema);
        if REQUESTS.contains(&name.as_str()) {
            request(schema, &enums);
        }
    }
    let schemas = &mut document["components"]["schemas"];
    details(&mut schemas["ErrorInfo"]);
    details(&mut schemas["RuntimeErrorInfo"]);
    schemas["EventRecord"]["properties"]["data"]["type"] = json!("object");
    special_fields(schemas);
    execution(schemas);
    for (_, path) in entries(&mut document["paths"]) {
        for method in METHODS {
            if path.get(method).is_some() {
                operation(&mut path[method]);
            }
        }
    }
}

/// The entries of an object; none of what is no object.
fn entries(value: &mut Value) -> impl Iterator<Item = (String, &mut Value)> {
    value.as_object_mut().into_iter().flatten().map(|(key, value)| (key.clone(), value))
}

/// The fields of an object; none of an enum.
fn fields(schema: &mut Value) -> impl Iterator<Item = (String, &mut Value)> {
    schema.get_mut("properties").into_iter().flat_map(entries)
}

/// `1.0` → `1`: the bounds are integers.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Object(map) => map.values_mut().for_each(whole_numbers),
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Number(number) => {
            if let Some(float) = number.as_f64().filter(|f| !number.is_u64() && !number.is_i64() && f.fract() == 0.) {
                *value = json!(float as i64);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn headers() -> Value {
    json!({
        "RequestId": {
            "description": "Names this answer in the log of the runtime.",
            "required": true,
            "schema": {"type": "string", "format": "uuid"},
        },
        "AcceptRanges": {
            "description": "Ranges of bytes can be asked for.",
            "required": true,
            "schema": {"type": "string", "enum": ["bytes"]},
        },
        "ContentRange": {
            "description": "Which bytes of how many; `*` where that is not known, and 9007199254740991 for an end that is not \
                            known (RFC 8673).",
            "required": true,
            "schema": {"type": "string", "pattern": "^bytes ([0-9]+-[0-9]+|\\*)/([0-9]+|\\*)$"},
        },
        "ETag": {
            "description": "Names the content; there once the task has ended.",
            "schema": {"type": "string"},
        },
        "Offset": {
            "description": "Where in the stream the body begins, in bytes.",
            "required": true,
            "schema": {"type": "integer", "minimum": 0},
        },
        "Replayed": {
            "description": "The answer was given before, and nothing was done now.",
            "schema": {"type": "string", "enum": ["true"]},
        },
        "RetryAfter": {
            "description": "Seconds to wait before the next try.",
            "required": true,
            "schema": {"type": "integer", "minimum": 1},
        },
    })
}

/// The enums among the schemas, to be written out where `null` is allowed too.
fn enums(schemas: &Value) -> Map<String, Value> {
    let all = schemas.as_object().cloned().unwrap_or_default();
    all.into_iter().filter(|(_, schema)| schema.get("enum").is_some()).collect()
}

/// Line ends inside a paragraph are those of the source.
fn one_line_descriptions(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(text)) = map.get_mut("description") {
                *text = text.split("\n\n").map(|part| part.replace('\n', " ")).collect::<Vec<_>>().join("\n\n");
            }
            map.values_mut().for_each(one_line_descriptions);
        }
        Value::Array(items) => items.iter_mut().for_each(one_line_descriptions),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A described reference, without what poem-openapi says twice.
fn reference(property: &mut Value) {
    if let Some(target) = referenced(property).map(str::to_owned) {
        *property = json!({
            "allOf": [{"$ref": format!("#/components/schemas/{target}")}],
            "description": property["description"],
        });
    }
}

/// The schema to which a described field refers.
fn referenced(property: &Value) -> Option<&str> {
    property.get("allOf")?.get(0)?.get("$ref")?.as_str()?.rsplit('/').next()
}

/// The example of an object gives each of its plain fields one.
fn examples(schema: &mut Value) {
    let example = schema.get("example").cloned().unwrap_or_default();
    for (field, property) in fields(schema) {
        let value = example.get(&field).cloned();
        if let (Some(value), None) = (value, referenced(property)) {
            property["example"] = value;
        }
    }
}

/// The formats that OpenAPI 3.0 knows; what is unsigned has a lower bound.
fn number(property: &mut Value) {
    let known = match property.get("format").and_then(Value::as_str) {
        Some("uint64") => "int64",
        Some("uint32" | "uint16") => "int32",
        _ => return,
    };
    property["format"] = json!(known);
    if property.get("minimum").is_none() {
        property["minimum"] = json!(0);
    }
}

fn request(schema: &mut Value, enums: &Map<String, Value>) {
    schema["additionalProperties"] = json!(false);
    let required = schema.get("required").cloned().unwrap_or_else(|| json!([]));
    let required: Vec<String> = serde_json::from_value(required).unwrap_or_default();
    // Every request object but the outermost and `execution` is itself an optional field.
    if required.is_empty() {
        schema["nullable"] = json!(true);
    }
    for (field, property) in fields(schema) {
        plain_text(property);
        if required.contains(&field) {
            continue;
        }
        match referenced(property).and_then(|name| enums.get(name)) {
            Some(words) => {
                let description = property["description"].take();
                *property = words.clone();
                property["description"] = description;
                property["nullable"] = json!(true);
                if let Some(words) = property["enum"].as_array_mut() {
                    words.push(Value::Null);
                }
            }
            // An object that is optional says itself that it may be null.
            None if referenced(property).is_some() => {}
            None => property["nullable"] = json!(true),
        }
    }
}

/// No text holds NUL, wherever it stands.
fn plain_text(property: &mut Value) {
    for inner in ["items", "additionalProperties"] {
        if property.get(inner).is_some_and(Value::is_object) {
            plain_text(&mut property[inner]);
        }
    }
    if property.get("type").is_some_and(|t| t == "string") && property.get("pattern").is_none() {
        property["pattern"] = json!(texts::PLAIN);
    }
}

/// `details` is always there, and an object unless it is `null`.
fn details(schema: &mut Value) {
    schema["required"] = json!(["code", "message", "details"]);
    let details = &mut schema["properties"]["details"];
    details["type"] = json!("object");
    details["nullable"] = json!(true);
}

fn special_fields(schemas: &mut Value) {
    schemas["SubmitTaskRequest"]["properties"]["task_id"]["pattern"] = json!(texts::TASK_ID);
    // It has a required field, and is itself an optional one.
    schemas["CallbackRequest"]["nullable"] = json!(true);
    schemas["SubmitBatchRequest"]["properties"]["atomic"]["default"] = json!(false);
    schemas["TaskSchedule"]["properties"]["priority"]["default"] = json!(0);
    schemas["TaskDependency"]["properties"]["task_id"]["pattern"] = json!(texts::TASK_ID);
    schemas["TaskDependency"]["properties"]["on"]["default"] = json!("success");
    schemas["KillRequest"]["properties"]["signal"]["default"] = json!("SIGTERM");
    schemas["DrainRequest"]["properties"]["waiting"]["default"] = json!("keep");
    for object in ["StdinSpec", "InputSpec"] {
        let content = &mut schemas[object]["properties"];
        // The one text that may hold NUL.
        remove(&mut content["text"], "pattern");
        content["base64"]["pattern"] = json!(texts::BASE64);
        content["blob"]["pattern"] = json!(texts::SHA256);
        content["base64"]["example"] = json!("AP8K");
        content["blob"]["example"] = json!(ABC);
    }
    let input = &mut schemas["InputSpec"]["properties"];
    input["path"]["pattern"] = json!(texts::NAMES);
    input["mode"]["pattern"] = json!(texts::MODE);
    input["mode"]["default"] = json!("0644");
    let limits = &mut schemas["ResourceLimits"]["properties"];
    limits["wall_time_ms"]["default"] = json!(DEFAULT_WALL_TIME_MS);
    limits["stdout_max_bytes"]["default"] = json!(DEFAULT_STREAM_MAX_BYTES);
    limits["stderr_max_bytes"]["default"] = json!(DEFAULT_STREAM_MAX_BYTES);
    let sandbox = &mut schemas["SandboxPolicy"]["properties"];
    sandbox["profile"]["default"] = json!("process");
    sandbox["chroot"]["default"] = json!(false);
    sandbox["workspace_subdir"]["pattern"] = json!(texts::INSIDE);
    let namespaces = &mut schemas["NamespaceConfig"]["properties"];
    for (name, default) in [("mount", true), ("pid", true), ("uts", true), ("ipc", true), ("net", false)] {
        namespaces[name]["default"] = json!(default);
    }
    let kill = &mut schemas["KillTasksRequest"]["properties"];
    for name in ["tenant", "owner", "q"] {
        kill[name]["pattern"] = json!(texts::NOT_BLANK);
    }
    kill["all"]["default"] = json!(false);
    let context = &mut schemas["ControlContext"]["properties"];
    for name in NAMES {
        context[name]["pattern"] = json!(texts::NOT_BLANK);
    }
    context["requires_strict_sandbox"]["default"] = json!(false);
    context["requires_resource_reservation"]["default"] = json!(false);
}

/// `ExecutionSpec` is a command or a script: each requires one field and refuses the other's.
fn execution(schemas: &mut Value) {
    let whole = schemas["ExecutionSpec"].clone();
    let description = whole["description"].clone();
    let absent = |property: &Value| {
        let mut property = property.clone();
        let text = if property.get("items").is_some() { &mut property["items"] } else { &mut property };
        text["pattern"] = json!(texts::BLANK);
        property["description"] = json!("Belongs to the other kind: absent, `null` or blank.");
        remove(&mut property, "example");
        property
    };
    let variant = |title: &str, kind: &str, needed: &str, foreign: &[&str], description: &str, example: Value| {
        let mut schema = whole.clone();
        let properties = &mut schema["properties"];
        properties["kind"] = json!({"type": "string", "enum": [kind], "description": "The kind of the task."});
        properties[needed]["pattern"] = json!(texts::NOT_BLANK);
        remove(&mut properties[needed], "nullable");
        for field in foreign {
            properties[*field] = absent(&properties[*field]);
        }
        schema["required"] = json!(["kind", needed]);
        schema["title"] = json!(title);
        schema["description"] = json!(description);
        examples_of(&mut schema, example);
        schema
    };
    let script = json!({
        "kind": "script", "script": "print('hello')", "interpreter": ["python3"], "args": [], "env": {"LANG": "C.UTF-8"},
    });
    schemas["CommandExecution"] = variant(
        "CommandExecution",
        "command",
        "program",
        &["script", "interpreter"],
        "A program and its arguments.",
        whole["example"].clone(),
    );
    schemas["ScriptExecution"] =
        variant("ScriptExecution", "script", "script", &["program"], "A script and what runs it.", script);
    schemas["ExecutionSpec"] = json!({
        "description": description,
        "oneOf": [
            {"$ref": "#/components/schemas/CommandExecution"},
            {"$ref": "#/components/schemas/ScriptExecution"},
        ],
        "discriminator": {
            "propertyName": "kind",
            "mapping": {
                "command": "#/components/schemas/CommandExecution",
                "script": "#/components/schemas/ScriptExecution",
            },
        },
    });
}

fn examples_of(schema: &mut Value, example: Value) {
    schema["example"] = example;
    for (_, property) in fields(schema) {
        remove(property, "example");
    }
    examples(schema);
}

fn remove(value: &mut Value, key: &str) {
    if let Some(map) = value.as_object_mut() {
        map.remove(key);
    }
}

fn operation(operation: &mut Value) {
    let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
    if let Some(parameters) = operation.get_mut("parameters").and_then(Value::as_array_mut) {
        parameters.iter_mut().for_each(|it| parameter(&id, it));
    }
    let envelope = json!({"application/json": {"schema": {"$ref": "#/components/schemas/ErrorEnvelope"}}});
    remove(&mut operation["responses"], "default");
    let responses = &mut operation["responses"];
    if responses.get("200").is_some() {
        responses["200"]["description"] = json!("Done.");
    } else if responses.get("204").is_some() {
        responses["204"]["description"] = json!("Done.");
    }
    for (status, description) in failures::of(&id) {
        operation["responses"][status] = json!({"description": description, "content": envelope});
    }
    for (status, response) in entries(&mut operation["responses"]) {
        response["headers"] = json!({"x-request-id": {"$ref": "#/components/headers/RequestId"}});
        if ["429", "503"].contains(&status.as_str()) {
            response["headers"]["Retry-After"] = json!({"$ref": "#/components/headers/RetryAfter"});
        }
        for (name, component) in more_headers(&id, &status) {
            response["headers"][*name] = json!({"$ref": format!("#/components/headers/{component}")});
        }
    }
}

/// What an answer carries besides.
fn more_headers(id: &str, status: &str) -> &'static [(&'static str, &'static str)] {
    match (id, status) {
        ("submit_task" | "submit_batch", "200") => &[("Idempotent-Replayed", "Replayed")],
        ("get_blob" | "get_task_file", "200") => &[("Accept-Ranges", "AcceptRanges"), ("ETag", "ETag")],
        ("get_blob" | "get_task_file", "206") => {
            &[("Accept-Ranges", "AcceptRanges"), ("ETag", "ETag"), ("Content-Range", "ContentRange")]
        }
        ("get_task_stdout" | "get_task_stderr", "200") => {
            &[("Accept-Ranges", "AcceptRanges"), ("ETag", "ETag"), ("x-execgo-offset", "Offset")]
        }
        ("get_task_stdout" | "get_task_stderr", "206") => &[
            ("Accept-Ranges", "AcceptRanges"),
            ("ETag", "ETag"),
            ("x-execgo-offset", "Offset"),
            ("Content-Range", "ContentRange"),
        ],
        ("get_task_stdout" | "get_task_stderr" | "get_blob" | "get_task_file", "416") => {
            &[("Content-Range", "ContentRange")]
        }
        _ => &[],
    }
}

fn parameter(id: &str, parameter: &mut Value) {
    match parameter["name"].as_str() {
        Some("task_id") => {
            parameter["schema"]["pattern"] = json!(texts::TASK_ID);
            parameter["example"] = json!("build-42");
        }
        Some("sha256") => {
            parameter["schema"]["pattern"] = json!(texts::SHA256);
            parameter["example"] = json!(ABC);
        }
        Some("path") => parameter["example"] = json!("out/report.html"),
        Some("wait_ms") => {
            parameter["schema"]["default"] = json!(0);
            parameter["example"] = json!(1000);
        }
        Some("tail_lines") => parameter["example"] = json!(10),
        Some("follow") => parameter["example"] = json!(true),
        Some("Range") => parameter["example"] = json!("bytes=0-1023"),
        Some("If-Range") => parameter["example"] = json!("\"6-18c2f0a1b2c3d4e5\""),
        Some("Last-Event-ID") => {
            parameter["example"] = json!(if id == "stream_events" { "42" } else { "17.4096.0.12.9" })
        }
        Some("wait_for") => parameter["example"] = json!("change"),
        Some("status") => {
            parameter["explode"] = json!(false);
            parameter["example"] = json!(["running", "accepted"]);
        }
        Some("event_type") => {
            parameter["explode"] = json!(false);
            parameter["example"] = json!(["failed", "cancelled"]);
        }
        Some("tenant") => parameter["example"] = json!("acme"),
        Some("owner") => parameter["example"] = json!("ci"),
        Some("label.KEY") => parameter["example"] = json!("blue"),
        Some("kind") => parameter["example"] = json!("script"),
        Some("created_after" | "created_before") => parameter["example"] = json!("2025-10-09T08:53:20.000Z"),
        Some("q") => parameter["example"] = json!("make"),
        Some("sort") => parameter["example"] = json!("created_at"),
        Some("limit") => parameter["example"] = json!(100),
        Some("Idempotency-Key") => parameter["example"] = json!("6f1c0d3e-7b1a-4a43-9a0e-2f0f5a1b9c77"),
        Some("x-execgo-owner") => parameter["example"] = json!("ci"),
        _ => {}
    }
}
