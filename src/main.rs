//! Role dispatch, before any thread exists.

mod launcher;
mod sys;
mod task;

fn main() {}
