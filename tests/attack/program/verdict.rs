//! What became of an attempt.

use std::fmt;
use std::io;

use crate::system::Errno;

pub enum Verdict {
    /// Refused, and how.
    Held(String),
    /// It went through.
    Open(String),
    /// This kernel or this machine has not got the thing at all.
    Absent(String),
    /// It could not be tried.
    Cannot(String),
}

use Verdict::{Absent, Cannot, Held, Open};

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Held(how) => write!(f, "held {how}"),
            Open(what) => write!(f, "open {what}"),
            Absent(why) => write!(f, "absent {why}"),
            Cannot(why) => write!(f, "cannot {why}"),
        }
    }
}

/// A call that needs a privilege, or that is forbidden: any other error means that it was let in.
pub fn refused(result: Result<usize, Errno>) -> Verdict {
    refused_with(result, &[])
}

/// The same, where `also` are refusals, too.
pub fn refused_with(result: Result<usize, Errno>, also: &[Errno]) -> Verdict {
    match result {
        Ok(value) => Open(format!("returned {value}")),
        Err(errno @ (Errno::EPERM | Errno::EACCES)) => Held(errno.to_string()),
        Err(errno) if also.contains(&errno) => Held(errno.to_string()),
        Err(errno @ (Errno::ENOSYS | Errno::EAFNOSUPPORT)) => Absent(errno.to_string()),
        Err(errno) => Open(format!("reached the kernel: {errno}")),
    }
}

/// A file that must not be there, or not for this.
pub fn barred<T>(what: &str, result: io::Result<T>) -> Verdict {
    const BARS: [Errno; 6] = [Errno::EPERM, Errno::EACCES, Errno::EROFS, Errno::ENOENT, Errno::ENOTDIR, Errno::ESRCH];
    match result {
        Ok(_) => Open(what.to_owned()),
        Err(error) => match Errno::of(&error) {
            errno if BARS.contains(&errno) => Held(errno.to_string()),
            errno => Open(format!("{what}: {errno}")),
        },
    }
}

/// Of several attempts the worst; of held ones the first.
pub fn worst(verdicts: impl IntoIterator<Item = Verdict>) -> Verdict {
    let rank = |verdict: &Verdict| match verdict {
        Open(_) => 3,
        Cannot(_) => 2,
        Held(_) => 1,
        Absent(_) => 0,
    };
    let worse = |a: Verdict, b: Verdict| if rank(&b) > rank(&a) { b } else { a };
    verdicts.into_iter().reduce(worse).unwrap_or_else(|| Cannot("nothing was tried".to_owned()))
}

/// A control: what a task must be able to do.
pub fn works<T, E: fmt::Display>(result: Result<T, E>) -> Verdict {
    match result {
        Ok(_) => Open("works".to_owned()),
        Err(error) => Held(error.to_string()),
    }
}
