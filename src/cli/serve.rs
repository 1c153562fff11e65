//! `serve`: reads the configuration, starts the log, hands over to the server. Wiring only.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use super::{Exit, listeners};
use crate::api::TaskStatusResponse;
use crate::blobs::{Blobs, Bounds};
use crate::callback;
use crate::capability::{self, CgroupSettings, Cgroups, ProbeSettings};
use crate::config::{self, Config, Flags, Loaded, Log, LogFormat, Retention};
use crate::dispatcher::{self, CollectBounds, Dispatcher, LaunchSettings, Waiting, WriteResult, inherited_env, trash};
use crate::metrics::Metrics;
use crate::server::{self, Access, Context, Listeners, Tls};
use crate::store::{self, DataDir, Readers, write_whole};
use crate::task::{RunAs, Task, TaskPaths, Timestamp};

/// Threads for reads of the store and for files. Each may come to hold a connection to the store, whose descriptor SQLite
/// gives back only when its last one is closed: hundreds for one burst of requests would stay.
const MAX_BLOCKING_THREADS: usize = 32;

const HELP: &str =
    "Each flag beats its environment variable, that beats the files of --config, and they beat the defaults.
`execgo-runtime config show` takes the same flags and prints what holds and why.

Examples:
  execgo-runtime serve
  execgo-runtime serve --config /etc/execgo-runtime/config.yaml --listen-addr 0.0.0.0:8080
  execgo-runtime serve --capacity-memory-bytes 8589934592 --tenant-quota acme=slots:2,memory:1073741824";

/// Runs the server
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct Serve {
    #[command(flatten)]
    flags: Box<Flags>,
}

impl Serve {
    /// Does not return before the server has stopped.
    pub fn start(&self) -> ExitCode {
        match config::load(&self.flags, std::env::vars_os()) {
            Ok(loaded) => {
                start_log(&loaded.config.log);
                for warning in &loaded.warnings {
                    tracing::warn!("{warning}");
                }
                run(loaded)
            }
            Err(invalid) => {
                for line in invalid.to_string().lines() {
                    drop(writeln!(std::io::stderr(), "error: {line}"));
                }
                ExitCode::from(Exit::Refused.code())
            }
        }
    }
}

