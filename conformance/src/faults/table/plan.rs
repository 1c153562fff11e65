//! Plans that do not tell the truth.

use serde_json::{Value, json};

use crate::faults::memory::Memory;
use crate::faults::mutation::{Mutation, answer, has_ended, lie, remove, replace, request, status};

pub const FAULTS: &[Mutation] = &[
    status("a plan of a task that asked for nothing has limits", "plan.plain", |it, _| {
        enforcement(it)["memory_enforced"] = json!(true);
    }),
    status("the default of a limit is another", "plan.plain", |it, _| {
        enforcement(it)["wall_time_ms"] = json!(600_000);
    }),
    status("a plan shows a limit rounded", "plan.echo", |it, _| {
        let ms = enforcement(it)["wall_time_ms"].as_u64().unwrap_or_default();
        enforcement(it)["wall_time_ms"] = json!(ms / 1000 * 1000);
    }),
    status("a plan changes at the end", "plan.unchanged", |it, _| {
        if has_ended(it) {
            it["execution_plan"]["capability_warnings"] = json!(["it has ended"]);
        }
    }),
    status("a degraded plan has no reasons", "plan.degraded", |it, _| {
        it["execution_plan"]["fallback_reasons"] = json!([]);
    }),
    status("a plan with reasons is not degraded", "plan.degraded", |it, _| {
        it["execution_plan"]["degraded"] = json!(false);
    }),
    request("a strict task runs degraded", "plan.strict", |it| {
        if it.is_submission() {
            it.json(|body| replace(&mut body["policy"], "capability_mode", json!("adaptive")));
        }
    }),
    answer("a refusal does not say what is missing", "plan.strict", |it, _| {
        it.json(|body| {
            if body["error"]["code"] == "unsupported_capability" {
                body["error"]["details"] = json!({"missing": []});
            }
        });
    }),
    status("a plan does not say by which means", "plan.enforced-by", |it, _| {
        enforcement(it)["enforced_by"] = json!({"wall_time_ms": "timer"});
    }),
    status("a plan names means that do not exist", "plan.enforced-by", |it, _| {
        enforcement(it)["enforced_by"] = json!({"wall_time_ms": "hope"});
    }),
    answer("the manifest has what no plan uses", "plan.manifest", |it, _| {
        if it.path == "/api/v1/runtime/capabilities" {
            it.json(|body| {
                let claimed = body["resources"]["oom_detection"] != json!(true);
                body["resources"]["oom_detection"] = json!(claimed);
            });
        }
    }),
    lie(
        "memory is said to be enforced and is not",
        "plan.memory",
        |sent| without_limit(sent, "memory_bytes"),
        |it, memory| {
            claim(it, memory, "memory_bytes", "memory_enforced");
        },
    ),
    lie(
        "processes are said to be limited and are not",
        "plan.processes",
        |sent| without_limit(sent, "pids_max"),
        |it, memory| {
            claim(it, memory, "pids_max", "pids_enforced");
        },
    ),
    lie(
        "open files are said to be limited and are not",
        "plan.rlimits",
        |sent| without_limit(sent, "open_files"),
        |it, memory| {
            claim(it, memory, "open_files", "open_files_enforced");
        },
    ),
    lie(
        "CPU time is said to be limited and is not",
        "plan.rlimits",
        |sent| without_limit(sent, "cpu_time_sec"),
        |it, memory| {
            claim(it, memory, "cpu_time_sec", "cpu_time_enforced");
        },
    ),
    status("an enforced limit is said not to be", "plan.memory", |it, _| {
        enforcement(it)["memory_enforced"] = json!(false);
    }),
    lie(
        "a plain process is said to be in a sandbox",
        "plan.sandbox",
        |sent| remove(sent, "sandbox"),
        |it, memory| {
            if memory.request_of(it)["sandbox"]["profile"] == "linux_sandbox" {
                it["execution_plan"]["requested_sandbox"] = json!("linux_sandbox");
                it["execution_plan"]["effective_sandbox"] = json!("linux_sandbox");
            }
        },
    ),
    lie(
        "a task with the host's network is said to have none",
        "plan.network",
        |sent| {
            if sent.get("sandbox").is_some() {
                remove(&mut sent["sandbox"], "network");
            }
        },
        |it, memory| {
            if memory.request_of(it)["sandbox"]["network"] == "none" {
                it["execution_plan"]["network"] = json!("none");
            }
        },
    ),
    status("a task is said to run as another user", "plan.user", |it, _| {
        it["execution_plan"]["run_as"] = json!("somebody-else");
    }),
];

fn enforcement(status: &mut Value) -> &mut Value {
    &mut status["execution_plan"]["resource_enforcement"]
}

fn without_limit(sent: &mut Value, limit: &str) {
    if sent.get("limits").is_some() {
        remove(&mut sent["limits"], limit);
    }
}

/// Says of a limit that was asked for, and never set, that a resource limit enforces it.
fn claim(status: &mut Value, memory: &Memory, limit: &str, enforced: &str) {
    let asked = memory.request_of(status)["limits"][limit].clone();
    if asked.is_null() {
        return;
    }
    let enforcement = enforcement(status);
    enforcement[limit] = asked;
    enforcement[enforced] = json!(true);
    enforcement["enforced_by"][limit] = json!("rlimit");
    status["execution_plan"]["degraded"] = json!(false);
    status["execution_plan"]["fallback_reasons"] = json!([]);
}
