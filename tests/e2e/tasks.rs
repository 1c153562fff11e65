//! Submitting, looking, events, files: the life of an ordinary task.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::support::{Server, eventually, has_python, sh};

#[test]
fn a_successful_task_shows_its_result_and_seven_events() {
    let server = Server::start();
    let request = json!({
        "task_id": "hello-1",
        "execution": {"kind": "command", "program": "/bin/sh", "args": ["-c", "echo hi; echo there >&2"]},
        "metadata": {"b": "2", "a": "1"},
    });
    let accepted = server.post("/api/v1/tasks", &request);
    assert_eq!(accepted.body, json!({"task_id": "hello-1", "handle_id": "hello-1", "status": "accepted"}));
    let status = server.wait("hello-1");
    assert_eq!(status["status"], "success");
    assert_eq!((&status["stdout"], &status["stderr"]), (&json!("hi\n"), &json!("there\n")));
    assert_eq!((&status["exit_code"], status.get("exit_signal"), status.get("error")), (&json!(0), None, None));
    assert_eq!(status["metadata"], json!({"a": "1", "b": "2"}));
    assert_eq!(status["reservation"], json!({"task_slots": 1}));
    assert!(status["usage"]["max_rss_bytes"].as_u64().is_some_and(|bytes| bytes > 0));
    let times: Vec<&str> = ["created_at", "started_at", "finished_at", "updated_at"]
        .iter()
        .map(|name| status[*name].as_str().expect("a time"))
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    let expected =
        ["submitted", "accepted", "planned", "resource_reserved", "started", "resource_released", "finished"];
    assert_eq!(server.event_types("hello-1"), expected);
    let seqs: Vec<u64> = server.events("hello-1").iter().map(|e| e["seq"].as_u64().expect("a number")).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");
}

#[test]
fn the_files_of_a_task_say_the_same_as_the_api_and_are_private() {
    let server = Server::start();
    let status = server.run_sh("pwd; echo made > file");
    let id = status["task_id"].as_str().expect("an id");
    let dir = server.task_dir(id);
    let read =
        |name: &str| -> Value { serde_json::from_slice(&fs::read(dir.join(name)).expect("there")).expect("JSON") };
    assert_eq!(read("result.json"), status);
    assert_eq!(read("request.json")["task_id"], json!(id));
    assert_eq!(read("request.json")["execution"]["args"][0], "-c");
    assert_eq!(fs::read_to_string(dir.join("workspace/file")).expect("there"), "made\n");
    assert_eq!(
        status["stdout"].as_str().map(str::trim_end),
        dir.join("workspace").canonicalize().expect("there").to_str()
    );
    for path in [server.data_dir(), dir.clone(), dir.join("workspace")] {
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o700, "{}", path.display());
    }
    for name in ["task_dir", "request_path", "result_path", "stdout_path", "stderr_path"] {
        let path = status["artifacts"][name].as_str().expect("a path");
        assert!(path.starts_with('/') && fs::exists(path).expect("readable"), "{name}: {path}");
    }
}

