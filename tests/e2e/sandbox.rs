//! The profile `linux_sandbox`, seen from inside by its tasks and from outside by the host. Each task is strict, so that
//! none of these passes in a sandbox that is not whole. Where the manifest says that this machine has no sandbox, a test
//! says so, with the reason, and ends.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{Server, copy_executable, eventually, is_alive, patience, sh, signal};

/// A server with a sandbox that is whole, or nothing and a word why.
pub fn server_with_sandbox(flags: &[&str]) -> Option<Server> {
    whole(Server::with_flags(flags))
}

pub fn whole(server: Server) -> Option<Server> {
    let manifest = server.get("/api/v1/runtime/capabilities").body;
    let namespaces = ["mount", "pid", "uts", "ipc", "net"];
    let has_all = manifest["sandbox"]["linux_sandbox"] == true
        && namespaces.iter().all(|name| manifest["sandbox"]["namespaces"][name] == true);
    let warnings = manifest["warnings"].to_string();
    if has_all && !warnings.contains("landlock") && !warnings.contains("seccomp") {
        return Some(server);
    }
    skipped(&format!("this machine has no whole linux_sandbox: {warnings}"));
    None
}

/// Aloud: the harness keeps what the macros print when a test passes, but not this.
pub fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// Only root can give tasks users of their own.
pub fn is_root(what: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        skipped(&format!("{what}: this test is not run by root"));
    }
    root
}

macro_rules! need_sandbox {
    () => {
        need_sandbox!(&[])
    };
    ($flags:expr) => {
        match $crate::sandbox::server_with_sandbox($flags) {
            Some(server) => server,
            None => return,
        }
    };
}

pub(crate) use need_sandbox;

pub fn boxed(script: &str) -> Value {
    boxed_with(script, &json!({}))
}

pub fn boxed_with(script: &str, sandbox: &Value) -> Value {
    let mut request = sh(script);
    request["sandbox"] = json!({"profile": "linux_sandbox"});
    request["sandbox"].as_object_mut().expect("an object").extend(sandbox.as_object().expect("an object").clone());
    request["policy"] = json!({"capability_mode": "strict"});
    request
}

pub fn stdout(status: &Value) -> &str {
    status["stdout"].as_str().expect("text")
}

/// Runs a script in which every line must be refused: each that succeeds is printed, as the first, a control, is.
pub fn refused(server: &Server, attempts: &[&str], sandbox: &Value) {
    let attempts = [&["ls /workspace"], attempts].concat();
    let lines =
        attempts.iter().map(|a| format!("if ({a}) >/dev/null 2>&1; then echo '{}'; fi\n", a.replace('\'', "\"")));
    let script: String = lines.collect();
    let status = server.run(&boxed_with(&format!("{script}echo done"), sandbox));
    assert_eq!(stdout(&status), "ls /workspace\ndone\n", "{status}");
}

#[test]
fn a_task_has_a_pid_namespace_with_its_own_processes_alone() {
    let server = need_sandbox!();
    let status = server.run(&boxed("/bin/true; /bin/true; echo $$; ls /proc | grep -c '^[0-9]'"));
    assert_eq!(status["status"], "success", "{status}");
    let numbers: Vec<u32> = stdout(&status).lines().map(|line| line.parse().expect("a number")).collect();
    assert!(numbers[0] < 10 && (1..=4).contains(&numbers[1]), "{numbers:?}");
    let plan = &status["execution_plan"];
    assert_eq!((&plan["effective_sandbox"], &plan["degraded"]), (&json!("linux_sandbox"), &json!(false)));
    let warned = plan["capability_warnings"].to_string();
    assert!(warned.contains("own API"), "{warned}");
}

#[test]
fn a_task_does_not_see_where_its_cgroups_are() {
    let server = need_sandbox!();
    for pid in [true, false] {
        // `0::/`, and in version 1 as many more as there are hierarchies.
        let status = server.run(&boxed_with("cut -d: -f3 /proc/self/cgroup", &json!({"namespaces": {"pid": pid}})));
        assert!(!stdout(&status).is_empty() && stdout(&status).lines().all(|path| path == "/"), "{status}");
    }
}

