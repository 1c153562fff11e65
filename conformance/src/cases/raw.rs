//! Raw output: the bytes of a stream, parts of them, and following it until the task has ended.

use std::time::{Duration, Instant};

use serde_json::json;
use ureq::http::Method;

use crate::case::{Case, Context, NotPassed, Outcome, sh, with};
use crate::client::{Call, Exchange};

pub const CASES: &[Case] = &[
    Case::beyond("raw.verbatim", "Output", verbatim),
    Case::beyond("raw.separated", "Output", separated),
    Case::beyond("raw.whole", "Output", whole),
    Case::beyond("raw.headers", "Output", headers),
    Case::beyond("raw.head", "Output", head),
    Case::beyond("raw.none", "Output", none),
    Case::beyond("raw.unknown-task", "Output", unknown_task),
    Case::beyond("raw.range", "Output", range),
    Case::beyond("raw.range.behind-the-end", "Output", behind_the_end),
    Case::beyond("raw.range.ignored", "Output", ignored),
    Case::beyond("raw.range.condition", "Output", condition),
    Case::beyond("raw.tail", "Output", tail),
    Case::beyond("raw.tail.refused", "Output", tail_refused),
    Case::beyond("raw.follow", "Output", follow),
    Case::beyond("raw.follow.range", "Output", follow_from),
    Case::beyond("raw.follow.tail", "Output", follow_tail),
    Case::beyond("raw.follow.ended-task", "Output", follow_ended),
    Case::beyond("raw.follow.several", "Output", follow_several),
    Case::beyond("raw.follow.refused", "Output", follow_refused),
];

/// Far less than any task here lives, and more than a busy machine needs for an answer.
const SOON: Duration = Duration::from_secs(20);

fn get(context: &Context, id: &str, stream: &str) -> Result<Exchange, NotPassed> {
    context.client.get(&format!("/api/v1/tasks/{id}/{stream}"))
}

fn part(context: &Context, id: &str, stream: &str, range: &str) -> Result<Exchange, NotPassed> {
    context.client.send(Call::new(Method::GET, &format!("/api/v1/tasks/{id}/{stream}")).header("range", range))
}

/// The id of an ended task.
fn ended(context: &Context, command: &str) -> Result<String, NotPassed> {
    let id = context.submit(&sh(command))?;
    context.ended(&id)?;
    Ok(id)
}

fn expect(answer: &Exchange, status: u16, bytes: &[u8], rule: &str) -> Outcome {
    answer.expect_status(status, rule)?;
    answer.expect(answer.bytes == bytes, &format!("{rule}: {}", bytes.escape_ascii()))
}

fn verbatim(context: &Context) -> Outcome {
    let id = ended(context, r"printf 'a\000\377\r\n\303'")?;
    expect(&get(context, &id, "stdout")?, 200, b"a\0\xff\r\n\xc3", "output is given byte by byte")
}

fn separated(context: &Context) -> Outcome {
    let id = ended(context, "echo 1; echo 2 >&2; echo 3")?;
    expect(&get(context, &id, "stdout")?, 200, b"1\n3\n", "standard output is one stream")?;
    expect(&get(context, &id, "stderr")?, 200, b"2\n", "standard error is another")
}

/// What a status answer cuts.
fn whole(context: &Context) -> Outcome {
    let request = with(sh("head -c 5000000 /dev/zero | tr '\\0' x"), json!({"limits": {"stdout_max_bytes": 1}}));
    let id = context.submit(&request)?;
    context.ended(&id)?;
    let answer = get(context, &id, "stdout")?;
    let whole = answer.bytes.len() == 5_000_000 && answer.bytes.iter().all(|byte| *byte == b'x');
    // Not the answer as evidence: it is 5 MB.
    get(context, &id, "stdout?tail_lines=0")?.expect(whole, "all that is kept of a stream is given")
}

