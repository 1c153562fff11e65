//! A YAML file as a layer: every section and key is known, every value has its type, nothing stands twice.

use std::path::Path;

use figment::value::{Dict, Value};
use serde_yaml::Value as Yaml;

use super::fault::{Fault, Origin, Problem, nearest};
use super::layer::Layer;
use super::quota;
use super::schema::{self, KEYS, Key, Kind, describe};

/// Reads a file of the operator.
///
/// # Errors
/// Every fault in it, each with its key.
pub fn read(path: &Path) -> Result<Layer, Vec<Fault>> {
    let origin = Origin::File(path.to_owned());
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text, origin),
        Err(error) => Err(vec![Fault { origin, key: None, problem: Problem::Unreadable(error) }]),
    }
}

/// Reads the text of a file. An empty one (or one of comments alone) sets nothing.
///
/// # Errors
/// Every fault in it, each with its key.
pub fn parse(text: &str, origin: Origin) -> Result<Layer, Vec<Fault>> {
    // serde_yaml's `Value` refuses a key that stands twice; reading straight into a map would let the last one win.
    let whole = |problem| vec![(None, problem)];
    let read = match serde_yaml::from_str::<Yaml>(text) {
        Ok(Yaml::Null) => Ok(Dict::new()),
        Ok(Yaml::Mapping(map)) => sections(&map),
        Ok(other) => Err(whole(Problem::NoMap { known: section_names(), found: describe(&other) })),
        Err(error) => Err(whole(Problem::Syntax(error.to_string()))),
    };
    let fault = |(key, problem)| Fault { origin: origin.clone(), key, problem };
    match read {
        Ok(data) => Ok(Layer::new(origin, data)),
        Err(faults) => Err(faults.into_iter().map(fault).collect()),
    }
}

type Faults = Vec<(Option<String>, Problem)>;

fn sections(map: &serde_yaml::Mapping) -> Result<Dict, Faults> {
    let mut data = Dict::new();
    let mut faults = Faults::new();
    for (name, body) in map {
        let name = name.as_str().map_or_else(|| describe(name), str::to_owned);
        match section(&name, body) {
            Ok(keys) => drop(data.insert(name, keys.into())),
            Err(mut found) => faults.append(&mut found),
        }
    }
    if faults.is_empty() { Ok(data) } else { Err(faults) }
}

fn section(name: &str, body: &Yaml) -> Result<Dict, Faults> {
    let whole = |problem| Err(vec![(Some(name.to_owned()), problem)]);
    if !schema::is_section(name) {
        let known = KEYS.iter().flat_map(|key| [key.section(), key.path]);
        return whole(Problem::UnknownSection { nearest: nearest(name, known), known: section_names() });
    }
    let known = key_names(name);
    let map = match body {
        Yaml::Mapping(map) if !map.is_empty() => map,
        Yaml::Null | Yaml::Mapping(_) => return whole(Problem::EmptySection { known }),
        other => return whole(Problem::NoSection { known, found: describe(other) }),
    };
    let mut keys = Dict::new();
    let mut faults = Faults::new();
    for (key, raw) in map {
        let key = key.as_str().map_or_else(|| describe(key), str::to_owned);
        let Some(known) = schema::lookup(name, &key) else {
            faults.push(unknown_key(name, &key));
            continue;
        };
        match value(known, raw) {
            Ok(value) => drop(keys.insert(key, value)),
            Err(mut found) => faults.append(&mut found),
        }
    }
    if faults.is_empty() { Ok(keys) } else { Err(faults) }
}

fn value(key: &Key, raw: &Yaml) -> Result<Value, Faults> {
    if key.kind == Kind::Tenants {
        return quota::read_yaml(raw)
            .map_err(|faults| faults.into_iter().map(|(key, problem)| (Some(key), problem)).collect());
    }
    key.kind.read_yaml(raw, key.optional).map_err(|problem| vec![(Some(key.path.to_owned()), problem)])
}

fn unknown_key(section: &str, key: &str) -> (Option<String>, Problem) {
    let path = format!("{section}.{key}");
    let nearest = nearest(&path, KEYS.iter().map(|key| key.path));
    (Some(path), Problem::UnknownKey { nearest, place: format!("section {section}"), known: key_names(section) })
}

fn section_names() -> String {
    let mut names: Vec<_> = KEYS.iter().map(Key::section).collect();
    names.dedup();
    names.join(", ")
}

/// The keys of a section, for messages.
#[must_use]
pub fn key_names(section: &str) -> String {
    let names: Vec<_> = KEYS.iter().filter(|key| key.section() == section).map(Key::name).collect();
    names.join(", ")
}