#[test]
fn the_command_is_offered_to_the_out_of_memory_killer_and_nobody_else_is() {
    let server = need_sandbox!();
    let score = |pid: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).expect("readable");
        text.trim().parse::<i32>().expect("a number")
    };
    let own = score("self");
    let script = "cat /proc/self/oom_score_adj; echo end; until [ -e go ]; do sleep 0.02; done";
    for (request, has_init) in [
        (sh(script), false),
        (boxed(script), true),
        (boxed_with(script, &json!({"namespaces": {"pid": false}})), false),
    ] {
        let id = server.submit(&request);
        let status = server.until_output(&id, "end");
        assert_eq!(stdout(&status), format!("{}\nend\n", own.max(500)), "{status}");
        assert_eq!(score(&status["shim_pid"].to_string()), own, "the shim");
        assert_eq!(score(&status["pid"].to_string()), if has_init { own } else { own.max(500) }, "{status}");
        fs::write(server.task_dir(&id).join("workspace/go"), "").expect("written");
        assert_eq!(server.wait(&id)["status"], "success");
    }
}

#[test]
fn a_task_has_no_privilege_at_all() {
    let server = need_sandbox!();
    let status = server.run(&boxed("id -u; id -G; grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; hostname"));
    let lines: Vec<&str> = stdout(&status).lines().collect();
    assert_ne!(lines[0], "0", "{status}");
    assert!(!lines[1].split(' ').any(|group| group == "0"), "{status}");
    let of = |name: &str| {
        let line = lines.iter().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {status}"));
        line.rsplit('\t').next().expect("a value").to_owned()
    };
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(of(set), "0000000000000000", "{set}");
    }
    assert_eq!((of("NoNewPrivs:").as_str(), of("Seccomp:").as_str()), ("1", "2"));
    assert_eq!(lines.last(), Some(&"sandbox"));
}

#[test]
fn two_tasks_are_two_users() {
    if !is_root("two users") {
        return;
    }
    let server = need_sandbox!();
    let users = [server.run(&boxed("id -u")), server.run(&boxed("id -u"))];
    assert_ne!(stdout(&users[0]), stdout(&users[1]));
}

#[test]
fn pid_1_is_neither_root_nor_the_task_s_user_and_holds_nothing() {
    if !is_root("pid 1 has a user of its own") {
        return;
    }
    let server = need_sandbox!();
    let id = server.submit(&boxed("id -u; echo end; until [ -e go ]; do sleep 0.02; done"));
    let status = server.until_output(&id, "end");
    let proc = Path::new("/proc").join(status["pid"].to_string());
    let of = |name: &str| {
        let text = fs::read_to_string(proc.join("status")).expect("readable");
        let line = text.lines().find(|line| line.starts_with(name)).expect("there").to_owned();
        line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    eventually("pid 1 has become another user", || (of("Uid:")[0] != "0").then_some(()));
    eventually("it has confined itself", || (of("NoNewPrivs:") == ["1"]).then_some(()));
    let uids = of("Uid:");
    assert!(uids.iter().all(|uid| *uid == uids[0]) && of("Gid:") == uids && of("Groups:").is_empty(), "{uids:?}");
    assert_ne!(stdout(&status).lines().next(), Some(uids[0].as_str()), "the task's user");
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(of(set), ["0000000000000000"], "{set}");
    }
    for stream in ["0", "1", "2"] {
        assert_eq!(fs::read_link(proc.join("fd").join(stream)).expect("readable"), Path::new("/dev/null"));
    }
    fs::write(server.task_dir(&id).join("workspace/go"), "").expect("written");
    assert_eq!(server.wait(&id)["status"], "success");
}