fn headers(context: &Context) -> Outcome {
    let answer = get(context, &ended(context, "printf abc")?, "stdout")?;
    answer.expect(answer.content_type == "application/octet-stream", "the type is application/octet-stream")?;
    for (name, value) in [("accept-ranges", "bytes"), ("content-length", "3"), ("x-execgo-offset", "0")] {
        answer.expect(answer.header(name) == value, &format!("the header {name} is {value}"))?;
    }
    answer.expect(answer.header("etag").starts_with('"'), "the output of an ended task has an ETag")
}

fn head(context: &Context) -> Outcome {
    let id = ended(context, "printf abc")?;
    let head = Call::new(Method::HEAD, &format!("/api/v1/tasks/{id}/stdout"));
    for call in [head.clone(), head.header("range", "bytes=1-1")] {
        let answer = context.client.send(call)?;
        expect(&answer, 200, b"", "HEAD gives no body, and knows no ranges")?;
        answer.expect(answer.header("content-length") == "3", "it says how much there is")?;
    }
    Ok(())
}

fn none(context: &Context) -> Outcome {
    let id = ended(context, "true")?;
    ["stdout", "stderr", "stdout?tail_lines=5", "stdout?follow=true"]
        .iter()
        .try_for_each(|path| expect(&get(context, &id, path)?, 200, b"", "no output is an empty body"))
}

fn unknown_task(context: &Context) -> Outcome {
    let id = context.fresh_id();
    ["stdout", "stderr", "stdout?follow=true"].iter().try_for_each(|path| {
        get(context, &id, path)?.expect_failure(404, "not_found", "there is no output of a task that is not there")
    })
}

fn range(context: &Context) -> Outcome {
    let id = ended(context, "printf 0123456789; printf abcdef >&2")?;
    for (stream, range, bytes, told) in [
        ("stdout", "bytes=0-3", "0123", "bytes 0-3/10"),
        ("stdout", "bytes=4-", "456789", "bytes 4-9/10"),
        ("stdout", "bytes=-3", "789", "bytes 7-9/10"),
        ("stdout", "bytes=8-99", "89", "bytes 8-9/10"),
        ("stdout", "bytes=-99", "0123456789", "bytes 0-9/10"),
        ("stderr", "bytes=5-5", "f", "bytes 5-5/6"),
    ] {
        let answer = part(context, &id, stream, range)?;
        expect(&answer, 206, bytes.as_bytes(), &format!("{range} of ten or six bytes"))?;
        answer.expect(answer.header("content-range") == told, &format!("the header content-range is {told}"))?;
    }
    Ok(())
}

fn behind_the_end(context: &Context) -> Outcome {
    let id = ended(context, "printf 0123456789")?;
    for range in ["bytes=10-", "bytes=10-20", "bytes=99999999999999999999-", "bytes=-0"] {
        let answer = part(context, &id, "stdout", range)?;
        answer.expect_failure(416, "range_not_satisfiable", &format!("{range} of ten bytes is refused"))?;
        answer.expect(
            answer.header("content-range") == "bytes */10",
            "the header content-range says how many there are",
        )?;
    }
    Ok(())
}

fn ignored(context: &Context) -> Outcome {
    let id = ended(context, "printf 0123456789")?;
    ["bytes=0-1,4-5", "lines=1-2", "bytes=4-2", "bytes=x", "0-3"].iter().try_for_each(|range| {
        let rule = format!("{range} is no range that a server must know (RFC 9110, section 14): all is given");
        expect(&part(context, &id, "stdout", range)?, 200, b"0123456789", &rule)
    })
}

fn condition(context: &Context) -> Outcome {
    let id = ended(context, "printf 0123456789")?;
    let etag = get(context, &id, "stdout")?.header("etag").to_owned();
    let ask = |condition: &str| {
        let call = Call::new(Method::GET, &format!("/api/v1/tasks/{id}/stdout")).header("range", "bytes=1-2");
        context.client.send(call.header("if-range", condition))
    };
    expect(&ask(&etag)?, 206, b"12", "If-Range with the ETag of the output: the part is given")?;
    expect(&ask("\"another\"")?, 200, b"0123456789", "If-Range with another ETag: all is given")
}

