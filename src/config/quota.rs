//! Tenants' quotas as text (`NAME=slots:N[,memory:BYTES][,pids:N]`) and as YAML. A quota is always stated whole: a
//! later layer's entry for a tenant replaces the earlier one, and what it leaves out is unlimited.

use figment::value::{Dict, Value};
use serde_yaml::Value as Yaml;

use super::TenantQuota;
use super::fault::{Problem, nearest};
use super::schema::{Kind, QUOTA, TENANTS, describe};

const FIELDS: [&str; 3] = ["slots", "memory", "pids"];

/// Reads the form of flags and of the environment.
///
/// # Errors
/// Says which part is wrong and shows the form.
pub fn read_text(raw: &str) -> Result<(String, TenantQuota), Problem> {
    let bad = |what: String| Problem::Quota(format!("{raw:?} {what}"));
    let (name, parts) = raw.split_once('=').ok_or_else(|| bad("has no `=`".to_owned()))?;
    if !is_name(name) {
        return Err(bad("has no usable tenant name before the `=`".to_owned()));
    }
    let mut amounts = [None; FIELDS.len()];
    for part in parts.split(',') {
        let (field, amount) = part.split_once(':').unwrap_or((part, ""));
        let Some(at) = FIELDS.iter().position(|known| *known == field) else {
            return Err(bad(format!("has a part {part:?} that is none of slots:N, memory:BYTES, pids:N")));
        };
        if QUOTA.read_text(amount).is_err() {
            return Err(bad(format!("must give {field} as {}, not {amount:?}", QUOTA.allowed())));
        }
        if amounts[at].replace(amount.parse().expect("read_text has checked the digits and the range")).is_some() {
            return Err(bad(format!("gives {field} twice")));
        }
    }
    let [Some(slots), memory, pids] = amounts else { return Err(bad("lacks slots:N".to_owned())) };
    Ok((name.to_owned(), TenantQuota { slots, memory, pids }))
}

/// Reads the map of a YAML file. Each fault comes with its key.
///
/// # Errors
/// Every entry that is wrong.
pub fn read_yaml(raw: &Yaml) -> Result<Value, Vec<(String, Problem)>> {
    let Yaml::Mapping(map) = raw else {
        return Err(vec![(TENANTS.to_owned(), Kind::Tenants.refuse(describe(raw)))]);
    };
    let mut tenants = Dict::new();
    let mut faults = Vec::new();
    for (name, entry) in map {
        let Some(name) = name.as_str().filter(|name| is_name(name)) else {
            let problem = Problem::Wrong {
                allowed: format!("tenant names that are {}", Kind::Name.allowed()),
                found: describe(name),
            };
            faults.push((TENANTS.to_owned(), problem));
            continue;
        };
        match read_entry(&format!("{TENANTS}.{name}"), entry) {
            Ok(quota) => drop(tenants.insert(name.to_owned(), quota)),
            Err(mut found) => faults.append(&mut found),
        }
    }
    if faults.is_empty() { Ok(tenants.into()) } else { Err(faults) }
}

fn read_entry(path: &str, entry: &Yaml) -> Result<Value, Vec<(String, Problem)>> {
    let Yaml::Mapping(fields) = entry else {
        let allowed = "a quota such as {slots: 2, memory: 1073741824, pids: 64}".to_owned();
        return Err(vec![(path.to_owned(), Problem::Wrong { allowed, found: describe(entry) })]);
    };
    let mut quota = Dict::new();
    let mut faults = Vec::new();
    for known in FIELDS {
        let optional = known != "slots";
        match fields.get(known).map(|raw| QUOTA.read_yaml(raw, optional)) {
            Some(Ok(value)) => drop(quota.insert(known.to_owned(), value)),
            Some(Err(problem)) => faults.push((format!("{path}.{known}"), problem)),
            None if optional => drop(quota.insert(known.to_owned(), absent())),
            None => faults.push((format!("{path}.{known}"), Problem::Missing)),
        }
    }
    for key in fields.keys() {
        let name = key.as_str().map_or_else(|| describe(key), str::to_owned);
        if !FIELDS.contains(&name.as_str()) {
            let nearest = nearest(&name, FIELDS.into_iter());
            let problem = Problem::UnknownKey { nearest, place: "a quota".to_owned(), known: FIELDS.join(", ") };
            faults.push((format!("{path}.{name}"), problem));
        }
    }
    if faults.is_empty() { Ok(quota.into()) } else { Err(faults) }
}

/// The quota as a layer carries it: every field, so that it replaces whatever lies below.
#[must_use]
pub fn to_value(quota: TenantQuota) -> Value {
    let TenantQuota { slots, memory, pids } = quota;
    let amount = |amount: Option<u64>| amount.map_or_else(absent, Value::from);
    Dict::from([
        ("slots".to_owned(), Value::from(slots)),
        ("memory".to_owned(), amount(memory)),
        ("pids".to_owned(), amount(pids)),
    ])
    .into()
}

fn absent() -> Value {
    Value::Empty(figment::value::Tag::Default, figment::value::Empty::None)
}

fn is_name(name: &str) -> bool {
    Kind::Name.read_text(name).is_ok()
}
