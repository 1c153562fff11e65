//! One layer of the configuration: checked values and the name of the place they come from, as figment wants them.

use figment::value::{Dict, Map, Value};
use figment::{Error, Metadata, Profile, Provider};

use super::fault::Origin;
use super::schema::Key;

/// A file has one, each environment variable and each flag too: figment keeps one name per layer.
#[derive(Debug)]
pub struct Layer {
    origin: Origin,
    data: Dict,
}

impl Layer {
    #[must_use]
    pub const fn new(origin: Origin, data: Dict) -> Self {
        Self { origin, data }
    }

    #[must_use]
    pub fn of_key(origin: Origin, key: &Key, value: Value) -> Self {
        let section = Dict::from([(key.name().to_owned(), value)]);
        Self::new(origin, Dict::from([(key.section().to_owned(), section.into())]))
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.to_string())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Profile::Default.collect(self.data.clone()))
    }
}
