//! Who `execution.run_as` is, and whether plain tasks can run as that user here. A throwaway process becomes it and
//! goes where a task has to go.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use super::probe::PROBE_ROLE;
use crate::sys::identity::{self, Account};
use crate::task::RunAs;

/// The probe's first word: no number, no path.
pub(super) const PROBE: &str = "run_as";

/// Why tasks cannot run as the configured user.
#[derive(Debug, thiserror::Error)]
pub enum RunAsError {
    #[error("execution.run_as: the server is not root, and nobody else can run tasks as another user; leave it out")]
    NotRoot,
    #[error("execution.run_as: there is no user {0:?} here; it must be a user name, UID or UID:GID")]
    Unknown(String),
    #[error("execution.run_as: {0:?} is root, and root is who it is to keep tasks from being")]
    Root(String),
    #[error("execution.run_as: {0:?} is one of the users of linux_sandbox tasks (sandbox.uid_base, sandbox.uid_count)")]
    OfSandbox(String),
    #[error("execution.run_as: cannot look up {name:?}")]
    LookUp { name: String, source: io::Error },
    #[error("execution.run_as: a task cannot run as {user} in {path}: {reason}")]
    Unusable { user: String, path: String, reason: String },
}

/// Finds the user. `sandboxed` are the first of the sandbox's users and how many there are.
///
/// # Errors
/// There is none, it is root or a sandbox's, or this process is not root.
pub fn resolve_run_as(wanted: &str, sandboxed: (u32, u32)) -> Result<RunAs, RunAsError> {
    if identity::own_ids().0 != 0 {
        return Err(RunAsError::NotRoot);
    }
    let run_as = find(wanted)?;
    let (first, count) = sandboxed;
    if run_as.uid == 0 {
        return Err(RunAsError::Root(wanted.to_owned()));
    }
    if (first..first.saturating_add(count)).contains(&run_as.uid) {
        return Err(RunAsError::OfSandbox(wanted.to_owned()));
    }
    Ok(run_as)
}

fn find(wanted: &str) -> Result<RunAs, RunAsError> {
    let looked_up = |found: io::Result<Option<Account>>| {
        found.map_err(|source| RunAsError::LookUp { name: wanted.to_owned(), source })
    };
    let unknown = || RunAsError::Unknown(wanted.to_owned());
    let whole = |Account { name, uid, gid, groups }| RunAs { name: Some(name), uid, gid, groups };
    // A name that consists of digits is a number, as for chown(1) where there is no such name.
    let Some((uid, gid)) = numbers(wanted) else {
        return looked_up(identity::account_by_name(wanted))?.map(whole).ok_or_else(unknown);
    };
    let account = looked_up(identity::account_by_uid(uid))?;
    Ok(match (account, gid) {
        (Some(account), None) => whole(account),
        // Whoever names the group gets it and no other.
        (account, gid) => {
            RunAs { name: account.map(|account| account.name), uid, gid: gid.unwrap_or(uid), groups: Vec::new() }
        }
    })
}

/// `UID` or `UID:GID`. The largest number means "unchanged" to the kernel.
fn numbers(wanted: &str) -> Option<(u32, Option<u32>)> {
    let number = |text: &str| text.parse().ok().filter(|id| *id != u32::MAX);
    match wanted.split_once(':') {
        Some((uid, gid)) => Some((number(uid)?, Some(number(gid)?))),
        None => Some((number(wanted)?, None)),
    }
}

/// Becomes the user in a throwaway process and looks into `directory` by its path.
///
/// # Errors
/// Says what the process could not do.
pub fn try_run_as(run_as: &RunAs, directory: &Path) -> Result<(), RunAsError> {
    let unusable = |reason: String| RunAsError::Unusable {
        user: run_as.to_string(),
        path: directory.display().to_string(),
        reason,
    };
    let json = serde_json::to_string(run_as).map_err(|error| unusable(error.to_string()))?;
    let mut command = Command::new("/proc/self/exe");
    command.args([PROBE_ROLE, PROBE, &json]).arg(directory).stdin(Stdio::null()).stdout(Stdio::null());
    let probed = command.output().map_err(|error| unusable(format!("the probing process failed: {error}")))?;
    if probed.status.success() {
        return Ok(());
    }
    Err(unusable(String::from_utf8_lossy(&probed.stderr).trim().to_owned()))
}

/// The probing process; the reason of a failure is on its standard error.
pub(super) fn run_probe(args: &[OsString]) -> ExitCode {
    match become_and_look(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            drop(write!(io::stderr(), "{reason}"));
            ExitCode::FAILURE
        }
    }
}

fn become_and_look(args: &[OsString]) -> Result<(), String> {
    let [run_as, directory] = args else { return Err("wrong arguments".into()) };
    let RunAs { name: _, uid, gid, groups } =
        serde_json::from_slice(run_as.as_encoded_bytes()).map_err(|error| error.to_string())?;
    identity::become_user(uid, gid, &groups).map_err(|error| format!("setresuid: {error}"))?;
    std::env::set_current_dir(directory).map_err(|error| {
        format!("it cannot get there ({error}); every directory on the way must let it pass (x for others)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SANDBOXED: (u32, u32) = (200_000, 10);

    #[test]
    fn numbers_are_read_as_such_and_never_mean_unchanged() {
        assert_eq!(numbers("1000"), Some((1000, None)));
        assert_eq!(numbers("1000:7"), Some((1000, Some(7))));
        for no in ["", "root", "1000:", ":7", "-1", "4294967295", "1:4294967295", "1:2:3"] {
            assert_eq!(numbers(no), None, "{no}");
        }
    }

    #[test]
    fn names_and_numbers_find_the_same_user_and_its_groups() {
        let root = find("root").expect("there is a root");
        assert_eq!((root.uid, root.gid, root.name.as_deref()), (0, 0, Some("root")));
        assert_eq!(find("0").expect("the same"), root);
        let bare = find("0:12").expect("a number");
        assert_eq!((bare.gid, bare.groups.len(), bare.to_string().as_str()), (12, 0, "root"));
        let nameless = find("3999999999").expect("a number");
        assert_eq!((nameless.gid, nameless.to_string().as_str()), (3_999_999_999, "3999999999:3999999999"));
        assert!(matches!(find("no such user"), Err(RunAsError::Unknown(_))));
    }

    #[test]
    fn root_and_the_sandbox_s_users_are_refused_and_nobody_but_root_may_ask() {
        if identity::own_ids().0 != 0 {
            assert!(matches!(resolve_run_as("1000", SANDBOXED), Err(RunAsError::NotRoot)));
            return;
        }
        for root in ["root", "0", "0:1000"] {
            assert!(matches!(resolve_run_as(root, SANDBOXED), Err(RunAsError::Root(_))), "{root}");
        }
        assert!(matches!(resolve_run_as("200009", SANDBOXED), Err(RunAsError::OfSandbox(_))));
        assert_eq!(resolve_run_as("200010", SANDBOXED).expect("free").uid, 200_010);
    }
}
