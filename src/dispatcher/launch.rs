//! From a task to the launch request that its shim needs. Pure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::launcher::protocol::{
    Collect, InputFile, LaunchRequest, PROTOCOL_VERSION, RUN_DIR, SandboxRequest, ScriptFile, WORKSPACE,
};
use crate::sandbox::cgroup::{GroupLimits, GroupSpec, Instance};
use crate::task::paths::TaskPaths;
use crate::task::spec::{self, Action};
use crate::task::state::LaunchId;
use crate::task::{Means, SandboxLayers, State, Task};

/// What a task gets of the server's environment; everything else stays with the server.
const INHERITED: [&str; 5] = ["PATH", "HOME", "LANG", "TMPDIR", "USER"];

/// What is the same for every launch.
#[derive(Clone, Debug)]
pub struct LaunchSettings {
    /// Absolute.
    pub data_dir: PathBuf,
    pub grace_ms: u64,
    pub inherited_env: BTreeMap<String, String>,
    /// Where the tasks' groups are made.
    pub cgroups: Option<Instance>,
    /// The users of sandboxes: this many from this one on, at least two.
    pub sandbox_uids: (u32, u32),
    /// How much is collected of a task.
    pub collect: CollectBounds,
    /// How many sandboxes the launcher keeps begun.
    pub warm_sandboxes: u32,
}

/// How many files are collected of a task, and with how many bytes.
#[derive(Clone, Copy, Debug)]
pub struct CollectBounds {
    pub max_files: u64,
    pub max_bytes: u64,
}

/// The part of `variables` that tasks get.
pub fn inherited_env(variables: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
    variables.filter(|(name, _)| INHERITED.contains(&name.as_str())).collect()
}

