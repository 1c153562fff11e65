//! The attacker's program: built once, static, and handed to tasks in the text of their script.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/attack/program");

/// A script that unpacks the attacker as `attack` and then goes on with `commands`.
pub fn script(commands: &str) -> String {
    static ENCODED: OnceLock<String> = OnceLock::new();
    let encoded = ENCODED.get_or_init(|| {
        let output = Command::new("base64").arg(program()).output().expect("base64 runs");
        String::from_utf8(output.stdout).expect("text")
    });
    format!("base64 -d >attack <<'END' || exit 99\n{encoded}END\nchmod 755 attack\n{commands}\n")
}

/// The one that `EXECGO_ATTACKER_BIN` names, for machines without a compiler, or one that is newer than its source.
fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("EXECGO_ATTACKER_BIN") {
        return named.into();
    }
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(directory).expect("a directory for the attacker");
    let program = directory.join("attacker");
    // Each test may be a process of its own.
    let lock = File::create(directory.join("attacker.lock")).expect("a lock");
    lock.lock().expect("locked");
    if !is_current(&program) {
        build(&program);
    }
    program
}

fn is_current(program: &Path) -> bool {
    let changed = |path: &Path| fs::metadata(path)?.modified();
    let Ok(built) = changed(program) else { return false };
    let sources = fs::read_dir(SOURCE).expect("the attacker's source is readable");
    sources.map(|entry| entry.expect("readable").path()).all(|source| changed(&source).expect("readable") < built)
}

fn build(program: &Path) {
    let unfinished = program.with_extension("new");
    let mut compiler = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    compiler.args(["--edition", "2024", "--crate-name", "attacker", "-C", "target-feature=+crt-static"]);
    compiler.args(["-C", "opt-level=s", "-C", "panic=abort", "-C", "strip=symbols", "-o"]);
    let output = compiler.arg(&unfinished).arg(format!("{SOURCE}/main.rs")).output().expect("rustc runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::rename(unfinished, program).expect("renamed");
}

/// It runs in any root, also in one without a loader. Before `.ci/vm` runs the suite where there is no compiler, it runs
/// this test to have an attacker there.
#[test]
fn the_attacker_needs_no_loader() {
    // elf(5): ELFCLASS64; Elf64_Ehdr has e_phoff, e_phentsize and e_phnum there, each program header begins with its type.
    const PT_INTERP: u64 = 3;
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    let program = fs::read(program()).expect("readable");
    assert!(program.starts_with(b"\x7fELF\x02\x01"), "an ELF of 64 bits, little endian");
    let number = |at: usize, length: usize| {
        program[at..at + length].iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    let at = |number: u64| usize::try_from(number).expect("within the file");
    let (first, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    let types: Vec<u64> = (0..count).map(|header| number(at(first + header * size), 4)).collect();
    assert!(!types.is_empty() && !types.contains(&PT_INTERP), "{types:?}");
}
