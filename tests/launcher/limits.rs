//! Limits that the command's process sets for itself before its exec.

use serde_json::json;

use crate::harness::{Rig, exited, launch_failed, patience, signaled};

#[test]
fn limits_are_set_as_asked_and_no_core_is_dumped() {
    let mut rig = Rig::start();
    let mut request =
        rig.request("a", &["/bin/sh", "-c", "grep -E '^Max (cpu|file size|core|open|address)' /proc/$$/limits"]);
    request["cpu_time_sec"] = json!(77);
    request["address_space_bytes"] = json!(1_u64 << 40);
    request["file_size_bytes"] = json!(1 << 30);
    request["open_files"] = json!(40);
    assert_eq!(rig.run(&request)["status"], exited(0));
    let stdout = rig.stdout("a");
    let limits: Vec<Vec<&str>> = stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let bytes = (1_u64 << 40).to_string();
    assert_eq!(limits[0][3..5], ["77", "78"], "{stdout}");
    assert_eq!(limits[1][3..5], ["1073741824", "1073741824"], "{stdout}");
    // 1, or less where the hard limit was less.
    assert!(["0", "1"].contains(&limits[2][4]) && limits[2][4] == limits[2][5], "{stdout}");
    assert_eq!(limits[3][3..5], ["40", "40"], "{stdout}");
    assert_eq!(limits[4][3..5], [&bytes, &bytes], "{stdout}");
}

#[test]
fn the_cpu_limit_ends_a_busy_command_with_sigxcpu() {
    let mut rig = Rig::start();
    let mut request = rig.request("a", &["/bin/sh", "-c", "while :; do :; done"]);
    request["cpu_time_sec"] = json!(1);
    let exit = rig.run(&request);
    assert_eq!(exit["status"], signaled(libc::SIGXCPU));
    let used =
        exit["usage"]["user_cpu_ms"].as_u64().expect("ms") + exit["usage"]["system_cpu_ms"].as_u64().expect("ms");
    // For the limit the kernel counts whole ticks, on a busy machine also some that were another's; here it tells
    // exactly. An emulated processor counts as used what it waits for its turn on the host.
    assert!((500..1900 * u64::from(patience())).contains(&used), "{used} ms");
}

#[test]
fn a_cgroup_that_cannot_be_joined_or_limited_is_told_and_removed() {
    let mut rig = Rig::start();
    let dir = rig.dir.path().join("plain/1-2");
    let mut request = rig.request("a", &["/bin/true"]);
    let mut cgroup = json!({"version": "v1", "memory": dir, "pids": null, "cpu": null, "limits": {}});
    request["cgroup"] = cgroup.clone();
    let step = format!("join the cgroup {}", dir.display());
    assert_eq!(rig.run(&request)["status"], launch_failed(step, libc::ENOENT));
    let mut request = rig.request("b", &["/bin/true"]);
    cgroup["limits"]["memory_bytes"] = json!(4096);
    request["cgroup"] = cgroup;
    let step = format!("write 4096 to {}/memory.limit_in_bytes", dir.display());
    assert_eq!(rig.run(&request)["status"], launch_failed(step, libc::ENOENT));
    assert!(!dir.exists());
}

#[test]
fn an_address_space_too_small_for_anything_still_tells_what_failed() {
    let mut rig = Rig::start();
    let mut request = rig.request("a", &["/no/such/program"]);
    request["address_space_bytes"] = json!(1);
    assert_eq!(rig.run(&request)["status"], launch_failed("execve /no/such/program", libc::ENOENT));
}
