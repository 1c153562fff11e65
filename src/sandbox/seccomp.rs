//! seccomp: system calls that a task never needs and that lead into little-tested parts of the kernel are refused.
//! `EPERM` and not a kill, for programs try some of them and go on without.

use std::collections::BTreeMap;
use std::io;
use std::sync::OnceLock;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, sock_filter,
};

/// The namespaces of clone(2); bit 0x80 (CLONE_NEWTIME) is part of the exit signal there.
const NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// The families that a network namespace confines, and the one that stays on the machine.
const FAMILIES: [libc::c_int; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// Rules in one part of the table.
const PART: usize = 8;

/// Instructions of <linux/bpf_common.h>.
const LOAD_WORD: u16 = 0x20;
const JUMP: u16 = 0x05;
const JUMP_IF_AT_LEAST: u16 = 0x35;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
/// open_tree_attr(2) of Linux 6.15, the same number everywhere; the library has no name for it.
const SYS_OPEN_TREE_ATTR: libc::c_long = 467;

/// Refused whatever the arguments.
const DENIED: &[libc::c_long] = &[
    // Mounts and roots, old and new.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    SYS_OPEN_TREE_ATTR,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    // Namespaces.
    libc::SYS_setns,
    libc::SYS_unshare,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    // Large attack surfaces.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // The machine.
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_syslog,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_lookup_dcookie,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    libc::SYS_nfsservctl,
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    libc::SYS_kexec_file_load,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_sysfs,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ustat,
];

/// Made once: a forked child has it from its parent.
static PROGRAM: OnceLock<Result<BpfProgram, i32>> = OnceLock::new();

/// Makes the filter, so that no child of this process has to.
pub(super) fn compile() {
    program();
}

/// Puts the filter on this process, for ever.
///
/// # Errors
/// `EOPNOTSUPP` on an architecture without a table; as seccomp(2).
pub fn confine() -> io::Result<()> {
    let program = program().as_ref().map_err(|errno| io::Error::from_raw_os_error(*errno))?;
    seccompiler::apply_filter(program).map_err(into_io)
}

/// The guard, and behind it the table. The kernel runs a new filter once for each system call that there is, to
/// remember which are always allowed. So the table comes in parts, of which each call passes one.
fn program() -> &'static Result<BpfProgram, i32> {
    PROGRAM.get_or_init(|| {
        let arch = arch().ok_or(libc::EOPNOTSUPP)?;
        let rules: Vec<_> = table().map_err(|_| libc::EINVAL)?.into_iter().collect();
        let mut parts = Vec::new();
        for rules in rules.chunks(PART) {
            let first = rules.first().and_then(|(number, _)| u32::try_from(*number).ok()).unwrap_or(0);
            let rules = rules.iter().cloned().collect();
            let filter = SeccompFilter::new(rules, SeccompAction::Allow, errno(libc::EPERM), arch);
            parts.push((first, filter.and_then(BpfProgram::try_from).map_err(|_| libc::EINVAL)?));
        }
        Ok([guard(), joined(parts)].concat())
    })
}

/// Leads the system call whose number is loaded to the last part that begins at or below it.
fn joined(parts: Vec<(u32, BpfProgram)>) -> BpfProgram {
    let mut program = Vec::new();
    // From the end, since jumps lead forward only and each is as long as what stands in between.
    for (first, part) in parts {
        let Ok(length) = u32::try_from(program.len()) else { return program };
        if program.is_empty() {
            program = part;
            continue;
        }
        let choice = [op(JUMP_IF_AT_LEAST, 0, 1, first), op(JUMP, 0, 0, length)];
        program = [choice.to_vec(), program, part].concat();
    }
    program
}