#[test]
fn a_script_is_kept_and_gets_its_arguments() {
    let server = Server::start();
    let status = server.run(&json!({
        "execution": {"kind": "script", "script": "echo \"$1-$2\"; pwd", "args": ["one", "two words"],
                      "interpreter": ["bash", "-e"]},
        "sandbox": {"workspace_subdir": "a/b"},
    }));
    let out = status["stdout"].as_str().expect("text");
    assert!(out.starts_with("one-two words\n") && out.trim_end().ends_with("workspace/a/b"), "{out}");
    let script = status["artifacts"]["script_path"].as_str().expect("a path");
    assert!(script.ends_with("/script.sh"));
    assert_eq!(fs::metadata(script).expect("there").permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_script_has_the_extension_of_its_language() {
    if !has_python("a_script_has_the_extension_of_its_language") {
        return;
    }
    let server = Server::start();
    let python = server.run(&json!({
        "execution": {"kind": "script", "script": "import sys; print(sys.argv[1:])", "args": ["x"],
                      "interpreter": ["python3"]},
    }));
    assert_eq!(python["stdout"], "['x']\n");
    assert!(python["artifacts"]["script_path"].as_str().expect("a path").ends_with("script.py"));
}

#[test]
fn the_environment_is_the_five_names_and_the_task_s_own() {
    let server = Server::start();
    let status =
        server.run(&json!({"execution": {"kind": "command", "program": "env", "env": {"X": "a=b", "LANG": "C"}}}));
    let out = status["stdout"].as_str().expect("text");
    let allowed = ["PATH", "HOME", "LANG", "TMPDIR", "USER", "X"];
    for line in out.lines() {
        let name = line.split('=').next().expect("a name");
        assert!(allowed.contains(&name), "{line}");
    }
    assert!(out.contains("X=a=b\n") && out.contains("LANG=C\n"), "{out}");
}

#[test]
fn output_is_live_and_cut_at_a_character() {
    let server = Server::start();
    let id = server.submit(&json!({
        "execution": {"kind": "command", "program": "/bin/sh",
                      "args": ["-c", "printf 'ab\\303\\251'; until [ -e go ]; do sleep 0.02; done; printf 'end\\377'"]},
        "limits": {"stdout_max_bytes": 3},
    }));
    let running = server.until_output(&id, "ab");
    assert_eq!((&running["status"], &running["stdout"]), (&json!("running"), &json!("ab")));
    assert_eq!(running["stdout_truncated"], true);
    assert!(running["duration_ms"].is_u64());
    fs::write(server.task_dir(&id).join("workspace/go"), "").expect("writable");
    let ended = server.wait(&id);
    assert_eq!((&ended["stdout"], &ended["stdout_truncated"]), (&json!("ab"), &json!(true)));
    let invalid = server.run_sh("printf 'a\\377b'");
    assert_eq!((&invalid["stdout"], &invalid["stdout_truncated"]), (&json!("a\u{fffd}b"), &json!(false)));
}

#[test]
fn a_long_poll_ends_with_the_task_or_with_its_time() {
    let server = Server::start();
    let id = server.submit_sh("until [ -e go ]; do sleep 0.02; done");
    server.until_running(&id);
    let early = server.get(&format!("/api/v1/tasks/{id}?wait_ms=50"));
    assert_eq!(early.body["status"], "running");
    let url = format!("{}/api/v1/tasks/{id}?wait_ms=20000", server.url);
    let poll = std::thread::spawn(move || {
        let began = std::time::Instant::now();
        let text = ureq::get(&url).call().expect("answered").body_mut().read_to_string().expect("text");
        (began.elapsed(), serde_json::from_str::<Value>(&text).expect("JSON"))
    });
    fs::write(server.task_dir(&id).join("workspace/go"), "").expect("writable");
    let (took, status) = poll.join().expect("no panic");
    assert_eq!(status["status"], "success");
    assert!(took.as_secs() < 15, "{took:?}");
    for bad in ["-1", "600001", "x", ""] {
        let refused = server.get(&format!("/api/v1/tasks/{id}?wait_ms={bad}"));
        assert_eq!((refused.status, refused.code()), (400, "invalid_input"), "{bad}");
        assert!(refused.message().contains("wait_ms"), "{}", refused.message());
    }
}

#[test]
fn an_id_is_taken_for_as_long_as_its_task_is_kept() {
    let server = Server::with_flags(&["--result-retention-secs", "0", "--gc-interval-ms", "50"]);
    let mut request = sh("until [ -e go ]; do sleep 0.02; done; exit 3");
    request["task_id"] = json!("again");
    server.submit(&request);
    let conflict = server.post("/api/v1/tasks", &request);
    assert_eq!((conflict.status, conflict.code()), (409, "conflict"));
    assert_eq!(conflict.body["error"]["details"]["task_id"], "again");
    assert!(conflict.body["error"]["details"]["status"].is_string());
    let dir = server.task_dir("again");
    eventually("the workspace is there", || fs::write(dir.join("workspace/go"), "").ok());
    eventually("the task is forgotten", || (server.get("/api/v1/tasks/again").status == 404).then_some(()));
    assert_eq!(server.get("/api/v1/tasks/again/events").status, 404);
    eventually("its directory is gone", || (!dir.exists()).then_some(()));
    let trash = server.data_dir().join("trash");
    eventually("the trash is empty", || fs::read_dir(&trash).ok()?.next().is_none().then_some(()));
    request["execution"]["args"] = json!(["-c", "echo second"]);
    server.submit(&request);
    eventually("the second is forgotten too", || (server.get("/api/v1/tasks/again").status == 404).then_some(()));
}

#[test]
fn every_refusal_names_its_field_and_stores_nothing() {
    let server = Server::start();
    let command = |extra: Value| {
        let mut request = json!({"execution": {"kind": "command", "program": "/bin/true"}});
        request.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        request
    };
    let cases = [
        (command(json!({"task_id": ".."})), "task_id"),
        (command(json!({"task_id": "."})), "task_id"),
        (command(json!({"task_id": "a/b"})), "task_id"),
        (command(json!({"task_id": ""})), "task_id"),
        (command(json!({"task_id": "x".repeat(129)})), "task_id"),
        (command(json!({"task_id": 7})), "task_id"),
        (command(json!({"limit": {}})), "limit"),
        (command(json!({"limits": {"memory_byte": 1}})), "limits.memory_byte"),
        (command(json!({"limits": {"wall_time_ms": 0}})), "limits.wall_time_ms"),
        (command(json!({"limits": {"cpu_time_sec": -1}})), "limits.cpu_time_sec"),
        (command(json!({"sandbox": {"profile": "docker"}})), "sandbox.profile"),
        (command(json!({"sandbox": {"workspace_subdir": "../x"}})), "sandbox.workspace_subdir"),
        (command(json!({"sandbox": {"chroot": true}})), "sandbox.chroot"),
        (command(json!({"control_context": {"owner": " "}})), "control_context.owner"),
        (json!({"execution": {"kind": "command"}}), "execution.program"),
        (json!({"execution": {"kind": "script"}}), "execution.script"),
        (json!({"execution": {"kind": "command", "program": "a\u{0}b"}}), "execution.program"),
        (json!({"execution": {"kind": "command", "program": "x", "args": ["a", 1]}}), "execution.args[1]"),
        (json!({"execution": {"kind": "command", "program": "x", "env": {"A=B": "1"}}}), "execution.env[\"A=B\"]"),
        (json!({"execution": {"kind": "command", "program": "x", "env": {"KEY": 1}}}), "execution.env.KEY"),
        (json!({"execution": {"kind": "command", "program": "x", "env": {"KEY": "a\u{0}b"}}}), "execution.env.KEY"),
        (command(json!({"metadata": {"a b": 1}})), "metadata[\"a b\"]"),
        (command(json!({"metadata": {"a b": "a\u{0}b"}})), "metadata[\"a b\"]"),
        (json!({}), "execution"),
    ];
    for (request, field) in cases {
        let refused = server.post("/api/v1/tasks", &request);
        assert_eq!((refused.status, refused.code()), (400, "invalid_input"), "{request}: {refused:?}");
        assert!(refused.message().contains(field), "{request}: {}", refused.message());
        assert!(refused.body["error"].as_object().expect("an object").contains_key("details"));
    }
    assert_eq!(fs::read_dir(server.data_dir().join("tasks")).expect("there").count(), 0);
}

#[test]
fn null_means_missing() {
    let server = Server::start();
    let status = server.run(&json!({
        "task_id": null, "limits": null, "sandbox": null, "policy": null, "control_context": null, "metadata": null,
        "execution": {"kind": "command", "program": "/bin/true", "args": null, "script": null, "env": null,
                      "interpreter": null},
    }));
    assert_eq!(status["status"], "success");
    assert!(status.get("metadata").is_none());
}
