//! The events of all tasks as they come.

use std::time::Duration;

use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use hyper::body::Bytes;
use poem::http::Method;
use serde_json::{Value, json};

use super::{Server, command};
use crate::config::TokenHash;
use crate::dispatcher::testing::Rules;

const PATIENCE: Duration = Duration::from_secs(20);
const BORN: [&str; 3] = ["submitted", "accepted", "planned"];

/// A feed, read event by event.
struct Feed {
    body: BoxBody<Bytes, std::io::Error>,
    /// The last id that was told.
    id: u64,
}

impl Feed {
    async fn open(server: &Server, query: &str, headers: &[(&str, &str)]) -> Self {
        let request = poem::Request::builder().uri_str(format!("/api/v1/events{query}"));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = server.edge.answer(request.finish()).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body().into(), id: 0 }
    }

    async fn after(server: &Server, query: &str, last: u64) -> Self {
        let mut feed = Self::open(server, query, &[("last-event-id", &last.to_string())]).await;
        assert_eq!(feed.next().await, None, "where it begins");
        feed
    }

    /// The next event, or `None` for a comment. Each comes in a piece of its own.
    async fn next(&mut self) -> Option<Value> {
        let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("told in time");
        let bytes = frame.expect("not the end").expect("whole").into_data().expect("data");
        let text = std::str::from_utf8(&bytes).expect("text");
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        self.id = field("id: ").expect("an id").parse().expect("a number");
        let event: Value = serde_json::from_str(field("data: ")?).expect("JSON");
        assert_eq!((field("event: "), event["seq"].as_u64()), (Some("event"), Some(self.id)));
        Some(event)
    }

    /// The next events, as `task type`.
    async fn expect(&mut self, story: &[&str]) {
        for expected in story {
            let event = self.next().await.expect("an event");
            let text = |name: &str| event[name].as_str().expect("text").to_owned();
            assert_eq!(format!("{} {}", text("task_id"), text("event_type")), *expected);
        }
    }
}

fn born(id: &str) -> Vec<String> {
    BORN.iter().map(|event_type| format!("{id} {event_type}")).collect()
}

fn refs(story: &[String]) -> Vec<&str> {
    story.iter().map(String::as_str).collect()
}

#[tokio::test]
async fn it_begins_with_what_comes_next_and_goes_on_where_it_was_left() {
    let server = Server::new();
    server.accept("a").await;
    let mut feed = Feed::open(&server, "", &[]).await;
    assert_eq!(feed.next().await, None);
    assert_eq!(feed.id, 3);
    let b = server.accept("b").await;
    feed.expect(&refs(&born("b"))).await;
    let left_at = feed.id;
    drop(feed);
    server.fake.start(&b);
    server.fake.finish(&b, 0);
    let mut again = Feed::after(&server, "", left_at).await;
    again.expect(&["b resource_reserved", "b started", "b resource_released", "b finished"]).await;
    let mut all = Feed::after(&server, "", 0).await;
    all.expect(&refs(&[born("a"), born("b")].concat())).await;
}

#[tokio::test]
async fn a_filter_takes_tenant_and_types_and_what_is_passed_over_is_not_looked_at_again() {
    let server = Server::with(Rules { max_queued_tasks: 1000, ..Rules::default() });
    for number in 0..200 {
        server.accept(&format!("t{number}")).await;
    }
    server.submit(command(json!({"task_id": "own", "control_context": {"tenant": "acme"}}))).await;
    Feed::after(&server, "?tenant=acme", 0).await.expect(&refs(&born("own"))).await;
    Feed::after(&server, "?tenant=acme&event_type=planned,failed", 0).await.expect(&["own planned"]).await;
    let mut feed = Feed::after(&server, "?event_type=cancelled", 0).await;
    server.send(Method::POST, "/api/v1/tasks/t7/kill", &[], ()).await;
    feed.expect(&["t7 cancelled"]).await;
    for (query, field) in [("tenant=%20", "tenant"), ("event_type=ended", "event_type"), ("since=1", "since")] {
        let (status, _, message) = server.get(&format!("/api/v1/events?{query}")).await.fault();
        assert!(status == 400 && message.starts_with(field), "{message}");
    }
}

#[tokio::test]
async fn an_id_that_was_never_told_is_refused() {
    let server = Server::new();
    server.accept("a").await;
    for id in ["4", "x", "-1", "", "99999999999999999999"] {
        let answer = server.send(Method::GET, "/api/v1/events", &[("last-event-id", id)], ()).await;
        let (status, code, message) = answer.fault();
        assert!((status, code.as_str()) == (400, "invalid_input") && message.starts_with("Last-Event-ID"), "{message}");
    }
}

#[tokio::test]
async fn a_tenants_token_is_told_of_its_own_tasks_alone() {
    let hash = TokenHash::of(b"secret").hex();
    let tokens = format!("tokens:\n  - {{name: t, sha256: {hash}, role: submit, tenant: acme}}\n");
    let server = Server::guarded(Rules::default(), &tokens);
    let other = crate::task::testing::new_task("other");
    server.fake.dispatcher.submit(other, Vec::new()).await.expect("accepted");
    let token = [("authorization", "Bearer secret"), ("last-event-id", "0")];
    let mut own = Feed::open(&server, "", &token).await;
    let mut foreign = Feed::open(&server, "?tenant=zenith", &token).await;
    let headers = [token[0], ("content-type", "application/json")];
    server.send(Method::POST, "/api/v1/tasks", &headers, command(json!({"task_id": "own"}))).await;
    assert_eq!((own.next().await, foreign.next().await), (None, None));
    own.expect(&refs(&born("own"))).await;
    server.shutdown.cancel();
    let rest = tokio::time::timeout(PATIENCE, foreign.body.collect()).await.expect("it ends").expect("whole");
    assert!(rest.to_bytes().is_empty());
}
