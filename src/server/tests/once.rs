//! Requests under an `Idempotency-Key`.

use poem::http::Method;
use serde_json::{Value, json};

use super::access::{guarded, secret};
use super::batch::batch;
use super::{Answer, Server, command};
use crate::config::Role;

const SUBMIT: &str = "/api/v1/tasks";
const BATCH: &str = "/api/v1/tasks/batch";

async fn post(server: &Server, path: &str, key: &str, body: String) -> Answer {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    server.send(Method::POST, path, &headers, body).await
}

fn is_replayed(answer: &Answer) -> bool {
    answer.headers.get("idempotent-replayed").is_some_and(|value| value == "true")
}

#[tokio::test]
async fn the_same_request_gets_the_same_answer_however_it_is_written() {
    let server = Server::new();
    let first = post(&server, SUBMIT, "k", command(json!({"metadata": {"a": "1", "b": "2"}}))).await;
    assert_eq!((first.status.as_u16(), is_replayed(&first)), (200, false), "{}", first.text);
    let other_spelling = r#" {"metadata": {"b":"2","a":"1"}, "limits": null,
        "execution": {"program": "/bin/true", "kind": "command"}}"#;
    let again = post(&server, SUBMIT, "k", other_spelling.to_owned()).await;
    assert!(is_replayed(&again), "{}", again.text);
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    assert_eq!(again.headers["content-type"], "application/json");
    // Also while nothing else is taken.
    server.post("/api/v1/runtime/drain", "{}").await;
    assert!(is_replayed(&post(&server, SUBMIT, "k", other_spelling.to_owned()).await));
}

#[tokio::test]
async fn another_request_under_the_key_is_a_conflict() {
    let server = Server::new();
    post(&server, SUBMIT, "k", command(json!({"task_id": "t"}))).await;
    for (path, body) in [
        (SUBMIT, command(json!({}))),
        (SUBMIT, command(json!({"task_id": "t", "limits": {"wall_time_ms": 300_000}}))),
        (BATCH, batch(&[json!({"task_id": "t"})])),
    ] {
        let (status, code, message) = post(&server, path, "k", body).await.fault();
        assert_eq!((status, code.as_str()), (409, "conflict"));
        assert!(message.contains("Idempotency-Key"), "{message}");
    }
    // Without the key it is what it was.
    let (status, _, message) = server.submit(command(json!({"task_id": "t"}))).await.fault();
    assert!(status == 409 && message.contains("already exists"), "{message}");
}

#[tokio::test]
async fn a_batch_is_answered_again_with_its_refusals_and_a_refused_request_may_be_tried_again() {
    let server = Server::new();
    let tasks = batch(&[json!({"task_id": "a"}), json!({"task_id": ".."}), json!({"task_id": "a"}), json!({})]);
    let first = post(&server, BATCH, "k", tasks.clone()).await;
    let again = post(&server, BATCH, "k", tasks).await;
    assert!(is_replayed(&again) && !is_replayed(&first));
    assert_eq!(again.text, first.text);
    assert_eq!(first.json()["results"][1]["error"]["code"], "invalid_input");

    let refused = post(&server, SUBMIT, "l", command(json!({"task_id": "a"}))).await;
    assert_eq!(refused.fault().0, 409);
    let other = post(&server, SUBMIT, "l", command(json!({"task_id": "b"}))).await;
    assert_eq!((other.status.as_u16(), is_replayed(&other)), (200, false), "{}", other.text);
}

#[tokio::test]
async fn a_key_is_one_to_255_visible_characters() {
    let server = Server::new();
    let (long, longer) = ("k".repeat(255), "k".repeat(256));
    for (key, is_good) in [("!", true), ("a\"b~", true), (&long, true), (&longer, false), ("", false), ("a b", false)] {
        let answer = post(&server, SUBMIT, key, command(json!({}))).await;
        if is_good {
            assert_eq!(answer.status, 200, "{key:?}: {}", answer.text);
            continue;
        }
        let (status, _, message) = answer.fault();
        assert!(status == 400 && message.starts_with("Idempotency-Key must be 1 to 255 visible"), "{message}");
    }
    let headers = [("content-type", "application/json"), ("idempotency-key", "a"), ("idempotency-key", "a")];
    let (_, _, message) = server.send(Method::POST, SUBMIT, &headers, command(json!({}))).await.fault();
    assert_eq!(message, "Idempotency-Key must not be given twice");
}

#[tokio::test]
async fn a_tenant_has_keys_of_its_own() {
    let server = guarded().await;
    let ask = async |tenant, name: &str| -> (u16, Value) {
        let authorization = format!("Bearer {}", secret(Role::Submit, tenant));
        let headers =
            [("authorization", authorization.as_str()), ("content-type", "application/json"), ("idempotency-key", "k")];
        let body = command(json!({"metadata": {"of": name}}));
        let answer = server.send(Method::POST, SUBMIT, &headers, body).await;
        (answer.status.as_u16(), answer.json())
    };
    let own = ask(Some("acme"), "acme").await;
    for (tenant, name) in [(Some("zenith"), "zenith"), (None, "nobody")] {
        let (status, answer) = ask(tenant, name).await;
        assert_eq!(status, 200, "{answer}");
    }
    assert_eq!(ask(Some("acme"), "acme").await, own);
    assert_eq!(ask(Some("acme"), "another").await.0, 409);
}
