//! The launcher: a tiny single-threaded process that forks one shim per task, and the server's end of the line to it.

pub mod protocol;