fn tail(context: &Context) -> Outcome {
    let id = ended(context, r"printf 'one\ntwo\nthree\n'; printf 'a\nb' >&2")?;
    for (query, bytes) in [
        ("stdout?tail_lines=2", "two\nthree\n"),
        ("stdout?tail_lines=99", "one\ntwo\nthree\n"),
        ("stdout?tail_lines=0", ""),
        ("stderr?tail_lines=1", "b"),
    ] {
        expect(&get(context, &id, query)?, 200, bytes.as_bytes(), query)?;
    }
    let answer = get(context, &id, "stdout?tail_lines=1")?;
    answer.expect(answer.header("x-execgo-offset") == "8", "the header x-execgo-offset says where the last lines begin")
}

fn refuses(context: &Context, query: &str, name: &str) -> Outcome {
    let answer = get(context, &ended(context, "echo")?, &format!("stdout?{query}"))?;
    answer.expect_failure(400, "invalid_input", &format!("{query} is refused"))?;
    answer.expect(answer.message().contains(name), &format!("the message names {name}"))
}

fn tail_refused(context: &Context) -> Outcome {
    for query in ["tail_lines=", "tail_lines=-1", "tail_lines=all", "tail_lines=1.5", "tail_lines=1&tail_lines=1"] {
        refuses(context, query, "tail_lines")?;
    }
    let answer = part(context, &ended(context, "echo")?, "stdout?tail_lines=1", "bytes=0-")?;
    answer.expect_failure(400, "invalid_input", "last lines and a range are two answers to one question")
}

fn follow_refused(context: &Context) -> Outcome {
    ["follow=", "follow=1", "follow=yes", "follow=TRUE"].iter().try_for_each(|query| refuses(context, query, "follow"))
}

/// Writes in two steps and ends.
const SPEAKER: &str = "echo one; echo uno >&2; sleep 1; echo two; echo due >&2";

fn follow(context: &Context) -> Outcome {
    let id = context.submit(&sh(SPEAKER))?;
    let begun = Instant::now();
    let answer = get(context, &id, "stdout?follow=true")?;
    let took = begun.elapsed();
    expect(&answer, 200, b"one\ntwo\n", "who follows a stream gets what is written until the task has ended")?;
    answer.expect(took < SOON, "the answer ends with the task")?;
    let status = context.status(&id)?;
    status.expect_field("/status", &json!("success"))
}

fn follow_from(context: &Context) -> Outcome {
    let id = context.submit(&sh(SPEAKER))?;
    context.says(&id, "one\n")?;
    let answer = part(context, &id, "stdout?follow=true", "bytes=4-")?;
    expect(&answer, 206, b"two\n", "who knows what is there follows from its end")?;
    let told = answer.header("content-range").starts_with("bytes 4-") && answer.header("content-range").ends_with("/*");
    answer.expect(told, "the header content-range names the beginning, and no length")
}

fn follow_tail(context: &Context) -> Outcome {
    let id = context.submit(&sh("echo none; echo one; sleep 1; echo two"))?;
    context.says(&id, "none\none\n")?;
    let answer = get(context, &id, "stdout?follow=true&tail_lines=1")?;
    expect(&answer, 200, b"one\ntwo\n", "who follows from the last line gets it and what is written then")
}

fn follow_ended(context: &Context) -> Outcome {
    let id = ended(context, "echo done")?;
    let begun = Instant::now();
    let answer = get(context, &id, "stdout?follow=true")?;
    expect(&answer, 200, b"done\n", "of an ended task there is what it wrote")?;
    answer.expect(begun.elapsed() < SOON, "and nothing comes: the answer ends")
}

fn follow_several(context: &Context) -> Outcome {
    let id = context.submit(&sh("for n in 1 2 3 4; do head -c 300000 /dev/zero; sleep 0.1; done"))?;
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(|| get(context, &id, "stdout?follow=true"))).collect();
        clients.into_iter().try_for_each(|client| {
            let answer = client.join().expect("a client does not panic")?;
            let whole = answer.status == 200 && answer.bytes.len() == 1_200_000;
            get(context, &id, "stdout?tail_lines=0")?.expect(whole, "each of several clients gets every byte once")
        })
    })
}
