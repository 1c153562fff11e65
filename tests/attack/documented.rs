//! The tables of `docs/sandbox.md` are made of the tables here: neither can say what the other does not.

use std::fmt::Write;

use crate::rows::{GROUPS, Layer, Mode, Row, Task};

const PAGE: &str = include_str!("../../docs/sandbox.md");

/// What is no row of the attacker's, for it needs a task of its own or a look from the host: what is tried, what must
/// happen, and the test that does it.
const TESTS: [(&str, &str, File, &str); 21] = [
    ("a fork bomb under `pids_max`", "`EAGAIN`, timeout, nothing left", CGROUPS, "a_sandboxed_task_has_its_limits_too"),
    ("more memory than `memory_bytes`", "`memory_limit_exceeded`", CGROUPS, "a_sandboxed_task_has_its_limits_too"),
    ("filling `/tmp` under `memory_bytes`", "the same", LEFTOVERS, "what_fills_tmp_counts_as_the_task_s_memory"),
    (
        "a daemon in a session of its own, holding the output",
        "dead at the end",
        SANDBOX,
        "a_daemon_dies_with_its_command",
    ),
    (
        "forking twice, ignoring TERM, INT, HUP",
        "dead after the grace period",
        SURVIVORS,
        "a_task_that_ignores_every_signal_that_can_be_ignored_dies_with_its_daemons",
    ),
    ("stopping itself", "timeout", SURVIVORS, "a_task_that_stops_itself_ends_at_its_timeout"),
    ("`kill -9 -1`", "its end is told", SURVIVORS, "a_task_that_kills_all_it_can_is_reported"),
    ("the server is killed", "the task goes on", SURVIVORS, "a_task_outlives_its_killed_server_and_its_result_is_true"),
    ("shim or pid 1 are killed", "failed, nothing left", SURVIVORS, "a_killed_init_or_shim_is_no_success"),
    (
        "server, launcher and shim are killed",
        "nothing left",
        SANDBOX,
        "a_sandbox_ends_with_its_shim_when_server_and_launcher_are_gone",
    ),
    (
        "a daemon without a pid namespace",
        "dead at the end",
        SANDBOX,
        "without_a_pid_namespace_the_command_is_the_shim_s_child",
    ),
    (
        "endless output, ignoring SIGTERM",
        "kept up to its limit, cut in answers, ended",
        LEFTOVERS,
        "endless_output_ends_with_its_task",
    ),
    (
        "a setuid file in the workspace",
        "nobody else reaches it",
        LEFTOVERS,
        "a_setuid_file_is_out_of_everybody_s_reach",
    ),
    (
        "5,000 levels, mode 000, links, FIFOs",
        "all of it is removed, nothing else",
        LEFTOVERS,
        "traps_and_depths_are_cleaned_up",
    ),
    (
        "a log replaced by a FIFO or a link",
        "answers without it",
        LEFTOVERS,
        "a_log_that_became_something_else_holds_up_nobody",
    ),
    (
        "a rootfs with links for `/dev`, `/proc`",
        "the sandbox's own",
        SANDBOX,
        "chroot_gives_the_rootfs_read_only_and_no_more",
    ),
    ("the data directory as a rootfs", "refused", SANDBOX, "chroot_gives_the_rootfs_read_only_and_no_more"),
    (
        "the API, closing the connection at once",
        "403, no task",
        NETWORK,
        "the_runtime_s_own_api_is_closed_to_a_task_and_open_to_the_host",
    ),
    ("a missing program", "step and errno", SANDBOX, "exit_codes_signals_and_failures_are_exact"),
    ("exit codes and signals", "exact", SANDBOX, "exit_codes_signals_and_failures_are_exact"),
    (
        "a layer that is missing",
        "told in the plan, strict is refused",
        SANDBOX,
        "a_layer_that_is_switched_off_is_refused_or_told",
    ),
];

struct File {
    name: &'static str,
    text: &'static str,
}

const CGROUPS: File = File { name: "e2e/cgroups.rs", text: include_str!("../e2e/cgroups.rs") };
const NETWORK: File = File { name: "e2e/network.rs", text: include_str!("../e2e/network.rs") };
const SANDBOX: File = File { name: "e2e/sandbox.rs", text: include_str!("../e2e/sandbox.rs") };
const LEFTOVERS: File = File { name: "attack/leftovers.rs", text: include_str!("leftovers.rs") };
const SURVIVORS: File = File { name: "attack/survivors.rs", text: include_str!("survivors.rs") };

fn names(layers: &[Layer]) -> String {
    if layers.is_empty() {
        "–".to_owned()
    } else {
        layers.iter().map(|layer| layer.name()).collect::<Vec<_>>().join(", ")
    }
}

fn held_by(row: &Row) -> String {
    let (root, rootless) = (names(row.held_by(Mode::Root)), names(row.held_by(Mode::Rootless)));
    if root == rootless { root } else { format!("{root}; rootless: {rootless}") }
}

fn table_of_rows() -> String {
    let mut table = String::from("| row | the task … | held by |\n|---|---|---|\n");
    for (group, rows) in GROUPS {
        let _ = writeln!(table, "| **{group}** | | |");
        for row in rows {
            let _ = writeln!(table, "| `{}` | {} | {} |", row.name, row.tries, held_by(row));
        }
    }
    table
}

fn table_of_tests() -> String {
    let mut table = String::from("| the task … | what happens | test |\n|---|---|---|\n");
    for (tries, happens, file, test) in &TESTS {
        let _ = writeln!(table, "| {tries} | {happens} | `{test}` in `tests/{}` |", file.name);
    }
    table
}

/// Those that open when both are gone, and which of the two would do.
fn table_of_what_both_add() -> String {
    let mut table = String::from("| row | as root | rootless |\n|---|---|---|\n");
    for row in GROUPS.iter().flat_map(|(_, rows)| *rows) {
        let cell = |mode| {
            let opens = row.is_open(mode, &[Layer::Landlock, Layer::Seccomp], u64::MAX) && !row.is_never_held(mode);
            if opens { names(row.held_by(mode)) } else { "held all the same".to_owned() }
        };
        let (root, rootless) = (cell(Mode::Root), cell(Mode::Rootless));
        if root != rootless || root != "held all the same" {
            let note = if row.task == Task::FewNamespaces { " (without a pid namespace)" } else { "" };
            let _ = writeln!(table, "| `{}`{note} | {root} | {rootless} |", row.name);
        }
    }
    table
}

/// What stands on the page between the two comments of this name.
fn shown(name: &str) -> &str {
    let (_, rest) = PAGE.split_once(&format!("<!-- {name} -->\n")).unwrap_or_else(|| panic!("no table {name}"));
    rest.split_once(&format!("<!-- end of {name} -->")).unwrap_or_else(|| panic!("{name} has no end")).0
}

fn compare(name: &str, table: &str) {
    assert!(shown(name) == table, "docs/sandbox.md, {name}, must be:\n{table}");
}

#[test]
fn the_page_shows_every_row() {
    compare("rows", &table_of_rows());
}

#[test]
fn the_page_shows_every_test_and_each_exists() {
    for (_, _, file, test) in &TESTS {
        assert!(file.text.contains(&format!("#[test]\nfn {test}()")), "tests/{} has no test {test}", file.name);
    }
    compare("tests", &table_of_tests());
}

#[test]
fn the_page_shows_what_seccomp_and_landlock_add() {
    let table = table_of_what_both_add();
    assert!(table.contains("`ptrace-self`") && !table.contains("`mount-tmpfs`"), "{table}");
    compare("what both add", &table);
}
