//! Lists of tasks: what a row is, which tasks a filter lets through, and that pages together are the whole.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::case::{Case, Context, NotPassed, Outcome, sh, skipped, with};
use crate::client::Exchange;

pub const CASES: &[Case] = &[
    Case::beyond("list.row", "List", row),
    Case::beyond("list.filter", "List", filter),
    Case::beyond("list.filter.refused", "List", filter_refused),
    Case::beyond("list.pages", "List", pages),
    Case::beyond("list.pages.stable", "List", pages_stable),
    Case::beyond("list.cursor.refused", "List", cursor_refused),
];

/// What a row leaves out.
const LARGE: [&str; 4] = ["stdout", "stderr", "execution_plan", "artifacts"];

/// A page of the tasks of this label.
fn page(context: &Context, mark: &str, more: &str) -> Result<Exchange, NotPassed> {
    let page = context.client.get(&format!("/api/v1/tasks?label.mark={mark}{more}"))?;
    if page.status == 405 {
        return Err(skipped("the runtime has no lists"));
    }
    page.expect_status(200, "a list is answered")?;
    Ok(page)
}

fn ids(page: &Exchange) -> Vec<String> {
    let rows = page.body["tasks"].as_array().into_iter().flatten();
    rows.map(|row| row["task_id"].as_str().unwrap_or_default().to_owned()).collect()
}

/// All pages of so many tasks.
fn walk(
    context: &Context,
    mark: &str,
    more: &str,
    mut between: impl FnMut(usize) -> Outcome,
) -> Result<Vec<String>, NotPassed> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    for number in 0.. {
        let page = page(context, mark, &format!("{more}{cursor}"))?;
        all.extend(ids(&page));
        let Some(next) = page.body["next_cursor"].as_str() else { break };
        // What is new is fewer than that by far.
        page.expect(number < 1000, "a walk over all pages ends")?;
        cursor = format!("&cursor={next}");
        between(number)?;
    }
    Ok(all)
}

/// Ended tasks with a label of their own, oldest first.
fn marked(context: &Context, count: usize) -> Result<(String, Vec<String>), NotPassed> {
    let mark = context.fresh_id();
    let ids = (0..count).map(|_| task_of(context, &mark, "true")).collect::<Result<Vec<_>, _>>()?;
    Ok((mark, ids))
}

fn task_of(context: &Context, mark: &str, line: &str) -> Result<String, NotPassed> {
    let id = context.submit(&with(sh(line), json!({"control_context": {"labels": {"mark": mark}}})))?;
    context.ended(&id)?;
    Ok(id)
}

fn row(context: &Context) -> Outcome {
    let mark = context.fresh_id();
    let id = task_of(context, &mark, "echo out; exit 3")?;
    let page = page(context, &mark, "")?;
    page.expect(ids(&page) == [id.as_str()], "the task is listed, and no other")?;
    page.expect(page.body.get("next_cursor").is_none(), "the last page has no next_cursor")?;
    let mut expected = context.status(&id)?.body;
    for field in LARGE {
        expected.as_object_mut().map(|status| status.remove(field));
    }
    page.expect_field("/tasks/0", &expected)
}

fn filter(context: &Context) -> Outcome {
    let (mark, owner) = (context.fresh_id(), context.fresh_id());
    let of = |more: Value| {
        let labels = json!({"control_context": {"labels": {"mark": mark}}});
        let id = context.submit(&with(with(sh("exit 1"), labels), more))?;
        context.ended(&id).map(|ended| (id, ended.text_at("/created_at").to_owned()))
    };
    let (owned, first_at) = of(json!({"control_context": {"owner": owner}}))?;
    let (labelled, _) = of(json!({"control_context": {"labels": {"stage": "a b&c"}}}))?;
    let (named, _) = of(json!({"metadata": {"colour": "Aubergine"}}))?;
    let script =
        json!({"execution": {"kind": "script", "script": "exit 0"}, "control_context": {"labels": {"mark": mark}}});
    let script = context.submit(&script)?;
    context.ended(&script)?;
    let all = [&script, &named, &labelled, &owned];
    for (filter, wanted) in [
        ("".to_owned(), &all[..]),
        ("&sort=created_at".to_owned(), &[&owned, &labelled, &named, &script][..]),
        (format!("&owner={owner}"), &[&owned]),
        ("&label.stage=a%20b%26c".to_owned(), &[&labelled]),
        ("&label.stage=a".to_owned(), &[]),
        ("&kind=script".to_owned(), &[&script]),
        ("&kind=command".to_owned(), &all[1..]),
        ("&status=success,running".to_owned(), &[&script]),
        ("&status=failed".to_owned(), &all[1..]),
        ("&status=cancelled".to_owned(), &[]),
        ("&q=AUBERGINE".to_owned(), &[&named]),
        (format!("&q={labelled}"), &[&labelled]),
        ("&kind=command&status=failed&q=aubergine".to_owned(), &[&named]),
        (format!("&created_before={first_at}"), &[]),
        (format!("&tenant={mark}"), &[]),
    ] {
        let page = page(context, &mark, &filter)?;
        page.expect(ids(&page).iter().eq(wanted.iter().copied()), &format!("the tasks of this filter: {wanted:?}"))?;
    }
    let page = page(context, &mark, &format!("&created_after={first_at}"))?;
    page.expect(!ids(&page).contains(&owned), "created_after leaves out what was created then")
}

