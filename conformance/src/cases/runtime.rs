//! What a runtime says about itself.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::case::{Case, Context, NotPassed, Outcome, sh, with};
use crate::client::Exchange;

pub const CASES: &[Case] = &[
    Case::must("runtime.info", "Info", info),
    Case::must("runtime.info.platform", "Info", |it| platform(it, INFO)),
    Case::must("runtime.info.started-at", "Info", |it| time(it, INFO, "started_at")),
    Case::must("runtime.id", "Info", same_id),
    Case::must("runtime.capabilities.flags", "Capabilities", flags),
    Case::beyond("runtime.capabilities.flags.more", "Capabilities", more_flags),
    Case::must("runtime.capabilities.built-in", "Capabilities", built_in),
    Case::must("runtime.capabilities.stable", "Capabilities", stable),
    Case::must("runtime.capabilities.enhanced", "Capabilities", enhanced),
    Case::should("runtime.capabilities.enhanced.known", "Capabilities", enhanced_known),
    Case::must("runtime.capabilities.collected-at", "Capabilities", |it| time(it, CAPABILITIES, "collected_at")),
    Case::must("runtime.capabilities.platform", "Capabilities", |it| platform(it, CAPABILITIES)),
    Case::must("runtime.capabilities.lists", "Capabilities", lists),
    Case::should("runtime.capabilities.warnings", "Capabilities", warnings),
    Case::must("runtime.capabilities.overrides", "Capabilities", overrides),
    Case::should("runtime.capabilities.once", "Capabilities", once),
    Case::must("runtime.capabilities.capacity", "Capabilities", capacity),
    Case::must("runtime.capabilities.sandbox", "Capabilities", sandbox_whole),
    Case::must("runtime.capabilities.cgroups", "Capabilities", cgroups),
    Case::must("runtime.capabilities.plan", "Execution plan", plan),
    Case::beyond("runtime.capabilities.plan.more", "Execution plan", plan_of_more),
    Case::must("runtime.config.numbers", "Configuration", config_numbers),
    Case::must("runtime.config.texts", "Configuration", config_texts),
    Case::beyond("runtime.config.more", "Configuration", config_more),
    Case::must("runtime.config.overrides", "Configuration", config_overrides),
    Case::must("runtime.config.nothing-secret", "Configuration", nothing_secret),
    Case::must("runtime.resources.capacity", "Resources", resources_capacity),
    Case::beyond("runtime.document", "Beyond the original document", document),
    Case::beyond("runtime.docs", "Beyond the original document", docs),
    Case::must("runtime.version", "Health", version),
];

const INFO: &str = "/api/v1/runtime/info";
const CAPABILITIES: &str = "/api/v1/runtime/capabilities";
const CONFIG: &str = "/api/v1/runtime/config";
const RESOURCES: &str = "/api/v1/runtime/resources";

const STABLE: [&str; 9] =
    ["submit", "status", "events", "stdout_stderr", "timeout", "kill", "artifacts", "result_persistence", "recovery"];
/// Each with the capability without which it must not be said.
const ENHANCED: [(&str, &str); 8] = [
    ("resource_ledger", "/resources/ledger"),
    ("linux_sandbox", "/sandbox/linux_sandbox"),
    ("namespaces", "/sandbox/linux_sandbox"),
    ("chroot", "/sandbox/chroot"),
    ("cgroup_memory", "/resources/memory_limit"),
    ("cgroup_pids", "/resources/pids_limit"),
    ("cgroup_cpu", "/resources/cpu_quota"),
    ("oom_detection", "/resources/oom_detection"),
];
const FLAGS: [&str; 20] = [
    "/execution/command",
    "/execution/script",
    "/execution/process_group",
    "/sandbox/process",
    "/sandbox/linux_sandbox",
    "/sandbox/chroot",
    "/sandbox/namespaces/mount",
    "/sandbox/namespaces/pid",
    "/sandbox/namespaces/uts",
    "/sandbox/namespaces/ipc",
    "/sandbox/namespaces/net",
    "/storage/data_dir_writable",
    "/resources/rlimit_cpu",
    "/resources/rlimit_memory",
    "/resources/cgroup_v2",
    "/resources/cgroup_writable",
    "/resources/memory_limit",
    "/resources/pids_limit",
    "/resources/oom_detection",
    "/resources/cpu_quota",
];

fn read(context: &Context, path: &str) -> Result<Exchange, NotPassed> {
    let answer = context.client.get(path)?;
    answer.expect_status(200, "a runtime describes itself")?;
    Ok(answer)
}

fn has(answer: &Exchange, pointer: &str) -> bool {
    answer.body.pointer(pointer) == Some(&json!(true))
}

