//! The environment as layers, one per variable. It is handed in, never read here: the process environment is shared.

use std::ffi::OsString;

use figment::value::{Dict, Value};

use super::fault::{Fault, Origin, Problem, nearest};
use super::file::key_names;
use super::layer::Layer;
use super::quota;
use super::schema::{self, KEYS, Key, Kind, PREFIX, RUST_LOG};

/// Variables of the clients among the same program's verbs.
const CLIENT: [&str; 5] = [
    "EXECGO_RUNTIME_URL",
    "EXECGO_RUNTIME_OWNER",
    "EXECGO_RUNTIME_TOKEN",
    "EXECGO_RUNTIME_TOKEN_FILE",
    "EXECGO_RUNTIME_CA_FILE",
];

/// What the environment says.
#[derive(Debug, Default)]
pub struct Environment {
    pub layers: Vec<Layer>,
    /// Variables that look like ours but are not: an orchestrator may set such (Kubernetes' service links), so they
    /// do not stop the start.
    pub warnings: Vec<String>,
    pub faults: Vec<Fault>,
}

/// A variable that sets a key.
struct Setting {
    key: &'static Key,
    variable: String,
    raw: String,
    value: Value,
}

/// Reads the variables that are ours and leaves all others alone.
#[must_use]
pub fn read(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Environment {
    let mut found = Environment::default();
    let mut settings: Vec<Setting> = Vec::new();
    let mut log_filter = None;
    let mut ours: Vec<(String, OsString)> =
        variables.into_iter().filter_map(|(name, raw)| Some((name.into_string().ok()?, raw))).collect();
    ours.sort();
    for (variable, raw) in ours {
        let key = match meaning(&variable) {
            Meaning::Key(key) => key,
            Meaning::Foreign => continue,
            Meaning::Odd(warning) => {
                found.warnings.push(warning);
                continue;
            }
            Meaning::Unknown(fault) => {
                found.faults.push(*fault);
                continue;
            }
        };
        // As everywhere, an empty RUST_LOG is none.
        if variable == RUST_LOG && raw.is_empty() {
            continue;
        }
        match setting(key, &variable, raw) {
            Ok(setting) if variable == RUST_LOG => log_filter = Some(setting),
            Ok(setting) => settings.push(setting),
            Err(problem) => found.faults.push(fault(&variable, key, problem)),
        }
    }
    found.faults.extend(settings.iter().filter_map(|setting| conflict(setting, &settings)));
    found.layers = settings.into_iter().chain(log_filter).map(layer).collect();
    found
}

enum Meaning {
    Key(&'static Key),
    Foreign,
    Odd(String),
    Unknown(Box<Fault>),
}

fn meaning(variable: &str) -> Meaning {
    if variable == RUST_LOG {
        return Meaning::Key(schema::find("log.filter"));
    }
    let Some(rest) = variable.strip_prefix(PREFIX).filter(|_| !CLIENT.contains(&variable)) else {
        return Meaning::Foreign;
    };
    if let Some(key) = KEYS.iter().find(|key| key.alias == Some(variable) || key.variable() == variable) {
        return Meaning::Key(key);
    }
    let names: Vec<String> =
        KEYS.iter().flat_map(|key| key.alias.map(str::to_owned).into_iter().chain([key.variable()])).collect();
    let nearest = nearest(variable, names.iter().map(String::as_str));
    let section = rest.split_once("__").map(|(section, _)| section.to_lowercase());
    match section.filter(|section| schema::is_section(section)) {
        Some(section) => {
            let known = key_names(&section).to_uppercase();
            let problem =
                Problem::UnknownKey { nearest, place: format!("{PREFIX}{}__", section.to_uppercase()), known };
            Meaning::Unknown(Box::new(Fault { origin: Origin::Variable(variable.to_owned()), key: None, problem }))
        }
        None => {
            let hint = nearest.map(|name| format!(" (did you mean {name}?)")).unwrap_or_default();
            Meaning::Odd(format!("environment variable {variable} is ignored: it names no section{hint}"))
        }
    }
}

fn setting(key: &'static Key, variable: &str, raw: OsString) -> Result<Setting, Problem> {
    let raw = raw.into_string().map_err(|_| Problem::NotUtf8)?;
    let value = match key.kind {
        Kind::Tenants => tenants(&raw)?,
        _ => key.kind.read_text(&raw)?,
    };
    Ok(Setting { key, variable: variable.to_owned(), raw, value })
}

/// `NAME=slots:N,…` separated by `;`.
fn tenants(raw: &str) -> Result<Value, Problem> {
    let mut tenants = Dict::new();
    for part in raw.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, quota) = quota::read_text(part)?;
        if tenants.insert(name, quota::to_value(quota)).is_some() {
            return Err(Problem::Quota(format!("{part:?} is the tenant's second one")));
        }
    }
    Ok(tenants.into())
}

/// The other name of the same key must not say something else.
fn conflict(setting: &Setting, all: &[Setting]) -> Option<Fault> {
    let is_alias = setting.key.alias == Some(setting.variable.as_str());
    let other = all.iter().filter(|_| is_alias).find(|other| {
        other.key.path == setting.key.path && other.variable != setting.variable && other.value != setting.value
    })?;
    let problem =
        Problem::Conflict { value: setting.raw.clone(), other: other.variable.clone(), other_value: other.raw.clone() };
    Some(fault(&setting.variable, setting.key, problem))
}

fn fault(variable: &str, key: &Key, problem: Problem) -> Fault {
    Fault { origin: Origin::Variable(variable.to_owned()), key: Some(key.path.to_owned()), problem }
}

fn layer(setting: Setting) -> Layer {
    Layer::of_key(Origin::Variable(setting.variable), setting.key, setting.value)
}
