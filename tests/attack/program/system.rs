//! System calls by their numbers on `x86_64`: what the standard library does not have. On other machines each fails with
//! `ENOSYS`, and the suite does not run there.

use std::env;
use std::fmt;
use std::io;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(i32);

impl Errno {
    pub const EPERM: Self = Self(1);
    pub const ENOENT: Self = Self(2);
    pub const ESRCH: Self = Self(3);
    pub const EAGAIN: Self = Self(11);
    pub const ENOMEM: Self = Self(12);
    pub const EACCES: Self = Self(13);
    pub const EBUSY: Self = Self(16);
    pub const EXDEV: Self = Self(18);
    pub const ENOTDIR: Self = Self(20);
    pub const EINVAL: Self = Self(22);
    pub const ENOTTY: Self = Self(25);
    pub const ENOSPC: Self = Self(28);
    pub const EROFS: Self = Self(30);
    pub const ENOSYS: Self = Self(38);
    pub const EIDRM: Self = Self(43);
    pub const EAFNOSUPPORT: Self = Self(97);
    pub const ENETUNREACH: Self = Self(101);
    pub const ECONNREFUSED: Self = Self(111);

    const NAMES: [(Self, &str); 18] = [
        (Self::EPERM, "EPERM"),
        (Self::ENOENT, "ENOENT"),
        (Self::ESRCH, "ESRCH"),
        (Self::EAGAIN, "EAGAIN"),
        (Self::ENOMEM, "ENOMEM"),
        (Self::EACCES, "EACCES"),
        (Self::EBUSY, "EBUSY"),
        (Self::EXDEV, "EXDEV"),
        (Self::ENOTDIR, "ENOTDIR"),
        (Self::EINVAL, "EINVAL"),
        (Self::ENOTTY, "ENOTTY"),
        (Self::ENOSPC, "ENOSPC"),
        (Self::EROFS, "EROFS"),
        (Self::ENOSYS, "ENOSYS"),
        (Self::EIDRM, "EIDRM"),
        (Self::EAFNOSUPPORT, "EAFNOSUPPORT"),
        (Self::ENETUNREACH, "ENETUNREACH"),
        (Self::ECONNREFUSED, "ECONNREFUSED"),
    ];

    pub fn into_io(self) -> io::Error {
        io::Error::from_raw_os_error(self.0)
    }

    pub fn of(error: &io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or_default())
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(errno, _)| errno == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

/// One system call. Arguments that are not given are 0.
#[cfg(target_arch = "x86_64")]
pub fn call<const N: usize>(number: usize, arguments: [usize; N]) -> Result<usize, Errno> {
    let at = |index: usize| arguments.get(index).copied().unwrap_or(0);
    let returned: isize;
    // SAFETY: the kernel writes only through pointers among the arguments, and each caller passes those of buffers of its
    // own that are large enough; the registers that the instruction changes are named.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number.cast_signed() => returned,
            in("rdi") at(0), in("rsi") at(1), in("rdx") at(2),
            in("r10") at(3), in("r8") at(4), in("r9") at(5),
            lateout("rcx") _, lateout("r11") _,
        );
    }
    match returned {
        -4095..0 => Err(Errno(i32::try_from(-returned).unwrap_or_default())),
        _ => Ok(returned.cast_unsigned()),
    }
}

#[cfg(not(target_arch = "x86_64"))]
pub fn call<const N: usize>(_number: usize, _arguments: [usize; N]) -> Result<usize, Errno> {
    Err(Errno::ENOSYS)
}

/// getpid(2) by the gate of 32-bit programs.
#[cfg(target_arch = "x86_64")]
pub fn foreign_getpid() -> i32 {
    const GETPID: i32 = 20;
    let returned;
    // SAFETY: this call takes no argument; the registers that the gate may change are named.
    unsafe {
        std::arch::asm!("int 0x80", inlateout("eax") GETPID => returned,
            lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _);
    }
    returned
}

#[cfg(not(target_arch = "x86_64"))]
pub fn foreign_getpid() -> i32 {
    -1
}

/// -1, as an argument.
pub const MINUS_ONE: usize = usize::MAX;

/// AT_FDCWD.
pub const HERE: usize = (-100_isize).cast_unsigned();

pub const SIGSEGV: i32 = 11;
pub const SIGSYS: i32 = 31;

/// A text for the kernel; it lives as long as this process.
pub fn text(text: &str) -> usize {
    let bytes: Vec<u8> = text.bytes().chain([0]).collect();
    Box::leak(bytes.into_boxed_slice()).as_ptr() as usize
}

/// Room for an answer, zeroes; it lives as long as this process.
pub fn room(bytes: usize) -> usize {
    Box::leak(vec![0_u64; bytes.div_ceil(8)].into_boxed_slice()).as_mut_ptr() as usize
}

/// Words for the kernel, likewise.
pub fn words<const N: usize>(words: [u64; N]) -> usize {
    Box::leak(Box::new(words)).as_mut_ptr() as usize
}

pub fn own_pid() -> usize {
    std::process::id() as usize
}

/// SIGALRM ends this process then.
pub fn alarm(seconds: usize) {
    let _ = call(37, [seconds]);
}

/// Forks, or clones with these namespaces; the child performs `body` and ends. How it ended, as wait4(2) tells it.
pub fn in_child(flags: usize, body: impl FnOnce()) -> Result<i32, Errno> {
    const SIGCHLD: usize = 17;
    match call(56, [flags | SIGCHLD, 0, 0, 0, 0])? {
        0 => {
            body();
            let _ = call(231, [0]);
            unreachable!("exit_group(2) does not return");
        }
        child => {
            let status = room(8);
            call(61, [child, status, 0, 0])?;
            // SAFETY: `room` gave eight bytes, aligned and never freed, and the kernel has written to them.
            Ok(unsafe { *(status as *const i32) })
        }
    }
}

/// What the suite says about the host.
pub fn known(name: &str) -> Result<String, String> {
    env::var(format!("ATTACK_{name}")).map_err(|_| format!("ATTACK_{name} is not given"))
}
