//! What the control plane may demand: modes, profiles, tenants, and what there can never be enough of.

use serde_json::{Value, json};

use crate::case::{Case, Context, NotPassed, Outcome, sh, skipped, with};
use crate::client::Exchange;

pub const CASES: &[Case] = &[
    Case::must("policy.mode.default", "policy", default_mode),
    Case::must("policy.mode.adaptive", "policy", |it| mode(it, "adaptive")),
    Case::must("policy.mode.strict", "policy", |it| mode(it, "strict")),
    Case::beyond("policy.strict.refuses", "Execution plan", |it| {
        let strict = json!({"sandbox": {"network": "none"}, "policy": {"capability_mode": "strict"}});
        unsupported(it, strict, "sandbox.network")
    }),
    Case::beyond("policy.strict-sandbox.refuses", "control_context", |it| {
        let strict = json!({"sandbox": {"network": "none"}, "control_context": {"requires_strict_sandbox": true}});
        unsupported(it, strict, "sandbox.network")
    }),
    Case::must("policy.strict-sandbox.nothing-missing", "control_context", |it| {
        runs(it, json!({"requires_strict_sandbox": true}))
    }),
    Case::must("policy.strict.pids", "Execution plan", |it| strict_limit(it, "pids_max", "pids", "pids_limit")),
    Case::must("policy.strict.cpu-time", "Execution plan", |it| {
        strict_limit(it, "cpu_time_sec", "cpu_time", "rlimit_cpu")
    }),
    Case::beyond("policy.strict.cpu-millis", "Execution plan", |it| strict_limit(it, "cpu_millis", "cpu", "cpu_quota")),
    Case::must("policy.profile.adaptive", "control_context", other_profile),
    Case::must("policy.profile.strict", "control_context", |it| {
        let other = json!({"expected_runtime_profile": NO_PROFILE});
        unsupported(it, json!({"control_context": other, "policy": {"capability_mode": "strict"}}), NO_PROFILE)
    }),
    Case::must("policy.profile.same", "control_context", same_profile),
    Case::must("policy.labels", "control_context", |it| {
        runs(it, json!({"labels": {"team": "a", "empty": "", "a.b/c-d e": "é😀", "A": " = "}}))
    }),
    Case::must("policy.control-plane-mode", "control_context", |it| runs(it, json!({"control_plane_mode": "any"}))),
    Case::must("policy.tenant.without-quota", "control_context", |it| runs(it, json!({"tenant": it.fresh_id()}))),
    Case::must("policy.reservation", "control_context", reservation),
    Case::must("policy.never-enough.memory", "Errors", |it| never_enough(it, "memory_bytes", "memory_bytes")),
    Case::must("policy.never-enough.pids", "Errors", |it| never_enough(it, "pids", "pids_max")),
    Case::must("policy.never-enough.leaves-nothing", "Submit", leaves_nothing),
    Case::must("policy.just-enough.memory", "Resources", |it| just_enough(it, "memory_bytes", "memory_bytes")),
    Case::must("policy.just-enough.pids", "Resources", |it| just_enough(it, "pids", "pids_max")),
    Case::beyond("policy.quota.memory", "Errors", |it| beyond_quota(it, "memory_bytes", "memory_bytes")),
    Case::beyond("policy.quota.pids", "Errors", |it| beyond_quota(it, "pids", "pids_max")),
    Case::beyond("policy.quota.slots", "Resources", quota_of_slots),
];

/// More are not worth their time.
const MAX_SLOTS: u64 = 32;
/// A profile that no runtime has.
const NO_PROFILE: &str = "no-such-profile";

fn default_mode(context: &Context) -> Outcome {
    let config = context.client.get("/api/v1/runtime/config")?;
    let mode = config.text_at("/default_capability_mode");
    config.expect(matches!(mode, "adaptive" | "strict"), "default_capability_mode is adaptive or strict")?;
    let status = context.succeeds(&sh("true"))?;
    status.expect_field("/execution_plan/capability_mode", &json!(mode))
}

fn mode(context: &Context, mode: &str) -> Outcome {
    let status = context.succeeds(&with(sh("true"), json!({"policy": {"capability_mode": mode}})))?;
    status.expect_field("/execution_plan/capability_mode", &json!(mode))?;
    status.expect_field("/execution_plan/degraded", &json!(false))
}

fn runs(context: &Context, control: Value) -> Outcome {
    context.prints(&with(sh("echo ran"), json!({"control_context": control})), "ran\n").map(drop)
}

/// Refused, with all that is missing in words.
fn unsupported(context: &Context, more: Value, named: &str) -> Outcome {
    let refused = context.offer(&with(sh("true"), more))?;
    refused.expect_failure(400, "unsupported_capability", "what cannot be enforced is refused")?;
    let missing = refused.body.pointer("/error/details/missing").and_then(Value::as_array);
    let named = |word: &Value| word.as_str().is_some_and(|word| word.contains(named));
    refused.expect(missing.is_some_and(|all| all.iter().any(named)), "details.missing says what is missing")
}

/// A limit is enforced, or the strict task is refused; either as the manifest says.
fn strict_limit(context: &Context, limit: &str, name: &str, capability: &str) -> Outcome {
    let manifest = context.client.get("/api/v1/runtime/capabilities")?;
    let can = manifest.body["resources"][capability].as_bool();
    let can = can.ok_or_else(|| manifest.fault(&format!("the manifest says whether there is {capability}")))?;
    let strict = json!({"limits": {limit: 64}, "policy": {"capability_mode": "strict"}});
    if !can {
        return unsupported(context, strict, &format!("limits.{limit}"));
    }
    let status = context.succeeds(&with(sh("true"), strict))?;
    status.expect_field(&format!("/execution_plan/resource_enforcement/{name}_enforced"), &json!(true))
}

