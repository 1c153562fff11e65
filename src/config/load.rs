//! From layers to the configuration: defaults, files, environment, flags, each over the one before.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use figment::Figment;
use figment::value::Value;

use super::fault::{Fault, Invalid, Origin, Problem};
use super::flags::Flags;
use super::layer::Layer;
use super::schema::{KEYS, Kind, TENANTS};
use super::{Config, environment, file};

/// The one place where defaults are written down.
pub const DEFAULT_YAML: &str = include_str!("../../config/default.yaml");

/// A complete configuration and where each value of it was set.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// Things that look like a mistake but need not be one; to be logged when the server starts.
    pub warnings: Vec<String>,
    origins: BTreeMap<String, String>,
}

/// A key as it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Effective {
    pub key: String,
    pub value: serde_json::Value,
    pub origin: String,
}

/// Loads what `flags` name over what `variables` (the environment) name over the defaults.
///
/// # Errors
/// Every fault of every layer.
pub fn load(flags: &Flags, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Loaded, Invalid> {
    let mut layers = vec![defaults()];
    let mut faults = Vec::new();
    for path in &flags.files {
        match file::read(path) {
            Ok(layer) => layers.push(layer),
            Err(mut found) => faults.append(&mut found),
        }
    }
    let (mut on_top, mut wrong_flags) = flags.layers();
    let mut environment = environment::read(variables);
    layers.append(&mut environment.layers);
    layers.append(&mut on_top);
    faults.append(&mut environment.faults);
    faults.append(&mut wrong_flags);
    if !faults.is_empty() {
        return Err(Invalid(faults));
    }
    combine(layers, environment.warnings)
}

/// Checks one file by itself, over the defaults.
///
/// # Errors
/// Every fault in it.
pub fn check(path: &Path) -> Result<(), Invalid> {
    let layer = file::read(path).map_err(Invalid)?;
    combine(vec![defaults(), layer], Vec::new()).map(drop)
}

/// As [`check`], of text that is at hand.
///
/// # Errors
/// Every fault in it.
#[cfg(any(fuzzing, test))]
pub fn check_text(text: &str) -> Result<(), Invalid> {
    let layer = file::parse(text, Origin::Default).map_err(Invalid)?;
    combine(vec![defaults(), layer], Vec::new()).map(drop)
}

/// The configuration when nobody says anything.
#[must_use]
pub fn default_config() -> Config {
    combine(vec![defaults()], Vec::new()).expect("a test loads the built-in defaults").config
}

fn defaults() -> Layer {
    file::parse(DEFAULT_YAML, Origin::Default).expect("a test parses the built-in defaults")
}

fn combine(layers: Vec<Layer>, warnings: Vec<String>) -> Result<Loaded, Invalid> {
    let figment = layers.into_iter().fold(Figment::new(), Figment::merge);
    match figment.extract() {
        Ok(config) => Ok(Loaded { config, warnings, origins: origins(&figment) }),
        Err(error) => Err(Invalid(error.into_iter().map(rejected).collect())),
    }
}

/// The layers are checked one by one, so this is for what the schema and the types of `Config` should ever disagree on.
fn rejected(error: figment::Error) -> Fault {
    let name = error.metadata.as_ref().map_or_else(String::new, |metadata| format!(" ({})", metadata.name));
    let problem = Problem::Rejected(format!("{}{name}", error.kind));
    Fault { origin: Origin::Default, key: Some(error.path.join(".")), problem }
}

fn origins(figment: &Figment) -> BTreeMap<String, String> {
    let name_of = |value: &Value| figment.get_metadata(value.tag()).map(|metadata| metadata.name.to_string());
    let mut origins = BTreeMap::new();
    for key in KEYS {
        let Ok(value) = figment.find_value(key.path) else { continue };
        if key.kind == Kind::Tenants {
            // A tenant's entry is always set as a whole, so any field of it tells where that was.
            for (name, quota) in value.as_dict().into_iter().flatten() {
                let origin = quota.find_ref("slots").and_then(name_of);
                origins.extend(origin.map(|origin| (format!("{TENANTS}.{name}"), origin)));
            }
        } else {
            origins.extend(name_of(&value).map(|origin| (key.path.to_owned(), origin)));
        }
    }
    origins
}

impl Loaded {
    /// Where the value of `key` was set: `default`, `file /etc/x.yaml`, `environment variable EXECGO_RUNTIME_…` or
    /// `flag --listen-addr`. A tenant's quota has the key `ledger.tenants.NAME`.
    #[must_use]
    pub fn origin(&self, key: &str) -> String {
        self.origins.get(key).cloned().unwrap_or_else(|| Origin::Default.to_string())
    }

    /// Whether nobody has set `key`.
    #[must_use]
    pub fn is_default(&self, key: &str) -> bool {
        self.origin(key) == Origin::Default.to_string()
    }

    /// Every key with its value and origin, in the order of `config/default.yaml`; each tenant is one.
    #[must_use]
    pub fn effective(&self) -> Vec<Effective> {
        let whole = serde_json::to_value(&self.config).expect("a configuration is plain data with string keys");
        let mut all = Vec::new();
        for key in KEYS {
            let value = &whole[key.section()][key.name()];
            match value.as_object().filter(|tenants| key.kind == Kind::Tenants && !tenants.is_empty()) {
                Some(tenants) => {
                    all.extend(tenants.iter().map(|(name, quota)| self.entry(format!("{TENANTS}.{name}"), quota)));
                }
                None => all.push(self.entry(key.path.to_owned(), value)),
            }
        }
        all
    }

    fn entry(&self, key: String, value: &serde_json::Value) -> Effective {
        Effective { origin: self.origin(&key), value: value.clone(), key }
    }
}
