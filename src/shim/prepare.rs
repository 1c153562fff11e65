//! The files of a task: its directories, its script, its two logs and the pipes to them.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, PipeWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, fchown, lchown};
use std::path::Path;

use super::inputs;
use super::output::Output;
use super::step::StepError;
use crate::launcher::protocol::{LaunchRequest, ScriptFile};
use crate::task::exit::OutputStream;

/// What the command reads and where it writes.
#[derive(Debug)]
pub struct Streams {
    /// Absent: `/dev/null`, which the shim has.
    pub stdin: Option<File>,
    pub stdout: PipeWriter,
    pub stderr: PipeWriter,
}

/// Makes what is missing of the task's directories, writes its script, and opens its logs, emptied. Returns
/// the two ends of its standard streams.
///
/// # Errors
/// Names the file.
pub fn prepare(request: &LaunchRequest) -> Result<(Streams, [Output; 2]), StepError> {
    make_dir(&request.task_dir)?;
    if request.run_as.is_some() {
        let_pass(&request.task_dir)?;
    }
    let workspace = request.task_dir.join("workspace");
    make_dir(&workspace)?;
    if request.working_dir != workspace {
        make_dir(&request.working_dir)?;
    }
    if let Some(script) = &request.script {
        write_script(script)?;
    }
    let stdin = request.stdin.as_deref().map(open_stdin).transpose()?;
    if !request.inputs.is_empty() {
        inputs::place(&workspace, &request.inputs, request.owner())?;
    }
    let open = |stream, name, limit| {
        let log = open_log(&request.task_dir, name)?;
        Output::open(stream, log, limit).map_err(|error| StepError::new("pipe", error))
    };
    let (kept_stdout, stdout) = open(OutputStream::Stdout, "stdout.log", request.stdout_log_max_bytes)?;
    let (kept_stderr, stderr) = open(OutputStream::Stderr, "stderr.log", request.stderr_log_max_bytes)?;
    let streams = Streams { stdin, stdout, stderr };
    if let Some(owner) = request.owner() {
        let given = give_to(owner, request, &streams);
        given.map_err(|error| if request.sandbox.is_some() { error.in_sandbox() } else { error })?;
    }
    Ok((streams, [kept_stdout, kept_stderr]))
}

/// The task's own user gets to its workspace by path; it cannot list what is beside it.
fn let_pass(task_dir: &Path) -> Result<(), StepError> {
    let passed = std::fs::set_permissions(task_dir, Permissions::from_mode(0o711));
    passed.map_err(|error| StepError::new(format_args!("chmod {}", task_dir.display()), error))
}

/// Makes the task's files those of its own user. Nothing of the task has run yet, so no name here is a trap.
fn give_to((uid, gid): (u32, u32), request: &LaunchRequest, streams: &Streams) -> Result<(), StepError> {
    let failed = |path: &Path, error| StepError::new(format_args!("chown {}", path.display()), error);
    let workspace = request.task_dir.join("workspace");
    let below = request.working_dir.ancestors().take_while(|path| path.starts_with(&workspace));
    for path in below.chain(request.script.as_ref().map(|script| script.path.as_path())) {
        lchown(path, Some(uid), Some(gid)).map_err(|error| failed(path, error))?;
    }
    // So that /dev/stdout can be opened again.
    for (pipe, name) in [(&streams.stdout, "standard output"), (&streams.stderr, "standard error")] {
        fchown(pipe, Some(uid), Some(gid)).map_err(|error| failed(Path::new(name), error))?;
    }
    Ok(())
}

fn make_dir(path: &Path) -> Result<(), StepError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| StepError::new(format_args!("mkdir {}", path.display()), error))
}

fn write_script(script: &ScriptFile) -> Result<(), StepError> {
    let write = || -> io::Result<()> {
        let mut file = new_file(0o700).truncate(true).write(true).open(&script.path)?;
        // The mode above is for a new file, and under the umask.
        file.set_permissions(Permissions::from_mode(0o700))?;
        file.write_all(script.text.as_bytes())
    };
    write().map_err(|error| StepError::new(format_args!("write {}", script.path.display()), error))
}

fn open_stdin(path: &Path) -> Result<File, StepError> {
    File::open(path).map_err(|error| StepError::new(format_args!("open {}", path.display()), error))
}

fn open_log(task_dir: &Path, name: &str) -> Result<File, StepError> {
    let path = task_dir.join(name);
    // Appending, so that a task that truncates it leaves no hole.
    let opened = open_truncated(&path);
    opened.map_err(|error| StepError::new(format_args!("open {}", path.display()), error))
}

fn open_truncated(path: &Path) -> io::Result<File> {
    // std refuses O_APPEND together with O_TRUNC, so the latter comes as a custom flag.
    new_file(0o600).append(true).custom_flags(libc::O_TRUNC | libc::O_NOFOLLOW).open(path)
}

fn new_file(mode: u32) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).mode(mode).custom_flags(libc::O_NOFOLLOW);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_emptied_and_then_appended_to() {
        let dir = tempfile::tempdir().expect("temp dir");
        std::fs::write(dir.path().join("stdout.log"), "old").expect("written");
        let mut first = open_log(dir.path(), "stdout.log").expect("opened");
        let mut second = first.try_clone().expect("dup");
        first.write_all(b"a").expect("written");
        second.write_all(b"b").expect("written");
        assert_eq!(std::fs::read(dir.path().join("stdout.log")).expect("readable"), b"ab");
    }

    #[test]
    fn a_log_is_never_opened_through_a_symlink() {
        let dir = tempfile::tempdir().expect("temp dir");
        std::fs::write(dir.path().join("precious"), "kept").expect("written");
        std::os::unix::fs::symlink("precious", dir.path().join("stdout.log")).expect("linked");
        assert!(open_log(dir.path(), "stdout.log").is_err());
        assert_eq!(std::fs::read(dir.path().join("precious")).expect("readable"), b"kept");
    }
}
