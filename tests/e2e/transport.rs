//! By which ways a server is reached.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::sandbox::{boxed, need_sandbox, stdout, whole};
use crate::support::{Server, has_python};

pub fn client(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_execgo-runtime"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("EXECGO_") {
            command.env_remove(name);
        }
    }
    command.args(args).stdin(Stdio::null()).output().expect("the program runs")
}

fn answer(args: &[&str]) -> Value {
    let output = client(args);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {output:?}"))
}

fn is_socket(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket())
}

#[test]
fn every_verb_goes_over_the_unix_socket() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("api.sock");
    let mut server = Server::with_flags(&["--unix-socket", path.to_str().expect("text")]);
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    let url = format!("unix:{}", path.display());
    assert_eq!(answer(&["run", "--server", &url, "--", "/bin/echo", "hi"])["stdout"], "hi\n");
    let id = answer(&["submit", "--server", &url, "--", "/bin/sleep", "99"])["task_id"].clone();
    let id = id.as_str().expect("an id");
    assert_eq!(answer(&["status", "--server", &url, id])["task_id"], id);
    let waited = client(&["wait", "--server", &url, "--timeout-ms", "100", id]);
    assert_eq!(waited.status.code(), Some(3), "{waited:?}");
    answer(&["kill", "--server", &url, id]);
    assert_eq!(answer(&["wait", "--server", &url, id])["status"], "cancelled");
    assert!(answer(&["events", "--server", &url, id]).as_array().is_some_and(|events| events.len() > 3));
    // Over TCP as well.
    assert_eq!(server.get("/api/v1/runtime/config").body["unix_socket"], json!(path));
    assert_eq!(server.stop(), Some(0));
    assert!(!path.exists(), "a server that stops removes its socket");
    let gone = client(&["status", "--server", &url, id]);
    let told = String::from_utf8_lossy(&gone.stderr).into_owned();
    assert!(gone.status.code() == Some(2) && told.contains(&format!("cannot reach {url}")), "{told}");
}

#[test]
fn a_dead_server_s_socket_is_replaced_and_a_living_one_s_is_not() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("api.sock");
    let name = path.to_str().expect("text");
    let mut server = Server::with_flags(&["--unix-socket", name]);
    server.crash();
    assert!(is_socket(&path), "nobody was there to remove it");
    server.restart();
    let url = format!("unix:{name}");
    assert_eq!(client(&["run", "--server", &url, "--", "/bin/true"]).status.code(), Some(0));
    let second = |socket: &str| {
        let data_dir = dir.path().join("data");
        let data_dir = data_dir.to_str().expect("text");
        let output =
            client(&["serve", "--listen-addr", "127.0.0.1:0", "--data-dir", data_dir, "--unix-socket", socket]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let told = second(name);
    assert!(told.contains(&format!("cannot listen on the UNIX socket {name}: another server listens there")), "{told}");
    assert_eq!(client(&["run", "--server", &url, "--", "/bin/true"]).status.code(), Some(0));
    let told = second(&dir.path().join("x".repeat(120)).display().to_string());
    assert!(told.contains("and that of a socket may have 107"), "{told}");
}

#[test]
fn tokens_are_asked_for_over_the_unix_socket_too() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (path, file) = (dir.path().join("api.sock"), dir.path().join("tokens.yaml"));
    let made = answer(&["token", "ci", "--output", "json"]);
    fs::write(&file, format!("tokens:\n  - {}\n", made["entry"])).expect("written");
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    let _server = Server::with_flags(&["--unix-socket", &text(&path), "--tokens-file", &text(&file)]);
    let url = format!("unix:{}", path.display());
    let refused = client(&["run", "--server", &url, "--", "/bin/true"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("unauthenticated"), "{refused:?}");
    let token = made["token"].as_str().expect("a token");
    assert_eq!(client(&["run", "--server", &url, "--token", token, "--", "/bin/true"]).status.code(), Some(0));
}

/// The socket appears where a task that runs already can see it: in its workspace.
fn the_socket_is_closed_to_tasks(mut server: Server) {
    let smuggle = "import json, os, socket, time
until = time.monotonic() + 60
while not os.path.exists('go') and time.monotonic() < until: time.sleep(0.02)
body = json.dumps({'task_id': 'smuggled', 'execution': {'kind': 'command', 'program': '/bin/true'}})
s = socket.socket(socket.AF_UNIX)
s.connect('s')
s.sendall(('POST /api/v1/tasks HTTP/1.1\\r\\nhost: localhost\\r\\ncontent-type: application/json\\r\\n'
    'content-length: %d\\r\\nconnection: close\\r\\n\\r\\n%s' % (len(body), body)).encode())
print(s.recv(9999).decode())
for i in range(10):
    # Who sends and leaves at once hides nobody.
    s = socket.socket(socket.AF_UNIX)
    s.connect('s')
    s.sendall(('POST /api/v1/tasks HTTP/1.1\\r\\nhost: localhost\\r\\ncontent-type: application/json\\r\\n'
        'content-length: %d\\r\\n\\r\\n%s' % (len(body), body)).encode())
    s.close()
";
    let mut task = boxed("");
    task["execution"] = json!({"kind": "script", "interpreter": ["python3"], "script": smuggle});
    let id = server.submit(&task);
    server.until_running(&id);
    assert_eq!(server.stop(), Some(0));
    let workspace = server.task_dir(&id).join("workspace");
    let path = workspace.join("s");
    server.add_flag("--unix-socket");
    server.add_flag(path.to_str().expect("text"));
    server.restart();
    // Whatever the file allows, who connects is asked.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("chmod");
    fs::write(workspace.join("go"), "").expect("written");
    let status = server.wait(&id);
    assert!(stdout(&status).starts_with("HTTP/1.1 403 ") && stdout(&status).contains("permission_denied"), "{status}");
    assert_eq!(server.get("/api/v1/tasks/smuggled").status, 404);
    // A client of the server's user comes in.
    let mut local = Command::new("python3");
    let ask = "import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b'GET /api/v1/runtime/info HTTP/1.1\\r\\nhost: localhost\\r\\nconnection: close\\r\\n\\r\\n')
print(s.recv(9999).decode())";
    local.args(["-c", ask]).arg(&path).current_dir("/");
    if let Some(user) = server.user {
        local.uid(user).gid(user);
    }
    let output = local.output().expect("python3");
    assert!(output.stdout.starts_with(b"HTTP/1.1 200 "), "{output:?}");
}

#[test]
fn the_unix_socket_is_closed_to_tasks_of_a_root_runtime() {
    if has_python("the_unix_socket_is_closed_to_tasks_of_a_root_runtime")
        && crate::sandbox::is_root("the socket is closed by users")
    {
        the_socket_is_closed_to_tasks(need_sandbox!());
    }
}

#[test]
fn the_unix_socket_is_closed_to_tasks_of_a_rootless_runtime() {
    if !has_python("the_unix_socket_is_closed_to_tasks_of_a_rootless_runtime") {
        return;
    }
    if let Some(server) = whole(Server::rootless()) {
        the_socket_is_closed_to_tasks(server);
    }
}
