//! Role dispatch, before any thread exists.

mod launcher;
mod task;

fn main() {}