/// Runs the server with this configuration until it is told to stop.
fn run(loaded: Loaded) -> ExitCode {
    match serve(loaded) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            drop(writeln!(std::io::stderr(), "error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn serve(loaded: Loaded) -> anyhow::Result<()> {
    let root_is_given = !loaded.is_default("capability.cgroup_root");
    let mut config = loaded.config;
    check_anonymous(&config)?;
    let sandboxed = (config.sandbox.uid_base, config.sandbox.uid_count);
    let run_as =
        config.execution.run_as.as_deref().map(|user| capability::resolve_run_as(user, sandboxed)).transpose()?;
    let mut data_dir = DataDir::open(&config.runtime.data_dir)?;
    data_dir.path().clone_into(&mut config.runtime.data_dir);
    if let Some(run_as) = &run_as {
        data_dir.let_others_pass()?;
        capability::try_run_as(run_as, &data_dir.tasks_dir())?;
    }
    let secret = config.callback.secret().context("cannot tell anybody of tasks")?;
    let (mut writer, readers) = store::open(&data_dir.database())?;
    let given_up = writer.give_up_callbacks(&config.callback.origins())?;
    if given_up > 0 {
        tracing::warn!(given_up, "callbacks were given up: callback.allowed_urls names their URLs no longer");
    }
    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
    // Before the dispatcher, which launches what waits.
    let cgroups = Cgroups::find(&CgroupSettings {
        root: config.capability.cgroup_root.clone(),
        root_is_given,
        disabled: config.capability.disable_cgroup,
        data_dir: data_dir.path().to_owned(),
        noted_in: data_dir.run_dir().join("cgroups"),
    });
    if let Some(group) = &cgroups.delegated {
        tracing::info!(group = %group.display(), "the tasks' cgroups are in the group that was delegated to this server");
        group.clone_into(&mut config.capability.cgroup_root);
    }
    let blobs = open_blobs(&config, &readers)?;
    let settings = dispatcher_settings(&config, &data_dir, &cgroups);
    let results_in = data_dir.path().to_owned();
    let write_result: WriteResult = Arc::new(move |task: &Task| {
        let status = TaskStatusResponse::render(task, &results_in)?;
        write_whole(&TaskPaths::new(&results_in, task.id()).result(), &serde_json::to_vec_pretty(&status)?)
    });
    // Everything is where it belongs before anybody can ask.
    let dispatcher = dispatcher::start(settings, writer, &write_result, Arc::clone(&metrics))?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().max_blocking_threads(MAX_BLOCKING_THREADS).enable_all().build()?;
    let kept = Kept { readers, blobs };
    let listened = listen(config, secret, run_as, &mut data_dir, &cgroups, dispatcher, kept, metrics);
    let served = runtime.block_on(listened);
    // A blocking read of a file or of the store may be under way; nobody waits for its answer any more.
    runtime.shutdown_timeout(Duration::from_secs(1));
    cgroups.release();
    served
}

fn open_blobs(config: &Config, readers: &Readers) -> anyhow::Result<Blobs> {
    let (dir, readers) = (TaskPaths::blobs(&config.runtime.data_dir), readers.clone());
    let bounds = Bounds { of_one: config.files.blob_max_bytes, of_all: config.files.blobs_max_bytes };
    let in_use = Box::new(move || readers.blobs_in_use().map_err(std::io::Error::other));
    Blobs::open(dir, bounds, in_use).context("cannot open the blobs")
}

/// Whoever may use the API runs programs as the server's user.
fn check_anonymous(config: &Config) -> anyhow::Result<()> {
    let (address, access) = (config.server.listen_addr, &config.access);
    anyhow::ensure!(
        address.ip().is_loopback() || access.tokens_file.is_some() || access.allow_anonymous,
        "listening on {address} without tokens would let everybody in the network run programs here: give \
         --tokens-file (`execgo-runtime token` makes one's entries), or --allow-anonymous if that is wanted"
    );
    Ok(())
}

fn tls(server: &config::Server) -> anyhow::Result<Option<Tls>> {
    match (&server.tls_cert_file, &server.tls_key_file) {
        (Some(certificate), Some(key)) => Ok(Some(Tls::open(certificate, key).context("cannot speak TLS")?)),
        (None, None) => Ok(None),
        (Some(_), None) => anyhow::bail!("server.tls_cert_file needs server.tls_key_file, the key of the certificate"),
        (None, Some(_)) => anyhow::bail!("server.tls_key_file needs server.tls_cert_file, the certificate of the key"),
    }
}

/// What is read behind the dispatcher's back.
struct Kept {
    readers: Readers,
    blobs: Blobs,
}

#[expect(clippy::too_many_arguments, reason = "each is a part of the server that was made before it listens")]
async fn listen(
    config: Config,
    secret: Option<Vec<u8>>,
    run_as: Option<RunAs>,
    data_dir: &mut DataDir,
    cgroups: &Cgroups,
    dispatcher: Dispatcher,
    kept: Kept,
    metrics: Arc<Metrics>,
) -> anyhow::Result<()> {
    let wanted = config.server.listen_addr;
    let own_name = nix::unistd::gethostname().unwrap_or_default();
    let access = Access::new(&config.access, &own_name.to_string_lossy()).with_context(|| {
        config.access.tokens_file.iter().map(|path| format!("the tokens of {}", path.display())).collect::<String>()
    })?;
    let tls = tls(&config.server)?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let tcp = listeners::tcp(wanted).with_context(|| format!("cannot listen on {wanted}"))?;
    let address = tcp.local_addr()?;
    let unix = config.server.unix_socket.as_deref().map(|path| {
        listeners::unix(path).with_context(|| format!("cannot listen on the UNIX socket {}", path.display()))
    });
    // In this order: the file is removed behind its listener.
    let (_socket_file, unix) = unix.transpose()?.unzip();
    let runtime_id = config.runtime.id.clone().unwrap_or_else(|| runtime_id(address));
    let manifest = capability::probe(&probe_settings(&config, &runtime_id, data_dir.run_dir(), run_as), cgroups);
    for warning in &manifest.warnings {
        tracing::info!("not available here: {warning}");
    }
    let (shutdown, at_once) = (CancellationToken::new(), CancellationToken::new());
    tokio::spawn(stop_on_signal(signals()?, dispatcher.clone(), shutdown.clone(), at_once.clone()));
    tokio::spawn(collect_garbage(config.retention.clone(), data_dir.path().to_owned(), dispatcher.clone()));
    if let Some(secret) = secret {
        let (runtime_id, data_dir) = (runtime_id.clone(), data_dir.path().to_owned());
        let settings = callback::Settings { runtime_id, data_dir, config: config.callback.clone(), secret };
        callback::start(settings, &kept.readers, &dispatcher).context("cannot start a thread for callbacks")?;
    }
    data_dir.announce(&format!("{scheme}://{address}"))?;
    tracing::info!(%address, runtime_id, data_dir = %data_dir.path().display(), "listening on {scheme}://{address}");
    let context = Context {
        config: Arc::new(config),
        runtime_id,
        started_at: Timestamp::now(),
        manifest: Arc::new(manifest),
        dispatcher,
        readers: kept.readers,
        blobs: kept.blobs,
        metrics,
    };
    server::serve(Listeners { tcp, tls, unix }, context, access, shutdown, at_once).await?;
    tracing::info!("stopped; running tasks go on under their shims");
    Ok(())
}

fn dispatcher_settings(config: &Config, data_dir: &DataDir, cgroups: &Cgroups) -> dispatcher::Settings {
    dispatcher::Settings {
        launch: LaunchSettings {
            data_dir: data_dir.path().to_owned(),
            grace_ms: config.execution.termination_grace_ms,
            cgroups: cgroups.instance.clone(),
            sandbox_uids: (config.sandbox.uid_base, config.sandbox.uid_count),
            warm_sandboxes: config.sandbox.warm_sandboxes,
            collect: CollectBounds {
                max_files: config.files.collect_max_files,
                max_bytes: config.files.collect_max_bytes,
            },
            // A variable that is no UTF-8 cannot be one of the five that tasks get.
            inherited_env: inherited_env(
                std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))),
            ),
        },
        run_dir: data_dir.run_dir(),
        cgroups: cgroups.known.clone(),
        capacity: config.capacity(),
        quotas: config.tenant_quotas(),
        max_queued_tasks: config.queue.max_queued_tasks,
        bounds: dispatcher::Bounds { max_tasks: config.retention.max_tasks, max_bytes: config.retention.max_bytes },
        poll_interval: Duration::from_millis(config.queue.dispatch_poll_interval_ms),
    }
}