fn texts(answer: &Exchange, name: &str) -> Result<Vec<String>, NotPassed> {
    let list = answer.body[name].as_array().map(|list| list.iter().filter_map(Value::as_str).collect::<Vec<_>>());
    let whole = list.as_ref().is_some_and(|list| Some(list.len()) == answer.body[name].as_array().map(Vec::len));
    answer.expect(whole, &format!("{name} is a list of texts"))?;
    Ok(list.into_iter().flatten().map(str::to_owned).collect())
}

fn info(context: &Context) -> Outcome {
    let info = read(context, INFO)?;
    for name in ["runtime_id", "version"] {
        info.expect(!info.text_at(&format!("/{name}")).is_empty(), &format!("{name} is a text"))?;
    }
    info.expect_field("/snapshot_version", &json!("v1"))
}

fn platform(context: &Context, path: &str) -> Outcome {
    let answer = read(context, path)?;
    answer.expect(!answer.text_at("/platform/os").is_empty(), "platform.os is a text")?;
    answer.expect(!answer.text_at("/platform/arch").is_empty(), "platform.arch is a text")?;
    for name in ["containerized", "kubernetes"] {
        answer.expect(answer.body["platform"][name].is_boolean(), &format!("platform.{name} is true or false"))?;
    }
    Ok(())
}

/// A time in the one form of all times; and the start of a server is not told anew with each answer.
fn time(context: &Context, path: &str, name: &str) -> Outcome {
    let answer = read(context, path)?;
    let time = answer.text_at(&format!("/{name}"));
    let digits = |c: char| if c.is_ascii_digit() { '0' } else { c };
    let form: String = time.chars().map(digits).collect();
    answer.expect(form == "0000-00-00T00:00:00.000Z", &format!("{name} is a time in UTC with milliseconds"))?;
    read(context, path)?.expect_field(&format!("/{name}"), &json!(time))
}

fn same_id(context: &Context) -> Outcome {
    let info = read(context, INFO)?;
    let id = info.text_at("/runtime_id");
    info.expect(!id.is_empty(), "runtime_id is a text")?;
    for path in [CAPABILITIES, CONFIG, RESOURCES] {
        read(context, path)?.expect_field("/runtime_id", &json!(id))?;
    }
    Ok(())
}

fn flags_of(context: &Context, flags: &[&str]) -> Outcome {
    let manifest = read(context, CAPABILITIES)?;
    for flag in flags {
        let told = manifest.body.pointer(flag).is_some_and(Value::is_boolean);
        manifest.expect(told, &format!("{flag} is true or false"))?;
    }
    Ok(())
}

fn flags(context: &Context) -> Outcome {
    flags_of(context, &FLAGS)?;
    read(context, CAPABILITIES)?.expect_field("/snapshot_version", &json!("v1"))
}

fn more_flags(context: &Context) -> Outcome {
    let more = ["/sandbox/rlimit_processes", "/sandbox/api_closed_to_tasks"];
    flags_of(context, &[&more[..], &["/resources/rlimit_file_size", "/resources/rlimit_open_files"]].concat())
}

fn built_in(context: &Context) -> Outcome {
    let manifest = read(context, CAPABILITIES)?;
    for flag in ["/execution/command", "/execution/script", "/execution/process_group", "/sandbox/process"] {
        manifest.expect_field(flag, &json!(true))?;
    }
    manifest.expect_field("/storage/data_dir_writable", &json!(true))?;
    manifest.expect_field("/resources/ledger", &json!(true))
}

fn stable(context: &Context) -> Outcome {
    let manifest = read(context, CAPABILITIES)?;
    let told: BTreeSet<_> = texts(&manifest, "stable_semantics")?.into_iter().collect();
    for name in STABLE {
        manifest.expect(told.contains(name), &format!("stable_semantics says {name}"))?;
    }
    Ok(())
}

/// What is said is there, and what is there is said.
fn enhanced(context: &Context) -> Outcome {
    let manifest = read(context, CAPABILITIES)?;
    let told = texts(&manifest, "enhanced_semantics")?;
    manifest.expect(told.iter().any(|name| name == "resource_ledger"), "enhanced_semantics says resource_ledger")?;
    for (name, flag) in ENHANCED {
        let says = told.iter().any(|told| told == name);
        manifest.expect(says == has(&manifest, flag), &format!("enhanced_semantics says {name} just where {flag}"))?;
    }
    Ok(())
}

fn enhanced_known(context: &Context) -> Outcome {
    let manifest = read(context, CAPABILITIES)?;
    let told = texts(&manifest, "enhanced_semantics")?;
    let twice = told.iter().collect::<BTreeSet<_>>().len() != told.len();
    manifest.expect(!told.is_empty() && !twice, "enhanced_semantics says each thing once")
}

