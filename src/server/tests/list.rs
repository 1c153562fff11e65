//! Lists of tasks.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Server, command};
use crate::dispatcher::testing::Rules;
use crate::task::TaskId;

fn roomy() -> Server {
    Server::with(Rules { max_queued_tasks: 10_000, ..Rules::default() })
}

async fn page(server: &Server, query: &str) -> (Vec<String>, Option<String>) {
    let answer = server.get(&format!("/api/v1/tasks?{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let page = answer.json();
    let ids =
        page["tasks"].as_array().expect("rows").iter().map(|row| row["task_id"].as_str().expect("text").to_owned());
    (ids.collect(), page["next_cursor"].as_str().map(str::to_owned))
}

#[tokio::test]
async fn a_row_is_the_status_without_what_is_large() {
    let server = Server::new();
    let id = server.accept("t").await;
    server.fake.start(&id);
    server.fake.finish(&id, 3);
    std::fs::write(server.dir.path().join("tasks/t/stdout.log"), "out").expect("written");
    let mut status = server.get("/api/v1/tasks/t").await.json();
    for field in ["stdout", "stderr", "execution_plan", "artifacts"] {
        status.as_object_mut().expect("an object").remove(field);
    }
    assert_eq!(server.get("/api/v1/tasks").await.json(), json!({"tasks": [status]}));
}

#[tokio::test]
async fn a_filter_takes_every_parameter_and_refuses_by_name() {
    let server = Server::new();
    let context = json!({"tenant": "acme", "owner": "zoé", "labels": {"team.name": "a b", "x": ""}});
    server.submit(command(json!({"task_id": "a", "control_context": context}))).await;
    server.submit(command(json!({"task_id": "b", "metadata": {"k": "Needle"}}))).await;
    for (query, wanted) in [
        ("", &["b", "a"][..]),
        ("sort=created_at", &["a", "b"]),
        ("tenant=acme&owner=zo%C3%A9&label.team.name=a%20b&label.x=", &["a"]),
        ("label.x=1", &[]),
        ("status=accepted,running", &["b", "a"]),
        ("status=success", &[]),
        ("q=needle", &["b"]),
        ("kind=command&created_after=2020-01-01T00:00:00Z", &["b", "a"]),
        ("created_before=2020-01-01T00:00:00Z", &[]),
        ("kind=script", &[]),
    ] {
        assert_eq!(page(&server, query).await, (wanted.iter().map(ToString::to_string).collect(), None), "{query}");
    }
    for query in ["status=done", "status=a,", "tenant=", "kind=x", "created_after=now", "sort=id", "limit=0", "q=%20"] {
        let (status, code, message) = server.get(&format!("/api/v1/tasks?{query}")).await.fault();
        assert_eq!((status, code.as_str()), (400, "invalid_input"));
        assert!(message.starts_with(query.split('=').next().expect("a name")), "{message}");
    }
    for query in ["label.=x", "label=x", "labels.a=x", "label.a=1&label.a=1", "label.KEY"] {
        let known = query == "label.KEY";
        assert_eq!(
            server.get(&format!("/api/v1/tasks?{query}")).await.status,
            if known { 200 } else { 400 },
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_tenants_token_lists_its_own_tasks_alone() {
    let hash = crate::config::TokenHash::of(b"secret").hex();
    let server = Server::guarded(
        Rules::default(),
        &format!("tokens:\n  - {{name: t, sha256: {hash}, role: submit, tenant: acme}}\n"),
    );
    let other = crate::task::testing::new_task("other");
    server.fake.dispatcher.submit(other, Vec::new()).await.expect("accepted");
    let headers = [("authorization", "Bearer secret"), ("content-type", "application/json")];
    let submit =
        server.send(poem::http::Method::POST, "/api/v1/tasks", &headers, command(json!({"task_id": "own"}))).await;
    assert_eq!(submit.status, 200);
    for (query, wanted) in [("", 1), ("?q=o", 1), ("?tenant=acme", 1), ("?tenant=zenith", 0), ("?q=other", 0)] {
        let path = format!("/api/v1/tasks{query}");
        let answer = server.send(poem::http::Method::GET, &path, &headers, ()).await;
        assert_eq!(answer.json()["tasks"].as_array().expect("rows").len(), wanted, "{query}");
        assert!(!answer.text.contains("other"), "{}", answer.text);
    }
}

/// What happens between two pages.
#[derive(Clone, Debug)]
enum Step {
    Submit,
    Finish(usize),
    Page,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => Just(Step::Submit),
        1 => any::<usize>().prop_map(Step::Finish),
        2 => Just(Step::Page),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn a_walk_tells_each_task_that_stays_once_while_others_come_and_change(
        steps in steps(), before in 0_usize..20, limit in 1_usize..4, is_ascending: bool
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let server = roomy();
            let mut count = 0;
            let submit = async |count: &mut usize| {
                server.accept(&format!("t{count}")).await;
                *count += 1;
            };
            for _ in 0..before {
                submit(&mut count).await;
            }
            let sort = if is_ascending { "created_at" } else { "-created_at" };
            let (mut told, mut cursor, mut has_ended) = (Vec::new(), String::new(), false);
            // The walk goes on to its end behind the last step.
            let rest = std::iter::repeat_n(Step::Page, 200);
            for step in steps.into_iter().chain(rest) {
                match step {
                    _ if has_ended => break,
                    Step::Submit => submit(&mut count).await,
                    Step::Finish(n) => {
                        let id = TaskId::parse(&format!("t{}", n % count.max(1))).expect("valid");
                        let status = server.get(&format!("/api/v1/tasks/{id}")).await;
                        if status.status == 200 && status.json()["status"] == "accepted" {
                            server.fake.start(&id);
                            server.fake.finish(&id, 0);
                        }
                    }
                    Step::Page => {
                        let (ids, next) = page(&server, &format!("sort={sort}&limit={limit}{cursor}")).await;
                        told.extend(ids);
                        has_ended = next.is_none();
                        cursor = next.map(|next| format!("&cursor={next}")).unwrap_or_default();
                    }
                }
            }
            assert!(has_ended);
            let distinct: BTreeSet<&String> = told.iter().collect();
            assert_eq!(distinct.len(), told.len(), "{told:?}");
            for number in 0..before {
                assert!(distinct.contains(&format!("t{number}")), "t{number} is missing in {told:?}");
            }
        });
    }
}

#[tokio::test]
async fn a_cursor_goes_with_its_own_list_alone() {
    let server = Server::new();
    for id in ["a", "b", "c"] {
        server.accept(id).await;
    }
    let (_, cursor) = page(&server, "limit=1&status=accepted,running").await;
    let cursor = cursor.expect("more");
    // The same set, and another limit.
    assert_eq!(page(&server, &format!("limit=2&status=running,accepted&cursor={cursor}")).await.0, ["b", "a"]);
    for query in ["", "status=accepted&", "status=accepted,running&sort=created_at&", "status=accepted,running&q=a&"] {
        let answer: (u16, String, String) = server.get(&format!("/api/v1/tasks?{query}cursor={cursor}")).await.fault();
        assert!(answer.0 == 400 && answer.2.starts_with("cursor "), "{answer:?}");
    }
    let answer: Value = server.get("/api/v1/tasks?cursor=x").await.json();
    assert!(answer["error"]["message"].as_str().expect("text").starts_with("cursor "), "{answer}");
}
