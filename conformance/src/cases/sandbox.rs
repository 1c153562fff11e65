//! The sandbox: what a task in a `linux_sandbox` sees, and what it must not.

use serde_json::{Value, json};

use crate::case::{Case, Context, NotPassed, Outcome, command_line, sh, skipped, with};
use crate::client::Exchange;

pub const CASES: &[Case] = &[
    Case::must("sandbox.default", "sandbox", default),
    Case::must("sandbox.adaptive", "Execution plan", adaptive),
    Case::must("sandbox.strict", "Execution plan", strict),
    Case::must("sandbox.namespaces.mount", "sandbox", |it| own(it, "mount", "mnt")),
    Case::must("sandbox.namespaces.pid", "sandbox", |it| own(it, "pid", "pid")),
    Case::must("sandbox.namespaces.uts", "sandbox", |it| own(it, "uts", "uts")),
    Case::must("sandbox.namespaces.ipc", "sandbox", |it| own(it, "ipc", "ipc")),
    Case::must("sandbox.namespaces.net", "sandbox", |it| own(it, "net", "net")),
    Case::should("sandbox.namespaces.uts.shared", "sandbox", |it| shared(it, "uts")),
    Case::should("sandbox.namespaces.ipc.shared", "sandbox", |it| shared(it, "ipc")),
    Case::must("sandbox.namespaces.net.shared", "sandbox", |it| shared(it, "net")),
    Case::must("sandbox.network.by-namespace", "sandbox", |it| no_network(it, json!({"namespaces": {"net": true}}))),
    Case::beyond("sandbox.network.none", "sandbox", |it| no_network(it, json!({"network": "none"}))),
    Case::beyond("sandbox.network.host", "sandbox", |it| {
        let status = run(it, "true", json!({"network": "host"}))?;
        status.expect_field("/execution_plan/network", &json!("host"))
    }),
    Case::beyond("sandbox.network.plain-process", "sandbox", network_of_a_plain_process),
    Case::must("sandbox.processes", "sandbox", |it| {
        it.needs("/sandbox/namespaces/pid")?;
        prints(it, "[ $$ -lt 10 ] && [ $(ls -d /proc/[0-9]* | wc -l) -lt 10 ] && echo alone", "alone\n")
    }),
    Case::beyond("sandbox.host-name", "sandbox", |it| prints(it, "uname -n", "sandbox\n")),
    Case::must("sandbox.read-only", "sandbox", |it| {
        prints(it, "for at in '' /usr /etc /bin /dev /proc; do touch $at/x 2>/dev/null && echo $at; done; true", "")
    }),
    Case::beyond("sandbox.workspace", "sandbox", |it| {
        prints(it, "pwd; echo kept >file; cat file", "/workspace\nkept\n")
    }),
    Case::beyond("sandbox.workspace.subdir", "sandbox", |it| {
        it.needs(SANDBOX)?;
        it.prints(&with(boxed("pwd"), json!({"sandbox": {"workspace_subdir": "a/b"}})), "/workspace/a/b\n").map(drop)
    }),
    Case::beyond("sandbox.environment", "sandbox", |it| {
        prints(it, "echo $HOME $TMPDIR ${USER-unset}", "/workspace /tmp unset\n")
    }),
    Case::beyond("sandbox.environment.given", "sandbox", environment_given),
    Case::beyond("sandbox.script", "sandbox", script),
    Case::beyond("sandbox.tmp", "sandbox", tmp),
    Case::beyond("sandbox.user", "sandbox", |it| {
        prints(it, "[ $(id -u) -ne 0 ] && [ $(id -g) -ne 0 ] && echo mortal", "mortal\n")
    }),
    Case::beyond("sandbox.capabilities", "sandbox", |it| {
        prints(
            it,
            "grep -c '^Cap[A-Z][a-z]*:.0*$' /proc/self/status; grep NoNewPrivs /proc/self/status",
            "5\nNoNewPrivs:\t1\n",
        )
    }),
    Case::beyond("sandbox.no-mounting", "sandbox", |it| {
        it.needs_program("mount")?;
        prints(it, "mount -t tmpfs none /tmp 2>/dev/null && echo mounted; true", "")
    }),
    Case::beyond("sandbox.hides.data-directory", "sandbox", hides_data_dir),
    Case::beyond("sandbox.hides.directories", "sandbox", |it| {
        prints(it, "for at in root home var boot sys opt srv mnt media; do [ -e /$at ] && echo $at; done; true", "")
    }),
    Case::beyond("sandbox.hides.shadow", "sandbox", |it| prints(it, "[ -e /etc/shadow ] && echo there; true", "")),
    Case::beyond("sandbox.hides.devices", "sandbox", |it| {
        prints(it, "for at in mem kmem sda vda tty console kvm fuse; do [ -e /dev/$at ] && echo $at; done; true", "")
    }),
    Case::beyond("sandbox.hides.api", "Errors", hides_api),
    Case::must("sandbox.outcome.exit", "Outcomes", |it| {
        it.needs(SANDBOX)?;
        it.fails(&boxed("echo out; echo err >&2; exit 7"), "exit_non_zero")?.expect_field("/exit_code", &json!(7))
    }),
    Case::must("sandbox.outcome.signal", "Outcomes", |it| {
        it.needs(SANDBOX)?;
        it.fails(&boxed("kill -SEGV $$"), "exit_non_zero")?.expect_field("/exit_signal", &json!(11))
    }),
    Case::must("sandbox.outcome.output", "Status", |it| {
        run(it, "echo out; echo err >&2", json!({}))?.expect_field("/stderr", &json!("err\n"))
    }),
    Case::must("sandbox.outcome.timeout", "Outcomes", |it| {
        it.needs(SANDBOX)?;
        it.fails(&with(boxed("sleep 600 & sleep 600"), json!({"limits": {"wall_time_ms": 300}})), "timeout").map(drop)
    }),
    Case::must("sandbox.outcome.not-found", "Outcomes", |it| {
        it.needs(SANDBOX)?;
        let request = with(command_line(&["/no/such/program"]), json!({"sandbox": {"profile": "linux_sandbox"}}));
        it.fails(&request, "launch_failed").map(drop)
    }),
    Case::must("sandbox.kill", "Kill", kill),
    Case::must("sandbox.background", "Outcomes", background),
    Case::must("sandbox.chroot", "sandbox", chroot),
    Case::must("sandbox.chroot.read-only", "sandbox", |it| {
        it.prints(&in_usr(it, "touch /bin/x 2>/dev/null && echo written; true")?, "").map(drop)
    }),
    Case::must("sandbox.chroot.no-such-rootfs", "Outcomes", |it| no_rootfs(it, "/no/such/rootfs")),
    Case::should("sandbox.chroot.no-directory", "Outcomes", |it| no_rootfs(it, "/etc/passwd")),
    Case::beyond("sandbox.chroot.data-directory", "Outcomes", |it| {
        let config = it.client.get("/api/v1/runtime/config")?;
        config.expect(config.body["data_dir"].is_string(), "the configuration says data_dir")?;
        no_rootfs(it, config.text_at("/data_dir"))
    }),
    Case::should("sandbox.no-effect.rootfs", "sandbox", |it| warns(it, json!({"rootfs": "/srv"}), "sandbox.rootfs")),
    Case::should("sandbox.no-effect.namespaces", "sandbox", |it| {
        warns(it, json!({"namespaces": {"pid": true}}), "sandbox.namespaces")
    }),
];

