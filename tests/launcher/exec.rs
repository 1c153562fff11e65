//! What a command gets and what is told of its end.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Rig, exit_record, exited, launch_failed, patience, signaled};

#[test]
fn exit_codes_and_signals_are_exact() {
    let mut rig = Rig::start();
    for code in [0, 7, 255] {
        let exit = rig.sh(&format!("code{code}"), &format!("exit {code}"));
        assert_eq!(exit["status"], exited(code));
    }
    // 36 is a real-time signal.
    for signal in [9, 11, 36] {
        let exit = rig.sh(&format!("signal{signal}"), &format!("kill -{signal} $$"));
        assert_eq!(exit["status"], signaled(signal));
        assert_eq!((&exit["killed"], &exit["timed_out"]), (&json!(false), &json!(false)));
    }
}

#[test]
fn the_journal_and_the_reports_say_the_same_in_order() {
    let mut rig = Rig::start();
    let request = rig.request("a", &["/bin/true"]);
    rig.launch(&request);
    let (running, exit) = (rig.started("a"), rig.exit("a"));
    let records = rig.journal();
    assert_eq!(records.len(), 3, "{records:?}");
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("readable");
    assert_eq!(
        records[0],
        json!({"record": "header", "version": 1, "boot_id": boot_id.trim(), "launcher_pid": rig.launcher.id()})
    );
    assert_eq!(records[1], json!({"record": "started", "task_id": "a", "running": running}));
    assert_eq!(records[2], exit_record("a", &exit));
    assert_eq!(running["pid"], running["pgid"]);
    assert!(exit["duration_ms"].as_u64().expect("a duration") < 20_000 * u64::from(patience()));
    for key in ["user_cpu_ms", "system_cpu_ms"] {
        assert!(exit["usage"][key].is_u64(), "{exit}");
    }
    assert!(exit["usage"]["max_rss_bytes"].as_u64().expect("bytes") > 4096);
    assert_eq!(rig.other_reports(), Vec::<Value>::new());
}

#[test]
fn a_program_that_cannot_be_executed_names_the_step_and_the_errno() {
    let mut rig = Rig::start();
    let file = |name: &str, mode: u32| {
        let path = rig.dir.path().join(name);
        fs::write(&path, "no program of any format").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
        path.to_str().expect("UTF-8").to_owned()
    };
    let (plain, odd) = (file("plain", 0o600), file("odd", 0o700));
    let cases = [
        ("/no/such/program", libc::ENOENT),
        ("no-such-program", libc::ENOENT),
        ("", libc::ENOENT),
        (&*plain, libc::EACCES),
        (&*odd, libc::ENOEXEC),
        ("/bin/true/x", libc::ENOENT),
    ];
    for (index, (program, errno)) in cases.into_iter().enumerate() {
        let id = format!("t{index}");
        let exit = rig.run(&rig.request(&id, &[program]));
        assert_eq!(exit["status"], launch_failed(format!("execve {program}"), errno), "{program}");
        assert_eq!((&exit["duration_ms"], &exit["usage"]), (&Value::Null, &Value::Null));
    }
    // The start was on record before the exec, but nothing reported it.
    assert_eq!(rig.recorded("started").len(), 6);
    assert_eq!(rig.recorded("exited").len(), 6);
    assert_eq!(rig.other_reports(), Vec::<Value>::new());
}

#[test]
fn a_program_is_found_through_the_path_of_its_own_environment() {
    let mut rig = Rig::start();
    let (first, second) = (rig.dir.path().join("first"), rig.dir.path().join("second"));
    for (dir, mode) in [(&first, 0o600), (&second, 0o700)] {
        fs::create_dir(dir).expect("made");
        let program = dir.join("prog");
        fs::write(&program, "#!/bin/sh\necho \"$0 $*\"\n").expect("written");
        fs::set_permissions(&program, fs::Permissions::from_mode(mode)).expect("chmod");
    }
    let with_path = |rig: &Rig, id: &str, dirs: &[&Path]| {
        let mut request = rig.request(id, &["prog", "x", "y"]);
        let dirs: Vec<_> = dirs.iter().map(|dir| dir.to_str().expect("UTF-8")).collect();
        request["env"] = json!([["PATH", dirs.join(":")]]);
        request
    };
    let request = with_path(&rig, "found", &[Path::new("/no/such"), &first, &second]);
    assert_eq!(rig.run(&request)["status"], exited(0));
    assert_eq!(rig.stdout("found"), format!("{}/prog x y\n", second.display()));
    let request = with_path(&rig, "refused", &[&first, Path::new("/no/such")]);
    assert_eq!(rig.run(&request)["status"], launch_failed("execve prog", libc::EACCES));
    let request = rig.request("default", &["true"]);
    assert_eq!(rig.run(&request)["status"], exited(0));
}