fn filter_refused(context: &Context) -> Outcome {
    page(context, "none", "")?;
    for (query, name) in [
        ("status=done", "status"),
        ("status=", "status"),
        ("tenant=%20", "tenant"),
        ("kind=shell", "kind"),
        ("created_after=yesterday", "created_after"),
        ("sort=name", "sort"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("label.=x", "label."),
        ("label.a=1&label.a=2", "label.a"),
        ("labels=x", "labels"),
    ] {
        let answer = context.client.get(&format!("/api/v1/tasks?{query}"))?;
        answer.expect_failure(400, "invalid_input", "a parameter that cannot be so is refused")?;
        answer.expect(answer.message().starts_with(&format!("{name} ")), &format!("the message names {name}"))?;
    }
    Ok(())
}

fn pages(context: &Context) -> Outcome {
    let (mark, oldest_first) = marked(context, 5)?;
    let newest_first: Vec<_> = oldest_first.iter().rev().cloned().collect();
    for (sort, expected) in [("created_at", &oldest_first), ("-created_at", &newest_first)] {
        for limit in [1, 2, 5] {
            let told = walk(context, &mark, &format!("&sort={sort}&limit={limit}"), |_| Ok(()))?;
            let page = page(context, &mark, &format!("&sort={sort}&limit={limit}"))?;
            page.expect(ids(&page).len() <= limit, "a page holds no more than its limit")?;
            page.expect(told == *expected, "the pages together are the list, in its order")?;
        }
    }
    Ok(())
}

fn pages_stable(context: &Context) -> Outcome {
    let (mark, before) = marked(context, 6)?;
    for sort in ["created_at", "-created_at"] {
        let told = walk(context, &mark, &format!("&sort={sort}&limit=2"), |number| {
            if number < 3 { task_of(context, &mark, "true").map(drop) } else { Ok(()) }
        })?;
        let page = page(context, &mark, "&limit=1000")?;
        let distinct: BTreeSet<_> = told.iter().collect();
        page.expect(distinct.len() == told.len(), "a walk tells of no task twice, whatever comes meanwhile")?;
        page.expect(before.iter().all(|id| distinct.contains(id)), "a walk tells of every task that was there")?;
    }
    Ok(())
}

fn cursor_refused(context: &Context) -> Outcome {
    let (mark, _) = marked(context, 2)?;
    let first = page(context, &mark, "&limit=1")?;
    let cursor = first.body["next_cursor"].as_str().unwrap_or_default();
    first.expect(!cursor.is_empty(), "a page that is not the last has a next_cursor")?;
    for query in [
        format!("cursor={cursor}"),
        format!("label.mark={mark}&sort=created_at&cursor={cursor}"),
        format!("label.mark={mark}&status=failed&cursor={cursor}"),
        format!("label.mark={mark}&cursor=x{cursor}"),
        format!("label.mark={mark}&cursor="),
    ] {
        let answer = context.client.get(&format!("/api/v1/tasks?{query}"))?;
        answer.expect_failure(400, "invalid_input", "a cursor of another list, and what is none, is refused")?;
        answer.expect(answer.message().starts_with("cursor "), "the message names the cursor")?;
    }
    Ok(())
}
