//! Parameters that are not in the body. Poem's own extractors name the type where a client wants the rule.

use std::ops::RangeInclusive;
use std::time::Duration;

use poem::{Request, RequestBody, Result};
use poem_openapi::registry::{MetaParamIn, MetaSchema, MetaSchemaRef};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde_json::Value;

use super::fault::Fault;
use crate::task::InvalidField;
use crate::task::validate::MAX_INTEGER;

/// Longest wait of one request.
pub(super) const MAX_WAIT_MS: u64 = 600_000;

/// A parameter of the query, or what holds without it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Query<T>(pub(super) T);

/// What such a parameter may be.
pub(super) trait Parameter: Default {
    fn schema() -> MetaSchema;

    /// `name` is that of the parameter, for the message.
    fn parse(name: &str, raw: &str) -> Result<Self, InvalidField>;
}

impl<'a, T: Parameter> ApiExtractor<'a> for Query<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    type ParamType = ();
    type ParamRawType = ();

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Query)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(MetaSchemaRef::Inline(Box::new(T::schema())))
    }

    /// Whether the parameter stands there twice is looked at elsewhere.
    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> Result<Self> {
        let query: Vec<(String, String)> = request.params().unwrap_or_default();
        let given = query.iter().find(|(name, _)| name == options.name);
        let parsed = given.map(|(name, raw)| T::parse(name, raw)).transpose().map_err(Fault::from)?;
        Ok(Self(parsed.unwrap_or_default()))
    }
}

/// `?wait_ms=N`: how long a status request may wait.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wait(pub(super) Duration);

impl Parameter for Wait {
    fn schema() -> MetaSchema {
        integer(MAX_WAIT_MS)
    }

    fn parse(name: &str, raw: &str) -> Result<Self, InvalidField> {
        whole_number(name, raw, 0..=MAX_WAIT_MS).map(Duration::from_millis).map(Self)
    }
}

/// `?wait_for=…`: what a status request waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum WaitFor {
    #[default]
    Terminal,
    Started,
    Output,
    Change,
}

impl WaitFor {
    pub(super) const ALL: [(&'static str, Self); 4] =
        [("terminal", Self::Terminal), ("started", Self::Started), ("output", Self::Output), ("change", Self::Change)];
}

impl Parameter for WaitFor {
    fn schema() -> MetaSchema {
        let words = Self::ALL.iter().map(|(name, _)| Value::from(*name)).collect();
        MetaSchema { enum_items: words, default: Some(Value::from("terminal")), ..MetaSchema::new("string") }
    }

    fn parse(name: &str, raw: &str) -> Result<Self, InvalidField> {
        one_of(name, raw, &Self::ALL)
    }
}

/// `?tail_lines=N`: of a stream, the last lines alone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TailLines(pub(super) Option<u64>);

impl Parameter for TailLines {
    fn schema() -> MetaSchema {
        integer(MAX_INTEGER)
    }

    fn parse(name: &str, raw: &str) -> Result<Self, InvalidField> {
        whole_number(name, raw, 0..=MAX_INTEGER).map(Some).map(Self)
    }
}

/// `?follow=true`: go on as the stream grows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Follow(pub(super) bool);

impl Parameter for Follow {
    fn schema() -> MetaSchema {
        MetaSchema { default: Some(Value::from(false)), ..MetaSchema::new("boolean") }
    }

    fn parse(name: &str, raw: &str) -> Result<Self, InvalidField> {
        match raw {
            "true" => Ok(Self(true)),
            "false" => Ok(Self(false)),
            _ => Err(InvalidField::new(name, format!("must be `true` or `false`, not {:?}", shown(raw)))),
        }
    }
}

fn integer(maximum: u64) -> MetaSchema {
    MetaSchema { minimum: Some(0.), maximum: Some(maximum as f64), ..MetaSchema::new_with_format("integer", "int64") }
}

/// Of digits alone: `u64::from_str` takes a sign, JSON Schema's `integer` in a query does not need one.
pub(super) fn whole_number(name: &str, raw: &str, allowed: RangeInclusive<u64>) -> Result<u64, InvalidField> {
    let is_number = raw.starts_with(|c: char| c.is_ascii_digit());
    let number = raw.parse::<u64>().ok().filter(|number| allowed.contains(number) && is_number);
    let message = || format!("must be an integer from {} to {}, not {:?}", allowed.start(), allowed.end(), shown(raw));
    number.ok_or_else(|| InvalidField::new(name, message()))
}

/// One of some words, each with what it stands for.
pub(super) fn one_of<T: Copy>(name: &str, raw: &str, words: &[(&str, T)]) -> Result<T, InvalidField> {
    let known = words.iter().find(|(word, _)| *word == raw);
    known.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let allowed = words.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        InvalidField::new(name, format!("must be one of {allowed}, not {:?}", shown(raw)))
    })
}

/// What a message shows of a value that a client sent.
pub(super) fn shown(raw: &str) -> String {
    raw.chars().take(80).collect()
}

/// A header that may be there: the `x-execgo-owner` of a kill, `Range` and `If-Range` of output, the
/// `Last-Event-ID` of a stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Header(pub(super) Option<String>);

impl<'a> ApiExtractor<'a> for Header {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    type ParamType = ();
    type ParamRawType = ();

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Header)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(MetaSchemaRef::Inline(Box::new(MetaSchema::new("string"))))
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> Result<Self> {
        // Not `to_str`, which takes ASCII only: an owner may have any name. What is no text matches no owner.
        let value = request.headers().get(options.name);
        Ok(Self(value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())))
    }
}

/// `Idempotency-Key`: what the client calls this request.
#[derive(Clone, Debug, Default)]
pub(super) struct IdempotencyKey(pub(super) Option<String>);

/// Longest key, in characters.
const MAX_KEY: usize = 255;

impl<'a> ApiExtractor<'a> for IdempotencyKey {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    type ParamType = ();
    type ParamRawType = ();

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Header)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        let text = MetaSchema::new("string");
        let key =
            MetaSchema { min_length: Some(1), max_length: Some(MAX_KEY), pattern: Some("^[!-~]+$".into()), ..text };
        Some(MetaSchemaRef::Inline(Box::new(key)))
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> Result<Self> {
        let refused = |message: String| Fault::from(InvalidField::new(options.name, message));
        let mut given = request.headers().get_all(options.name).iter();
        let Some(key) = given.next() else { return Ok(Self(None)) };
        if given.next().is_some() {
            return Err(refused("must not be given twice".to_owned()).into());
        }
        let is_visible = key.as_bytes().iter().all(u8::is_ascii_graphic);
        if !is_visible || !(1..=MAX_KEY).contains(&key.len()) {
            return Err(refused(format!("must be 1 to {MAX_KEY} visible characters of ASCII")).into());
        }
        Ok(Self(Some(String::from_utf8_lossy(key.as_bytes()).into_owned())))
    }
}