fn other_profile(context: &Context) -> Outcome {
    let control = json!({"expected_runtime_profile": NO_PROFILE});
    let request = json!({"control_context": control, "policy": {"capability_mode": "adaptive"}});
    let status = context.succeeds(&with(sh("true"), request))?;
    let warned = status.body["execution_plan"]["capability_warnings"].to_string().contains(NO_PROFILE);
    status.expect(warned, "the plan warns that the profile of the runtime is another")
}

fn same_profile(context: &Context) -> Outcome {
    let manifest = context.client.get("/api/v1/runtime/capabilities")?;
    let has = manifest.body.pointer("/sandbox/linux_sandbox").and_then(Value::as_bool);
    let has = has.ok_or_else(|| manifest.fault("the manifest says whether there is a linux_sandbox"))?;
    let profile = if has { "linux_sandbox" } else { "process" };
    let request = json!({
        "control_context": {"expected_runtime_profile": profile}, "policy": {"capability_mode": "strict"},
    });
    let status = context.succeeds(&with(sh("true"), request))?;
    status.expect_field("/execution_plan/capability_warnings", &json!([]))
}

fn reservation(context: &Context) -> Outcome {
    let status =
        context.succeeds(&with(sh("true"), json!({"control_context": {"requires_resource_reservation": true}})))?;
    status.expect_field("/reservation/task_slots", &json!(1))
}

/// How much there is of a kind: of the runtime, and of each tenant that has a quota.
fn capacity(context: &Context, kind: &str) -> Result<u64, NotPassed> {
    let resources = context.client.get("/api/v1/runtime/resources")?;
    resources.expect(resources.body["capacity"]["task_slots"].is_u64(), "capacity.task_slots is a number")?;
    let capacity = resources.body["capacity"][kind].as_u64();
    capacity.ok_or_else(|| skipped(format!("the runtime's capacity of {kind} is not limited")))
}

fn insufficient(context: &Context, limit: &str, most: u64, control: Value) -> Result<Exchange, NotPassed> {
    let more = json!({"limits": {limit: most + 1}, "control_context": control});
    let refused = context.offer(&with(sh("true"), more))?;
    refused.expect_failure(400, "insufficient_resources", "what there can never be enough of is refused")?;
    for (name, value) in
        [("asked", json!(most + 1)), ("limit", json!(most)), ("what", json!(format!("limits.{limit}")))]
    {
        refused.expect_field(&format!("/error/details/{name}"), &value)?;
    }
    Ok(refused)
}

fn never_enough(context: &Context, kind: &str, limit: &str) -> Outcome {
    insufficient(context, limit, capacity(context, kind)?, json!({})).map(drop)
}

fn leaves_nothing(context: &Context) -> Outcome {
    let most = capacity(context, "memory_bytes")?;
    let id = context.fresh_id();
    let refused = context.offer(&with(sh("true"), json!({"task_id": id, "limits": {"memory_bytes": most + 1}})))?;
    refused.expect_failure(400, "insufficient_resources", "what there can never be enough of is refused")?;
    let task = context.client.get(&format!("/api/v1/tasks/{id}"))?;
    task.expect_failure(404, "not_found", "a refused task leaves nothing behind")
}

fn just_enough(context: &Context, kind: &str, limit: &str) -> Outcome {
    let most = capacity(context, kind)?;
    let status = context.prints(&with(sh("echo ran"), json!({"limits": {limit: most}})), "ran\n")?;
    status.expect_field(&format!("/reservation/{kind}"), &json!(most))
}

/// The name and the quota of a tenant whose quota has this kind.
fn tenant(context: &Context, kind: &str) -> Result<(String, u64), NotPassed> {
    let resources = context.client.get("/api/v1/runtime/resources")?;
    let tenants = resources.body["tenants"].as_array();
    let tenants = tenants.ok_or_else(|| resources.fault("the resources list the tenants that have a quota"))?;
    let quota = |tenant: &Value| Some((tenant["tenant"].as_str()?.to_owned(), tenant["quota"][kind].as_u64()?));
    tenants.iter().find_map(quota).ok_or_else(|| skipped(format!("no tenant has a quota of {kind}")))
}

fn beyond_quota(context: &Context, kind: &str, limit: &str) -> Outcome {
    let (name, most) = tenant(context, kind)?;
    let refused = insufficient(context, limit, most, json!({"tenant": name}))?;
    refused.expect_field("/error/details/tenant", &json!(name))
}

/// Its next task waits, and that of somebody else does not.
fn quota_of_slots(context: &Context) -> Outcome {
    let (name, slots) = tenant(context, "task_slots")?;
    let all = context.configured("max_running_tasks")?;
    if slots > MAX_SLOTS || slots >= all {
        return Err(skipped(format!("tenant {name:?} may have {slots} tasks of {all}: too many to fill")));
    }
    let sleeper = with(sh("exec sleep 600"), json!({"control_context": {"tenant": name}}));
    let first = context.submit(&sleeper)?;
    context.running(&first)?;
    for _ in 1..slots {
        context.running(&context.submit(&sleeper)?)?;
    }
    let next = context.submit(&sleeper)?;
    context.succeeds(&sh("true"))?;
    context.status(&next)?.expect_field("/status", &json!("accepted"))?;
    context.kill(&first)?;
    context.running(&next).map(drop)
}
