//! The execution plan: what it says is what a task finds from inside.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::case::{Case, Context, Level, NotPassed, Outcome, sh, skipped};
use crate::client::Exchange;

use Level::{Must, Should};

pub const CASES: &[Case] = &[
    Case { id: "plan.plain", section: "Execution plan", level: Must, run: plain },
    Case { id: "plan.echo", section: "Execution plan", level: Must, run: echo },
    Case { id: "plan.unchanged", section: "Execution plan", level: Must, run: unchanged },
    Case { id: "plan.degraded", section: "Execution plan", level: Must, run: degraded },
    Case { id: "plan.strict", section: "Execution plan", level: Must, run: strict },
    Case { id: "plan.enforced-by", section: "Execution plan", level: Should, run: enforced_by },
    Case { id: "plan.manifest", section: "Capabilities", level: Must, run: manifest },
    Case { id: "plan.rlimits", section: "Execution plan", level: Must, run: rlimits },
    Case { id: "plan.memory", section: "Execution plan", level: Must, run: memory },
    Case { id: "plan.processes", section: "Execution plan", level: Must, run: processes },
    Case { id: "plan.sandbox", section: "Execution plan", level: Must, run: sandbox },
    Case { id: "plan.network", section: "Execution plan", level: Should, run: network },
    Case { id: "plan.user", section: "Execution plan", level: Should, run: user },
];

const ENFORCEMENT: &str = "/execution_plan/resource_enforcement";
/// Each limit, and the field that says whether it is enforced.
const ENFORCED: [(&str, &str); 7] = [
    ("cpu_time_sec", "cpu_time_enforced"),
    ("memory_bytes", "memory_enforced"),
    ("pids_max", "pids_enforced"),
    ("cpu_millis", "cpu_enforced"),
    ("file_size_bytes", "file_size_enforced"),
    ("open_files", "open_files_enforced"),
    ("workspace_bytes", "workspace_enforced"),
];
const NAMESPACES: [(&str, &str); 4] = [("mnt", "mount"), ("pid", "pid"), ("uts", "uts"), ("ipc", "ipc")];

fn with(command: &str, part: &str, value: Value) -> Value {
    let mut request = sh(command);
    request["policy"] = json!({"capability_mode": "adaptive"});
    request[part] = value;
    request
}

/// Requests of which some machine, or every one, cannot enforce something. All are harmless and succeed.
pub fn perhaps_missing() -> Vec<Value> {
    vec![
        with("true", "limits", json!({"pids_max": 64})),
        with("true", "sandbox", json!({"profile": "linux_sandbox"})),
        with("true", "sandbox", json!({"network": "none"})),
    ]
}

/// The ended task; `None` when the runtime does not know what is asked for.
pub fn ended_if_known(context: &Context, request: &Value) -> Result<Option<Exchange>, NotPassed> {
    let answer = context.offer(request)?;
    if answer.status == 400 {
        answer.expect_failure(
            400,
            "invalid_input",
            "an adaptive task runs, unless the runtime does not know a field",
        )?;
        return Ok(None);
    }
    answer.expect_status(200, "an adaptive task is accepted")?;
    context.ended(answer.body["task_id"].as_str().unwrap_or_default()).map(Some)
}

/// The statuses of ended tasks whose plans differ as much as they can here.
fn variety(context: &Context) -> Result<Vec<Exchange>, NotPassed> {
    let limits = json!({"cpu_time_sec": 60, "memory_bytes": 1_u64 << 30, "file_size_bytes": 1 << 20, "open_files": 64});
    let mut requests = perhaps_missing();
    requests.extend([sh("true"), with("true", "limits", limits)]);
    requests.iter().filter_map(|request| ended_if_known(context, request).transpose()).collect()
}

fn plan(status: &Exchange) -> &Value {
    &status.body["execution_plan"]
}

fn reasons(status: &Exchange) -> Option<&Vec<Value>> {
    plan(status)["fallback_reasons"].as_array()
}

