//! The program.

fn main() -> std::process::ExitCode {
    execgo_runtime::main()
}
