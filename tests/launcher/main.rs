//! Drives the real launcher as its server would: frames into its standard input, reports out of its standard output,
//! the journal read from disk. JSON is written out here, so that a change of the format is seen.

mod cgroup2;
mod crash;
mod exec;
mod harness;
mod limits;
mod spares;
mod terminate;