const SANDBOX: &str = "/sandbox/linux_sandbox";

fn boxed(command: &str) -> Value {
    with(sh(command), json!({"sandbox": {"profile": "linux_sandbox"}}))
}

/// The status of a successful task in a sandbox.
fn run(context: &Context, command: &str, sandbox: Value) -> Result<Exchange, NotPassed> {
    context.needs(SANDBOX)?;
    let status = context.succeeds(&with(boxed(command), json!({"sandbox": sandbox})))?;
    status.expect_field("/execution_plan/effective_sandbox", &json!("linux_sandbox"))?;
    Ok(status)
}

fn prints(context: &Context, command: &str, text: &str) -> Outcome {
    run(context, command, json!({}))?.expect_field("/stdout", &json!(text))
}

fn default(context: &Context) -> Outcome {
    let status = context.succeeds(&sh("true"))?;
    status.expect_field("/execution_plan/requested_sandbox", &json!("process"))?;
    status.expect_field("/execution_plan/effective_sandbox", &json!("process"))
}

/// What the manifest says, either way.
fn has_sandbox(context: &Context) -> Result<bool, NotPassed> {
    let manifest = context.client.get("/api/v1/runtime/capabilities")?;
    let has = manifest.body.pointer(SANDBOX).and_then(Value::as_bool);
    has.ok_or_else(|| manifest.fault("the manifest says whether there is a linux_sandbox").into())
}