#[test]
fn the_environment_is_exactly_the_given_one() {
    let mut rig = Rig::start();
    let mut request = rig.request("a", &["/usr/bin/env"]);
    request["env"] = json!([["B", "two words"], ["A", ""], ["PATH", "/x"]]);
    assert_eq!(rig.run(&request)["status"], exited(0));
    assert_eq!(rig.stdout("a"), "B=two words\nA=\nPATH=/x\n");
}

#[test]
fn the_command_starts_clean() {
    let mut rig = Rig::start();
    let script = "readlink /proc/self/fd/0; wc -c; ls /proc/self/fd; grep -E '^Sig(Blk|Ign)' /proc/self/status; \
                  cut -d' ' -f1,5,6 /proc/$$/stat; pwd";
    rig.launch(&rig.request("a", &["/bin/sh", "-c", script]));
    let pid = rig.started("a")["pid"].clone();
    assert_eq!(rig.exit("a")["status"], exited(0));
    let workspace = rig.task_dir("a").join("workspace");
    let stdout = rig.stdout("a");
    let lines: Vec<&str> = stdout.lines().collect();
    let session = format!("{pid} {pid} {pid}");
    assert_eq!(lines[0..6], ["/dev/null", "0", "0", "1", "2", "3"], "{stdout}");
    assert_eq!(lines[6..8], ["SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000"], "{stdout}");
    assert_eq!(lines[8..], [session.as_str(), workspace.to_str().expect("UTF-8")], "{stdout}");
}

#[test]
fn the_tasks_directories_and_logs_are_made_for_their_owner_alone() {
    let mut rig = Rig::start();
    let mut request = rig.request("a", &["/bin/sh", "-c", "pwd; echo no >&2"]);
    let working_dir = rig.task_dir("a").join("workspace/deep/down");
    request["working_dir"] = json!(working_dir);
    assert_eq!(rig.run(&request)["status"], exited(0));
    assert_eq!(rig.stdout("a"), format!("{}\n", working_dir.display()));
    assert_eq!(fs::read_to_string(rig.task_dir("a").join("stderr.log")).expect("a log"), "no\n");
    let mode = |path: &str| fs::metadata(rig.task_dir("a").join(path)).expect(path).mode() & 0o777;
    for dir in ["", "workspace", "workspace/deep", "workspace/deep/down"] {
        assert_eq!(mode(dir), 0o700, "{dir}");
    }
    assert_eq!((mode("stdout.log"), mode("stderr.log")), (0o600, 0o600));
}

#[test]
fn a_directory_that_cannot_be_made_fails_the_launch_before_any_start() {
    let mut rig = Rig::start();
    fs::write(rig.dir.path().join("tasks"), "a file").expect("written");
    let request = rig.request("a", &["/bin/true"]);
    let step = format!("mkdir {}", rig.task_dir("a").display());
    assert_eq!(rig.run(&request)["status"], launch_failed(step, libc::ENOTDIR));
    assert_eq!(rig.recorded("started"), Vec::<String>::new());
    assert_eq!(rig.recorded("exited"), ["a"]);
}

#[test]
fn a_long_step_fits_into_a_report() {
    let mut rig = Rig::start();
    let program = format!("/{}", "é".repeat(100_000));
    let exit = rig.run(&rig.request("a", &[&program]));
    assert_eq!(exit["status"]["errno"], libc::ENAMETOOLONG);
    let step = exit["status"]["step"].as_str().expect("a step");
    assert!(step.starts_with("execve /é") && step.len() <= 4096, "{} bytes", step.len());
}

#[test]
fn a_script_of_four_mebibytes_is_written_and_run_with_its_arguments() {
    let mut rig = Rig::start();
    let path = rig.task_dir("a").join("script.sh");
    let padding = format!("# {}\n", "\"x\\".repeat(20)).repeat(70_000);
    let text = format!("{padding}echo \"$0 $1\"\n");
    assert!(text.len() > 4 << 20);
    let mut request = rig.request("a", &["/bin/sh", path.to_str().expect("UTF-8"), "argument"]);
    request["script"] = json!({"path": path, "text": text});
    assert_eq!(rig.run(&request)["status"], exited(0));
    assert_eq!(rig.stdout("a"), format!("{} argument\n", path.display()));
    assert!(fs::read_to_string(&path).expect("a script") == text);
    assert_eq!(fs::metadata(&path).expect("a script").mode() & 0o777, 0o700);
}

#[test]
fn many_tasks_at_once_all_end() {
    let mut rig = Rig::start();
    for n in 0..100 {
        rig.launch(&rig.request(&format!("t{n}"), &["/bin/sh", "-c", &format!("exit {n}")]));
    }
    for n in 0..100 {
        assert_eq!(rig.exit(&format!("t{n}"))["status"], exited(n));
    }
    assert_eq!(rig.recorded("started").len(), 100);
}
