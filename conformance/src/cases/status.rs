//! The status of tasks that are not there. The status of those that are is checked by what made it so.

use crate::case::{Case, Context, Level, Outcome};

pub const CASES: &[Case] =
    &[Case { id: "status.unknown-task", section: "Status", level: Level::Must, run: unknown_task }];

fn unknown_task(context: &Context) -> Outcome {
    let path = format!("/api/v1/tasks/{}", context.fresh_id());
    let failures = [
        context.client.get(&path)?,
        context.client.get(&format!("{path}/events"))?,
        context.client.post_nothing(&format!("{path}/kill"))?,
    ];
    failures.iter().try_for_each(|failure| failure.expect_failure(404, "not_found", "an unknown task is not found"))
}