/// The request for a launching task; `None` for a task in another state.
pub(super) fn request(task: &Task, settings: &LaunchSettings, journal: &Path) -> Option<LaunchRequest> {
    let State::Launching { launch_id } = task.state() else { return None };
    let spec = task.spec();
    let paths = TaskPaths::new(&settings.data_dir, task.id());
    let sandbox = sandbox(task, *launch_id, settings.sandbox_uids)
        .map(|sandbox| SandboxRequest { warm: settings.warm_sandboxes, ..sandbox });
    let (argv, script) = command_line(&spec.execution.action, &spec.execution.args, &paths, sandbox.is_some());
    let working_dir = match &spec.sandbox.workspace_subdir {
        Some(subdir) => paths.workspace().join(subdir),
        None => paths.workspace(),
    };
    let blobs = TaskPaths::blobs(&settings.data_dir);
    let mut env = settings.inherited_env.clone();
    if sandbox.is_some() {
        // The host's homes are not there.
        env.remove("USER");
        env.extend([("HOME", WORKSPACE), ("TMPDIR", "/tmp")].map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    if let Some(run_as) = &task.plan().run_as {
        // The server's own are root's.
        env.remove("USER");
        env.extend(run_as.name.clone().map(|name| ("USER".to_owned(), name)));
        env.insert("HOME".to_owned(), paths.workspace().to_string_lossy().into_owned());
    }
    env.extend(spec.execution.env.clone());
    let enforced = &task.plan().resource_enforcement;
    let memory_bytes = enforced.memory_bytes.filter(|_| enforced.memory_enforced);
    // The same controller does both; without it memory is limited as address space.
    let by_cgroup = enforced.cgroup_enforced && enforced.oom_detection;
    let file_size_bytes = enforced.file_size_bytes.filter(|_| enforced.file_size_enforced);
    let workspace_bytes = enforced.workspace_bytes.filter(|_| enforced.workspace_enforced);
    Some(LaunchRequest {
        version: PROTOCOL_VERSION,
        task_id: task.id().clone(),
        launch_id: *launch_id,
        journal: journal.to_owned(),
        task_dir: paths.task_dir().to_owned(),
        working_dir,
        argv,
        script,
        stdin: spec.execution.stdin.as_ref().map(|blob| blobs.join(blob.as_str())),
        inputs: spec.inputs.iter().map(|input| input_file(input, &blobs)).collect(),
        collect: collect(&spec.collect, settings.collect),
        env: env.into_iter().collect(),
        wall_time_ms: enforced.wall_time_ms,
        grace_ms: settings.grace_ms,
        cpu_time_sec: enforced.cpu_time_sec.filter(|_| enforced.cpu_time_enforced),
        address_space_bytes: memory_bytes.filter(|_| !by_cgroup),
        // What no workspace can hold no file need be, and the kernel is faster than a measurement.
        file_size_bytes: file_size_bytes.into_iter().chain(workspace_bytes).min(),
        open_files: enforced.open_files.filter(|_| enforced.open_files_enforced),
        processes: enforced.pids_max.filter(|_| enforced.enforced_by.get("pids_max") == Some(&Means::Rlimit)),
        workspace_bytes,
        stdout_log_max_bytes: enforced.stdout_log_max_bytes,
        stderr_log_max_bytes: enforced.stderr_log_max_bytes,
        run_as: task.plan().run_as.clone(),
        sandbox,
        cgroup: enforced.cgroup_enforced.then(|| group(task, settings)).flatten(),
        ended: Vec::new(),
    })
}

fn collect(globs: &[String], CollectBounds { max_files, max_bytes }: CollectBounds) -> Option<Collect> {
    (!globs.is_empty()).then(|| Collect { globs: globs.to_vec(), max_files, max_bytes })
}

fn input_file(spec::InputFile { path, blob, mode }: &spec::InputFile, blobs: &Path) -> InputFile {
    InputFile { path: path.into(), source: blobs.join(blob.as_str()), mode: *mode }
}

/// A plan may have been made by a server that had other groups. What it promises without this one being able to do it
/// is a launch that fails, and no silent lack.
fn group(task: &Task, settings: &LaunchSettings) -> Option<GroupSpec> {
    let State::Launching { launch_id } = task.state() else { return None };
    let enforced = &task.plan().resource_enforcement;
    let memory_bytes = enforced.memory_bytes.filter(|_| enforced.memory_enforced && enforced.oom_detection);
    let by_rlimit = enforced.enforced_by.get("pids_max") == Some(&Means::Rlimit);
    let pids_max = enforced.pids_max.filter(|_| enforced.pids_enforced && !by_rlimit);
    let cpu_millis = enforced.cpu_millis.filter(|_| enforced.cpu_enforced);
    let limits = GroupLimits { memory_bytes, pids_max, cpu_millis };
    match &settings.cgroups {
        Some(instance) => Some(instance.launch(&launch_id.to_string(), limits)),
        None => (limits != GroupLimits::default()).then(|| GroupSpec::nowhere(limits)),
    }
}

/// The layers that the plan promises. The first user is that of every sandbox's pid 1; the task's is one of the others,
/// derived from its place, so that tasks that run at the same time have different ones.
fn sandbox(task: &Task, launch_id: LaunchId, (first, count): (u32, u32)) -> Option<SandboxRequest> {
    let SandboxLayers { namespaces, rootless, landlock, seccomp } = task.plan().sandbox_layers?;
    let of_tasks = count.saturating_sub(1).max(1);
    let offset = u32::try_from(launch_id.place() % u64::from(of_tasks)).unwrap_or(0);
    let requested = &task.spec().sandbox;
    let rootfs = requested.rootfs.as_ref().filter(|_| requested.chroot).map(PathBuf::from);
    let uid = (!rootless).then(|| first.saturating_add(1).saturating_add(offset));
    let init_uid = (!rootless).then_some(first);
    Some(SandboxRequest { namespaces, uid, init_uid, rootfs, landlock, seccomp, warm: 0 })
}

fn command_line(
    action: &Action,
    args: &[String],
    paths: &TaskPaths,
    sandboxed: bool,
) -> (Vec<String>, Option<ScriptFile>) {
    let with_args = |words: Vec<String>| words.into_iter().chain(args.iter().cloned()).collect();
    match action {
        Action::Command { program } => (with_args(vec![program.clone()]), None),
        Action::Script { script, interpreter } => {
            let path = paths.script(interpreter);
            let seen = match path.file_name() {
                Some(name) if sandboxed => Path::new(RUN_DIR).join(name),
                _ => path.clone(),
            };
            let words = interpreter.iter().cloned().chain([seen.to_string_lossy().into_owned()]).collect();
            (with_args(words), Some(ScriptFile { path, text: script.clone() }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Draft;
    use crate::task::spec::{DraftKind, Namespaces};
    use crate::task::testing::{DEFAULTS, at, new_task};

    fn launched(draft: Draft) -> LaunchRequest {
        let mut new = new_task("t");
        new.spec = draft.validate(DEFAULTS).expect("valid");
        let task = Task::submit(new, 1).task().clone().launch(at(1010)).expect("queued").task().clone();
        let variables = [("PATH", "/bin"), ("SECRET", "x"), ("LANG", "C")];
        let settings = LaunchSettings {
            data_dir: "/data".into(),
            grace_ms: 5000,
            cgroups: None,
            sandbox_uids: (200_000, 10),
            collect: CollectBounds { max_files: 10, max_bytes: 1000 },
            warm_sandboxes: 2,
            inherited_env: inherited_env(variables.map(|(k, v)| (k.to_owned(), v.to_owned())).into_iter()),
        };
        request(&task, &settings, Path::new("/data/run/j")).expect("launching")
    }

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|w| (*w).to_owned()).collect()
    }

    #[test]
    fn a_script_runs_by_its_path_with_the_arguments_behind() {
        let request = launched(Draft {
            kind: DraftKind::Script,
            script: Some("echo $1".into()),
            interpreter: Some(strings(&["bash", "-l"])),
            args: Some(strings(&["one"])),
            ..Draft::default()
        });
        assert_eq!(request.argv, strings(&["bash", "-l", "/data/tasks/t/script.sh", "one"]));
        assert_eq!(request.script.expect("a script").text, "echo $1");
    }

    #[test]
    fn the_environment_is_the_five_names_and_the_task_s_own() {
        let env = Some([("PATH".to_owned(), "/own".to_owned()), ("X".to_owned(), "1".to_owned())].into());
        let request = launched(Draft { program: Some("ls".into()), env, ..Draft::default() });
        let names: Vec<_> = request.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(names, ["LANG=C", "PATH=/own", "X=1"]);
    }

    #[test]
    fn no_task_has_the_user_of_pid_1() {
        let mut new = new_task("t");
        let namespaces = Namespaces::default();
        new.plan.sandbox_layers = Some(SandboxLayers { namespaces, rootless: false, landlock: true, seccomp: true });
        let task = Task::submit(new.clone(), 1).task().clone();
        let users = |place, range| {
            let request = sandbox(&task, LaunchId::of_test(place, 2), range).expect("layers");
            (request.init_uid, request.uid)
        };
        let range = (200_000, 3);
        assert_eq!(users(4, range), (Some(200_000), Some(200_001)));
        assert_eq!(users(5, range), (Some(200_000), Some(200_002)));
        assert_eq!(users(6, (200_000, 2)), (Some(200_000), Some(200_001)));
        new.plan.sandbox_layers = Some(SandboxLayers { namespaces, rootless: true, landlock: true, seccomp: true });
        let rootless = Task::submit(new, 1).task().clone();
        let request = sandbox(&rootless, LaunchId::of_test(4, 2), range).expect("layers");
        assert_eq!((request.init_uid, request.uid), (None, None));
    }

    #[test]
    fn the_working_directory_is_the_workspace_or_below() {
        let draft = Draft { program: Some("ls".into()), ..Draft::default() };
        assert_eq!(launched(draft.clone()).working_dir, Path::new("/data/tasks/t/workspace"));
        let below = Draft { workspace_subdir: Some("a/b".into()), ..draft };
        assert_eq!(launched(below).working_dir, Path::new("/data/tasks/t/workspace/a/b"));
    }
}
