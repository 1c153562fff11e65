//! What a task is given: its standard input and files, in the request or as blobs, in a plain task, a sandbox, as another
//! user, and across the death of the server; and what it leaves.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::sandbox::{boxed, need_sandbox};
use crate::support::{Server, eventually, sh};

const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn with_stdin(script: &str, stdin: Value) -> Value {
    let mut request = sh(script);
    request["execution"]["stdin"] = stdin;
    request
}

fn put(server: &Server, sha256: &str, body: &[u8]) -> u16 {
    let url = format!("{}/api/v1/blobs/{sha256}", server.url);
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    agent.put(url).send(body).expect("an answer").status().as_u16()
}

fn blobs(server: &Server) -> usize {
    fs::read_dir(server.data_dir().join("blobs")).expect("readable").count()
}

#[test]
fn a_task_reads_its_standard_input_and_then_the_end() {
    let server = Server::start();
    let large = "x".repeat(300_000);
    for (stdin, length) in [
        (json!({"text": "one\ntwo\n"}), "8"),
        (json!({"base64": "AP8K"}), "3"),
        (json!({"text": ""}), "0"),
        (json!({"text": large}), "300000"),
    ] {
        let status = server.run(&with_stdin("wc -c; wc -c < /dev/stdin", stdin));
        let lines: Vec<_> = status["stdout"].as_str().expect("text").split_whitespace().map(str::to_owned).collect();
        assert_eq!(lines, [length, length], "{status}");
    }
    let none = server.run(&sh("wc -c; readlink /proc/self/fd/0"));
    assert_eq!(none["stdout"], "0\n/dev/null\n");
    let unread = server.run(&with_stdin("exec <&-; echo done", json!({"text": large})));
    assert_eq!((&unread["status"], &unread["stdout"]), (&json!("success"), &json!("done\n")));
}

#[test]
fn standard_input_reaches_into_a_sandbox_warm_or_not() {
    let server = need_sandbox!();
    for _ in 0..3 {
        let mut request =
            boxed("cat; cat /dev/stdin; cat in/file; stat -c %a in/file; echo x >> in/file; id -u; stat -c %u in");
        request["execution"]["stdin"] = json!({"text": "abc\n"});
        request["inputs"] = json!([{"path": "in/file", "text": "given\n", "mode": "0600"}]);
        let status = server.run(&request);
        let lines: Vec<_> = status["stdout"].as_str().expect("text").lines().map(str::to_owned).collect();
        assert_eq!(lines[..4], ["abc", "abc", "given", "600"], "{status}");
        assert_eq!(lines[4], lines[5], "the files are the task's own: {status}");
    }
}

#[test]
fn files_are_there_before_the_start_with_their_modes_and_count() {
    let server = Server::start();
    let mut request = sh("cat a/b/text; ./run; stat -c %a run a/b/text; wc -c < data");
    request["inputs"] = json!([
        {"path": "a/b/text", "text": "hello\n"},
        {"path": "run", "text": "#!/bin/sh\necho ran\n", "mode": "0755"},
        {"path": "data", "base64": "AAEC"},
    ]);
    let status = server.run(&request);
    assert_eq!(status["stdout"], "hello\nran\n755\n644\n3\n", "{status}");
    let mut large = sh("sleep 60");
    large["inputs"] = json!([{"path": "data", "text": "x".repeat(200_000)}]);
    large["limits"] = json!({"workspace_bytes": 100_000});
    let status = server.run(&large);
    assert_eq!(status["error"]["code"], "resource_limit_exceeded", "{status}");
    let mut impossible = sh("true");
    impossible["sandbox"] = json!({"workspace_subdir": "src"});
    impossible["inputs"] = json!([{"path": "src", "text": ""}]);
    let status = server.run(&impossible);
    assert_eq!(status["error"]["code"], "launch_failed");
    assert!(status["error"]["message"].as_str().is_some_and(|message| message.contains("src")), "{status}");
}

