//! The forms that many rules have: a request that is refused, a task that prints a text, a task that fails. A case of
//! such a form is one line in a table.

use std::time::Duration;

use serde_json::{Value, json};

use crate::case::{Context, NotPassed, Outcome, sh, with};
use crate::client::Exchange;

/// Longer than a loop that still runs takes from one line to the next.
const A_WHILE: Duration = Duration::from_millis(300);

impl Context {
    /// A request that would be valid without `more` is refused, by a message that names the field.
    pub fn refuses(&self, more: Value, field: &str) -> Outcome {
        self.refuses_all(std::iter::once(more), field)
    }

    /// Each of these values of a field of `object` is refused, by a message that names the field.
    pub fn refuses_each<const N: usize>(&self, object: &str, name: &str, values: [Value; N]) -> Outcome {
        let more = values.map(|value| json!({object: {name: value}}));
        self.refuses_all(more.into_iter(), &format!("{object}.{name}"))
    }

    /// Each of these values of `task_id` is refused.
    pub fn refuses_ids<const N: usize>(&self, ids: [&str; N]) -> Outcome {
        self.refuses_all(ids.iter().map(|id| json!({"task_id": id})), "task_id")
    }

    fn refuses_all(&self, each: impl Iterator<Item = Value>, field: &str) -> Outcome {
        for more in each {
            let refused = self.offer(&with(sh("true"), more))?;
            refused.expect_failure(400, "invalid_input", &format!("such a value of {field} is refused"))?;
            refused.expect(refused.message().contains(field), &format!("the message names {field}"))?;
        }
        Ok(())
    }

    /// The task ends with success.
    pub fn succeeds(&self, request: &Value) -> Result<Exchange, NotPassed> {
        let status = self.run(request)?;
        status.expect_field("/status", &json!("success"))?;
        Ok(status)
    }

    /// The task ends with success, and this is its output.
    pub fn prints(&self, request: &Value, text: &str) -> Result<Exchange, NotPassed> {
        let status = self.succeeds(request)?;
        status.expect_field("/stdout", &json!(text))?;
        Ok(status)
    }

    /// The lines that a successful task prints.
    pub fn lines(&self, request: &Value) -> Result<(Exchange, Vec<String>), NotPassed> {
        let status = self.succeeds(request)?;
        let lines = status.body["stdout"].as_str().unwrap_or_default().lines().map(str::to_owned).collect();
        Ok((status, lines))
    }

    /// Nothing of an ended task goes on writing.
    pub fn stays(&self, ended: &Exchange) -> Outcome {
        // Nothing tells of what does not happen.
        std::thread::sleep(A_WHILE);
        let after = self.status(ended.text_at("/task_id"))?;
        after.expect(after.body == ended.body, "nothing of a task lives when it has ended")
    }

    /// The task ends as failed, with this error code.
    pub fn fails(&self, request: &Value, code: &str) -> Result<Exchange, NotPassed> {
        let status = self.run(request)?;
        status.expect_field("/status", &json!("failed"))?;
        status.expect_field("/error/code", &json!(code))?;
        Ok(status)
    }
}

impl Exchange {
    /// An optional field that this answer must not have.
    pub fn expect_absent(&self, pointer: &str) -> Outcome {
        self.expect(self.body.pointer(pointer).is_none(), &format!("{pointer} is absent"))
    }

    /// The text at the pointer, empty where there is none.
    #[must_use]
    pub fn text_at(&self, pointer: &str) -> &str {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    #[must_use]
    pub fn number_at(&self, pointer: &str) -> Option<u64> {
        self.body.pointer(pointer).and_then(Value::as_u64)
    }
}