fn probe_settings(config: &Config, runtime_id: &str, run_dir: PathBuf, run_as: Option<RunAs>) -> ProbeSettings {
    ProbeSettings {
        runtime_id: runtime_id.to_owned(),
        data_dir: config.runtime.data_dir.clone(),
        run_dir,
        disable_linux_sandbox: config.capability.disable_linux_sandbox,
        disable_landlock: config.capability.disable_landlock,
        disable_seccomp: config.capability.disable_seccomp,
        // The first one is no task's.
        sandbox_uid: config.sandbox.uid_base.saturating_add(1),
        disable_cgroup: config.capability.disable_cgroup,
        allow_tasks: config.server.allow_tasks,
        capacity: config.capacity(),
        run_as,
    }
}

/// Host name and address, each reduced to what an id may hold.
fn runtime_id(address: SocketAddr) -> String {
    let host = nix::unistd::gethostname().unwrap_or_default();
    let reduced = |text: &str| -> String {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let reduced: String = text.chars().map(|c| if allowed(c) { c } else { '-' }).collect();
        reduced.trim_matches('-').to_owned()
    };
    format!("{}-{}", reduced(&host.to_string_lossy()), reduced(&address.to_string()))
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// Registered before anybody is told that the server is there, so that no signal is missed.
fn signals() -> std::io::Result<Signals> {
    Ok(Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
}

impl Signals {
    /// The name of the next one.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Drains and then stops: nothing new is started or accepted, open requests end, running tasks go on. A second signal does
/// not let open requests end.
async fn stop_on_signal(
    mut signals: Signals,
    dispatcher: Dispatcher,
    shutdown: CancellationToken,
    at_once: CancellationToken,
) {
    // Not within the macro: what a filter leaves out is not evaluated.
    let first = signals.next().await;
    tracing::info!("{first}: draining");
    let stop = async {
        if let Err(error) = dispatcher.drain(Waiting::Keep).await {
            tracing::warn!(%error, "could not drain");
        }
        shutdown.cancel();
        std::future::pending().await
    };
    let again = tokio::select! { again = signals.next() => again, () = stop => return };
    tracing::info!("{again} once more");
    at_once.cancel();
    shutdown.cancel();
}

/// Forgets what is older than the retention, or too much, and deletes its files.
async fn collect_garbage(retention: Retention, data_dir: PathBuf, dispatcher: Dispatcher) {
    let mut round = tokio::time::interval(Duration::from_millis(retention.gc_interval_ms));
    round.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        round.tick().await;
        let before = Timestamp::now().minus_secs(retention.result_retention_secs);
        if let Err(error) = clean(before, &data_dir, &dispatcher).await {
            tracing::warn!(%error, "a round of cleaning was cut short");
        }
    }
}

/// One round. One batch after the other, so that other work of the dispatcher comes in between.
async fn clean(before: Timestamp, data_dir: &Path, dispatcher: &Dispatcher) -> anyhow::Result<()> {
    loop {
        while dispatcher.forget(before).await? > 0 {}
        let unmeasured = dispatcher.unmeasured().await?;
        let is_last = unmeasured.is_empty();
        let data_dir = data_dir.to_owned();
        let at_leisure = move || {
            if let Err(error) = trash::empty(&data_dir) {
                tracing::warn!(%error, "the trash cannot be emptied");
            }
            dispatcher::measure(&data_dir, unmeasured)
        };
        let sizes = tokio::task::spawn_blocking(at_leisure).await?;
        if is_last {
            return Ok(());
        }
        dispatcher.measured(sizes).await?;
    }
}

/// Starts the log on standard error. The filter was checked when it was loaded (and `RUST_LOG` is part of it).
fn start_log(log: &Log) {
    let filter = EnvFilter::builder().parse_lossy(&log.filter);
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .log_internal_errors(false);
    match log.format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
}
