//! `/proc/<pid>/stat` (proc_pid_stat(5)): a process's parent, groups and start time, which with the pid names it for
//! one boot.

use std::fs::File;
use std::io::{self, Read};

use super::process::Pid;

/// The fields that we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcStat {
    pub pid: i32,
    /// `Z` for a zombie, `T` for one that is stopped.
    pub state: u8,
    pub ppid: i32,
    pub pgrp: i32,
    pub session: i32,
    /// Clock ticks from boot to the start of the process.
    pub start_ticks: u64,
}

/// Reads the entry of `pid`.
///
/// # Errors
/// `ENOENT` or `ESRCH` when there is no such process.
pub fn read(pid: Pid) -> io::Result<ProcStat> {
    read_path(&format!("/proc/{pid}/stat"))
}

/// Reads the entry of this process.
///
/// # Errors
/// `/proc` is not mounted.
pub fn read_self() -> io::Result<ProcStat> {
    read_path("/proc/self/stat")
}

fn read_path(path: &str) -> io::Result<ProcStat> {
    // The line is far shorter (a name of 64 bytes and 51 numbers), and one read gives all of it.
    let mut buffer = [0; 2048];
    let length = File::open(path)?.read(&mut buffer)?;
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, format!("{path}: not as in proc_pid_stat(5)"));
    parse(&buffer[..length]).ok_or_else(malformed)
}

fn parse(line: &[u8]) -> Option<ProcStat> {
    // The name in parentheses may hold anything, `) ` and newlines too, but no number behind it holds a `)`.
    let open = line.iter().position(|b| *b == b'(')?;
    let close = line.iter().rposition(|b| *b == b')')?;
    let pid = std::str::from_utf8(line.get(..open)?).ok()?.trim().parse().ok()?;
    let rest = std::str::from_utf8(line.get(close + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let ppid = fields.next()?.parse().ok()?;
    let pgrp = fields.next()?.parse().ok()?;
    let session = fields.next()?.parse().ok()?;
    // Fields 7 to 21 lie between the session (6) and the start time (22).
    let start_ticks = fields.nth(15)?.parse().ok()?;
    Some(ProcStat { pid, state, ppid, pgrp, session, start_ticks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_is_skipped() {
        let line = b"42 (a) R 1 (b\n) S 7 8 9 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 1 2 3\n";
        let stat = parse(line).expect("parses");
        assert_eq!(stat, ProcStat { pid: 42, state: b'S', ppid: 7, pgrp: 8, session: 9, start_ticks: 123_456 });
    }

    #[test]
    fn a_cut_line_is_refused() {
        for line in ["", "42", "42 (x", "42 (x) S 1 2", "42 (x) S 1 2 3 4 5 6 7"] {
            assert_eq!(parse(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn reads_this_process_and_no_process_that_is_not_there() {
        let own = read_self().expect("readable");
        assert_eq!(own.pid, i32::try_from(std::process::id()).expect("a pid"));
        assert_eq!(read(Pid::from_raw(own.pid).expect("positive")).expect("readable").start_ticks, own.start_ticks);
        // Above the largest pid_max.
        assert!(read(Pid::from_raw(1 << 22 | 1).expect("positive")).is_err());
    }
}
