//! Parameters that are not in the body. Poem's own extractors name the type where a client wants the rule.

use std::time::Duration;

use poem::{Request, RequestBody, Result};
use poem_openapi::registry::{MetaParamIn, MetaSchema, MetaSchemaRef};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde_json::Value;

use super::fault::Fault;
use crate::task::InvalidField;

/// Longest wait of one request.
pub(super) const MAX_WAIT_MS: u64 = 600_000;

/// `?wait_ms=N`: how long a status request may wait.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wait(pub(super) Duration);

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

    fn parse(raw: &str) -> Result<Self, InvalidField> {
        let known = Self::ALL.iter().find(|(name, _)| *name == raw);
        known.map(|(_, wait_for)| *wait_for).ok_or_else(|| {
            let allowed = Self::ALL.map(|(name, _)| format!("`{name}`")).join(", ");
            InvalidField::new("wait_for", format!("must be one of {allowed}, not {:?}", shown(raw)))
        })
    }
}

impl<'a> ApiExtractor<'a> for WaitFor {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    type ParamType = ();
    type ParamRawType = ();

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Query)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        let words = Self::ALL.iter().map(|(name, _)| Value::from(*name)).collect();
        let default = Some(Value::from("terminal"));
        let schema = MetaSchema { enum_items: words, default, ..MetaSchema::new("string") };
        Some(MetaSchemaRef::Inline(Box::new(schema)))
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> Result<Self> {
        let given = in_query(request, options.name);
        Ok(given.map(|raw| Self::parse(&raw)).transpose().map_err(Fault::from)?.unwrap_or_default())
    }
}

/// `?tail_lines=N`: of a stream, the last lines alone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TailLines(pub(super) Option<u64>);

/// The greatest integer that every JSON client holds exactly; as of limits.
const MOST: u64 = (1 << 53) - 1;

impl<'a> ApiExtractor<'a> for TailLines {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    type ParamType = ();
    type ParamRawType = ();

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Query)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(integer(MOST))
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> Result<Self> {
        let given = in_query(request, options.name);
        Ok(Self(given.map(|raw| whole_number(options.name, &raw, MOST)).transpose().map_err(Fault::from)?))
    }
}

/// `?follow=true`: go on as the stream grows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Follow(pub(super) bool);

impl Follow {
    fn parse(raw: &str) -> Result<Self, InvalidField> {
        match raw {
            "true" => Ok(Self(true)),
            "false" => Ok(Self(false)),
            _ => Err(InvalidField::new("follow", format!("must be `true` or `false`, not {:?}", shown(raw)))),
        }
    }
}

impl<'a> ApiExtractor<'a> for Follow {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    type ParamType = ();
    type ParamRawType = ();

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Query)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        let schema = MetaSchema { default: Some(Value::from(false)), ..MetaSchema::new("boolean") };
        Some(MetaSchemaRef::Inline(Box::new(schema)))
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> Result<Self> {
        let given = in_query(request, options.name);
        Ok(given.map(|raw| Self::parse(&raw)).transpose().map_err(Fault::from)?.unwrap_or_default())
    }
}

fn integer(maximum: u64) -> MetaSchemaRef {
    let schema = MetaSchema {
        minimum: Some(0.),
        maximum: Some(maximum as f64),
        ..MetaSchema::new_with_format("integer", "int64")
    };
    MetaSchemaRef::Inline(Box::new(schema))
}

/// Of digits alone: `u64::from_str` takes a sign, JSON Schema's `integer` in a query does not need one.
fn whole_number(name: &str, raw: &str, maximum: u64) -> Result<u64, InvalidField> {
    let is_number = raw.starts_with(|c: char| c.is_ascii_digit());
    let number = raw.parse::<u64>().ok().filter(|number| *number <= maximum && is_number);
    let message = || format!("must be an integer from 0 to {maximum}, not {:?}", shown(raw));
    number.ok_or_else(|| InvalidField::new(name, message()))
}

/// The value of a query parameter. Whether it stands there twice is looked at elsewhere.
fn in_query(request: &Request, name: &str) -> Option<String> {
    let query: Vec<(String, String)> = request.params().unwrap_or_default();
    query.into_iter().find(|(given, _)| given == name).map(|(_, raw)| raw)
}

/// What a message shows of a value that a client sent.
fn shown(raw: &str) -> String {
    raw.chars().take(80).collect()
}

impl<'a> ApiExtractor<'a> for Wait {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    type ParamType = ();
    type ParamRawType = ();

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Query)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(integer(MAX_WAIT_MS))
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> Result<Self> {
        let given = in_query(request, options.name);
        let millis = given.map(|raw| whole_number(options.name, &raw, MAX_WAIT_MS)).transpose().map_err(Fault::from)?;
        Ok(Self(Duration::from_millis(millis.unwrap_or_default())))
    }
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
