//! Strict reading of request fields, where serde's own derive is too generous: it takes an array for an object and an
//! object for an enum, and lets the last of two equal keys win. `null` is a missing field.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use crate::task::Timestamp;
use crate::task::kill::GRACE_MS;
use crate::task::schedule::PRIORITY;
use crate::task::validate::{CPU_MILLIS, LIMIT, OPEN_FILES, SHOWN_BYTES};

/// An enum whose values are fixed words on the wire.
pub(super) trait Words: Copy + 'static {
    const WORDS: &'static [(&'static str, Self)];
}

/// A whole request.
pub(super) struct Root<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Root<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        object(deserializer).map(Self)
    }
}

/// A required object.
pub(super) fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(ObjectVisitor(PhantomData))
}

/// An array of objects.
pub(super) fn objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Vec::<Root<T>>::deserialize(deserializer)?.into_iter().map(|Root(object)| object).collect())
}

pub(super) fn optional_object<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_any(OrNull(ObjectVisitor(PhantomData)))
}

/// A list of objects.
pub(super) fn optional_objects<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let found: Option<Vec<Root<T>>> = Option::deserialize(deserializer)?;
    Ok(found.map(|objects| objects.into_iter().map(|Root(object)| object).collect()))
}

/// Text by text, each key once.
pub(super) fn optional_map<'de, D>(deserializer: D) -> Result<Option<BTreeMap<String, String>>, D::Error>
where
    D: Deserializer<'de>,
{
    deserializer.deserialize_any(OrNull(MapVisitor))
}

/// An integer; whether it is in range is validation's business, which says the same words.
pub(super) fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    deserializer.deserialize_any(OrNull(LimitVisitor(LIMIT)))
}

/// The same for a limit on the share of CPU time, which starts at more.
pub(super) fn cpu_millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    deserializer.deserialize_any(OrNull(LimitVisitor(CPU_MILLIS)))
}

/// The same for a limit on open files, which may be less.
pub(super) fn open_files<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    deserializer.deserialize_any(OrNull(LimitVisitor(OPEN_FILES)))
}

/// How much of a stream an answer shows.
pub(super) fn shown_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    deserializer.deserialize_any(OrNull(LimitVisitor(SHOWN_BYTES)))
}

/// The same for the grace of a kill.
pub(super) fn grace<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    deserializer.deserialize_any(OrNull(LimitVisitor(GRACE_MS)))
}

/// A priority; whether it is in range is validation's business.
pub(super) fn priority<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    deserializer.deserialize_any(OrNull(PriorityVisitor))
}

/// A time of RFC 3339.
pub(super) fn optional_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    deserializer.deserialize_any(OrNull(TimeVisitor))
}

pub(super) fn word<'de, D: Deserializer<'de>, T: Words>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(WordVisitor(PhantomData))
}

pub(super) fn optional_word<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Words,
{
    deserializer.deserialize_any(OrNull(WordVisitor(PhantomData)))
}

/// An array of such words.
pub(super) fn optional_words<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Words,
{
    let words = Option::<Vec<Word<T>>>::deserialize(deserializer)?;
    Ok(words.map(|words| words.into_iter().map(|Word(word)| word).collect()))
}

struct Word<T>(T);

impl<'de, T: Words> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer).map(Self)
    }
}

/// Answers `None` to `null` and hands everything else on.
struct OrNull<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for OrNull<V> {
    type Value = Option<V::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, v: bool) -> Result<Self::Value, E> {
        self.0.visit_bool(v).map(Some)
    }

    fn visit_i64<E: Error>(self, v: i64) -> Result<Self::Value, E> {
        self.0.visit_i64(v).map(Some)
    }

    fn visit_u64<E: Error>(self, v: u64) -> Result<Self::Value, E> {
        self.0.visit_u64(v).map(Some)
    }

    fn visit_f64<E: Error>(self, v: f64) -> Result<Self::Value, E> {
        self.0.visit_f64(v).map(Some)
    }

    fn visit_str<E: Error>(self, v: &str) -> Result<Self::Value, E> {
        self.0.visit_str(v).map(Some)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        self.0.visit_map(map).map(Some)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

struct MapVisitor;

impl<'de> Visitor<'de> for MapVisitor {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object whose values are strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((key, value)) = entries.next_entry::<String, String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("must not hold the key {key:?} twice")));
            }
            map.insert(key, value);
        }
        Ok(map)
    }
}

/// What the limit may be.
struct LimitVisitor(RangeInclusive<u64>);

impl LimitVisitor {
    fn refuse<E: Error>(&self, value: impl fmt::Display) -> E {
        E::custom(format!("must be an integer from {} to {}, not {value}", self.0.start(), self.0.end()))
    }
}

impl Visitor<'_> for LimitVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an integer from {} to {}", self.0.start(), self.0.end())
    }

    fn visit_u64<E: Error>(self, v: u64) -> Result<u64, E> {
        Ok(v)
    }

    fn visit_i64<E: Error>(self, v: i64) -> Result<u64, E> {
        u64::try_from(v).map_err(|_| self.refuse(v))
    }

    fn visit_f64<E: Error>(self, v: f64) -> Result<u64, E> {
        Err(self.refuse(v))
    }
}

struct PriorityVisitor;

impl PriorityVisitor {
    fn refuse<E: Error>(value: impl fmt::Display) -> E {
        E::custom(format!("must be an integer from {} to {}, not {value}", PRIORITY.start(), PRIORITY.end()))
    }
}

impl Visitor<'_> for PriorityVisitor {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an integer from {} to {}", PRIORITY.start(), PRIORITY.end())
    }

    fn visit_u64<E: Error>(self, v: u64) -> Result<i64, E> {
        i64::try_from(v).map_err(|_| Self::refuse(v))
    }

    fn visit_i64<E: Error>(self, v: i64) -> Result<i64, E> {
        Ok(v)
    }

    fn visit_f64<E: Error>(self, v: f64) -> Result<i64, E> {
        Err(Self::refuse(v))
    }
}

struct TimeVisitor;

impl Visitor<'_> for TimeVisitor {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time of RFC 3339 from 1970 to 9999, such as \"2026-11-25T01:11:54Z\"")
    }

    fn visit_str<E: Error>(self, v: &str) -> Result<Timestamp, E> {
        Timestamp::parse(v).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(v), &self))
    }
}

struct WordVisitor<T>(PhantomData<T>);

impl<T: Words> Visitor<'_> for WordVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (word, _)) in T::WORDS.iter().enumerate() {
            write!(f, "{}`{word}`", if index == 0 { "" } else { " or " })?;
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, v: &str) -> Result<T, E> {
        let found = T::WORDS.iter().find(|(word, _)| *word == v);
        found.map(|(_, value)| *value).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(v), &self))
    }
}
