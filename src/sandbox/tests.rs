//! The plan as a list to be read, and the filters by their laws.

use std::path::Path;

use super::layout::Entry;
use super::*;
use crate::task::spec::Namespaces;

fn names(steps: &[SandboxStep]) -> String {
    steps.iter().map(|step| format!("{step}\n")).collect()
}

fn directory(path: &str) -> Entry {
    Entry::Directory { source: path.into(), target: path.into() }
}

fn of_host() -> Layout {
    let entries = vec![directory("/usr"), directory("/etc/ssl/certs")];
    Layout {
        base: Some("/data/run/root".into()),
        entries,
        devices: vec!["null", "zero"],
        not_in_proc: vec!["/proc/asound"],
    }
}

fn of_rootfs() -> Layout {
    let entries = vec![
        Entry::Link { target: "/bin".into(), to: "usr/bin".into() },
        Entry::Directory { source: "/rootfs/usr".into(), target: "/usr".into() },
        Entry::File { source: "/rootfs/mark".into(), target: "/mark".into() },
    ];
    Layout { base: None, entries, devices: vec!["null"], not_in_proc: vec![] }
}

fn planned(namespaces: Namespaces, uid: Option<u32>, layout: &Layout) -> String {
    let request =
        SandboxRequest { namespaces, uid, init_uid: None, rootfs: None, landlock: true, seccomp: true, warm: 0 };
    let task = Path::new("/data/tasks/t");
    let script = Some(task.join("script.sh"));
    let place = Place { workspace: task.join("workspace"), script, stdin: false };
    let ahead = ahead(request.shape(), layout, (1000, 1001));
    let plan = plan(&request, layout, &place);
    let [ahead, place, confinement] = [&ahead, &plan.place, &plan.confinement].map(|steps| names(steps));
    format!("{ahead}-- the task's own --\n{place}-- the command --\n{confinement}")
}

#[test]
fn the_steps_of_a_root_sandbox() {
    insta::assert_snapshot!(planned(Namespaces { net: true, ..Namespaces::default() }, Some(200_007), &of_host()));
}

#[test]
fn the_steps_of_a_rootless_sandbox_without_a_pid_namespace() {
    insta::assert_snapshot!(planned(Namespaces { pid: false, uts: false, ..Namespaces::default() }, None, &of_host()));
}

#[test]
fn the_steps_of_a_sandbox_with_a_rootfs() {
    insta::assert_snapshot!(planned(Namespaces::default(), Some(200_007), &of_rootfs()));
}

#[test]
fn a_rootfs_that_shows_the_data_directory_is_refused() {
    let dir = tempfile::tempdir().expect("temp dir");
    let task = dir.path().join("data/tasks/t");
    std::fs::create_dir_all(task.join("workspace/rootfs/bin")).expect("made");
    for shows in [Path::new("/"), dir.path(), &dir.path().join("data/tasks"), &task] {
        assert!(Layout::of_rootfs(shows, &task).is_err(), "{}", shows.display());
    }
    let own = Layout::of_rootfs(&task.join("workspace/rootfs"), &task).expect("its own");
    assert_eq!(own.entries.len(), 1);
}
