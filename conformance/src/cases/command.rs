//! What a command is started with: its program, arguments, environment, directory and descriptors.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::case::{Case, Context, Outcome, command_line, sh, with};

pub const CASES: &[Case] = &[
    Case::must("command.program.by-name", "execution", |it| {
        it.prints(&command_line(&["echo", "hi"]), "hi\n").map(drop)
    }),
    Case::must("command.program.by-path", "execution", |it| {
        it.prints(&command_line(&["/bin/echo", "hi"]), "hi\n").map(drop)
    }),
    Case::must("command.program.path-of-the-task", "execution", path_of_the_task),
    Case::must("command.program.not-found", "Outcomes", |it| never_ran(it, &["no-such-program"], "ENOENT")),
    Case::must("command.program.path-not-found", "Outcomes", |it| never_ran(it, &["/no/such/program"], "ENOENT")),
    Case::must("command.program.relative", "Outcomes", |it| never_ran(it, &["./no-such-program"], "ENOENT")),
    Case::must("command.program.not-executable", "Outcomes", |it| never_ran(it, &["/etc/passwd"], "EACCES")),
    Case::must("command.program.directory", "Outcomes", |it| never_ran(it, &["/"], "EACCES")),
    Case::should("command.program.no-arguments-in-it", "execution", |it| never_ran(it, &["echo hi"], "ENOENT")),
    Case::must("command.args.order", "execution", |it| args(it, &["c", "a", "b", "a"])),
    Case::must("command.args.none", "execution", |it| args(it, &[])),
    Case::must("command.args.empty", "execution", |it| args(it, &["", "a", "", ""])),
    Case::must("command.args.spaces", "execution", |it| args(it, &[" a  b ", "\t", " "])),
    Case::must("command.args.newlines", "execution", |it| args(it, &["a\nb", "\n", "c\r\n"])),
    Case::must("command.args.quotes", "execution", |it| args(it, &["'", "\"", "\\", "a'b\"c\\d", "`"])),
    Case::must("command.args.unicode", "execution", |it| args(it, &["é", "日本語", "😀", "e\u{301}", "\u{202e}"])),
    Case::must("command.args.no-shell", "execution", |it| args(it, &["$HOME", "*", "a;b", "$(id)", "~", ">x", "#"])),
    Case::must("command.args.dashes", "execution", |it| args(it, &["--", "-n", "--help", "-"])),
    Case::should("command.args.control", "execution", |it| args(it, &["\u{1}", "\u{7f}", "\u{1b}[31m", "\u{feff}"])),
    Case::should("command.args.many", "execution", many_args),
    Case::should("command.args.long", "execution", long_arg),
    Case::must("command.env.given", "execution", |it| env(it, json!({"A": "1", "b_2": "two"}))),
    Case::must("command.env.odd-values", "execution", |it| {
        env(it, json!({"EMPTY": "", "EQUALS": "a=b=c", "SPACES": " a b ", "QUOTES": "'\"\\$HOME", "UNICODE": "é😀"}))
    }),
    Case::should("command.env.odd-keys", "execution", |it| {
        env(it, json!({"a.b": "1", "1": "2", "Ä": "3", "a b": "4"}))
    }),
    Case::must("command.env.nothing-else", "execution", nothing_else),
    Case::must("command.env.beats-the-server", "execution", |it| {
        env(it, json!({"HOME": "/nowhere", "LANG": "x", "TMPDIR": "/elsewhere", "USER": "somebody"}))
    }),
    Case::must("command.stdin", "execution", |it| it.prints(&command_line(&["cat"]), "").map(drop)),
    Case::must("command.directory", "Disk", |it| works_in(it, &command_line(&["/bin/pwd", "-P"]), "")),
    Case::must("command.directory.empty", "Disk", |it| it.prints(&command_line(&["ls", "-A"]), "").map(drop)),
    Case::must("command.directory.own", "Disk", own_directory),
    Case::must("command.directory.subdir", "sandbox", subdir),
    Case::should("command.session", "execution", session),
    Case::should("command.descriptors", "execution", descriptors),
    Case::should("command.core-dumps", "execution", |it| it.prints(&sh("ulimit -c"), "0\n").map(drop)),
];

/// All that a task sees of the server's environment.
const FROM_THE_SERVER: [&str; 5] = ["PATH", "HOME", "LANG", "TMPDIR", "USER"];

fn path_of_the_task(context: &Context) -> Outcome {
    let with_path = |path: &str| with(command_line(&["echo", "hi"]), json!({"execution": {"env": {"PATH": path}}}));
    context.prints(&with_path("/nowhere:/usr/bin:/bin"), "hi\n")?;
    context.fails(&with_path("/nowhere"), "launch_failed").map(drop)
}