#[test]
fn the_host_s_files_are_read_only_or_not_there() {
    let server = need_sandbox!();
    let data = server.data_dir().display().to_string();
    let data_attempts =
        [format!("ls {data}"), format!("cat {data}/runtime.db"), format!("ls {data}/tasks"), format!("ls {data}/..")];
    let mut attempts = vec![
        "touch /x",
        "touch /usr/x",
        "touch /etc/x",
        "touch /run/task/x",
        "mkdir /proc/x",
        "echo 1 > /proc/sys/kernel/hostname",
        "echo b > /proc/sysrq-trigger",
        "cat /etc/shadow",
        "cat /etc/passwd- /etc/sudoers",
        "ls /root",
        "ls /home",
        "ls /var",
        "ls /run/lock",
        "ls /sys",
        "test -s /proc/kcore",
        "test -s /proc/keys",
        "ls /proc/1/root",
        "cat /proc/1/environ",
        "ls /proc/1/fd",
        "test -e /dev/tty",
        "test -e /dev/mem",
        "test -e /dev/kmsg",
        "mknod /tmp/null c 1 3",
        "cat /../../../../../../etc/shadow",
    ];
    attempts.extend(data_attempts.iter().map(String::as_str));
    refused(&server, &attempts, &json!({}));
}

#[test]
fn privileged_calls_are_refused() {
    let server = need_sandbox!();
    let perl = |number: i64, args: &str| format!("perl -e 'exit(syscall({number}, {args}) < 0)'");
    // On x86_64: ptrace(TRACEME), bpf, keyctl, add_key, io_uring_setup, userfaultfd, perf_event_open,
    // open_by_handle_at, process_vm_readv, chroot, setns, clone3, and a number of x32.
    let numbers = [101, 321, 250, 248, 425, 323, 298, 304, 310, 161, 308, 435, 0x4000_0000 + 39];
    let raw: Vec<String> = if cfg!(target_arch = "x86_64") {
        numbers.iter().map(|number| perl(*number, "0, 0, 0, 0, 0")).collect()
    } else {
        Vec::new()
    };
    let perl_works = server.run(&boxed("perl -e 'exit(syscall(39) < 0)'"));
    let mut attempts = vec![
        "unshare -U true",
        "unshare -m true",
        "unshare -n true",
        "mount -t tmpfs none /tmp",
        "mount --bind /tmp /workspace",
        "umount /proc",
        "chroot / true",
        "hostname x",
        "su -c true",
        "date -s @1",
        "setpriv --reuid 0 true",
    ];
    if perl_works["status"] == "success" {
        attempts.extend(raw.iter().map(String::as_str));
        attempts.extend([
            // AF_VSOCK, AF_PACKET, AF_ALG, and a raw socket.
            "perl -MSocket -e 'socket(my $s, 40, SOCK_STREAM, 0) or exit 1'",
            "perl -MSocket -e 'socket(my $s, 17, SOCK_RAW, 0) or exit 1'",
            "perl -MSocket -e 'socket(my $s, 38, 5, 0) or exit 1'",
            "perl -MSocket -e 'socket(my $s, AF_INET, SOCK_RAW, 1) or exit 1'",
        ]);
    } else {
        skipped("raw system calls, for there is no perl in /usr");
    }
    refused(&server, &attempts, &json!({}));
}

#[test]
fn the_workspace_is_shared_with_the_runtime() {
    let server = need_sandbox!();
    let script = "pwd; echo $HOME; echo kept > file; mkdir sub; mv file sub/; echo x > /tmp/t; echo y > /dev/shm/s; cat /tmp/t /dev/shm/s";
    let status = server.run(&boxed_with(script, &json!({"workspace_subdir": "a/b"})));
    assert_eq!(stdout(&status), "/workspace/a/b\n/workspace\nx\ny\n", "{status}");
    let id = status["task_id"].as_str().expect("an id");
    let file = server.task_dir(id).join("workspace/a/b/sub/file");
    assert_eq!(fs::read_to_string(file).expect("readable"), "kept\n");
}

#[test]
fn a_script_is_run_from_its_own_place() {
    let server = need_sandbox!();
    let mut request = boxed("");
    request["execution"] = json!({
        "kind": "script", "script": "echo $0 $1; echo more >/dev/stdout; echo x >> $0 || exit 9", "args": ["one"],
    });
    let status = server.run(&request);
    assert_eq!(status["exit_code"], 9, "{status}");
    let with_bash = json!({"kind": "script", "script": "[[ a == a ]] && echo yes", "interpreter": ["bash", "-lc"]});
    request["execution"] = with_bash;
    assert_eq!(stdout(&server.run(&request)), "yes\n");
}

