//! Scripts: stored as a file, run by an interpreter.

use serde_json::{Value, json};

use super::command::works_in;
use crate::case::{Case, Context, Outcome, sh, with};

pub const CASES: &[Case] = &[
    Case::must("submit.script", "execution", in_short),
    Case::must("script.default-interpreter", "execution", |it| {
        it.prints(&script("echo ${0##*/}"), "script.sh\n").map(drop)
    }),
    Case::must("script.interpreter.by-name", "execution", |it| {
        it.prints(&by(&["sh"], "echo by name"), "by name\n").map(drop)
    }),
    Case::must("script.interpreter.arguments", "execution", |it| {
        it.fails(&by(&["/bin/sh", "-e"], "false; echo not reached"), "exit_non_zero")?
            .expect_field("/stdout", &json!(""))
    }),
    Case::must("script.interpreter.login-shell", "execution", login_shell),
    Case::must("script.interpreter.command-line", "execution", command_line),
    Case::must("script.interpreter.not-found", "Outcomes", |it| {
        it.fails(&by(&["/no/such/interpreter"], "echo"), "launch_failed")?.expect_absent("/exit_code")
    }),
    Case::beyond("script.args", "execution", args),
    Case::must("script.path", "Status", path),
    Case::must("script.mode", "execution", |it| it.prints(&script("stat -c %a \"$0\""), "700\n").map(drop)),
    Case::should("script.name", "execution", name),
    Case::must("script.exit-code", "Outcomes", |it| {
        it.fails(&script("exit 7"), "exit_non_zero")?.expect_field("/exit_code", &json!(7))
    }),
    Case::must("script.env", "execution", |it| {
        let env = json!({"execution": {"env": {"NAME": "it's \"me\""}}});
        it.prints(&with(script("echo \"$NAME\""), env), "it's \"me\"\n").map(drop)
    }),
    Case::must("script.lines", "execution", |it| {
        it.prints(&script("\n\n  if true\n  then\n\techo '  a'\n  fi\ncat <<'END'\n$b\nEND"), "  a\n$b\n").map(drop)
    }),
    Case::must("script.unicode", "execution", |it| it.prints(&script("printf 'é日😀'"), "é日😀").map(drop)),
    Case::must("script.as-it-was-sent", "execution", as_it_was_sent),
    Case::should("script.first-line", "execution", |it| {
        it.prints(&script("#!/no/such/interpreter\necho ran"), "ran\n").map(drop)
    }),
    Case::should("script.large", "execution", large),
    Case::must("script.directory", "Disk", |it| works_in(it, &script("pwd -P"), "")),
];

fn script(text: &str) -> Value {
    json!({"execution": {"kind": "script", "script": text}})
}

fn by(interpreter: &[&str], text: &str) -> Value {
    with(script(text), json!({"execution": {"interpreter": interpreter}}))
}

fn in_short(context: &Context) -> Outcome {
    let env = json!({"execution": {"env": {"GREETING": "hello"}}});
    let request = with(by(&["/bin/sh"], "echo \"$GREETING from a script\""), env);
    context.prints(&request, "hello from a script\n").map(drop)
}

fn login_shell(context: &Context) -> Outcome {
    context.needs_program("bash")?;
    // What a profile prints is the machine's affair.
    let status = context.succeeds(&by(&["bash", "-lc"], "echo \"by ${BASH_VERSION:+bash}\""))?;
    status.expect(status.text_at("/stdout").ends_with("by bash\n"), "bash runs the script by its path alone")
}

/// An interpreter that shows how it is called.
fn command_line(context: &Context) -> Outcome {
    let request = with(by(&["echo", "-x", "y z"], "no text for echo"), json!({"execution": {"args": ["a", "b c"]}}));
    let status = context.succeeds(&request)?;
    let path = status.text_at("/artifacts/script_path");
    status.expect_field("/stdout", &json!(format!("-x y z {path} a b c\n")))
}

fn args(context: &Context) -> Outcome {
    let request = with(script("echo $#; printf '[%s]' \"$@\""), json!({"execution": {"args": ["a b", "", "$c"]}}));
    context.prints(&request, "3\n[a b][][$c]").map(drop)
}

fn path(context: &Context) -> Outcome {
    let status = context.succeeds(&script("printf %s \"$0\""))?;
    let path = status.text_at("/artifacts/script_path");
    status.expect(path.starts_with('/'), "artifacts.script_path is an absolute path")?;
    status.expect_field("/stdout", &json!(path))?;
    context.succeeds(&sh("true"))?.expect_absent("/artifacts/script_path")
}

/// The interpreters need not be there: the name is given at submission.
fn name(context: &Context) -> Outcome {
    for (interpreter, name) in [
        ("/usr/bin/python3", "script.py"),
        ("node", "script.js"),
        ("ruby", "script.rb"),
        ("perl", "script.pl"),
        ("zsh", "script.zsh"),
        ("fish", "script.fish"),
        ("/bin/dash", "script.sh"),
    ] {
        let status = context.run(&by(&[interpreter], "#"))?;
        let is = status.text_at("/artifacts/script_path").rsplit('/').next() == Some(name);
        status.expect(is, &format!("a script for {interpreter} is stored as {name}"))?;
    }
    Ok(())
}

fn as_it_was_sent(context: &Context) -> Outcome {
    let text = "cat \"$0\"\nexit\n\r\n\ttrailing \\ and $dollars `and` more  ";
    context.prints(&script(text), text).map(drop)
}

fn large(context: &Context) -> Outcome {
    let comment = format!("# {}\n", "x".repeat(998));
    context.prints(&script(&format!("{}echo at the end", comment.repeat(300))), "at the end\n").map(drop)
}
