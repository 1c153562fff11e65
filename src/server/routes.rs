//! The table of contents: every operation, its documentation and the verb that does it.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::Path;

use super::access::Caller;
use super::app::Tag;
use super::blobs::{Incoming, Kept};
use super::body::{Json, OptionalJson};
use super::delete::{self, Deleted};
use super::fault::Fault;
use super::feed::{self, EventFeed, EventTypes};
use super::files::Packed;
use super::filter::{Continued, Labels, Limit, Moment, Name, OfKind, Sort, Statuses, Wanted};
use super::list::Part;
use super::metrics::Exposition;
use super::once::Repeatable;
use super::params::{Follow, Header, IdempotencyKey, Query, TailLines, Wait, WaitFor};
use super::raw::{self, RawOutput};
use super::stored::ByteRange;
use super::stream::EventStream;
use super::{
    Shared, batch, blobs, drain, events, files, health, kill, kill_many, list, metrics, request, runtime, status,
    stream, submit,
};
use crate::api::batch::{SubmitBatchRequest, SubmitBatchResponse};
use crate::api::drain::DrainRequest;
use crate::api::health::HealthResponse;
use crate::api::kill::KillRequest;
use crate::api::kill_many::{KillTasksRequest, KilledTasks};
use crate::api::list::TaskList;
use crate::api::runtime::{CapabilityManifest, RuntimeConfig, RuntimeInfo, RuntimeResources};
use crate::api::{EventRecord, FileList, SubmitTaskRequest, SubmitTaskResponse, TaskStatusResponse};
use crate::store::EventFilter;
use crate::task::exit::OutputStream;

type Ctx<'a> = Data<&'a Arc<Shared>>;
type By<'a> = Data<&'a Caller>;
type Answer<T> = Result<T, Fault>;

pub(super) struct Api;

#[expect(clippy::too_many_arguments, reason = "an operation takes each of its parameters as one")]
#[OpenApi]
impl Api {
    /// Submit a task
    ///
    /// The answer means that the task is stored durably and queued.
    #[oai(path = "/api/v1/tasks", method = "post", operation_id = "submit_task", tag = "Tag::Tasks")]
    async fn submit_task(
        &self,
        ctx: Ctx<'_>,
        by: By<'_>,
        /// What the client calls this request: under the same key the same request is done once, and answered again.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyKey,
        request: Json<SubmitTaskRequest>,
    ) -> Answer<Repeatable<SubmitTaskResponse>> {
        submit::submit(ctx.0, by.0, key, request.0).await
    }

    /// Submit many tasks
    ///
    /// Each is accepted or refused as if it came by itself, in order, and the answer says for each what became of it; with
    /// `atomic` all are accepted, or the answer says why one cannot be and none is. Those that are accepted are stored durably
    /// and queued. A body that is not as described here is refused whole.
    #[oai(path = "/api/v1/tasks/batch", method = "post", operation_id = "submit_batch", tag = "Tag::Tasks")]
    async fn submit_batch(
        &self,
        ctx: Ctx<'_>,
        by: By<'_>,
        /// What the client calls this request: under the same key the same request is done once, and answered again.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyKey,
        request: Json<SubmitBatchRequest>,
    ) -> Answer<Repeatable<SubmitBatchResponse>> {
        batch::submit(ctx.0, by.0, key, request.0).await
    }

    /// List tasks
    ///
    /// A page of rows. `next_cursor` asks for the next one with the same filter and the same `sort`; a page that has it goes
    /// on, however few tasks it holds. Each task that is there from the first page to the last is told once, whatever comes
    /// and goes meanwhile.
    #[oai(path = "/api/v1/tasks", method = "get", operation_id = "list_tasks", tag = "Tag::Tasks")]
    async fn list_tasks(
        &self,
        ctx: Ctx<'_>,
        by: By<'_>,
        /// One of these, separated by commas.
        status: Query<Statuses>,
        /// The task's `control_context.tenant`.
        tenant: Query<Name>,
        /// The task's `control_context.owner`.
        owner: Query<Name>,
        /// The value of the label `KEY` in the task's `control_context.labels`; `KEY` stands for any key, and there may be
        /// several such parameters.
        #[oai(name = "label.KEY")]
        labels: Labels,
        /// The task's `execution.kind`.
        kind: Query<OfKind>,
        /// Accepted later than this.
        created_after: Query<Moment>,
        /// Accepted earlier than this.
        created_before: Query<Moment>,
        /// Stands, in whatever case, in the task's id, its program and arguments or its script, its labels or its metadata.
        q: Query<Name>,
        /// The order.
        sort: Query<Sort>,
        /// Most tasks on the page.
        limit: Query<Limit>,
        /// The `next_cursor` of the page before.
        cursor: Query<Continued>,
    ) -> Answer<Json<TaskList>> {
        let wanted = Wanted {
            statuses: status.0.0,
            tenant: tenant.0.0,
            owner: owner.0.0,
            labels: labels.0,
            kind: kind.0.0,
            created_after: created_after.0.0,
            created_before: created_before.0.0,
            text: q.0.0,
        };
        let part = Part { order: sort.0.0, limit: limit.0.0, cursor: cursor.0.0 };
        Ok(Json(list::list(ctx.0, by.0, &wanted, part).await?))
    }

