//! Who may do what: every route, every role, every tenant.

use std::time::Duration;

use poem::http::Method;
use poem_openapi::OpenApi;
use poem_openapi::registry::MetaPath;
use serde_json::{Value, json};

use super::batch::batch;
use super::{Answer, Server, command};
use crate::config::{Role, TokenHash};
use crate::dispatcher::testing::Rules;
use crate::server::app::PLAIN_PATHS;
use crate::server::routes::Api;
use crate::task::TaskId;

const ROLES: [Role; 3] = [Role::Read, Role::Submit, Role::Admin];
const TENANTS: [Option<&str>; 3] = [None, Some("acme"), Some("zenith")];

const ENDLESS: &str = "/api/v1/events";

/// Method, path, and what that needs: a role, and whether it is for tokens without a tenant alone.
type Line = (&'static str, &'static str, Option<(Role, bool)>);

/// Written down once more, so that a mistake there is none here.
const NEEDS: &[Line] = &[
    ("GET", "/", None),
    ("GET", "/assets/{name}", None),
    ("GET", "/docs", None),
    ("GET", "/openapi.json", None),
    ("GET", "/healthz", None),
    ("GET", "/readyz", None),
    ("GET", "/metrics", Some((Role::Read, true))),
    ("POST", "/api/v1/tasks", Some((Role::Submit, false))),
    ("POST", "/api/v1/tasks/batch", Some((Role::Submit, false))),
    ("GET", "/api/v1/tasks", Some((Role::Read, false))),
    ("POST", "/api/v1/tasks/kill", Some((Role::Submit, false))),
    ("GET", "/api/v1/tasks/{task_id}", Some((Role::Read, false))),
    ("GET", "/api/v1/tasks/{task_id}/request", Some((Role::Submit, false))),
    // Before they are killed.
    ("DELETE", "/api/v1/tasks/{task_id}", Some((Role::Submit, false))),
    ("POST", "/api/v1/tasks/{task_id}/kill", Some((Role::Submit, false))),
    ("GET", "/api/v1/tasks/{task_id}/events", Some((Role::Read, false))),
    ("GET", "/api/v1/tasks/{task_id}/stdout", Some((Role::Read, false))),
    ("GET", "/api/v1/tasks/{task_id}/stderr", Some((Role::Read, false))),
    ("GET", "/api/v1/tasks/{task_id}/stream", Some((Role::Read, false))),
    ("GET", "/api/v1/tasks/{task_id}/files", Some((Role::Read, false))),
    ("GET", "/api/v1/tasks/{task_id}/files/{path}", Some((Role::Read, false))),
    ("GET", "/api/v1/tasks/{task_id}/files.tar.zst", Some((Role::Read, false))),
    ("PUT", "/api/v1/blobs/{sha256}", Some((Role::Submit, false))),
    ("GET", "/api/v1/blobs/{sha256}", Some((Role::Read, false))),
    ("GET", "/api/v1/runtime/info", Some((Role::Read, false))),
    ("GET", "/api/v1/runtime/capabilities", Some((Role::Read, false))),
    ("GET", "/api/v1/runtime/config", Some((Role::Read, true))),
    ("GET", "/api/v1/runtime/resources", Some((Role::Read, false))),
    // Behind what cares that the server is to end, see `end`.
    ("GET", ENDLESS, Some((Role::Read, false))),
    // The last: nothing is accepted any more behind it.
    ("POST", "/api/v1/runtime/drain", Some((Role::Admin, true))),
];

/// An answer that has no end has one when the server is to end.
fn end(server: &Server, path: &str) {
    if path == ENDLESS {
        server.shutdown.cancel();
    }
}

pub(super) fn secret(role: Role, tenant: Option<&str>) -> String {
    format!("secret-{}-{}", role.as_str(), tenant.unwrap_or("all"))
}

fn entry(name: &str, token: &str, more: &str) -> String {
    format!("  - {{name: {name}, sha256: {}{more}}}\n", TokenHash::of(token.as_bytes()).hex())
}