#[test]
fn files_belong_to_the_user_that_the_task_runs_as() {
    if !crate::sandbox::is_root("files of a user") {
        return;
    }
    let server = Server::reachable(&["--run-as", "54321:54322"]);
    let mut request =
        with_stdin("cat; cat /dev/stdin; echo more >> in/file; cat in/file; rm -r in", json!({"text": "a"}));
    request["inputs"] = json!([{"path": "in/file", "text": "given\n"}]);
    let status = server.run(&request);
    assert_eq!((&status["stdout"], &status["status"]), (&json!("aagiven\nmore\n"), &json!("success")), "{status}");
}

#[test]
fn a_blob_serves_many_tasks_and_survives_the_server() {
    let mut server = Server::with_flags(&["--max-running-tasks", "1"]);
    assert_eq!(put(&server, ABC, b"abc"), 201);
    assert_eq!(put(&server, ABC, b"abc"), 200);
    assert_eq!(put(&server, ABC, b"xyz"), 400);
    let running = server.submit_sh("sleep 600");
    server.until_running(&running);
    let mut request = with_stdin("cat; cat file", json!({"text": "given "}));
    request["inputs"] = json!([{"path": "file", "blob": ABC}]);
    let waiting = server.submit(&request);
    let kept = blobs(&server);
    server.crash();
    server.restart();
    assert_eq!(blobs(&server), kept);
    server.kill(&running, None);
    assert_eq!(server.wait(&waiting)["stdout"], "given abc");
    request["inputs"][0]["blob"] = json!("0".repeat(64));
    let refused = server.post("/api/v1/tasks", &request);
    assert_eq!((refused.status, refused.code()), (400, "invalid_input"));
    assert!(refused.message().starts_with("inputs[0].blob "), "{}", refused.message());
}

#[test]
fn blobs_of_waiting_tasks_stay_and_others_make_room() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("config.yaml");
    fs::write(&file, "files: {blob_max_bytes: 100, blobs_max_bytes: 150}\n").expect("written");
    let flags = ["--max-running-tasks", "1", "--config", file.to_str().expect("text")];
    let mut server = Server::with_flags(&flags);
    let running = server.submit_sh("sleep 600");
    server.until_running(&running);
    let waiting = server.submit(&with_stdin("wc -c", json!({"text": "a".repeat(100)})));
    server.crash();
    server.restart();
    let full = server.post("/api/v1/tasks", &with_stdin("wc -c", json!({"text": "b".repeat(100)})));
    assert_eq!((full.status, full.code()), (429, "resource_limit_exceeded"), "{}", full.message());
    let large = server.post("/api/v1/tasks", &with_stdin("wc -c", json!({"text": "b".repeat(101)})));
    assert_eq!((large.status, large.code()), (413, "payload_too_large"), "{}", large.message());
    server.kill(&running, None);
    assert_eq!(server.wait(&waiting)["stdout"], "100\n");
    let next = server.run(&with_stdin("wc -c", json!({"text": "b".repeat(100)})));
    assert_eq!(next["stdout"], "100\n");
    assert_eq!(blobs(&server), 1, "the first made room");
}