    /// Status of a task
    ///
    /// With `wait_ms` the answer comes when what `wait_for` names has happened, or after that many milliseconds if it has
    /// not. It comes at once for a task that has ended.
    #[oai(path = "/api/v1/tasks/:task_id", method = "get", operation_id = "get_task", tag = "Tag::Tasks")]
    async fn get_task(
        &self,
        ctx: Ctx<'_>,
        by: By<'_>,
        /// The name of the task.
        task_id: Path<String>,
        /// How many milliseconds to wait at most.
        wait_ms: Query<Wait>,
        /// What to wait for, besides the end of the task: its start, more output than there is now, or any change.
        wait_for: Query<WaitFor>,
    ) -> Answer<Json<TaskStatusResponse>> {
        Ok(Json(status::status(ctx.0, by.0, &task_id, wait_ms.0.0, wait_for.0).await?))
    }

    /// Request of a task
    ///
    /// As it was accepted, with its `task_id`. It may hold what the status does not tell, such as the environment; so a
    /// token needs the role that submits.
    #[oai(
        path = "/api/v1/tasks/:task_id/request",
        method = "get",
        operation_id = "get_task_request",
        tag = "Tag::Tasks"
    )]
    async fn get_task_request(
        &self,
        ctx: Ctx<'_>,
        by: By<'_>,
        /// The name of the task.
        task_id: Path<String>,
    ) -> Answer<Json<SubmitTaskRequest>> {
        Ok(Json(request::request(ctx.0, by.0, &task_id).await?))
    }

    /// End a task
    ///
    /// A waiting task is cancelled and never starts. A running one gets the signal, and SIGKILL after the grace. An ended
    /// one stays as it is. Asking again in the same way changes nothing; another signal is sent too, and a shorter grace
    /// counts. Without a body it is SIGTERM and the grace of the server.
    #[oai(path = "/api/v1/tasks/:task_id/kill", method = "post", operation_id = "kill_task", tag = "Tag::Tasks")]
    async fn kill_task(
        &self,
        ctx: Ctx<'_>,
        by: By<'_>,
        /// The name of the task.
        task_id: Path<String>,
        /// The task's `control_context.owner`, when it has one.
        #[oai(name = "x-execgo-owner")]
        owner: Header,
        request: OptionalJson<KillRequest>,
    ) -> Answer<Json<TaskStatusResponse>> {
        Ok(Json(kill::kill(ctx.0, by.0, &task_id, owner.0, request.0).await?))
    }

    /// End many tasks
    ///
    /// All that have not ended and for which everything holds that is given; at least one thing must be, or `all`. Each is ended
    /// as `kill_task` does it. A task that belongs to another owner than the header names is left alone.
    #[oai(path = "/api/v1/tasks/kill", method = "post", operation_id = "kill_tasks", tag = "Tag::Tasks")]
    async fn kill_tasks(
        &self,
        ctx: Ctx<'_>,
        by: By<'_>,
        /// The `control_context.owner` of those tasks that have one.
        #[oai(name = "x-execgo-owner")]
        owner: Header,
        request: Json<KillTasksRequest>,
    ) -> Answer<Json<KilledTasks>> {
        Ok(Json(kill_many::kill_many(ctx.0, by.0, request.0, owner.0).await?))
    }

    /// Delete a task
    ///
    /// A task that has ended is forgotten, with its events and files; its id is free again.
    #[oai(path = "/api/v1/tasks/:task_id", method = "delete", operation_id = "delete_task", tag = "Tag::Tasks")]
    async fn delete_task(
        &self,
        ctx: Ctx<'_>,
        by: By<'_>,
        /// The name of the task.
        task_id: Path<String>,
        /// The task's `control_context.owner`, when it has one.
        #[oai(name = "x-execgo-owner")]
        owner: Header,
    ) -> Answer<Deleted> {
        delete::delete(ctx.0, by.0, &task_id, owner.0).await
    }

    /// Events of a task
    ///
    /// In the order in which they happened.
    #[oai(path = "/api/v1/tasks/:task_id/events", method = "get", operation_id = "get_task_events", tag = "Tag::Tasks")]
    async fn get_task_events(
        &self,
        ctx: Ctx<'_>,
        by: By<'_>,
        /// The name of the task.
        task_id: Path<String>,
    ) -> Answer<Json<Vec<EventRecord>>> {
        Ok(Json(events::events(ctx.0, by.0, &task_id).await?))
    }

    /// Standard output
    ///
    /// The bytes as the task wrote them: all of them, the part that `Range` asks for, or the last lines. With `follow` the
    /// answer goes on as the task writes and ends when the task has ended and everything was sent. A task that has not been
    /// started has no output yet. `HEAD` tells how much there is.
    #[oai(path = "/api/v1/tasks/:task_id/stdout", method = "get", operation_id = "get_task_stdout", tag = "Tag::Tasks")]
    async fn get_task_stdout(
        &self,
        ctx: Ctx<'_>,
        by: By<'_>,
        /// The name of the task.
        task_id: Path<String>,
        /// Begin with the last lines that are there, so many of them; not together with `Range`.
        tail_lines: Query<TailLines>,
        /// Go on as the task writes.
        follow: Query<Follow>,
        /// One span of bytes, such as `bytes=100-`; more than one, or another unit, is ignored.
        #[oai(name = "Range")]
        range: Header,
        /// The `ETag` of an earlier answer, which an ended task's output has: where it is another one now, `Range` is ignored.
        #[oai(name = "If-Range")]
        if_range: Header,
    ) -> Answer<RawOutput> {
        let (range, if_range, stream) = (range.0, if_range.0, OutputStream::Stdout);
        let wanted = raw::Wanted { stream, tail_lines: tail_lines.0.0, follow: follow.0.0, range, if_range };
        raw::output(ctx.0, by.0, &task_id, wanted).await
    }

    /// Standard error
    ///
    /// As standard output.
    #[oai(path = "/api/v1/tasks/:task_id/stderr", method = "get", operation_id = "get_task_stderr", tag = "Tag::Tasks")]
    async fn get_task_stderr(
        &self,
        ctx: Ctx<'_>,
        by: By<'_>,
        /// The name of the task.
        task_id: Path<String>,
        /// Begin with the last lines that are there, so many of them; not together with `Range`.
        tail_lines: Query<TailLines>,
        /// Go on as the task writes.
        follow: Query<Follow>,
        /// One span of bytes, such as `bytes=100-`; more than one, or another unit, is ignored.
        #[oai(name = "Range")]
        range: Header,
        /// The `ETag` of an earlier answer, which an ended task's output has: where it is another one now, `Range` is ignored.
        #[oai(name = "If-Range")]
        if_range: Header,
    ) -> Answer<RawOutput> {
        let (range, if_range, stream) = (range.0, if_range.0, OutputStream::Stderr);
        let wanted = raw::Wanted { stream, tail_lines: tail_lines.0.0, follow: follow.0.0, range, if_range };
        raw::output(ctx.0, by.0, &task_id, wanted).await
    }

    /// Stream of a task
    ///
    /// Server-sent events: `output` (an `OutputPiece`), `event` (an `EventRecord`) and `status` (a `TaskRow`) as they come,
    /// and last `end` (a `StreamEnd`). Who comes again with the `id` of what it has seen last gets what it has not seen.
    #[oai(path = "/api/v1/tasks/:task_id/stream", method = "get", operation_id = "stream_task", tag = "Tag::Tasks")]
    async fn stream_task(
        &self,
        ctx: Ctx<'_>,
        by: By<'_>,
        /// The name of the task.
        task_id: Path<String>,
        /// The `id` of what the client has seen last; without it the stream begins at the beginning.
        #[oai(name = "Last-Event-ID")]
        last_event_id: Header,
    ) -> Answer<EventStream> {
        stream::stream(ctx.0, by.0, &task_id, last_event_id.0).await
    }

    /// Files of a task
    ///
    /// Those that were collected at its end, by their paths. None for a task that was not asked for any.
    #[oai(path = "/api/v1/tasks/:task_id/files", method = "get", operation_id = "get_task_files", tag = "Tag::Tasks")]
    async fn get_task_files(
        &self,
        ctx: Ctx<'_>,
        by: By<'_>,
        /// The name of the task.
        task_id: Path<String>,
    ) -> Answer<Json<FileList>> {
        Ok(Json(files::list(ctx.0, by.0, &task_id).await?))
    }

    /// A file of a task
    ///
    /// One of those that were collected, or a part of it. `HEAD` tells how long it is.
    #[oai(
        path = "/api/v1/tasks/:task_id/files/:path",
        method = "get",
        operation_id = "get_task_file",
        tag = "Tag::Tasks"
    )]
    async fn get_task_file(
        &self,
        ctx: Ctx<'_>,
        by: By<'_>,
        /// The name of the task.
        task_id: Path<String>,
        /// The path of the file, as the list has it; its slashes may stand as they are.
        path: Path<String>,
        /// One span of bytes, such as `bytes=100-`; more than one, or another unit, is ignored.
        #[oai(name = "Range")]
        range: Header,
        /// The `ETag` of an earlier answer: where it is another one now, `Range` is ignored.
        #[oai(name = "If-Range")]
        if_range: Header,
    ) -> Answer<RawOutput> {
        files::get(ctx.0, by.0, &task_id, path.0, ByteRange { range: range.0, if_range: if_range.0 }).await
    }

    /// All files of a task
    ///
    /// In one tar archive, compressed with Zstandard, which is made as it is sent. One that is cut off was not made to its
    /// end.
    #[oai(
        path = "/api/v1/tasks/:task_id/files.tar.zst",
        method = "get",
        operation_id = "get_task_archive",
        tag = "Tag::Tasks"
    )]
    async fn get_task_archive(
        &self,
        ctx: Ctx<'_>,
        by: By<'_>,
        /// The name of the task.
        task_id: Path<String>,
    ) -> Answer<Packed> {
        files::pack(ctx.0, by.0, &task_id).await
    }

    /// Upload a blob
    ///
    /// Bytes for tasks to come, which name them in `execution.stdin.blob` or `inputs[].blob`. They are kept as long as a task
    /// that has not ended names them; after that those that were not used for longest go first, when room is needed. What a
    /// tenant's token uploads is that tenant's alone.
    #[oai(path = "/api/v1/blobs/:sha256", method = "put", operation_id = "put_blob", tag = "Tag::Blobs")]
    async fn put_blob(
        &self,
        ctx: Ctx<'_>,
        by: By<'_>,
        /// The SHA-256 of the body, as 64 hexadecimal digits in lower case.
        sha256: Path<String>,
        body: Incoming,
    ) -> Answer<Kept> {
        blobs::put(ctx.0, by.0, &sha256, body).await
    }

    /// Read a blob
    ///
    /// `HEAD` tells whether it is there and how long it is.
    #[oai(path = "/api/v1/blobs/:sha256", method = "get", operation_id = "get_blob", tag = "Tag::Blobs")]
    async fn get_blob(
        &self,
        ctx: Ctx<'_>,
        by: By<'_>,
        /// The SHA-256 of what it holds, as 64 hexadecimal digits in lower case.
        sha256: Path<String>,
        /// One span of bytes, such as `bytes=100-`; more than one, or another unit, is ignored.
        #[oai(name = "Range")]
        range: Header,
        /// The `ETag` of an earlier answer: where it is another one now, `Range` is ignored.
        #[oai(name = "If-Range")]
        if_range: Header,
    ) -> Answer<RawOutput> {
        blobs::get(ctx.0, by.0, &sha256, ByteRange { range: range.0, if_range: if_range.0 }).await
    }

    /// Events of all tasks
    ///
    /// Server-sent events, each an `event` (an `EventRecord`), as they come, without an end. `id` is its `seq`: who comes again
    /// with the last one gets what has happened since, as far as the tasks are still there. 0 is before everything.
    #[oai(path = "/api/v1/events", method = "get", operation_id = "stream_events", tag = "Tag::Tasks")]
    async fn stream_events(
        &self,
        ctx: Ctx<'_>,
        by: By<'_>,
        /// Of tasks with this `control_context.tenant`.
        tenant: Query<Name>,
        /// One of these, separated by commas.
        event_type: Query<EventTypes>,
        /// The `id` of what the client has seen last; without it the events begin with the next one.
        #[oai(name = "Last-Event-ID")]
        last_event_id: Header,
    ) -> Answer<EventFeed> {
        let wanted = EventFilter { tenant: tenant.0.0, types: event_type.0.0 };
        feed::feed(ctx.0, by.0, wanted, last_event_id.0).await
    }

    /// Identity of the runtime
    #[oai(path = "/api/v1/runtime/info", method = "get", operation_id = "get_runtime_info", tag = "Tag::Runtime")]
    async fn get_runtime_info(&self, ctx: Ctx<'_>) -> Answer<Json<RuntimeInfo>> {
        Ok(Json(runtime::info(ctx.0)))
    }

    /// Capabilities of the runtime
    ///
    /// A capability is true only because it was tried when the server started.
    #[oai(
        path = "/api/v1/runtime/capabilities",
        method = "get",
        operation_id = "get_runtime_capabilities",
        tag = "Tag::Runtime"
    )]
    async fn get_runtime_capabilities(&self, ctx: Ctx<'_>) -> Answer<Json<CapabilityManifest>> {
        Ok(Json(runtime::capabilities(ctx.0)))
    }

    /// Configuration of the runtime
    #[oai(path = "/api/v1/runtime/config", method = "get", operation_id = "get_runtime_config", tag = "Tag::Runtime")]
    async fn get_runtime_config(&self, ctx: Ctx<'_>) -> Answer<Json<RuntimeConfig>> {
        Ok(Json(runtime::config(ctx.0)))
    }

    /// Resources of the runtime
    ///
    /// One consistent view: what is reserved and what is available add up to the capacity. With a tenant's token it is of that
    /// tenant's tasks alone, and the capacity is what they may hold at most.
    #[oai(
        path = "/api/v1/runtime/resources",
        method = "get",
        operation_id = "get_runtime_resources",
        tag = "Tag::Runtime"
    )]
    async fn get_runtime_resources(&self, ctx: Ctx<'_>, by: By<'_>) -> Answer<Json<RuntimeResources>> {
        Ok(Json(runtime::resources(ctx.0, by.0).await?))
    }

    /// Drain the runtime
    ///
    /// It accepts and starts no task any more: a submission gets 503, and so does `/readyz`. Running tasks go on; waiting
    /// ones are kept for the next server or cancelled, and the answer comes when that is done. It answers everything else
    /// until it is stopped. Asking again changes nothing, but cancels what was kept.
    #[oai(path = "/api/v1/runtime/drain", method = "post", operation_id = "drain_runtime", tag = "Tag::Runtime")]
    async fn drain_runtime(&self, ctx: Ctx<'_>, request: Json<DrainRequest>) -> Answer<Json<RuntimeInfo>> {
        Ok(Json(drain::drain(ctx.0, request.0).await?))
    }

    /// Liveness
    #[oai(path = "/healthz", method = "get", operation_id = "get_liveness", tag = "Tag::Health")]
    async fn get_liveness(&self) -> Answer<Json<HealthResponse>> {
        Ok(Json(health::alive()))
    }

    /// Readiness
    ///
    /// Proves that the store takes a write, that the dispatcher lives, and that something may be launched.
    #[oai(path = "/readyz", method = "get", operation_id = "get_readiness", tag = "Tag::Health")]
    async fn get_readiness(&self, ctx: Ctx<'_>) -> Answer<Json<HealthResponse>> {
        Ok(Json(health::ready(ctx.0).await?))
    }

    /// Metrics
    ///
    /// Prometheus' text format; every name begins with `execgo_runtime_`.
    #[oai(path = "/metrics", method = "get", operation_id = "get_metrics", tag = "Tag::Health")]
    async fn get_metrics(&self, ctx: Ctx<'_>) -> Answer<Exposition> {
        Ok(metrics::render(ctx.0))
    }
}
