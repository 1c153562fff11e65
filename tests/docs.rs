//! The documentation, held against what it documents: the API reference against the OpenAPI document, the events and
//! the metrics, and every reference between files against the files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn document() -> Value {
    serde_json::from_str(&read("openapi/execgo-runtime.json")).expect("the OpenAPI document is JSON")
}

fn object<'a>(value: &'a Value, pointer: &str) -> &'a Map<String, Value> {
    value.pointer(pointer).and_then(Value::as_object).unwrap_or_else(|| panic!("the document has no {pointer}"))
}

/// What stands in backticks.
fn quoted(page: &str) -> BTreeSet<&str> {
    page.lines().filter(|line| !line.starts_with("```")).flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

fn missing<'a>(page: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let quoted = quoted(page);
    names.into_iter().filter(|name| !quoted.contains(name)).map(str::to_owned).collect()
}

/// Every operation as the reference writes it: `GET /healthz`.
fn operations(document: &Value) -> Vec<String> {
    const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
    let of_path = |(path, item): (&String, &Value)| {
        let methods = METHODS.into_iter().filter(|method| item.get(method).is_some());
        methods.map(|method| format!("{} {path}", method.to_uppercase())).collect::<Vec<_>>()
    };
    object(document, "/paths").iter().flat_map(of_path).collect()
}

/// Every field of every schema, as `Schema.field`.
fn fields(document: &Value) -> Vec<String> {
    let of_schema = |(name, schema): (&String, &Value)| {
        let properties = schema.get("properties").and_then(Value::as_object);
        let names = properties.into_iter().flat_map(Map::keys);
        names.map(|field| format!("{name}.{field}")).collect::<Vec<_>>()
    };
    object(document, "/components/schemas").iter().flat_map(of_schema).collect()
}

fn words<'a>(document: &'a Value, schema: &str) -> Vec<&'a str> {
    let words = document.pointer(&format!("/components/schemas/{schema}/enum")).and_then(Value::as_array);
    let words = words.unwrap_or_else(|| panic!("{schema} has no enum"));
    words.iter().filter_map(Value::as_str).collect()
}

#[test]
fn the_reference_names_every_operation_and_no_other() {
    let document = document();
    let (page, operations) = (read("docs/api.md"), operations(&document));
    assert!(operations.len() >= 11, "the document lost its paths: {operations:?}");
    let unnamed = missing(&page, operations.iter().map(String::as_str));
    assert!(unnamed.is_empty(), "docs/api.md does not name {unnamed:?}");
    let is_operation = |text: &&str| text.split_once(" /").is_some_and(|(method, _)| ["GET", "POST"].contains(&method));
    // A query belongs to the operation, a documented path may end in it.
    let known = |text: &str| operations.iter().any(|operation| text.split('?').next() == Some(operation));
    let invented: Vec<_> = quoted(&page).into_iter().filter(is_operation).filter(|text| !known(text)).collect();
    assert!(invented.is_empty(), "docs/api.md names what is not there: {invented:?}");
}

#[test]
fn the_reference_names_every_field() {
    let (page, fields) = (read("docs/api.md"), fields(&document()));
    assert!(fields.len() > 100, "the document lost its schemas: {fields:?}");
    let quoted = quoted(&page);
    let name = |field: &String| field.rsplit('.').next().map(str::to_owned).unwrap_or_default();
    let unnamed: Vec<_> = fields.iter().filter(|field| !quoted.contains(name(field).as_str())).collect();
    assert!(unnamed.is_empty(), "docs/api.md does not name {unnamed:?}");
}

#[test]
fn the_reference_names_every_code_event_status_and_word() {
    let (page, document) = (read("docs/api.md"), document());
    for schema in [
        "ErrorCode",
        "FailureCode",
        "EventType",
        "TaskStatus",
        "ExecutionKind",
        "SandboxProfile",
        "SandboxNetwork",
        "CapabilityMode",
        "EnforcementMeans",
    ] {
        let words = words(&document, schema);
        assert!(!words.is_empty(), "{schema} is empty");
        let unnamed = missing(&page, words);
        assert!(unnamed.is_empty(), "docs/api.md does not name {schema} {unnamed:?}");
    }
}

/// The names that `src/metrics/mod.rs` registers: the first text behind each call of a method of its builder.
fn metrics(source: &str) -> Vec<String> {
    const METHODS: [&str; 6] =
        ["new.counters(", "new.int_gauge(", "new.gauges(", "new.gauge(", "new.histogram(", "new.histograms("];
    let calls = METHODS.into_iter().flat_map(|method| source.match_indices(method));
    let name = |(at, _): (usize, &str)| source[at..].split('"').nth(1).map(|name| format!("execgo_runtime_{name}"));
    calls.filter_map(name).collect()
}

#[test]
fn the_reference_names_every_metric_and_no_other() {
    let (page, metrics) = (read("docs/api.md"), metrics(&read("src/metrics/mod.rs")));
    assert!(metrics.len() >= 13, "the metrics were not found: {metrics:?}");
    let unnamed = missing(&page, metrics.iter().map(String::as_str));
    assert!(unnamed.is_empty(), "docs/api.md does not name {unnamed:?}");
    let is_metric = |text: &&str| text.strip_prefix("execgo_runtime_").is_some_and(|name| !name.is_empty());
    let known = |text: &&str| metrics.iter().any(|metric| metric == text);
    let invented: Vec<_> = quoted(&page).into_iter().filter(is_metric).filter(|text| !known(text)).collect();
    assert!(invented.is_empty(), "docs/api.md names what is not there: {invented:?}");
}