/// A task that asks for nothing.
fn plain(context: &Context) -> Outcome {
    let id = context.submit(&sh("true"))?;
    let status = context.ended(&id)?;
    let sandboxes = ["requested_sandbox", "effective_sandbox"];
    sandboxes.iter().try_for_each(|it| status.expect_field(&format!("/execution_plan/{it}"), &json!("process")))?;
    status.expect_field("/execution_plan/degraded", &json!(false))?;
    status.expect_field("/execution_plan/fallback_reasons", &json!([]))?;
    status.expect_field(&format!("{ENFORCEMENT}/wall_time_ms"), &json!(300_000))?;
    let enforcement = &plan(&status)["resource_enforcement"];
    for (limit, enforced) in ENFORCED {
        let claimed = enforcement[enforced] == json!(true) || enforcement.get(limit).is_some();
        status.expect(!claimed, &format!("{limit} was not asked for, so it is neither shown nor enforced"))?;
    }
    Ok(())
}

/// What was asked for is shown as it was asked for.
fn echo(context: &Context) -> Outcome {
    let limits = json!({"wall_time_ms": 54_321, "cpu_time_sec": 61, "memory_bytes": 1_u64 << 31, "pids_max": 77});
    for mode in ["adaptive", "strict"] {
        let mut request = with("true", "limits", limits.clone());
        request["policy"]["capability_mode"] = json!(mode);
        let answer = context.offer(&request)?;
        if mode == "strict" && answer.status == 400 {
            return answer.expect_failure(400, "unsupported_capability", "strict tasks run or are refused");
        }
        let status = context.ended(answer.body["task_id"].as_str().unwrap_or_default())?;
        status.expect_field("/execution_plan/capability_mode", &json!(mode))?;
        for (limit, value) in limits.as_object().into_iter().flatten() {
            status.expect_field(&format!("{ENFORCEMENT}/{limit}"), value)?;
        }
    }
    Ok(())
}

fn unchanged(context: &Context) -> Outcome {
    let id = context.submit(&with("sleep 0.2", "limits", json!({"pids_max": 64, "memory_bytes": 1 << 30})))?;
    let first = context.status(&id)?;
    let running = context.running(&id)?;
    let ended = context.ended(&id)?;
    for later in [&running, &ended] {
        later.expect(plan(later) == plan(&first) && plan(later).is_object(), "the plan of a task does not change")?;
    }
    Ok(())
}

fn degraded(context: &Context) -> Outcome {
    for status in variety(context)? {
        let has_reasons = reasons(&status).is_some_and(|reasons| !reasons.is_empty());
        status.expect(
            plan(&status)["degraded"] == json!(has_reasons),
            "a plan is degraded exactly when it has fallback_reasons",
        )?;
        let enforcement = &plan(&status)["resource_enforcement"];
        for (limit, enforced) in ENFORCED {
            let missing = enforcement.get(limit).is_some() && enforcement[enforced] != json!(true);
            let told = reasons(&status).into_iter().flatten().filter_map(Value::as_str).any(|it| it.contains(limit));
            status
                .expect(missing == told, &format!("fallback_reasons name {limit} exactly when it is not enforced"))?;
        }
        let requested = &plan(&status)["requested_sandbox"];
        let lacks_sandbox = *requested != plan(&status)["effective_sandbox"];
        status.expect(!lacks_sandbox || has_reasons, "a task in another sandbox than the requested one is degraded")?;
    }
    Ok(())
}

/// Strict refuses exactly what adaptive would degrade, for the same reasons.
fn strict(context: &Context) -> Outcome {
    for adaptive in perhaps_missing() {
        let Some(status) = ended_if_known(context, &adaptive)? else { continue };
        let mut request = adaptive;
        request["policy"] = json!({"capability_mode": "strict"});
        let answer = context.offer(&request)?;
        if plan(&status)["degraded"] == json!(true) {
            answer.expect_failure(400, "unsupported_capability", "a strict task is refused where it would degrade")?;
            let missing = &answer.body["error"]["details"]["missing"];
            answer.expect(missing.as_array() == reasons(&status), "details.missing are the reasons for a fallback")?;
        } else {
            answer.expect_status(200, "a strict task is accepted where nothing is missing")?;
            let status = context.ended(answer.body["task_id"].as_str().unwrap_or_default())?;
            status.expect_field("/execution_plan/degraded", &json!(false))?;
        }
    }
    Ok(())
}