#[test]
fn exit_codes_signals_and_failures_are_exact() {
    let server = need_sandbox!();
    assert_eq!(server.run(&boxed("exit 7"))["exit_code"], 7);
    let segv = server.run(&boxed("kill -SEGV $$"));
    assert_eq!((&segv["exit_signal"], segv.get("exit_code")), (&json!(11), None), "{segv}");
    let all = server.run(&boxed("sleep 99 & kill -9 -1; exit 5"));
    assert!(all["exit_code"] == 5 || all["exit_signal"] == 9, "{all}");
    let mut missing = boxed("");
    missing["execution"] = json!({"kind": "command", "program": "/no/such/program"});
    let missing = server.run(&missing);
    assert_eq!(missing["error"]["code"], "launch_failed", "{missing}");
    assert!(missing["error"]["message"].as_str().is_some_and(|m| m.contains("execve") && m.contains("ENOENT")));
    let no_root = server.run(&boxed_with("true", &json!({"chroot": true, "rootfs": "/no/such/rootfs"})));
    assert_eq!((&no_root["status"], &no_root["error"]["code"]), (&json!("failed"), &json!("sandbox_setup_failed")));
    assert_eq!(no_root["error"]["details"]["step"], "read /no/such/rootfs", "{no_root}");
    assert!(no_root["error"]["message"].as_str().is_some_and(|m| m.contains("ENOENT")), "{no_root}");
}

#[test]
fn a_timeout_and_a_kill_leave_nothing() {
    let server = need_sandbox!(&["--termination-grace-ms", &(200 * patience()).to_string()]);
    let script = "trap '' TERM INT HUP; setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' & \
                  (setsid sleep 98 &); echo ready; while :; do sleep 0.1; done";
    let mut request = boxed(script);
    request["limits"] = json!({"wall_time_ms": 500 * patience()});
    let late = server.run(&request);
    assert_eq!((&late["error"]["code"], &late["exit_signal"]), (&json!("timeout"), &json!(9)), "{late}");
    request["limits"] = json!({});
    let id = server.submit(&request);
    let running = server.until_output(&id, "ready");
    let shim = u32::try_from(running["shim_pid"].as_u64().expect("a pid")).expect("a pid");
    let all = crate::support::descendants(shim);
    assert!(all.len() >= 4, "{all:?}");
    server.kill(&id, None);
    assert_eq!(server.wait(&id)["status"], "cancelled");
    assert!(!all.iter().any(|pid| is_alive(*pid)), "something is left of {all:?}");
    let gentle = server.submit(&boxed("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done"));
    server.until_output(&gentle, "ready");
    server.kill(&gentle, None);
    assert_eq!(stdout(&server.wait(&gentle)), "ready\nbye\n");
}

#[test]
fn a_daemon_dies_with_its_command() {
    let server = need_sandbox!();
    let id =
        server.submit(&boxed("(setsid sleep 97 &); (setsid sh -c 'exec sleep 96' &); echo ready; sleep 0.5; exit 0"));
    let running = server.until_output(&id, "ready");
    let shim = u32::try_from(running["shim_pid"].as_u64().expect("a pid")).expect("a pid");
    let all = crate::support::descendants(shim);
    assert_eq!(server.wait(&id)["status"], "success");
    assert!(!all.is_empty() && !all.iter().any(|pid| is_alive(*pid)), "something is left of {all:?}");
}

#[test]
fn a_sandbox_ends_with_its_shim_when_server_and_launcher_are_gone() {
    let mut server = need_sandbox!();
    let id = server.submit(&boxed("setsid sleep 92 & echo ready; sleep 99"));
    let running = server.until_output(&id, "ready");
    let shim = u32::try_from(running["shim_pid"].as_u64().expect("a pid")).expect("a pid");
    let (all, launcher) = (crate::support::descendants(shim), server.launcher_pid());
    server.crash();
    eventually("the launcher is gone", || (!is_alive(launcher)).then_some(()));
    signal(shim, Signal::SIGKILL);
    eventually("all is gone", || (!all.iter().any(|pid| is_alive(*pid))).then_some(()));
}

