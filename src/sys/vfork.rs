//! clone3(2) with CLONE_VM and CLONE_VFORK, for which libc has no function: the child needs a stack of its own, since it
//! returns from no call of its parent's. Only the one machine instruction and what must stand around it.

use std::arch::asm;
use std::convert::Infallible;
use std::io;

/// Of the child, until it execs. Only what it touches is ever there.
const STACK_BYTES: usize = 1 << 20;
/// Of the stack at a call, by the ABI.
const ALIGNMENT: usize = 16;

/// Runs `child` in a new process in this memory, and goes on when that has exec'ed or ended. The pid is never 0: the
/// child does not come back.
///
/// # Errors
/// As clone3(2).
pub(super) fn clone3(args: &mut libc::clone_args, child: &dyn Fn() -> Infallible) -> io::Result<i32> {
    let mut stack = Box::<[u8]>::new_uninit_slice(STACK_BYTES);
    let bottom = stack.as_mut_ptr().expose_provenance().next_multiple_of(ALIGNMENT);
    args.flags |= u64::from((libc::CLONE_VM | libc::CLONE_VFORK).cast_unsigned());
    args.stack = bottom as u64;
    args.stack_size = (STACK_BYTES - 2 * ALIGNMENT) as u64;
    let answer: isize;
    // SAFETY: the parent stands still in this instruction until the child has left its memory, so that two processes
    // never run in it at once, and all that is lent to the child lives. The child starts on its own stack, calls
    // `start`, and never comes to what stands behind the label. The kernel keeps all registers of the parent's but those
    // that are named here.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r13",
            "call r12",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 as isize => answer,
            in("rdi") &raw const *args,
            in("rsi") size_of::<libc::clone_args>(),
            in("r12") start as extern "C" fn(&&dyn Fn() -> Infallible) -> !,
            in("r13") &raw const child,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    match i32::try_from(answer) {
        Ok(pid) if pid > 0 => Ok(pid),
        Ok(errno) => Err(io::Error::from_raw_os_error(-errno)),
        Err(error) => Err(io::Error::other(error)),
    }
}

extern "C" fn start(child: &&dyn Fn() -> Infallible) -> ! {
    match child() {}
}
