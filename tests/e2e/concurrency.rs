//! Several clients at once.

use serde_json::json;

use crate::support::{Server, is_terminal};

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