#[test]
fn nothing_is_inherited_but_the_standard_streams() {
    let server = need_sandbox!();
    let status = server.run(&boxed("ls /proc/self/fd; ls /proc/$$/fd"));
    // ls has the directory open.
    assert_eq!(stdout(&status), "0\n1\n2\n3\n0\n1\n2\n", "{status}");
}

/// A root file system with a shell and the libraries that it names.
fn small_rootfs(root: &Path) {
    for dir in ["bin", "dir"] {
        fs::create_dir_all(root.join(dir)).expect("made");
    }
    let ldd = std::process::Command::new("ldd").arg("/bin/sh").output().expect("ldd");
    let text = String::from_utf8_lossy(&ldd.stdout).into_owned();
    let libraries = text.split_whitespace().filter(|word| word.starts_with('/'));
    for file in libraries.chain(["/bin/sh"]) {
        let to = root.join(file.trim_start_matches('/'));
        fs::create_dir_all(to.parent().expect("a parent")).expect("made");
        copy_executable(Path::new(file), &to);
    }
    fs::write(root.join("mark"), "of this rootfs").expect("written");
    // Traps: names that the sandbox makes itself.
    for trap in ["proc", "dev", "workspace", "tmp", "run"] {
        std::os::unix::fs::symlink("/dir", root.join(trap)).expect("linked");
    }
    for dir in [root.to_owned(), root.join("bin"), root.join("dir")] {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).expect("opened");
    }
}

#[test]
fn chroot_gives_the_rootfs_read_only_and_no_more() {
    let server = need_sandbox!();
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("opened");
    small_rootfs(dir.path());
    let script = "echo $$; read mark < /mark; echo $mark; echo /*; echo x > /mark; echo x > /dir/x; echo w > file; pwd";
    let sandbox = json!({"chroot": true, "rootfs": dir.path()});
    let status = server.run(&boxed_with(script, &sandbox));
    let lines: Vec<&str> = stdout(&status).lines().collect();
    assert_eq!(lines.first(), Some(&"2"), "{status}");
    assert!(
        !lines[2].contains("/usr") || Path::new("/lib").is_symlink() && dir.path().join("usr").exists(),
        "{status}"
    );
    assert!(lines[2].contains("/workspace") && !lines[2].contains("/home"), "{status}");
    assert_eq!(lines.last(), Some(&"/workspace"), "{status}");
    assert_eq!(fs::read_to_string(dir.path().join("mark")).expect("there"), "of this rootfs");
    assert_eq!(fs::read_dir(dir.path().join("dir")).expect("there").count(), 0);
    let own = json!({"chroot": true, "rootfs": server.data_dir()});
    let status = server.run(&boxed_with("true", &own));
    assert_eq!(status["error"]["code"], "sandbox_setup_failed", "the data directory as a rootfs: {status}");
}

#[test]
fn without_a_pid_namespace_the_command_is_the_shim_s_child() {
    let server = need_sandbox!();
    let namespaces = json!({"namespaces": {"pid": false, "uts": false, "ipc": false}});
    let status = server.run(&boxed_with("echo $$; id -u; cat /etc/shadow; (setsid sleep 94 &); exit 3", &namespaces));
    assert_eq!(status["exit_code"], 3, "{status}");
    let lines: Vec<&str> = stdout(&status).lines().collect();
    assert_eq!(lines[0], status["pid"].to_string(), "{status}");
    assert_eq!(lines.len(), 2, "{status}");
}