#[test]
fn the_command_line_brings_files_along_small_and_large() {
    let server = Server::start();
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::write(dir.path().join("large"), vec![b'x'; 1 << 20]).expect("written");
    fs::write(dir.path().join("run.sh"), "#!/bin/sh\nwc -c < data/large\nwc -c\n").expect("written");
    let chmod = fs::set_permissions(dir.path().join("run.sh"), std::os::unix::fs::PermissionsExt::from_mode(0o755));
    chmod.expect("chmod");
    let mut child = Command::new(env!("CARGO_BIN_EXE_execgo-runtime"))
        .args(["run", "--server", &server.url, "--stdin", "-", "--input", "run.sh", "--input", "data/large=large"])
        .args(["--output", "text", "--", "./run.sh"])
        .current_dir(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(&vec![0xff; 70_000]).expect("written");
    drop(stdin);
    let output = child.wait_with_output().expect("waited");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1048576\n70000\n", "{output:?}");
    assert_eq!(blobs(&server), 3, "two were uploaded, one came with the request");
}

#[test]
fn nothing_of_an_upload_that_breaks_off_is_left() {
    let server = Server::start();
    let address = server.url.strip_prefix("http://").expect("an address");
    let mut socket = std::net::TcpStream::connect(address).expect("connects");
    let head = format!("PUT /api/v1/blobs/{ABC} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n");
    socket.write_all(head.as_bytes()).expect("written");
    socket.write_all(&[0; 400_000]).expect("written");
    eventually("the upload is on the disk", || (blobs(&server) == 1).then_some(()));
    let entry =
        fs::read_dir(server.data_dir().join("blobs")).expect("readable").next().expect("one").expect("readable");
    assert_eq!(entry.metadata().expect("there").mode() & 0o777, 0o444);
    drop(socket);
    eventually("it is gone", || (blobs(&server) == 0).then_some(()));
}

fn collecting(script: &str, globs: &[&str]) -> Value {
    let mut request = sh(script);
    request["collect"] = json!(globs);
    request
}

fn paths(server: &Server, id: &str) -> Vec<String> {
    let list = server.get(&format!("/api/v1/tasks/{id}/files"));
    assert_eq!(list.status, 200, "{}", list.body);
    let files = list.body["files"].as_array().expect("a list").iter();
    files.map(|file| file["path"].as_str().expect("a path").to_owned()).collect()
}

fn fetch(server: &Server, path: &str, range: Option<&str>) -> (u16, Vec<u8>) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request = agent.get(format!("{}{path}", server.url));
    let request = range.into_iter().fold(request, |request, range| request.header("range", range));
    let mut answer = request.call().expect("an answer");
    (answer.status().as_u16(), answer.body_mut().read_to_vec().expect("a body"))
}

const LEAVES: &str = "mkdir -p out/a; printf one > out/a/b; printf twelve > out/c; echo > other; ln -s /etc/passwd out/link; \
                      mkfifo out/pipe; ln -s /etc out/dir; chmod 755 out/c";

#[test]
fn what_a_task_leaves_is_listed_and_read_and_no_link_is_followed() {
    let server = Server::start();
    let id = server.submit(&collecting(LEAVES, &["out/**"]));
    let status = server.wait(&id);
    assert_eq!(paths(&server, &id), ["out/a/b", "out/c"]);
    assert_eq!((&status["collected"]["files"], &status["collected"]["bytes"]), (&json!(2), &json!(9)));
    assert_eq!(status["collected"]["left_out_files"], 3, "{status}");
    assert!(
        status["collected"]["left_out"].as_array().is_some_and(|all| all.iter().all(|one| one["reason"] == "no_file"))
    );
    let file = |path: &str| format!("/api/v1/tasks/{id}/files/{path}");
    assert_eq!(fetch(&server, &file("out/a/b"), None), (200, b"one".to_vec()));
    assert_eq!(fetch(&server, &file("out%2Fc"), Some("bytes=1-2")), (206, b"we".to_vec()));
    for gone in ["out/link", "out/pipe", "out/dir/passwd", "other", "..%2Fstdout.log", "out/../other", "out"] {
        assert_eq!(fetch(&server, &file(gone), None).0, 404, "{gone}");
    }
    // What takes the place of a file that was listed leads nowhere either.
    let listed = server.task_dir(&id).join("workspace/out/c");
    fs::remove_file(&listed).expect("removed");
    std::os::unix::fs::symlink("/etc/passwd", &listed).expect("linked");
    assert_eq!(fetch(&server, &file("out/c"), None).0, 404);
}