/// The pages for people, relative to the root.
fn pages() -> Vec<String> {
    let names = |folder: &str| {
        let entries = fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
        let names = entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned());
        names.filter(|name| name.ends_with(".md")).collect::<Vec<_>>()
    };
    let in_root = names(".").into_iter();
    let mut pages: Vec<_> = in_root.chain(names("docs").into_iter().map(|name| format!("docs/{name}"))).collect();
    pages.sort();
    pages
}

/// The targets of the Markdown links of a page that are no addresses.
fn links(page: &str) -> Vec<&str> {
    let behind = page.match_indices("](").map(|(at, found)| &page[at + found.len()..]);
    let targets = behind.filter_map(|rest| rest.split([')', ' ', '\n']).next());
    targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:")).collect()
}

fn headings(page: &str) -> impl Iterator<Item = &str> {
    let is_heading = |line: &&str| line.starts_with('#') && line.trim_start_matches('#').starts_with(' ');
    page.lines().filter(is_heading).map(|line| line.trim_start_matches('#').trim())
}

/// The anchor that a heading gets on the usual sites.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Why a link of the page `from` leads nowhere.
fn broken(from: &str, link: &str) -> Option<String> {
    let (path, fragment) = link.split_once('#').map_or((link, None), |(path, fragment)| (path, Some(fragment)));
    let folder = Path::new(from).parent().unwrap_or(Path::new(""));
    let target: PathBuf = if path.is_empty() { from.into() } else { folder.join(path) };
    if !root().join(&target).exists() {
        return Some(format!("{from}: {link}: there is no such file"));
    }
    let fragment = fragment?;
    let page = fs::read_to_string(root().join(&target)).unwrap_or_default();
    let found = headings(&page).any(|heading| anchor(heading) == fragment);
    (!found).then(|| format!("{from}: {link}: there is no such section"))
}

#[test]
fn every_link_between_the_pages_leads_somewhere() {
    let pages = pages();
    let expected = ["CHANGELOG.md", "README.md", "README.zh-CN.md", "docs/adding-a-verb.md", "docs/api.md"];
    assert!(expected.iter().all(|page| pages.iter().any(|found| found == page)), "{pages:?}");
    let mut seen = 0;
    let mut faults = Vec::new();
    for page in pages {
        let text = read(&page);
        let links = links(&text);
        seen += links.len();
        faults.extend(links.into_iter().filter_map(|link| broken(&page, link)));
    }
    assert!(seen > 20, "the check sees no links");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The pages and sections that a source cites in the form of: see `docs/` page `.md`, Section.
fn citations(source: &str) -> Vec<(String, String)> {
    let behind = source.match_indices("`docs/").map(|(at, _)| &source[at + 1..]);
    let cited = behind.filter_map(|rest| rest.split_once("`, "));
    let cited = cited.filter(|(page, rest)| page.ends_with(".md") && rest.starts_with(char::is_uppercase));
    cited.map(|(page, rest)| (page.to_owned(), rest.lines().next().unwrap_or_default().to_owned())).collect()
}

#[test]
fn every_section_that_the_code_cites_exists() {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    let mut seen = 0;
    let mut faults = Vec::new();
    for file in files {
        for (page, cited) in citations(&fs::read_to_string(&file).expect("UTF-8")) {
            seen += 1;
            let page_text = read(&page);
            if !headings(&page_text).any(|heading| cited.starts_with(heading)) {
                faults.push(format!("{}: {page} has no section {cited:?}", file.display()));
            }
        }
    }
    assert!(seen > 5, "the check sees no citations");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The names of the files that a page mentions in backticks, such as `src/main.rs`.
fn mentioned(page: &str) -> impl Iterator<Item = &str> {
    const FOLDERS: [&str; 6] = ["src/", "tests/", "docs/", "config/", "conformance/", "openapi/"];
    let is_file = |text: &&str| {
        FOLDERS.iter().any(|folder| text.starts_with(folder)) && !text.contains(|c: char| " *{}<>…".contains(c))
    };
    quoted(page).into_iter().filter(is_file).map(|text| text.split(':').next().unwrap_or(text))
}

#[test]
fn every_file_that_a_page_mentions_exists() {
    let mut seen = 0;
    let mut faults = Vec::new();
    for page in ["README.md", "README.zh-CN.md", "docs/architecture.md", "docs/adding-a-verb.md", "docs/api.md"] {
        for file in mentioned(&read(page)) {
            seen += 1;
            if !root().join(file).exists() {
                faults.push(format!("{page}: {file}"));
            }
        }
    }
    assert!(seen > 30, "the check sees no files");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The checks above see what is wrong.
#[test]
fn what_is_missing_or_broken_is_found() {
    assert_eq!(missing("a `b` c `d`", ["a", "b", "d", "e"]), ["a", "e"]);
    assert_eq!(
        metrics("x: new.counters(\n  \"one\", \"text\"), y: new.gauge(\"two\", …)"),
        ["execgo_runtime_one", "execgo_runtime_two"]
    );
    assert_eq!(links("[a](b.md#c) [d](https://e) [f](#g)"), ["b.md#c", "#g"]);
    assert_eq!(anchor("Beyond the `original` document!"), "beyond-the-original-document");
    assert!(broken("docs/api.md", "no-such-page.md").is_some());
    assert!(broken("docs/api.md", "#no-such-section").is_some());
    assert!(broken("docs/api.md", "#submit").is_none());
    let cited = citations("/// see `docs/api.md`, Wait.\n/// `docs/api.md` says");
    assert_eq!(cited, [("docs/api.md".to_owned(), "Wait.".to_owned())]);
}
