//! Landlock: what is mounted may be read and run, and written only where the task has its own files. It stands behind
//! the mounts, in case one of them is not what it should be. Rights that an older kernel does not know are left out.

use std::error::Error;
use std::io;

use landlock::{
    ABI, Access, AccessFs, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope,
};

/// Up to here the rights are known and tested: ABI 6 keeps signals and abstract sockets inside.
const NEWEST: ABI = ABI::V6;

const WRITABLE: [&str; 3] = [super::request::WORKSPACE, "/tmp", "/dev/shm"];
const DEVICES: [&str; 3] = ["/dev/null", "/dev/zero", "/dev/full"];

/// Restricts this process and all that it will fork. With `stdin` standard input is a file, in no directory that is seen,
/// and may be opened again by `/dev/stdin`.
///
/// # Errors
/// Of the kernel; `EOPNOTSUPP` when it has no Landlock.
pub fn restrict(stdin: bool) -> io::Result<()> {
    let all = AccessFs::from_all(NEWEST);
    let file = AccessFs::from_file(NEWEST);
    let mut rules = Ruleset::default()
        .handle_access(all)
        .and_then(|rules| rules.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create)
        .map_err(into_io)?;
    rules = allow(rules, "/", AccessFs::from_read(NEWEST))?;
    for path in WRITABLE {
        rules = allow(rules, path, all)?;
    }
    for path in DEVICES {
        rules = allow(rules, path, file & !AccessFs::Execute)?;
    }
    if stdin {
        let rule = PathBeneath::new(io::stdin(), BitFlags::from(AccessFs::ReadFile));
        rules = rules.add_rule(rule).map_err(into_io)?;
    }
    // The other standard streams are pipes, in no directory, and may be opened again by /dev/stdout.
    let status = rules.restrict_self().map_err(into_io)?;
    match status.ruleset {
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
        RulesetStatus::NotEnforced => Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)),
    }
}

fn allow(rules: RulesetCreated, path: &str, access: BitFlags<AccessFs>) -> io::Result<RulesetCreated> {
    match PathFd::new(path) {
        Ok(fd) => rules.add_rule(PathBeneath::new(fd, access)).map_err(into_io),
        // What is not there cannot be opened.
        Err(_) => Ok(rules),
    }
}

fn into_io(error: RulesetError) -> io::Error {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        if let Some(errno) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return io::Error::from_raw_os_error(errno);
        }
        cause = error.source();
    }
    io::Error::other(error)
}