fn enforced_by(context: &Context) -> Outcome {
    for status in variety(context)? {
        let enforcement = &plan(&status)["resource_enforcement"];
        let by = &enforcement["enforced_by"];
        let known =
            |means: &Value| ["timer", "rlimit", "cgroup", "measurement", "pipe"].iter().any(|known| means == known);
        let all_known = by.as_object().is_some_and(|by| by.values().all(known));
        status.expect(all_known, "enforced_by names timer, rlimit, cgroup, measurement or pipe")?;
        status.expect(by["wall_time_ms"] == "timer", "wall_time_ms is always enforced, by a timer")?;
        for (limit, enforced) in ENFORCED {
            let agrees = by.get(limit).is_some() == (enforcement[enforced] == json!(true));
            status.expect(agrees, &format!("enforced_by names {limit} exactly when {enforced} is true"))?;
        }
        let in_group = by.as_object().into_iter().flatten().any(|(_, means)| means == "cgroup");
        let has_group = enforcement["cgroup_enforced"] == json!(true);
        status.expect(!in_group || has_group, "what a cgroup enforces needs a cgroup")?;
    }
    Ok(())
}

/// The manifest says what there is, the plan what is done with it.
fn manifest(context: &Context) -> Outcome {
    let manifest = context.client.get("/api/v1/runtime/capabilities")?;
    manifest.expect_status(200, "the capabilities can be read")?;
    let (resources, sandbox) = (&manifest.body["resources"], &manifest.body["sandbox"]);
    let has = |name: &str| resources[name] == json!(true);
    let limits = json!({"cpu_time_sec": 60, "memory_bytes": 1_u64 << 30, "pids_max": 64});
    let id = context.submit(&with("true", "limits", limits))?;
    let status = context.ended(&id)?;
    for (enforced, holds) in [
        ("cpu_time_enforced", has("rlimit_cpu")),
        ("memory_enforced", has("memory_limit") || has("rlimit_memory")),
        ("pids_enforced", has("pids_limit")),
        ("cgroup_enforced", has("cgroup_writable")),
        ("oom_detection", has("oom_detection")),
    ] {
        status.expect_field(&format!("{ENFORCEMENT}/{enforced}"), &json!(holds))?;
    }
    let id = context.submit(&with("true", "sandbox", json!({"profile": "linux_sandbox"})))?;
    let status = context.ended(&id)?;
    let effective = if sandbox["linux_sandbox"] == json!(true) { "linux_sandbox" } else { "process" };
    status.expect_field("/execution_plan/effective_sandbox", &json!(effective))
}

/// As the kernel shows them to the task.
fn rlimits(context: &Context) -> Outcome {
    let asked = json!({"cpu_time_sec": 61, "memory_bytes": 1_u64 << 30, "file_size_bytes": 1 << 20, "open_files": 64});
    let mut request = with("cat /proc/self/limits", "limits", asked.clone());
    let mut status = ended_if_known(context, &request)?;
    if status.is_none() {
        // A runtime may lack the other two.
        request["limits"] = json!({"cpu_time_sec": asked["cpu_time_sec"], "memory_bytes": asked["memory_bytes"]});
        status = ended_if_known(context, &request)?;
    }
    let status = status.ok_or_else(|| skipped("the runtime knows no limit that a task can see"))?;
    let by = &plan(&status)["resource_enforcement"]["enforced_by"];
    let seen = status.body["stdout"].as_str().unwrap_or_default().to_owned();
    for (limit, name) in [
        ("cpu_time_sec", "Max cpu time"),
        ("memory_bytes", "Max address space"),
        ("file_size_bytes", "Max file size"),
        ("open_files", "Max open files"),
    ] {
        let line = seen.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let soft = line.split_whitespace().next().unwrap_or_default();
        let is_set = soft.parse().ok() == asked[limit].as_u64();
        let claimed = by[limit] == "rlimit";
        status.expect(is_set == claimed, &format!("the task sees the resource limit of {limit} as the plan says"))?;
    }
    Ok(())
}

/// By what happens: a task that wants twice of what it may have.
fn memory(context: &Context) -> Outcome {
    let hog = "head -c 200000000 /dev/zero | tail -c 150000000 >/dev/null";
    let id = context.submit(&with(hog, "limits", json!({"memory_bytes": 64 << 20, "wall_time_ms": 30_000})))?;
    let status = context.ended(&id)?;
    let enforced = plan(&status)["resource_enforcement"]["memory_enforced"] == json!(true);
    let succeeded = status.body["status"] == "success";
    status.expect(enforced != succeeded, "a task exceeds its memory exactly where the plan says that it can")?;
    let oom = plan(&status)["resource_enforcement"]["oom_detection"] == json!(true);
    let code = if oom { "memory_limit_exceeded" } else { "exit_non_zero" };
    status.expect(succeeded || status.body["error"]["code"] == code, &format!("its error is {code}"))
}