#[test]
fn a_runtime_that_is_not_root_has_the_same_sandbox() {
    let Some(server) = whole(Server::rootless()) else { return };
    let bare = boxed_with("cat /proc/self/oom_score_adj", &json!({"namespaces": {"pid": false}}));
    assert_eq!(server.run(&bare)["exit_code"], 1, "there is no /proc, and the command runs all the same");
    let script = "/bin/true; /bin/true; echo $$; ls /proc | grep -c '^[0-9]'; hostname; \
                  grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status | cut -f2 | sort -u; echo kept > file; id -u";
    let status = server.run(&boxed(script));
    let lines: Vec<&str> = stdout(&status).lines().collect();
    assert_eq!(lines[..6], ["2", lines[1], "sandbox", "0000000000000000", "1", "2"], "{status}");
    assert!(lines[1].parse::<u32>().expect("a number") <= 4 && lines[6] != "0", "{status}");
    let id = status["task_id"].as_str().expect("an id");
    assert_eq!(fs::read_to_string(server.task_dir(id).join("workspace/file")).expect("there"), "kept\n");
    let data = server.data_dir().display().to_string();
    let hidden = format!("ls {data}");
    let attempts =
        ["touch /x", "touch /usr/x", "cat /etc/shadow", "ls /var", "ls /proc/1/root", "unshare -U true", &hidden];
    refused(&server, &attempts, &json!({"namespaces": {"net": true}}));
    let script = json!({"kind": "script", "script": "kill -TERM $$"});
    let mut request = boxed("");
    request["execution"] = script;
    assert_eq!(server.run(&request)["exit_signal"], 15);
    let id = server.submit(&boxed("trap '' TERM; setsid sleep 93 & echo ready; sleep 99"));
    let running = server.until_output(&id, "ready");
    let shim = u32::try_from(running["shim_pid"].as_u64().expect("a pid")).expect("a pid");
    let all = crate::support::descendants(shim);
    signal(shim, Signal::SIGKILL);
    assert_eq!(server.wait(&id)["status"], "failed");
    assert!(!all.iter().any(|pid| is_alive(*pid)), "something is left of {all:?}");
}

#[test]
fn a_switched_off_sandbox_is_refused_or_told() {
    let server = Server::with_flags(&["--disable-linux-sandbox"]);
    let manifest = server.get("/api/v1/runtime/capabilities").body;
    assert_eq!(manifest["sandbox"]["linux_sandbox"], false);
    let warnings = manifest["warnings"].to_string();
    assert!(warnings.contains("switched off by the operator"));
    for lacking in ["linux_sandbox", "chroot", "namespaces.pid", "rlimit_processes", "api_closed_to_tasks"] {
        assert!(warnings.contains(lacking), "{lacking}: {warnings}");
    }
    let answer = server.post("/api/v1/tasks", &boxed("true"));
    assert_eq!((answer.status, answer.code()), (400, "unsupported_capability"), "{answer:?}");
}

#[test]
fn a_layer_that_is_switched_off_is_refused_or_told() {
    let whole = need_sandbox!().get("/api/v1/runtime/capabilities").body;
    assert!(whole["sandbox"]["landlock_abi"].as_u64().is_some_and(|abi| abi > 0), "{whole}");
    for (switch, layer) in [("landlock", "Landlock"), ("seccomp", "seccomp")] {
        let server = Server::with_flags(&[&format!("--disable-{switch}")]);
        let manifest = server.get("/api/v1/runtime/capabilities").body;
        assert_eq!((&manifest["sandbox"]["linux_sandbox"], &manifest["degraded"]), (&json!(true), &json!(true)));
        assert_eq!(manifest["overrides"][format!("disable_{switch}")], "true", "{manifest}");
        assert_eq!(manifest["sandbox"].get("landlock_abi").is_some(), switch != "landlock", "{manifest}");
        let reason = format!("{switch}: switched off by the operator");
        assert!(manifest["warnings"].as_array().is_some_and(|all| all.contains(&json!(reason))), "{manifest}");
        let answer = server.post("/api/v1/tasks", &boxed("true"));
        assert_eq!((answer.status, answer.code()), (400, "unsupported_capability"), "{answer:?}");
        assert!(answer.message().contains(layer), "{answer:?}");
        let mut adaptive = boxed("grep Seccomp: /proc/self/status | cut -f2");
        adaptive["policy"]["capability_mode"] = json!("adaptive");
        let status = server.run(&adaptive);
        assert_eq!(stdout(&status), if switch == "seccomp" { "0\n" } else { "2\n" }, "{status}");
        let plan = &status["execution_plan"];
        assert_eq!((&plan["degraded"], &plan["effective_sandbox"]), (&json!(true), &json!("linux_sandbox")));
        assert!(plan["fallback_reasons"][0].as_str().is_some_and(|reason| reason.contains(layer)), "{plan}");
    }
}
