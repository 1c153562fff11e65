//! The bottom of the house: every `unsafe` line and every raw system call of the project, in small files by concern.
//! It knows the kernel and nothing of ours: no task, no message, no configuration.

pub mod clock;
pub mod directory;
pub mod exec;
pub mod fd;
pub mod file;
pub mod fork;
pub mod identity;
pub mod inotify;
pub mod landlock;
pub mod lock;
pub mod memory;
pub mod mount;
pub mod network;
pub mod poll;
pub mod proc_stat;
pub mod proc_tree;
pub mod process;
pub mod rlimit;
pub mod signal;
pub mod sock_diag;
pub mod socket;
pub mod socket_holder;
#[cfg(target_arch = "x86_64")]
mod vfork;