fn lists(context: &Context) -> Outcome {
    let manifest = read(context, CAPABILITIES)?;
    for name in ["stable_semantics", "enhanced_semantics", "warnings"] {
        texts(&manifest, name)?;
    }
    manifest.expect(manifest.body["degraded"].is_boolean(), "degraded is true or false")
}

/// A capability that is missing says why.
fn warnings(context: &Context) -> Outcome {
    let manifest = read(context, CAPABILITIES)?;
    let warnings = texts(&manifest, "warnings")?;
    for flag in FLAGS {
        let name = flag.rsplit('/').next().unwrap_or_default();
        let told = has(&manifest, flag) || warnings.iter().any(|warning| warning.contains(name));
        manifest.expect(told, &format!("{flag} is true, or a warning names {name}"))?;
    }
    Ok(())
}

fn overrides(context: &Context) -> Outcome {
    let manifest = read(context, CAPABILITIES)?;
    let overrides = manifest.body["overrides"].as_object();
    let texts = overrides.is_some_and(|all| all.values().all(Value::is_string));
    manifest.expect(texts, "overrides is an object of texts")?;
    let off = |name: &str| overrides.is_some_and(|all| all.contains_key(name));
    manifest.expect(
        !(off("disable_linux_sandbox") && has(&manifest, "/sandbox/linux_sandbox")),
        "what is switched off is not a capability",
    )?;
    manifest.expect(
        !(off("disable_cgroup") && has(&manifest, "/resources/cgroup_writable")),
        "what is switched off is not a capability",
    )
}

fn once(context: &Context) -> Outcome {
    let first = read(context, CAPABILITIES)?;
    first.expect(first.body["collected_at"].is_string(), "collected_at is a time")?;
    context.succeeds(&sh("true"))?;
    let again = read(context, CAPABILITIES)?;
    again.expect(again.body == first.body, "the manifest is collected once, when the server starts")
}

fn capacity(context: &Context) -> Outcome {
    let resources = read(context, RESOURCES)?;
    resources.expect(resources.body["capacity"].is_object(), "the resources say the capacity")?;
    read(context, CAPABILITIES)?.expect_field("/resources/capacity", &resources.body["capacity"])
}

/// A sandbox has at least a root of its own; without one there are no parts of it.
fn sandbox_whole(context: &Context) -> Outcome {
    let manifest = read(context, CAPABILITIES)?;
    let sandbox = manifest.body["sandbox"]["linux_sandbox"].as_bool();
    manifest.expect(sandbox.is_some(), "the manifest says whether there is a linux_sandbox")?;
    let (sandbox, mount) = (sandbox == Some(true), has(&manifest, "/sandbox/namespaces/mount"));
    manifest.expect(!sandbox || mount, "a linux_sandbox has mount namespaces")?;
    manifest.expect(sandbox || !has(&manifest, "/sandbox/chroot"), "without a linux_sandbox there is no chroot")
}

fn cgroups(context: &Context) -> Outcome {
    let manifest = read(context, CAPABILITIES)?;
    let writable = manifest.body["resources"]["cgroup_writable"].as_bool();
    let limits = ["memory_limit", "pids_limit", "cpu_quota"];
    let any = limits.iter().any(|name| has(&manifest, &format!("/resources/{name}")));
    manifest.expect(writable == Some(any), "cgroup_writable just where a cgroup limits something")?;
    let same = has(&manifest, "/resources/oom_detection") == has(&manifest, "/resources/memory_limit");
    manifest.expect(same, "kills for want of memory are seen just where a cgroup limits memory")
}

/// The plan of a task that asks for these limits, held against the manifest: each is enforced just where one of the
/// capabilities is there.
fn planned(context: &Context, limits: Value, wanted: &[(&str, &[&str])]) -> Outcome {
    let manifest = read(context, CAPABILITIES)?;
    let request = json!({"limits": limits, "policy": {"capability_mode": "adaptive"}});
    let status = context.succeeds(&with(sh("true"), request))?;
    let plan = &status.body["execution_plan"];
    let mut all = true;
    for (enforced, capabilities) in wanted {
        let can = capabilities.iter().any(|name| has(&manifest, &format!("/resources/{name}")));
        let rule = format!("{enforced} is true just where the manifest has {}", capabilities.join(" or "));
        status.expect(plan["resource_enforcement"][enforced] == json!(can), &rule)?;
        all &= can;
    }
    status.expect(plan["degraded"] == json!(!all), "a plan is degraded just where a limit is not enforced")
}

