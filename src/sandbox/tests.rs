//! The plan as a list to be read, and the filters by their laws.

use std::path::Path;

use super::layout::Entry;
use super::*;
use crate::task::spec::Namespaces;

fn names(steps: &[SandboxStep]) -> String {
    steps.iter().map(|step| format!("{step}\n")).collect()
}

fn layout() -> Layout {
    let entries = vec![
        Entry::Link { target: "/bin".into(), to: "usr/bin".into() },
        Entry::Directory { source: "/usr".into(), target: "/usr".into() },
        Entry::File { source: "/etc/passwd".into(), target: "/etc/passwd".into() },
    ];
    Layout { entries, devices: vec!["null", "zero"] }
}

fn planned(namespaces: Namespaces, uid: Option<u32>) -> String {
    let request = SandboxRequest { namespaces, uid, init_uid: None, rootfs: None, landlock: true, seccomp: true };
    let task = Path::new("/data/tasks/t");
    let script = Some(task.join("script.sh"));
    let place = Place { workspace: task.join("workspace"), script, own_ids: (1000, 1001) };
    let plan = plan(&request, &layout(), &place);
    format!("{}-- the command --\n{}", names(&plan.place), names(&plan.confinement))
}

#[test]
fn the_steps_of_a_root_sandbox() {
    insta::assert_snapshot!(planned(Namespaces { net: true, ..Namespaces::default() }, Some(200_007)));
}

#[test]
fn the_steps_of_a_rootless_sandbox_without_a_pid_namespace() {
    insta::assert_snapshot!(planned(Namespaces { pid: false, uts: false, ..Namespaces::default() }, None));
}

#[test]
fn a_rootfs_that_shows_the_data_directory_is_refused() {
    let dir = tempfile::tempdir().expect("temp dir");
    let task = dir.path().join("data/tasks/t");
    std::fs::create_dir_all(task.join("workspace/rootfs/bin")).expect("made");
    for shows in [Path::new("/"), dir.path(), &dir.path().join("data/tasks"), &task] {
        assert!(Layout::read(Some(shows), &task).is_err(), "{}", shows.display());
    }
    let own = Layout::read(Some(&task.join("workspace/rootfs")), &task).expect("its own");
    assert_eq!(own.entries.len(), 1);
}
