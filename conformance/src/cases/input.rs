//! What a task is given: standard input, files in its workspace, and blobs that are uploaded before.

use serde_json::{Value, json};
use ureq::http::Method;

use crate::case::{Case, Context, NotPassed, Outcome, sh, with};
use crate::client::{Call, Exchange};

pub const CASES: &[Case] = &[
    Case::beyond("input.stdin.text", "execution", |it| {
        it.prints(&reads("cat", json!({"text": "one\n2 é\n"})), "one\n2 é\n").map(drop)
    }),
    Case::beyond("input.stdin.base64", "execution", |it| {
        it.prints(&reads("od -An -tx1 | tr -d ' \\n'", json!({"base64": "AP8K"})), "00ff0a").map(drop)
    }),
    Case::beyond("input.stdin.ends", "execution", |it| {
        it.prints(&reads("cat >/dev/null; read x || echo end", json!({"text": "abc"})), "end\n").map(drop)
    }),
    Case::beyond("input.stdin.unread", "execution", |it| {
        it.prints(&reads("exec <&-; echo done", json!({"text": "x".repeat(200_000)})), "done\n").map(drop)
    }),
    Case::beyond("input.stdin.script", "execution", stdin_of_script),
    Case::beyond("input.stdin.none", "execution", |it| it.prints(&sh("wc -c | tr -d ' '"), "0\n").map(drop)),
    Case::beyond("input.files", "Inputs", files),
    Case::beyond("input.files.mode", "Inputs", modes),
    Case::beyond("input.files.subdirectory", "Inputs", subdirectory),
    Case::beyond("input.files.refused", "Inputs", refused),
    Case::beyond("input.blob", "Blobs", blob),
    Case::beyond("input.blob.read", "Blobs", read),
    Case::beyond("input.blob.wrong-digest", "Blobs", wrong_digest),
    Case::beyond("input.blob.unknown", "Blobs", unknown),
];

/// The SHA-256 of `abc`.
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
/// That of nothing anybody has.
const NOBODY: &str = "00000000000000000000000000000000000000000000000000000000000000ff";

fn reads(command: &str, stdin: Value) -> Value {
    with(sh(command), json!({"execution": {"stdin": stdin}}))
}

fn given(command: &str, inputs: Value) -> Value {
    with(sh(command), json!({"inputs": inputs}))
}

pub fn put(sha256: &str, body: &[u8]) -> Call {
    let call = Call::new(Method::PUT, &format!("/api/v1/blobs/{sha256}"));
    call.header("content-type", "application/octet-stream").bytes(body.to_vec())
}

/// Uploads `abc`, which may be there of an earlier run.
fn upload(context: &Context) -> Result<Exchange, NotPassed> {
    let answer = context.client.send(put(ABC, b"abc"))?;
    answer.expect([200, 201].contains(&answer.status), "a blob is taken")?;
    Ok(answer)
}

fn stdin_of_script(context: &Context) -> Outcome {
    let request =
        json!({"execution": {"kind": "script", "script": "cat; echo $1", "args": ["a"], "stdin": {"text": "in "}}});
    context.prints(&request, "in a\n").map(drop)
}

fn files(context: &Context) -> Outcome {
    let inputs = json!([
        {"path": "text", "text": "one\n"},
        {"path": "a/b/bytes", "base64": "AP8K"},
        {"path": "a/empty", "text": ""},
    ]);
    let command = "cat text; od -An -tx1 a/b/bytes | tr -d ' '; wc -c <a/empty | tr -d ' '; echo more >>text; cat text";
    context.prints(&given(command, inputs), "one\n00ff0a\n0\none\nmore\n").map(drop)
}

fn modes(context: &Context) -> Outcome {
    let script = "#!/bin/sh\necho ran\n";
    let inputs = json!([
        {"path": "run", "text": script, "mode": "0755"},
        {"path": "own", "text": "", "mode": "600"},
        {"path": "plain", "text": ""},
    ]);
    context.prints(&given("./run; stat -c %a run own plain", inputs), "ran\n755\n600\n644\n").map(drop)
}

