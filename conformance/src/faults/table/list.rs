//! Faults of lists.

use serde_json::json;

use crate::faults::mutation::{Mutation, answer, remove, request};
use crate::faults::proxy::Passing;

pub const FAULTS: &[Mutation] = &[
    answer("a row has the output", "list.row", |it, _| {
        each_row(it, |row| row["stdout"] = json!("out\n"));
    }),
    request("a filter is ignored", "list.filter", |it| {
        without(it, "kind");
    }),
    request("text is looked for as it is written", "list.filter", |it| {
        it.path = it.path.replace("q=AUBERGINE", "q=AUBERGINE-as-it-is");
    }),
    request("an unknown status is ignored", "list.filter.refused", |it| {
        without(it, "status");
    }),
    answer("a page holds what another holds too", "list.pages", |it, _| {
        it.json(|body| {
            if let Some(rows) = body["tasks"].as_array_mut() {
                rows.extend(rows.first().cloned());
            }
        });
    }),
    answer("a list ends with its first page", "list.pages.stable", |it, _| {
        if is_list(it) {
            it.json(|body| remove(body, "next_cursor"));
        }
    }),
    request("a cursor goes with any list", "list.cursor.refused", |it| {
        if it.path.contains("&status=failed&cursor=") {
            without(it, "cursor");
        }
    }),
];

fn is_list(it: &Passing) -> bool {
    it.path.starts_with("/api/v1/tasks?")
}

fn each_row(it: &mut Passing, alter: fn(&mut serde_json::Value)) {
    if is_list(it) {
        it.json(|body| body["tasks"].as_array_mut().into_iter().flatten().for_each(alter));
    }
}

/// Takes a parameter out of the query of a list.
fn without(it: &mut Passing, name: &str) {
    if let Some((path, query)) = it.path.split_once('?').filter(|_| is_list(it)) {
        let is_other = |pair: &&str| pair.split('=').next() != Some(name);
        it.path = format!("{path}?{}", query.split('&').filter(is_other).collect::<Vec<_>>().join("&"));
    }
}