const fn op(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

const fn arch() -> Option<TargetArch> {
    if cfg!(target_arch = "x86_64") {
        Some(TargetArch::x86_64)
    } else if cfg!(target_arch = "aarch64") {
        Some(TargetArch::aarch64)
    } else {
        None
    }
}

const fn errno(errno: libc::c_int) -> SeccompAction {
    SeccompAction::Errno(errno.cast_unsigned())
}

/// `ENOSYS` for clone3, whose flags lie in memory where no filter sees them (libraries then use clone), and for the
/// numbers of x32, which no table knows; all else goes on to the table. Foreign architectures are its business: it
/// kills them.
fn guard() -> BpfProgram {
    const X32_BIT: u32 = 0x4000_0000;
    let clone3 = u32::try_from(libc::SYS_clone3).unwrap_or(u32::MAX);
    vec![
        op(LOAD_WORD, 0, 0, 0),
        op(JUMP_IF_AT_LEAST, 1, 0, X32_BIT),
        op(JUMP_IF_EQUAL, 0, 1, clone3),
        op(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned()),
    ]
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn table() -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = DENIED.iter().map(|number| (*number, Vec::new())).collect();
    let word = |index, op, value: u64| SeccompCondition::new(index, SeccompCmpArgLen::Dword, op, value);
    let mut clone = Vec::new();
    for flag in NAMESPACES {
        let bit = u64::from(flag.cast_unsigned());
        clone.push(SeccompRule::new(vec![word(0, SeccompCmpOp::MaskedEq(bit), bit)?])?);
    }
    rules.insert(libc::SYS_clone, clone);
    for call in [libc::SYS_socket, libc::SYS_socketpair] {
        let other = FAMILIES.map(|family| word(0, SeccompCmpOp::Ne, u64::from(family.cast_unsigned())));
        rules.insert(call, vec![SeccompRule::new(other.into_iter().collect::<Result<_, _>>()?)?]);
    }
    let mut ioctl = Vec::new();
    for request in [libc::TIOCSTI, libc::TIOCLINUX] {
        ioctl.push(SeccompRule::new(vec![word(1, SeccompCmpOp::Eq, request)?])?);
    }
    rules.insert(libc::SYS_ioctl, ioctl);
    rules.insert(libc::SYS_prlimit64, vec![SeccompRule::new(vec![word(0, SeccompCmpOp::Ne, 0)?])?]);
    Ok(rules)
}

fn into_io(error: seccompiler::Error) -> io::Error {
    match error {
        seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => error,
        other => io::Error::other(other),
    }
}

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
    use super::*;

    const OWN_ARCH: u32 = if cfg!(target_arch = "x86_64") { 0xc000_003e } else { 0xc000_00b7 };
    const FOREIGN_ARCH: u32 = if cfg!(target_arch = "x86_64") { 0x4000_0003 } else { 0x4000_0028 };
    const REFUSED: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned();
    const NOT_THERE: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();

    /// What the kernel would answer (seccomp(2)).
    fn answer(arch: u32, number: libc::c_long, arguments: [u64; 6]) -> u32 {
        let halves =
            |word: u64| [u32::try_from(word & 0xffff_ffff), u32::try_from(word >> 32)].map(|h| h.expect("half"));
        let mut data = vec![u32::try_from(number).expect("a number"), arch, 0, 0];
        data.extend(arguments.into_iter().flat_map(halves));
        run(program().as_ref().expect("an architecture with a table"), &data)
    }

    /// The few instructions of classic BPF that filters are made of (<linux/bpf_common.h>).
    fn run(program: &[sock_filter], data: &[u32]) -> u32 {
        let (mut at, mut value) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            at += 1;
            let jump = |holds: bool| usize::from(if holds { jt } else { jf });
            match code {
                0x20 => value = data[usize::try_from(k / 4).expect("an offset")],
                0x54 => value &= k,
                0x05 => at += usize::try_from(k).expect("an offset"),
                0x15 => at += jump(value == k),
                0x25 => at += jump(value > k),
                0x35 => at += jump(value >= k),
                0x45 => at += jump(value & k != 0),
                0x06 => return k,
                other => panic!("an instruction {other:#x} that this test does not know"),
            }
        }
    }

    fn first(argument: libc::c_int) -> [u64; 6] {
        [u64::from(argument.cast_unsigned()), 0, 0, 0, 0, 0]
    }

    #[test]
    fn what_is_denied_is_refused_and_nothing_else_is() {
        const NEWEST: libc::c_long = 480;
        for number in 0..NEWEST {
            let expected = match number {
                number if DENIED.contains(&number) => REFUSED,
                libc::SYS_clone3 => NOT_THERE,
                // Family 0 is none of ours.
                libc::SYS_socket | libc::SYS_socketpair => REFUSED,
                _ => libc::SECCOMP_RET_ALLOW,
            };
            assert_eq!(answer(OWN_ARCH, number, [0; 6]), expected, "system call {number}");
        }
    }

    #[test]
    fn the_rest_depends_on_the_arguments() {
        for flag in NAMESPACES {
            assert_eq!(answer(OWN_ARCH, libc::SYS_clone, first(flag | libc::SIGCHLD)), REFUSED, "clone {flag:#x}");
        }
        let thread = libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_THREAD | libc::CLONE_SIGHAND;
        assert_eq!(answer(OWN_ARCH, libc::SYS_clone, first(thread)), libc::SECCOMP_RET_ALLOW);
        for family in 0..50 {
            let expected = if FAMILIES.contains(&family) { libc::SECCOMP_RET_ALLOW } else { REFUSED };
            assert_eq!(answer(OWN_ARCH, libc::SYS_socket, first(family)), expected, "family {family}");
        }
        for (request, expected) in [
            (libc::TIOCSTI, REFUSED),
            (libc::TIOCLINUX, REFUSED),
            // The kernel looks at the lower half of a request alone.
            (libc::TIOCSTI | 1 << 40, REFUSED),
            (libc::TCGETS, libc::SECCOMP_RET_ALLOW),
        ] {
            assert_eq!(answer(OWN_ARCH, libc::SYS_ioctl, [0, request, 0, 0, 0, 0]), expected, "ioctl {request:#x}");
        }
        assert_eq!(answer(OWN_ARCH, libc::SYS_prlimit64, first(1)), REFUSED);
    }

    #[test]
    fn other_architectures_get_nothing() {
        assert_eq!(answer(FOREIGN_ARCH, libc::SYS_getpid, [0; 6]), libc::SECCOMP_RET_KILL_PROCESS);
        assert_eq!(answer(OWN_ARCH, 0x4000_0000 + libc::SYS_getpid, [0; 6]), NOT_THERE);
    }
}
