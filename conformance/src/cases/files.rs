//! What a task leaves: files that are collected at its end, one by one and in an archive.

use serde_json::{Value, json};
use ureq::http::Method;

use crate::case::{Case, Context, NotPassed, Outcome, sh, with};
use crate::client::{Call, Exchange};

pub const CASES: &[Case] = &[
    Case::beyond("files.list", "Files", list),
    Case::beyond("files.globs", "Files", globs),
    Case::beyond("files.none", "Files", none),
    Case::beyond("files.read", "Files", read),
    Case::beyond("files.links", "Files", links),
    Case::beyond("files.archive", "Files", archive),
    Case::beyond("files.failed-task", "Files", failed),
    Case::beyond("files.before-the-end", "Files", early),
    Case::beyond("files.unknown-task", "Files", unknown),
    Case::beyond("files.refused", "Files", refused),
];

/// The first bytes of every frame of Zstandard (RFC 8878, section 3.1.1).
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";

pub fn collecting(command: &str, globs: &[&str]) -> Value {
    with(sh(command), json!({"collect": globs}))
}

fn get(context: &Context, id: &str, path: &str) -> Result<Exchange, NotPassed> {
    context.client.get(&format!("/api/v1/tasks/{id}/{path}"))
}

/// The id of an ended task, and its status.
fn left(context: &Context, command: &str, globs: &[&str]) -> Result<(String, Exchange), NotPassed> {
    let id = context.submit(&collecting(command, globs))?;
    let status = context.ended(&id)?;
    Ok((id, status))
}

fn paths(list: &Exchange) -> Vec<&str> {
    list.body["files"].as_array().into_iter().flatten().filter_map(|file| file["path"].as_str()).collect()
}

fn list(context: &Context) -> Outcome {
    let (id, status) =
        left(context, "mkdir -p out/a; printf 12345 >out/a/b; printf 1 >out/c; echo >other", &["out/**"])?;
    status.expect_field("/collected/files", &json!(2))?;
    status.expect_field("/collected/bytes", &json!(6))?;
    status.expect_field("/collected/left_out_files", &json!(0))?;
    let list = get(context, &id, "files")?;
    list.expect_status(200, "what was collected is listed")?;
    list.expect(paths(&list) == ["out/a/b", "out/c"], "by path, and nothing else")?;
    list.expect_field("/files/0/size", &json!(5))?;
    list.expect(list.body["files"][0]["modified_at"].is_string(), "each has the time of its last change")
}

fn globs(context: &Context) -> Outcome {
    let make = "mkdir -p a/b; for f in x.log y.txt a/x.log a/b/x.log a/.hidden; do echo >$f; done";
    for (glob, found) in [
        ("*.log", &["x.log"][..]),
        ("**/*.log", &["a/b/x.log", "a/x.log", "x.log"]),
        ("a/*", &["a/.hidden", "a/x.log"]),
        ("{y,z}.t?t", &["y.txt"]),
        ("none", &[]),
    ] {
        let (id, _) = left(context, make, &[glob])?;
        let list = get(context, &id, "files")?;
        list.expect(paths(&list) == found, &format!("{glob} finds {found:?}"))?;
    }
    Ok(())
}

fn none(context: &Context) -> Outcome {
    let id = context.submit(&sh("echo >file"))?;
    context.ended(&id)?.expect_absent("/collected")?;
    let list = get(context, &id, "files")?;
    list.expect_field("/files", &json!([]))?;
    get(context, &id, "files/file")?.expect_failure(404, "not_found", "what was not collected is not given")
}

fn read(context: &Context) -> Outcome {
    let (id, _) = left(context, "mkdir out; printf 'a\\000\\377b' >'out/a b'", &["out/*"])?;
    let whole = get(context, &id, "files/out/a%20b")?;
    whole.expect(whole.status == 200 && whole.bytes == b"a\0\xffb", "a file is given byte by byte")?;
    whole.expect(whole.header("content-length") == "4", "with its length")?;
    let path = format!("/api/v1/tasks/{id}/files/out%2Fa%20b");
    let part = context.client.send(Call::new(Method::GET, &path).header("range", "bytes=2-"))?;
    part.expect(part.status == 206 && part.bytes == b"\xffb", "a part of it, too")?;
    let head = context.client.send(Call::new(Method::HEAD, &path))?;
    head.expect(head.status == 200 && head.header("content-length") == "4", "HEAD tells how long it is")?;
    for path in ["files/out", "files/out/other", "files/..%2Fstdout.log", "files/%2Fetc%2Fpasswd"] {
        get(context, &id, path)?.expect_failure(404, "not_found", "nothing else is given")?;
    }
    Ok(())
}

fn links(context: &Context) -> Outcome {
    let make = "ln -s /etc/passwd link; ln -s /etc dir; mkfifo pipe; echo >file";
    let (id, status) = left(context, make, &["**"])?;
    let list = get(context, &id, "files")?;
    list.expect(paths(&list) == ["file"], "plain files alone are collected")?;
    status.expect_field("/collected/left_out_files", &json!(3))?;
    status.expect_field("/collected/left_out/0/reason", &json!("no_file"))?;
    for path in ["files/link", "files/dir/passwd", "files/pipe"] {
        get(context, &id, path)?.expect_failure(404, "not_found", "no link is followed")?;
    }
    Ok(())
}

fn archive(context: &Context) -> Outcome {
    let (id, _) = left(context, "printf abc >file", &["*"])?;
    let answer = get(context, &id, "files.tar.zst")?;
    answer.expect_status(200, "all files come in one archive")?;
    answer.expect(answer.content_type == "application/zstd", "its type is application/zstd")?;
    answer.expect(answer.bytes.starts_with(ZSTD), "it is compressed with Zstandard")
}

fn failed(context: &Context) -> Outcome {
    let (id, status) = left(context, "echo >file; exit 3", &["*"])?;
    status.expect_field("/status", &json!("failed"))?;
    let list = get(context, &id, "files")?;
    list.expect(paths(&list) == ["file"], "what a failed task leaves is collected, too")
}

fn early(context: &Context) -> Outcome {
    let id = context.submit(&collecting("sleep 600", &["*"]))?;
    context.running(&id)?;
    for path in ["files", "files/a", "files.tar.zst"] {
        get(context, &id, path)?.expect_failure(409, "conflict", "files are collected at the end")?;
    }
    Ok(())
}

fn unknown(context: &Context) -> Outcome {
    let id = context.fresh_id();
    ["files", "files/a", "files.tar.zst"].iter().try_for_each(|path| {
        get(context, &id, path)?.expect_failure(404, "not_found", "a task that is not there has no files")
    })
}

fn refused(context: &Context) -> Outcome {
    for glob in ["", "/out/**", "../x", "out/../x", "[a"] {
        let answer = context.offer(&collecting("true", &["ok", glob]))?;
        answer.expect_failure(400, "invalid_input", "what is no glob below the workspace is refused")?;
        answer.expect_field("/error/details/field", &json!("collect[1]"))?;
    }
    Ok(())
}
