//! The server as pid 1 of a container: of a pid namespace of its own, with no init but itself.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::delegation::Given;
use crate::support::{SOMEBODY, children, comm, copy_executable, eventually, sh, signal};

const PROGRAM: &str = env!("CARGO_BIN_EXE_execgo-runtime");

/// Gone at the end of the test, with all that is in it.
struct Container(Child);

impl Drop for Container {
    fn drop(&mut self) {
        // With it, by `--kill-child`, pid 1.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `serve` in new user, pid and mount namespaces, with a `/proc` that shows them.
fn container(data_dir: &Path) -> Option<Container> {
    let unshare = |rest: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"]).args(rest);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    };
    let possible = unshare(&["true"]).output().is_ok_and(|output| output.status.success());
    if !possible {
        let _ = writeln!(std::io::stderr(), "SKIPPED: a container: unshare(1) cannot make these namespaces here");
        return None;
    }
    let mut serve = unshare(&[PROGRAM, "serve", "--listen-addr", "127.0.0.1:0", "--disable-cgroup", "--data-dir"]);
    Some(Container(serve.arg(data_dir).env("RUST_LOG", "warn").spawn().expect("it starts")))
}

/// The pid and the address that a server in a pid namespace announces.
fn announced(data_dir: &Path) -> (String, String) {
    let line = eventually("the server announces itself", || {
        let line = fs::read_to_string(data_dir.join("runtime.lock")).ok()?;
        line.ends_with('\n').then(|| line.trim().to_owned())
    });
    let (pid, url) = line.strip_prefix("pid ").and_then(|rest| rest.split_once(", ")).expect("pid and address");
    (pid.to_owned(), url.to_owned())
}

/// What the runtime's own client prints.
fn client(url: &str, args: &[&str]) -> Value {
    let output = Command::new(PROGRAM).args(args).args(["--server", url]).output().expect("the client runs");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {output:?}"))
}

#[test]
fn as_pid_1_it_reaps_orphans_passes_signals_on_and_ends_as_the_server_does() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data_dir = dir.path().join("data");
    let Some(mut container) = container(&data_dir) else { return };
    let (pid, url) = announced(&data_dir);
    assert_ne!(pid, "1", "the server is the child of pid 1");
    let [init] = children(container.0.id())[..] else { panic!("pid 1 alone") };

    // The launcher is killed, so its shim becomes a child of pid 1.
    let script = "until [ -e go ]; do sleep 0.02; done; exit 3";
    let task =
        client(&url, &["submit", "--json", &sh(script).to_string()])["task_id"].as_str().expect("an id").to_owned();
    eventually("the task runs", || (client(&url, &["status", &task])["status"] == "running").then_some(()));
    let [server] = children(init)[..] else { panic!("the server alone") };
    let launcher = children(server).into_iter().find(|pid| comm(*pid).as_deref() == Some("execgo-launcher"));
    signal(launcher.expect("a launcher"), Signal::SIGKILL);
    let shim = eventually("pid 1 gets the orphan", || {
        children(init).into_iter().find(|pid| comm(*pid).as_deref() == Some("execgo-shim"))
    });
    fs::write(data_dir.join("tasks").join(&task).join("workspace/go"), "").expect("written");
    let ended = client(&url, &["wait", &task]);
    assert_eq!((&ended["status"], &ended["exit_code"]), (&json!("failed"), &json!(3)), "{ended}");
    let entry = format!("/proc/{shim}");
    // A zombie would have one.
    eventually("the orphan is reaped", || (!Path::new(&entry).exists()).then_some(()));

    signal(init, Signal::SIGTERM);
    let code = eventually("the container ends", || container.0.try_wait().expect("waitable")).code();
    let mut told = String::new();
    container.0.stderr.take().expect("piped").read_to_string(&mut told).expect("UTF-8");
    assert_eq!(code, Some(0), "{told}");
}

/// Neither of the two would be without the group's controllers, nor may either of them keep the other from them.
#[test]
fn pid_1_divides_the_group_of_its_container() {
    let Some(given) = Given::make("container") else { return };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let program = dir.path().join("program");
    copy_executable(Path::new(PROGRAM), &program);
    chown(dir.path(), Some(SOMEBODY), Some(SOMEBODY)).expect("chown");
    let data_dir = dir.path().join("data");
    // Only what is in the namespace goes into the group, as with a container engine.
    let enter = "echo 0 > \"$0/cgroup.procs\" && exec setpriv --reuid $1 --regid $1 --clear-groups \
                 \"$2\" serve --listen-addr 127.0.0.1:0 --data-dir \"$3\"";
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", enter]).arg(&given.0);
    unshare.arg(SOMEBODY.to_string()).args([&program, &data_dir]).current_dir(dir.path()).stdin(Stdio::null());
    let mut container = Container(unshare.stdout(Stdio::null()).spawn().expect("it starts"));
    let (_, url) = announced(&data_dir);
    let mut request = sh("true");
    request["limits"] = json!({"memory_bytes": 64 << 20});
    let status = client(&url, &["run", "--json", &request.to_string()]);
    let [init] = children(container.0.id())[..] else { panic!("pid 1 alone") };
    assert!(given.holds(init, "/runtime") && children(init).into_iter().all(|server| given.holds(server, "/runtime")));
    let enforced = &status["execution_plan"]["resource_enforcement"];
    assert_eq!(enforced["enforced_by"]["memory_bytes"], "cgroup", "{status}");
    signal(init, Signal::SIGTERM);
    assert_eq!(eventually("the container ends", || container.0.try_wait().expect("waitable")).code(), Some(0));
}
