//! Delete, and kill by a filter.

use poem::http::Method;
use serde_json::{Value, json};

use super::{Answer, Server, command};
use crate::config::TokenHash;
use crate::dispatcher::testing::Rules;

async fn delete(server: &Server, id: &str, owner: Option<&str>) -> Answer {
    let headers: Vec<_> = owner.map(|owner| ("x-execgo-owner", owner)).into_iter().collect();
    server.send(Method::DELETE, &format!("/api/v1/tasks/{id}"), &headers, ()).await
}

#[tokio::test]
async fn an_ended_task_is_deleted_and_its_id_is_free_again() {
    let server = Server::new();
    let id = server.accept("t").await;
    let (status, code, message) = delete(&server, "t", None).await.fault();
    assert_eq!((status, code.as_str()), (409, "conflict"));
    assert!(message.contains("accepted"), "{message}");
    server.fake.start(&id);
    assert_eq!(
        delete(&server, "t", None).await.json()["error"]["details"],
        json!({"task_id": "t", "status": "running"})
    );
    server.fake.finish(&id, 0);
    let deleted = delete(&server, "t", None).await;
    assert_eq!((deleted.status.as_u16(), deleted.text.as_str()), (204, ""));
    for path in ["/api/v1/tasks/t", "/api/v1/tasks/t/events"] {
        assert_eq!(server.get(path).await.status, 404);
    }
    assert_eq!(server.get("/api/v1/tasks").await.json(), json!({"tasks": []}));
    assert_eq!(delete(&server, "t", None).await.fault().0, 404);
    server.accept("t").await;
}

#[tokio::test]
async fn an_owned_task_is_deleted_by_its_owner_alone() {
    let server = Server::new();
    server.submit(command(json!({"task_id": "t", "control_context": {"owner": "zoé"}}))).await;
    let headers = [("x-execgo-owner", "zoé")];
    server.send(Method::POST, "/api/v1/tasks/t/kill", &headers, ()).await;
    for owner in [None, Some("other")] {
        assert_eq!(delete(&server, "t", owner).await.fault().1, "permission_denied");
    }
    assert_eq!(delete(&server, "t", Some("zoé")).await.status, 204);
}

#[tokio::test]
async fn a_task_may_be_called_as_a_verb_is() {
    let server = Server::new();
    let id = server.accept("kill").await;
    assert_eq!(server.get("/api/v1/tasks/kill").await.json()["task_id"], "kill");
    assert_eq!(server.get("/api/v1/tasks/kill?wait_ms=x").await.fault().0, 400);
    assert_eq!(server.get("/api/v1/tasks/kill/events").await.status, 200);
    let put = server.send(Method::PUT, "/api/v1/tasks/kill", &[], ()).await;
    assert_eq!(
        (put.status.as_u16(), &put.headers["allow"]),
        (405, &"DELETE, GET, HEAD, POST".parse().expect("a value"))
    );
    server.fake.start(&id);
    assert_eq!(server.post("/api/v1/tasks/kill/kill", "{}").await.json()["status"], "running");
    server.fake.finish(&id, 0);
    assert_eq!(delete(&server, "kill", None).await.status, 204);
}

async fn kill(server: &Server, body: &Value, headers: &[(&str, &str)]) -> Answer {
    let headers = [headers, &[("content-type", "application/json")]].concat();
    server.send(Method::POST, "/api/v1/tasks/kill", &headers, body.to_string()).await
}

#[tokio::test]
async fn a_filter_kills_what_lives_and_is_not_somebody_elses() {
    let server = Server::with(Rules { max_queued_tasks: 100, ..Rules::default() });
    let ended = server.accept("ended").await;
    server.fake.start(&ended);
    server.fake.finish(&ended, 0);
    server.fake.start(&server.accept("runs").await);
    server.accept("waits").await;
    for (id, owner) in [("mine", "me"), ("theirs", "them")] {
        let labels = json!({"owner": owner, "labels": {"team": "blue"}});
        server.submit(command(json!({"task_id": id, "control_context": labels}))).await;
    }
    let me = [("x-execgo-owner", "me")];
    assert_eq!(kill(&server, &json!({"labels": {"team": "blue"}}), &me).await.json(), json!({"killed": ["mine"]}));
    assert_eq!(kill(&server, &json!({"q": "ended"}), &[]).await.json(), json!({"killed": []}));
    assert_eq!(kill(&server, &json!({"status": "running"}), &[]).await.json(), json!({"killed": ["runs"]}));
    assert_eq!(kill(&server, &json!({"all": true}), &[]).await.json(), json!({"killed": ["waits", "runs"]}));
    assert_eq!(server.get("/api/v1/tasks/waits").await.json()["status"], "cancelled");
    assert_eq!(server.get("/api/v1/tasks/theirs").await.json()["status"], "accepted");
}

#[tokio::test]
async fn a_filter_that_says_nothing_or_is_wrong_kills_nothing() {
    let server = Server::new();
    server.accept("t").await;
    for (body, field) in [
        (json!({}), "all"),
        (json!({"all": false, "labels": {}, "q": null}), "all"),
        (json!({"all": true, "kind": "command"}), "all"),
        (json!({"tenant": " "}), "tenant"),
        (json!({"status": "success"}), "status"),
        (json!({"status": ["running"]}), "status"),
        (json!({"created_after": "now"}), "created_after"),
        (json!({"labels": {"a": 1}}), "labels"),
        (json!({"filter": {"q": "t"}}), "filter"),
    ] {
        let answer = kill(&server, &body, &[]).await;
        let details = answer.json()["error"]["details"]["field"].as_str().unwrap_or_default().to_owned();
        assert!(answer.status == 400 && details.starts_with(field), "{body}: {}", answer.text);
    }
    assert_eq!(server.get("/api/v1/tasks/t").await.json()["status"], "accepted");
}

#[tokio::test]
async fn a_tenants_token_kills_and_deletes_its_own_tasks_alone() {
    let hash = TokenHash::of(b"secret").hex();
    let tokens = format!("tokens:\n  - {{name: t, sha256: {hash}, role: submit, tenant: acme}}\n");
    let server = Server::guarded(Rules::default(), &tokens);
    let other = crate::task::testing::new_task("other");
    let other = server.fake.dispatcher.submit(other, Vec::new()).await.expect("accepted");
    let token = [("authorization", "Bearer secret")];
    for body in [json!({"all": true}), json!({"q": "other"})] {
        assert_eq!(kill(&server, &body, &token).await.json(), json!({"killed": []}));
    }
    server.fake.start(other.id());
    server.fake.finish(other.id(), 0);
    let answer = server.send(Method::DELETE, "/api/v1/tasks/other", &token, ()).await;
    assert_eq!(answer.fault().0, 404);
    assert!(server.context.readers.task(other.id()).expect("reads").is_some());
}