/// By what happens: twelve processes where six are allowed. Bounded, wherever it runs.
fn processes(context: &Context) -> Outcome {
    let command = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 600 & done; echo all";
    let mut claimed = false;
    for profile in ["process", "linux_sandbox"] {
        let mut request = with(command, "limits", json!({"pids_max": 6, "wall_time_ms": 20_000}));
        request["sandbox"] = json!({"profile": profile});
        let id = context.submit(&request)?;
        let status = context.ended(&id)?;
        let enforced = plan(&status)["resource_enforcement"]["pids_enforced"] == json!(true);
        let all = status.body["stdout"] == "all\n";
        status.expect(
            all != enforced,
            "a task has more processes than pids_max exactly where the plan says that it can",
        )?;
        claimed |= enforced;
    }
    if claimed { Ok(()) } else { Err(skipped("nothing limits the processes of a task here, and the plan says so")) }
}

/// The namespaces of a task that ran `command`, by name, as their links in /proc/self/ns show them.
fn namespaces_of(context: &Context, sandbox: &Value) -> Result<(Exchange, BTreeMap<String, String>), NotPassed> {
    let command = "for n in mnt pid uts ipc net; do echo $n $(readlink /proc/self/ns/$n); done";
    let id = context.submit(&with(command, "sandbox", sandbox.clone()))?;
    let status = context.ended(&id)?;
    status.expect_field("/status", &json!("success"))?;
    let seen = status.body["stdout"].as_str().unwrap_or_default();
    let pairs = seen.lines().filter_map(|line| line.split_once(' ')).map(|(n, link)| (n.to_owned(), link.to_owned()));
    let pairs = pairs.collect();
    Ok((status, pairs))
}

/// By the namespaces that a task is in: those of a plain process, or its own.
fn sandbox(context: &Context) -> Outcome {
    let (_, plain) = namespaces_of(context, &json!({"profile": "process"}))?;
    let (status, own) = namespaces_of(context, &json!({"profile": "linux_sandbox"}))?;
    let sandboxed = plan(&status)["effective_sandbox"] == "linux_sandbox";
    let reasons = plan(&status)["fallback_reasons"].to_string();
    for (link, name) in NAMESPACES {
        let differs = own.get(link) != plain.get(link) && own.contains_key(link);
        let claimed = sandboxed && !reasons.contains(&format!("namespaces.{name}"));
        status.expect(differs == claimed, &format!("a task has a {name} namespace of its own as its plan says"))?;
    }
    Ok(())
}

/// By the network devices that a task sees.
fn network(context: &Context) -> Outcome {
    if plan(&context.ended(&context.submit(&sh("true"))?)?).get("network").is_none() {
        return Err(skipped("the plan says nothing of the network"));
    }
    let (_, plain) = namespaces_of(context, &json!({"profile": "process"}))?;
    for sandbox in [
        json!({"profile": "process"}),
        json!({"profile": "linux_sandbox"}),
        json!({"profile": "linux_sandbox", "network": "none"}),
        json!({"profile": "process", "network": "none"}),
    ] {
        let (status, own) = namespaces_of(context, &sandbox)?;
        let is_own = own.get("net") != plain.get("net") && own.contains_key("net");
        let claimed = plan(&status)["network"] == "none";
        status.expect(is_own == claimed, "a task has a network of its own exactly where its plan says none")?;
        let asked = sandbox["network"] == "none";
        let told = plan(&status)["degraded"] == json!(true);
        status.expect(!asked || claimed || told, "a task that asks for no network has none, or is degraded")?;
    }
    Ok(())
}

/// A plain task runs as the user that its plan names.
fn user(context: &Context) -> Outcome {
    let id = context.submit(&sh("echo $(id -un) $(id -u):$(id -g)"))?;
    let status = context.ended(&id)?;
    let config = context.client.get("/api/v1/runtime/config")?;
    let named = plan(&status)["run_as"].as_str();
    status.expect(named == config.body["run_as"].as_str(), "the plan names the configured user, or none")?;
    let seen = status.body["stdout"].as_str().unwrap_or_default();
    let is_user = named.is_none_or(|named| seen.split_whitespace().any(|seen| seen == named));
    status.expect(is_user, "a task runs as the user that its plan names")
}
