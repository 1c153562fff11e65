//! The kernel: calls that manage the machine, and calls with a large attack surface.

use crate::Row;
use crate::system::{HERE, MINUS_ONE, SIGSEGV, SIGSYS, call, foreign_getpid, in_child, own_pid, room, text, words};
use crate::verdict::Verdict::{self, Absent, Cannot, Held, Open};
use crate::verdict::{refused, worst};

pub const ROWS: &[Row] = &[
    ("io-uring", || refused(call(425, [1, room(120)]))),
    ("perf-events", perf_events),
    ("userfaultfd", || refused(call(323, [UFFD_USER_MODE_ONLY]))),
    ("keyring", keyring),
    ("bpf", || refused(call(321, [BPF_PROG_GET_NEXT_ID, room(128), 128]))),
    ("load-module", || worst([refused(call(175, [0, 0, text("")])), refused(call(313, [MINUS_ONE, text(""), 0]))])),
    ("unload-module", || refused(call(176, [text("execgo_attack_no_such_module"), O_NONBLOCK]))),
    // Magic numbers that the kernel does not take, flags that it does not know.
    ("reboot", || refused(call(169, [1, 2, 3, 0]))),
    ("kexec", || refused(call(246, [0, 0, 0, 0xdead]))),
    ("set-clock", set_clock),
    ("set-time-zone", || refused(call(164, [0, 0]))),
    ("kernel-log", || refused(call(103, [SYSLOG_CONSOLE_LEVEL, 0, 99]))),
    ("swap", || worst([167, 168].map(|number| refused(call(number, [text("/no/such/swap"), 0]))))),
    ("accounting", || refused(call(163, [text("/no/such/file")]))),
    ("host-name", || refused(call(170, [text("attacked"), 8]))),
    ("hang-up-terminal", || refused(call(153, []))),
    ("file-handle-make", || refused(call(303, [HERE, text("/tmp"), handle(), room(8), 0]))),
    ("file-handle-open", || refused(call(304, [HERE, handle(), 0]))),
    ("fanotify", || refused(call(300, [FAN_REPORT_FID, 0]))),
    ("kcmp", || refused(call(312, [own_pid(), own_pid(), 0, 0, 0]))),
    ("io-ports", || worst([refused(call(172, [3])), refused(call(173, [0x80, 1, 1]))])),
    ("descriptor-table", || refused(call(154, [0, room(64), 64]))),
    ("foreign-architecture", foreign_architecture),
    ("x32", || refused(call(0x4000_0000 + 39, []))),
];

const UFFD_USER_MODE_ONLY: usize = 1;
const BPF_PROG_GET_NEXT_ID: usize = 11;
const O_NONBLOCK: usize = 0o4000;
const SYSLOG_CONSOLE_LEVEL: usize = 8;
const FAN_REPORT_FID: usize = 0x200;

/// The cycles of the first CPU, whoever runs there, the kernel too.
fn perf_events() -> Verdict {
    const SIZE: u64 = 128;
    let attributes = room(128);
    // SAFETY: `room` gave 128 bytes, aligned and never freed; this is the half word of type (hardware) and size.
    unsafe { *(attributes as *mut u64) = SIZE << 32 };
    refused(call(298, [attributes, MINUS_ONE, 0, MINUS_ONE, 0]))
}

fn keyring() -> Verdict {
    const GET_KEYRING_ID: usize = 0;
    const SESSION: usize = (-3_isize).cast_unsigned();
    const PROCESS: usize = (-2_isize).cast_unsigned();
    worst([
        refused(call(250, [GET_KEYRING_ID, SESSION, 0])),
        refused(call(248, [text("user"), text("attack"), text("x"), 1, PROCESS])),
        refused(call(249, [text("user"), text("no such key"), 0, 0])),
    ])
}

/// To the time that it shows.
fn set_clock() -> Verdict {
    const REALTIME: usize = 0;
    let now = room(16);
    match call(228, [REALTIME, now]) {
        Ok(_) => refused(call(227, [REALTIME, now])),
        Err(errno) => Cannot(format!("clock_gettime: {errno}")),
    }
}

/// Eight bytes of handle, of the first type, that name no file.
fn handle() -> usize {
    let handle = words([8 | 1 << 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    // SAFETY: `words` gave these words, never freed; the first is the room for a handle, and name_to_handle_at(2) may
    // need all of it.
    unsafe { *(handle as *mut u32) = 128 };
    handle
}

fn foreign_architecture() -> Verdict {
    const SIGNAL: i32 = 0x7f;
    let asked = in_child(0, || {
        let code = usize::from(foreign_getpid() <= 0);
        let _ = call(231, [code]);
    });
    match asked {
        Ok(0) => Open("answered".to_owned()),
        Ok(status) if status & SIGNAL == SIGSYS => Held("SIGSYS".to_owned()),
        Ok(status) if status & SIGNAL == SIGSEGV => Absent("SIGSEGV".to_owned()),
        Ok(status) if status >> 8 == 1 => Absent("not answered".to_owned()),
        Ok(status) => Cannot(format!("status {status:#x}")),
        Err(errno) => Cannot(format!("clone: {errno}")),
    }
}
