//! setrlimit(2) for a process that may not raise a hard limit (root may lack CAP_SYS_RESOURCE).

use std::io;
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, prlimit, setrlimit};

use super::process::Pid;

/// `RLIMIT_NOFILE` before it was raised.
static OPEN_FILES: OnceLock<Rlimit> = OnceLock::new();

/// The limits that we set, by their names in setrlimit(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `RLIMIT_AS`: bytes of address space.
    AddressSpace { bytes: u64 },
    /// `RLIMIT_CORE` so that no core dump is made. 1 and not 0: with 0 a piped core handler runs all the same
    /// (core(5); the kernel takes 1 as "no dump at all").
    NoCore,
    /// `RLIMIT_CPU`: SIGXCPU after `seconds`, SIGKILL one second later. With both at once the kernel only kills,
    /// and nobody can tell why.
    CpuTime { seconds: u64 },
    /// `RLIMIT_FSIZE`: SIGXFSZ for whoever makes a file longer; `EFBIG` where that is ignored.
    FileSize { bytes: u64 },
    /// `RLIMIT_NOFILE`: no new descriptor has this number or a higher one; `EMFILE`. What is open stays open.
    OpenFiles { count: u64 },
    /// `RLIMIT_NPROC`: processes and threads of the user, counted in its user namespace (since Linux 5.14); `EAGAIN` for
    /// fork. Nothing for root.
    Processes { count: u64 },
}

impl Limit {
    /// The name of the resource.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AddressSpace { .. } => "RLIMIT_AS",
            Self::NoCore => "RLIMIT_CORE",
            Self::CpuTime { .. } => "RLIMIT_CPU",
            Self::FileSize { .. } => "RLIMIT_FSIZE",
            Self::OpenFiles { .. } => "RLIMIT_NOFILE",
            Self::Processes { .. } => "RLIMIT_NPROC",
        }
    }

    /// Sets the limit for this process, or the current hard limit where that is lower. Allocates nothing.
    ///
    /// # Errors
    /// As setrlimit(2).
    pub fn apply(self) -> io::Result<()> {
        let (resource, soft, hard) = match self {
            Self::AddressSpace { bytes } => (Resource::As, bytes, bytes),
            Self::NoCore => (Resource::Core, 1, 1),
            Self::CpuTime { seconds } => (Resource::Cpu, seconds, seconds.saturating_add(1)),
            Self::FileSize { bytes } => (Resource::Fsize, bytes, bytes),
            Self::OpenFiles { count } => (Resource::Nofile, count, count),
            Self::Processes { count } => (Resource::Nproc, count, count),
        };
        Ok(setrlimit(resource, clamped(soft, hard, getrlimit(resource).maximum))?)
    }
}

/// Raises this process's soft `RLIMIT_NOFILE` to the hard one. It is often 1024 for the sake of select(2), and each
/// connection takes a descriptor.
///
/// # Errors
/// As setrlimit(2).
pub fn raise_open_files() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let Rlimit { maximum, .. } = *OPEN_FILES.get_or_init(|| limit);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

/// Gives a process of ours the limit with which this one was started: it may run programs that use select(2).
///
/// # Errors
/// As prlimit(2).
pub fn lower_open_files_of(process: Pid) -> io::Result<()> {
    let Some(limit) = OPEN_FILES.get() else { return Ok(()) };
    prlimit(Some(process), Resource::Nofile, *limit)?;
    Ok(())
}

/// `None` is "unlimited".
fn clamped(soft: u64, hard: u64, ceiling: Option<u64>) -> Rlimit {
    let below = |wish: u64| ceiling.map_or(wish, |ceiling| wish.min(ceiling));
    Rlimit { current: Some(below(soft)), maximum: Some(below(hard)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_is_set_above_the_hard_limit() {
        let limits = |limit: &Rlimit| (limit.current, limit.maximum);
        assert_eq!(limits(&clamped(5, 6, None)), (Some(5), Some(6)));
        assert_eq!(limits(&clamped(5, 6, Some(9))), (Some(5), Some(6)));
        assert_eq!(limits(&clamped(5, 6, Some(5))), (Some(5), Some(5)));
        assert_eq!(limits(&clamped(5, 6, Some(0))), (Some(0), Some(0)));
    }
}