fn never_ran(context: &Context, words: &[&str], errno: &str) -> Outcome {
    // A directory on the server's PATH that may not be searched would be another fault.
    let env = json!({"execution": {"env": {"PATH": "/usr/bin:/bin"}}});
    let status = context.fails(&with(command_line(words), env), "launch_failed")?;
    let why = status.text_at("/error/details/error");
    status.expect(why.starts_with(errno), &format!("details.error names {errno}"))?;
    for absent in ["/exit_code", "/exit_signal", "/started_at"] {
        status.expect_absent(absent)?;
    }
    let named = status.text_at("/error/message").contains(words[0]);
    status.expect(named, "the message names the program that could not be run")
}

/// Each argument between brackets, as the program got it.
fn args(context: &Context, args: &[&str]) -> Outcome {
    let script = "for arg in \"$@\"; do printf '[%s]' \"$arg\"; done";
    let words = [&["/bin/sh", "-c", script, "sh"], args].concat();
    let shown: String = args.iter().map(|arg| format!("[{arg}]")).collect();
    context.prints(&command_line(&words), &shown).map(drop)
}

fn many_args(context: &Context) -> Outcome {
    let many: Vec<_> = (0..5000).map(|n| n.to_string()).collect();
    let mut words = vec!["/bin/sh", "-c", "shift 4999; echo $# $1", "sh"];
    words.extend(many.iter().map(String::as_str));
    context.prints(&command_line(&words), "1 4999\n").map(drop)
}

/// The kernel takes up to 128 KiB.
fn long_arg(context: &Context) -> Outcome {
    let long = "x".repeat(100_000);
    context.prints(&command_line(&["/bin/sh", "-c", "echo ${#1}", "sh", &long]), "100000\n").map(drop)
}

/// Shown by `env -0`, which changes nothing.
fn env(context: &Context, given: Value) -> Outcome {
    let request = with(command_line(&["/usr/bin/env", "-0"]), json!({"execution": {"env": given}}));
    let status = context.succeeds(&request)?;
    let seen = variables(status.text_at("/stdout"));
    for (key, value) in given.as_object().into_iter().flatten() {
        let is = seen.get(key.as_str()).copied();
        status.expect(is == value.as_str(), &format!("the task sees {key} as {value}"))?;
    }
    Ok(())
}

fn variables(text: &str) -> BTreeMap<&str, &str> {
    text.split('\0').filter_map(|line| line.split_once('=')).collect()
}

fn nothing_else(context: &Context) -> Outcome {
    let request = with(command_line(&["/usr/bin/env", "-0"]), json!({"execution": {"env": {"GIVEN": "1"}}}));
    let status = context.succeeds(&request)?;
    let seen = variables(status.text_at("/stdout"));
    status.expect(seen.contains_key("GIVEN"), "the task sees what it is given")?;
    for name in seen.keys().filter(|name| **name != "GIVEN") {
        let known = FROM_THE_SERVER.contains(name);
        status.expect(known, &format!("of the server's environment the task does not see {name}"))?;
    }
    Ok(())
}

/// The task prints its working directory. The data directory may be reached through a link, so the end is compared.
pub fn works_in(context: &Context, request: &Value, subdir: &str) -> Outcome {
    let status = context.succeeds(request)?;
    let there = format!("/{}/workspace{subdir}\n", status.text_at("/task_id"));
    status.expect(status.text_at("/stdout").ends_with(&there), &format!("the working directory ends with {there:?}"))
}

fn own_directory(context: &Context) -> Outcome {
    context.prints(&sh("echo 1 >file; cat file"), "1\n")?;
    context.prints(&sh("test -e file || echo none"), "none\n").map(drop)
}

fn subdir(context: &Context) -> Outcome {
    for (subdir, path) in [("a", "/a"), ("a/b.c/d", "/a/b.c/d"), ("./a", "/a"), ("..a", "/..a")] {
        let more = json!({"sandbox": {"workspace_subdir": subdir}});
        works_in(context, &with(command_line(&["/bin/pwd", "-P"]), more), path)?;
    }
    Ok(())
}

/// Fields 1, 5 and 6 of proc_pid_stat(5).
fn session(context: &Context) -> Outcome {
    let show = "read -r pid name state parent group session rest </proc/$$/stat; printf '%s\\n' $pid $group $session";
    let (status, lines) = context.lines(&sh(show))?;
    let ids: BTreeSet<_> = lines.iter().collect();
    status.expect(lines.len() == 3 && ids.len() == 1, "the command leads a process group and a session of its own")
}

/// `ls` opens the directory itself, as 3.
fn descriptors(context: &Context) -> Outcome {
    context.prints(&command_line(&["ls", "/proc/self/fd"]), "0\n1\n2\n3\n").map(drop)
}