#[test]
fn files_are_collected_whatever_the_end_and_not_before_it() {
    let mut server = Server::start();
    let id = server.submit(&collecting("echo x > f; echo ready; sleep 600", &["*"]));
    server.until_output(&id, "ready");
    let early = server.get(&format!("/api/v1/tasks/{id}/files"));
    assert_eq!((early.status, early.code()), (409, "conflict"));
    // Also across a server that was not there at the end.
    server.crash();
    server.restart();
    server.kill(&id, None);
    assert_eq!(server.wait(&id)["status"], "cancelled");
    assert_eq!(paths(&server, &id), ["f"]);
    let failed = server.run(&collecting("echo x > f; exit 3", &["*"]));
    assert_eq!((&failed["status"], &failed["collected"]["files"]), (&json!("failed"), &json!(1)));
    let none = server.run_sh("echo x > f");
    assert_eq!(none.get("collected"), None);
    assert_eq!(paths(&server, none["task_id"].as_str().expect("an id")), [""; 0]);
}

#[test]
fn an_archive_holds_all_that_was_collected() {
    let server = Server::start();
    let long = "d/".repeat(60);
    let script =
        format!("{LEAVES}; head -c 1000000 /dev/urandom > out/big; mkdir -p out/{long}; echo deep > out/{long}file");
    let id = server.submit(&collecting(&script, &["out/**"]));
    server.wait(&id);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("files.tar.zst");
    let output = Command::new(env!("CARGO_BIN_EXE_execgo-runtime"))
        .args(["files", &id, "--tar", "-o", path.to_str().expect("text"), "--server", &server.url])
        .output()
        .expect("the program runs");
    assert!(output.status.success(), "{output:?}");
    let mut archive = tar::Archive::new(zstd::Decoder::new(fs::File::open(&path).expect("there")).expect("zstd"));
    archive.unpack(dir.path().join("unpacked")).expect("a whole archive");
    let workspace = server.task_dir(&id).join("workspace");
    for file in paths(&server, &id) {
        let unpacked = dir.path().join("unpacked").join(&file);
        assert_eq!(fs::read(&unpacked).expect("there"), fs::read(workspace.join(&file)).expect("there"), "{file}");
    }
    assert_eq!(paths(&server, &id).len(), 4);
    assert_eq!(fs::metadata(dir.path().join("unpacked/out/c")).expect("there").mode() & 0o777, 0o755);
    let fetched = Command::new(env!("CARGO_BIN_EXE_execgo-runtime"))
        .args(["files", &id, "--get", "out/a/b", "--server", &server.url])
        .output()
        .expect("the program runs");
    assert_eq!(fetched.stdout, b"one", "{fetched:?}");
}

#[test]
fn a_sandboxed_task_leaves_its_files_too() {
    let server = need_sandbox!();
    let mut request = boxed("mkdir out; echo x > out/f; ln -s /etc/passwd out/link");
    request["collect"] = json!(["out/*"]);
    let status = server.run(&request);
    assert_eq!(
        (&status["collected"]["files"], &status["collected"]["left_out_files"]),
        (&json!(1), &json!(1)),
        "{status}"
    );
    let id = status["task_id"].as_str().expect("an id");
    assert_eq!(fetch(&server, &format!("/api/v1/tasks/{id}/files/out/f"), None), (200, b"x\n".to_vec()));
}

#[test]
fn more_than_is_collected_is_left_out_by_name() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("config.yaml");
    fs::write(&file, "files: {collect_max_files: 2, collect_max_bytes: 10}\n").expect("written");
    let server = Server::with_flags(&["--config", file.to_str().expect("text")]);
    let status = server.run(&collecting("for i in 1 2 3; do echo > $i; done", &["*"]));
    assert_eq!(
        (&status["collected"]["files"], &status["collected"]["left_out"][0]["reason"]),
        (&json!(2), &json!("too_many"))
    );
    let status = server.run(&collecting("printf 12345678901 > f", &["*"]));
    assert_eq!(
        (&status["collected"]["files"], &status["collected"]["left_out"][0]["reason"]),
        (&json!(0), &json!("too_large"))
    );
}
