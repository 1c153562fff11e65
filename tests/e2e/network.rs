//! What a task reaches by network, and who reaches the runtime's own API.

use std::fs;
use std::os::unix::process::CommandExt;

use serde_json::json;

use crate::sandbox::{boxed, boxed_with, is_root, need_sandbox, refused, stdout, whole};
use crate::support::{Server, sh};

#[test]
fn an_own_network_has_its_loopback_and_nothing_else() {
    let server = need_sandbox!();
    let script = "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '; cat /proc/net/fib_trie | grep -c 127.0.0.1";
    let mut networks = Vec::new();
    // One that was made for it, and then such as were made ahead.
    for _ in 0..3 {
        let script = format!("readlink /proc/self/ns/net; {script}");
        let status = server.run(&boxed_with(&script, &json!({"namespaces": {"net": true}})));
        assert_eq!(status["execution_plan"]["network"], "none");
        let lines: Vec<String> = stdout(&status).lines().map(str::to_owned).collect();
        // The kernel gives the address to a device that is up.
        assert!(lines.len() == 3 && lines[1] == "lo" && lines[2] != "0", "{status}");
        assert!(!networks.contains(&lines[0]), "a network was used again: {status}");
        networks.push(lines[0].clone());
    }
    let port = server.url.rsplit(':').next().expect("a port");
    let call = format!("bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}'");
    refused(&server, &[&call], &json!({"namespaces": {"net": true}}));
    refused(&server, &[&call], &json!({"network": "none"}));
    let shared = server.run(&boxed_with("readlink /proc/self/ns/net", &json!({"network": "host"})));
    let host = fs::read_link("/proc/self/ns/net").expect("there").display().to_string();
    assert_eq!((stdout(&shared).trim(), &shared["execution_plan"]["network"]), (host.as_str(), &json!("host")));
}

#[test]
fn a_plain_process_shares_the_network_and_says_so() {
    let server = Server::start();
    let mut request = sh("readlink /proc/self/ns/net");
    request["sandbox"] = json!({"network": "none"});
    let status = server.run(&request);
    let plan = &status["execution_plan"];
    assert_eq!((&plan["network"], &plan["degraded"]), (&json!("host"), &json!(true)), "{plan}");
    assert!(plan["fallback_reasons"][0].as_str().is_some_and(|r| r.contains("sandbox.network")), "{plan}");
    for demand in ["policy", "control_context"] {
        let mut strict = request.clone();
        strict[demand] = if demand == "policy" {
            json!({"capability_mode": "strict"})
        } else {
            json!({"requires_strict_sandbox": true})
        };
        let answer = server.post("/api/v1/tasks", &strict);
        assert_eq!((answer.status, answer.code()), (400, "unsupported_capability"), "{answer:?}");
    }
    request["sandbox"] = json!({"network": "none", "namespaces": {"net": false}});
    let answer = server.post("/api/v1/tasks", &request);
    assert_eq!((answer.status, answer.code()), (400, "invalid_input"));
    assert!(answer.message().starts_with("sandbox.network must not be `none`"), "{answer:?}");
}

/// A script for bash that submits the task `id` at this port, on descriptor 3.
fn smuggler(server: &Server, id: &str) -> String {
    let port = server.url.rsplit(':').next().expect("a port");
    let body = json!({"task_id": id, "execution": {"kind": "command", "program": "/bin/true"}}).to_string();
    let request = format!(
        "POST /api/v1/tasks HTTP/1.1\\r\\nhost: localhost\\r\\ncontent-type: application/json\\r\\n\
         content-length: {}\\r\\nconnection: close\\r\\n\\r\\n",
        body.len()
    );
    format!("exec 3<>/dev/tcp/127.0.0.1/{port}; {{ printf '{request}'; printf %s '{body}'; }} >&3")
}

fn the_api_is_closed_to_tasks_and_open_to_the_host(server: &Server) {
    let send = smuggler(server, "smuggled");
    let mut task = boxed("");
    task["execution"] = json!({"kind": "script", "interpreter": ["bash"], "script": format!("{send}; cat <&3")});
    let status = server.run(&task);
    assert!(stdout(&status).starts_with("HTTP/1.1 403 ") && stdout(&status).contains("permission_denied"), "{status}");
    // Who sends and leaves at once hides nobody: tried often, for it is a race.
    let often = format!("for i in 1 2 3 4 5 6 7 8 9 10; do ({send}; exec 3>&-); done");
    task["execution"]["script"] = json!(often);
    server.run(&task);
    assert_eq!(server.get("/api/v1/tasks/smuggled").status, 404);
    let own = server.post("/api/v1/tasks", &json!({"execution": {"kind": "command", "program": "/bin/true"}}));
    assert_eq!(own.status, 200, "{own:?}");
    let manifest = server.get("/api/v1/runtime/capabilities").body;
    assert_eq!(manifest["sandbox"]["api_closed_to_tasks"], true, "{manifest}");
}

#[test]
fn the_runtime_s_own_api_is_closed_to_a_task_and_open_to_the_host() {
    if is_root("the API is closed by users") {
        the_api_is_closed_to_tasks_and_open_to_the_host(&need_sandbox!());
    }
}

#[test]
fn a_rootless_runtime_s_api_is_closed_too_and_open_to_its_own_user() {
    let Some(server) = whole(Server::rootless()) else { return };
    the_api_is_closed_to_tasks_and_open_to_the_host(&server);
    let mut client = std::process::Command::new("bash");
    client.arg("-c").arg(format!("{}; cat <&3", smuggler(&server, "by-a-client")));
    if let Some(user) = server.user {
        client.uid(user).gid(user);
    }
    let answer = client.current_dir("/").output().expect("bash").stdout;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(server.wait("by-a-client")["status"], "success");
}

#[test]
fn an_operator_may_open_the_api_to_tasks() {
    let config = tempfile::NamedTempFile::new().expect("a file");
    fs::write(config.path(), "server:\n  allow_tasks: true\n").expect("written");
    let server = need_sandbox!(&["--config", &config.path().to_string_lossy()]);
    let mut task = boxed("");
    let script = format!("{}; cat <&3", smuggler(&server, "by-a-task"));
    task["execution"] = json!({"kind": "script", "interpreter": ["bash"], "script": script});
    let status = server.run(&task);
    assert!(stdout(&status).starts_with("HTTP/1.1 200 "), "{status}");
    assert_eq!(server.wait("by-a-task")["status"], "success");
    let warnings = status["execution_plan"]["capability_warnings"].to_string();
    assert!(warnings.contains("can use the runtime's own API"), "{warnings}");
    assert_eq!(server.get("/api/v1/runtime/capabilities").body["overrides"]["allow_tasks"], "true");
}
