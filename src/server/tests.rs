//! The server in front of a stand-in for the dispatcher: through the edge without a socket, and over real sockets
//! where the socket matters.

mod access;
mod batch;
mod blobs;
mod contract;
mod delete;
mod document;
mod feed;
mod list;
mod once;
mod output;
mod page;
mod socket;
mod stream;
mod verbs;

use std::sync::Arc;

use poem::http::{HeaderMap, Method, StatusCode, Uri};
use poem::{Body, Request};
use serde_json::{Value, json};

use super::edge::Edge;
use super::{Context, Shared, app};
use crate::capability::Manifest;
use crate::capability::testing::manifest;
use crate::config::{self, Config};
use crate::dispatcher::testing::{Fake, Rules};
use crate::metrics::Metrics;
use crate::task::{CapabilityMode, TaskId, Timestamp};

const MAX_BODY_BYTES: u64 = 16 * 1024;

/// A whole server without a listener.
struct Server {
    dir: tempfile::TempDir,
    fake: Fake,
    context: Context,
    edge: Edge,
    shutdown: tokio_util::sync::CancellationToken,
}

/// What a client sees.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

fn config(data_dir: &std::path::Path) -> Config {
    let quota = config::TenantQuota { slots: 1, memory: None, pids: Some(8) };
    Config {
        runtime: config::Runtime { id: None, data_dir: data_dir.to_owned() },
        server: config::Server {
            listen_addr: "127.0.0.1:0".parse().expect("an address"),
            unix_socket: None,
            tls_cert_file: None,
            tls_key_file: None,
            allow_tasks: false,
            max_body_bytes: MAX_BODY_BYTES,
            header_timeout_ms: 300,
            body_timeout_ms: 3000,
            shutdown_timeout_ms: 1000,
        },
        access: config::Access {
            tokens_file: None,
            allow_anonymous: false,
            open_metrics: false,
            allowed_hosts: vec!["runtime.example".into()],
            allowed_origins: vec!["https://proxy.example".into()],
        },
        queue: config::Queue { max_running_tasks: 4, max_queued_tasks: 3, dispatch_poll_interval_ms: 250 },
        execution: config::Execution { termination_grace_ms: 5000, run_as: None, log_max_bytes: 1 << 20 },
        retention: config::Retention {
            result_retention_secs: 604_800,
            max_tasks: Some(100_000),
            max_bytes: None,
            gc_interval_ms: 1000,
        },
        files: config::Files {
            blob_max_bytes: 100,
            blobs_max_bytes: 1000,
            collect_max_files: 10,
            collect_max_bytes: 1000,
        },
        ledger: config::Ledger { memory_bytes: Some(1 << 30), pids: None, tenants: [("acme".into(), quota)].into() },
        capability: config::Capability {
            default_mode: CapabilityMode::Adaptive,
            disable_linux_sandbox: false,
            disable_landlock: false,
            disable_seccomp: false,
            disable_cgroup: true,
            cgroup_root: "/sys/fs/cgroup/execgo-runtime".into(),
        },
        sandbox: crate::config::Sandbox { uid_base: 200_000, uid_count: 10, warm_sandboxes: 2 },
        callback: config::Callback {
            allowed_urls: vec!["https://hooks.example/ci".into()],
            secret_file: None,
            timeout_ms: 1000,
            retry_ms: 1000,
            max_attempts: 3,
        },
        log: config::Log { filter: "info".into(), format: config::LogFormat::Text },
    }
}

fn blobs(dir: &std::path::Path, fake: &Fake) -> crate::blobs::Blobs {
    let readers = fake.readers.clone();
    let in_use = Box::new(move || readers.blobs_in_use().map_err(std::io::Error::other));
    let bounds = crate::blobs::Bounds { of_one: 100, of_all: 1000 };
    crate::blobs::Blobs::open(dir.join("blobs"), bounds, in_use).expect("opens")
}

fn context(dir: &std::path::Path, fake: &Fake) -> Context {
    Context {
        config: Arc::new(config(dir)),
        runtime_id: "test-runtime".into(),
        started_at: Timestamp::from_millis(1_760_000_000_000),
        manifest: Arc::new(manifest()),
        dispatcher: fake.dispatcher.clone(),
        readers: fake.readers.clone(),
        blobs: blobs(dir, fake),
        metrics: Arc::new(Metrics::new("test")),
    }
}

impl Server {
    fn new() -> Self {
        Self::with(Rules::default())
    }

    fn with(rules: Rules) -> Self {
        Self::with_manifest(rules, manifest())
    }

    fn with_manifest(rules: Rules, manifest: Manifest) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let fake = Fake::new(dir.path(), rules);
        let context = Context { manifest: Arc::new(manifest), ..context(dir.path(), &fake) };
        Self::of(dir, fake, context)
    }

    /// With this file of tokens.
    fn guarded(rules: Rules, tokens: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("tokens.yaml");
        std::fs::write(&file, tokens).expect("written");
        let fake = Fake::new(dir.path(), rules);
        let mut config = config(dir.path());
        config.access.tokens_file = Some(file);
        let context = Context { config: Arc::new(config), ..context(dir.path(), &fake) };
        Self::of(dir, fake, context)
    }

    fn of(dir: tempfile::TempDir, fake: Fake, context: Context) -> Self {
        let shutdown = tokio_util::sync::CancellationToken::new();
        let shared = Shared {
            context: context.clone(),
            listen_addr: "127.0.0.1:4321".parse().expect("an address"),
            shutdown: shutdown.clone(),
            growth: crate::output::Growth::start(),
        };
        let access = super::Access::new(&context.config.access, "").expect("valid tokens");
        let edge = app::app(Arc::new(shared), access);
        Self { dir, fake, context, edge, shutdown }
    }

    async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let uri: Uri = path.parse().expect("a URI");
        let request = Request::builder().method(method).uri(uri);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Answer::of(self.edge.answer(request.body(body.into())).await).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], ()).await
    }

    async fn post(&self, path: &str, body: impl Into<String>) -> Answer {
        self.send(Method::POST, path, &[("content-type", "application/json")], body.into()).await
    }

    async fn submit(&self, body: impl Into<String>) -> Answer {
        self.post("/api/v1/tasks", body).await
    }

    /// Submits a command and expects it to be accepted.
    async fn accept(&self, id: &str) -> TaskId {
        let answer = self.submit(command(json!({"task_id": id}))).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        TaskId::parse(id).expect("valid")
    }
}

impl Answer {
    async fn of(response: poem::Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.into_body().into_vec().await.expect("a body");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(headers.contains_key("x-request-id"), "every answer has an id");
        Self { status, headers, text }
    }

    fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json", "{}", self.text);
        serde_json::from_str(&self.text).expect("JSON")
    }

    /// Checks that the answer is an envelope and gives status, code and message.
    fn fault(&self) -> (u16, String, String) {
        let json = self.json();
        assert_eq!(json.as_object().expect("an object").len(), 1, "{json}");
        let error = json["error"].as_object().expect("an envelope");
        assert_eq!(error.len(), 3, "code, message and details are always there: {json}");
        assert!(error["details"].is_object() || error["details"].is_null(), "{json}");
        let text = |key: &str| error[key].as_str().expect("text").to_owned();
        (self.status.as_u16(), text("code"), text("message"))
    }
}

/// A request for `/bin/true` with more fields.
fn command(more: Value) -> String {
    let mut request = json!({"execution": {"kind": "command", "program": "/bin/true"}});
    for (key, value) in more.as_object().expect("an object") {
        request[key] = value.clone();
    }
    request.to_string()
}
