//! Several clients at once.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::support::{Server, deadline, is_terminal};

#[test]
fn four_clients_strand_no_task() {
    const TASKS: usize = 100;
    let server = Server::with_flags(&["--max-queued-tasks", "1000"]);
    let request = json!({"execution": {"kind": "command", "program": "/bin/true"}});
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let ids: Vec<_> = (0..TASKS).map(|_| server.submit(&request)).collect();
                for id in ids {
                    let status = server.wait(&id);
                    assert!(is_terminal(&status) && status["status"] == "success", "{status}");
                    assert_eq!(server.event_types(&id).len(), 7);
                }
            });
        }
    });
    let resources = server.resources();
    assert_eq!(resources["reserved"]["task_slots"], 0);
    assert_eq!(resources["accepted_waiting_tasks"], 0);
    let metrics = server.get("/metrics").body;
    let metrics = metrics.as_str().expect("text");
    assert!(metrics.contains("execgo_runtime_tasks_total{status=\"success\"} 400"), "{metrics}");
}

#[test]
fn idle_connections_and_halves_of_requests_keep_nobody_out_and_are_closed() {
    // Of the server's own limit it makes what it needs; a task gets it as it was.
    let server = Server::after("export EXECGO_RUNTIME_SERVER__HEADER_TIMEOUT_MS=3000; ulimit -Sn 256");
    let address = server.url.strip_prefix("http://").expect("an address");
    let idle: Vec<TcpStream> = (0..600)
        .map(|n| {
            let mut stream = TcpStream::connect(address).expect("connected");
            if n % 2 == 0 {
                stream.write_all(b"GET /healthz HTTP/1.1\r\nx-half: ").expect("written");
            }
            stream
        })
        .collect();
    assert_eq!(server.get("/healthz").status, 200);
    assert_eq!(server.run_sh("ulimit -Sn")["stdout"], "256\n");
    for mut stream in idle {
        stream.set_read_timeout(Some(deadline())).expect("set");
        let mut answer = String::new();
        match stream.read_to_string(&mut answer) {
            Ok(_) => assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "it is not closed: {error}"),
        }
    }
}