/// A token for each role and tenant, and a task for each tenant and for none.
pub(super) async fn guarded() -> Server {
    let mut file = "tokens:\n".to_owned();
    for role in ROLES {
        for tenant in TENANTS {
            let of_tenant = tenant.map(|tenant| format!(", tenant: {tenant}")).unwrap_or_default();
            let token = secret(role, tenant);
            file += &entry(&token, &token, &format!(", role: {}{of_tenant}", role.as_str()));
        }
    }
    let server = Server::guarded(Rules { max_queued_tasks: 1000, ..Rules::default() }, &file);
    for tenant in TENANTS {
        let context = tenant.map_or(json!({}), |tenant| json!({"tenant": tenant}));
        let body = command(json!({"task_id": task_of(tenant), "control_context": context}));
        let answer = ask(&server, &secret(Role::Admin, None), "POST", "/api/v1/tasks", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    server
}

fn task_of(tenant: Option<&str>) -> String {
    format!("task-of-{}", tenant.unwrap_or("nobody"))
}

async fn ask(server: &Server, token: &str, method: &str, path: &str, body: &str) -> Answer {
    let authorization = format!("Bearer {token}");
    let json = if body.is_empty() { &[][..] } else { &[("content-type", "application/json")] };
    let headers = [&[("authorization", authorization.as_str())], json].concat();
    server.send(method.parse().expect("a method"), path, &headers, body.to_owned()).await
}

#[test]
fn every_route_has_its_need_written_down() {
    let of_path = |path: MetaPath| {
        path.operations.into_iter().map(move |operation| (operation.method.to_string(), path.path.clone()))
    };
    let described = Api::meta().into_iter().flat_map(|api| api.paths).flat_map(of_path);
    let plain = PLAIN_PATHS.iter().map(|path| ("GET".to_owned(), (*path).to_owned()));
    let routes: Vec<_> = described.chain(plain).collect();
    for (method, path) in &routes {
        let is_known = NEEDS.iter().any(|(known, template, _)| known == method && template == path);
        assert!(is_known, "{method} {path} needs a line in NEEDS");
    }
    assert_eq!(routes.len(), NEEDS.len());
}

#[tokio::test]
async fn the_matrix_holds() {
    let server = guarded().await;
    for need in NEEDS {
        end(&server, need.1);
        for role in ROLES {
            for tenant in TENANTS {
                for owner in TENANTS {
                    check(&server, need, (role, tenant), owner).await;
                }
            }
        }
    }
}

/// What a token is answered about the task of `owner`.
async fn check(server: &Server, need: &Line, (role, tenant): (Role, Option<&str>), owner: Option<&str>) {
    let (method, template, need) = need;
    // Of nothing, which is what is uploaded here; the first upload of each tenant is a new one.
    let nothing = crate::task::blob::Digest::of(b"").to_string();
    let path = template.replace("{task_id}", &task_of(owner)).replace("{sha256}", &nothing).replace("{path}", "a");
    let path = path.replace("{name}", "app.js");
    let body = match *template {
        "/api/v1/tasks/batch" => batch(&[json!({})]),
        "/api/v1/tasks" if *method == "POST" => command(json!({})),
        // None of them: the lines below go on with the tasks.
        "/api/v1/tasks/kill" => r#"{"q": "no such task"}"#.to_owned(),
        "/api/v1/runtime/drain" => "{}".to_owned(),
        _ => String::new(),
    };
    let answer = ask(server, &secret(role, tenant), method, &path, &body).await;
    let is_hidden = template.contains("{task_id}") && tenant.is_some() && tenant != owner;
    let expected = match need {
        Some((needed, _)) if role < *needed => 403,
        Some((_, true)) if tenant.is_some() => 403,
        _ if is_hidden => 404,
        // It has ended by then, and left nothing.
        _ if template.ends_with("/files/{path}") => 404,
        // It has not ended.
        _ if *method == "DELETE" => 409,
        _ => 200,
    };
    let asked = format!("{method} {path} by {role:?} of {tenant:?}");
    let status = if answer.status == 201 && *method == "PUT" { 200 } else { answer.status.as_u16() };
    assert_eq!(status, expected, "{asked}: {}", answer.text);
    // The document has a tenant among its examples.
    let others = TENANTS.into_iter().flatten().filter(|name| tenant.is_some_and(|own| own != *name));
    for other in others.filter(|_| !PLAIN_PATHS.contains(template)) {
        let told = answer.text.replace(&task_of(owner), "");
        assert!(!told.contains(other), "{asked} tells of {other}");
    }
}

#[tokio::test]
async fn without_a_known_token_nothing_is_told() {
    let server = guarded().await;
    let attempts =
        [None, Some("Bearer unknown"), Some("Bearer "), Some("Basic eDp5"), Some(""), Some("secret-admin-all")];
    for (method, template, need) in NEEDS {
        for attempt in attempts {
            let headers: Vec<_> = attempt.map(|value| ("authorization", value)).into_iter().collect();
            let path = template.replace("{task_id}", &task_of(None)).replace("{name}", "app.js");
            let answer = server.send(method.parse().expect("a method"), &path, &headers, ()).await;
            if need.is_none() {
                assert_ne!(answer.status, 401, "{method} {path}");
                continue;
            }
            let (status, code, _) = answer.fault();
            assert_eq!((status, code.as_str()), (401, "unauthenticated"), "{method} {path} with {attempt:?}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
        }
    }
}

#[tokio::test]
async fn another_tenants_task_is_told_like_one_that_does_not_exist() {
    let server = guarded().await;
    let token = secret(Role::Admin, Some("acme"));
    for (method, rest) in [
        ("GET", ""),
        ("GET", "?wait_ms=1"),
        ("GET", "/events"),
        ("GET", "/stdout"),
        ("GET", "/stream"),
        ("POST", "/kill"),
    ] {
        let (other, none) = (task_of(Some("zenith")), "task-of-somebody");
        let hidden = ask(&server, &token, method, &format!("/api/v1/tasks/{other}{rest}"), "").await;
        let missing = ask(&server, &token, method, &format!("/api/v1/tasks/{none}{rest}"), "").await;
        assert_eq!(hidden.status, 404);
        assert_eq!(hidden.text.replace(&other, none), missing.text);
    }
    let events = ask(&server, &secret(Role::Read, None), "GET", "/api/v1/tasks/task-of-zenith/events", "").await;
    assert!(!events.text.contains("kill_requested"), "a hidden task is not killed: {}", events.text);
}

#[tokio::test]
async fn what_comes_with_a_tenants_token_is_that_tenants() {
    let server = guarded().await;
    let token = secret(Role::Submit, Some("acme"));
    let submit = async |more| ask(&server, &token, "POST", "/api/v1/tasks", &command(more)).await;
    assert_eq!(submit(json!({"task_id": "own"})).await.status, 200);
    let kept = std::fs::read_to_string(server.dir.path().join("tasks/own/request.json")).expect("kept");
    assert_eq!(serde_json::from_str::<Value>(&kept).expect("JSON")["control_context"]["tenant"], "acme");
    assert_eq!(submit(json!({"control_context": {"tenant": "acme"}})).await.status, 200);
    let (status, code, message) = submit(json!({"control_context": {"tenant": "zenith"}})).await.fault();
    assert_eq!((status, code.as_str()), (403, "permission_denied"));
    assert!(message.starts_with("control_context.tenant must be \"acme\" or missing"), "{message}");

    let own = submit(json!({"task_id": "own"})).await.json();
    assert_eq!(own["error"]["details"], json!({"task_id": "own", "status": "accepted"}));
    let taken = submit(json!({"task_id": "task-of-zenith"})).await;
    assert_eq!(
        (taken.status.as_u16(), &taken.json()["error"]["details"]),
        (409, &json!({"task_id": "task-of-zenith"}))
    );
}

#[tokio::test]
async fn a_changed_file_holds_within_a_second_and_a_wrong_one_changes_nothing() {
    let server = Server::guarded(Rules::default(), &format!("tokens:\n{}", entry("a", "first", ", role: read")));
    let file = server.dir.path().join("tokens.yaml");
    let status = async |token: &str| ask(&server, token, "GET", "/api/v1/runtime/info", "").await.status.as_u16();
    let until = async |token: &str, expected: u16| {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while status(token).await != expected {
            assert!(tokio::time::Instant::now() < deadline, "{token} is not answered with {expected}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert_eq!((status("first").await, status("second").await), (200, 401));
    let second = entry("b", "second", ", role: read");
    std::fs::write(&file, format!("tokens:\n{second}")).expect("written");
    until("second", 200).await;
    assert_eq!(status("first").await, 401);
    // What is wrong is not taken; what comes after it is.
    std::fs::write(&file, format!("tokens:\n{second}{second}")).expect("written");
    std::fs::remove_file(&file).expect("removed");
    assert_eq!(status("second").await, 200);
    std::fs::write(&file, format!("tokens:\n{second}{}", entry("c", "third", ", role: read"))).expect("written");
    until("third", 200).await;
    assert_eq!(status("second").await, 200);
}

#[tokio::test]
async fn a_token_has_its_rate() {
    let entries =
        entry("slow", "slow", ", role: read, requests_per_second: 1") + &entry("free", "free", ", role: read");
    let server = Server::guarded(Rules::default(), &format!("tokens:\n{entries}"));
    let ask = async |token: &str| ask(&server, token, "GET", "/api/v1/runtime/info", "").await;
    // Two within a second, wherever the second begins.
    let mut answers = Vec::new();
    for _ in 0..20 {
        answers.push(ask("slow").await);
    }
    let refused = answers.iter().find(|answer| answer.status == 429).expect("the rate is kept");
    assert_eq!(refused.fault().1, "resource_limit_exceeded");
    assert_eq!(refused.json()["error"]["details"], json!({"requests_per_second": 1}));
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(answers[0].status, 200);
    assert_eq!(ask("free").await.status, 200, "another token has a rate of its own");
}

#[tokio::test]
async fn a_batch_counts_for_its_tasks_and_what_is_ahead_is_waited_for() {
    let server = Server::guarded(
        Rules::default(),
        &format!("tokens:\n{}", entry("a", "a", ", role: submit, requests_per_second: 2")),
    );
    let large = batch(&vec![json!({}); 200]);
    assert_eq!(ask(&server, "a", "POST", "/api/v1/tasks/batch", &large).await.status, 200);
    assert_eq!(ask(&server, "a", "GET", "/api/v1/runtime/info", "").await.status, 429, "for a hundred seconds");
}

#[tokio::test]
async fn a_batch_is_of_its_tokens_tenant_and_tells_nothing_of_others() {
    let server = guarded().await;
    let token = secret(Role::Submit, Some("acme"));
    let tasks = [
        json!({"task_id": "own"}),
        json!({"control_context": {"tenant": "zenith"}}),
        json!({"task_id": "task-of-zenith"}),
        json!({"task_id": "task-of-acme"}),
    ];
    let answer = ask(&server, &token, "POST", "/api/v1/tasks/batch", &batch(&tasks)).await.json();
    let results = answer["results"].as_array().expect("results");
    assert_eq!(results[0]["status"], "accepted");
    assert_eq!(results[1]["error"]["code"], "permission_denied");
    assert_eq!(results[2]["error"]["details"], json!({"index": 2, "task_id": "task-of-zenith"}));
    assert_eq!(results[3]["error"]["details"], json!({"index": 3, "task_id": "task-of-acme", "status": "accepted"}));
    let kept = std::fs::read_to_string(server.dir.path().join("tasks/own/request.json")).expect("kept");
    assert_eq!(serde_json::from_str::<Value>(&kept).expect("JSON")["control_context"]["tenant"], "acme");
}

#[tokio::test]
async fn a_tenant_sees_its_own_resources_and_nothing_of_others() {
    let server = guarded().await;
    let resources =
        async |tenant| ask(&server, &secret(Role::Read, tenant), "GET", "/api/v1/runtime/resources", "").await;
    let body = command(json!({"task_id": "large", "limits": {"memory_bytes": 1000, "pids_max": 3}}));
    assert_eq!(ask(&server, &secret(Role::Submit, Some("acme")), "POST", "/api/v1/tasks", &body).await.status, 200);
    for id in ["task-of-zenith", "task-of-nobody", "large"] {
        server.fake.start(&TaskId::parse(id).expect("valid"));
    }
    let mut of_acme = resources(Some("acme")).await.json();
    of_acme["active_reservations"][0]["reserved_at"] = json!("[time]");
    let expected = json!({
        "runtime_id": "test-runtime",
        // Its quota has one slot and eight processes; this server has the memory.
        "capacity": {"task_slots": 1, "memory_bytes": 1 << 30, "pids": 8},
        "reserved": {"task_slots": 1, "memory_bytes": 1000, "pids": 3},
        "available": {"task_slots": 0, "memory_bytes": (1 << 30) - 1000, "pids": 5},
        "active_reservations": [{
            "task_id": "large",
            "status": "running",
            "reservation": {"task_slots": 1, "memory_bytes": 1000, "pids": 3},
            "reserved_at": "[time]",
        }],
        "accepted_waiting_tasks": 1,
        "tenants": [{
            "tenant": "acme",
            "quota": {"task_slots": 1, "pids": 8},
            "reserved": {"task_slots": 1, "memory_bytes": 1000, "pids": 3},
            "available": {"task_slots": 0, "pids": 5},
        }],
    });
    assert_eq!(of_acme, expected);
    // Without a quota it may hold all that there is, and what others hold does not show.
    let of_zenith = resources(Some("zenith")).await.json();
    assert_eq!(of_zenith["available"]["task_slots"], 3, "{of_zenith}");
    assert_eq!((&of_zenith["accepted_waiting_tasks"], &of_zenith["tenants"]), (&json!(0), &json!([])));
    let of_all = resources(None).await.json();
    assert_eq!(of_all["available"]["task_slots"], 1, "{of_all}");
}

#[tokio::test]
async fn no_answer_shows_a_token_or_its_hash() {
    let server = guarded().await;
    let token = secret(Role::Admin, None);
    for (method, path, _) in NEEDS {
        end(&server, path);
        let answer = ask(&server, &token, method, &path.replace("{task_id}", &task_of(None)), "").await;
        let hash = TokenHash::of(token.as_bytes()).hex();
        assert!(!answer.text.contains(&token) && !answer.text.contains(&hash), "{path}: {}", answer.text);
    }
    let wrong = server.send(Method::GET, "/api/v1/runtime/info", &[("authorization", "Bearer hush")], ()).await;
    assert!(!wrong.text.contains("hush"), "{}", wrong.text);
}