fn adaptive(context: &Context) -> Outcome {
    let has = has_sandbox(context)?;
    let policy = json!({"policy": {"capability_mode": "adaptive"}});
    let status = context.succeeds(&with(boxed("true"), policy))?;
    let effective = if has { "linux_sandbox" } else { "process" };
    status.expect_field("/execution_plan/requested_sandbox", &json!("linux_sandbox"))?;
    status.expect_field("/execution_plan/effective_sandbox", &json!(effective))?;
    let told = status.body["execution_plan"]["fallback_reasons"].to_string().contains("linux_sandbox");
    status.expect(has || told, "the plan of a task without its sandbox says so")
}

/// Refused where there is none, and where a layer of it is missing; never run with less.
fn strict(context: &Context) -> Outcome {
    let has = has_sandbox(context)?;
    let answer = context.offer(&with(boxed("true"), json!({"policy": {"capability_mode": "strict"}})))?;
    if answer.status != 200 {
        answer.expect_failure(400, "unsupported_capability", "a strict task is accepted or refused")?;
        let missing = answer.body.pointer("/error/details/missing").and_then(Value::as_array);
        return answer.expect(missing.is_some_and(|all| !all.is_empty()), "details.missing says what is missing");
    }
    answer.expect(has, "a strict task does not get less than the sandbox that it asks for")?;
    let status = context.ended(answer.text_at("/task_id"))?;
    status.expect_field("/execution_plan/effective_sandbox", &json!("linux_sandbox"))?;
    status.expect_field("/execution_plan/degraded", &json!(false))
}

/// The kernel's name of the namespace that a command is in.
fn namespace(file: &str) -> String {
    format!("readlink /proc/self/ns/{file}")
}

fn own(context: &Context, name: &str, file: &str) -> Outcome {
    context.needs(SANDBOX)?;
    context.needs(&format!("/sandbox/namespaces/{name}"))?;
    let outside = context.succeeds(&sh(&namespace(file)))?;
    let inside = run(context, &namespace(file), json!({"namespaces": {name: true}}))?;
    let both = inside.text_at("/stdout").contains(':') && outside.text_at("/stdout").contains(':');
    inside.expect(both, "the kernel tells the namespaces of a process")?;
    let differ = inside.text_at("/stdout") != outside.text_at("/stdout");
    inside.expect(differ, &format!("the task has a {name} namespace of its own"))
}

fn shared(context: &Context, name: &str) -> Outcome {
    context.needs(SANDBOX)?;
    let outside = context.succeeds(&sh(&namespace(name)))?;
    let inside = run(context, &namespace(name), json!({"namespaces": {name: false}}))?;
    inside.expect_field("/stdout", &outside.body["stdout"])
}

fn no_network(context: &Context, sandbox: Value) -> Outcome {
    context.needs(SANDBOX)?;
    context.needs("/sandbox/namespaces/net")?;
    let status = run(context, "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '", sandbox)?;
    status.expect_field("/stdout", &json!("lo\n"))?;
    status.expect_field("/execution_plan/network", &json!("none"))
}

fn network_of_a_plain_process(context: &Context) -> Outcome {
    let request = with(sh("true"), json!({"sandbox": {"network": "none"}, "policy": {"capability_mode": "adaptive"}}));
    let status = context.succeeds(&request)?;
    status.expect_field("/execution_plan/network", &json!("host"))?;
    status.expect_field("/execution_plan/degraded", &json!(true))?;
    let told = status.body["execution_plan"]["fallback_reasons"].to_string().contains("sandbox.network");
    status.expect(told, "the plan says that the network is not taken away")
}

fn environment_given(context: &Context) -> Outcome {
    context.needs(SANDBOX)?;
    let env = json!({"execution": {"env": {"HOME": "/tmp", "TMPDIR": "/workspace", "USER": "me"}}});
    context.prints(&with(boxed("echo $HOME $TMPDIR $USER"), env), "/tmp /workspace me\n").map(drop)
}

fn script(context: &Context) -> Outcome {
    context.needs(SANDBOX)?;
    let sandbox = json!({"profile": "linux_sandbox"});
    let text = "echo $0 $1; touch $0 2>/dev/null && echo written; true";
    let request = json!({"execution": {"kind": "script", "script": text, "args": ["a"]}, "sandbox": sandbox});
    let status = context.prints(&request, "/run/task/script.sh a\n")?;
    let path = status.text_at("/artifacts/script_path");
    status.expect(path.starts_with('/') && !path.starts_with("/run/task/"), "artifacts are paths of the host")
}

