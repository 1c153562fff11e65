//! Which tasks a list is of: the parameters that say so.

use std::collections::BTreeMap;

use poem::{Request, RequestBody, Result};
use poem_openapi::registry::{MetaParamIn, MetaSchema, MetaSchemaRef};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde_json::Value;

use super::access::Caller;
use super::document::texts;
use super::fault::Fault;
use super::params::{Parameter, one_of, shown, whole_number};
use crate::store::{Filter, Kind, Mark, Order};
use crate::task::{InvalidField, Status, Timestamp};

/// As a parameter of the query this stands for any that begins as it does.
pub(super) const LABEL: &str = "label.";
pub(super) const MAX_LIMIT: u64 = 1000;
const LIMIT: u64 = 50;

/// Which tasks, as the client says it.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub(super) statuses: Vec<Status>,
    pub(super) tenant: Option<String>,
    pub(super) owner: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) kind: Option<Kind>,
    pub(super) created_after: Option<Timestamp>,
    pub(super) created_before: Option<Timestamp>,
    pub(super) text: Option<String>,
}

impl Wanted {
    /// Of all that, what the caller may see.
    pub(super) fn filter(&self, by: &Caller) -> Filter {
        let Self { statuses, tenant, owner, labels, kind, created_after, created_before, text } = self;
        let tenants = tenant.as_deref().into_iter().chain(by.tenant()).map(Mark::tenant);
        let labels = labels.iter().map(|(key, value)| Mark::label(key, value));
        Filter {
            statuses: statuses.clone(),
            kind: *kind,
            marks: tenants.chain(owner.as_deref().map(Mark::owner)).chain(labels).collect(),
            created_after: *created_after,
            created_before: *created_before,
            text: text.as_deref().map(str::to_lowercase),
        }
    }

    /// Differs, as far as such a number can, when anything else is wanted.
    pub(super) fn fingerprint(&self, order: Order) -> u32 {
        let Self { statuses, tenant, owner, labels, kind, created_after, created_before, text } = self;
        let statuses: Vec<_> = statuses.iter().map(|status| status.as_str()).collect();
        let kind = kind.map(word_of_kind);
        let order = matches!(order, Order::OldestFirst);
        let all = (statuses, tenant, owner, labels, kind, created_after, created_before, text, order);
        crc32fast::hash(&serde_json::to_vec(&all).unwrap_or_default())
    }
}

const KINDS: [(&str, Kind); 2] = [("command", Kind::Command), ("script", Kind::Script)];

fn word_of_kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Command => "command",
        Kind::Script => "script",
    }
}

/// `status=running,accepted`: one of these.
#[derive(Clone, Debug, Default)]
pub(super) struct Statuses(pub(super) Vec<Status>);

impl Parameter for Statuses {
    fn schema() -> MetaSchema {
        let words = Status::ALL.map(|status| Value::from(status.as_str())).to_vec();
        let word = MetaSchema { enum_items: words, ..MetaSchema::new("string") };
        MetaSchema { items: Some(Box::new(MetaSchemaRef::Inline(Box::new(word)))), ..MetaSchema::new("array") }
    }

    /// Each once and in one order, so that the same set is the same filter.
    fn parse(name: &str, raw: &str) -> Result<Self, InvalidField> {
        let words = Status::ALL.map(|status| (status.as_str(), status));
        let given = raw.split(',').map(|word| one_of(name, word, &words)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self(Status::ALL.into_iter().filter(|status| given.contains(status)).collect()))
    }
}

/// A name, such as that of a tenant.
#[derive(Clone, Debug, Default)]
pub(super) struct Name(pub(super) Option<String>);

impl Parameter for Name {
    fn schema() -> MetaSchema {
        MetaSchema { pattern: Some(texts::NOT_BLANK.to_owned()), ..MetaSchema::new("string") }
    }

    fn parse(name: &str, raw: &str) -> Result<Self, InvalidField> {
        if raw.trim().is_empty() {
            return Err(InvalidField::new(name, "must not be blank"));
        }
        Ok(Self(Some(raw.to_owned())))
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OfKind(pub(super) Option<Kind>);

impl Parameter for OfKind {
    fn schema() -> MetaSchema {
        MetaSchema { enum_items: KINDS.map(|(word, _)| Value::from(word)).to_vec(), ..MetaSchema::new("string") }
    }

    fn parse(name: &str, raw: &str) -> Result<Self, InvalidField> {
        one_of(name, raw, &KINDS).map(Some).map(Self)
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moment(pub(super) Option<Timestamp>);

impl Parameter for Moment {
    fn schema() -> MetaSchema {
        MetaSchema::new_with_format("string", "date-time")
    }

    fn parse(name: &str, raw: &str) -> Result<Self, InvalidField> {
        let time = serde_json::from_value(Value::from(raw)).ok();
        let message =
            || format!("must be a time such as 2026-11-25T01:11:54.980Z (RFC 3339, UTC), not {:?}", shown(raw));
        time.map(|time| Self(Some(time))).ok_or_else(|| InvalidField::new(name, message()))
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sort(pub(super) Order);

impl Parameter for Sort {
    fn schema() -> MetaSchema {
        let words = SORTS.map(|(word, _)| Value::from(word)).to_vec();
        MetaSchema { enum_items: words, default: Some(Value::from("-created_at")), ..MetaSchema::new("string") }
    }

    fn parse(name: &str, raw: &str) -> Result<Self, InvalidField> {
        one_of(name, raw, &SORTS).map(Self)
    }
}

const SORTS: [(&str, Order); 2] = [("-created_at", Order::NewestFirst), ("created_at", Order::OldestFirst)];

/// Most tasks on a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit(pub(super) usize);

impl Default for Limit {
    fn default() -> Self {
        Self(LIMIT as usize)
    }
}

impl Parameter for Limit {
    fn schema() -> MetaSchema {
        let (minimum, maximum, default) = (Some(1.), Some(MAX_LIMIT as f64), Some(Value::from(LIMIT)));
        MetaSchema { minimum, maximum, default, ..MetaSchema::new_with_format("integer", "int64") }
    }

    fn parse(name: &str, raw: &str) -> Result<Self, InvalidField> {
        whole_number(name, raw, 1..=MAX_LIMIT).map(|limit| Self(usize::try_from(limit).unwrap_or(usize::MAX)))
    }
}

/// The `next_cursor` of a page, as it came.
#[derive(Clone, Debug, Default)]
pub(super) struct Continued(pub(super) Option<String>);

impl Parameter for Continued {
    fn schema() -> MetaSchema {
        MetaSchema::new("string")
    }

    fn parse(_name: &str, raw: &str) -> Result<Self, InvalidField> {
        Ok(Self(Some(raw.to_owned())))
    }
}

/// Every `label.KEY=VALUE` of the query.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels(pub(super) BTreeMap<String, String>);

impl<'a> ApiExtractor<'a> for Labels {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    type ParamType = ();
    type ParamRawType = ();

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Query)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(MetaSchemaRef::Inline(Box::new(MetaSchema::new("string"))))
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> Result<Self> {
        let query: Vec<(String, String)> = request.params().unwrap_or_default();
        let mut labels = BTreeMap::new();
        for (name, value) in query {
            if let Some(key) = name.strip_prefix(LABEL) {
                if key.is_empty() || key.contains('=') {
                    let message = "must name a label behind the dot: its key is not empty and has no `=`";
                    return Err(Fault::from(InvalidField::new(shown(&name), message)).into());
                }
                labels.insert(key.to_owned(), value);
            }
        }
        Ok(Self(labels))
    }
}
