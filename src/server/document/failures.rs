//! Which failures each operation can answer with. What a client cannot provoke at a documented path and method
//! (405, 404 for a path) is not listed.

/// Status and what it means.
type Failure = (&'static str, &'static str);

const INVALID: Failure = ("400", "The request is wrong; the message names the field.");
const REFUSED: Failure = (
    "400",
    "The request is wrong (`invalid_input`), a strict task asks for what this runtime cannot enforce \
     (`unsupported_capability`), or it asks for more than there ever is (`insufficient_resources`).",
);
const NO_TOKEN: Failure = ("401", "This server asks for a bearer token, and there is none, or none that is known.");
const FROM_TASK: Failure =
    ("403", "The connection is that of a sandboxed task of this runtime, or the request that of another web page.");
const NOT_OWNER: Failure = (
    "403",
    "The task belongs to another owner, the connection is that of a sandboxed task of this runtime, or the request that \
     of another web page.",
);
const NO_TASK: Failure = ("404", "There is no such task.");
const NO_FILE: Failure = ("404", "There is no such task, or it has left no such file.");
const NOT_ENDED: Failure = ("409", "The task has not ended; `details` has its `task_id` and `status`.");
const NO_BLOB: Failure = ("404", "There is no such blob.");
const CONFLICT: Failure = (
    "409",
    "A task with that `task_id` exists, and `details` has its `task_id` and `status`; or the `Idempotency-Key` is that of \
     another request.",
);
const TOO_LARGE: Failure = ("413", "The body is larger than this server accepts.");
const NO_JSON: Failure = ("415", "The body is not declared as `application/json`.");
const QUEUE_FULL: Failure = (
    "429",
    "The queue is full, there is no room for what the task is given, or the token has a rate and this is more; try \
      again after `Retry-After` seconds.",
);
const NO_ROOM: Failure = (
    "429",
    "The blobs that tasks need leave no room, or the token has a rate and this is more; try again after `Retry-After` \
     seconds.",
);
const TOO_OFTEN: Failure = ("429", "The token has a rate, and this is more; try again after `Retry-After` seconds.");
const BEHIND_THE_END: Failure =
    ("416", "The range begins behind the end; `Content-Range` and `details` say how much there is.");
const INTERNAL: Failure = ("500", "A fault of the runtime; its log has the `x-request-id`.");
const UNAVAILABLE: Failure = ("503", "The runtime is not ready, is being drained, or its store is gone.");

/// All failures of an operation.
///
/// # Panics
/// The operation is new and not listed here yet; the test of the document sees it first.
pub(super) fn of(operation_id: &str) -> &'static [Failure] {
    match operation_id {
        "submit_task" | "submit_batch" => {
            &[REFUSED, NO_TOKEN, FROM_TASK, CONFLICT, TOO_LARGE, NO_JSON, QUEUE_FULL, INTERNAL, UNAVAILABLE]
        }
        "get_task" | "get_task_request" | "get_task_events" | "stream_task" => {
            &[INVALID, NO_TOKEN, FROM_TASK, NO_TASK, TOO_OFTEN, INTERNAL, UNAVAILABLE]
        }
        "list_tasks" | "stream_events" => &[INVALID, NO_TOKEN, FROM_TASK, TOO_OFTEN, INTERNAL, UNAVAILABLE],
        "get_task_stdout" | "get_task_stderr" => {
            &[INVALID, NO_TOKEN, FROM_TASK, NO_TASK, BEHIND_THE_END, TOO_OFTEN, INTERNAL, UNAVAILABLE]
        }
        "get_task_files" | "get_task_archive" => {
            &[INVALID, NO_TOKEN, FROM_TASK, NO_TASK, NOT_ENDED, TOO_OFTEN, INTERNAL, UNAVAILABLE]
        }
        "get_task_file" => {
            &[INVALID, NO_TOKEN, FROM_TASK, NO_FILE, NOT_ENDED, BEHIND_THE_END, TOO_OFTEN, INTERNAL, UNAVAILABLE]
        }
        "put_blob" => &[INVALID, NO_TOKEN, FROM_TASK, TOO_LARGE, NO_ROOM, INTERNAL],
        "get_blob" => &[INVALID, NO_TOKEN, FROM_TASK, NO_BLOB, BEHIND_THE_END, TOO_OFTEN, INTERNAL],
        "kill_task" => &[INVALID, NO_TOKEN, NOT_OWNER, NO_TASK, TOO_LARGE, NO_JSON, TOO_OFTEN, INTERNAL, UNAVAILABLE],
        "delete_task" => &[INVALID, NO_TOKEN, NOT_OWNER, NO_TASK, NOT_ENDED, TOO_OFTEN, INTERNAL, UNAVAILABLE],
        "get_runtime_info" | "get_runtime_capabilities" | "get_runtime_config" => {
            &[INVALID, NO_TOKEN, FROM_TASK, TOO_OFTEN, INTERNAL]
        }
        "drain_runtime" | "kill_tasks" => {
            &[INVALID, NO_TOKEN, FROM_TASK, TOO_LARGE, NO_JSON, TOO_OFTEN, INTERNAL, UNAVAILABLE]
        }
        "get_runtime_resources" => &[INVALID, NO_TOKEN, FROM_TASK, TOO_OFTEN, INTERNAL, UNAVAILABLE],
        "get_readiness" => &[FROM_TASK, INTERNAL, UNAVAILABLE],
        "get_liveness" => &[FROM_TASK, INTERNAL],
        "get_metrics" => &[NO_TOKEN, FROM_TASK, TOO_OFTEN, INTERNAL],
        unknown => panic!("the failures of the operation {unknown} are not listed"),
    }
}
