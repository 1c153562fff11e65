//! Metrics: text that Prometheus can read, numbers that count what has happened.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::queue::fill_slots;
use crate::case::{Case, Context, NotPassed, Outcome, command_line, sh, with};
use crate::client::Exchange;

pub const CASES: &[Case] = &[
    Case::must("metrics.content-type", "Metrics", content_type),
    Case::must("metrics.form", "Metrics", form),
    Case::must("metrics.prefix", "Metrics", prefix),
    Case::must("metrics.names", "Metrics", names),
    Case::beyond("metrics.names.more", "Metrics", more_names),
    Case::must("metrics.counts.success", "Metrics", |it| {
        counts(it, r#"tasks_total{status="success"}"#, |it| it.succeeds(&sh("true")).map(drop))
    }),
    Case::must("metrics.counts.failed", "Metrics", |it| {
        counts(it, r#"tasks_total{status="failed"}"#, |it| it.fails(&sh("false"), "exit_non_zero").map(drop))
    }),
    Case::must("metrics.counts.cancelled", "Metrics", |it| counts(it, r#"tasks_total{status="cancelled"}"#, cancel)),
    Case::must("metrics.counts.errors.exit", "Metrics", |it| {
        counts(it, r#"task_errors_total{code="exit_non_zero"}"#, |it| it.fails(&sh("false"), "exit_non_zero").map(drop))
    }),
    Case::must("metrics.counts.errors.timeout", "Metrics", |it| {
        let request = with(sh("sleep 600"), json!({"limits": {"wall_time_ms": 100}}));
        counts(it, r#"task_errors_total{code="timeout"}"#, |it| it.fails(&request, "timeout").map(drop))
    }),
    Case::must("metrics.counts.errors.launch", "Metrics", |it| {
        let request = command_line(&["/no/such/program"]);
        counts(it, r#"task_errors_total{code="launch_failed"}"#, |it| it.fails(&request, "launch_failed").map(drop))
    }),
    Case::must("metrics.counts.durations", "Metrics", |it| {
        counts(it, "task_duration_ms_count", |it| it.succeeds(&sh("true")).map(drop))
    }),
    Case::must("metrics.histogram.buckets", "Metrics", buckets),
    Case::must("metrics.histogram.consistent", "Metrics", consistent),
    Case::must("metrics.histogram.place", "Metrics", place),
    Case::must("metrics.running", "Metrics", running),
    Case::beyond("metrics.queued", "Metrics", queued),
    Case::must("metrics.counters-only-grow", "Metrics", only_grow),
    Case::should("metrics.no-label-of-a-task", "Metrics", no_label_of_a_task),
    Case::beyond("metrics.requests", "Metrics", |it| {
        let sample = r#"http_requests_total{method="GET",route="/healthz",status="200"}"#;
        counts(it, sample, |it| it.client.get("/healthz")?.expect_status(200, "the process answers"))
    }),
    Case::beyond("metrics.requests.by-template", "Metrics", by_template),
    Case::beyond("metrics.build", "Metrics", build),
    Case::beyond("metrics.capacity", "Metrics", capacity),
];

const PREFIX: &str = "execgo_runtime_";
const BUCKETS: [&str; 10] = ["100", "250", "500", "1000", "5000", "10000", "30000", "60000", "300000", "+Inf"];

struct Scrape {
    answer: Exchange,
    /// By name and labels, the prefix taken away.
    samples: BTreeMap<String, f64>,
    /// Of each metric by its name.
    types: BTreeMap<String, String>,
}

impl Scrape {
    fn value(&self, sample: &str) -> f64 {
        self.samples.get(sample).copied().unwrap_or_default()
    }
}

fn scrape(context: &Context) -> Result<Scrape, NotPassed> {
    let answer = context.client.get("/metrics")?;
    answer.expect_status(200, "the metrics can be read")?;
    let mut samples = BTreeMap::new();
    let mut types = BTreeMap::new();
    for line in answer.text.lines().filter(|line| !line.is_empty()) {
        if let Some(comment) = line.strip_prefix("# ") {
            if let ["TYPE", name, kind] = comment.split(' ').collect::<Vec<_>>()[..] {
                types.insert(name.trim_start_matches(PREFIX).to_owned(), kind.to_owned());
            }
            continue;
        }
        let sample = line.rsplit_once(' ').and_then(|(name, value)| Some((name, value.parse().ok()?)));
        let (name, value) = sample.ok_or_else(|| answer.fault(&format!("this is a name and a number: {line}")))?;
        let once = samples.insert(name.trim_start_matches(PREFIX).to_owned(), value).is_none();
        answer.expect(once, &format!("{name} is told once"))?;
    }
    answer.expect(!samples.is_empty(), "there are metrics")?;
    Ok(Scrape { answer, samples, types })
}

/// A name, without labels.
fn family(sample: &str) -> &str {
    sample.split('{').next().unwrap_or_default()
}

fn content_type(context: &Context) -> Outcome {
    let answer = scrape(context)?.answer;
    let parts: BTreeSet<_> = answer.content_type.split(';').map(str::trim).collect();
    answer.expect(parts.contains("text/plain") && parts.contains("version=0.0.4"), "text/plain; version=0.0.4")
}

/// Each sample belongs to a metric whose type is told.
fn form(context: &Context) -> Outcome {
    let scrape = scrape(context)?;
    for sample in scrape.samples.keys() {
        let name = family(sample);
        let base = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        let known = scrape.types.contains_key(name) || scrape.types.get(base).is_some_and(|kind| kind == "histogram");
        scrape.answer.expect(known, &format!("the type of {name} is told"))?;
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
        scrape.answer.expect(plain, &format!("{name} is a name"))?;
    }
    scrape.answer.expect(scrape.answer.text.ends_with('\n'), "the last line has an end")
}

fn prefix(context: &Context) -> Outcome {
    let answer = scrape(context)?.answer;
    let mut lines = answer.text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    answer.expect(lines.all(|line| line.starts_with(PREFIX)), &format!("all names begin with {PREFIX}"))
}

fn has_types(context: &Context, wanted: &[(&str, &str)]) -> Outcome {
    let scrape = scrape(context)?;
    for (name, kind) in wanted {
        let is = scrape.types.get(*name).map(String::as_str);
        scrape.answer.expect(is == Some(kind), &format!("{PREFIX}{name} is a {kind}"))?;
    }
    Ok(())
}

/// After a success and a failure, since a counter without a sample may be left out.
fn names(context: &Context) -> Outcome {
    context.succeeds(&sh("true"))?;
    context.fails(&sh("false"), "exit_non_zero")?;
    has_types(
        context,
        &[
            ("tasks_total", "counter"),
            ("task_errors_total", "counter"),
            ("task_duration_ms", "histogram"),
            ("tasks_running", "gauge"),
        ],
    )
}

fn more_names(context: &Context) -> Outcome {
    context.succeeds(&sh("true"))?;
    has_types(
        context,
        &[
            ("tasks_queued", "gauge"),
            ("resource_reserved", "gauge"),
            ("resource_capacity", "gauge"),
            ("commit_duration_ms", "histogram"),
            ("commit_transitions", "histogram"),
            ("launch_duration_ms", "histogram"),
            ("http_requests_total", "counter"),
            ("http_request_duration_ms", "histogram"),
            ("build_info", "gauge"),
        ],
    )
}

/// Others may use the runtime too: it counts one at least.
fn counts(context: &Context, sample: &str, cause: impl Fn(&Context) -> Outcome) -> Outcome {
    let before = scrape(context)?.value(sample);
    cause(context)?;
    let after = scrape(context)?;
    after.answer.expect(after.value(sample) >= before + 1.0, &format!("{PREFIX}{sample} counts it (it was {before})"))
}

fn cancel(context: &Context) -> Outcome {
    let id = context.submit(&sh("exec sleep 600"))?;
    context.running(&id)?;
    context.kill(&id)?;
    context.ended(&id)?.expect_field("/status", &json!("cancelled"))
}

fn bucket(le: &str) -> String {
    format!("task_duration_ms_bucket{{le=\"{le}\"}}")
}

fn buckets(context: &Context) -> Outcome {
    let scrape = scrape(context)?;
    let told: BTreeSet<_> =
        scrape.samples.keys().filter(|sample| family(sample) == "task_duration_ms_bucket").collect();
    let wanted = BUCKETS.map(bucket);
    let same = told == wanted.iter().collect();
    scrape.answer.expect(same, &format!("the buckets of task_duration_ms are {}", BUCKETS.join(", ")))
}

/// Each bucket holds those below it, and the last one all.
fn consistent(context: &Context) -> Outcome {
    context.succeeds(&sh("true"))?;
    let scrape = scrape(context)?;
    let values = BUCKETS.map(|le| scrape.value(&bucket(le)));
    scrape.answer.expect(values.is_sorted(), "no bucket holds less than one below it")?;
    let count = scrape.value("task_duration_ms_count");
    let whole = values[BUCKETS.len() - 1].total_cmp(&count).is_eq() && count > 0.0;
    scrape.answer.expect(whole, "the last bucket holds what _count says")
}

/// A task of 300 ms is in no bucket below.
fn place(context: &Context) -> Outcome {
    let before = scrape(context)?;
    context.succeeds(&sh("sleep 0.3"))?;
    let after = scrape(context)?;
    let grown = |le: &str| after.value(&bucket(le)) - before.value(&bucket(le));
    after.answer.expect(grown("+Inf") - grown("250") >= 1.0, "a task of 300 ms is counted above 250")?;
    let sum = after.value("task_duration_ms_sum") - before.value("task_duration_ms_sum");
    after.answer.expect(sum >= 300.0, "the sum grows by the time that it took")
}

fn running(context: &Context) -> Outcome {
    let id = context.submit(&sh("exec sleep 600"))?;
    context.running(&id)?;
    let during = scrape(context)?;
    during.answer.expect(during.value("tasks_running") >= 1.0, "tasks_running counts a task that runs")
}

fn queued(context: &Context) -> Outcome {
    fill_slots(context)?;
    context.submit(&sh("true"))?;
    let during = scrape(context)?;
    during.answer.expect(during.value("tasks_queued") >= 1.0, "tasks_queued counts a task that waits")
}

fn only_grow(context: &Context) -> Outcome {
    let before = scrape(context)?;
    context.succeeds(&sh("true"))?;
    cancel(context)?;
    let after = scrape(context)?;
    for (sample, value) in &before.samples {
        let name = family(sample);
        let gauge = before.types.get(name).is_some_and(|kind| kind == "gauge");
        after.answer.expect(gauge || after.value(sample) >= *value, &format!("{sample} never goes down"))?;
    }
    Ok(())
}

/// A scrape must not grow with the number of tasks.
fn no_label_of_a_task(context: &Context) -> Outcome {
    let id = context.fresh_id();
    let control = json!({"labels": {"team": id}, "control_plane_mode": id, "tenant": id});
    let more = json!({"task_id": id, "control_context": control, "metadata": {"a": id}});
    context.succeeds(&with(sh("true"), more))?;
    let scrape = scrape(context)?;
    scrape.answer.expect(!scrape.answer.text.contains(&id), "no label holds what a client has made up")
}

fn by_template(context: &Context) -> Outcome {
    let id = context.submit(&sh("true"))?;
    context.ended(&id)?;
    let stranger = format!("/{}", context.fresh_id());
    context.client.get(&stranger)?.expect_status(404, "there is nothing at an unknown path")?;
    let scrape = scrape(context)?;
    let seen = |part: &str| scrape.samples.keys().any(|sample| sample.contains(part));
    scrape.answer.expect(!seen(&id) && !seen(&stranger), "a route is a template, not a path")?;
    scrape.answer.expect(seen("route=\"none\""), "a path that does not exist is the route none")
}

fn build(context: &Context) -> Outcome {
    let info = context.client.get("/api/v1/runtime/info")?;
    let scrape = scrape(context)?;
    let sample = format!("build_info{{version=\"{}\"}}", info.text_at("/version"));
    scrape.answer.expect(scrape.value(&sample).total_cmp(&1.0).is_eq(), &format!("{PREFIX}{sample} is 1"))
}

fn capacity(context: &Context) -> Outcome {
    let resources = context.client.get("/api/v1/runtime/resources")?;
    let scrape = scrape(context)?;
    for kind in ["task_slots", "memory_bytes", "pids"] {
        let told = scrape.samples.get(&format!("resource_capacity{{resource=\"{kind}\"}}")).copied();
        let is = resources.body["capacity"][kind].as_f64();
        scrape.answer.expect(told == is, &format!("resource_capacity of {kind} is the capacity, or absent with it"))?;
    }
    Ok(())
}
