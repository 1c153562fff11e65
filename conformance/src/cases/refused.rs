//! Requests that must be refused: 400 `invalid_input`, with a message that names the field. One line is one rule.

use serde_json::{Value, json};

use crate::case::{Case, Context, Outcome};

pub const CASES: &[Case] = &[
    // task_id names a directory.
    Case::must("submit.task-id.traversal", "Submit", |it| it.refuses_ids(["../escape", "a/../b", "..\\b", "/etc"])),
    Case::must("submit.task-id.dots", "Submit", |it| it.refuses_ids([".", ".."])),
    Case::must("submit.task-id.leading-dot", "Submit", |it| it.refuses_ids([".hidden", "..a"])),
    Case::must("submit.task-id.slash", "Submit", |it| it.refuses_ids(["a/b", "a/", "/"])),
    Case::must("submit.task-id.empty", "Submit", |it| it.refuses_ids([""])),
    Case::must("submit.task-id.blank", "Submit", |it| it.refuses_ids([" ", "\t", " a", "a "])),
    Case::must("submit.task-id.too-long", "Submit", |it| it.refuses_ids([&"a".repeat(129), &"a".repeat(4096)])),
    Case::must("submit.task-id.control", "Submit", |it| it.refuses_ids(["a\n", "a\nb", "a\u{7f}", "a\u{1b}[0m"])),
    Case::must("submit.task-id.nul", "Submit", |it| it.refuses_ids(["a\0", "\0"])),
    Case::must("submit.task-id.punctuation", "Submit", |it| it.refuses_ids(["a:b", "a*", "~", "a;b", "$x", "a%2fb"])),
    Case::must("submit.task-id.not-ascii", "Submit", |it| it.refuses_ids(["ä", "١", "a\u{200b}", "ａ", "😀"])),
    Case::must("submit.task-id.type", "Submit", |it| {
        [json!(5), json!(true), json!(["a"]), json!({})]
            .into_iter()
            .try_for_each(|id| it.refuses(json!({"task_id": id}), "task_id"))
    }),
    // The two kinds of execution.
    Case::must("submit.execution.missing", "Submit", |it| it.refuses(json!({"execution": null}), "execution")),
    Case::must("submit.execution.type", "execution", |it| it.refuses(json!({"execution": "true"}), "execution")),
    Case::must("submit.kind.missing", "execution", |it| it.refuses_each("execution", "kind", [Value::Null])),
    Case::must("submit.kind.unknown", "execution", |it| {
        it.refuses_each("execution", "kind", [json!("container"), json!("Command"), json!(""), json!(1)])
    }),
    Case::must("submit.program.missing", "execution", |it| it.refuses_each("execution", "program", [Value::Null])),
    Case::must("submit.program.blank", "execution", |it| {
        it.refuses_each("execution", "program", [json!(""), json!(" "), json!("\t\n")])
    }),
    Case::must("submit.program.nul", "execution", |it| it.refuses_each("execution", "program", [json!("tr\0ue")])),
    Case::must("submit.command.with-script", "execution", |it| it.refuses_each("execution", "script", [json!("echo")])),
    Case::must("submit.command.with-interpreter", "execution", |it| {
        it.refuses_each("execution", "interpreter", [json!(["/bin/sh"])])
    }),
    Case::must("submit.script.missing", "execution", |it| refuses_script(it, json!({"script": null}), "script")),
    Case::must("submit.script.blank", "execution", |it| refuses_script(it, json!({"script": " \n"}), "script")),
    Case::must("submit.script.nul", "execution", |it| refuses_script(it, json!({"script": "a\0"}), "script")),
    Case::must("submit.script.with-program", "execution", |it| {
        refuses_script(it, json!({"program": "true"}), "program")
    }),
    Case::must("submit.interpreter.blank", "execution", |it| {
        refuses_script(it, json!({"interpreter": [" ", "-e"]}), "interpreter")
    }),
    Case::must("submit.interpreter.nul", "execution", |it| {
        refuses_script(it, json!({"interpreter": ["/bin/sh\0"]}), "interpreter")
    }),
    Case::must("submit.interpreter.type", "execution", |it| {
        refuses_script(it, json!({"interpreter": "/bin/sh"}), "interpreter")
    }),
    Case::must("submit.args.type", "execution", |it| {
        it.refuses_each(
            "execution",
            "args",
            [json!("a b"), json!({"0": "a"}), json!([1]), json!([["a"]]), json!([null])],
        )
    }),
    Case::must("submit.args.nul", "execution", |it| it.refuses_each("execution", "args", [json!(["ok", "a\0b"])])),
    Case::must("submit.env.type", "execution", |it| {
        it.refuses_each("execution", "env", [json!(["A=b"]), json!("A=b"), json!({"A": 1}), json!({"A": null})])
    }),
    Case::must("submit.env.empty-key", "execution", |it| it.refuses_each("execution", "env", [json!({"": "v"})])),
    Case::must("submit.env.equals-in-key", "execution", |it| {
        it.refuses_each("execution", "env", [json!({"A=B": "v"}), json!({"=": ""})])
    }),
    Case::must("submit.env.nul", "execution", |it| {
        it.refuses_each("execution", "env", [json!({"A\0": "v"}), json!({"A": "\0"})])
    }),
    // A misspelt field is never a field that is silently missing.
    Case::must("submit.unknown-field", "General", |it| it.refuses(json!({"timeout": 5}), "timeout")),
    Case::must("submit.unknown-field.execution", "General", |it| {
        it.refuses_each("execution", "command", [json!("true"), json!(1)])
    }),
    Case::must("submit.unknown-field.limits", "General", |it| it.refuses_each("limits", "wall_time", [json!(1000)])),
    Case::must("submit.unknown-field.sandbox", "General", |it| it.refuses_each("sandbox", "kind", [json!("none")])),
    Case::must("submit.unknown-field.namespaces", "General", |it| {
        it.refuses(json!({"sandbox": {"namespaces": {"network": true}}}), "sandbox.namespaces.network")
    }),
    Case::must("submit.unknown-field.policy", "General", |it| it.refuses_each("policy", "mode", [json!("strict")])),
    Case::must("submit.unknown-field.control-context", "General", |it| {
        it.refuses_each("control_context", "tenants", [json!("acme")])
    }),
    Case::must("submit.unknown-field.case", "General", |it| it.refuses(json!({"Metadata": {}}), "Metadata")),
    // Each limit is a whole number from 1.
    Case::must("submit.limits.wall-time.too-small", "limits", |it| too_small(it, "wall_time_ms")),
    Case::must("submit.limits.cpu-time.too-small", "limits", |it| too_small(it, "cpu_time_sec")),
    Case::must("submit.limits.memory.too-small", "limits", |it| too_small(it, "memory_bytes")),
    Case::must("submit.limits.pids.too-small", "limits", |it| too_small(it, "pids_max")),
    Case::must("submit.limits.stdout.too-small", "limits", |it| too_small(it, "stdout_max_bytes")),
    Case::must("submit.limits.stderr.too-small", "limits", |it| too_small(it, "stderr_max_bytes")),
    Case::beyond("submit.limits.cpu-millis.too-small", "limits", |it| too_small(it, "cpu_millis")),
    Case::beyond("submit.limits.file-size.too-small", "limits", |it| too_small(it, "file_size_bytes")),
    Case::beyond("submit.limits.open-files.too-small", "limits", |it| too_small(it, "open_files")),
    Case::beyond("submit.limits.workspace.too-small", "limits", |it| too_small(it, "workspace_bytes")),
    Case::beyond("submit.limits.stdout-log.too-small", "limits", |it| too_small(it, "stdout_log_max_bytes")),
    Case::beyond("submit.limits.stderr-log.too-small", "limits", |it| too_small(it, "stderr_log_max_bytes")),
    Case::must("submit.limits.wall-time.type", "limits", |it| no_number(it, "wall_time_ms")),
    Case::must("submit.limits.cpu-time.type", "limits", |it| no_number(it, "cpu_time_sec")),
    Case::must("submit.limits.memory.type", "limits", |it| no_number(it, "memory_bytes")),
    Case::must("submit.limits.pids.type", "limits", |it| no_number(it, "pids_max")),
    Case::must("submit.limits.stdout.type", "limits", |it| no_number(it, "stdout_max_bytes")),
    Case::must("submit.limits.stderr.type", "limits", |it| no_number(it, "stderr_max_bytes")),
    Case::beyond("submit.limits.cpu-millis.type", "limits", |it| no_number(it, "cpu_millis")),
    Case::beyond("submit.limits.file-size.type", "limits", |it| no_number(it, "file_size_bytes")),
    Case::beyond("submit.limits.open-files.type", "limits", |it| no_number(it, "open_files")),
    Case::beyond("submit.limits.workspace.type", "limits", |it| no_number(it, "workspace_bytes")),
    Case::beyond("submit.limits.stdout-log.type", "limits", |it| no_number(it, "stdout_log_max_bytes")),
    Case::beyond("submit.limits.stderr-log.type", "limits", |it| no_number(it, "stderr_log_max_bytes")),
    Case::must("submit.limits.type", "limits", |it| it.refuses(json!({"limits": [5]}), "limits")),
    Case::beyond("submit.limits.cpu-millis.range", "limits", |it| it.refuses_each("limits", "cpu_millis", [json!(9)])),
    Case::beyond("submit.limits.stdout.range", "limits", |it| {
        it.refuses_each("limits", "stdout_max_bytes", [json!(16_777_217)])
    }),
    Case::beyond("submit.limits.stderr.range", "limits", |it| {
        it.refuses_each("limits", "stderr_max_bytes", [json!(16_777_217)])
    }),
    Case::beyond("submit.limits.open-files.range", "limits", |it| {
        it.refuses_each("limits", "open_files", [json!(15), json!(1_048_577)])
    }),
    Case::should("submit.limits.exact-integers", "General", |it| {
        it.refuses_each("limits", "memory_bytes", [json!(1_u64 << 53), json!(u64::MAX)])
    }),
    // The sandbox.
    Case::must("submit.sandbox.profile", "sandbox", |it| {
        it.refuses_each("sandbox", "profile", [json!("docker"), json!(""), json!("Process"), json!(1)])
    }),
    Case::must("submit.subdir.absolute", "sandbox", |it| subdir(it, &["/", "/tmp", "//a"])),
    Case::must("submit.subdir.parent", "sandbox", |it| subdir(it, &["..", "../a", "a/..", "a/../../b"])),
    Case::must("submit.subdir.nul", "sandbox", |it| subdir(it, &["a\0b"])),
    Case::must("submit.chroot.plain-process", "sandbox", |it| {
        it.refuses(json!({"sandbox": {"chroot": true, "rootfs": "/srv/rootfs"}}), "sandbox.chroot")
    }),
    Case::must("submit.chroot.no-rootfs", "sandbox", |it| {
        it.refuses(json!({"sandbox": {"profile": "linux_sandbox", "chroot": true}}), "sandbox.rootfs")
    }),
    Case::must("submit.chroot.blank-rootfs", "sandbox", |it| {
        it.refuses(json!({"sandbox": {"profile": "linux_sandbox", "chroot": true, "rootfs": " "}}), "sandbox.rootfs")
    }),
    Case::must("submit.chroot.type", "sandbox", |it| {
        it.refuses_each("sandbox", "chroot", [json!("true"), json!(1), json!([])])
    }),
    Case::must("submit.namespaces.type", "sandbox", |it| {
        it.refuses(json!({"sandbox": {"namespaces": {"pid": "yes"}}}), "sandbox.namespaces.pid")
    }),
    Case::beyond("submit.network.value", "sandbox", |it| {
        it.refuses_each("sandbox", "network", [json!("bridge"), json!(""), json!(false)])
    }),
    Case::beyond("submit.network.contradiction", "sandbox", |it| {
        it.refuses(json!({"sandbox": {"network": "host", "namespaces": {"net": true}}}), "sandbox.network")?;
        it.refuses(json!({"sandbox": {"network": "none", "namespaces": {"net": false}}}), "sandbox.network")
    }),
    // What the control plane says.
    Case::must("submit.capability-mode", "policy", |it| {
        it.refuses_each("policy", "capability_mode", [json!("lenient"), json!(""), json!("STRICT"), json!(true)])
    }),
    Case::must("submit.control-context.blank", "control_context", |it| {
        ["control_plane_mode", "tenant", "owner", "expected_runtime_profile"]
            .into_iter()
            .try_for_each(|name| it.refuses_each("control_context", name, [json!(""), json!(" ")]))
    }),
    Case::must("submit.control-context.nul", "control_context", |it| {
        ["control_plane_mode", "tenant", "owner", "expected_runtime_profile"]
            .into_iter()
            .try_for_each(|name| it.refuses_each("control_context", name, [json!("a\0")]))
    }),
    Case::must("submit.control-context.flags", "control_context", |it| {
        ["requires_strict_sandbox", "requires_resource_reservation"]
            .into_iter()
            .try_for_each(|name| it.refuses_each("control_context", name, [json!("true"), json!(0)]))
    }),
    Case::must("submit.labels.keys", "control_context", |it| {
        it.refuses_each("control_context", "labels", [json!({"": "v"}), json!({"a=b": "v"})])
    }),
    Case::must("submit.labels.type", "control_context", |it| {
        it.refuses_each("control_context", "labels", [json!({"a": 1}), json!(["a"]), json!("a=b")])
    }),
    Case::must("submit.labels.nul", "General", |it| {
        it.refuses_each("control_context", "labels", [json!({"a": "\0"}), json!({"a\0": ""})])
    }),
    Case::must("submit.metadata.type", "Submit", |it| {
        [json!(["a"]), json!("a"), json!({"a": 1}), json!({"a": {"b": "c"}})]
            .into_iter()
            .try_for_each(|metadata| it.refuses(json!({"metadata": metadata}), "metadata"))
    }),
    Case::must("submit.metadata.nul", "General", |it| {
        it.refuses(json!({"metadata": {"a": "\0"}}), "metadata")?;
        it.refuses(json!({"metadata": {"\0": "a"}}), "metadata")
    }),
];

fn refuses_script(context: &Context, more: Value, name: &str) -> Outcome {
    let mut execution = json!({"kind": "script", "program": null, "args": null, "script": "echo"});
    if let (Some(fields), Value::Object(more)) = (execution.as_object_mut(), more) {
        fields.extend(more);
    }
    context.refuses(json!({"execution": execution}), &format!("execution.{name}"))
}

fn too_small(context: &Context, limit: &str) -> Outcome {
    context.refuses_each("limits", limit, [json!(0), json!(-1), json!(i64::MIN)])
}

fn no_number(context: &Context, limit: &str) -> Outcome {
    context.refuses_each("limits", limit, [json!("100"), json!(100.5), json!(true), json!([100]), json!({})])
}

fn subdir(context: &Context, paths: &[&str]) -> Outcome {
    paths.iter().try_for_each(|path| context.refuses_each("sandbox", "workspace_subdir", [json!(path)]))
}