fn subdirectory(context: &Context) -> Outcome {
    let request = given("cat file ../other", json!([{"path": "a/file", "text": "1"}, {"path": "other", "text": "2"}]));
    context.prints(&with(request, json!({"sandbox": {"workspace_subdir": "a"}})), "12").map(drop)
}

fn refused(context: &Context) -> Outcome {
    let one = |path: &str| json!([{"path": path, "text": ""}]);
    let two = |first: &str, second: &str| json!([{"path": first, "text": ""}, {"path": second, "text": ""}]);
    let bad = ["", "/a", "a/../b", "..", ".", "a//b", "a/", "a\0b"].map(|path| (one(path), "inputs[0].path"));
    let both = [("a", "a"), ("a", "a/b"), ("a/b", "a")].map(|(first, second)| (two(first, second), "inputs[1].path"));
    let mode = json!([{"path": "a", "text": "", "mode": "4755"}]);
    let nothing = json!([{"path": "a"}]);
    let twice = json!([{"path": "a", "text": "", "base64": ""}]);
    let others = [(mode, "inputs[0].mode"), (nothing, "inputs[0]"), (twice, "inputs[0]")];
    for (inputs, field) in bad.into_iter().chain(both).chain(others) {
        let answer = context.offer(&given("true", inputs))?;
        answer.expect_failure(400, "invalid_input", "files that cannot be are refused")?;
        answer.expect_field("/error/details/field", &json!(field))?;
    }
    Ok(())
}

fn blob(context: &Context) -> Outcome {
    let answer = upload(context)?;
    answer.expect_field("/sha256", &json!(ABC))?;
    answer.expect_field("/size", &json!(3))?;
    context.client.send(put(ABC, b"abc"))?.expect_status(200, "what is known is known")?;
    let inputs = json!([{"path": "one", "blob": ABC}, {"path": "two", "blob": ABC, "mode": "0400"}]);
    let request = with(given("cat one two -", inputs), json!({"execution": {"stdin": {"blob": ABC}}}));
    context.prints(&request, "abcabcabc")?;
    context.prints(&given("echo x >>one; cat one", json!([{"path": "one", "blob": ABC}])), "abcx\n")?;
    context.prints(&given("cat one", json!([{"path": "one", "blob": ABC}])), "abc").map(drop)
}

fn read(context: &Context) -> Outcome {
    upload(context)?;
    let get = || Call::new(Method::GET, &format!("/api/v1/blobs/{ABC}"));
    let whole = context.client.send(get())?;
    whole.expect(whole.status == 200 && whole.bytes == b"abc", "a blob is given back as it was")?;
    let part = context.client.send(get().header("range", "bytes=1-1"))?;
    part.expect(part.status == 206 && part.bytes == b"b", "a part of it, too")?;
    let head = context.client.send(Call::new(Method::HEAD, &format!("/api/v1/blobs/{ABC}")))?;
    head.expect(head.status == 200 && head.header("content-length") == "3", "HEAD tells how long it is")
}

fn wrong_digest(context: &Context) -> Outcome {
    for (sha256, body) in [(NOBODY, &b"abc"[..]), (ABC, b"xyz"), ("abc", b"abc")] {
        let answer = context.client.send(put(sha256, body))?;
        answer.expect_failure(400, "invalid_input", "a blob is what its name says")?;
        answer.expect_field("/error/details/field", &json!("sha256"))?;
    }
    let gone = context.client.get(&format!("/api/v1/blobs/{NOBODY}"))?;
    gone.expect_failure(404, "not_found", "nothing of it is kept")
}

fn unknown(context: &Context) -> Outcome {
    let inputs = json!([{"path": "a", "text": ""}, {"path": "b", "blob": NOBODY}]);
    let answer = context.offer(&given("true", inputs))?;
    answer.expect_failure(400, "invalid_input", "a blob that is not there is no input")?;
    answer.expect_field("/error/details/field", &json!("inputs[1].blob"))
}
