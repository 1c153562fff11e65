//! The suite itself: it must fail on a server that is none, and what it looks at has a shape that is kept.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::case::{Context, NotPassed, sh};
use crate::cases;
use crate::client::Client;

const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// A runtime of this tree, on a free port with a data directory of its own.
struct Runtime {
    process: Child,
    dir: tempfile::TempDir,
}

/// The binary named by `EXECGO_RUNTIME_BIN`, else the one that stands beside this test.
fn binary() -> Option<PathBuf> {
    if let Some(named) = env::var_os("EXECGO_RUNTIME_BIN") {
        let named = PathBuf::from(named);
        assert!(named.is_file(), "EXECGO_RUNTIME_BIN names {}, which is no file", named.display());
        return Some(named);
    }
    let test = env::current_exe().expect("a test has a path");
    let built = test.ancestors().nth(2).expect("target/debug/deps/test").join("execgo-runtime");
    built.is_file().then_some(built)
}

impl Runtime {
    fn start(binary: PathBuf) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(binary);
        command.args(["serve", "--listen-addr", "127.0.0.1:0", "--disable-cgroup", "--data-dir"]).arg(dir.path());
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("EXECGO_")) {
            command.env_remove(name);
        }
        let log = fs::File::create(dir.path().join("log")).expect("a log");
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("it starts");
        Self { process, dir }
    }

    /// Waits until the runtime has said where it is.
    fn url(&self) -> String {
        let until = Instant::now() + STARTS_WITHIN;
        let announcement = format!("pid {}, ", self.process.id());
        loop {
            let line = fs::read_to_string(self.dir.path().join("runtime.lock")).unwrap_or_default();
            if let Some(url) = line.strip_suffix('\n').and_then(|line| line.strip_prefix(&announcement)) {
                return url.to_owned();
            }
            let log = || fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < until, "the runtime did not start: {}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_status_answer_keeps_its_shape() {
    let Some(binary) = binary() else {
        // Not `eprintln!`: the harness would keep it for itself.
        let told = "SKIPPED: no runtime to ask; build the workspace or set EXECGO_RUNTIME_BIN";
        writeln!(io::stderr(), "{told}").expect("standard error is open");
        return;
    };
    let runtime = Runtime::start(binary);
    let context = Context::new(Client::new(&runtime.url()), 0, 0);
    let mut request = sh("echo out; exit 3");
    request["task_id"] = json!("shape");
    request["limits"] = json!({"wall_time_ms": 60000});
    request["metadata"] = json!({"colour": "blue"});
    let id = context.submit(&request).expect("accepted");
    let status = context.ended(&id).expect("ended").body;
    let data_dir = runtime.dir.path().canonicalize().expect("there").to_string_lossy().into_owned();
    let time = || {
        insta::dynamic_redaction(|value, path| {
            let time = value.as_str().expect("a text");
            assert!(time.len() == "2024-01-01T00:00:00.000Z".len() && time.ends_with('Z'), "{path}: {time}");
            "[time]"
        })
    };
    insta::with_settings!({sort_maps => true, filters => [(data_dir.as_str(), "[data_dir]")]}, {
        insta::assert_json_snapshot!(status, {
            ".created_at" => time(),
            ".started_at" => time(),
            ".finished_at" => time(),
            ".updated_at" => time(),
            ".duration_ms" => "[ms]",
            ".pid" => "[pid]",
            ".pgid" => "[pid]",
            ".shim_pid" => "[pid]",
            ".usage.duration_ms" => "[ms]",
            ".usage.user_cpu_ms" => "[ms]",
            ".usage.system_cpu_ms" => "[ms]",
            ".usage.max_rss_bytes" => "[bytes]",
        });
    });
}

/// Answers 200 and `{}` to everything.
fn yes_man() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    std::thread::spawn(move || listener.incoming().for_each(|stream| say_yes(stream.expect("a connection"))));
    url
}

fn say_yes(stream: TcpStream) {
    let mut requests = BufReader::new(stream);
    let mut body = 0;
    let mut line = String::new();
    while requests.read_line(&mut line).is_ok_and(|read| read > 0 && line != "\r\n") {
        if let Some(length) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            body = length.trim().parse().expect("a length");
        }
        line.clear();
    }
    requests.read_exact(&mut vec![0; body]).expect("the body");
    let answer =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
    requests.into_inner().write_all(answer.as_bytes()).expect("the client listens");
}

#[test]
fn no_case_passes_on_a_server_that_says_yes_to_everything() {
    let context = Context::new(Client::new(&yes_man()), 0, 0);
    for case in cases::all() {
        let outcome = (case.run)(&context);
        assert!(matches!(outcome, Err(NotPassed::Failed { .. })), "{}: {outcome:?}", case.id);
    }
}

#[test]
fn a_name_selects_its_case_or_its_area_and_a_stranger_is_refused() {
    let ids = |only: &str| {
        let cases = crate::selected(cases::all(), &[only.to_owned()])?;
        Ok::<_, String>(cases.iter().map(|case| case.id).collect::<Vec<_>>())
    };
    assert_eq!(ids("kill").expect("an area"), ["kill.running", "kill.ended"]);
    assert_eq!(ids("kill.ended").expect("a case"), ["kill.ended"]);
    assert!(ids("kil").expect_err("no area").contains("--list"));
}
