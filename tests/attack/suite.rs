//! Runs the table against a server, whole or with layers switched off, as root and rootless.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::{Value, json};

use crate::attacker;
use crate::host::Host;
use crate::rows::{GROUPS, Layer, Mode, Row, Task};
use crate::support::Server;

/// Aloud: the harness keeps what the macros print when a test passes, but not this.
pub fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// A server of this mode with a sandbox that has its namespaces, or nothing and a word why.
pub fn server(mode: Mode, flags: &[&str]) -> Option<Server> {
    if !cfg!(target_arch = "x86_64") {
        skipped("the attacker knows the system calls of x86_64 alone");
        return None;
    }
    let server = match mode {
        Mode::Root if !nix::unistd::geteuid().is_root() => {
            skipped("attacks on a root runtime: this is not run by root");
            return None;
        }
        Mode::Root => Server::with_flags(flags),
        Mode::Rootless => Server::rootless_with_flags(flags),
    };
    let manifest = manifest(&server);
    let namespaces = manifest["sandbox"]["namespaces"].as_object().expect("an object");
    if namespaces.values().all(|had| had == true) {
        return Some(server);
    }
    skipped(&format!("this machine has not all namespaces: {}", manifest["warnings"]));
    None
}

pub fn manifest(server: &Server) -> Value {
    server.get("/api/v1/runtime/capabilities").body
}

/// Both kinds of runtime that can be had here, each whole.
pub fn servers(flags: &[&str]) -> impl Iterator<Item = Server> {
    [Mode::Root, Mode::Rootless].into_iter().filter_map(move |mode| server(mode, flags))
}

/// A sandboxed task that has the attacker as `attack`.
pub fn request(task: Task, commands: &str) -> Value {
    let namespaces = match task {
        Task::Usual => json!({}),
        Task::OwnNetwork => json!({"net": true}),
        Task::FewNamespaces => json!({"pid": false, "uts": false, "ipc": false}),
    };
    json!({
        "execution": {"kind": "script", "script": attacker::script(commands)},
        "sandbox": {"profile": "linux_sandbox", "namespaces": namespaces},
        "policy": {"capability_mode": "strict"},
    })
}

/// What the attacker says of each row: `held EPERM`, `open …`, `absent …`, `cannot …`.
fn verdicts(server: &Server, host: &Host, rows: &[&Row], mut request: Value) -> BTreeMap<String, String> {
    let smuggled = format!("smuggled-{}", rows.len());
    request["execution"]["env"] = host.told(server, &smuggled);
    let status = server.run(&request);
    assert_eq!(status["status"], "success", "{}", json!([status["error"], status["stdout"], status["stderr"]]));
    let lines = status["stdout"].as_str().expect("text").lines();
    let verdicts: BTreeMap<String, String> =
        lines.filter_map(|line| line.split_once('\t')).map(|(row, verdict)| (row.into(), verdict.into())).collect();
    assert_eq!(verdicts.len(), rows.len(), "{}", status["stdout"]);
    if let Some(verdict) = verdicts.get("runtime-api") {
        let is_there = server.get(&format!("/api/v1/tasks/{smuggled}")).status == 200;
        assert_eq!(is_there, verdict.starts_with("open"), "the attacker's task, and {verdict}");
    }
    verdicts
}