fn plan(context: &Context) -> Outcome {
    planned(
        context,
        json!({"cpu_time_sec": 60, "memory_bytes": 256 << 20, "pids_max": 64}),
        &[
            ("cpu_time_enforced", &["rlimit_cpu"]),
            ("memory_enforced", &["memory_limit", "rlimit_memory"]),
            ("pids_enforced", &["pids_limit"]),
        ],
    )
}

fn plan_of_more(context: &Context) -> Outcome {
    planned(
        context,
        json!({"cpu_millis": 1000, "file_size_bytes": 1 << 20, "open_files": 64, "workspace_bytes": 1 << 20}),
        &[
            ("cpu_enforced", &["cpu_quota"]),
            ("file_size_enforced", &["rlimit_file_size"]),
            ("open_files_enforced", &["rlimit_open_files"]),
            ("workspace_enforced", &["rlimit_file_size"]),
        ],
    )
}

fn config_numbers(context: &Context) -> Outcome {
    let config = read(context, CONFIG)?;
    for name in [
        "max_running_tasks",
        "max_queued_tasks",
        "termination_grace_ms",
        "result_retention_secs",
        "gc_interval_ms",
        "dispatch_poll_interval_ms",
    ] {
        config.expect(config.body[name].is_u64(), &format!("{name} is a number"))?;
    }
    Ok(())
}

fn config_texts(context: &Context) -> Outcome {
    let config = read(context, CONFIG)?;
    for name in ["runtime_id", "listen_addr", "cgroup_root"] {
        config.expect(!config.text_at(&format!("/{name}")).is_empty(), &format!("{name} is a text"))?;
    }
    config.expect(config.text_at("/data_dir").starts_with('/'), "data_dir is an absolute path")?;
    let mode = config.text_at("/default_capability_mode");
    config.expect(matches!(mode, "adaptive" | "strict"), "default_capability_mode is adaptive or strict")?;
    config.expect(config.body["cgroup_enabled"].is_boolean(), "cgroup_enabled is true or false")
}

fn config_more(context: &Context) -> Outcome {
    let config = read(context, CONFIG)?;
    for name in ["linux_sandbox_enabled", "landlock_enabled", "seccomp_enabled"] {
        config.expect(config.body[name].is_boolean(), &format!("{name} is true or false"))?;
    }
    config.expect(config.body["max_body_bytes"].is_u64(), "max_body_bytes is a number")
}

/// What the operator has switched off is said by both.
fn config_overrides(context: &Context) -> Outcome {
    let (config, manifest) = (read(context, CONFIG)?, read(context, CAPABILITIES)?);
    manifest.expect(manifest.body["overrides"].is_object(), "overrides is an object")?;
    let off = manifest.body["overrides"].get("disable_cgroup").is_some();
    config.expect_field("/cgroup_enabled", &json!(!off))
}

fn nothing_secret(context: &Context) -> Outcome {
    let config = read(context, CONFIG)?;
    let names = config.body.as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>());
    let names = names.filter(|names| !names.is_empty());
    let names = names.ok_or_else(|| config.fault("the configuration is an object"))?;
    let secret =
        names.iter().find(|name| ["token", "secret", "password", "key"].iter().any(|word| name.contains(word)));
    config.expect(secret.is_none(), "nothing secret is told")
}

fn resources_capacity(context: &Context) -> Outcome {
    let slots = context.configured("max_running_tasks")?;
    read(context, RESOURCES)?.expect_field("/capacity/task_slots", &json!(slots))
}

fn document(context: &Context) -> Outcome {
    let document = read(context, "/openapi.json")?;
    document.expect(document.text_at("/openapi").starts_with("3."), "the document is one of OpenAPI 3")?;
    document.expect(document.body["paths"]["/api/v1/tasks"].is_object(), "and has the path of submission")
}

fn docs(context: &Context) -> Outcome {
    let docs = read(context, "/docs")?;
    docs.expect(docs.content_type.starts_with("text/html"), "the document is shown as a page")?;
    let index = context.client.get("/")?;
    let leads = index.headers.get("location").is_some_and(|at| at.as_bytes().ends_with(b"/docs"));
    let is_page = index.status == 200 && index.content_type.starts_with("text/html");
    index.expect(is_page || (300..400).contains(&index.status) && leads, "the root is a page, or leads to it")
}

fn version(context: &Context) -> Outcome {
    let info = read(context, INFO)?;
    info.expect(!info.text_at("/version").is_empty(), "version is a text")?;
    for path in ["/healthz", "/readyz"] {
        read(context, path)?.expect_field("/version", &info.body["version"])?;
    }
    Ok(())
}