fn tmp(context: &Context) -> Outcome {
    prints(context, "echo here >/tmp/conformance; cat /tmp/conformance", "here\n")?;
    prints(context, "[ -e /tmp/conformance ] || echo none", "none\n")?;
    context.prints(&sh("[ -e /tmp/conformance ] || echo none"), "none\n").map(drop)
}

fn hides_data_dir(context: &Context) -> Outcome {
    context.needs(SANDBOX)?;
    let config = context.client.get("/api/v1/runtime/config")?;
    config.expect(config.body["data_dir"].is_string(), "the configuration says data_dir")?;
    let env = json!({"execution": {"env": {"DATA": config.text_at("/data_dir")}}});
    context.prints(&with(sh("[ -e \"$DATA\" ] && echo there"), env.clone()), "there\n")?;
    context.prints(&with(boxed("ls \"$DATA\" 2>/dev/null || echo none"), env), "none\n").map(drop)
}

/// Asked over the loopback device of the host, which the task shares.
fn hides_api(context: &Context) -> Outcome {
    context.needs(SANDBOX)?;
    context.needs("/sandbox/api_closed_to_tasks")?;
    context.needs_program("bash")?;
    let config = context.client.get("/api/v1/runtime/config")?;
    let listens = config.text_at("/listen_addr");
    let port = ["127.0.0.1:", "0.0.0.0:"].into_iter().find_map(|host| listens.strip_prefix(host));
    let port = port.ok_or_else(|| skipped(format!("the runtime listens at {listens}")))?;
    let ask = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port}; printf 'GET /healthz HTTP/1.1\\r\\nhost: localhost\\r\\nconnection: close\\r\\n\\r\\n' >&3; \
         read -r line <&3; echo \"${{line:9:3}}\""
    );
    let bash = |request: Value| with(request, json!({"execution": {"program": "bash", "args": ["-c", ask]}}));
    context.prints(&bash(sh("")), "200\n")?;
    context.prints(&bash(boxed("")), "403\n").map(drop)
}

fn kill(context: &Context) -> Outcome {
    context.needs(SANDBOX)?;
    let id = context.submit(&boxed("trap 'echo terminated; exit' TERM; sleep 600 & echo ready; wait"))?;
    context.says(&id, "ready\n")?;
    context.kill(&id)?;
    let status = context.ended(&id)?;
    status.expect_field("/status", &json!("cancelled"))?;
    status.expect_field("/stdout", &json!("ready\nterminated\n"))
}

fn background(context: &Context) -> Outcome {
    let status = run(context, "while :; do echo x; sleep 0.02; done & echo x", json!({}))?;
    context.stays(&status)
}

/// A command with the host's `/usr` as its root: enough of a system where `/bin` is a link into it.
fn in_usr(context: &Context, command: &str) -> Result<Value, NotPassed> {
    context.needs(SANDBOX)?;
    context.needs("/sandbox/chroot")?;
    let merged = context.run(&sh("[ -L /bin ] && [ -L /lib ]"))?;
    if merged.body["exit_code"] == json!(1) {
        return Err(skipped("the runtime's machine has no /usr that could be a root"));
    }
    Ok(with(boxed(command), json!({"sandbox": {"chroot": true, "rootfs": "/usr"}})))
}

fn chroot(context: &Context) -> Outcome {
    let command = "[ -e /usr ] || echo gone; [ -e /bin/sh ] && echo there; pwd";
    context.prints(&in_usr(context, command)?, "gone\nthere\n/workspace\n").map(drop)
}

fn no_rootfs(context: &Context, rootfs: &str) -> Outcome {
    context.needs(SANDBOX)?;
    context.needs("/sandbox/chroot")?;
    let request = with(boxed("echo ran"), json!({"sandbox": {"chroot": true, "rootfs": rootfs}}));
    let status = context.fails(&request, "sandbox_setup_failed")?;
    status.expect_field("/stdout", &json!(""))?;
    status.expect(!status.text_at("/error/details/step").is_empty(), "details.step says what could not be done")
}

fn warns(context: &Context, sandbox: Value, field: &str) -> Outcome {
    let status = context.succeeds(&with(sh("true"), json!({"sandbox": sandbox})))?;
    let told = status.body["execution_plan"]["capability_warnings"].to_string().contains(field);
    status.expect(told, &format!("the plan warns that {field} has no effect"))?;
    status.expect_field("/execution_plan/degraded", &json!(false))
}
