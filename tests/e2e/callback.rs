//! Callbacks, to targets that answer, fail, hang, redirect and come back.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use serde_json::{Value, json};

use crate::support::{Server, deadline, eventually, sh};

const SECRET: &str = "a secret of the tests";

/// What the next request gets; the last one is given again and again.
#[derive(Clone, Copy)]
enum Reaction {
    Status(u16),
    /// To where nobody should come.
    Redirect(u16),
    Silence,
}

struct Told {
    path: String,
    headers: HashMap<String, String>,
    body: String,
}

/// Somebody who is told.
struct Target {
    port: u16,
    told: Receiver<Told>,
}

impl Target {
    fn new(reactions: &[Reaction]) -> Self {
        Self::on("127.0.0.1:0", reactions)
    }

    fn on(address: &str, reactions: &[Reaction]) -> Self {
        let listener = TcpListener::bind(address).expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let (tells, told) = mpsc::channel();
        let reactions = reactions.to_vec();
        thread::spawn(move || {
            for (n, stream) in listener.incoming().enumerate() {
                let (tells, reaction) = (tells.clone(), *reactions.get(n).or(reactions.last()).expect("a reaction"));
                thread::spawn(move || react(&stream.expect("a connection"), reaction, &tells));
            }
        });
        Self { port, told }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn next(&self) -> Told {
        self.told.recv_timeout(deadline()).expect("told")
    }
}

fn react(mut stream: &TcpStream, reaction: Reaction, tells: &Sender<Told>) {
    let mut reader = BufReader::new(stream);
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    };
    let path = line().split(' ').nth(1).expect("a path").to_owned();
    let mut headers = HashMap::new();
    while let Some((name, value)) = line().split_once(": ") {
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers["content-length"].parse().expect("a length")];
    reader.read_exact(&mut body).expect("a body");
    // The test may be over.
    let _ = tells.send(Told { path, headers, body: String::from_utf8(body).expect("UTF-8") });
    let answer = match reaction {
        Reaction::Status(status) => format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        Reaction::Redirect(port) => format!(
            "HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:{port}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ),
        Reaction::Silence => {
            // Until the server hangs up.
            let _ = stream.read(&mut [0]);
            return;
        }
    };
    let _ = stream.write_all(answer.as_bytes());
}

/// A server that may tell these.
fn server(allowed: &[String], max_attempts: u32) -> (Server, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (secret, config) = (dir.path().join("secret"), dir.path().join("config.yaml"));
    fs::write(&secret, format!("{SECRET}\n")).expect("written");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("chmod");
    let callback = json!({
        "allowed_urls": allowed,
        "secret_file": secret,
        "timeout_ms": 500,
        "retry_ms": 20,
        "max_attempts": max_attempts,
    });
    // JSON is YAML.
    fs::write(&config, json!({"callback": callback}).to_string()).expect("written");
    (Server::with_flags(&["--config", config.to_str().expect("UTF-8")]), dir)
}

fn told_of(script: &str, callback: Value) -> Value {
    let mut request = sh(script);
    request["callback"] = callback;
    request
}

/// The state of the task's callbacks once it is this.
fn reaches(server: &Server, id: &str, state: &str) -> Value {
    eventually(&format!("the callback is {state}"), || {
        let callback = server.status(id)["callback"].clone();
        (callback["state"] == state).then_some(callback)
    })
}

#[test]
fn events_are_told_with_the_task_and_signed() {
    let target = Target::new(&[Reaction::Status(204)]);
    let (server, _dir) = server(&[target.url("/hooks")], 3);
    let callback = json!({"url": target.url("/hooks/ci?run=7"), "events": ["started", "failed"]});
    let id = server.submit(&told_of("echo out; exit 3", callback));
    server.wait(&id);
    let mut events: Vec<Value> = Vec::new();
    for _ in 0..2 {
        let told = target.next();
        assert_eq!(
            (told.path.as_str(), told.headers["content-type"].as_str()),
            ("/hooks/ci?run=7", "application/json")
        );
        let signature = &told.headers["x-execgo-signature"];
        let (time, tag) = signature.strip_prefix("t=").and_then(|rest| rest.split_once(",v1=")).expect(signature);
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
        let expected = ring::hmac::sign(&key, format!("{time}.{}", told.body).as_bytes());
        let expected: String = expected.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(tag, expected);
        let body: Value = serde_json::from_str(&told.body).expect("JSON");
        assert_eq!(body["task"]["task_id"], json!(id));
        assert!(body["runtime_id"].is_string() && body["task"].get("stdout").is_none(), "{body}");
        events.push(body["event"].clone());
    }
    events.sort_by_key(|event| event["seq"].as_u64());
    assert_eq!(
        events,
        server
            .events(&id)
            .into_iter()
            .filter(|event| { ["started", "failed"].iter().any(|told| event["event_type"] == *told) })
            .collect::<Vec<_>>()
    );
    let callback = reaches(&server, &id, "delivered");
    assert_eq!((&callback["attempts"], &callback["last_status"]), (&json!(2), &json!(204)));
    assert_eq!((callback.get("last_error"), callback.get("next_attempt_at")), (None, None));
    let config = server.get("/api/v1/runtime/config").body.to_string();
    assert!(!config.contains(SECRET) && !server.log().contains(SECRET), "nobody sees the secret");
}

#[test]
fn what_fails_is_tried_again_and_a_redirection_is_not_followed() {
    let stranger = Target::new(&[Reaction::Status(200)]);
    let reactions =
        [Reaction::Status(500), Reaction::Redirect(stranger.port), Reaction::Silence, Reaction::Status(200)];
    let target = Target::new(&reactions);
    let (server, _dir) = server(&[target.url("/")], 9);
    let id = server.submit(&told_of("true", json!({"url": target.url("/")})));
    let callback = reaches(&server, &id, "delivered");
    assert_eq!((&callback["attempts"], &callback["last_status"]), (&json!(4), &json!(200)));
    let bodies: Vec<_> = (0..4).map(|_| serde_json::from_str::<Value>(&target.next().body).expect("JSON")).collect();
    assert!(bodies.iter().all(|body| body["event"] == bodies[0]["event"]), "one event, told again");
    assert!(stranger.told.try_recv().is_err(), "nobody is told whom only a target names");
}

#[test]
fn a_dead_target_delays_no_other_and_is_given_up() {
    let dead = Target::new(&[Reaction::Silence]);
    let alive = Target::new(&[Reaction::Status(200)]);
    let (server, _dir) = server(&[dead.url("/"), alive.url("/")], 2);
    let silent: Vec<_> = (0..20).map(|_| server.submit(&told_of("true", json!({"url": dead.url("/")})))).collect();
    let id = server.submit(&told_of("true", json!({"url": alive.url("/")})));
    reaches(&server, &id, "delivered");
    assert_eq!(server.status(&silent[19])["callback"]["state"], "pending", "twenty of these take some seconds");
    let given_up = reaches(&server, &silent[0], "failed");
    assert_eq!((&given_up["attempts"], &given_up["last_error"]), (&json!(2), &json!("no answer within 500 ms")));
    assert_eq!(given_up.get("last_status"), None);
}

#[test]
fn what_is_to_be_told_survives_a_crash_and_the_absence_of_the_target() {
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    let url = format!("http://127.0.0.1:{port}/");
    let (mut server, _dir) = server(std::slice::from_ref(&url), 1000);
    let id = server.submit(&told_of("true", json!({"url": url})));
    server.wait(&id);
    let failed = eventually("an attempt in vain", || {
        let callback = server.status(&id)["callback"].clone();
        (callback["last_error"] == "the connection failed").then_some(callback)
    });
    assert_eq!(failed["state"], "pending");
    assert!(failed["next_attempt_at"].is_string());
    server.crash();
    let target = Target::on(&format!("127.0.0.1:{port}"), &[Reaction::Status(200)]);
    server.restart();
    assert!(target.next().body.contains(&id));
    let callback = reaches(&server, &id, "delivered");
    assert!(callback["attempts"].as_u64() > failed["attempts"].as_u64(), "they count on");
}

#[test]
fn nobody_is_told_whom_the_operator_does_not_allow() {
    let target = Target::new(&[Reaction::Status(200)]);
    let open = Server::start();
    let (server, _dir) = server(&[target.url("/hooks/")], 3);
    for (server, url) in [
        (&open, target.url("/hooks/")),
        (&server, target.url("/")),
        (&server, target.url("/hooks/../admin")),
        (&server, target.url("/hooks/..%2fadmin")),
        (&server, target.url("/hooks/").replace("http:", "https:")),
        (&server, target.url("/hooks/").replace("127.0.0.1", "localhost")),
        (&server, "http://127.0.0.1/hooks/".to_owned()),
        (&server, target.url("/hooks/").replace("//", "//user:word@")),
        (&server, "file:///etc/passwd".to_owned()),
    ] {
        let answer = server.post("/api/v1/tasks", &told_of("true", json!({"url": url})));
        assert_eq!((answer.status, answer.code()), (400, "invalid_input"), "{url}");
        assert!(answer.message().starts_with("callback.url "), "{}", answer.message());
    }
    assert!(target.told.try_recv().is_err());
    let plain = server.run_sh("true");
    assert_eq!(plain.get("callback"), None);
}