/// Runs every row and compares. Returns those that a layer holds elsewhere and that are open here.
fn check(mode: Mode, server: &Server, switched_off: &[Layer]) -> Vec<String> {
    let manifest = manifest(server);
    let landlock_abi = manifest["sandbox"]["landlock_abi"].as_u64();
    let lacks_seccomp = manifest["warnings"].to_string().contains("\"seccomp:");
    let missing = [(Layer::Landlock, landlock_abi.is_none()), (Layer::Seccomp, lacks_seccomp)];
    let off: Vec<Layer> = missing.into_iter().filter(|(_, missing)| *missing).map(|(layer, _)| layer).collect();
    assert!(switched_off.iter().all(|layer| off.contains(layer)), "{switched_off:?} are not off: {off:?}");
    let host = Host::new(server, mode);
    let (mut faults, mut opened, mut absent) = (Vec::new(), Vec::new(), Vec::new());
    for task in [Task::Usual, Task::OwnNetwork, Task::FewNamespaces] {
        let rows: Vec<&Row> = GROUPS.iter().flat_map(|(_, rows)| *rows).filter(|row| row.task == task).collect();
        let names: Vec<&str> = rows.iter().map(|row| row.name).collect();
        let mut request = request(task, &format!("./attack {}", names.join(" ")));
        if !off.is_empty() {
            request["policy"]["capability_mode"] = json!("adaptive");
        }
        let verdicts = verdicts(server, &host, &rows, request);
        for row in rows {
            let verdict = verdicts.get(row.name).map_or("nothing was said", String::as_str);
            let expected = if row.is_open(mode, &off, landlock_abi.unwrap_or(0)) { "open" } else { "held" };
            // Seen with --nocapture.
            println!("{mode:?} without {off:?}, {task:?}: {}: {verdict}", row.name);
            let kind = verdict.split(' ').next().unwrap_or_default();
            if kind == "absent" {
                absent.push(row.name);
            } else if kind != expected {
                faults.push(format!("{} ({}): {verdict}, but expected {expected}", row.name, row.tries));
            }
            if kind == "open" && !row.is_never_held(mode) {
                opened.push(row.name.to_owned());
            }
        }
    }
    if !absent.is_empty() {
        skipped(&format!("{mode:?} without {off:?}: this kernel has not got {}", absent.join(", ")));
    }
    assert!(faults.is_empty(), "{mode:?} without {off:?}, Landlock {landlock_abi:?}:\n{}", faults.join("\n"));
    opened
}

/// In a sandbox that is whole every row is held that any layer holds.
fn holds(mode: Mode) {
    let Some(server) = server(mode, &[]) else { return };
    check(mode, &server, &[]);
}

/// Without these layers exactly those rows open that nothing else holds, and there are some: the suite bites.
fn bites(mode: Mode, layers: &[Layer]) {
    let switch = |layer: &Layer| format!("--disable-{}", layer.name().to_lowercase());
    let flags: Vec<String> = layers.iter().map(switch).collect();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let Some(server) = server(mode, &flags) else { return };
    // Where the kernel's Landlock is old, its layer alone may hold nothing that no other does.
    let alone_and_old = layers == [Layer::Landlock] && landlock_is_old(mode);
    let opened = check(mode, &server, layers);
    assert!(!opened.is_empty() || alone_and_old, "nothing opens without {layers:?}: the suite does not bite");
}

fn landlock_is_old(mode: Mode) -> bool {
    let whole = server(mode, &[]).expect("as before");
    manifest(&whole)["sandbox"]["landlock_abi"].as_u64().is_none_or(|abi| abi < 6)
}

#[test]
fn a_root_runtime_holds_every_row() {
    holds(Mode::Root);
}

#[test]
fn a_rootless_runtime_holds_every_row() {
    holds(Mode::Rootless);
}

#[test]
fn without_landlock_and_seccomp_a_root_runtime_opens_exactly_these_rows() {
    bites(Mode::Root, &[Layer::Landlock, Layer::Seccomp]);
}

#[test]
fn without_landlock_and_seccomp_a_rootless_runtime_opens_exactly_these_rows() {
    bites(Mode::Rootless, &[Layer::Landlock, Layer::Seccomp]);
}

#[test]
fn without_landlock_exactly_its_own_rows_open() {
    bites(Mode::Root, &[Layer::Landlock]);
    bites(Mode::Rootless, &[Layer::Landlock]);
}

#[test]
fn without_seccomp_exactly_its_own_rows_open() {
    bites(Mode::Root, &[Layer::Seccomp]);
    bites(Mode::Rootless, &[Layer::Seccomp]);
}
