//! The straight list of what happens between the shim's fork and the command's exec. Nothing is performed here.

use std::borrow::Cow;
use std::ffi::CString;
use std::io;
use std::iter;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::prepare::Streams;
use super::program::Program;
use super::step::{Step, StepError};
use crate::launcher::protocol::LaunchRequest;
use crate::sandbox::cgroup::{Gate, GroupDir};
use crate::sandbox::{self, Base, Layout, Place, SandboxPlan, SandboxRequest, SandboxStep, Shape, Supply, WORKSPACE};
use crate::sys::identity::own_ids;
use crate::sys::process;
use crate::sys::rlimit::Limit;

/// All steps. With a [`Step::ForkCommand`] in it, the first part is the sandbox's pid 1's, and the rest its child's,
/// which is forked into `directory`.
///
/// # Errors
/// Names what cannot be prepared.
pub fn steps(
    request: &LaunchRequest,
    supply: Supply<'_>,
    streams: Streams,
    mut gates: Vec<Gate>,
    directory: Option<GroupDir>,
) -> Result<Vec<Step>, StepError> {
    let Supply { base, network } = supply;
    let network = network.map(Step::EnterNetwork);
    let layout = request.sandbox.as_ref().map(|sandbox| layout(sandbox, base, request)).transpose()?;
    let sandbox = request.sandbox.as_ref().zip(layout.as_deref());
    let ahead = sandbox.map(|(sandbox, layout)| sandbox::ahead(sandbox.shape(), layout, own_ids())).unwrap_or_default();
    let mut steps = Vec::new();
    if has_init(request) {
        steps.push(Step::NewGroup);
        steps.extend(network);
        steps.extend(ahead.into_iter().map(Step::Sandbox));
    } else {
        steps.push(Step::DieWithShim(process::getpid()));
        steps.push(Step::DieIn(request.wall_time_ms.saturating_add(request.grace_ms)));
        steps.extend(gates.drain(..).map(Step::JoinCgroup));
        // With the host's /proc, for not every sandbox without a pid namespace has one.
        steps.extend([Step::NewSession, Step::OfferAsVictim]);
        steps.extend(network);
        steps.extend(ahead.into_iter().map(Step::Sandbox));
    }
    let own = own(request, layout.as_deref(), streams, gates, directory)?;
    steps.extend(own);
    Ok(steps)
}

/// The first steps of a sandbox's pid 1, which are the same for every task with such a sandbox.
#[must_use]
pub fn ahead(shape: Shape, base: &Base) -> Vec<Step> {
    let of_sandbox = sandbox::ahead(shape, base.layout(), own_ids()).into_iter().map(Step::Sandbox);
    iter::once(Step::NewGroup).chain(of_sandbox).collect()
}

/// The steps that follow those.
///
/// # Errors
/// Names what cannot be prepared.
pub fn own(
    request: &LaunchRequest,
    layout: Option<&Layout>,
    streams: Streams,
    gates: Vec<Gate>,
    directory: Option<GroupDir>,
) -> Result<Vec<Step>, StepError> {
    let has_init = has_init(request);
    let sandbox = request.sandbox.as_ref().zip(layout);
    let plan = sandbox.map(|(sandbox, layout)| sandbox::plan(sandbox, layout, &place(request)));
    let SandboxPlan { place, confinement } =
        plan.unwrap_or_else(|| SandboxPlan { place: Vec::new(), confinement: Vec::new() });
    let mut steps: Vec<_> = place.into_iter().map(Step::Sandbox).collect();
    if has_init {
        // Only the command joins: its limits and its out-of-memory kills are not pid 1's.
        steps.push(Step::ForkCommand(directory));
        steps.extend(gates.into_iter().map(Step::JoinCgroup));
        steps.extend([Step::NewSession, Step::OfferAsVictim]);
    }
    steps.extend(streams.stdin.map(Step::Stdin));
    steps.extend([
        Step::Stdout(streams.stdout),
        Step::Stderr(streams.stderr),
        Step::ChangeDirectory(working_dir(request)?),
    ]);
    steps.extend([Step::UnblockSignals, Step::CloseOnExec]);
    let becomes_another =
        request.run_as.is_some() || confinement.iter().any(|step| matches!(step, SandboxStep::BecomeUser(_)));
    steps.extend(request.run_as.clone().map(Step::BecomeUser));
    steps.extend(confinement.into_iter().map(Step::Sandbox));
    if becomes_another && !has_init {
        // The kernel forgets it when the user changes.
        steps.push(Step::DieWithShim(process::getpid()));
    }
    steps.push(Step::AwaitStart);
    // Limits come last, when nothing of ours can run into them any more but the exec.
    steps.push(Step::Limit(Limit::NoCore));
    steps.extend(request.cpu_time_sec.map(|seconds| Step::Limit(Limit::CpuTime { seconds })));
    steps.extend(request.address_space_bytes.map(|bytes| Step::Limit(Limit::AddressSpace { bytes })));
    steps.extend(request.file_size_bytes.map(|bytes| Step::Limit(Limit::FileSize { bytes })));
    steps.extend(request.open_files.map(|count| Step::Limit(Limit::OpenFiles { count })));
    steps
        .extend(request.processes.map(|count| Step::Limit(Limit::Processes { count: count + own_processes(request) })));
    steps.push(Step::Exec(program(request)?));
    Ok(steps)
}

/// Whether the sandbox has a pid 1, which forks the command.
#[must_use]
pub fn has_init(request: &LaunchRequest) -> bool {
    request.sandbox.as_ref().is_some_and(|sandbox| sandbox.namespaces.pid)
}

/// How many processes beside the task's own its user has: a rootless sandbox's pid 1 is not another's.
fn own_processes(request: &LaunchRequest) -> u64 {
    let rootless = request.sandbox.as_ref().is_some_and(|sandbox| sandbox.uid.is_none());
    u64::from(rootless && has_init(request))
}

fn program(request: &LaunchRequest) -> Result<Program, StepError> {
    let name = || request.argv.first().map_or("", String::as_str);
    Program::new(&request.argv, &request.env).map_err(|error| StepError::new(format_args!("execve {}", name()), error))
}

/// The working directory by the name that it has where the command is.
fn working_dir(request: &LaunchRequest) -> Result<CString, StepError> {
    let path = match request.working_dir.strip_prefix(workspace(request)) {
        Ok(inside) if request.sandbox.is_some() => Path::new(WORKSPACE).join(inside),
        _ => request.working_dir.clone(),
    };
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| StepError::new("chdir", io::Error::from_raw_os_error(libc::EINVAL)))
}

fn workspace(request: &LaunchRequest) -> PathBuf {
    request.task_dir.join("workspace")
}

fn layout<'a>(
    sandbox: &SandboxRequest,
    base: Option<&'a Base>,
    request: &LaunchRequest,
) -> Result<Cow<'a, Layout>, StepError> {
    match (&sandbox.rootfs, base) {
        (Some(rootfs), _) => Ok(Cow::Owned(Layout::of_rootfs(rootfs, &request.task_dir)?)),
        (None, Some(base)) => Ok(Cow::Borrowed(base.layout())),
        (None, None) => Err(StepError::new("find the root", io::Error::from_raw_os_error(libc::EINVAL))),
    }
}

fn place(request: &LaunchRequest) -> Place {
    let script = request.script.as_ref().map(|script| script.path.clone());
    Place { workspace: workspace(request), script, stdin: request.stdin.is_some() }
}
